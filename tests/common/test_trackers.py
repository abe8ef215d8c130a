"""Toy trainings that are followed by stand-ins for the packages of trackers."""

import itertools
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmext.common import trackers
from mmext.common.kill_test import toy_task
from mmext.common.kill_test.task import KillTestRunner
from mmext.common.tracker_records import read_record
from mmext.common.trackers import TRACKERS, set_tracker

install = runpy.run_path(str(Path(__file__).with_name('tracker_fakes.py')))['install']


class PictureHook(Hook):
    """Two pictures of one name in every validation."""

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if batch_idx < 2:
            runner.visualizer.add_image(
                'val_img', np.full((4, 6, 3), batch_idx, np.uint8), step=runner.iter + batch_idx
            )


class BreakOffHook(Hook):
    priority = 'LOWEST'

    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.at:
            raise InterruptedError


def train(work_dir: Path, tracker: str, loop: str = 'epoch', break_at: int = -1, **changes) -> Runner:
    cfg = toy_task(loop)
    cfg.work_dir, cfg.randomness = str(work_dir), dict(seed=7)
    train.count += 1
    cfg.experiment_name = f'tracked{train.count}'
    cfg.merge_from_dict(changes)
    if tracker:
        set_tracker(cfg, tracker)
    runner = KillTestRunner.from_cfg(cfg)
    runner.register_hook(PictureHook())
    runner.register_hook(BreakOffHook(break_at))
    try:
        runner.train()
    except InterruptedError:
        # As when the process ends.
        for backend in trackers.tracker_backends(runner):
            backend.close(failed=True)
    return runner


train.count = 0


@pytest.fixture(params=TRACKERS)
def tracker(request) -> str:
    return request.param


@pytest.fixture
def fake(monkeypatch, tmp_path, tracker):
    return install(monkeypatch, tmp_path, tracker)


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    return install(monkeypatch, tmp_path, 'wandb')


def curves(fake) -> dict[str, list[tuple]]:
    """Name -> iterations of its points in the order they came."""
    found: dict[str, list] = {}
    for point in fake.points:
        for name in set(point) - {'step'}:
            found.setdefault(name, []).append(point.get('iter', point['step']))
    return found


def test_every_point_has_iteration_and_epoch(tracker, fake, tmp_path):
    train(tmp_path / 'run', tracker)
    found = curves(fake)
    axes = {'iter', 'epoch'}
    for name, iterations in found.items():
        # The axes belong to the points of training and to those of validation.
        assert iterations == sorted(iterations if name in axes else set(iterations)), name
    assert found['loss'] == list(range(1, 25))
    assert found['score'] == [6, 12, 18, 24]
    assert found['val/time'] == [6, 12, 18, 24], 'a time of validation is none of training'
    if tracker == 'clearml':
        epochs = {point['step']: point['epoch'] for point in fake.points if 'epoch' in point}
    else:
        assert all(axes <= set(point) for point in fake.points)
        epochs = {point['iter']: point['epoch'] for point in fake.points}
    assert epochs == {i: pytest.approx(i / 6, abs=1e-4) for i in range(1, 25)}
    assert all(point['epoch'] == point['iter'] / 6 for point in fake.points if 'score' in point and 'iter' in point)
    (vis_data,) = (tmp_path / 'run').glob('*/vis_data')
    assert {path.name.split('.')[0] for path in vis_data.iterdir()} >= {'scalars', 'events'}
    assert len(fake.runs) == 1
    assert fake.ends == [{'wandb': 0, 'mlflow': 'FINISHED', 'clearml': 'in progress'}[tracker]]


def test_axes_of_wandb(wandb, tmp_path):
    train(tmp_path / 'run', 'wandb', 'iter')
    assert wandb.module.metrics == [dict(name='iter'), dict(name='epoch'), dict(name='*', step_metric='iter')]
    steps = [point['step'] for point in wandb.points]
    assert all(a < b for a, b in itertools.pairwise(steps))
    # 24 samples, 4 a batch: six iterations an epoch also where an endless sampler draws.
    assert all(point['epoch'] == pytest.approx(point['iter'] / 6, abs=1e-4) for point in wandb.points)
    assert [point['iter'] for point in wandb.points if 'score' in point] == [10, 20, 24]


def test_images_of_validations_arrive(tracker, fake, tmp_path):
    train(tmp_path / 'run', tracker)
    assert len(fake.images) == 8, 'two of one name in each of four validations'
    assert {image[1] for image in fake.images} == {(4, 6, 3)}
    names = [image[0] for image in fake.images]
    if tracker == 'mlflow':
        assert names[:2] == [f'images/{name}/iter_00000006_epoch_1.png' for name in ('val_img', 'val_img_2')]
    else:
        assert names == ['val_img', 'val_img_2'] * 4
        assert [image[2] for image in fake.images] == [6, 6, 12, 12, 18, 18, 24, 24]


