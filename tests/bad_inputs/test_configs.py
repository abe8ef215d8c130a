"""Configs that cannot be read or built: every tool that takes one says which file, which line and what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

MODEL = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64, loss=dict(type='CrossEntropyLoss')))
"""


def write(text: str | bytes, name: str = 'c.py', **others: str) -> Callable[[Path], str]:
    """Makes a config, and its bases by name without the suffix; returns its name."""

    def make(folder: Path) -> str:
        for other, content in others.items():
            (folder / f'{other}.py').write_text(content)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return make


def no_file(folder: Path) -> str:
    return 'gone.py'


def a_folder(folder: Path) -> str:
    (folder / 'c.py').mkdir()
    return 'c.py'


def dangling_link(folder: Path) -> str:
    (folder / 'c.py').symlink_to('gone.py')
    return 'c.py'


UNREADABLE = [
    pytest.param(no_file, [r'gone\.py: no such config', 'the path|configs'], id='missing'),
    pytest.param(a_folder, [r'c\.py: is a folder', 'give the path of a config'], id='folder'),
    pytest.param(dangling_link, [r'c\.py: no such config'], id='dangling-link'),
    pytest.param(write('model = dict(\n'), [r'c\.py:1: ', 'never closed', 'correct it'], id='syntax-bracket'),
    pytest.param(write('a = 1\nb = 2 2\n'), [r'c\.py:2: ', 'b = 2 2'], id='syntax-second-line'),
    pytest.param(write('if True:\nx = 1\n'), [r'c\.py:2: ', 'indented block'], id='syntax-indent'),
    pytest.param(write(b'a = "\xff\xfe"\n'), [r'c\.py: no UTF-8 text'], id='not-utf8'),
    pytest.param(write(b'\x80\x02}q\x00.', 'c.py'), [r'c\.py: no UTF-8 text'], id='pickle-as-config'),
    pytest.param(write(b'a = 1\0'), [r'c\.py', 'null bytes'], id='null-bytes'),
    pytest.param(write('a=1', 'c.txt'), [r'c\.txt', r"suffix '\.txt'", r'\.py'], id='not-py'),
    pytest.param(write('a=1', 'c'), [r'c: no config', r'\.py'], id='no-suffix'),
    pytest.param(write('a: [1', 'c.yml'), [r'c\.yml: no valid YML', 'correct it'], id='yaml-broken'),
    pytest.param(write('{"a": ', 'c.json'), [r'c\.json: no valid JSON', 'column'], id='json-truncated'),
    pytest.param(write('[1]', 'c.json'), [r'c\.json: holds list', 'names and values'], id='json-list'),
    pytest.param(
        write("_base_ = 'gone.py'\n"), [r"c\.py: its base 'gone\.py' is missing", '_base_'], id='base-missing'
    ),
    pytest.param(write("_base_ = ['b.py']\n", b='model = (\n'), [r'b\.py:1: ', 'never closed'], id='base-syntax'),
    pytest.param(write("_base_ = 'c.py'\n"), [r'c\.py', r'circle \(c\.py -> c\.py\)'], id='base-itself'),
    pytest.param(
        write("_base_ = 'b.py'\n", b="_base_ = 'd.py'\n", d="_base_ = 'b.py'\n"),
        [r'circle \(b\.py -> d\.py -> b\.py\)', 'remove one _base_'],
        id='base-cycle',
    ),
    pytest.param(write('_base_ = 3\n'), [r'c\.py: _base_ is 3', 'list of paths'], id='base-number'),
    pytest.param(
        write("_base_ = ['b.py', 'd.py']\n", b='a = 1\n', d='a = 2\n'), [r'c\.py', 'Duplicate', 'a'], id='base-twice'
    ),
    pytest.param(
        write("_base_ = 'b.py'\na = dict(b=1)\n", b='a = 1\n'), [r'c\.py', 'a is a dict', '_delete_'], id='base-type'
    ),
    pytest.param(write("_base_ = 'b.py'\na = {{_base_.nope}}\n", b='b = 1\n'), [r'c\.py', 'nope'], id='base-variable'),
    pytest.param(write('a = 1 / 0\n'), [r'c\.py: ZeroDivisionError'], id='raises'),
    pytest.param(write('a = undefined_name\n'), [r'c\.py', "'undefined_name' is not defined"], id='undefined-name'),
    pytest.param(write('import sys\nsys.exit(3)\n'), [r'c\.py: SystemExit'], id='exits'),
    pytest.param(
        write("custom_imports = dict(imports=['no_such_package'])\n"),
        [r'c\.py', 'no_such_package', 'custom_imports'],
        id='import-missing',
    ),
    pytest.param(write(''), [r'c\.py', 'no `?model`?', 'leaf config'], id='empty'),
    pytest.param(write('model = None\ndefault_scope = "mmseg"\n'), [r'c\.py', 'model', 'leaf config'], id='model-none'),
]


