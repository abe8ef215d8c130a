from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from PIL import Image

from mmext.common.class_balance import ClassStatistics
from mmext.segmentation.datasets.class_statistics import (
    MaskCounts,
    count_classes,
    hash_file_list,
    masks_of_config,
    masks_of_folder,
    tabulate,
)
from mmext.segmentation.datasets.label_encoding import MaskError
from mmext.segmentation.datasets.label_maps import CLASSES, LABELS, TRAIN_ID_TO_LABEL_ID, to_colors


def save(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(mask, dtype=np.uint8)).save(path)
    return path


def train_id_masks():
    rng = np.random.default_rng(0)
    masks = [rng.choice([0, 1, 8, 10, 13, 255], size) for size in ((12, 40), (9, 31), (12, 40))]
    masks[1][masks[1] == 13] = 18
    return [mask.astype(np.uint8) for mask in masks]


def plain_count(masks, num_classes=19, ignore_index=255):
    pixels = tuple(sum(int((mask == c).sum()) for mask in masks) for c in range(num_classes))
    images = tuple(sum(bool((mask == c).any()) for mask in masks) for c in range(num_classes))
    image_pixels = tuple(sum(mask.size for mask in masks if (mask == c).any()) for c in range(num_classes))
    return pixels, images, image_pixels, sum(int((mask == ignore_index).sum()) for mask in masks)


def columns(statistics):
    return statistics.pixels, statistics.images, statistics.image_pixels, statistics.ignored_pixels


ENCODERS = {'train_ids': lambda mask: mask, 'label_ids': lambda mask: TRAIN_ID_TO_LABEL_ID[mask], 'colors': to_colors}


@pytest.mark.parametrize('encoding', ENCODERS)
@pytest.mark.parametrize('workers', [1, 2])
def test_folder_in_every_encoding_equals_a_plain_count(tmp_path, encoding, workers):
    masks = train_id_masks()
    for index, mask in enumerate(masks):
        save(tmp_path / f'drive{index % 2}' / f'{index}.png', ENCODERS[encoding](mask))
    statistics, found = count_classes(masks_of_folder(tmp_path), workers)
    assert found == encoding
    assert columns(statistics) == plain_count(masks)
    assert statistics.names == CLASSES
    assert statistics.num_files == 3


def test_labels_that_share_a_meaning_are_one_class_of_one_image(tmp_path):
    # Several label ids are ignored together; parking is not road.
    save(tmp_path / 'a.png', [[0, 1, 9, 7], [23, 23, 34 - 1, 18]])
    statistics, encoding = count_classes(masks_of_folder(tmp_path))
    assert encoding == 'label_ids'
    assert (statistics.pixels[0], statistics.pixels[10], statistics.pixels[18]) == (1, 2, 1)
    assert statistics.ignored_pixels == 4
    assert set(statistics.image_pixels) == {0, 8}


def test_one_decisive_mask_settles_the_folder(tmp_path):
    # Values 7 and 8 alone could be road and sidewalk, or traffic sign and vegetation.
    save(tmp_path / 'a.png', [[7, 7, 8]])
    save(tmp_path / 'b.png', [[26, 7, 0]])
    statistics, encoding = count_classes(masks_of_folder(tmp_path))
    assert encoding == 'label_ids'
    assert (statistics.pixels[0], statistics.pixels[1], statistics.pixels[13]) == (3, 1, 1)


def test_mixed_encodings_are_refused(tmp_path):
    save(tmp_path / 'a.png', [[255, 7]])
    save(tmp_path / 'b.png', [[26, 7]])
    with pytest.raises(MaskError, match=r'(?s)a\.png: train_ids.*b\.png: label_ids'):
        count_classes(masks_of_folder(tmp_path))


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        ([[255, 0, 19, 19]], r'bad\.png: value 19 at 2 pixels'),
        ([[26, 7, 40]], r'bad\.png: value 40 at 1 pixels'),
        ([[[1, 2, 3]]], r'bad\.png: colour #010203 at 1 pixels'),
    ],
)
def test_values_outside_the_table(tmp_path, mask, message):
    save(tmp_path / 'bad.png', mask)
    with pytest.raises(MaskError, match=message):
        count_classes(masks_of_folder(tmp_path))


