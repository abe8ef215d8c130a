"""A tiny training, and processes to run and stop it in."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import BaseLoop
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmext.common.checkpoints import use_safe_loading
from mmext.common.durable_runner import DurableRunner
from mmext.common.hooks.stop_signal_hook import StopSignalHook
from mmext.common.stop_signals import release_signals


class Points(Dataset):
    """Sixteen points; an epoch has eight batches of two."""

    def __init__(self) -> None:
        self.metainfo = dict(classes=('a',))

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.tensor([index / 16, 1.0]))


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.5, -0.25]]))
            self.layer.bias.zero_()

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> dict | list:
        found = self.layer(inputs)
        return dict(loss=(found - inputs[:, :1]).square().mean()) if mode == 'loss' else [found]


class Scores(BaseMetric):
    """``rising`` gets better with every validation, ``falling`` worse."""

    default_prefix = 'toy'
    validations = 0

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        self.validations += 1
        return dict(rising=float(self.validations), falling=-float(self.validations))


class SignalHook(Hook):
    """Sends signals to this process, or to its whole group, at one moment of a run."""

    def __init__(
        self, moment: str, place: int, signals=(signal.SIGTERM,), pause=0.0, group=True, rank=0, patience=10
    ) -> None:
        self.moment, self.place, self.signals, self.pause = moment, place, signals, pause
        self.group, self.rank, self.patience = group, rank, patience

    def _send(self, runner, moment: str, place: int) -> None:
        if (moment, place) != (self.moment, self.place) or runner.rank != self.rank:
            return
        request = next(hook for hook in runner.hooks if isinstance(hook, StopSignalHook))._request
        target = f'-{os.getpgrp()}' if self.group else str(os.getpid())
        for number in self.signals:
            # From elsewhere, as a terminal or a launcher does; workers obey their main process.
            subprocess.run(['kill', f'-{int(number)}', '--', target], check=True, start_new_session=True)
            time.sleep(self.pause)
        until = time.monotonic() + self.patience
        while not request.number and time.monotonic() < until:
            time.sleep(0.01)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._send(runner, 'train', runner.iter)

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        if not isinstance(runner._train_loop, BaseLoop) or runner.iter == 8:
            self._send(runner, 'val', batch_idx)

    def before_test_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._send(runner, 'test', batch_idx)


def _settings(work_dir: Path, by_epoch: bool = True, workers: int = 0, **others) -> dict:
    loader = dict(
        batch_size=2,
        num_workers=workers,
        collate_fn=dict(type='default_collate'),
        dataset=Points(),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    train = dict(by_epoch=True, max_epochs=3) if by_epoch else dict(by_epoch=False, max_iters=24, val_interval=8)
    checkpoint = dict(type='CheckpointHook', interval=1 if by_epoch else 8, by_epoch=by_epoch)
    settings = dict(
        model=dict(type=Net),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=dict(type=Scores),
        val_cfg=dict(),
        train_cfg=train,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(checkpoint=checkpoint | others.pop('checkpoint', {})),
        randomness=dict(seed=1),
        default_scope='mmengine',
        experiment_name=f'toy_{time.time_ns()}',
        log_level='WARNING',
    )
    return settings | others


@pytest.fixture(autouse=True)
def _mmengine_scope() -> None:
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield
    release_signals()  # of a run that a test has let fail


@pytest.fixture
def toy() -> SimpleNamespace:
    """Settings and classes of the tiny training: ``settings(work_dir, by_epoch, workers, checkpoint={}, **others)``."""

    def build(*args, runner: type = DurableRunner, **kwargs):
        use_safe_loading()
        return runner(**_settings(*args, **kwargs))

    return SimpleNamespace(settings=_settings, build=build, SignalHook=SignalHook, Net=Net, Scores=Scores)


def _lead(function: Callable, output: Path) -> None:
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = os.fdopen(descriptor, 'w', buffering=1)
    function()


def living(group: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, _, process_group = stat.read_text().rpartition(')')[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(process_group) == group and state != 'Z':
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def in_own_group(tmp_path: Path) -> Callable[[Callable], SimpleNamespace]:
    """Call a function in a forked process that leads a group; its exit code, its output, and that nobody is left."""

    import torchvision  # noqa: F401 (every Runner asks for its version; else each forked process would load it anew)

    def call(function: Callable, patience: float = 0.0) -> SimpleNamespace:
        output = tmp_path / f'output_{time.time_ns()}.txt'
        process = multiprocessing.get_context('fork').Process(target=_lead, args=(function, output))
        process.start()
        process.join(60)
        until = time.monotonic() + patience
        while living(process.pid) and time.monotonic() < until:
            time.sleep(0.05)
        left = living(process.pid)
        if left:
            os.killpg(process.pid, signal.SIGKILL)
        text = output.read_text()
        assert left == [], text
        return SimpleNamespace(code=process.exitcode, output=text)

    return call
