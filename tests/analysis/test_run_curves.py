import json
import math
from pathlib import Path

import pytest

from mmext.analysis.run_curves import Curve, find_scalars, read_run, read_runs


def write(folder: Path, rows, end='\n') -> Path:
    file = folder / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('\n'.join(map(json.dumps, rows)) + end)
    return file


def train(iteration, epoch=None, **values):
    counted = {} if epoch is None else dict(epoch=epoch)
    return dict(lr=0.1, data_time=0.1, time=0.2, **values, **counted, iter=iteration, step=iteration)


def val(step, **values):
    return dict(**values, data_time=0.1, time=0.2, step=step)


def epoch_means(step, rate=0.1, **values):
    return {f'epoch/{key}': value for key, value in values.items()} | {'epoch/lr': rate, 'step': step}


def curve(*points):
    return Curve(tuple(x for x, _ in points), tuple(y for _, y in points))


def test_a_run_in_epochs(tmp_path):
    rows = [
        train(2, 1, loss=4.0, loss_rpn_cls=1.0, loss_cls=3.0, stage=1.0),
        train(4, 1, loss=2.0, loss_rpn_cls=1.0, loss_cls=1.0, stage=1.0),
        val(1, **{'mAP': 0.1, 'AP.car': 0.2, 'val/loss': 5.0, 'val/rpn_cls': 2.0}),
        train(6, 2, loss=1.0, loss_rpn_cls=0.5, loss_cls=0.5, stage=2.0),
        val(2, **{'mAP': 0.3, 'AP.car': 0.4, 'val/loss': 4.0, 'val/rpn_cls': 1.0}),
    ]
    file = write(tmp_path / 'exp' / '20260101_000000', rows)
    run = read_run(tmp_path / 'exp')
    assert (run.label, run.files, run.by_epoch, run.boundaries, run.notes) == ('exp', (file,), True, (1.5,), ())
    assert run.losses == dict(
        total=curve((1, 3.0), (2, 1.0)), rpn_cls=curve((1, 1), (2, 0.5)), roi_cls=curve((1, 2.0), (2, 0.5))
    )
    assert run.val_losses == dict(total=curve((1, 5.0), (2, 4.0)), rpn_cls=curve((1, 2.0), (2, 1.0)))
    assert run.rates == dict(lr=curve((1, 0.1), (2, 0.1)))
    assert run.metrics == {'mAP': curve((1, 0.1), (2, 0.3)), 'AP.car': curve((1, 0.2), (2, 0.4))}
    assert 'loss_rpn_cls' in run.keys


def test_means_of_epochs_take_the_place_of_logged_lines(tmp_path):
    rows = [train(2, 1, loss=4.0), epoch_means(1, 0.3, total=3.0, cls=1.0) | {'epoch/lr_2': 0.6}, train(4, 2, loss=1.0)]
    run = read_run(write(tmp_path, rows))
    assert run.losses == dict(total=curve((1, 3.0)), cls=curve((1, 1.0)))
    assert run.rates == dict(lr=curve((1, 0.3)), lr_2=curve((1, 0.6)))


def test_a_run_in_iterations(tmp_path):
    rows = [
        train(50, loss=2.0, base_lr=1.0, **{'decode.loss_ce': 1.5, 'decode.acc_seg': 60.0}),
        val(50, mIoU=20.0, **{'val/loss': 2.5}),
        train(100, loss=1.0, base_lr=1.0, **{'decode.loss_ce': 0.5, 'decode.acc_seg': 70.0}),
        val(100, mIoU=30.0, **{'val/loss': 1.5}),
    ]
    run = read_run(write(tmp_path, rows))
    assert not run.by_epoch
    assert run.losses == {'total': curve((50, 2.0), (100, 1.0)), 'decode.loss_ce': curve((50, 1.5), (100, 0.5))}
    assert run.val_losses['total'] == curve((50, 2.5), (100, 1.5))
    assert run.rates == dict(lr=curve((50, 0.1), (100, 0.1)))
    assert run.metrics == dict(mIoU=curve((50, 20.0), (100, 30.0)))
    intervals = [{'interval/total': 1.25, 'interval/lr': 0.2, 'step': 60}]
    run = read_run(write(tmp_path, rows + intervals))
    assert run.losses == dict(total=curve((60, 1.25)))
    assert run.rates == dict(lr=curve((60, 0.2)))


@pytest.mark.parametrize(
    ('rows', 'expected'),
    [
        # mmengine's default for runs in iterations: the step is an epoch, of which there are none
        ([train(50, loss=1.0), val(0, mIoU=1.0), train(100, loss=1.0), val(0, mIoU=2.0)], [(50, 1.0), (100, 2.0)]),
        # log_metric_by_epoch=False in a run that counts epochs
        ([train(50, 1, loss=1.0), val(50, mIoU=1.0), train(99, 2, loss=1.0), val(99, mIoU=2.0)], [(1, 1.0), (2, 2.0)]),
        # before any training
        ([val(0, mIoU=1.0), train(50, 1, loss=1.0), val(1, mIoU=2.0)], [(0, 1.0), (1, 2.0)]),
    ],
)
def test_places_of_validations(tmp_path, rows, expected):
    assert read_run(write(tmp_path, rows)).metrics['mIoU'] == curve(*expected)


