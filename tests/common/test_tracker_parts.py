"""What trackers are made of, with stand-ins for their packages and without trainings."""

import logging
import runpy
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, VISBACKENDS

from mmext.common import positions, tracker_vis_backend, trackers
from mmext.common.positions import Position, position_of
from mmext.common.tracker_records import Record, read_record, write_record
from mmext.common.tracker_services import (
    find_secret,
    flatten,
    has_clearml_key,
    has_wandb_key,
    hide_secrets,
    mlflow_name,
    public,
)
from mmext.common.tracker_vis_backend import TrackerVisBackend, number
from mmext.common.trackers import TRACKERS, TrackerError, TrackerHook, set_tracker

install = runpy.run_path(str(Path(__file__).with_name('tracker_fakes.py')))['install']


@pytest.fixture(params=TRACKERS)
def tracker(request) -> str:
    return request.param


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    return install(monkeypatch, tmp_path, 'wandb')


def test_a_failure_that_passes_loses_one_point(wandb, tmp_path, caplog):
    wandb.fail_at = {2, 4, 5}
    backend = begun(tmp_path)
    for i in range(1, 8):
        backend._position.value = Position(i, 0.0)
        backend.add_scalars(dict(loss=i))
    backend.close()
    assert [point['loss'] for point in wandb.points] == [1, 3, 6, 7]
    assert sum('the training and its local logs go on' in record.getMessage() for record in caplog.records) == 1


def test_three_failures_in_a_row_are_enough(wandb, tmp_path):
    wandb.fail_at = {2, 3, 4}
    backend = begun(tmp_path)
    for i in range(1, 8):
        backend._position.value = Position(i, 0.0)
        backend.add_scalars(dict(loss=i))
    backend.close()
    assert [point['loss'] for point in wandb.points] == [1]


def begun(work_dir: Path) -> TrackerVisBackend:
    class Here:
        value = Position(1, 0.5)

        def __call__(self) -> Position:
            return self.value

    backend = TrackerVisBackend('wandb')
    backend.hooked = True
    backend.begin(work_dir, False, Here(), logging.getLogger('tracked'))
    return backend


def test_a_tracker_that_hangs_keeps_nobody_waiting(wandb, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracker_vis_backend, 'WAITING', 5)
    monkeypatch.setattr(tracker_vis_backend, 'WAITING_IMAGES', 2)
    wandb.wait = threading.Event()
    backend = begun(tmp_path)
    start = time.monotonic()
    for i in range(200):
        backend._position.value = Position(i, 0.0)
        backend.add_scalars(dict(loss=0.0))
        backend.add_image('a', np.zeros((2, 2, 3), np.uint8))
    assert time.monotonic() - start < 2
    backend.close(patience=0.1)
    assert time.monotonic() - start < 3
    wandb.wait.set()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum('slower than the training' in message for message in told) == 1
    assert sum('has not taken everything within 0.1 s' in message for message in told) == 1


