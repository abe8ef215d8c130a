import csv
import json
import subprocess
import sys

import pytest
from PIL import Image


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/plot_runs.py').main


@pytest.fixture
def runs(tmp_path):
    """Two detectors in two stages and a classifier-like run in iterations, with a validation loss each."""
    for name, factor in (('imagenet', 1.0), ('coco', 0.8)):
        rows = []
        for epoch in range(1, 5):
            stage = 1.0 if epoch < 3 else 2.0
            loss = factor / epoch
            rows.append(
                dict(lr=0.1**stage, loss=9.0, loss_rpn_cls=9.0, stage=stage, epoch=epoch, iter=epoch, step=epoch)
            )
            rows.append(
                {
                    'epoch/total': 2 * loss,
                    'epoch/rpn_cls': loss,
                    'epoch/roi_cls': loss,
                    'epoch/lr': 0.1**stage,
                    'step': epoch,
                }
            )
            scores = dict(
                mAP=1 - loss / 2, matched_class_miou=0.5, matched_accuracy=0.6, **{'AP.car': 0.1, 'AP.cat': 0.2}
            )
            rows.append(dict(scores, **{'val/loss': 3 * loss}, time=1.0, step=epoch))
        write(tmp_path / name, rows)
    rows = [
        row
        for step in (50, 100)
        for row in (
            {'lr': 1e-3, 'loss': 1 / step, 'decode.loss_ce': 1 / step, 'iter': step, 'step': step},
            {'mIoU': float(step), 'IoU.sky': 1.0, 'val/loss': 2 / step, 'step': step},
        )
    ]
    write(tmp_path / 'seg', rows)
    return tmp_path


def write(folder, rows):
    file = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def read(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def test_all_figures_of_two_runs(main, runs, capsys):
    assert main([str(runs / 'imagenet'), str(runs / 'coco'), '--out', str(runs / 'out')]) == 0
    names = ['losses', 'lr', 'train_val', 'metrics']
    assert capsys.readouterr().out.split() == [str(runs / 'out' / f'{name}.png') for name in names]
    for name in names:
        with Image.open(runs / 'out' / f'{name}.png') as picture:
            colors = {color for _, color in picture.convert('RGB').getcolors(2**20)}
        assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colors
    rows = read(runs / 'out' / 'losses.csv')
    assert list(rows[0]) == ['run', 'curve', 'epoch', 'value']
    assert list(dict.fromkeys(row['curve'] for row in rows)) == ['rpn_cls', 'roi_cls', 'total']
    coco = [float(row['value']) for row in rows if (row['run'], row['curve']) == ('coco', 'total')]
    assert coco == pytest.approx([1.6, 0.8, 1.6 / 3, 0.4])
    both = [(row['curve'], float(row['value'])) for row in read(runs / 'out' / 'train_val.csv') if row['run'] == 'coco']
    assert both[3:5] == [('train', pytest.approx(0.4)), ('val', pytest.approx(2.4))]
    drawn = dict.fromkeys(row['curve'] for row in read(runs / 'out' / 'metrics.csv'))
    assert list(drawn) == ['mAP', 'matched_class_miou', 'matched_accuracy']


def test_choices(main, runs, capsys):
    arguments = ['--figures', 'metrics', '--metrics', 'AP.*', 'mAP', '--format', 'svg', '--names', 'A']
    assert main([str(runs / 'imagenet'), *arguments, '--out', str(runs / 'out')]) == 0
    assert sorted(path.name for path in (runs / 'out').iterdir()) == ['metrics.csv', 'metrics.svg']
    rows = read(runs / 'out' / 'metrics.csv')
    assert list(dict.fromkeys(row['curve'] for row in rows)) == ['AP.car', 'AP.cat', 'mAP']
    assert {row['run'] for row in rows} == {'A'}


def test_a_run_in_iterations(main, runs, capsys):
    assert main([str(runs / 'seg'), '--out', str(runs / 'out')]) == 0
    assert read(runs / 'out' / 'metrics.csv')[1] == dict(run='seg', curve='mIoU', iteration='100', value='100.0')
    # one loss, which is its own sum
    assert {row['curve'] for row in read(runs / 'out' / 'losses.csv')} == {'total'}


def test_a_killed_run_is_noted(main, runs, capsys):
    (file,) = runs.glob('coco/*/vis_data/scalars.json')
    file.write_text(file.read_text() + '{"lr": 0.')
    assert main([str(runs / 'coco'), '--figures', 'lr', '--out', str(runs / 'out')]) == 0
    assert capsys.readouterr().err == f'note: {file}: line 13, the last one, is cut off and left out\n'


@pytest.mark.parametrize(
    ('names', 'options', 'message'),
    [
        (['gone'], [], 'gone: no such file or folder'),
        (['coco', 'seg'], [], 'iterations; draw such runs apart'),
        (['coco'], ['--metrics', 'mIoU'], "'mIoU': no such metric in"),
        (['coco'], ['--names', 'a', 'b'], '2 names for 1 runs'),
        (['bare'], [], 'nothing to draw in'),
        (['bare'], ['--figures', 'lr'], "no data for the figure 'lr' in"),
    ],
)
def test_errors_are_one_line_and_write_nothing(main, runs, names, options, message, capsys):
    write(runs / 'bare', [dict(time=1.0, memory=3, iter=1, step=1)])
    assert main([*(str(runs / name) for name in names), *options, '--out', str(runs / 'out')]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
    assert not (runs / 'out').exists()
    if names == ['bare']:
        assert 'scalars.json (it holds time, memory, iter, step)' in error


def test_needs_no_toolbox(root):
    code = (
        f'import sys, runpy; sys.argv = ["plot_runs.py", "--help"]; sys.path.insert(0, {str(root)!r})\n'
        f'try: runpy.run_path({str(root / "tools/analysis/plot_runs.py")!r}, run_name="__main__")\n'
        f'except SystemExit: print([name for name in ("mmseg", "mmdet", "mmengine", "torch") if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert '--metrics' in done.stdout
    assert done.stdout.rstrip().endswith('[]')