def test_unreadable_mask(tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'\x89PNG\r\n')
    with pytest.raises(MaskError, match=r'bad\.png: mask cannot be read'):
        count_classes(masks_of_folder(tmp_path))


def test_own_classes_and_ignore_index(tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('water\nforest\n\nurban land\n')
    save(tmp_path / 'masks' / 'a.png', [[0, 1, 1, 2, 7]])
    statistics, encoding = count_classes(masks_of_folder(tmp_path / 'masks', str(names), ignore_index=7))
    assert encoding == 'class indices'
    assert statistics.names == ('water', 'forest', 'urban land')
    assert columns(statistics) == ((1, 2, 1), (1, 1, 1), (5, 5, 5), 1)
    with pytest.raises(MaskError, match=r'a\.png: value 7 at 1 pixels is neither a class \(0\.\.2\)'):
        count_classes(masks_of_folder(tmp_path / 'masks', str(names)))


def test_folder_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no \*\.png below it'):
        masks_of_folder(tmp_path)
    save(tmp_path / 'a_labelIds.png', [[26]])
    save(tmp_path / 'a_color.png', [[[0, 0, 142]]])
    assert len(masks_of_folder(tmp_path, pattern='*_labelIds.png').files) == 1
    with pytest.raises(FileNotFoundError, match=r'names\.txt: no such file'):
        masks_of_folder(tmp_path, str(tmp_path / 'names.txt'))
    with pytest.raises(ValueError, match='ignore index 7'):
        masks_of_folder(tmp_path, ignore_index=7)
    (tmp_path / 'names.txt').write_text('a\na\n')
    with pytest.raises(ValueError, match='2 names, 1 different'):
        masks_of_folder(tmp_path, str(tmp_path / 'names.txt'))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 9]), min_size=1, max_size=12), min_size=1, max_size=5))
def test_tabulate_equals_a_plain_count(rows):
    masks = [np.array(row) for row in rows]
    counts = [
        MaskCounts(f'{i}', {int(v): int((mask == v).sum()) for v in np.unique(mask)}) for i, mask in enumerate(masks)
    ]
    statistics = tabulate(counts, 'abc', ignore_index=9)
    assert columns(statistics) == plain_count(masks, 3, 9)
    assert columns(tabulate(counts[::-1], 'abc', ignore_index=9)) == columns(statistics)
    assert statistics.files_sha256 == tabulate(counts[::-1], 'abc', ignore_index=9).files_sha256


def test_nothing_to_count():
    assert tabulate([], 'ab') == ClassStatistics(('a', 'b'), (0, 0), (0, 0), (0, 0), 0, 0, hash_file_list([]))


def test_hash_tells_the_files_and_not_their_place():
    assert hash_file_list(['/a/x/1.png', '/a/y/2.png']) == hash_file_list(['/b/c/y/2.png', '/b/c/x/1.png'])
    assert hash_file_list(['/a/x/1.png', '/a/y/2.png']) != hash_file_list(['/a/x/1.png', '/a/y/3.png'])


# Data sets from configs


@pytest.fixture
def dataset_cfg(tmp_path):
    masks = train_id_masks()
    for index, mask in enumerate(masks):
        save(tmp_path / 'img' / f'{index}.png', np.zeros((*mask.shape, 3)))
        save(tmp_path / 'ann' / f'{index}.png', mask)
    return {
        'type': 'BaseSegDataset',
        'data_root': str(tmp_path),
        'data_prefix': {'img_path': 'img', 'seg_map_path': 'ann'},
        'img_suffix': '.png',
        'metainfo': {'classes': CLASSES, 'palette': [list(label.color) for label in LABELS if label.is_evaluated]},
        'pipeline': [
            {'type': 'LoadImageFromFile'},
            {'type': 'LoadAnnotations'},
            {'type': 'RandomCrop', 'crop_size': (4, 4)},
            {'type': 'PackSegInputs'},
        ],
    }


