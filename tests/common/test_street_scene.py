"""The rendered street scenes: same seed same pixels, balance of the classes, and the committed folder."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmext.common.samples.kitti_seg import COLOURS, file_names, stem_of
from mmext.common.samples.palette_png import reduce_colours, write_png
from mmext.common.samples.street_canvas import Camera, Canvas
from mmext.common.samples.street_scene import FRAME_COUNT, LABEL_IDS, plan_frames, render_frame, split_of

SAMPLE = Path(__file__).parents[2] / 'data/samples/kitti_seg'
TRAIN_NAMES = list(LABEL_IDS)[:19]
TRAIN_IDS = np.array([LABEL_IDS[name] for name in TRAIN_NAMES])
LEAST_IMAGES = {'train': 6, 'val': 2}


@pytest.fixture(scope='module')
def committed() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> RGB images (B, 375, 1242, 3) and label ids (B, 375, 1242)."""
    out = {}
    for split in ('train', 'val'):
        stems = (SAMPLE / f'{split}.txt').read_text().split()
        images = [np.array(Image.open(SAMPLE / f'training/image_2/{stem}.png').convert('RGB')) for stem in stems]
        masks = [np.array(Image.open(SAMPLE / f'training/semantic/{stem}.png')) for stem in stems]
        out[split] = np.stack(images), np.stack(masks)
    return out


def pixel_counts(ids: np.ndarray) -> np.ndarray:
    return np.bincount(ids.ravel(), minlength=256)[TRAIN_IDS]


def test_same_seed_gives_the_same_frame_and_another_seed_does_not() -> None:
    image, ids = render_frame(3, 4)
    again, ids_again = render_frame(3, 4)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(ids, ids_again)
    assert image.shape == (375, 1242, 3)
    assert image.dtype == ids.dtype == np.uint8
    assert set(np.unique(ids)) <= set(LABEL_IDS.values())
    assert (render_frame(4, 4)[1] != ids).mean() > 0.1


@pytest.mark.parametrize('seed', [0, 1, 12345])
def test_plan_asks_for_every_rare_class_in_both_splits(seed: int) -> None:
    plans = plan_frames(seed)
    assert len(plans) == FRAME_COUNT
    assert plans == plan_frames(seed)
    rare = {'wall', 'fence', 'terrain', 'train', 'bus', 'truck', 'motorcycle', 'rider', 'bicycle', 'person'}
    for split, least in LEAST_IMAGES.items():
        wanted = [set(p.required_pixels()) for k, p in enumerate(plans) if split_of(k) == split]
        counts = {name: sum(name in names for names in wanted) for name in rare | {'traffic light', 'traffic sign'}}
        assert min(counts.values()) >= least, (split, counts)


def test_polygon_hits_the_pixels_that_the_pinhole_model_says() -> None:
    """A 2 m x 1 m board at 10 m, f = 720 px, covers 144 x 72 pixels about the projected centre; nearer paint wins."""
    canvas = Canvas(Camera(height_m=1.0, cx_px=600.0, horizon_px=180.0), sun=(0.0, 1.0, 0.0), ambient=1.0)
    board = [(-1.0, 0.5), (1.0, 0.5), (1.0, 1.5), (-1.0, 1.5)]
    canvas.polygon([(x, y, 10.0) for x, y in board], (200, 10, 10), 'traffic sign')
    rows, cols = np.nonzero(canvas.ids == LABEL_IDS['traffic sign'])
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (144, 215, 528, 671)
    assert len(rows) == 144 * 72
    assert (canvas.rgb[rows, cols] == (200, 10, 10)).all()
    canvas.polygon([(x * 9, y * 9 - 8, 11.0) for x, y in board], (0, 0, 0), 'wall')
    assert (canvas.ids == LABEL_IDS['traffic sign']).sum() == 144 * 72
    canvas.polygon([(x, y, 9.0) for x, y in board], (0, 0, 0), 'car')
    assert not (canvas.ids == LABEL_IDS['traffic sign']).any()


def test_polygon_behind_the_camera_paints_nothing_and_one_across_it_is_cut() -> None:
    canvas = Canvas(Camera(), sun=(0.0, 1.0, 0.0), ambient=0.5)
    canvas.polygon([(-1, 0, -5), (1, 0, -5), (1, 0, -1)], (9, 9, 9), 'road')
    assert (canvas.ids == LABEL_IDS['sky']).all()
    canvas.polygon([(-2, 0, -5), (2, 0, -5), (2, 0, 50), (-2, 0, 50)], (9, 9, 9), 'road')
    rows = np.nonzero((canvas.ids == LABEL_IDS['road']).any(axis=1))[0]
    assert rows.max() == canvas.ids.shape[0] - 1
    assert rows.min() > canvas.camera.horizon_px