@pytest.mark.parametrize(('make', 'parts'), UNREADABLE)
def test_unreadable(make, parts, work, refused):
    refused('get_flops.py', [make(work), '--shape', 32, 32], *parts)


def edit(old: str, new: str) -> Callable[[Path], str]:
    assert old in MODEL
    return write(MODEL.replace(old, new))


UNBUILDABLE = [
    pytest.param(edit("'ResNet'", "'ResNett'"), ["'ResNett' is no", "did you mean 'ResNet'"], id='type-misspelt'),
    pytest.param(edit("'LinearClsHead'", "'Head9'"), ["'Head9' is no", 'correct the name'], id='type-unknown'),
    pytest.param(edit('base_channels', 'base_chanels'), ['base_chanels', "mean 'base_channels'"], id='key-misspelt'),
    pytest.param(edit('depth=18', 'depth=19'), ['ResNet', '19', 'correct the settings'], id='value-unknown'),
    pytest.param(edit('depth=18', "depth='18'"), ['ResNet', '18', 'correct the settings'], id='value-text'),
    pytest.param(edit('num_classes=3', 'num_classes=-3'), ['LinearClsHead', '-3'], id='value-negative'),
    pytest.param(edit("type='ResNet', ", ''), ['"type"'], id='type-missing'),
    pytest.param(edit("backbone=dict(type='ResNet', ", "backbone='ResNet', q=dict("), ['c.py'], id='text-for-dict'),
    pytest.param(edit("default_scope = 'mmpretrain'", "default_scope = 'mmcls'"), ['mmcls', 'mmseg'], id='scope-old'),
    pytest.param(edit("default_scope = 'mmpretrain'", ''), ['default_scope is None', 'expected one'], id='scope-none'),
]


@pytest.mark.parametrize(('make', 'parts'), UNBUILDABLE)
def test_unbuildable(make, parts, work, refused):
    refused('get_flops.py', [make(work), '--shape', 32, 32], r'c\.py', *parts)


OPTIONS = [
    pytest.param('modell.type=ResNet', ['modell', "mean 'model'", 'no effect'], id='misspelt'),
    pytest.param('model.type.name=1', ['model.type.name=1', 'correct the names'], id='below-text'),
    pytest.param('optim_wraper.optimizer.lr=1', ["mean 'optim_wrapper'"], id='misspelt-of-runner'),
]


@pytest.mark.parametrize(('option', 'parts'), OPTIONS)
def test_options(option, parts, work, refused):
    refused('get_flops.py', [write(MODEL)(work), '--shape', 32, 32, '--cfg-options', option], r'c\.py', *parts)


# One fault that no tool can pass by, through every tool that reads a config.
TOOLS = [
    pytest.param('train.py', [], id='train'),
    pytest.param('test.py', ['w.pth'], id='test'),
    pytest.param('predict.py', ['w.pth', 'p.png', '--out', 'out'], id='predict'),
    pytest.param('analysis/class_weights.py', [], id='class_weights'),
    pytest.param('analysis/embed.py', ['w.pth', '--out', 'out'], id='embed'),
    pytest.param('analysis/attention.py', ['p.png', '--out', 'out'], id='attention'),
    pytest.param('analysis/model_table.py', [], id='model_table'),
]


@pytest.mark.parametrize(('make', 'part'), [(no_file, r'gone\.py: no such'), (write('a = (\n'), r'c\.py:1: ')])
@pytest.mark.parametrize(('tool', 'rest'), TOOLS)
def test_every_tool(tool, rest, make, part, work, refused):
    for name in ('w.pth', 'p.png'):
        (work / name).write_bytes(b'x')
    refused(tool, [make(work), *rest], part)


@pytest.mark.parametrize('fault', ['missing', 'syntax'])
def test_compare_models(fault, work, refused):
    from PIL import Image

    Image.new('RGB', (8, 8)).save('f.png')
    config = {'missing': no_file, 'syntax': write('a = (\n')}[fault](work)
    part = {'missing': r'gone\.py: no such', 'syntax': r'c\.py:1: '}[fault]
    refused('analysis/compare_models.py', ['f.png', '--model', 'a', config, '--out', 'out'], part)
