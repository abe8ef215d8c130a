"""Listings of folders of many layouts; `test_config_listing` has those of configs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmext.inspection.listing import list_samples, read_listing
from mmext.inspection.passport import PassportError

Clean = Callable[[str], Path]


def touch(root: Path, *names: str) -> Path:
    """Files without content: a listing opens none of them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(root: Path, splits: dict) -> dict[str, list[tuple[str, str | None]]]:
    return {
        name: [
            (str(one.image.relative_to(root)), one.annotation and str(one.annotation.relative_to(root)))
            for one in samples
        ]
        for name, samples in splits.items()
    }


@pytest.mark.parametrize(
    ('image', 'mask'),
    [
        ('images/train/a.jpg', 'masks/train/a.png'),
        ('train/images/a.jpg', 'train/labels/a.png'),
        ('img_dir/train/a.png', 'ann_dir/train/a.png'),
        ('train/a.jpg', 'train/annotations/a.png'),
        ('train/a_sat.jpg', 'train/a_mask.png'),
        ('training/image_2/a.png', 'training/semantic/a.png'),
        ('leftImg8bit/train/ulm/a_leftImg8bit.png', 'gtFine/train/ulm/a_gtFine_labelTrainIds.png'),
        ('Images/train/deep/er/a.tif', 'Masks/train/deep/er/a_mask.tif'),
    ],
)
def test_layouts_of_pictures_and_masks(tmp_path: Path, image: str, mask: str) -> None:
    moved = [Path(name.replace('training', 'validation').replace('train/', 'val/')) for name in (image, mask)]
    others = [path.with_name('b' + path.name[1:]).as_posix() for path in moved]
    listing = read_listing(touch(tmp_path, image, mask, *others))
    assert listing.task == 'segmentation'
    assert pairs(tmp_path, listing.splits) == {'train': [(image, mask)], 'val': [tuple(others)]}
    assert listing.spare_annotations == []


def test_colour_renderings_are_no_masks(tmp_path: Path) -> None:
    folder = 'gtFine/train/ulm'
    touch(tmp_path, 'leftImg8bit/train/ulm/a_leftImg8bit.png')
    touch(tmp_path, f'{folder}/a_gtFine_color.png', f'{folder}/a_gtFine_instanceIds.png')
    mask = f'{folder}/a_gtFine_labelIds.png'
    assert pairs(tmp_path, read_listing(touch(tmp_path, mask)).splits)['train'][0][1] == mask


def test_partners_that_are_missing(tmp_path: Path) -> None:
    touch(tmp_path, 'images/a.png', 'images/b.png', 'masks/a.png', 'masks/c.png')
    listing = read_listing(tmp_path)
    assert pairs(tmp_path, listing.splits) == {'all': [('images/a.png', 'masks/a.png'), ('images/b.png', None)]}
    assert listing.spare_annotations == [tmp_path / 'masks' / 'c.png']


def test_lists_of_stems_split_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, *(f'{kind}/{name}.png' for kind in ('images', 'masks') for name in 'abcd'))
    (tmp_path / 'train.txt').write_text('a\nb.png\n')
    (tmp_path / 'val.txt').write_text('c 1 2\n\n')
    listing = read_listing(tmp_path)
    assert {name: [one.image.stem for one in found] for name, found in listing.splits.items()} == {
        'train': ['a', 'b'],
        'val': ['c'],
        'all': ['d'],
    }


@pytest.mark.parametrize('xml', ['train/a.xml', 'annotations/train/a.xml', 'train/labels/a.xml'])
def test_layouts_of_pictures_and_xml(tmp_path: Path, xml: str) -> None:
    image = 'images/train/a.jpg' if xml.startswith('annotations') else 'train/a.jpg'
    listing = read_listing(touch(tmp_path, image, xml))
    assert listing.task == 'detection'
    assert pairs(tmp_path, listing.splits) == {'train': [(image, xml)]}


def test_voc_folders_with_and_without_their_parent(tmp_path: Path) -> None:
    year = tmp_path / 'VOCdevkit' / 'VOC2007'
    touch(year, *(f'JPEGImages/{name}.jpg' for name in 'abcx'), *(f'Annotations/{name}.xml' for name in 'abxy'))
    touch(year, 'SegmentationClass/a.png', 'ImageSets/Segmentation/train.txt')
    (year / 'ImageSets' / 'Main').mkdir(parents=True)
    (year / 'ImageSets' / 'Main' / 'trainval.txt').write_text('a\nb\n')
    (year / 'ImageSets' / 'Main' / 'test.txt').write_text('c\nd\n')
    for root in (year.parent, year):
        listing = read_listing(root)
        assert listing.task == 'detection'
        assert len(listing.classes) == 20
        assert {name: [one.image.stem for one in found] for name, found in listing.splits.items()} == {
            'train': ['a', 'b'],
            'test': ['c', 'd'],
        }
        assert [path.stem for path in listing.spare_annotations] == ['y']
        (fault,) = listing.faults
        assert (fault.kind, [Path(file).stem for file in fault.files]) == ('unlisted', ['x'])
    (year / 'ImageSets' / 'Segmentation' / 'train.txt').write_text('a\n')
    listing = read_listing(year, 'segmentation')
    assert pairs(year, listing.splits) == {'train': [('JPEGImages/a.jpg', 'SegmentationClass/a.png')]}
    assert listing.classes[:2] == ['background', 'aeroplane']


