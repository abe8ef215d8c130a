"""A clean folder has no finding, and one with ten planted faults has exactly these ten; for each task."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.inspection.findings import FindingList
from mmext.inspection.judgement import content_hash, judge
from mmext.inspection.kinds import KINDS
from mmext.inspection.listing import Box, Fault, Listing, Sample, read_listing
from mmext.inspection.passport import LEVELS, MAX_FILES, Passport
from mmext.inspection.scan import inspect, inspect_data, scan

Clean = Callable[[str], Path]
HW = (40, 60)


def noise(seed: int, size_hw: tuple[int, int] = HW) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1000 + seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8))


def turned_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def kinds(passport: Passport) -> dict[str, int]:
    return {finding.kind: finding.count for finding in passport.findings}


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'classification'])
def test_a_clean_folder_has_no_finding(clean: Clean, task: str) -> None:
    passport = inspect_data(clean(task), workers=0)
    assert passport.findings == []
    assert passport.ok
    assert passport.task == task
    assert len(passport.classes) == 3
    assert list(passport.splits) == ['train', 'val']
    for summary in passport.splits.values():
        assert summary.unreadable == summary.unlabeled == 0
        assert sum(summary.sizes_hw.values()) == summary.samples == sum(summary.modes.values())


def plant_in_masks(root: Path) -> None:
    images, labels = root / 'images' / 'train', root / 'labels' / 'train'
    cut(images / '00.png')
    Image.open(labels / '01.png').resize((30, 20), Image.Resampling.NEAREST).save(labels / '01.png')
    noise(2).save(images / '02.png', exif=turned_exif(3))
    shutil.copy(labels / '03.png', labels / 'mistyped.png')
    (labels / '04.png').unlink()
    mask = np.asarray(Image.open(labels / '05.png'))
    Image.fromarray(np.stack([mask * 7, mask * 5, mask * 3], axis=2)).save(labels / '05.png')
    changed = np.array(Image.open(labels / '06.png'))
    changed[10:12, :5] = 9
    Image.fromarray(changed).save(labels / '06.png')
    Image.fromarray(np.full(HW, 255, dtype=np.uint8)).save(labels / '07.png')
    noise(50).save(images / '08.jpg')
    (images / '09.png').write_bytes(encoded(noise(9), 'JPEG'))


def test_ten_faults_of_a_segmentation_folder(clean: Clean) -> None:
    root = clean('segmentation')
    plant_in_masks(root)
    passport = inspect_data(root, workers=0)
    assert kinds(passport) == dict.fromkeys(
        (
            *('truncated', 'size-mismatch', 'missing-annotation', 'mask-mode', 'mask-values'),
            *('exif-rotation', 'spare-annotation', 'empty-mask', 'duplicate-name', 'wrong-suffix'),
        ),
        1,
    )
    by_kind = {finding.kind: finding for finding in passport.findings}
    assert by_kind['mask-values'].files == [str(root / 'labels' / 'train' / '06.png')]
    assert by_kind['mask-values'].details == ['value 9 at 10 pixels']
    assert by_kind['size-mismatch'].details == ['mask 30 x 20, picture 60 x 40 (width x height)']
    assert by_kind['mask-mode'].details == ['mode RGB, 8 bits']
    assert not passport.ok
    assert passport.annotations[str(root / 'images' / 'train' / '06.png')] == by_kind['mask-values'].files[0]
    assert passport.splits['train'].unreadable == 1
    # Of 13 samples the mask of 04 is missing; 08.png and 08.jpg share theirs.
    assert passport.splits['train'].mask_modes == {'L 8-bit': 11, 'RGB 8-bit': 1}


def plant_in_boxes(root: Path) -> None:
    images, xmls = root / 'images' / 'train', root / 'annotations' / 'train'
    (images / '00.jpg').write_bytes(b'no picture at all')
    noise(2).save(images / '02.jpg', exif=turned_exif(6))
    edit(xmls / '03.xml', '<name>dog', '<name>dgo')
    edit(xmls / '04.xml', '<xmax>60', '<xmax>63')
    edit(xmls / '05.xml', '<xmax>20', '<xmax>1')
    edit(xmls / '06.xml', '<xmax>20', '<xmax>two')
    edit(xmls / '07.xml', '<width>60', '<width>61')
    (xmls / '08.xml').unlink()
    text = (xmls / '09.xml').read_text()
    (xmls / '09.xml').write_text(
        text.replace('<object>', text[text.index('<object>') : -len('</annotation>')] + '<object>', 1)
    )
    shutil.copy(xmls / '10.xml', xmls / 'ten.xml')


def test_ten_faults_of_a_detection_folder(clean: Clean) -> None:
    root = clean('detection')
    plant_in_boxes(root)
    passport = inspect_data(root, workers=0)
    assert kinds(passport) == dict.fromkeys(
        (
            *('unreadable', 'unknown-class', 'box-empty', 'box-coordinates', 'size-mismatch', 'missing-annotation'),
            *('exif-rotation', 'box-outside', 'box-twice', 'spare-annotation'),
        ),
        1,
    )
    by_kind = {finding.kind: finding for finding in passport.findings}
    assert by_kind['unknown-class'].details == ["'dgo', nearest is 'dog'"]
    assert by_kind['box-outside'].details == ['bird (14, 5, 63, 40): 3 pixels outside']


def test_flags_that_are_no_flags(clean: Clean) -> None:
    root = clean('detection')
    edit(root / 'annotations' / 'train' / '03.xml', '<difficult>0', '<difficult>yes')
    assert kinds(inspect_data(root, workers=0)) == {'box-flag': 1}


def test_a_folder_called_like_voc_with_classes_of_its_own(clean: Clean, tmp_path: Path) -> None:
    root = clean('detection')
    year = tmp_path / 'VOCdevkit' / 'VOC2007'
    shutil.copytree(root / 'images' / 'train', year / 'JPEGImages')
    shutil.copytree(root / 'annotations' / 'train', year / 'Annotations')
    passport = inspect_data(year.parent, workers=0)
    # Dog, cat and bird are classes of VOC; the others occur nowhere.
    assert (len(passport.classes), kinds(passport)) == (20, {'absent-class': 17})
    for path in (year / 'Annotations').iterdir():
        path.write_text(path.read_text().replace('dog', 'lynx').replace('cat', 'otter'))
    passport = inspect_data(year.parent, workers=0)
    assert (passport.classes, kinds(passport)) == (['bird', 'lynx', 'otter'], {})


def plant_in_classes(root: Path) -> None:
    train, val = root / 'train', root / 'val'
    (train / 'dog' / 'dog0.png').write_bytes(b'')
    cut(train / 'dog' / 'dog1.png', 0.9)
    noise(2).save(train / 'dog' / 'dog2.png', exif=turned_exif(8))
    noise(3).save(train / 'cat' / 'CAT0.png')
    noise(4, (10, 200)).save(train / 'cat' / 'cat1.png')
    noise(5).convert('RGBA').rotate(30).save(train / 'cat' / 'cat2.png')
    # The same picture in another format, in another class.
    Image.open(train / 'bird' / 'bird0.png').save(train / 'cat' / 'cat3.bmp')
    (train / 'cat' / 'cat3.png').unlink()
    shutil.copy(train / 'bird' / 'bird1.png', train / 'bird' / 'bird9.png')
    frames = [noise(seed).convert('P') for seed in range(6, 9)]
    frames[0].save(train / 'bird' / 'bird2.gif', save_all=True, append_images=frames[1:])
    (train / 'bird' / 'bird2.png').unlink()
    (val / 'fish').mkdir()
    noise(10).save(val / 'fish' / 'fish0.png')


def test_ten_faults_of_a_classification_folder(clean: Clean) -> None:
    root = clean('classification')
    plant_in_classes(root)
    passport = inspect_data(root, workers=0)
    assert kinds(passport) == dict.fromkeys(
        (
            *('unreadable', 'truncated', 'exif-rotation', 'duplicate-name', 'extreme-aspect', 'image-mode'),
            *('label-conflict', 'identical-images', 'animated', 'class-missing-in-train'),
        ),
        1,
    )
    conflict = next(finding for finding in passport.findings if finding.kind == 'label-conflict')
    assert "'cat'" in conflict.details[0] or "'bird'" in conflict.details[0]


def test_the_worst_files_come_first(clean: Clean) -> None:
    root = clean('segmentation')
    for number, pixels in ((1, 5), (2, 50), (3, 20)):
        path = root / 'labels' / 'train' / f'0{number}.png'
        mask = np.array(Image.open(path))
        mask[20, :pixels] = 77
        Image.fromarray(mask).save(path)
    finding = inspect_data(root, workers=0).findings[0]
    assert [Path(file).stem for file in finding.files] == ['02', '03', '01']
    assert finding.details[0] == 'value 77 at 50 pixels'


def test_empty_splits_and_missing_pictures() -> None:
    listing = Listing('classification', 'x', {'train': [Sample(Path('nowhere/1.png'), label=0)], 'val': []}, ['a'])
    assert kinds(inspect(listing)) == {'missing-image': 1, 'no-samples': 1}


def test_label_out_of_range_and_faults_of_the_listing(clean: Clean) -> None:
    listing = read_listing(clean('classification'))
    listing.splits['val'][0].label = 7
    listing.faults.append(Fault('class-numbering', 'val', details=["index 0 is 'a' in val, 'b' in train"]))
    assert kinds(inspect(listing)) == {'unknown-class': 1, 'class-numbering': 1}


def test_boxes_of_a_common_file_are_judged_by_their_own_bounds(clean: Clean) -> None:
    root = clean('classification')
    image = root / 'train' / 'dog' / 'dog0.png'
    # Corners of COCO are lines between pixels: 60 is the right edge of a picture 60 wide.
    boxes = [
        Box('dog', (0.0, 0.0, 60.0, 40.0)),
        Box('dog', (50.0, 30.0, 60.5, 40.0)),
        Box('cat', (1.0, 1.0, 4.5, 30.0)),
    ]
    listing = Listing('detection', 'x', {'train': [Sample(image, boxes=boxes)]}, ['dog', 'cat'])
    passport = inspect(listing)
    assert kinds(passport) == {'box-outside': 1, 'box-tiny': 1}
    assert passport.splits['train'].class_objects == [2, 1]
    # sqrt(2400) = 49, sqrt(105) = 10.2, sqrt(101.5) = 10.1
    assert passport.splits['train'].box_sides == [0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0]


def test_nearly_all_pixels_in_one_class(clean: Clean) -> None:
    root = clean('segmentation')
    for path in (root / 'labels' / 'val').iterdir():
        Image.fromarray(np.zeros(HW, dtype=np.uint8)).save(path)
    assert kinds(inspect_data(root, workers=0)) == {'dominant-class': 1}


def test_counts_of_masks_agree_with_numpy(clean: Clean) -> None:
    root = clean('segmentation')
    passport = inspect_data(root, workers=0)
    for split, summary in passport.splits.items():
        masks = [np.asarray(Image.open(path)) for path in sorted((root / 'labels' / split).iterdir())]
        everything = np.stack(masks)
        assert summary.class_pixels == [int((everything == value).sum()) for value in range(3)]
        assert summary.class_images == [sum(bool((mask == value).any()) for mask in masks) for value in range(3)]
        assert summary.ignored_pixels == int((everything == 255).sum())
    assert sum(passport.values['counts'].values()) == 16 * HW[0] * HW[1]


def test_the_hash_depends_on_content_and_names_only(clean: Clean, tmp_path: Path) -> None:
    root = clean('segmentation')
    original = scan(read_listing(root))
    expected = content_hash(original)
    listing = read_listing(root)
    for samples in listing.splits.values():
        random.Random(0).shuffle(samples)
    listing.splits = dict(reversed(listing.splits.items()))
    assert content_hash(scan(listing)) == expected
    moved = tmp_path / 'elsewhere' / 'deeper'
    shutil.copytree(root, moved)
    assert inspect_data(moved, workers=0).content_hash == expected
    one = moved / 'labels' / 'train' / '03.png'
    one.rename(one.with_name('3.png'))
    (moved / 'images' / 'train' / '03.png').rename(moved / 'images' / 'train' / '3.png')
    renamed = inspect_data(moved, workers=0).content_hash
    assert renamed != expected
    Image.fromarray(np.asarray(Image.open(one.with_name('3.png'))) // 2).save(one.with_name('3.png'))
    assert inspect_data(moved, workers=0).content_hash not in (expected, renamed)


def test_the_hash_tells_labels_and_boxes_apart(clean: Clean) -> None:
    listing = read_listing(clean('classification'))
    before = inspect(listing).content_hash
    listing.splits['train'][0] = replace(listing.splits['train'][0], label=2)
    assert inspect(listing).content_hash != before


def test_every_kind_has_all_its_texts() -> None:
    for name, kind in KINDS.items():
        assert kind.level in LEVELS, name
        assert all((kind.title, kind.reason, kind.fix)), name


def test_faults_of_one_file_are_one_entry() -> None:
    found = FindingList()
    for severity in (1, 3, 2):
        found.add('box-outside', 'a.xml', f'{severity} pixels', severity, 'train')
    found.add('box-outside', 'a.xml', '3 pixels', 3, 'val')
    for number in range(MAX_FILES + 5):
        found.add('box-tiny', f'{number}.xml', split='val')
    outside, tiny = found.findings()
    assert (outside.count, outside.details, outside.split) == (1, ['3 pixels (and 2 more)'], '')
    assert (tiny.count, len(tiny.files), tiny.split) == (MAX_FILES + 5, MAX_FILES, 'val')
    assert len(found.kinds_of_files()) == MAX_FILES + 6


def test_judging_fills_in_the_faults_of_the_scan(clean: Clean) -> None:
    root = clean('classification')
    cut(root / 'train' / 'dog' / 'dog1.png')
    scanned = scan(read_listing(root))
    assert scanned.faults is None
    judge(scanned)
    assert scanned.faults == {str(root / 'train' / 'dog' / 'dog1.png'): {'truncated'}}
