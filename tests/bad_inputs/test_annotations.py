"""Annotations in XML that are malformed, hostile or wrong, in a small VOCdevkit and in the devkit's evaluation."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

PARTS = {
    ('VOC2007', 'trainval'): ['000001', '000002'],
    ('VOC2007', 'test'): ['000003'],
    ('VOC2012', 'val'): ['2008_000004'],
}
OBJECT = '<object><name>{}</name><difficult>0</difficult><bndbox>{}</bndbox></object>'
BOX = '<xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>22</ymax>'
SIZE = '<size><width>40</width><height>30</height><depth>3</depth></size>'


def annotation(name: str = 'cat', box: str = BOX, size: str = SIZE) -> str:
    return f'<annotation><filename>a.jpg</filename>{size}{OBJECT.format(name, box)}</annotation>'


def make_devkit(folder: Path) -> Path:
    """Four pictures in three parts; returns the annotation that cases spoil."""
    shade = 0
    for (year, part), stems in PARTS.items():
        base = folder / 'VOCdevkit' / year
        for kind in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (base / kind).mkdir(parents=True, exist_ok=True)
        (base / 'ImageSets/Main' / f'{part}.txt').write_text('\n'.join(stems) + '\n')
        for stem in stems:
            shade += 20
            Image.new('RGB', (40, 30), (shade, 0, 0)).save(base / 'JPEGImages' / f'{stem}.jpg')
            (base / 'Annotations' / f'{stem}.xml').write_text(annotation())
    return folder / 'VOCdevkit/VOC2007/Annotations/000002.xml'


def write(content: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def box(*corners: object) -> str:
    return ''.join(f'<{k}>{v}</{k}>' for k, v in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners, strict=False))


LAUGHS = '<!DOCTYPE annotation [<!ENTITY a "ha">' + ''.join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip('abcdefghi', 'bcdefghij', strict=True)
)
BOMB = f'<?xml version="1.0"?>{LAUGHS}]>{annotation("&j;")}'
QUADRATIC = f'<!DOCTYPE annotation [<!ENTITY a "{"x" * 50_000}">]>{annotation("&a;" * 5_000)}'
EXTERNAL = '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + annotation('&x;')
REMOTE_DTD = '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/a.dtd">' + annotation()


def gone(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


ERRORS = [
    pytest.param(cut, ['malformed xml', 'unpack the archive again|get'], id='cut'),
    pytest.param(write(''), ['malformed xml', 'no element found'], id='empty'),
    pytest.param(write('not xml'), ['malformed xml', 'syntax error'], id='text'),
    pytest.param(write(annotation().replace('</name>', '</nam>')), ['malformed xml', 'mismatched tag'], id='bad-tag'),
    pytest.param(write('<!-- a --><html></html>'), ['malformed xml', '<html>', '<annotation>'], id='other-root'),
    pytest.param(write(b'\xff\xfe\x00' + annotation().encode()), ['malformed xml'], id='wrong-bytes'),
    pytest.param(
        write('<?xml version="1.0" encoding="ebcdic-9"?>' + annotation()),
        ['malformed xml', 'encoding'],
        id='unknown-encoding',
    ),
    pytest.param(
        write(b'<?xml version="1.0" encoding="utf-8"?>' + annotation('caf\xe9').encode('latin-1')),
        ['malformed xml', 'invalid token'],
        id='latin-1-as-utf-8',
    ),
    pytest.param(write(BOMB), ['refused xml', 'document type', 'do not trust'], id='billion-laughs'),
    pytest.param(write(QUADRATIC), ['refused xml', 'document type', 'do not trust'], id='quadratic-blowup'),
    pytest.param(write(EXTERNAL), ['refused xml', 'document type', 'do not trust'], id='external-entity'),
    pytest.param(write(REMOTE_DTD), ['refused xml', 'document type', 'do not trust'], id='remote-dtd'),
    pytest.param(write('<a>' * 100_000), ['malformed xml'], id='deeply-nested'),
    pytest.param(gone, ['missing annotation', 'no such file'], id='no-annotation'),
    pytest.param(a_folder, ['missing annotation', 'directory'], id='folder'),
    pytest.param(link_to_itself, ['missing annotation', 'symbolic links'], id='link-to-itself'),
    pytest.param(write(annotation('cta')), ['object 0', "'cta', nearest is 'cat'", '<name>'], id='class-misspelt'),
    pytest.param(write(annotation('Motorcycle')), ["nearest is 'motorbike'"], id='class-of-another-set'),
    pytest.param(write(annotation('')), ["unknown class: ''"], id='class-empty'),
    pytest.param(write(annotation(box=box(50, 40, 60, 50))), [r'\(50, 40, 60, 50\)', 'no area'], id='box-outside'),
    pytest.param(write(annotation(box=box(9, 9, 9, 20))), [r'\(9, 9, 9, 20\) has no area', '<bndbox>'], id='box-empty'),
    pytest.param(write(annotation(box=box(20, 22, 3, 4))), [r'\(20, 22, 3, 4\) has no area'], id='box-inverted'),
    pytest.param(write(annotation(box=box('nan', 4, 20, 22))), ['bad coordinates', 'nan'], id='box-nan'),
    pytest.param(write(annotation(box=box(3, 4, 'inf', 22))), ['bad coordinates', 'inf'], id='box-infinite'),
    pytest.param(write(annotation(box=box(3, 4, 'x', 22))), ['bad coordinates', 'x'], id='box-text'),
    pytest.param(write(annotation(box=box(3, 4, 20))), ['bad coordinates'], id='box-three-corners'),
    pytest.param(
        write(annotation().replace('<bndbox>', '<b>').replace('</bndbox>', '</b>')),
        ['bad coordinates', 'no <bndbox>'],
        id='box-missing',
    ),
    pytest.param(
        write(annotation(size=SIZE.replace('40', '400'))),
        ['size mismatch', '400 x 30', '40 x 30', '<size>'],
        id='size-of-another-picture',
    ),
    pytest.param(
        write(annotation().replace('<difficult>0', '<difficult>maybe')),
        ['bad difficult', "'maybe'", '0 or 1'],
        id='difficult',
    ),
]


@pytest.mark.parametrize(('spoil', 'parts'), ERRORS)
def test_errors(spoil, parts, work, refused):
    spoil(make_devkit(work))
    refused('prepare/voc.py', ['--check-only', '--out', 'VOCdevkit'], r'Annotations/000002\.xml', *parts)


WARNINGS = [
    pytest.param(write(annotation(box=box(3, 4, 50, 22))), 'box_outside', id='box-partly-outside'),
    pytest.param(write(annotation(size='')), 'missing_size', id='no-size'),
    pytest.param(write(annotation(size=SIZE.replace('40', '-40'))), 'missing_size', id='negative-size'),
    pytest.param(write(f'<annotation>{SIZE}</annotation>'), 'no_objects', id='no-objects'),
]


@pytest.mark.parametrize(('spoil', 'kind'), WARNINGS)
def test_warnings(spoil, kind, work, load_tool, capsys, unchanged):
    """What can be repaired is counted and said, not passed over."""
    spoil(make_devkit(work))
    with unchanged(work):
        assert load_tool('prepare/voc.py').main(['--check-only', '--out', 'VOCdevkit']) == 0
    assert kind in capsys.readouterr().out


def test_a_data_set_stops_at_once(work, unchanged):
    """The data set reads what the tool reads, and refuses it before the first iteration."""
    from mmext.detection.datasets import VOC0712SplitDataset
    from mmext.detection.datasets.voc_problems import VOCError

    write(BOMB)(make_devkit(work))
    with unchanged(work), pytest.raises(VOCError, match=r'000002\.xml: refused xml.*--check-only'):
        VOC0712SplitDataset(data_root='VOCdevkit', part='train', pipeline=[])


def make_results(folder: Path) -> Path:
    """A year of the devkit with detections of the devkit's evaluation; returns the annotation that cases spoil."""
    path = make_devkit(folder)
    (folder / 'results').mkdir()
    (folder / 'results/comp4_det_trainval_cat.txt').write_text('000001 0.9 3 4 20 22\n000002 0.8 3 4 20 22\n')
    return path