def test_names_with_a_hierarchy(tmp_path):
    rows = [
        {
            'train/lr': 0.1,
            'train/loss': 2.0,
            'train/loss_ce': 1.0,
            'train/stage': 1.0,
            'epoch': 1,
            'iter': 5,
            'step': 5,
        },
        {'val/mIoU': 0.3, 'val/val/loss': 4.0, 'val/time': 1.0, 'step': 1},
    ]
    run = read_run(write(tmp_path, rows))
    assert run.losses == dict(total=curve((1, 2.0)), ce=curve((1, 1.0)))
    assert run.rates == dict(lr=curve((1, 0.1)))
    assert run.metrics == dict(mIoU=curve((1, 0.3)))
    assert run.val_losses == dict(total=curve((1, 4.0)))


def full(first, last, offset=0.0):
    rows = []
    for epoch in range(first, last + 1):
        stage = 1.0 if epoch <= 3 else 2.0
        rows += [
            train(epoch * 10, epoch, loss=epoch + offset, stage=stage),
            epoch_means(epoch, 0.1**epoch, total=epoch + offset),
            val(epoch, mAP=epoch + offset),
        ]
    return rows


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = read_run(write(tmp_path / 'whole' / '20260101_000000', full(1, 6)), 'a')
    # killed in epoch 5, in the middle of a line; resumed from the end of epoch 3
    cut = full(1, 4, offset=0.5)[:9] + full(1, 4, offset=0.5)[9:] + [train(45, 5, loss=9.0)]
    for row, right in zip(cut, full(1, 3), strict=False):
        row.update(right)
    file = write(tmp_path / 'cut' / '20260101_000000', cut, end='\n{"lr": 0.1, "lo')
    write(tmp_path / 'cut' / '20260102_000000', full(4, 6))
    run = read_run(tmp_path / 'cut', 'a')
    assert (run.losses, run.rates, run.metrics) == (whole.losses, whole.rates, whole.metrics)
    assert run.boundaries == whole.boundaries == (3.5,)
    assert run.notes == (f'{file}: line 14, the last one, is cut off and left out',)
    # started anew in the same folder: nothing is left of what was before
    write(tmp_path / 'cut' / '20260103_000000', full(1, 2, offset=0.25))
    assert read_run(tmp_path / 'cut').metrics['mAP'] == curve((1, 1.25), (2, 2.25))


def test_a_test_in_the_same_work_dir_is_left_out(tmp_path):
    write(tmp_path / '20260101_000000', full(1, 2))
    file = write(tmp_path / '20260102_000000', [val(0, mAP=0.9)])
    run = read_run(tmp_path)
    assert run.metrics['mAP'] == curve((1, 1.0), (2, 2.0))
    assert run.notes == (f'{file}: left out, it holds no training',)


def test_values_that_are_no_numbers_are_gaps(tmp_path):
    rows = [train(1, 1, loss=1.0), train(2, 2, loss=math.nan), train(3, 3, loss=math.inf), train(4, 4, loss=2.0)]
    total = read_run(write(tmp_path, [*rows, val(4, mAP=math.nan, names='x', flag=True)])).losses['total']
    assert total.x == (1, 2, 3, 4)
    assert [math.isnan(value) for value in total.y] == [False, True, True, False]


def test_find_scalars(tmp_path):
    files = [write(tmp_path / 'exp' / name, [val(1, a=1)]) for name in ('20260102_000000', '20251231_235959')]
    (tmp_path / 'exp' / 'empty').mkdir()
    assert find_scalars(tmp_path / 'exp') == files[::-1]
    assert find_scalars(files[0].parent.parent) == [files[0]]
    assert find_scalars(files[0].parent) == [files[0]]
    assert find_scalars(files[0]) == [files[0]]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'scalars.json: no scalars in the file yet'),
        ('\n\n', 'scalars.json: no scalars in the file yet'),
        ('model = dict()\n', r"scalars.json: line 1 is no JSON object \('model = dict\(\)'\)"),
        ('{"iter": 1}\n{"ite\n{"iter": 3}\n', 'scalars.json: line 2 is no JSON object'),
        ('[1, 2]\n', 'line 1 is no JSON object'),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, message):
    write(tmp_path, [])
    (tmp_path / 'vis_data' / 'scalars.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_run(tmp_path)


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone: no such file or folder'):
        read_run(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match=r'holds no vis_data/scalars\.json.*LocalVisBackend'):
        read_run(tmp_path)


def test_epochs_and_iterations_are_not_joined(tmp_path):
    write(tmp_path / '20260101_000000', [train(1, 1, loss=1.0)])
    write(tmp_path / '20260102_000000', [train(1, loss=1.0)])
    with pytest.raises(ValueError, match='some of its runs count epochs, some iterations'):
        read_run(tmp_path)


def test_labels(tmp_path):
    for name in ('a/x', 'b/x', 'a/y'):
        write(tmp_path / name / '20260101_000000', [train(1, loss=1.0)])

    def labels(*names, given=None):
        return [run.label for run in read_runs([tmp_path / name for name in names], given)]

    assert labels('a/x', 'a/y') == ['x', 'y']
    assert labels('a/x/20260101_000000', 'a/y/20260101_000000/vis_data/scalars.json') == ['x', 'y']
    assert labels('a/x', 'b/x') == ['a/x', 'b/x']
    assert labels('a/x', 'b/x', given=['one', 'other']) == ['one', 'other']
    assert len(set(labels('a/x', 'a/x/20260101_000000'))) == 2
    with pytest.raises(ValueError, match='1 names for 2 runs'):
        labels('a/x', 'b/x', given=['one'])
