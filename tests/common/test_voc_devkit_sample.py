"""The rendered detection scenes: brush, boxes, layout of the files, balance, repeatability."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples import voc_devkit
from mmext.common.samples.voc_devkit_backgrounds import SCENES
from mmext.common.samples.voc_devkit_layout import plan_pictures, render_picture
from mmext.common.samples.voc_devkit_scene import SEEN_SHARE, TINY_PX, Item, paint
from mmext.common.samples.voc_objects import OBJECTS
from mmext.common.samples.voc_objects_brush import Brush, Pose, circle, panel, rect, rounded

SIZE_HW = (96, 128)
FEW = {('2007', 'train'): 3, ('2007', 'val'): 2, ('2007', 'test'): 2, ('2012', 'train'): 1, ('2012', 'val'): 2}


def area(outline: np.ndarray) -> float:
    x, y = outline.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def box_of(mask: np.ndarray) -> tuple[int, ...]:
    """1-based inclusive box by the definition, pixel by pixel."""
    ys, xs = zip(*((y, x) for y, row in enumerate(mask.tolist()) for x, on in enumerate(row) if on), strict=True)
    return min(xs) + 1, min(ys) + 1, max(xs) + 1, max(ys) + 1


def read_objects(xml: Path) -> list[tuple[str, tuple[int, ...], bool, bool]]:
    """Name, box, truncated, difficult of each object."""
    corners = ('xmin', 'ymin', 'xmax', 'ymax')
    return [
        (
            node.findtext('name'),
            tuple(int(node.findtext(f'bndbox/{corner}')) for corner in corners),
            node.findtext('truncated') == '1',
            node.findtext('difficult') == '1',
        )
        for node in ET.parse(xml).iter('object')
    ]


def grey(size_hw: tuple[int, int] = (100, 140)) -> np.ndarray:
    return np.full((*size_hw, 3), 128, dtype=np.float32)


# ---- brush


def test_outlines_have_the_areas_of_their_shapes() -> None:
    assert area(rect(1, 3, 0, 5)) == 10
    assert area(circle(2, 1, 3, 0.5, 0.7, corners=400)) == pytest.approx(1.5 * np.pi, rel=1e-3)
    assert area(panel(-1, 1, 0, 4, 0.5)) == pytest.approx(8 - 0.25 * (4 - np.pi), rel=0.01)
    # a round cuts off a triangle of 1/4 x 1/4 of two sides at each of the four corners
    assert area(rounded(rect(0, 1, 0, 1), 1)) == pytest.approx(1 - 4 / 32)


def test_brush_covers_the_pixels_of_a_rectangle() -> None:
    brush = Brush((40, 60), Pose(x_px=30, y_px=35, height_px=20))
    brush.fill(rect(-0.5, 0.5, 0, 1), (200, 100, 50))
    colour, cover = brush.finish()
    seen = cover >= 0.5
    assert box_of(seen) == (21, 16, 40, 35)
    assert seen.sum() == 20 * 20
    assert brush.extent_px() == (20, 15, 40, 35)
    assert (colour[~(cover > 0)] == 0).all()
    # lighter above than below, with the colour in between
    assert colour[16, 30, 0] > 200 > colour[34, 30, 0]


def test_mirrored_pose_gives_the_mirror_image() -> None:
    for turn in (0.0, 0.3):
        covers = []
        for mirrored in (False, True):
            brush = Brush((60, 60), Pose(30, 50, 40, mirrored, turn * (-1 if mirrored else 1)))
            brush.fill([(-0.3, 0), (0.5, 0.1), (0.1, 1)], (255, 255, 255))
            covers.append(brush.finish()[1])
        # the outline is 114 pixels long and may shift by the third of a pixel that the drawing resolves
        assert np.abs(covers[0] - covers[1][:, ::-1]).sum() < 114 / 3
        assert np.abs(covers[0] - covers[1]).sum() > 200


def test_tint_and_nothing_leave_the_outline_alone() -> None:
    brush = Brush((40, 40), Pose(20, 30, 20))
    assert brush.finish()[1].sum() == 0
    brush.tint(rect(-1, 1, 0, 1), (9, 9, 9))
    assert brush.finish()[1].sum() == 0
    brush.fill(rect(-0.25, 0.25, 0, 1), (200, 0, 0))
    before = brush.finish()[1]
    brush.tint(rect(-1, 1, 0, 0.5), (0, 0, 200))
    colour, cover = brush.finish()
    np.testing.assert_array_equal(cover, before)
    assert colour[15, 20].argmax() == 0
    assert colour[25, 20].argmax() == 2


# ---- objects and boxes


def test_the_classes_are_those_of_pascal_voc() -> None:
    pascal = (
        'aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant'
    )
    assert sorted(OBJECTS) == sorted([*pascal.split(), 'sheep', 'sofa', 'train', 'tvmonitor'])
    assert {name for _, zones in SCENES.values() for name in zones} == set(OBJECTS)


@pytest.mark.parametrize('name', OBJECTS)
@pytest.mark.parametrize('mirrored', [False, True])
def test_a_box_holds_what_an_object_changes_in_the_picture(name: str, mirrored: bool) -> None:
    kind = OBJECTS[name]
    height = min(80, 120 / kind.aspect)
    item = Item(name, Pose(70, 95, height, mirrored), 1.0, seed=5, stand='air')
    image, (found,) = paint(grey(), [item])
    changed = box_of(np.abs(image.astype(int) - 128).max(axis=2) > 40)
    assert np.abs(np.subtract(found.box, changed)).max() <= 2
    assert found.box == box_of(found.mask)
    assert (found.truncated, found.difficult, found.seen) == (False, False, 1.0)
    # as tall and as wide as the layout expects, and on its feet
    x0, y0, x1, y1 = item.box_px()
    assert np.abs(np.subtract(found.box, (x0 + 1, y0 + 1, x1, y1))).max() < 0.15 * max(x1 - x0, y1 - y0)


@pytest.mark.parametrize('name', OBJECTS)
def test_the_look_changes_with_the_seed(name: str) -> None:
    pictures = [paint(grey(), [Item(name, Pose(70, 95, 30), 1.0, seed, 'air')])[0] for seed in (1, 1, 2, 3, 4)]
    assert (pictures[0] == pictures[1]).all()
    assert any((pictures[0] != other).any() for other in pictures[2:])


def test_nearer_objects_cover_and_shrink_the_boxes_of_farther_ones() -> None:
    bus, car = (Item(name, Pose(70, 90, 40, stretch=1.0), depth, 0) for name, depth in (('bus', 1), ('car', 2)))
    car = Item('car', Pose(104, 90, 30), 2.0, 0)
    for items in ([bus, car], [car, bus]):
        found = {o.name: o for o in paint(grey(), items)[1]}
        assert found['car'].seen == 1.0
        assert found['bus'].seen < 1.0
        assert not (found['bus'].mask & found['car'].mask).any()
    alone = paint(grey(), [bus])[1][0]
    assert found['bus'].mask.sum() == pytest.approx(found['bus'].seen * alone.mask.sum())


def test_an_object_behind_another_is_difficult_and_an_invisible_one_has_no_box() -> None:
    def bottle(x: float, depth: float) -> Item:
        return Item('bottle', Pose(x, 80, 60), depth, 0)

    _, (near, far) = paint(grey(), [bottle(70, 2), bottle(75, 1)])
    assert 0 < far.seen < SEEN_SHARE
    assert (near.difficult, far.difficult) == (False, True)
    assert far.box[0] > near.box[0]
    _, (near, hidden) = paint(grey(), [bottle(70, 2), bottle(70, 1)])
    assert (hidden.seen, hidden.box) == (0.0, (0, 0, 0, 0))


@pytest.mark.parametrize(
    ('pose', 'side'), [(Pose(6, 80, 40), 0), (Pose(134, 80, 40), 2), (Pose(70, 20, 40), 1), (Pose(70, 110, 40), 3)]
)
def test_an_object_that_leaves_the_picture_is_truncated_at_its_edge(pose: Pose, side: int) -> None:
    _, (found,) = paint(grey(), [Item('cat', pose, 1.0, 0)])
    assert found.truncated
    assert found.box[side] == (1, 1, 140, 100)[side]


def test_small_objects_are_difficult() -> None:
    for height, difficult in ((12, True), (15, True), (18, False)):
        _, (found,) = paint(grey(), [Item('cat', Pose(70, 80.0, height), 1.0, 0)])
        assert found.difficult is difficult
        assert (max(found.box[2] - found.box[0], found.box[3] - found.box[1]) + 1 < TINY_PX) is difficult


# ---- pictures


@pytest.mark.parametrize('scene', SCENES)
@pytest.mark.parametrize('size_hw', [(192, 256), SIZE_HW, (150, 150)])
def test_every_scene_renders_all_of_its_classes(scene: str, size_hw: tuple[int, int]) -> None:
    names = list(SCENES[scene][1])[:4]
    for number in range(2):
        image, objects = render_picture([3, number], (scene, names), size_hw)
        assert image.shape[:2] in (size_hw, size_hw[::-1])
        assert image.dtype == np.uint8
        assert sorted(o.name for o in objects[:4]) == sorted(names)
        for found in objects:
            assert found.box == box_of(found.mask)
            assert found.mask.shape == image.shape[:2]


def test_a_picture_depends_on_its_key_only() -> None:
    plan = ('street', ['bus', 'car'])
    (a, first), (b, again), (other, _) = (render_picture(key, plan, SIZE_HW) for key in ([0, 1], [0, 1], [0, 4]))
    np.testing.assert_array_equal(a, b)
    assert [o.box for o in first] == [o.box for o in again]
    assert a.shape != other.shape or (a != other).any()


def test_plans_are_balanced_and_possible() -> None:
    for seed in range(3):
        plans = plan_pictures(np.random.default_rng(seed), 120)
        assert all(2 <= len(names) <= 5 and set(names) <= set(SCENES[scene][1]) for scene, names in plans)
        counts = Counter(name for _, names in plans for name in names)
        assert set(counts) == set(OBJECTS)
        assert max(counts.values()) <= min(counts.values()) + 5
    assert plan_pictures(np.random.default_rng(0), 0) == []


# ---- files


def test_writes_every_file_and_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        progress = list(voc_devkit.write_voc_devkit(tmp_path / name, 3, FEW, SIZE_HW))
        assert progress == [(k, 10) for k in range(1, 11)]
    written = {p.relative_to(tmp_path / 'a').as_posix() for p in (tmp_path / 'a').rglob('*') if p.is_file()}
    assert written == set(voc_devkit.file_names(FEW))
    for name in written:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    assert '--seed 3' in (tmp_path / 'a' / 'README.md').read_text()

    lists = {p.stem: p.read_text().split() for p in (tmp_path / 'a/VOC2007/ImageSets/Main').iterdir()}
    assert {part: len(ids) for part, ids in lists.items()} == {'train': 3, 'val': 2, 'trainval': 5, 'test': 2}
    assert lists['trainval'] == sorted(lists['train'] + lists['val'])
    assert sorted(lists['trainval'] + lists['test']) == [f'{k:06d}' for k in range(1, 8)]
    assert set(voc_devkit.file_names({('2012', 'val'): 1})) == {
        *(f'VOC2012/{name}' for name in ('JPEGImages/2009_000001.jpg', 'Annotations/2009_000001.xml')),
        'VOC2012/ImageSets/Main/val.txt',
        'README.md',
    }


def test_xml_states_the_rendered_objects(tmp_path: Path) -> None:
    list(voc_devkit.write_voc_devkit(tmp_path, 0, {('2012', 'val'): 2}, SIZE_HW))
    (plan, _) = voc_devkit.plans_of({('2012', 'val'): 2}, 0)['2012', 'val']
    picture, objects = voc_devkit.render(0, '2012', '2009_000001', plan, SIZE_HW)
    assert read_objects(tmp_path / 'VOC2012/Annotations/2009_000001.xml') == [
        (found.name, found.box, found.truncated, found.difficult) for found in objects
    ]
    stored = np.asarray(Image.open(tmp_path / 'VOC2012/JPEGImages/2009_000001.jpg')).astype(int)
    assert np.abs(stored - picture).mean() < 6
    text = (tmp_path / 'VOC2012/Annotations/2009_000001.xml').read_text()
    assert text.startswith('<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>2009_000001.jpg</filename>\n')
    order = ('<size>', '<segmented>0</segmented>', '<object>', '<name>', '<pose>', '<truncated>', '<difficult>')
    places = [text.index(tag) for tag in (*order, '<bndbox>', '<xmin>', '<ymin>', '<xmax>', '<ymax>')]
    assert places == sorted(places)


def test_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    foreign = tmp_path / 'VOC2007/JPEGImages/holiday.jpg'
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'holiday\.jpg does not belong to this sample'):
        next(voc_devkit.write_voc_devkit(tmp_path, 0, FEW))


# ---- the committed files


@pytest.fixture(scope='module')
def sample(root: Path) -> Path:
    return root / 'data' / 'samples' / 'VOCdevkit'


def ids_in(sample: Path, year: str, part: str) -> list[str]:
    return (sample / f'VOC{year}/ImageSets/Main/{part}.txt').read_text().split()


def objects_in(sample: Path, year: str, part: str) -> list[tuple[str, tuple[int, ...], bool, bool]]:
    return [
        found
        for stem in ids_in(sample, year, part)
        for found in read_objects(sample / f'VOC{year}/Annotations/{stem}.xml')
    ]


def test_committed_sample_is_whole_and_small(sample: Path) -> None:
    files = [p for p in sample.rglob('*') if p.is_file()]
    assert {p.relative_to(sample).as_posix() for p in files} == set(voc_devkit.file_names())
    assert sum(p.stat().st_size for p in files) < 3_000_000
    for key, ids in voc_devkit.image_ids(voc_devkit.COUNTS, 0).items():
        assert ids_in(sample, *key) == ids


def test_committed_boxes_lie_inside_their_pictures_and_no_picture_is_there_twice(sample: Path) -> None:
    pixels = set()
    for year, part in voc_devkit.COUNTS:
        for stem in ids_in(sample, year, part):
            image = Image.open(sample / f'VOC{year}/JPEGImages/{stem}.jpg').convert('RGB')
            pixels.add(image.tobytes())
            xml = sample / f'VOC{year}/Annotations/{stem}.xml'
            size = ET.parse(xml).find('size')
            assert [int(size.findtext(tag)) for tag in ('width', 'height', 'depth')] == [*image.size, 3]
            for _, (x0, y0, x1, y1), truncated, difficult in read_objects(xml):
                assert 1 <= x0 < x1 <= image.width
                assert 1 <= y0 < y1 <= image.height
                assert difficult or max(x1 - x0, y1 - y0) + 1 >= TINY_PX
                if truncated and not difficult:
                    assert x0 == 1 or y0 == 1 or x1 == image.width or y1 == image.height
    assert len(pixels) == sum(voc_devkit.COUNTS.values())


@pytest.mark.parametrize(('year', 'part', 'least'), [('2007', 'trainval', 25), ('2007', 'test', 8), ('2012', 'val', 4)])
def test_committed_parts_hold_every_class_and_every_kind_of_trouble(sample: Path, year, part, least) -> None:
    objects = objects_in(sample, year, part)
    clear = Counter(name for name, _, _, difficult in objects if not difficult)
    assert set(clear) == set(OBJECTS)
    assert min(clear.values()) >= least
    longer = [max(x1 - x0, y1 - y0) + 1 for _, (x0, y0, x1, y1), _, _ in objects]
    difficult = [found[3] for found in objects]
    assert 0.02 < np.mean(difficult) < 0.12
    assert 0.05 < np.mean([found[2] for found in objects]) < 0.2
    assert any(side < TINY_PX for side in longer)
    # some are difficult because they are covered
    assert any(hard and side >= TINY_PX for hard, side in zip(difficult, longer, strict=True))
    assert 35 < np.quantile(longer, 0.1) < np.quantile(longer, 0.9) < 160


@pytest.mark.parametrize('part', list(voc_devkit.COUNTS))
def test_committed_pictures_are_what_the_tool_renders(sample: Path, part: tuple[str, str]) -> None:
    year, stems = part[0], ids_in(sample, *part)
    plans = voc_devkit.plans_of(voc_devkit.COUNTS, 0)[part]
    for k in (0, len(stems) - 1):
        picture, objects = voc_devkit.render(0, year, stems[k], plans[k])
        stored = np.asarray(Image.open(sample / f'VOC{year}/JPEGImages/{stems[k]}.jpg')).astype(int)
        assert np.abs(stored - picture).mean() < 6
        written = read_objects(sample / f'VOC{year}/Annotations/{stems[k]}.xml')
        assert [found.name for found in objects] == [name for name, *_ in written]
        for found, (_, box, truncated, difficult) in zip(objects, written, strict=True):
            assert np.abs(np.subtract(found.box, box)).max() <= 1
            assert (found.truncated, found.difficult) == (truncated, difficult)