def config_of(dataset, split='train'):
    return Config({f'{split}_dataloader': {'batch_size': 1, 'num_workers': 0, 'dataset': dataset}})


def test_config_reads_masks_only(dataset_cfg, tmp_path):
    for image in (tmp_path / 'img').iterdir():
        image.write_bytes(b'')
    source = masks_of_config(config_of(dataset_cfg))
    statistics, _ = count_classes(source)
    assert columns(statistics) == plain_count(train_id_masks())
    assert source.palette[0] == (128, 64, 128)
    assert [Path(file).name for file in source.files] == ['0.png', '1.png', '2.png']
    folder, _ = count_classes(masks_of_folder(tmp_path / 'ann'))
    assert folder == statistics


def test_config_looks_through_wrappers(dataset_cfg):
    wrapped = {
        'type': 'RepeatDataset',
        'times': 500,
        'dataset': {'type': 'ConcatDataset', 'datasets': [dataset_cfg, dataset_cfg]},
    }
    statistics, _ = count_classes(masks_of_config(config_of(wrapped)))
    assert columns(statistics) == plain_count(train_id_masks() * 2)


def test_config_applies_the_label_map_of_the_data_set(dataset_cfg):
    subset = {'type': 'CityscapesDataset', 'metainfo': {'classes': ('sky', 'road')}, 'seg_map_suffix': '.png'}
    statistics, _ = count_classes(masks_of_config(config_of({**dataset_cfg, **subset})))
    road, sky = (sum(int((mask == c).sum()) for mask in train_id_masks()) for c in (0, 10))
    assert statistics.names == ('sky', 'road')
    assert statistics.pixels == (sky, road)


def test_config_of_raw_kitti_layout(tmp_path):
    masks = train_id_masks()
    for index, mask in enumerate(masks):
        save(tmp_path / 'training' / 'image_2' / f'{index}.png', np.zeros((*mask.shape, 3)))
        save(tmp_path / 'training' / 'semantic' / f'{index}.png', TRAIN_ID_TO_LABEL_ID[mask])
    dataset = {
        'type': 'KITTISegDataset',
        'label_encoding': 'label_ids',
        'data_root': str(tmp_path),
        'data_prefix': {'img_path': 'training/image_2', 'seg_map_path': 'training/semantic'},
        'pipeline': [{'type': 'LoadAnnotations'}],
    }
    statistics, _ = count_classes(masks_of_config(config_of(dataset, 'val'), 'val'))
    assert columns(statistics) == plain_count(masks)


def test_config_errors(dataset_cfg, tmp_path):
    with pytest.raises(ValueError, match='no val_dataloader; choose another --split'):
        masks_of_config(config_of(dataset_cfg), 'val')
    with pytest.raises(ValueError, match='no transform named like LoadAnnotations'):
        masks_of_config(config_of({**dataset_cfg, 'pipeline': []}))
    with pytest.raises(ValueError, match='images without a mask'):
        masks_of_config(config_of({**dataset_cfg, 'data_prefix': {'img_path': 'img'}}))
    other = {**dataset_cfg, 'metainfo': {'classes': ('a', 'b')}}
    with pytest.raises(ValueError, match='different classes'):
        masks_of_config(config_of({'type': 'ConcatDataset', 'datasets': [dataset_cfg, other]}))
    save(tmp_path / 'ann' / '1.png', np.zeros((2, 3, 3)))
    with pytest.raises(MaskError, match=r'1\.png: mask has shape \(2, 3, 3\), expected \(H, W\)'):
        count_classes(masks_of_config(config_of(dataset_cfg)))
    save(tmp_path / 'ann' / '1.png', [[0, 77], [0, 0]])
    with pytest.raises(MaskError, match=r'1\.png: value 77 at 1 pixels'):
        count_classes(masks_of_config(config_of(dataset_cfg)))
    (tmp_path / 'ann' / '1.png').unlink()
    with pytest.raises(MaskError, match=r'1\.png: mask is missing'):
        count_classes(masks_of_config(config_of(dataset_cfg)))
