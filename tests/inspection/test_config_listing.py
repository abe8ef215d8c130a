"""Listings of configs, with data sets of all three toolboxes on broken files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmext.inspection.listing import Listing, read_listing
from mmext.inspection.scan import inspect

Clean = Callable[[str], Path]
SAMPLES = {
    'configs/quickstart.py': ('segmentation', {'train': 24, 'val': 8}, 19, 'label_ids'),
    'configs/detection/faster_rcnn/faster-rcnn_r18-fpn_1xb8-16e-b4-4e_sample-192x256.py': (
        'detection',
        {'train': 168, 'val': 56, 'test': 34},
        20,
        '',
    ),
    'configs/classification/vit/vit-tiny-p4_1xb32-80e_sample-32x32.py': (
        'classification',
        {'train': 500, 'val': 200},
        100,
        '',
    ),
}


def listing_of(scope: str, module: str, **datasets: dict) -> Listing:
    __import__(module)
    loaders = {f'{name}_dataloader': {'dataset': dataset} for name, dataset in datasets.items()}
    return read_listing(Config({'default_scope': scope, **loaders}))


@pytest.mark.parametrize('config', SAMPLES)
def test_the_samples_have_no_errors_and_no_warnings(in_root: Path, config: str) -> None:
    task, sizes, classes, encoding = SAMPLES[config]
    listing = read_listing(config)
    assert (listing.task, listing.encoding, len(listing.classes)) == (task, encoding, classes)
    assert {name: len(found) for name, found in listing.splits.items()} == sizes
    passport = inspect(listing)
    assert [found for found in passport.findings if found.level != 'note'] == []
    assert all(sum(summary.class_images) for summary in passport.splits.values())


@pytest.mark.parametrize('folder', ['VOCdevkit', 'cifar100', 'kitti_seg', 'land_cover', 'pets'])
def test_the_sample_folders_have_no_errors_and_no_warnings(in_root: Path, folder: str) -> None:
    passport = inspect(read_listing(f'data/samples/{folder}'))
    assert [found for found in passport.findings if found.level != 'note'] == []
    kinds = {found.kind for found in passport.findings}
    assert kinds == {'VOCdevkit': {'box-tiny'}, 'land_cover': {'color-masks'}, 'pets': {'unlabelled'}}.get(
        folder, set()
    )


def test_config_and_folder_agree(in_root: Path) -> None:
    config, folder = (inspect(read_listing(name)) for name in ('configs/quickstart.py', 'data/samples/kitti_seg'))
    assert config.content_hash == folder.content_hash
    assert config.classes == folder.classes
    for split in ('train', 'val'):
        assert config.splits[split] == folder.splits[split]


def kitti(root: Path, split: str, **more) -> dict:
    prefix = dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}')
    return dict(
        type='KITTISegDataset', data_root=str(root), data_prefix=prefix, pipeline=[dict(type='Nonsense')], **more
    )


def test_broken_masks_do_not_stop_a_listing(clean: Clean) -> None:
    root = clean('segmentation')
    (root / 'labels' / 'train' / '00.png').write_bytes(b'')
    (root / 'labels' / 'train' / '01.png').unlink()
    (root / 'images' / 'train' / '02.png').rename(root / 'images' / 'train' / '02.jpg')
    listing = listing_of('mmseg', 'mmext.segmentation', train=kitti(root, 'train'), val=kitti(root, 'val'))
    assert {name: len(found) for name, found in listing.splits.items()} == {'train': 11, 'val': 4}
    assert listing.spare_annotations == [root / 'labels' / 'train' / '02.png']
    assert listing.values == {**{index: index for index in range(19)}, 255: 255}
    assert listing.roots == [root, root]
    kinds = {found.kind for found in inspect(listing).findings}
    assert kinds >= {'unreadable', 'missing-annotation', 'spare-annotation'}


def test_masks_of_a_list_are_not_spare(clean: Clean) -> None:
    root = clean('segmentation')
    (root / 'half.txt').write_text('\n'.join(f'{number:02}' for number in range(6)))
    listing = listing_of('mmseg', 'mmext.segmentation', train=kitti(root, 'train', ann_file='half.txt'))
    assert len(listing.splits['train']) == 6
    assert listing.spare_annotations == []


def test_subsets_of_classes_and_label_ids(clean: Clean) -> None:
    root = clean('segmentation')
    subset = dict(metainfo=dict(classes=['car', 'road']))
    listing = listing_of('mmseg', 'mmext.segmentation', train=kitti(root, 'train', **subset))
    assert listing.classes == ['car', 'road']
    assert {value: label for value, label in listing.values.items() if label != 255} == {0: 1, 13: 0}
    ids = kitti(root, 'train', label_encoding='label_ids')
    listing = listing_of('mmseg', 'mmext.segmentation', train=ids)
    assert (listing.values[7], listing.values[26], listing.values[0], 255 in listing.values) == (0, 13, 255, False)


def test_zero_labels_are_reduced(clean: Clean) -> None:
    metainfo = dict(classes=['a', 'b'])
    dataset = {**kitti(clean('segmentation'), 'train'), 'type': 'BaseSegDataset', 'img_suffix': '.png'}
    dataset |= {'reduce_zero_label': True, 'metainfo': metainfo}
    listing = listing_of('mmseg', 'mmext.segmentation', train=dataset)
    assert listing.values == {0: 255, 1: 0, 2: 1, 255: 255}


def test_wrappers_and_a_test_split_like_val(clean: Clean) -> None:
    root = clean('segmentation')
    val = kitti(root, 'val')
    wrapped = dict(
        type='RepeatDataset', times=3, dataset=dict(type='ConcatDataset', datasets=[kitti(root, 'train'), val])
    )
    listing = listing_of('mmseg', 'mmext.segmentation', train=wrapped, val=val, test={**val, 'pipeline': []})
    assert {name: len(found) for name, found in listing.splits.items()} == {'train': 16, 'val': 4}
    first_three = listing_of('mmseg', 'mmext.segmentation', train={**val, 'indices': 3})
    assert len(first_three.splits['train']) == 3


def test_data_that_are_not_there(tmp_path: Path) -> None:
    listing = listing_of('mmseg', 'mmext.segmentation', train=kitti(tmp_path / 'none', 'train'))
    assert [(fault.kind, fault.split) for fault in listing.faults] == [('unlistable', 'train')]
    assert [found.kind for found in inspect(listing).findings] == ['unlistable']
    listing = listing_of(
        'mmpretrain', 'mmext.classification', train=dict(type='CheckedCIFAR100', data_root=str(tmp_path))
    )
    assert 'MD5' in listing.faults[0].details[0]


def test_broken_annotations_of_voc(in_root: Path, tmp_path: Path) -> None:
    root = tmp_path / 'VOCdevkit'
    shutil.copytree('data/samples/VOCdevkit/VOC2012', root / 'VOC2012')
    xmls = sorted((root / 'VOC2012' / 'Annotations').glob('*.xml'))
    stems = (root / 'VOC2012' / 'ImageSets' / 'Main' / 'val.txt').read_text().split()
    broken = next(path for path in xmls if path.stem in stems)
    broken.write_text('<annotation>')
    dataset = dict(type='VOC0712SplitDataset', data_root=str(root), part='test')
    listing = listing_of('mmdet', 'mmext.detection', test=dataset)
    assert len(listing.splits['test']) == len(stems)
    (finding,) = (found for found in inspect(listing).findings if found.level == 'error')
    assert (finding.kind, finding.files) == ('unreadable', [str(broken)])
    upstream = dict(
        type='VOCDataset',
        data_root=str(root),
        ann_file='VOC2012/ImageSets/Main/val.txt',
        data_prefix=dict(sub_data_root='VOC2012/'),
    )
    assert listing_of('mmdet', 'mmext.detection', test=upstream).splits['test'] == listing.splits['test']


def names(root: Path, prefix: str, **more) -> dict:
    return dict(type='FileNameLabelDataset', data_root=str(root), data_prefix=prefix, **more)


def test_splits_that_number_their_classes_differently(tmp_path: Path) -> None:
    for name in ('train/cat.1.jpg', 'train/dog.1.jpg', 'val/dog.2.jpg', 'val/x.jpg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    both = dict(train=names(tmp_path, 'train'), val=names(tmp_path, 'val'))
    listing = listing_of('mmpretrain', 'mmext.classification', **both)
    assert [(fault.kind, fault.split) for fault in listing.faults] == [('class-numbering', 'val'), ('no-label', 'val')]
    assert listing.faults[0].details == ["index 0 is 'dog' in val, 'cat' in train"]
    given = {name: {**dataset, 'classes': ['dog', 'fish']} for name, dataset in both.items()}
    listing = listing_of('mmpretrain', 'mmext.classification', **given)
    assert [(fault.kind, fault.split) for fault in listing.faults] == [('unknown-class', 'train'), ('no-label', 'val')]


def test_upstream_datasets_by_their_entries(clean: Clean) -> None:
    root = clean('classification')
    dataset = dict(type='CustomDataset', data_root=str(root), data_prefix='train')
    listing = listing_of('mmpretrain', 'mmext.classification', train=dataset)
    assert listing.classes == ['bird', 'cat', 'dog']
    assert [one.label for one in listing.splits['train']] == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize(('stored', 'declared'), [('label_ids', 'train_ids'), ('train_ids', 'label_ids')])
def test_an_encoding_that_the_config_does_not_mean(clean: Clean, stored: str, declared: str) -> None:
    """Ids where trainIds are declared, and trainIds without any 255, which all are ids too, where ids are."""
    root = clean('segmentation')
    values = np.array({'label_ids': [7, 11, 21, 26], 'train_ids': [0, 1, 2, 8]}[stored], dtype=np.uint8)
    for path in (root / 'labels').rglob('*.png'):
        Image.fromarray(np.resize(values, (40, 60))).save(path)
    for encoding in (stored, declared):
        dataset = kitti(root, 'train', label_encoding=encoding)
        passport = inspect(listing_of('mmseg', 'mmext.segmentation', train=dataset))
        found = {finding.kind: finding.count for finding in passport.findings if finding.level != 'note'}
        assert found == ({} if encoding == stored else {'wrong-encoding': 12})


def test_masks_of_0_and_255(clean: Clean) -> None:
    root = clean('segmentation')
    for number, path in enumerate((root / 'labels').rglob('*.png')):
        Image.fromarray(np.resize(np.array([0, 0, 255, number and 255], dtype=np.uint8), (40, 60))).save(path)
    dataset = {**kitti(root, 'train'), 'type': 'BaseSegDataset', 'img_suffix': '.png'}
    for classes, kinds in ((['back', 'front'], {'binary-255': 12}), (['all'], {})):
        listing = listing_of('mmseg', 'mmext.segmentation', train={**dataset, 'metainfo': dict(classes=classes)})
        assert {found.kind: found.count for found in inspect(listing).findings if found.level != 'note'} == kinds
