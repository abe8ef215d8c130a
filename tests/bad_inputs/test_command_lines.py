"""Command lines that make no sense: refused before anything is written, with the option, the value and the fix."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Never looked into: the command line is refused before.
MISSING = [
    pytest.param('train.py', [], ['config'], id='train'),
    pytest.param('test.py', ['c.py'], ['checkpoint'], id='test'),
    pytest.param('predict.py', ['c.py', 'w.pth', 'in'], ['--out'], id='predict'),
    pytest.param('get_flops.py', [], ['config'], id='get_flops'),
    pytest.param('analysis/attention.py', ['c.py', 'p.png'], ['--out'], id='attention'),
    pytest.param('analysis/class_weights.py', [], ['CONFIG'], id='class_weights'),
    pytest.param('analysis/compare_models.py', ['f.png', '--out', 'out'], ['--model'], id='compare_models'),
    pytest.param('analysis/compare_runs.py', [], ['FILE'], id='compare_runs'),
    pytest.param('analysis/embed.py', ['c.py', 'w.pth'], ['--out'], id='embed'),
    pytest.param('analysis/eval_detections.py', [], ['detections'], id='eval_detections'),
    pytest.param('analysis/model_table.py', [], ['CONFIG'], id='model_table'),
    pytest.param('analysis/plot_runs.py', [], ['RUN'], id='plot_runs'),
    pytest.param('prepare/kitti.py', ['raw'], ['out'], id='kitti'),
    pytest.param('prepare/land_cover.py', ['raw', 'out'], ['--val', '--val-count', '--list'], id='land_cover'),
    pytest.param('prepare/convert_vgg.py', ['w.pth'], ['DST'], id='convert_vgg'),
]


@pytest.mark.parametrize(('tool', 'argv', 'parts'), MISSING)
def test_missing_arguments(tool, argv, parts, misused):
    misused(tool, argv, 'required', *parts)


CHOICES = [
    pytest.param('train.py', ['c.py', '--launcher', 'slrum'], ['slrum', 'slurm'], id='launcher'),
    pytest.param('train.py', ['c.py', '--sed', '1'], ['--sed'], id='no-such-option'),
    pytest.param('train.py', ['c.py', '--seed', 'x'], ['--seed', "'x'"], id='seed-text'),
    pytest.param('test.py', ['c.py', 'w.pth', '--out-label', 'd'], ['--out-label'], id='no-abbreviations'),
    pytest.param('predict.py', ['c.py', 'w.pth', 'in', '--out', 'o', '--batch', '1.5'], ['1.5'], id='batch-fraction'),
    pytest.param('get_flops.py', ['c.py', '--scope', 'head'], ['head', 'backbone'], id='scope'),
    pytest.param('get_flops.py', ['c.py', '--shape', '32'], ['--shape', '2'], id='one-side'),
    pytest.param('analysis/class_weights.py', ['m', '--scheme', 'log'], ['log', 'log1p'], id='scheme'),
    pytest.param('analysis/embed.py', ['c.py', 'w.pth', '--out', 'o', '--split', 'trn'], ['trn', 'train'], id='split'),
    pytest.param('analysis/embed.py', ['c.py', 'w', '--out', 'o', '--method', 'sne'], ['sne', 'tsne'], id='method'),
    pytest.param('analysis/attention.py', ['c', 'p', '--out', 'o', '--kinds', 'grd'], ['grd', 'grad'], id='kinds'),
    pytest.param('analysis/eval_detections.py', ['d', '--preset', 'voc'], ['voc', 'voc2007'], id='preset'),
    pytest.param('analysis/plot_runs.py', ['r', '--format', 'jpg'], ['jpg', 'png'], id='format'),
    pytest.param('analysis/plot_runs.py', ['r', '--figures', 'loss'], ['loss', 'losses'], id='figures'),
    pytest.param('prepare/voc.py', ['--rule', 'empty_box=keep'], ['empty_box=keep', 'empty_box=error|drop'], id='rule'),
    pytest.param('prepare/make_samples.py', ['--only', 'kitti'], ['kitti', 'kitti_seg'], id='sample'),
    pytest.param('prepare/convert_mit.py', ['a', 'b', '--arch', 'b9'], ['b9', 'b5'], id='arch'),
]


@pytest.mark.parametrize(('tool', 'argv', 'parts'), CHOICES)
def test_wrong_choices(tool, argv, parts, misused):
    misused(tool, argv, *(part.replace('|', r'\|') for part in parts))


PAIRS = [
    pytest.param(
        'test.py', ['c.py', 'w.pth', '--label-ids'], ['--label-ids', '--out-labels', 'give both'], id='label-ids'
    ),
    pytest.param(
        'prepare/land_cover.py',
        ['raw', 'out', '--val', 'v', '--list', 'l'],
        ['--list', 'not allowed with'],
        id='two-vals',
    ),
    pytest.param(
        'analysis/eval_detections.py', ['d', '--legacy', '--no-legacy'], ['not allowed with'], id='both-widths'
    ),
    pytest.param('analysis/compare_runs.py', ['one'], ['two runs'], id='one-run'),
    pytest.param(
        'analysis/compare_models.py',
        ['f', '--out', 'o', '--model', 'a', 'c', '--model', 'a', 'd'],
        ['name of its own'],
        id='one-name-for-two',
    ),
    pytest.param(
        'analysis/compare_models.py', ['f', '--out', 'o', '--model', 'a'], ['NAME CONFIG'], id='name-without-config'
    ),
    pytest.param('analysis/attention.py', ['c.py', 'w.pth', '--out', 'o'], ['--kinds position'], id='no-picture'),
]


@pytest.mark.parametrize(('tool', 'argv', 'parts'), PAIRS)
def test_pairs_of_options(tool, argv, parts, misused):
    misused(tool, argv, *parts)


SIZES = [
    pytest.param('predict.py', ['c', 'w', 'in', '--out', 'o', '--batch', '0'], ['--batch', 'at least 1'], id='batch'),
    pytest.param(
        'predict.py', ['c', 'w', 'in', '--out', 'o', '--workers', '-1'], ['--workers', 'at least'], id='workers'
    ),
    pytest.param(
        'predict.py', ['c', 'w', 'i', '--out', 'o', '--score-thr', 'nan'], ['--score-thr', 'nan'], id='score-nan'
    ),
    pytest.param('get_flops.py', ['c.py', '--shape', '-1', '32'], ['--shape', '-1', 'at least 1'], id='shape'),
    pytest.param('get_flops.py', ['c.py', '--by-module', '-2'], ['--by-module', '-2', 'at least 0'], id='depth'),
    pytest.param(
        'analysis/model_table.py', ['c', '--shape', '0', '9'], ['--shape', '0: must be at least 1'], id='table-shape'
    ),
    pytest.param(
        'analysis/class_weights.py',
        ['m', '--workers', '0'],
        ['--workers', '0: must be at least 1'],
        id='counting-threads',
    ),
    pytest.param(
        'analysis/class_weights.py',
        ['m', '--ignore-index', '-1'],
        ['--ignore-index', '-1: must be at least 0'],
        id='ignore-index',
    ),
    pytest.param('analysis/class_weights.py', ['m', '--beta', '1.5'], ['beta', '1.5', r'0 <= beta < 1'], id='beta'),
    pytest.param(
        'analysis/compare_runs.py',
        ['a', 'b', '--resamples', '0'],
        ['--resamples', '0: must be at least 1'],
        id='resamples',
    ),
    pytest.param(
        'analysis/compare_runs.py', ['a', 'b', '--seed', '-1'], ['--seed', '-1: must be at least 0'], id='seed'
    ),
    pytest.param(
        'analysis/embed.py', ['c', 'w', '--out', 'o', '--limit', '0'], ['--limit', '0: must be at least 4'], id='limit'
    ),
    pytest.param(
        'analysis/embed.py', ['c', 'w', '--out', 'o', '--k', '0'], ['--k', '0: must be at least 1'], id='neighbours'
    ),
    pytest.param(
        'analysis/embed.py',
        ['c', 'w', '--out', 'o', '--perplexity', 'nan'],
        ['--perplexity', 'nan: must be finite'],
        id='perplexity',
    ),
    pytest.param(
        'analysis/embed.py',
        ['c', 'w', '--out', 'o', '--seed', '-1'],
        ['--seed', '-1: must be at least 0'],
        id='embed-seed',
    ),
    pytest.param(
        'prepare/convert_vit.py',
        ['a', 'b', '--img-size', '-1'],
        ['--img-size', '-1: must be at least 1'],
        id='img-size',
    ),
    pytest.param(
        'prepare/convert_vit.py',
        ['a', 'b', '--num-classes', '0'],
        ['--num-classes', '0: must be at least 1'],
        id='classes',
    ),
    pytest.param(
        'prepare/convert_vit.py', ['a', 'b', '--num-heads', '0'], ['--num-heads', '0: must be at least 1'], id='heads'
    ),
    pytest.param('prepare/make_samples.py', ['--seed', '-1'], ['--seed', '-1: must be at least 0'], id='sample-seed'),
]


@pytest.mark.parametrize(('tool', 'argv', 'parts'), SIZES)
def test_sizes(tool, argv, parts, misused):
    misused(tool, argv, *parts)


def pairs(folder: Path) -> None:
    """Four pictures with trainIds in the raw layout of KITTI, files of per-image scores and detections, and a run."""
    for kind in ('image_2', 'semantic'):
        (folder / 'raw/training' / kind).mkdir(parents=True)
    for number in range(4):
        name = f'00000{number}_10.png'
        mask = np.random.default_rng(number).integers(0, 19, (6, 8), dtype=np.uint8)
        Image.fromarray(mask).save(folder / 'raw/training/semantic' / name)
        Image.new('RGB', (8, 6)).save(folder / 'raw/training/image_2' / name)
    for name in ('a.jsonl', 'b.jsonl'):
        row = dict(image='1.png', mIoU=1.0, classes=['road'], confusion=[[0, 0, 5]])
        (folder / name).write_text(json.dumps(row) + '\n')
    (folder / 'f.txt').write_text('a.jpg cat 0.9 1 2 30 40\n')
    (folder / 't.txt').write_text('a.jpg cat 1 2 30 40\n')
    (folder / 'run').mkdir()
    rows = [dict(lr=0.1, loss=1.0, iter=step, step=step) for step in (1, 2)]
    (folder / 'run/scalars.json').write_text(''.join(json.dumps(row) + '\n' for row in rows))


# Tools that would do their work if only the output were possible; OUT stands for it.
LATE = [
    pytest.param('prepare/kitti.py', ['raw', 'OUT', '--val-count', '1'], id='kitti'),
    pytest.param('predict.py', ['c.py', 'w.pth', 'raw', '--out', 'OUT'], id='predict'),
    pytest.param('analysis/attention.py', ['c.py', 'raw', '--out', 'OUT'], id='attention'),
]
EARLY = [
    pytest.param('prepare/make_samples.py', ['--only', 'pets', '--out', 'OUT'], id='make_samples'),
    pytest.param('analysis/class_weights.py', ['raw/training/semantic', '--out', 'OUT'], id='class_weights'),
    pytest.param(
        'analysis/compare_runs.py', ['a.jsonl', 'b.jsonl', '--resamples', '9', '--out', 'OUT'], id='compare_runs'
    ),
    pytest.param('analysis/eval_detections.py', ['f.txt', 't.txt', '--out', 'OUT'], id='eval_detections'),
    pytest.param('analysis/plot_runs.py', ['run', '--out', 'OUT'], id='plot_runs'),
    pytest.param('analysis/recipe_table.py', ['--published', 'table.yml', '--json', 'OUT/t.json'], id='recipe_table'),
    pytest.param('analysis/embed.py', ['c.py', 'w.pth', '--out', 'OUT'], id='embed'),
    pytest.param('analysis/model_table.py', ['c.py', '--markdown', 'OUT/t.md'], id='model_table'),
    pytest.param('analysis/compare_models.py', ['f', '--model', 'a', 'c.py', '--out', 'OUT'], id='compare_models'),
]
TABLE = '- {report: r, table: t, model: m, config: a.jsonl, metrics: {mIoU: 50.0 %}}\n'


@pytest.mark.parametrize(('tool', 'argv'), LATE)
def test_output_that_is_a_file(tool, argv, work, refused):
    pairs(work)
    (work / 'taken').write_text('mine')
    refused(tool, [part.replace('OUT', 'taken') for part in argv], 'taken', 'is a file|Not a directory|File exists')


@pytest.mark.parametrize(('tool', 'argv'), EARLY)
def test_output_that_is_a_file_is_seen_at_once(tool, argv, work, misused):
    (work / 'taken').write_text('mine')
    misused(tool, [part.replace('OUT', 'taken/new') for part in argv], 'taken', 'taken is a file', 'name of a folder')


@pytest.mark.parametrize(('tool', 'argv'), [LATE[0], *EARLY[:6]])
def test_output_that_cannot_be_made(tool, argv, work, refused):
    """A folder in which nobody, root included, may make anything."""
    pairs(work)
    (work / 'table.yml').write_text(TABLE)
    refused(tool, [part.replace('OUT', '/proc/mmext') for part in argv], '/proc/mmext')


FILES = [
    pytest.param('get_flops.py', ['c.py', '--json', 'folder'], ['folder', 'is a folder'], id='get_flops'),
    pytest.param('analysis/model_table.py', ['c.py', '--json', 'folder'], ['folder', 'is a folder'], id='table-json'),
    pytest.param('analysis/model_table.py', ['c.py', '--markdown', 'folder'], ['is a folder'], id='table-markdown'),
    pytest.param('analysis/recipe_table.py', ['--json', 'folder'], ['folder', 'is a folder'], id='recipes-json'),
    pytest.param('analysis/recipe_table.py', ['--markdown', 'folder'], ['is a folder'], id='recipes-markdown'),
]


@pytest.mark.parametrize(('tool', 'argv', 'parts'), FILES)
def test_file_that_is_a_folder(tool, argv, parts, work, misused):
    (work / 'folder').mkdir()
    misused(tool, argv, *parts)


def test_folder_of_other_things(work, refused):
    pairs(work)
    (work / 'photos').mkdir()
    (work / 'photos/holiday.txt').write_text('mine')
    refused('prepare/kitti.py', ['raw', 'photos', '--val-count', 1], 'photos: holds other files', 'does not exist')


def test_folder_of_another_split(work, refused, load_tool):
    pairs(work)
    assert load_tool('prepare/kitti.py').main(['raw', 'out', '--val-count', '1']) == 0
    refused('prepare/kitti.py', ['raw', 'out', '--val-count', 2], 'out: ', 'another split', 'delete it or name another')


COUNTS = [
    pytest.param(['--val-count', '0'], ['--val-count 0', 'between 1 and 3'], id='none'),
    pytest.param(['--val-count', '4'], ['--val-count 4', 'between 1 and 3'], id='all'),
    pytest.param(['--val-count', '-2'], ['--val-count -2', 'between 1 and 3'], id='negative'),
    pytest.param(['--list', 'gone.txt'], [r'gone\.txt'], id='list-missing'),
    pytest.param(
        ['--list', 'a.jsonl'], [r'a\.jsonl', 'no labelled frame', 'one file stem a line'], id='list-of-others'
    ),
    pytest.param(
        ['--list', 'raw/training/semantic/000000_10.png'], [r'000000_10\.png', 'text'], id='list-is-a-picture'
    ),
]


@pytest.mark.parametrize(('argv', 'parts'), COUNTS)
def test_splits(argv, parts, work, refused):
    pairs(work)
    refused('prepare/kitti.py', ['raw', 'out', *argv], *parts)


VALUES = [
    pytest.param(['--iou', '0'], ['iou_thrs', '0.0', 'above 0 and at most 1'], id='iou-zero'),
    pytest.param(['--iou', '50'], ['50.0', 'at most 1'], id='iou-in-percent'),
    pytest.param(['--iou', 'nan'], ['nan', 'above 0'], id='iou-nan'),
    pytest.param(['--iou', '0.5', '0.5'], ['occurs twice'], id='iou-twice'),
    pytest.param(['--score-thr', 'nan'], ['score_thr', 'nan'], id='score-nan'),
    pytest.param(['--min-score', 'nan'], ['min_score', 'nan'], id='min-score-nan'),
]


@pytest.mark.parametrize(('argv', 'parts'), VALUES)
def test_thresholds(argv, parts, work, refused):
    pairs(work)
    refused('analysis/eval_detections.py', ['f.txt', 't.txt', *argv, '--out', 'out'], *parts)


def test_no_masks(work, refused):
    (work / 'empty').mkdir()
    refused('analysis/class_weights.py', ['empty'], r'empty: no \*\.png below it', 'label masks')
    pairs(work)
    argv = ['raw/training/semantic', '--classes', 'gone.txt']
    refused('analysis/class_weights.py', argv, r'gone\.txt: no such file', 'one class name a line')
    argv = ['raw/training/semantic', '--ignore-index', '0']
    refused('analysis/class_weights.py', argv, 'ignore index 0', '255', 'leave it out')


def test_results_among_the_inputs(work, refused):
    """A second run would take them for inputs."""
    pairs(work)
    refused('predict.py', ['c.py', 'w.pth', 'raw', '--out', 'raw/out'], 'raw/out: lies in the input folder', '--out')
    refused('predict.py', ['c.py', 'w.pth', 'raw', '--out', 'raw'], 'raw: lies in the input folder')
    argv = ['c.py', 'w.pth', 'raw/training/image_2/000000_10.png', '--out', 'out']
    refused('predict.py', [*argv, '--csv', argv[2]], r'000000_10\.png: is an input', '--csv')


def test_source_and_result_are_one(work, refused):
    (work / 'w.pth').write_bytes(b'x')
    refused('prepare/convert_vgg.py', ['w.pth', './w.pth'], 'w.pth: is the source itself', 'another DST')
    (work / 'other.pth').symlink_to('w.pth')
    refused('prepare/convert_vgg.py', ['w.pth', 'other.pth'], 'is the source itself')


def test_archives_that_are_only_to_be_checked(work, refused):
    refused('prepare/voc.py', ['a.tar', '--check-only', '--out', 'out'], 'a.tar', '--check-only', 'leave out')
    refused('prepare/voc.py', ['--check-only', '--out', 'gone'], 'gone', 'the folder is missing', 'unpack')
