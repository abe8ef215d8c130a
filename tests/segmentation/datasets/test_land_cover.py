from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples.land_cover import COLOURS, write_tiles
from mmext.segmentation.datasets.label_encoding import MaskError, write_mask
from mmext.segmentation.datasets.land_cover import CLASSES, COLORS, LandCoverDataset


def build(root: Path, **kwargs):
    settings = dict(
        data_root=str(root),
        data_prefix=dict(img_path='', seg_map_path=''),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    return LandCoverDataset(**{**settings, **kwargs})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three prepared tiles of 24 x 40."""
    for index, labels in enumerate(write_tiles(tmp_path, range(3), (24, 40))):
        write_mask(tmp_path / f'{index:04d}_mask.png', labels)
    return tmp_path


def test_reads_pictures_and_class_indices(folder):
    dataset = build(folder)
    assert len(dataset) == 3
    item = dataset[1]
    assert Path(item['img_path']).name == '0001_sat.jpg'
    assert item['img'].shape == (24, 40, 3)
    np.testing.assert_array_equal(item['gt_seg_map'], np.asarray(Image.open(folder / '0001_mask.png')))
    assert set(np.unique(item['gt_seg_map'])) == set(range(7))


def test_classes_and_colours_are_those_of_the_report():
    assert CLASSES == ('urban', 'agriculture', 'rangeland', 'forest', 'water', 'barren', 'unknown')
    # The course's evaluation cuts each channel at 128 and reads red, green and blue as bits 4, 2 and 1.
    codes = [4 * (red >= 128) + 2 * (green >= 128) + (blue >= 128) for red, green, blue in COLORS.values()]
    assert codes == [3, 6, 5, 2, 1, 7, 0]
    assert {name: colour for name, (colour, _) in COLOURS.items()} == COLORS


def test_list_of_ids_selects_pictures(folder):
    (folder / 'val.txt').write_text('0002\n0000\n')
    names = [Path(info['img_path']).name for info in map(build(folder, ann_file='val.txt').get_data_info, range(2))]
    assert names == ['0002_sat.jpg', '0000_sat.jpg']


def test_subset_of_the_classes(folder):
    dataset = build(folder, metainfo=dict(classes=('water', 'forest')))
    stored = np.asarray(Image.open(folder / '0000_mask.png'))
    expected = np.full_like(stored, 255)
    expected[stored == 4], expected[stored == 3] = 0, 1
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert dataset.metainfo['palette'] == [[0, 0, 255], [0, 255, 0]]


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.full((24, 40, 3), 255, np.uint8), r'mask has three channels .*land_cover\.py converts colours'),
        (np.full((24, 40), 7, np.uint8), r'value 7 at 960 pixels \(1 such values\) is no class index'),
        (np.zeros((24, 39), np.uint8), 'mask is 24 x 39, its image is 24 x 40'),
    ],
)
def test_faulty_masks_stop_before_training(folder, mask, message):
    Image.fromarray(mask).save(folder / '0001_mask.png')
    with pytest.raises(MaskError, match=rf'0001_mask\.png: {message}'):
        build(folder)
    assert len(build(folder, check_masks=False)) == 3


def test_all_faulty_masks_are_counted(folder):
    for name in ('0000', '0002'):
        (folder / f'{name}_mask.png').unlink()
    with pytest.raises(MaskError, match=r'0000_mask\.png: mask is missing \(2 of 3 masks are faulty\)'):
        build(folder)


def test_unreadable_picture_is_named(folder):
    (folder / '0001_sat.jpg').write_text('not a picture')
    with pytest.raises(MaskError, match=r'0001_sat\.jpg: image cannot be read'):
        build(folder)


def test_ignored_pixels_are_allowed(folder):
    write_mask(folder / '0000_mask.png', np.full((24, 40), 255, np.uint8))
    assert len(build(folder)) == 3


def test_pictures_without_masks_can_be_tested(folder):
    dataset = build(folder, data_prefix=dict(img_path=''), pipeline=[dict(type='LoadImageFromFile')])
    assert dataset[0]['img'].shape == (24, 40, 3)


def test_empty_folder_is_an_error(folder):
    (folder / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'empty: no \*_sat\.jpg picture found'):
        build(folder, data_prefix=dict(img_path='empty', seg_map_path='empty'))


def test_registry_builds_it(folder):
    from mmseg.registry import DATASETS

    assert len(DATASETS.build(dict(type='LandCoverDataset', data_prefix=dict(img_path=str(folder))))) == 3
