"""The local logs of toy trainings of 24 iterations, six an epoch."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import DataLoader, IterableDataset

from mmext.analysis.run_curves import read_run
from mmext.common import positions
from mmext.common.kill_test import toy_task
from mmext.common.kill_test.task import KillTestRunner


class SummaryHook(Hook):
    """Writes a number behind each epoch, or behind all iterations."""

    def __init__(self, by_epoch: bool) -> None:
        self.by_epoch = by_epoch

    def after_train_epoch(self, runner) -> None:
        runner.visualizer.add_scalars({'accuracy/clean': 50.0}, step=runner.epoch + 1 if self.by_epoch else runner.iter)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(10))


def train(work_dir: Path, loop: str, backend: str, hooked: bool = True) -> KillTestRunner:
    cfg = toy_task(loop)
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'{work_dir.parent.name}_{work_dir.name}'
    cfg.randomness = dict(seed=7)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type=backend), dict(type='TensorboardVisBackend')])
    if hooked:
        cfg.default_hooks.position = dict(type='PositionHook')
    runner = KillTestRunner.from_cfg(cfg)
    runner.register_hook(SummaryHook(loop == 'epoch'))
    runner.train()
    return runner


def rows_of(work_dir: Path) -> list[dict]:
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(('loop', 'validated'), [('epoch', [6, 12, 18, 24]), ('iter', [10, 20, 24])])
def test_every_line_of_the_local_logs_says_where_the_training_stands(tmp_path, loop, validated):
    train(tmp_path / 'run', loop, 'PositionedLocalVisBackend')
    rows = rows_of(tmp_path / 'run')
    assert [row['iter'] for row in rows if 'loss' in row] == list(range(1, 25))
    added = [row for row in rows if 'mode' in row]
    assert all(list(row)[-4:] == ['step', 'iter', 'epoch', 'mode'] for row in added)
    assert all(row['epoch'] == pytest.approx(row['iter'] / 6, abs=1e-4) for row in added)
    scores = [row for row in rows if 'score' in row]
    assert [row['iter'] for row in scores] == validated
    assert all(row['mode'] == 'val' for row in scores)
    assert {type(row['epoch']) for row in scores} == ({int} if loop == 'epoch' else {int, float})
    sums = [row for row in rows if any(key.startswith(('epoch/', 'interval/', 'accuracy/')) for key in row)]
    assert sums
    assert all(row['mode'] == 'train' for row in sums)
    assert all('mode' not in row for row in rows if 'loss' in row), "mmengine's lines of training stay"
    (copy,) = (tmp_path / 'run').glob('*/vis_data/2*.json')
    assert [json.loads(line) for line in copy.read_text().splitlines() if 'score' in line] == scores


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_tensorboard_and_the_curves_are_those_of_mmengine(tmp_path, loop):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags, curves = [], []
    for backend in ('LocalVisBackend', 'PositionedLocalVisBackend'):
        train(tmp_path / backend, loop, backend)
        (events,) = (tmp_path / backend).glob('*/vis_data/events*')
        board = EventAccumulator(str(events))
        board.Reload()
        tags.append({tag: [event.step for event in board.Scalars(tag)] for tag in board.Tags()['scalars']})
        run = read_run(tmp_path / backend)
        curves.append((run.by_epoch, run.losses, run.val_losses, run.rates, run.metrics))
    assert tags[0] == tags[1]
    assert 'mode' not in tags[0]
    assert curves[0] == curves[1]
    assert list(curves[0][-1]['score'].x) == ([1, 2, 3, 4] if loop == 'epoch' else [10, 20, 24])


def test_without_its_hook_and_outside_of_a_training_lines_are_those_of_mmengine(tmp_path):
    train(tmp_path / 'run', 'epoch', 'PositionedLocalVisBackend', hooked=False)
    assert not any('mode' in row for row in rows_of(tmp_path / 'run'))
    cfg = toy_task('epoch')
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'val'), 'only_validated'
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='PositionedLocalVisBackend')])
    cfg.default_hooks.position = dict(type='PositionHook')
    cfg.default_hooks.checkpoint.save_best = None
    KillTestRunner.from_cfg(cfg).val()
    (row,) = rows_of(tmp_path / 'val')
    assert 'score' in row
    assert not {'iter', 'epoch', 'mode'} & set(row)


@pytest.mark.parametrize('counts_iterations', [True, False])
def test_a_stream_of_data_has_no_epochs(tmp_path, monkeypatch, counts_iterations):
    monkeypatch.setattr(positions, 'IterBasedTrainLoop', SimpleNamespace if counts_iterations else str)
    loader = DataLoader(Stream(), batch_size=2)
    runner = SimpleNamespace(iter=9, epoch=0, world_size=1, train_dataloader=loader, train_loop=SimpleNamespace())
    at = positions.position_of(runner, batch_idx=9)
    assert at == positions.Position(10, None)
    backend = positions.PositionedLocalVisBackend(str(tmp_path))
    backend.position = lambda: at
    backend.add_scalar('accuracy', torch.tensor(0.5), step=10)
    row = json.loads((tmp_path / 'scalars.json').read_text())
    assert row == {'accuracy': 0.5, 'step': 10, 'iter': 10, 'mode': 'train'}
