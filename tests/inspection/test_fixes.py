"""A corrected copy has none of the faults that can be corrected, and the originals are as they were."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmext.inspection.file_fixes import FixError, fix_xml, to_labels, turn_box
from mmext.inspection.fixes import REPORT, check_target, count_fixes, fix_data
from mmext.inspection.listing import Listing, Sample, read_listing
from mmext.inspection.passport import PassportError
from mmext.inspection.scan import inspect_data, scan

Clean = Callable[[str], Path]
HW = (40, 60)


def state(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def kinds(root: Path) -> set[str]:
    return {finding.kind for finding in inspect_data(root, workers=0).findings}


def turned(path: Path, orientation: int, upright_hw: tuple[int, int] = HW) -> np.ndarray:
    """Save a picture that EXIF turns; what it looks like upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = 'camera'
    size = upright_hw if orientation < 5 else upright_hw[::-1]
    pixels = np.random.default_rng(100 + orientation).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image))


def test_a_segmentation_folder_is_corrected(clean: Clean, tmp_path: Path) -> None:
    root, out = clean('segmentation'), tmp_path / 'fixed'
    images, labels = root / 'images' / 'train', root / 'labels' / 'train'
    original = np.asarray(Image.open(labels / '02.png'))
    upright = {number: turned(images / f'{number:02}.png', number) for number in (3, 6)}
    # The mask of 06 was drawn on the pixels as stored, that of 03 too.
    stored = np.asarray(Image.open(labels / '06.png')).T
    Image.fromarray(stored).save(labels / '06.png')
    third = np.asarray(Image.open(labels / '03.png'))
    Image.fromarray(original.astype(np.uint16)).save(labels / '02.png')
    Image.fromarray(original).convert('RGBA').save(labels / '01.png')
    content = (images / '00.png').read_bytes()
    (images / '00.png').write_bytes(content[: len(content) // 2])
    (root / 'list.txt').write_text('00\n01\n02\n')
    (root / 'README.txt').write_text('00 and 01 are masks\nof streets\n')
    before = state(root)
    fixes = fix_data(scan(read_listing(root)), out)
    assert state(root) == before
    assert kinds(root) == {'truncated', 'exif-rotation', 'mask-mode'}
    assert kinds(out) == set()
    assert {fix.file: fix.action for fix in fixes} == {
        'images/train/00.png': 'left out',
        'labels/train/00.png': 'left out',
        'images/train/03.png': 'turned',
        'images/train/06.png': 'turned',
        'labels/train/01.png': 'converted',
        'labels/train/02.png': 'converted',
        'labels/train/03.png': 'converted',
        'labels/train/06.png': 'converted',
        'list.txt': 'lines left out',
    }
    assert json.loads((out / REPORT).read_text()) == [vars(fix) for fix in fixes]
    assert count_fixes(fixes) == '4 converted, 2 left out, 1 lines left out, 2 turned'
    fixed = out / 'labels' / 'train'
    for number in (1, 2):
        image = Image.open(fixed / f'{number:02}.png')
        assert image.mode == 'L'
        assert np.array_equal(np.asarray(image), original)
    assert np.array_equal(np.asarray(Image.open(fixed / '03.png')), third[::-1, ::-1])
    # Number 6 says: turn by 90 degrees clockwise.
    assert np.array_equal(np.asarray(Image.open(fixed / '06.png')), np.rot90(stored, -1))
    for number, pixels in upright.items():
        image = Image.open(out / 'images' / 'train' / f'{number:02}.png')
        assert np.array_equal(np.asarray(image), pixels)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010F] == 'camera'
    assert (out / 'list.txt').read_text() == '01\n02\n'
    assert (out / 'README.txt').read_text() == (root / 'README.txt').read_text()
    assert (out / 'classes.txt').is_file()
    assert list(tmp_path.glob('.*')) == []


def test_colours_get_the_encoding_of_the_others(clean: Clean, tmp_path: Path) -> None:
    """A mask in the colours of the streets' table among masks of label ids."""
    root = clean('segmentation')
    (root / 'classes.txt').unlink()
    ids = np.array([7, 11, 21, 23, 26], dtype=np.uint8)
    for path in (root / 'labels').rglob('*.png'):
        Image.fromarray(np.resize(ids, HW)).save(path)
    colors = np.array([(128, 64, 128), (70, 130, 180)], dtype=np.uint8)
    mask = root / 'labels' / 'train' / '05.png'
    Image.fromarray(colors[np.resize([0, 1], HW)]).save(mask)
    (root / 'labels' / 'train' / '06.png').unlink()
    Image.fromarray(
        np.full((*HW, 3), (1, 2, 3), dtype=np.uint8) * np.resize([0, 1], HW)[..., None].astype(np.uint8)
    ).save(root / 'labels' / 'train' / '06.png')
    out = tmp_path / 'fixed'
    fixes = {fix.file: (fix.action, fix.detail) for fix in fix_data(scan(read_listing(root)), out)}
    assert fixes['labels/train/05.png'] == ('converted', 'from mode RGB')
    assert np.array_equal(np.asarray(Image.open(out / 'labels' / 'train' / '05.png')), np.resize([7, 23], HW))
    assert fixes['labels/train/06.png'][0] == 'not corrected'
    assert '#010203' in fixes['labels/train/06.png'][1]


def test_a_detection_folder_is_corrected(clean: Clean, tmp_path: Path) -> None:
    root, out = clean('detection'), tmp_path / 'fixed'
    xmls = root / 'annotations' / 'train'
    for name, old, new in (
        ('04', '<xmax>60', '<xmax>63'),
        ('05', '<xmax>20', '<xmax>1'),
        ('06', '<xmax>20', '<xmax>two'),
    ):
        path = xmls / f'{name}.xml'
        path.write_text(path.read_text().replace(old, new))
    (xmls / '07.xml').write_text('<annotation>')
    # The picture is 60 x 40 as stored; boxes and size are of the stored pixels.
    turned(root / 'images' / 'train' / '02.jpg', 6, HW[::-1])
    before = state(root)
    fixes = {fix.file: (fix.action, fix.detail) for fix in fix_data(scan(read_listing(root)), out)}
    assert state(root) == before
    assert kinds(root) == {'box-outside', 'box-empty', 'box-coordinates', 'unreadable', 'exif-rotation'}
    assert kinds(out) == set()
    assert fixes['annotations/train/04.xml'] == ('boxes', '1 clipped, 0 dropped')
    assert fixes['annotations/train/05.xml'] == ('boxes', '0 clipped, 1 dropped')
    assert fixes['images/train/07.jpg'][0] == 'left out'
    passport = inspect_data(out, workers=0)
    assert sum(passport.splits['train'].class_objects) == 24 - 2 - 2
    assert passport.splits['train'].sizes_hw == {'40x60': 10, '60x40': 1}


def test_a_clean_folder_is_copied(clean: Clean, tmp_path: Path) -> None:
    root, out = clean('classification'), tmp_path / 'deep' / 'fixed'
    out.mkdir(parents=True)
    assert fix_data(scan(read_listing(root)), out) == []
    assert count_fixes([]) == 'a plain copy'
    names = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}
    names.pop(REPORT)
    assert names == {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*.png')}
    assert inspect_data(out, workers=0).content_hash == inspect_data(root, workers=0).content_hash


def test_folders_that_are_refused(clean: Clean, tmp_path: Path) -> None:
    root = clean('classification')
    listing = read_listing(root)
    before = state(root)
    full = tmp_path / 'full'
    full.mkdir()
    (full / 'mine').write_text('keep')
    for folder, message in (
        (full, 'not empty'),
        (full / 'mine', 'not empty'),
        (root, 'not empty'),
        (root / 'inside', 'overlaps'),
        (root / 'x' / '..' / 'inside', 'overlaps'),
    ):
        with pytest.raises(PassportError, match=message):
            fix_data(scan(listing), folder)
    assert state(root) == before
    assert (full / 'mine').read_text() == 'keep'
    apart = Listing('classification', 'x', {'all': [Sample(Path('/a/1.png')), Sample(Path('/b/1.png'))]})
    with pytest.raises(PassportError, match='no folder of their own'):
        check_target(apart, tmp_path / 'new')


def test_nothing_is_left_when_copying_fails(clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_) -> None:
        raise OSError(28, 'No space left on device')

    root = clean('classification')
    monkeypatch.setattr(shutil, 'copy2', full_disk)
    with pytest.raises(OSError, match='No space left'):
        fix_data(scan(read_listing(root)), tmp_path / 'fixed')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['classification']


@pytest.mark.parametrize('orientation', range(1, 9))
def test_boxes_turn_with_the_pixels(orientation: int) -> None:
    """A box of bright pixels, turned by Pillow and by number."""
    picture = np.zeros((7, 11), dtype=np.uint8)
    picture[2:4, 3:8] = 255
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(upright)
    expected = (columns.min(), rows.min(), columns.max(), rows.max())
    assert turn_box((3, 2, 7, 3), (7, 11), orientation) == expected


def test_labels_of_masks_in_other_forms() -> None:
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    for values in (labels, labels.astype(np.uint16), labels.astype(np.int32), np.dstack([labels] * 3)):
        assert np.array_equal(to_labels(Image.fromarray(values), {})[0], labels)
    for values, message in (
        (np.array([[300]], dtype=np.uint16), '8 bits do not hold'),
        (np.array([[0.5]], dtype=np.float32), '8 bits do not hold'),
        (np.dstack([labels, labels, labels * 0]), 'belong to no class'),
        (np.dstack([labels] * 3 + [labels]), 'transparent'),
    ):
        with pytest.raises(FixError, match=message):
            to_labels(Image.fromarray(values), {})


def test_boxes_without_any_size(tmp_path: Path) -> None:
    (tmp_path / 'a.xml').write_text('<annotation/>')
    with pytest.raises(FixError, match='size'):
        fix_xml(tmp_path / 'a.xml', tmp_path / 'b.xml', None, 1)
