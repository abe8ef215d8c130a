"""Files of class weights that a loss must not train with, and counts that no weights follow from."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.class_balance import load_class_weight, read_class_statistics

NAMES = ['road', 'car', 'sky']
GOOD = dict(
    scheme='log1p',
    names=NAMES,
    pixels=[9, 5, 1],
    images=[2, 2, 1],
    image_pixels=[16, 16, 8],
    ignored_pixels=0,
    num_files=2,
    files_sha256='00',
    weights=[0.5, 1.0, 1.5],
)


def changed(**changes: object) -> Callable[[Path], None]:
    """The good file with other entries; None leaves one out."""
    content = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return lambda path: path.write_text(json.dumps(content)) and None


def write(content: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode()) and None


TOOL = 'tools/analysis/class_weights.py'
CASES = [
    pytest.param(changed(names=NAMES[:2], weights=[1, 2]), ['2 weights for 3 classes', TOOL], id='missing-class'),
    pytest.param(changed(weights=[1, 2]), ['2 weights', TOOL], id='too-few'),
    pytest.param(changed(weights=[1, 2, 3, 4]), ['4 weights', TOOL], id='too-many'),
    pytest.param(changed(weights=[]), ['0 weights', TOOL], id='none'),
    pytest.param(changed(weights=[1, float('nan'), 1]), ['nan', 'car', 'finite'], id='nan'),
    pytest.param(changed(weights=[1, float('inf'), 1]), ['inf', 'car', 'finite'], id='infinite'),
    pytest.param(changed(weights=[1, -0.5, 1]), ['-0.5', 'car', '>= 0'], id='negative'),
    pytest.param(changed(weights=[0, 0, 0]), ['all .* 0', 'nothing', TOOL], id='all-zero'),
    pytest.param(changed(weights=[1, '2', 1]), ["'2'", 'car', 'number'], id='text'),
    pytest.param(changed(weights=[1, None, 1]), ['None', 'car', 'number'], id='null'),
    pytest.param(changed(weights=[1, [2], 1]), [r'\[2\]', 'car', 'number'], id='nested'),
    pytest.param(changed(weights=[1, True, 1]), ['True', 'car', 'number'], id='bool'),
    pytest.param(changed(weights={'road': 1}), ['dict', 'list'], id='by-name'),
    pytest.param(changed(weights='1 2 3'), ['str', 'list'], id='one-text'),
    pytest.param(changed(weights=3.0), ['float', 'list'], id='one-number'),
    pytest.param(changed(weights=None), ["no entry 'weights'", TOOL], id='no-weights'),
    pytest.param(changed(names=['road', 'sky', 'car']), ['"sky" at position 1', '"car" at', TOOL], id='other-order'),
    pytest.param(changed(names=['a', 'b', 'c']), ['"a" at position 0', '"road"', TOOL], id='other-classes'),
    pytest.param(changed(names=5), ['names', TOOL], id='names-number'),
    pytest.param(write(json.dumps(GOOD)[:-30]), ['not a JSON file', 'char', TOOL], id='truncated'),
    pytest.param(write(json.dumps(GOOD)[:-1] + ', "weights": [9, 9, 9]}'), ["'weights' twice"], id='duplicate-key'),
    pytest.param(write(''), ['not a JSON file', TOOL], id='empty'),
    pytest.param(write(b'\xff\xfe{\0'), ['not a JSON file', TOOL], id='utf-16'),
    pytest.param(write('[1, 2, 3]'), ["no entry 'weights'", TOOL], id='bare-list'),
    pytest.param(write('road: 1\ncar: 2\n'), ['not a JSON file', TOOL], id='yaml'),
    pytest.param(write('[' * 100_000), ['not a JSON file', TOOL], id='deeply-nested'),
    pytest.param(write(json.dumps(GOOD).replace('0.5', '1' + '0' * 400)), ['road', 'finite'], id='huge-number'),
    pytest.param(lambda path: path.mkdir(), ['folder|directory', TOOL], id='folder'),
    pytest.param(lambda path: None, ['no such class weight file', TOOL], id='missing'),
]


@pytest.mark.parametrize(('spoil', 'parts'), CASES)
def test_file_of_a_loss(spoil, parts, work, unchanged):
    path = work / 'w.json'
    spoil(path)
    with unchanged(work), pytest.raises((ValueError, OSError)) as error:
        load_class_weight(path, 3, NAMES)
    message = str(error.value)
    assert 'w.json' in message
    assert len(message.splitlines()) == 1
    for part in parts:
        assert re.search(part, message), message


LISTS = [
    pytest.param([1.0, 2.0], ['2 weights for 3 classes', 'one weight a class'], id='too-few'),
    pytest.param([1, float('nan'), 1], ['class_weight: weight nan', 'car|position 1'], id='nan'),
    pytest.param([1, 'x', 1], ["weight 'x'", 'number'], id='text'),
    pytest.param([0, 0, 0], ['all .* 0'], id='all-zero'),
    pytest.param(5, ['class_weight', '5', 'list'], id='number'),
]


@pytest.mark.parametrize(('value', 'parts'), LISTS)
def test_list_of_a_loss(value, parts):
    with pytest.raises(ValueError) as error:
        load_class_weight(value, 3, NAMES)
    for part in parts:
        assert re.search(part, str(error.value)), str(error.value)


COUNTS = [
    pytest.param(changed(pixels=None), ["'pixels'", TOOL], id='no-pixels'),
    pytest.param(changed(pixels=[1, 2]), ['one entry per class'], id='too-few'),
    pytest.param(changed(pixels=[1, -2, 3]), ['-2', 'pixels'], id='negative'),
    pytest.param(changed(pixels=[1, 'x', 3]), ["'x'", 'pixels'], id='text'),
    pytest.param(write('[]'), [TOOL], id='list'),
]


@pytest.mark.parametrize(('spoil', 'parts'), COUNTS)
def test_counts(spoil, parts, work):
    spoil(work / 'w.json')
    with pytest.raises(ValueError, match=r'w\.json') as error:
        read_class_statistics(work / 'w.json')
    for part in parts:
        assert re.search(part, str(error.value)), str(error.value)


def test_a_loss_names_the_file(work, mmseg_scope):
    """What the loss raises when a run is built is this message, not one of torch."""
    from mmseg.registry import MODELS

    changed(weights=[1, -0.5, 1])(work / 'w.json')
    with pytest.raises(ValueError, match=r'w\.json: weight -0\.5 .*car'):
        MODELS.build(dict(type='ClassBalancedLoss', class_weight='w.json')).class_weight  # noqa: B018


def masks(folder: Path, value: int) -> None:
    (folder / 'masks').mkdir()
    for number in range(2):
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(folder / f'masks/{number}.png')


FOLDERS = [
    pytest.param(255, NAMES, ['masks', 'ignored', 'no labelled pixel|nothing'], id='nothing-labelled'),
    pytest.param(7, NAMES, ['value 7 at 24 pixels', r'0\.\.2', 'correct'], id='more-classes-than-names'),
    pytest.param(0, ['road', 'road'], [r'names\.txt: 2 names, 1 different'], id='names-repeated'),
    pytest.param(0, [], [r'names\.txt: 0 names'], id='names-empty'),
]


@pytest.mark.parametrize(('value', 'names', 'parts'), FOLDERS)
def test_counting_named_classes(value, names, parts, work, refused):
    masks(work, value)
    (work / 'names.txt').write_text('\n'.join(names))
    refused('analysis/class_weights.py', ['masks', '--classes', 'names.txt', '--out', 'out'], *parts)