@pytest.mark.parametrize(
    ('tracker', 'loop'), [*((name, 'epoch') for name in TRACKERS), ('wandb', 'iter')], indirect=['tracker']
)
def test_what_goes_on_keeps_its_run(tracker, fake, tmp_path, loop):
    train(tmp_path / 'run', tracker, loop, break_at=17)
    before = read_record(tmp_path / 'run', tracker)
    assert fake.ends == [{'wandb': 1, 'mlflow': 'FAILED', 'clearml': 'failed'}[tracker]]
    train(tmp_path / 'run', tracker, loop, resume=True)
    after = read_record(tmp_path / 'run', tracker)
    assert before.id == after.id
    assert len(fake.runs) == 2
    opened = {'wandb': 'id', 'mlflow': 'id', 'clearml': 'reuse_last_task_id'}[tracker]
    assert fake.runs[1][opened] == before.id
    if tracker == 'clearml':
        assert fake.runs[1]['continue_last_task'] == 0
    found = curves(fake)
    assert found['loss'] == list(range(1, 25)), 'iterations 13 to 17 or 16 and 17 are trained, not recorded, again'
    assert found['score'] == ([6, 12, 18, 24] if loop == 'epoch' else [10, 20, 24])
    if tracker == 'wandb':
        steps = [point['step'] for point in fake.points]
        assert all(a < b for a, b in itertools.pairwise(steps))
    assert after.points > before.points > 17


def test_a_new_run_in_the_same_folder_is_a_new_run(tracker, fake, tmp_path):
    train(tmp_path / 'run', tracker, break_at=8)
    first = read_record(tmp_path / 'run', tracker)
    train(tmp_path / 'run', tracker)
    second = read_record(tmp_path / 'run', tracker)
    assert first.id != second.id
    assert curves(fake)['loss'] == [*range(1, 9), *range(1, 25)]


def test_a_tracker_that_fails_is_told_of_once(tracker, fake, tmp_path):
    whole = train(tmp_path / 'whole', '')
    fake.fail = ConnectionError('https://me:pw@host is gone')
    train(tmp_path / 'run', tracker)
    (log,) = (tmp_path / 'run').glob('*/*.log')
    told = [line for line in log.read_text().splitlines() if 'tracker ' in line]
    assert len(told) == 1, told
    assert 'https://***@host is gone' in told[0]
    assert 'pw' not in told[0]
    assert not fake.points
    assert local_losses(tmp_path / 'run') == local_losses(tmp_path / 'whole')
    assert whole.iter == 24


def local_losses(work_dir: Path) -> list[float]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 24
    return losses


def test_without_keys_nothing_leaves_the_machine(tracker, fake, tmp_path, monkeypatch):
    cfg = dict(break_at=2)
    train(tmp_path / 'run', tracker, **cfg)
    if tracker == 'wandb':
        assert fake.runs[0]['mode'] == 'offline'
        assert fake.runs[0]['dir'] == str(tmp_path / 'run')
        monkeypatch.setenv('WANDB_MODE', 'disabled')
        train(tmp_path / 'run', tracker, **cfg)
        assert 'mode' not in fake.runs[1]
    elif tracker == 'mlflow':
        assert fake.module.uris == [f'file://{tmp_path}/run/mlruns']
        assert fake.module.experiments == ['mmext']
        monkeypatch.setenv('MLFLOW_TRACKING_URI', 'http://host')
        train(tmp_path / 'run', tracker, **cfg)
        assert fake.module.uris[1:] == ['http://host']
    else:
        assert fake.module.offline is True
        fake.module.offline = None
        (tmp_path / 'clearml.conf').touch()
        train(tmp_path / 'run', tracker, **cfg)
        assert fake.module.offline is None


def test_secrets_are_neither_recorded_nor_written(tracker, fake, tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_API_KEY', 'sesame' * 7)
    changes = dict(service=dict(api_key='hunter2', url='https://me:hunter3@host/x', note='sesame' * 7))
    train(tmp_path / 'run', tracker, break_at=2, **changes)
    told = fake.everything()
    assert 'samples' in told, 'the config is recorded'
    assert 'https://***@host/x' in told
    assert not any(secret in told for secret in ('hunter2', 'hunter3', 'sesame' * 7))
    assert 'sesame' not in (tmp_path / 'run' / 'trackers.json').read_text()


def test_the_training_is_the_same_with_a_tracker(wandb, tmp_path):
    plain = train(tmp_path / 'plain', '').model.state_dict()
    tracked = train(tmp_path / 'tracked', 'wandb').model.state_dict()
    assert all(torch.equal(plain[name], tracked[name]) for name in plain)
