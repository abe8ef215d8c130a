from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CROP = (slice(100, 164), slice(300, 396))


def build(root: Path, **kwargs):
    from mmext.segmentation.datasets import KITTISegDataset

    settings = dict(
        data_root=str(root),
        data_prefix=dict(img_path='training/image_2', seg_map_path='training/semantic'),
        label_encoding='label_ids',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    return KITTISegDataset(**{**settings, **kwargs})


@pytest.fixture
def raw(tmp_path: Path, sample: Path) -> Path:
    """Two small frames in the raw layout, cut from the embedded sample."""
    for folder in ('image_2', 'semantic'):
        target = tmp_path / 'training' / folder
        target.mkdir(parents=True)
        for source in sorted((sample / 'training' / folder).glob('*.png'))[:2]:
            with Image.open(source) as image:
                values = np.asarray(image.convert('RGB') if folder == 'image_2' else image)[CROP]
            Image.fromarray(values).save(target / source.name)
    return tmp_path


def test_labels_are_train_ids_of_the_stored_ids(raw):
    from mmext.segmentation.datasets.label_maps import LABELS

    dataset = build(raw)
    stored = np.asarray(Image.open(raw / 'training/semantic/000001_10.png'))
    table = {label.id: label.train_id for label in LABELS}
    expected = np.vectorize(table.get)(stored)
    np.testing.assert_array_equal(dataset[1]['gt_seg_map'], expected)
    assert len(dataset) == 2


def test_subset_of_the_classes_is_composed_with_the_encoding(raw):
    dataset = build(raw, metainfo=dict(classes=('sky', 'road')))
    stored = np.asarray(Image.open(raw / 'training/semantic/000000_10.png'))
    expected = np.full_like(stored, 255)
    expected[stored == 23] = 0
    expected[stored == 7] = 1
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert dataset.metainfo['palette'] == [[128, 64, 128], [70, 130, 180]] or dataset.metainfo['palette'] == [
        [70, 130, 180],
        [128, 64, 128],
    ]


def test_split_list_selects_frames(raw):
    (raw / 'val.txt').write_text('000001_10\n')
    dataset = build(raw, ann_file='val.txt')
    assert [Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))] == ['000001_10.png']


def test_sample_reads_as_declared(sample):
    train, val = (build(sample, ann_file=f'{part}.txt') for part in ('train', 'val'))
    assert (len(train), len(val)) == (24, 8)
    assert train.metainfo['classes'][13] == 'car'
    assert train[0]['gt_seg_map'].shape == (375, 1242)


def test_faulty_mask_stops_before_training(raw):
    from mmext.segmentation.datasets import MaskError

    (raw / 'training/semantic/000001_10.png').unlink()
    with pytest.raises(MaskError, match=r'000001_10\.png: mask is missing'):
        build(raw)


def test_wrong_encoding_names_the_right_one(raw):
    from mmext.segmentation.datasets import MaskError

    with pytest.raises(MaskError, match="label_encoding='label_ids'"):
        build(raw, label_encoding='train_ids')


def test_images_without_masks_can_be_tested(raw):
    dataset = build(raw, data_prefix=dict(img_path='training/image_2'), pipeline=[dict(type='LoadImageFromFile')])
    assert dataset[0]['img'].shape == (64, 96, 3)


def test_empty_folder_is_an_error(raw):
    (raw / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'empty: no \*\.png image found'):
        build(raw, data_prefix=dict(img_path='empty', seg_map_path='empty'))


def test_unknown_encoding_is_an_error(raw):
    with pytest.raises(ValueError, match="label_encoding='colors'"):
        build(raw, label_encoding='colors')


def test_registry_builds_it(raw):
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(
        dict(
            type='KITTISegDataset',
            data_root=str(raw),
            data_prefix=dict(img_path='training/image_2', seg_map_path='training/semantic'),
            label_encoding='label_ids',
        )
    )
    assert len(dataset) == 2
