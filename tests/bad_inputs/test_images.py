"""Pictures that cannot be used: prediction names each and does the others, preparation and data sets refuse them."""

import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=3),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64, loss=dict(type='CrossEntropyLoss')))
test_dataloader = dict(dataset=dict(
    type='CustomDataset', data_root='nowhere', metainfo=dict(classes=['cat', 'dog', 'eel']),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]))
"""


@pytest.fixture(scope='session')
def model(tmp_path_factory) -> list[str]:
    """Config and checkpoint of a tiny classifier."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    folder = tmp_path_factory.mktemp('model')
    (folder / 'c.py').write_text(CONFIG)
    cfg = Config.fromfile(folder / 'c.py')
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.random.fork_rng():
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, folder / 'w.pth')
    return [str(folder / 'c.py'), str(folder / 'w.pth')]


def picture(seed: int = 0, size: int = 96) -> Image.Image:
    """Smooth colours, so that a JPEG of it is small but not trivial."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def cut(share: float, form: str = 'JPEG') -> Callable[[Path], None]:
    def make(path: Path) -> None:
        picture().save(path, form)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return make


def zero_tail(form: str) -> Callable[[Path], None]:
    """As a full disk leaves it: the right length, but zeros from the middle on."""

    def make(path: Path) -> None:
        picture().save(path, form)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 3 // 4].ljust(len(whole), b'\0'))

    return make


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def bomb(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 200_000, 200_000, 8, 2, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(100))))


def dangling_link(path: Path) -> None:
    path.symlink_to('gone.jpg')


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


DAMAGED = 'damaged|cut off|truncated|not a picture'
UNREADABLE = [
    pytest.param(cut(0.02), DAMAGED, id='jpeg-cut-in-the-header'),
    pytest.param(cut(0.5), DAMAGED, id='jpeg-cut-in-the-middle'),
    pytest.param(cut(0.9), DAMAGED, id='jpeg-cut-near-the-end'),
    pytest.param(cut(0.99), DAMAGED, id='jpeg-cut-at-the-end'),
    pytest.param(cut(0.5, 'PNG'), DAMAGED, id='png-cut-in-the-middle'),
    pytest.param(cut(0.9, 'PNG'), DAMAGED, id='png-cut-near-the-end'),
    pytest.param(cut(0.6, 'WEBP'), DAMAGED, id='webp-cut'),
    pytest.param(zero_tail('PNG'), DAMAGED, id='png-zeros-at-the-end'),
    pytest.param(zero_tail('JPEG'), DAMAGED, id='jpeg-zeros-at-the-end'),
    pytest.param(write(b'\0'), DAMAGED, id='one-byte'),
    pytest.param(write(bytes(5000)), DAMAGED, id='zeros'),
    pytest.param(lambda path: path.touch(), 'empty', id='empty'),
    pytest.param(write(b'no picture at all\n' * 50), DAMAGED, id='text'),
    pytest.param(write(b'<!DOCTYPE html><html>403</html>'), DAMAGED, id='web-page'),
    pytest.param(write(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), DAMAGED, id='svg'),
    pytest.param(bomb, 'pixels|too large|damaged', id='decompression-bomb'),
    pytest.param(dangling_link, 'No such file', id='dangling-link'),
    pytest.param(link_to_itself, 'symbolic links', id='link-to-itself'),
]


@pytest.mark.parametrize(('spoil', 'reason'), UNREADABLE)
def test_prediction_does_the_others(spoil, reason, model, work, load_tool, capfd):
    (work / 'in').mkdir()
    for name in ('a.jpg', 'c.jpg'):
        picture().save(work / 'in' / name)
    bad = work / 'in/b.jpg'
    spoil(bad)
    status = load_tool('predict.py').main([*model, 'in', '--out', 'out'])
    shown = capfd.readouterr().err
    found = json.loads((work / 'out/predictions.json').read_text())
    assert [Path(entry['image']).name for entry in found['images']] == ['a.jpg', 'c.jpg']
    assert [Path(entry['image']).name for entry in found['unreadable']] == ['b.jpg'], (
        'a damaged picture was predicted for'
    )
    assert status == 1
    assert 'error: 1 file could not be used:' in shown
    line = next(line for line in shown.splitlines() if line.startswith('  in/b.jpg: '))
    assert re.search(reason, line), line
    assert 'Traceback' not in shown
    assert not list((work / 'out').rglob('b*'))
    assert not list(work.rglob('*.part'))


# Unusual, but pictures: they are done, and as what they show.
USABLE = [
    pytest.param(lambda path: picture().convert('CMYK').save(path, 'JPEG'), id='cmyk-jpeg'),
    pytest.param(lambda path: picture().convert('L').save(path, 'JPEG'), id='grey-jpeg'),
    pytest.param(lambda path: picture().convert('P').save(path, 'PNG'), id='palette-png'),
    pytest.param(lambda path: picture().convert('RGBA').save(path, 'PNG'), id='rgba-png'),
    pytest.param(
        lambda path: Image.fromarray(np.asarray(picture().convert('L')).astype(np.uint16) * 257).save(path, 'PNG'),
        id='16-bit-png',
    ),
    pytest.param(lambda path: picture(size=1).save(path, 'PNG'), id='one-pixel'),
    pytest.param(lambda path: picture().resize((4000, 2)).save(path, 'PNG'), id='4000-x-2'),
]


@pytest.mark.parametrize('make', USABLE)
def test_unusual_pictures_are_done(make, model, work, load_tool):
    (work / 'in').mkdir()
    make(work / 'in/b.jpg')
    assert load_tool('predict.py').main([*model, 'in', '--out', 'out']) == 0
    found = json.loads((work / 'out/predictions.json').read_text())
    assert len(found['images']) == 1
    assert np.isfinite(found['images'][0]['probabilities']).all()


def test_a_folder_named_like_a_picture_is_searched(model, work, load_tool):
    (work / 'in/x.png').mkdir(parents=True)
    picture().save(work / 'in/x.png/a.jpg')
    assert load_tool('predict.py').main([*model, 'in', '--out', 'out']) == 0
    assert len(json.loads((work / 'out/predictions.json').read_text())['images']) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read every file')
def test_no_permission(model, work, load_tool, capsys):
    picture().save('a.jpg')
    (work / 'a.jpg').chmod(0)
    assert load_tool('predict.py').main([*model, 'a.jpg', '--out', 'out']) == 1
    assert 'a.jpg: Permission denied' in capsys.readouterr().err


INPUTS = [
    pytest.param('gone.jpg', [r'gone\.jpg: no such file or folder'], id='missing'),
    pytest.param('*.tif', [r'\*\.tif: no picture', 'known suffixes'], id='pattern-without-a-match'),
    pytest.param('empty', ['empty: no picture in it', r'\.jpg'], id='empty-folder'),
    pytest.param('list.txt', [r'list\.txt: not UTF-8 text', 'one path a line'], id='list-that-is-no-text'),
    pytest.param('blank.txt', [r'blank\.txt: no picture'], id='blank-list'),
]


@pytest.mark.parametrize(('name', 'parts'), INPUTS)
def test_inputs(name, parts, model, work, refused):
    (work / 'empty').mkdir()
    (work / 'list.txt').write_bytes(b'\xff\xfea\0')
    (work / 'blank.txt').write_text('\n\n')
    refused('predict.py', [*model, name, '--out', 'out'], *parts)


def spoilt_pictures() -> list:
    """The same faults for tools that take none of a data set in which one picture is bad."""
    kept = ('jpeg-cut-in-the-header', 'empty', 'text', 'decompression-bomb', 'dangling-link', 'link-to-itself')
    return [case for case in UNREADABLE if case.id in kept]


@pytest.mark.parametrize(('spoil', '_'), spoilt_pictures())
def test_classification_data_set(spoil, _, work, unchanged):
    from mmext.classification.datasets import FileNameLabelDataset
    from mmext.classification.datasets.file_name_labels import FileNameLabelError

    (work / 'in').mkdir()
    for name in ('cat_1.jpg', 'dog_1.jpg'):
        picture().save(work / 'in' / name)
    spoil(work / 'in/dog_2.jpg')
    with unchanged(work), pytest.raises(FileNameLabelError, match=r'1 pictures cannot be read: .*dog_2\.jpg .*Fix: '):
        FileNameLabelDataset(data_root='in', pipeline=[])


@pytest.mark.parametrize(('spoil', '_'), spoilt_pictures())
def test_picture_of_a_mask(spoil, _, work, refused):
    (work / 'raw').mkdir()
    for number in range(3):
        picture(size=16).save(work / f'raw/{number}_sat.jpg')
        Image.new('RGB', (16, 16)).save(work / f'raw/{number}_mask.png')
    (work / 'raw/1_sat.jpg').unlink()
    spoil(work / 'raw/1_sat.jpg')
    argv = ['raw', 'out', '--val-count', 1]
    refused('prepare/land_cover.py', argv, r'1_sat\.jpg: image cannot be read', 'copy it again')


@pytest.mark.parametrize(('spoil', '_'), [case for case in UNREADABLE if 'webp' not in case.id])
def test_picture_of_voc(spoil, _, work, refused):
    """Preparation reads every picture to its end, so that no cut one is left to be found by a training."""
    xml = '<annotation><size><width>96</width><height>96</height></size></annotation>'
    for year, part, stem in (('2007', 'trainval', '1'), ('2007', 'test', '2'), ('2012', 'val', '3')):
        base = work / f'VOCdevkit/VOC{year}'
        for kind in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (base / kind).mkdir(parents=True, exist_ok=True)
        (base / f'ImageSets/Main/{part}.txt').write_text(stem)
        (base / f'Annotations/{stem}.xml').write_text(xml)
        picture(int(stem)).save(base / f'JPEGImages/{stem}.jpg')
    bad = work / 'VOCdevkit/VOC2007/JPEGImages/1.jpg'
    bad.unlink()
    spoil(bad)
    kinds = 'unreadable image|missing image'
    refused('prepare/voc.py', ['--check-only', '--out', 'VOCdevkit'], r'JPEGImages/1\.jpg', kinds, 'again')


@pytest.mark.parametrize(('spoil', 'reason'), UNREADABLE)
def test_frames_to_compare(spoil, reason, work, refused):
    spoil(work / 'f.jpg')
    argv = ['f.jpg', '--model', 'a', 'c.py', '--out', 'out']
    refused('analysis/compare_models.py', argv, r'f\.jpg: no picture', reason)
