"""Files of detections and truth that cannot be scored: file, line or entry, and value are named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

FOUND = 'a.jpg cat 0.9 1 2 30 40\nb.jpg dog 0.8 5 5 20 20\n'
THERE = 'a.jpg cat 1 2 30 40\nb.jpg dog 5 5 20 20 difficult\n'
TOOL = 'analysis/eval_detections.py'
Make = Callable[[Path], list]


def text(found: str | bytes = FOUND, there: str | bytes = THERE) -> Make:
    def make(folder: Path) -> list:
        for name, content in (('found.txt', found), ('there.txt', there)):
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return ['found.txt', 'there.txt']

    return make


def line(number: int, content: str) -> Make:
    """The detections with another line."""
    lines = FOUND.splitlines()
    lines[number] = content
    return text('\n'.join(lines) + '\n')


TEXTS = [
    pytest.param(line(1, 'b.jpg dog 0.8 5 5 20'), [r'found\.txt:2', 'expected: image class score'], id='few-columns'),
    pytest.param(line(0, 'a.jpg,cat,0.9,1,2,30,40'), [r'found\.txt:1', 'expected: image class score'], id='commas'),
    pytest.param(line(1, 'b.jpg dog nan 5 5 20 20'), [r'found\.txt:2', "score 'nan'", 'finite'], id='score-nan'),
    pytest.param(line(1, 'b.jpg dog inf 5 5 20 20'), [r'found\.txt:2', "score 'inf'", 'finite'], id='score-inf'),
    pytest.param(line(1, 'b.jpg dog high 5 5 20 20'), [r'found\.txt:2', "score 'high'", 'finite'], id='score-text'),
    pytest.param(line(1, 'b.jpg dog 0.8 5 x 20 20'), [r'found\.txt:2', "corner 'x'"], id='corner-text'),
    pytest.param(line(1, 'b.jpg dog 0.8 5 nan 20 20'), [r'found\.txt:2', "corner 'nan'"], id='corner-nan'),
    pytest.param(line(1, 'b.jpg dog 0.8 20 20 5 5'), [r'found\.txt:2', 'x1 <= x2'], id='corners-inverted'),
    pytest.param(text(b'\xff\xfea\0'), [r'found\.txt: no UTF-8 text', 'JSON'], id='utf-16'),
    pytest.param(text(b'\x80\x04\x95pickle'), [r'found\.txt: no UTF-8 text'], id='pickle'),
    pytest.param(text(there=''), [r'there\.txt', 'no object in it'], id='empty-truth'),
    pytest.param(text(there=FOUND), [r'there\.txt:1', 'detections|difficult|corner'], id='detections-as-truth'),
    pytest.param(text(there='a.jpg cat 1 2 30 40 maybe\n'), [r'there\.txt:1', "'maybe'"], id='flag'),
    pytest.param(text(there='a.jpg cat 30 40 1 2\n'), [r'there\.txt:1', 'x1 <= x2'], id='truth-inverted'),
]


@pytest.mark.parametrize(('make', 'parts'), TEXTS)
def test_text(make, parts, work, refused):
    refused(TOOL, [*make(work), '--out', 'out'], *parts)


SLIPS = [
    pytest.param('b.jpg dgo 0.8 5 5 20 20', ["class 'dgo'", "did you mean 'dog'"], id='unknown-class'),
    pytest.param('z.jpg dog 0.8 5 5 20 20', ["image 'z.jpg'"], id='unknown-image'),
]


@pytest.mark.parametrize(('changed', 'parts'), SLIPS)
def test_slips(changed, parts, work, load_tool, capsys):
    """A class or image that the truth does not have may be right: it is scored, and said."""
    assert load_tool(TOOL).main(line(1, changed)(work)) == 0
    shown = capsys.readouterr().err
    for part in ['warning: found.txt: 1 detections count as wrong', *parts]:
        assert part in shown


IMAGE = dict(
    image='VOC2007/1',
    source='VOC2007',
    boxes=[[1, 2, 3, 4]],
    scores=[0.5],
    labels=[0],
    true_boxes=[[1, 2, 3, 4]],
    true_labels=[1],
    difficult=[False],
)


def document(classes: object = ('cat', 'dog'), **changes: object) -> Make:
    """A file of a test with one image whose entries are changed; None leaves one out."""
    row = {key: value for key, value in (IMAGE | changes).items() if value is not None}
    return raw(json.dumps(dict(classes=classes, images=[row])))


def raw(content: str) -> Make:
    def make(folder: Path) -> list:
        (folder / 'd.json').write_text(content)
        return ['d.json']

    return make


DOCUMENTS = [
    pytest.param(document(labels=[2]), ['VOC2007/1', 'label 2', '2 classes', 'num_classes'], id='label-too-large'),
    pytest.param(document(labels=[-1]), ['VOC2007/1', 'label -1'], id='label-negative'),
    pytest.param(document(labels=['cat']), ['VOC2007/1', 'cat', 'no whole number'], id='label-text'),
    pytest.param(document(labels=[0.5]), ['VOC2007/1', '0.5', 'no whole number'], id='label-fraction'),
    pytest.param(document(scores=[float('nan')]), ['VOC2007/1', 'nan', 'finite'], id='score-nan'),
    pytest.param(document(scores=[0.5, 0.4]), ['VOC2007/1', 'labels|boxes', 'scores'], id='columns-differ'),
    pytest.param(document(scores=['x']), [r'images\[0\]', "'x'"], id='score-text'),
    pytest.param(document(boxes=[[1, 2, 3]]), ['VOC2007/1', 'boxes', '4'], id='three-corners'),
    pytest.param(document(boxes=[[1, 2, float('inf'), 4]]), ['VOC2007/1', 'inf', 'finite'], id='box-infinite'),
    pytest.param(document(true_boxes=[[3, 4, 1, 2]]), ['VOC2007/1', 'x1 <= x2'], id='truth-inverted'),
    pytest.param(document(difficult=None), [r'images\[0\]', 'difficult'], id='missing-entry'),
    pytest.param(document(mask=[1]), [r'images\[0\]', 'mask'], id='unknown-entry'),
    pytest.param(document(classes='cat'), ['classes', 'list'], id='classes-text'),
    pytest.param(document(classes=['cat', 'cat']), ["classes has 'cat' twice", 'rename'], id='classes-repeated'),
    pytest.param(raw('{"classes": ["cat"], "images": {}}'), ['images', 'list'], id='images-no-list'),
    pytest.param(raw('{"classes": ["cat"], "images": [5]}'), [r'images\[0\]', '5'], id='image-number'),
    pytest.param(raw('{"classes": ["cat"], "images": []}'), ['no object', 'ground truth'], id='no-images'),
    pytest.param(raw('{"classes": ["cat"], "ima'), ['no JSON', 'char'], id='truncated'),
    pytest.param(raw(''), ['no JSON'], id='empty'),
    pytest.param(raw('[' * 100_000), ['no JSON'], id='deeply-nested'),
    pytest.param(raw('[]'), ['neither classes nor images', 'annotations'], id='list-without-truth'),
    pytest.param(raw('{"mAP": 0.5}'), ['neither classes nor images', 'annotations'], id='other-json'),
]


@pytest.mark.parametrize(('make', 'parts'), DOCUMENTS)
def test_document(make, parts, work, refused):
    refused(TOOL, [*make(work), '--out', 'out'], r'd\.json', *parts)


COCO = dict(
    images=[dict(id=1, file_name='a.jpg')],
    categories=[dict(id=7, name='cat')],
    annotations=[dict(image_id=1, category_id=7, bbox=[1, 2, 3, 4])],
)
RESULT = dict(image_id=1, category_id=7, bbox=[1, 2, 3, 4], score=0.5)


def coco(result: dict | None = None, truth: dict | None = None) -> Make:
    def make(folder: Path) -> list:
        (folder / 'd.json').write_text(json.dumps([RESULT | (result or {})]))
        (folder / 't.json').write_text(json.dumps(COCO | (truth or {})))
        return ['d.json', 't.json']

    return make


RESULTS = [
    pytest.param(coco(dict(category_id=9)), [r'd\.json: \[0\]', 'category_id 9'], id='unknown-category'),
    pytest.param(coco(dict(image_id='1')), [r'd\.json: \[0\]', "image_id '1'"], id='id-as-text'),
    pytest.param(coco(dict(image_id=[1])), [r'd\.json: \[0\]', 'image_id'], id='id-as-list'),
    pytest.param(coco(dict(score=None)), [r'd\.json: \[0\]', 'score None'], id='score-null'),
    pytest.param(coco(dict(bbox=[1, 2, -3, 4])), [r'd\.json: \[0\]', 'x1 <= x2'], id='negative-width'),
    pytest.param(coco(dict(bbox=[1, 2])), [r'd\.json: \[0\]', 'bbox|unpack|4'], id='two-numbers'),
    pytest.param(coco(truth=dict(images=[])), [r't\.json', 'image_id 1'], id='truth-without-its-image'),
    pytest.param(coco(truth=dict(images=[dict(id=1), dict(id=1)])), [r't\.json', 'id 1 twice'], id='image-twice'),
    pytest.param(
        coco(truth=dict(categories=[dict(id=7, name='cat'), dict(id=8, name='cat')])),
        [r't\.json', 'one name', 'rename'],
        id='category-twice',
    ),
    pytest.param(coco(truth=dict(annotations=5)), [r't\.json', 'annotations', 'list'], id='annotations-number'),
]


@pytest.mark.parametrize(('make', 'parts'), RESULTS)
def test_coco(make, parts, work, refused):
    refused(TOOL, [*make(work), '--out', 'out'], *parts)


def missing(folder: Path) -> list:
    return ['gone.txt', *text()(folder)[1:]]


def mixed(folder: Path) -> list:
    return [document()(folder)[0], text()(folder)[1]]


def text_and_folder(folder: Path) -> list:
    (folder / 'd').mkdir()
    return [text()(folder)[0], 'd']


def empty_folder(folder: Path) -> list:
    (folder / 'd').mkdir()
    return ['d', '.']


ARGUMENTS = [
    pytest.param(missing, [r'gone\.txt'], id='missing'),
    pytest.param(mixed, [r'd\.json', 'holds its own ground truth', r'leave .*there\.txt away'], id='truth-twice'),
    pytest.param(lambda folder: text()(folder)[:1], [r'found\.txt: holds no ground truth', 'name'], id='no-truth'),
    pytest.param(text_and_folder, ['d', 'directory|folder'], id='folder-as-truth'),
    pytest.param(empty_folder, ['d: ', 'expected files comp4_det'], id='folder-without-results'),
]


@pytest.mark.parametrize(('make', 'parts'), ARGUMENTS)
def test_arguments(make, parts, work, refused):
    refused(TOOL, [*make(work), '--out', 'out'], *parts)