def test_reduced_colours_are_exact_when_there_are_few(tmp_path: Path) -> None:
    """Multiples of 8 plus 4 survive the coarse histogram, so four such colours come back unchanged."""
    colours = np.array([[4, 4, 4], [252, 4, 4], [100, 204, 4], [252, 252, 252]], dtype=np.uint8)
    image = colours[np.arange(48).reshape(6, 8) % 4]
    indices, palette = reduce_colours(image, 16)
    np.testing.assert_array_equal(palette[indices], image)
    write_png(tmp_path / 'a.png', indices, palette)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'))[..., ::-1], image)
    assert [p.name for p in tmp_path.iterdir()] == ['a.png']


def test_reduced_colours_keep_a_small_red_sign() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    image = rng.integers(60, 190, (100, 100, 1)).repeat(3, axis=2).astype(np.uint8)
    image[40:46, 40:46] = (220, 30, 30)
    indices, palette = reduce_colours(image, 8)
    assert len(palette) <= 8
    assert np.abs(palette[indices[42, 42]].astype(int) - (220, 30, 30)).max() <= 8


def test_committed_folder_is_complete_and_small(committed) -> None:
    files = [p for p in SAMPLE.rglob('*') if p.is_file()]
    assert {p.relative_to(SAMPLE).as_posix() for p in files} == set(file_names())
    assert sum(p.stat().st_size for p in files) < 4_000_000
    assert {split: images.shape for split, (images, _) in committed.items()} == {
        'train': (24, 375, 1242, 3),
        'val': (8, 375, 1242, 3),
    }
    for split, (_, ids) in committed.items():
        assert ids.shape[1:] == (375, 1242), split
        assert set(np.unique(ids)) <= set(LABEL_IDS.values()), split


@pytest.mark.parametrize('index', [0, 7])
def test_committed_frame_equals_a_new_rendering(index: int) -> None:
    image, ids = render_frame(0, index)
    indices, palette = reduce_colours(image, COLOURS)
    stored = cv2.imread(str(SAMPLE / f'training/image_2/{stem_of(index)}.png'))[..., ::-1]
    np.testing.assert_array_equal(stored, palette[indices])
    np.testing.assert_array_equal(cv2.imread(str(SAMPLE / f'training/semantic/{stem_of(index)}.png'), -1), ids)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_every_train_class_is_there_often_enough_to_be_learnt(committed, split: str) -> None:
    ids = committed[split][1]
    # 300 pixels: enough to see what it is, unlike a far-off corner of it
    images = {name: sum((frame == LABEL_IDS[name]).sum() >= 300 for frame in ids) for name in TRAIN_NAMES}
    assert min(images.values()) >= LEAST_IMAGES[split], images
    ignored = ~np.isin(ids, TRAIN_IDS)
    assert 0 < ignored.mean() < 0.1


def test_classes_are_unbalanced_like_on_a_street(committed) -> None:
    counts = pixel_counts(committed['train'][1])
    assert counts.max() / counts.min() > 30
    common = [TRAIN_NAMES[k] for k in np.argsort(counts)[::-1]]
    assert 'road' in common[:3]
    assert set(common[:5]) == {'road', 'building', 'vegetation', 'car', 'sky'}
    assert 'rider' in common[-3:]


def test_colour_alone_does_not_tell_the_class(committed) -> None:
    """The nearest mean colour of a class, fitted on the training frames, stays far below a usable mIoU."""
    images, ids = committed['train']
    means = np.stack([images[ids == k].mean(axis=0) for k in TRAIN_IDS])
    images, ids = (part[:, ::3, ::3] for part in committed['val'])
    distance = ((images[..., None, :].astype(np.float32) - means.astype(np.float32)) ** 2).sum(axis=-1)
    guess = TRAIN_IDS[distance.argmin(axis=-1)]
    valid = np.isin(ids, TRAIN_IDS)
    ious = [((guess == k) & (ids == k)).sum() / (((guess == k) & valid) | (ids == k)).sum() for k in TRAIN_IDS]
    assert np.mean(ious) < 0.4