def test_one_folder_per_class(clean: Clean) -> None:
    splits, classes = list_samples(clean('classification'))
    assert classes == ['bird', 'cat', 'dog']
    assert [(name, len(found)) for name, found in splits.items()] == [('train', 12), ('val', 6)]
    assert {classes[one.label] == one.image.parent.name for one in splits['train']} == {True}


def test_classes_in_file_names(tmp_path: Path) -> None:
    names = ['cat.1.jpg', 'cat.2.jpg', 'guinea_pig_1.jpg', 'guinea_pig_2.jpg']
    touch(tmp_path, *(f'train/{name}' for name in [*names, 'unnamed.jpg']), *(f'test/{n}.jpg' for n in (1, 2)))
    listing = read_listing(tmp_path)
    assert listing.classes == ['cat', 'guinea_pig']
    assert [one.label for one in listing.splits['train']] == [0, 0, 1, 1, None]
    assert [one.label for one in listing.splits['test']] == [None, None]
    (fault,) = listing.faults
    assert (fault.kind, fault.split, [Path(file).name for file in fault.files]) == (
        'no-label',
        'train',
        ['unnamed.jpg'],
    )


def test_class_list_of_the_folder(clean: Clean) -> None:
    root = clean('classification')
    (root / 'classes.txt').write_text('dog\ncat\n')
    listing = read_listing(root)
    assert listing.classes == ['dog', 'cat']
    assert {fault.kind for fault in listing.faults} == {'unknown-class'}
    assert sorted(fault.split for fault in listing.faults) == ['train', 'val']


def test_pictures_without_labels(tmp_path: Path) -> None:
    listing = read_listing(touch(tmp_path, 'holiday.jpg', 'garden.png'))
    assert (listing.task, listing.classes, len(listing.splits['all'])) == ('classification', [], 2)


def test_cifar_files_with_other_sums_are_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    for name in ('train', 'test', 'meta'):
        (folder / name).write_bytes(b'cos\nsystem\n(S"touch owned"\ntR.')
    with pytest.raises(PassportError, match='other MD5 sums'):
        read_listing(tmp_path)


def test_the_embedded_cifar_sample(in_root: Path) -> None:
    listing = read_listing('data/samples/cifar100')
    assert {name: len(found) for name, found in listing.splits.items()} == {'train': 500, 'val': 200}
    sample = listing.splits['train'][7]
    assert sample.pixels.shape == (32, 32, 3)
    assert sample.name.endswith('cifar-100-python/train#7')
    assert np.unique([one.label for one in listing.splits['val']], return_counts=True)[1].tolist() == [2] * 100


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda root: root / 'nothing', 'no such folder or config'),
        (lambda root: touch(root, 'a.yaml') / 'a.yaml', 'no such folder or config'),
        (lambda root: touch(root, 'film.mp4'), 'no picture in it'),
    ],
)
def test_sources_that_cannot_be_listed(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(PassportError, match=message):
        read_listing(make(tmp_path))


def test_tasks_that_do_not_fit(tmp_path: Path, clean: Clean) -> None:
    touch(tmp_path / 'photos', 'a.jpg')
    with pytest.raises(PassportError, match='no layout of detection'):
        read_listing(tmp_path / 'photos', 'detection')
    with pytest.raises(PassportError, match='must be one of'):
        read_listing(tmp_path, 'segment')
    with pytest.raises(PassportError, match='cfg-options'):
        read_listing(clean('detection'), cfg_options={'a': 1})
    with pytest.raises(PassportError, match='default_scope is None'):
        read_listing(Config({'a': 1}))
    with pytest.raises(PassportError, match='no train_dataloader'):
        read_listing(Config({'default_scope': 'mmseg'}))


def test_links_that_lead_around_in_circles(clean: Clean) -> None:
    root = clean('classification')
    (root / 'train' / 'again').symlink_to(root)
    assert len(read_listing(root).splits['train']) == 12


def test_a_picture_is_not_opened(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clean('segmentation')
    monkeypatch.setattr(Image, 'open', None)
    assert len(read_listing(root).splits['train']) == 12