def test_no_network_at_the_start_falls_back_to_offline(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_API_KEY', 'k' * 40)
    modes = []

    def init(**arguments):
        modes.append(arguments['mode'])
        if arguments['mode'] == 'online':
            raise ConnectionError('no network')

    wandb.module.init = init
    backend = begun(tmp_path)
    backend.add_scalar('loss', torch.tensor(2.0))
    backend.close()
    assert modes == ['online', 'offline']
    assert wandb.points == [dict(loss=2.0, iter=1, epoch=0.5, step=1)]


def test_keys_are_found_where_their_tools_put_them(wandb, tmp_path, monkeypatch):
    assert not has_wandb_key()
    assert not has_clearml_key()
    (tmp_path / '.netrc').write_text('machine other login user password x\n')
    (tmp_path / '.netrc').chmod(0o600)
    assert not has_wandb_key()
    (tmp_path / '.netrc').write_text('machine api.wandb.ai login user password x\n')
    assert has_wandb_key()
    monkeypatch.setenv('WANDB_BASE_URL', 'https://own.host:8080')
    assert not has_wandb_key()
    monkeypatch.setenv('CLEARML_API_ACCESS_KEY', 'x')
    assert has_clearml_key()


@pytest.mark.parametrize(
    ('settings', 'name'),
    [
        (dict(init_kwargs=dict(api_key='x')), 'init_kwargs.api_key'),
        (dict(tracking_uri='https://me:pw@host'), 'tracking_uri'),
        (dict(a=[dict(b=dict(secret_key='x'))]), 'a.0.b.secret_key'),
        (dict(init_kwargs=dict(project='x', tags=['a', 'b'])), None),
        (dict(tracking_uri='http://host:5000', token=3), None),
    ],
)
def test_secrets_in_settings(settings, name):
    assert find_secret(settings) == name
    if name:
        with pytest.raises(TrackerError, match=f'{name} is a secret'):
            TrackerVisBackend('wandb', settings=settings)


def test_public_settings_are_plain():
    given = dict(a=(1, None), b={2: Path('x')}, password='p', with_cls_token=True, f=int)
    assert public(given) == dict(a=[1, None], b={'2': 'x'}, password='***', with_cls_token=True, f="<class 'int'>")
    assert flatten(dict(a=dict(b=1), c=[2])) == {'a.b': 1, 'c': [2]}
    assert hide_secrets('no secret: https://host/a@b') == 'no secret: https://host/a@b'


def test_names_of_mlflow():
    assert mlflow_name('IoU.traffic light') == 'IoU.traffic light'
    assert mlflow_name('mAP@50 (car)') == 'mAP_50 _car_'
    assert mlflow_name('epoch/total') == 'epoch_total', 'epoch is a curve of its own'
    assert mlflow_name('accuracy/top1') == 'accuracy/top1'


def test_numbers():
    assert number(torch.tensor([2.0])) == 2.0
    assert number(np.float32(0.5)) == 0.5
    assert number(3) == 3
    assert [number(value) for value in ('x', None, [1.0], torch.ones(2), np.ones(3))] == [None] * 5


def test_records(tmp_path):
    assert read_record(tmp_path, 'wandb') is None
    write_record(tmp_path, 'wandb', Record('a', points=3, sent=dict(loss=4)))
    write_record(tmp_path, 'mlflow', Record('b'))
    record = read_record(tmp_path, 'wandb')
    assert record == Record('a', points=3, sent=dict(loss=4))
    assert [record.lacks('loss', 4), record.lacks('loss', 5), record.lacks('new', 0)] == [False, True, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['trackers.json']
    (tmp_path / 'trackers.json').write_text('{"wandb": {"id"')
    with pytest.raises(ValueError, match=r'trackers\.json: damaged'):
        read_record(tmp_path, 'wandb')
    write_record(tmp_path, 'wandb', Record('c'))
    assert read_record(tmp_path, 'wandb').id == 'c'


def test_local_logs_stay_the_default(wandb):
    cfg = Config(dict(work_dir='x'))
    set_tracker(cfg, 'wandb')
    set_tracker(cfg, 'wandb')
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    assert kinds == ['LocalVisBackend', 'TensorboardVisBackend', 'TrackerVisBackend']
    assert cfg.custom_hooks == [dict(type='TrackerHook')]
    backend = VISBACKENDS.build(dict(cfg.visualizer.vis_backends[-1]))
    assert (backend.tracker, backend.project, backend.experiment) == ('wandb', 'mmext', None)
    assert isinstance(HOOKS.build(dict(type='TrackerHook')), TrackerHook)


def test_entries_of_mmengine_are_taken_over(wandb):
    given = dict(type='mmengine.WandbVisBackend', init_kwargs=dict(project='street', tags=['a']))
    cfg = Config(dict(visualizer=dict(type='V', vis_backends=[given, dict(type='MLflowVisBackend')])))
    set_tracker(cfg, 'wandb')
    kept, entry = cfg.visualizer.vis_backends
    assert kept.type == 'MLflowVisBackend'
    assert cfg.visualizer.type == 'V'
    settings = dict(init_kwargs=dict(project='street', tags=['a']))
    assert entry == dict(type='TrackerVisBackend', tracker='wandb', project='street', settings=settings)
    given.update(init_kwargs=dict(settings=dict(api_key='x')))
    with pytest.raises(TrackerError, match=r'init_kwargs\.settings\.api_key is a secret'):
        set_tracker(Config(dict(visualizer=dict(vis_backends=given))), 'wandb')


def test_pictures_are_switched_on(wandb):
    for kind, switch in trackers.PICTURE_HOOKS.items():
        cfg = Config(dict(default_hooks=dict(visualization=dict(type=kind))))
        set_tracker(cfg, 'wandb', images=False)
        assert cfg.default_hooks.visualization == dict(type=kind)
        set_tracker(cfg, 'wandb')
        assert cfg.default_hooks.visualization == {'type': kind, switch: True}


def test_a_missing_package_is_named_with_its_installation(tracker, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, tracker, None)
    cfg = Config(dict())
    with pytest.raises(TrackerError, match=f'--tracker {tracker}: .* is missing .*pip install {tracker};'):
        set_tracker(cfg, tracker)
    assert 'visualizer' not in cfg
    # The folder that a tracker has written its runs to is no package.
    monkeypatch.delitem(sys.modules, tracker)
    (tmp_path / tracker).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    with pytest.raises(TrackerError, match='is a folder, no package'):
        set_tracker(cfg, tracker)
    sys.modules.pop(tracker, None)


def test_an_unknown_tracker_is_refused():
    with pytest.raises(TrackerError, match="'aim': unknown; known are wandb, mlflow, clearml"):
        set_tracker(Config(dict()), 'aim')


def test_without_the_hook_nothing_is_recorded_and_that_is_told(wandb, tmp_path):
    backend = TrackerVisBackend('wandb')
    told = []
    backend._logger = SimpleNamespace(warning=told.append)
    backend.add_scalars(dict(loss=1.0))
    backend.add_scalars(dict(loss=1.0))
    assert len(told) == 1
    assert "dict(type='TrackerHook')" in told[0]
    assert not wandb.runs


def test_tests_record_nothing(wandb, tmp_path):
    runner = SimpleNamespace(visualizer=SimpleNamespace(_vis_backends=dict(a=TrackerVisBackend('wandb'))))
    TrackerHook().before_run(runner)
    (backend,) = trackers.tracker_backends(runner)
    backend.add_image('a', np.zeros((2, 2, 3), np.uint8))
    backend.close()
    assert not wandb.runs


def test_only_the_main_process_opens_a_run(wandb, tmp_path, monkeypatch):
    backend = TrackerVisBackend('wandb')
    loader = SimpleNamespace(batch_size=2, dataset=range(12), batch_sampler=None)
    runner = SimpleNamespace(
        visualizer=SimpleNamespace(_vis_backends=dict(a=backend)), iter=0, epoch=0, train_dataloader=loader
    )
    runner.train_loop, runner.work_dir, runner.logger = object(), str(tmp_path), logging.getLogger('tracked')
    monkeypatch.setattr(trackers, 'is_main_process', lambda: False)
    TrackerHook().before_train(runner)
    assert not wandb.runs
    monkeypatch.setattr(trackers, 'is_main_process', lambda: True)
    TrackerHook().before_train(runner)
    backend.close()
    assert len(wandb.runs) == 1


def test_epochs_of_several_processes(monkeypatch):
    monkeypatch.setattr(positions, 'IterBasedTrainLoop', SimpleNamespace)
    loader = SimpleNamespace(batch_size=None, dataset=range(40), batch_sampler=SimpleNamespace(batch_size=2))
    runner = SimpleNamespace(iter=9, world_size=4, train_dataloader=loader, train_loop=SimpleNamespace())
    assert position_of(runner) == Position(9, 1.8)  # 8 samples an iteration, 40 an epoch
    assert position_of(runner, batch_idx=9) == Position(10, 2.0)