EVALUATION = [
    pytest.param(cut, ['no XML'], id='cut'),
    pytest.param(write(''), ['no XML'], id='empty'),
    pytest.param(write(BOMB), ['refused', 'document type'], id='billion-laughs'),
    pytest.param(write(EXTERNAL), ['refused', 'document type'], id='external-entity'),
    pytest.param(write(annotation(box=box('nan', 4, 20, 22))), ['object 1', "'nan'", 'finite'], id='box-nan'),
    pytest.param(write(annotation(box=box(20, 22, 3, 4))), ['object 1', 'x1 <= x2'], id='box-inverted'),
    pytest.param(write(annotation('')), ['object 1', 'no name'], id='class-empty'),
    pytest.param(gone, ['No such file'], id='no-annotation'),
]


@pytest.mark.parametrize(('spoil', 'parts'), EVALUATION)
def test_evaluation(spoil, parts, work, refused):
    spoil(make_results(work))
    argv = ['results', 'VOCdevkit/VOC2007', '--out', 'out']
    refused('analysis/eval_detections.py', argv, r'Annotations/000002\.xml', *parts)


LISTS = [
    pytest.param(lambda path: path.unlink(), ['the list is missing', 'unpack'], id='missing'),
    pytest.param(lambda path: path.write_text('\n\n'), ['the list is empty', 'unpack'], id='empty'),
    pytest.param(lambda path: path.write_bytes(b'\xff\xfe0\x00'), ['no plain text'], id='utf-16'),
    pytest.param(lambda path: path.write_text('000001\n000001\n'), ['000001 2 times', 'remove'], id='repeated'),
    pytest.param(
        lambda path: path.write_text('../../000001\n'), ["'../../000001' is no id", 'one id a line'], id='path'
    ),
]


@pytest.mark.parametrize(('spoil', 'parts'), LISTS)
def test_lists(spoil, parts, work, refused):
    make_devkit(work)
    spoil(work / 'VOCdevkit/VOC2007/ImageSets/Main/trainval.txt')
    refused('prepare/voc.py', ['--check-only', '--out', 'VOCdevkit'], r'trainval\.txt', *parts)


def test_a_picture_in_two_parts(work, refused):
    make_devkit(work)
    base = work / 'VOCdevkit/VOC2007'
    shutil.copy(base / 'JPEGImages/000001.jpg', base / 'JPEGImages/000003.jpg')
    argv = ['--check-only', '--out', 'VOCdevkit']
    refused('prepare/voc.py', argv, 'same bytes in two parts', '000001', '000003', 'take them out')
