"""Folders of runs, and tables, that cannot be compared, drawn or read."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

Make = Callable[[Path], list]
CLASSES = ['road', 'car']


def image(name: str = 'a.png', confusion: object = ((0, 0, 9), (1, 1, 5)), classes: object = CLASSES) -> str:
    return json.dumps(dict(image=name, mIoU=100.0, classes=classes, confusion=confusion)) + '\n'


GOOD = image('a.png') + image('b.png', [[0, 1, 3], [1, 1, 11]])


def scores(content: str | bytes) -> Make:
    """Two files of per-image scores; the second is bad."""

    def make(folder: Path) -> list:
        (folder / 'one.jsonl').write_text(GOOD)
        (folder / 'two.jsonl').write_bytes(content if isinstance(content, bytes) else content.encode())
        return ['one.jsonl', 'two.jsonl']

    return make


def no_run(folder: Path) -> list:
    return [scores(GOOD)(folder)[0], 'gone']


def empty_run(folder: Path) -> list:
    (folder / 'empty').mkdir()
    return [scores(GOOD)(folder)[0], 'empty']


SCORES = [
    pytest.param(no_run, ['gone: neither a file nor a folder', 'SegmentationMetric'], id='missing'),
    pytest.param(empty_run, ['empty: neither', 'image_scores'], id='empty-folder'),
    pytest.param(scores(''), [r'two\.jsonl: holds no image', 'repeat the evaluation'], id='empty-file'),
    pytest.param(scores(GOOD[:-20]), [r'two\.jsonl:2', 'not a line of per-image scores'], id='cut-line'),
    pytest.param(scores(GOOD + '\0\0\0\n'), [r'two\.jsonl:3', 'not a line of per-image scores'], id='zeros-at-the-end'),
    pytest.param(scores(b'\xff\xfe{\0'), [r'two\.jsonl', 'text|UTF-8|utf-8'], id='utf-16'),
    pytest.param(scores('[1, 2]\n'), [r'two\.jsonl:1', 'not a line'], id='other-json'),
    pytest.param(scores('{"image": "a.png"}\n'), [r'two\.jsonl:1', 'classes'], id='missing-entries'),
    pytest.param(scores(image('a.png') * 2), [r'two\.jsonl:2', r'a\.png occurs twice'], id='image-twice'),
    pytest.param(
        scores(GOOD + image('c.png', classes=['road', 'bus'])), [r'two\.jsonl:3', 'differ'], id='classes-change'
    ),
    pytest.param(scores(image('a.png', [[0, 7, 3]])), [r'two\.jsonl:1', 'out of bounds|class'], id='class-too-large'),
    pytest.param(scores(image('a.png', [[0, -1, 3]])), [r'two\.jsonl:1', '-1'], id='class-negative'),
    pytest.param(scores(image('a.png', [[0, 0, -3]])), [r'two\.jsonl:1', '-3'], id='pixels-negative'),
    pytest.param(scores(image('a.png', [[0, 0]])), [r'two\.jsonl:1', 'not a line'], id='two-numbers'),
    pytest.param(scores(image('a.png', [['x', 0, 1]])), [r'two\.jsonl:1', 'not a line'], id='text'),
    pytest.param(scores(image('a.png')), [r'one\.jsonl and two\.jsonl', r'b\.png', 'same data'], id='fewer-images'),
    pytest.param(
        scores(GOOD.replace('"car"', '"bus"')),
        [r'one\.jsonl and two\.jsonl', 'classes differ', 'bus'],
        id='other-classes',
    ),
    pytest.param(
        scores(GOOD.replace('11]', '12]')),
        ['ground truth differs', r'b\.png', '11', '12', 'same masks'],
        id='other-truth',
    ),
]


@pytest.mark.parametrize(('make', 'parts'), SCORES)
def test_comparison(make, parts, work, refused):
    refused('analysis/compare_runs.py', [*make(work), '--out', 'out', '--resamples', 20], *parts)


def test_metric_that_no_run_has(work, refused):
    argv = [*scores(GOOD)(work), '--resamples', 20, '--metric']
    refused('analysis/compare_runs.py', [*argv, 'mIuO'], 'mIuO', 'mIoU')
    refused('analysis/compare_runs.py', [*argv, 'IoU.bus'], 'bus', 'road, car')
    refused('analysis/compare_runs.py', [*argv, 'mIoU', '--not-in-mean', 'bus'], 'bus', 'road, car')


TRAIN = ''.join(json.dumps(dict(lr=0.1, loss=1 / step, iter=step, step=step)) + '\n' for step in range(1, 5))


def run(content: str | bytes) -> Make:
    def make(folder: Path) -> list:
        path = folder / 'run/20260101_000000/vis_data/scalars.json'
        path.parent.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ['run']

    return make


def two_runs(folder: Path) -> list:
    other = json.dumps(dict(lr=0.1, loss=1.0, epoch=1, iter=5, step=5)) + '\n'
    (folder / 'epochs').mkdir()
    (folder / 'epochs/scalars.json').write_text(other)
    return [*run(TRAIN)(folder), 'epochs']


def log_without_scalars(folder: Path) -> list:
    (folder / 'run/20260101_000000').mkdir(parents=True)
    (folder / 'run/20260101_000000/20260101_000000.log').write_text('mmengine - INFO\n')
    return ['run']


CURVES = [
    pytest.param(lambda folder: ['gone'], ['gone: no such file or folder', 'work dir'], id='missing'),
    pytest.param(log_without_scalars, ['run: holds no', r'scalars\.json', 'vis_backends'], id='no-scalars'),
    pytest.param(run(''), [r'scalars\.json', 'no scalars'], id='empty'),
    pytest.param(run(TRAIN + 'x\n' + TRAIN), [r'scalars\.json: line 5', "'x'", 'mmengine'], id='broken-line'),
    pytest.param(run('[1]\n' + TRAIN), [r'scalars\.json: line 1', r'\[1\]'], id='no-object'),
    pytest.param(run('{"lr": 0.1'), [r'scalars\.json: line 1'], id='one-cut-line'),
    pytest.param(run(b'\x80\x02}q\0.'), [r'scalars\.json: line 1'], id='binary'),
    pytest.param(run('{"a": "b"}\n'), ['nothing|no '], id='no-numbers'),
    pytest.param(two_runs, ['counts epochs', 'iterations', 'apart'], id='epochs-and-iterations'),
]


@pytest.mark.parametrize(('make', 'parts'), CURVES)
def test_curves(make, parts, work, refused):
    refused('analysis/plot_runs.py', [*make(work), '--out', 'out'], *parts)


def test_metrics_and_names_of_curves(work, refused):
    argv = [*run(TRAIN)(work), '--out', 'out']
    refused('analysis/plot_runs.py', [*argv, '--metrics', 'mIuO'], 'mIuO', r'scalars\.json', 'there are')
    refused('analysis/plot_runs.py', [*argv, '--names', 'a', 'b'], '2 names for 1 runs', 'one a run')
    refused('analysis/plot_runs.py', [*argv, '--figures', 'metrics'], 'metrics', r'scalars\.json|no')


def test_a_cut_last_line_is_left_out_and_said(work, load_tool, capsys):
    """A killed run must stay readable."""
    make = run(TRAIN + '{"lr": 0.1, "lo')
    assert load_tool('analysis/plot_runs.py').main([*make(work), '--out', 'out', '--figures', 'losses']) == 0
    assert 'line 5, the last one, is cut off' in capsys.readouterr().err


ROW = '- {report: r, table: t, model: m, config: c.py, metrics: {mIoU: 50.0 %}}\n'
# Each level refers ten times to the one before: a text of all would have 10^9 entries.
LEVELS = 'abcdefghi'
YAML_BOMB = '- &a [x, x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'- &{new} [{", ".join([f"*{old}"] * 10)}]\n' for old, new in pairwise(LEVELS)
)
TABLES = [
    pytest.param('', ['NoneType', 'list of rows'], id='empty'),
    pytest.param('report: r\n', ['dict', 'list of rows'], id='no-list'),
    pytest.param(ROW + '- {report: r\n', ['no valid YAML'], id='truncated'),
    pytest.param(ROW.replace('table', 'tabel'), ['row 1', 'tabel', 'table'], id='key-misspelt'),
    pytest.param(ROW.replace('50.0 %', '50.0'), ['row 1', 'metrics.mIoU', '62.89 %'], id='no-unit'),
    pytest.param(ROW.replace('50.0 %', 'nan %'), ['row 1', 'metrics.mIoU', 'nan'], id='nan'),
    pytest.param(ROW.replace('50.0 %', '-5.0 %'), ['row 1', 'metrics.mIoU', '-5.0'], id='negative'),
    pytest.param(ROW.replace('model: m', 'model: 5'), ['row 1', 'model: 5', 'text'], id='number-for-text'),
    pytest.param('- !!python/object/apply:os.system ["touch canary"]\n', ['no valid YAML'], id='python-object'),
    pytest.param(YAML_BOMB, ['row 1'], id='alias-bomb'),
    pytest.param('- ' + YAML_BOMB.replace('\n', '\n  '), ['row 1'], id='alias-bomb-in-a-row'),
    pytest.param(b'\xff\xfe-\0', ['UTF-8|utf-8|YAML'], id='utf-16'),
]


@pytest.mark.parametrize(('content', 'parts'), TABLES)
def test_table(content, parts, work, refused):
    (work / 't.yml').write_bytes(content if isinstance(content, bytes) else content.encode())
    shown = refused('analysis/recipe_table.py', ['--published', 't.yml', '--markdown', 'out.md'], r't\.yml', *parts)
    assert len(shown) < 1000


def test_table_that_is_not_there(work, refused):
    refused('analysis/recipe_table.py', ['--published', 'gone.yml'], r'gone\.yml', 'No such file|no such')
    refused('analysis/recipe_table.py', ['--report', 'kiti'], '--report kiti', 'kitti')


def test_recipes_that_are_not_there(work, load_tool, capsys):
    """Every recipe of the table is looked for below --root; each one missing is named."""
    assert load_tool('analysis/recipe_table.py').main(['--root', 'nowhere', '--report', 'kitti']) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors
    assert all(line.startswith('error: configs/') and 'is missing' in line for line in errors)
