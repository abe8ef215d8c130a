"""That the kill test sees differences and kills what it is to kill; trainings are killed in the test of the tool."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mmext.common.kill_test import LOOPS, comparison, real_task, toy_task
from mmext.common.kill_test.comparison import scalars, unequal
from mmext.common.kill_test.task import CHECKPOINT, STEP, VALIDATION
from mmext.common.kill_test.victim import Victim


def test_unequal_names_the_places():
    one = dict(a=torch.tensor([1.0, float('nan')]), b=[1, 2.0], c='x', d=dict(e=torch.zeros(())))
    assert list(unequal(one, dict(one))) == []
    two = dict(a=torch.tensor([1.0, 2.0]), b=[1, 2], c='y', d=dict(e=torch.zeros(()).double(), f=1))
    assert list(unequal(one, two)) == ['a', 'b.1 (2.0 and 2)', "c ('x' and 'y')", 'd.e', 'd.f (in one only)']
    assert list(unequal([1], [1, 2])) == [' (lengths 1 and 2)']


def test_a_bit_and_the_sign_of_zero_count():
    one = torch.tensor([0.0, 1.0])
    assert list(unequal(one, torch.tensor([-0.0, 1.0]), 'w')) == ['w']
    assert list(unequal(one, torch.tensor([0.0, 1.0 + 2**-23]), 'w')) == ['w']


def log(folder: Path, run: str, *lines: dict, end: str = '') -> None:
    file = folder / run / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(line) + '\n' for line in lines) + end)


def test_scalars_of_interrupted_runs_are_put_together(tmp_path):
    steps = [dict(loss=0.5 + step, time=time.time() + step, step=step) for step in (1, 2, 3)]
    log(tmp_path / 'whole', '1', *steps)
    log(tmp_path / 'cut', '1', *steps[:2], end='{"loss": 3.')
    log(tmp_path / 'cut', '2', *(step | dict(time=0.0) for step in steps[1:]))
    whole, cut = scalars(tmp_path / 'whole'), scalars(tmp_path / 'cut')
    assert whole == cut
    assert whole[2, 'loss'] == {'2.5'}
    log(tmp_path / 'cut', '3', dict(loss=2.25, step=2))
    found = list(comparison._unequal_scalars(whole, scalars(tmp_path / 'cut')))
    assert found == ['loss at step 2: 2.5 and 2.25, 2.5']
    log(tmp_path / 'whole', '2', dict(val=1.0, step=9))
    assert list(comparison._unequal_scalars(scalars(tmp_path / 'whole'), cut))[-1] == 'val at step 9: 1.0 and missing'


@pytest.mark.parametrize('loop', LOOPS)
def test_tasks_can_be_built(loop, tmp_path):
    cfg = toy_task(loop, workers=2, processes=2)
    assert cfg.train_dataloader.num_workers == 2
    assert len(Runner.build_dataloader(cfg.train_dataloader, seed=0)) == 12, 'for two processes'


def test_a_config_is_shortened(in_root):
    cfg = real_task('configs/quickstart.py', workers=1, iterations=20)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (20, 10, 5)
    with pytest.raises(ValueError, match='counts epochs'):
        real_task('configs/classification/vit/vit-small-p4_1xb256-200e_cifar100-32x32.py')


def children_that_wait(launcher: str, moments: int | None) -> None:
    """A process with a child of its own; the first one tells three moments."""
    subprocess.Popen(['sleep', '60'])
    if moments is not None:
        os.write(moments, bytes([STEP, VALIDATION, STEP]))
    print(launcher, os.environ['RANK'], os.environ['WORLD_SIZE'], flush=True)
    time.sleep(60)


def test_the_whole_group_dies(tmp_path):
    with Victim(children_that_wait, 2, tmp_path / 'log') as victim:
        assert victim.wait_for(STEP, 2)
        deadline = time.monotonic() + 30
        while (tmp_path / 'log').read_text().count('\n') < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(victim._running()) == 4
        assert victim.kill(whole_group=True) < 10
        assert victim._running() == []
        assert victim.wait() == [-signal.SIGKILL] * 2
    assert sorted((tmp_path / 'log').read_text().split('\n')) == ['', 'pytorch 0 2', 'pytorch 1 2']


def test_who_outlives_the_first_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr('mmext.common.kill_test.victim.PATIENCE_S', 0.3)
    with Victim(children_that_wait, 1, tmp_path / 'log') as victim:
        assert victim.wait_for(VALIDATION, 1)
        with pytest.raises(RuntimeError, match=rf'after process {victim.group} was killed'):
            victim.kill(whole_group=False)
    assert victim._running() == []


def fails(launcher: str, moments: int | None) -> None:
    os.write(moments, bytes([CHECKPOINT]))
    raise ValueError('no such thing')


def test_moments_and_errors_arrive(tmp_path):
    with Victim(fails, 1, tmp_path / 'log') as victim:
        assert [kind for kind, _ in victim.moments()] == [CHECKPOINT, 0]
        assert victim.wait() == [1]
        assert not victim.wait_for(STEP, 1)
    assert 'ValueError: no such thing' in (tmp_path / 'log').read_text()
