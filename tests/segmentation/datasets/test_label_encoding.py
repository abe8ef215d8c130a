from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.segmentation.datasets.label_encoding import (
    MaskError,
    check_masks,
    detect_encoding,
    guess_encoding,
    read_mask,
    to_train_ids,
    value_counts,
)
from mmext.segmentation.datasets.label_maps import LABELS, to_colors, to_label_ids


def save(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture
def train_ids() -> np.ndarray:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 19, (13, 17), dtype=np.uint8)
    mask[0, 0] = 255
    return mask


def test_three_encodings_of_one_mask_give_the_same_train_ids(train_ids):
    stored = {'train_ids': train_ids, 'label_ids': to_label_ids(train_ids), 'colors': to_colors(train_ids)}
    for encoding, mask in stored.items():
        assert guess_encoding(mask) == encoding
        np.testing.assert_array_equal(to_train_ids(mask, encoding), train_ids)


def test_label_ids_agree_with_a_loop_over_the_table():
    mask = np.random.default_rng(1).integers(0, 34, (9, 11), dtype=np.uint8)
    table = {label.id: label.train_id for label in LABELS}
    expected = np.array([[table[int(value)] for value in row] for row in mask], np.uint8)
    np.testing.assert_array_equal(to_train_ids(mask, 'label_ids'), expected)


def test_value_counts_sum_to_the_pixels(train_ids):
    assert sum(value_counts(train_ids).values()) == train_ids.size
    assert sum(value_counts(to_colors(train_ids)).values()) == train_ids.size


def test_modes(tmp_path, train_ids):
    rgba = np.dstack([to_colors(train_ids), np.full(train_ids.shape, 255, np.uint8)])
    assert read_mask(save(tmp_path / 'l.png', train_ids)).shape == (13, 17)
    assert read_mask(save(tmp_path / 'rgba.png', rgba)).shape == (13, 17, 3)
    palette = Image.fromarray(train_ids, mode='P')
    palette.putpalette([value for color in range(256) for value in (color, 0, 0)])
    palette.save(tmp_path / 'p.png')
    np.testing.assert_array_equal(read_mask(tmp_path / 'p.png'), train_ids)


@pytest.mark.parametrize(
    ('values', 'mode', 'message'),
    [
        (np.zeros((4, 4), np.uint16), None, 'mode I;16'),
        (np.zeros((4, 4), np.uint8), '1', 'mode 1'),
        (np.zeros((4, 4, 4), np.uint8), None, 'mode RGBA'),
        (np.zeros((4, 4, 2), np.uint8), None, 'mode LA'),
    ],
)
def test_other_modes_are_refused(tmp_path, values, mode, message):
    with pytest.raises(MaskError, match=rf'm\.png: mask has {message}.*8-bit'):
        read_mask(save(tmp_path / 'm.png', values, mode))


def test_missing_and_truncated_files_are_named(tmp_path):
    with pytest.raises(MaskError, match=r'none\.png: mask is missing'):
        read_mask(tmp_path / 'none.png')
    path = save(tmp_path / 'cut.png', np.random.default_rng(0).integers(0, 19, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(MaskError, match=r'cut\.png: mask cannot be read'):
        read_mask(path)
    (tmp_path / 'text.png').write_text('not an image')
    with pytest.raises(MaskError, match=r'text\.png: mask cannot be read'):
        read_mask(tmp_path / 'text.png')


def test_folder_decides_where_a_frame_cannot(tmp_path):
    ambiguous = save(tmp_path / 'a.png', np.full((4, 4), 7, np.uint8))
    ids = save(tmp_path / 'b.png', np.full((4, 4), 26, np.uint8))
    assert detect_encoding([ambiguous, ids]) == 'label_ids'
    assert detect_encoding([ambiguous]) == 'train_ids'


def test_mixed_folder_is_refused_with_both_files(tmp_path):
    ids = save(tmp_path / 'ids.png', np.full((4, 4), 26, np.uint8))
    train = save(tmp_path / 'train.png', np.full((4, 4), 255, np.uint8))
    with pytest.raises(MaskError, match=r'(?s)ids\.png: label_ids.*train\.png: train_ids'):
        detect_encoding([ids, train])


def write_pair(folder: Path, mask: np.ndarray, size_hw: tuple[int, int] | None = None) -> tuple[Path, Path]:
    height, width = size_hw or mask.shape[:2]
    image = save(folder / 'image.png', np.zeros((height, width, 3), np.uint8))
    return image, save(folder / 'mask.png', mask)


@pytest.mark.parametrize(
    ('mask', 'encoding', 'message'),
    [
        (np.array([[0, 40, 40]], np.uint8), 'train_ids', r'mask\.png: value 40 at 2 pixels .*correct the mask'),
        (np.array([[0, 26, 23]], np.uint8), 'train_ids', r"value 23 at 1 pixels .*label_encoding='label_ids'"),
        (np.array([[26, 255]], np.uint8), 'label_ids', r"value 255 at 1 pixels .*label_encoding='train_ids'"),
        (np.zeros((2, 2, 3), np.uint8), 'train_ids', r'mask\.png: mask has three channels .*PIL mode L'),
        (np.zeros((2, 2), np.uint8), 'colors', r'mask\.png: mask has one channel'),
        (np.full((2, 2, 3), 9, np.uint8), 'colors', r'colour #090909 at 4 pixels'),
        (
            np.array([[0, 1]], np.uint8),
            'label_ids',
            r'no mask holds a value above 18, .* 2 of 2 pixels would be ignored',
        ),
    ],
)
def test_wrong_values_name_file_value_count_and_fix(tmp_path, mask, encoding, message):
    with pytest.raises(MaskError, match=message):
        check_masks([write_pair(tmp_path, mask)], encoding)


def test_wrong_size_names_both_sizes(tmp_path):
    with pytest.raises(MaskError, match=r'mask\.png: mask is 4 x 6, its image is 5 x 6'):
        check_masks([write_pair(tmp_path, np.zeros((4, 6), np.uint8), (5, 6))], 'train_ids')


def test_all_faulty_masks_are_counted(tmp_path):
    pairs = []
    for name in 'abc':
        (tmp_path / name).mkdir()
        pairs.append(write_pair(tmp_path / name, np.full((2, 2), 99 if name != 'b' else 0, np.uint8)))
    with pytest.raises(MaskError, match=r'2 of 3 masks are faulty'):
        check_masks(pairs, 'train_ids')


def test_label_ids_without_sky_cars_and_trees_are_accepted(tmp_path):
    assert check_masks([write_pair(tmp_path, np.array([[7, 7, 11, 0]], np.uint8))], 'label_ids') == {0, 7, 11}


def test_good_masks_return_their_values(tmp_path):
    assert check_masks([write_pair(tmp_path, np.array([[0, 18, 255]], np.uint8))], 'train_ids') == {0, 18, 255}
