"""Hostile checkpoints do nothing, whichever way they are read; and they would, if they were read otherwise."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint_with_prefix

from mmext.common import checkpoint_trust
from mmext.common.checkpoint_scrubbing import scrub
from mmext.common.checkpoints import CheckpointError, read_checkpoint, use_safe_loading
from mmext.common.conversion_run import run_conversion
from mmext.common.prediction.predictor import load_weights
from mmext.common.weight_files import read_state_dict

SCRIPT = Path(__file__).with_name('hostile_checkpoints.py')
CORPUS = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
REFUSED = [name for name, case in CORPUS.CASES.items() if case.refused]
HARMLESS = [name for name, case in CORPUS.CASES.items() if not case.refused]


class Part(BaseModule):
    def __init__(self, path: str, **settings) -> None:
        super().__init__(dict(type='Pretrained', checkpoint=path, **settings))
        self.l = torch.nn.Linear(2, 1)


@pytest.fixture(autouse=True)
def _trusts_nothing(monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_trust, '_trusted', set())
    use_safe_loading()


def by_runner(path: Path, resume: bool) -> None:
    runner = CORPUS.toy_runner(path.parent / f'run{resume}', load_from=str(path), resume=resume)
    runner.train()


def ways(path: Path) -> Iterator[tuple[str, Callable]]:
    """Every way in which this project and mmengine read a checkpoint."""
    address = str(path)
    yield 'read_checkpoint', lambda: read_checkpoint(path)
    yield 'read_state_dict', lambda: read_state_dict(path)
    yield 'load_weights', lambda: load_weights(CORPUS.Toy(), path)
    yield 'scrub', lambda: scrub(path, path.parent / 'scrubbed')
    yield 'load_checkpoint', lambda: load_checkpoint(CORPUS.Toy(), address)
    yield 'prefix', lambda: _load_checkpoint_with_prefix('l', address)
    yield 'init_cfg', lambda: Part(address).init_weights()
    yield 'init_cfg with prefix', lambda: Part(address, prefix='l').init_weights()
    yield 'load_from', lambda: by_runner(path, resume=False)
    yield 'resume', lambda: by_runner(path, resume=True)


@pytest.mark.parametrize('name', REFUSED)
@pytest.mark.filterwarnings('ignore')
def test_refused_everywhere_and_nothing_runs(tmp_path, capsys, name):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES[name].write(tmp_path, canary)
    before = sorted(tmp_path.rglob('*')), list(HistoryBuffer._statistics_methods.items())
    for way, read in ways(path):
        with pytest.raises(CheckpointError) as caught:
            read()
        assert str(path) in str(caught.value), way
        assert 'Fix: ' in str(caught.value), way
        assert len(str(caught.value).splitlines()) == 1, way
        assert not CORPUS.harm(canary), way
    assert run_conversion(path, tmp_path / 'out.pth', lambda source: (source, None), lambda report: '') == 1
    assert str(path) in capsys.readouterr().err
    assert not CORPUS.harm(canary)
    left = [
        entry for entry in sorted(tmp_path.rglob('*')) if not entry.relative_to(tmp_path).parts[0].startswith('run')
    ]
    assert (left, list(HistoryBuffer._statistics_methods.items())) == before


@pytest.mark.parametrize('name', HARMLESS)
def test_read_without_harm(tmp_path, name):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES[name].write(tmp_path, canary)
    for way, read in ways(path):
        read()
        assert not CORPUS.harm(canary), way
    runner = CORPUS.toy_runner(tmp_path / 'again', load_from=str(path), resume=True)
    runner.train()
    assert (runner.epoch, runner.iter) == (2, 8)
    assert (tmp_path / 'again' / 'best_acc_epoch_2.pth').is_file()
    assert not CORPUS.harm(canary)


def test_what_is_taken_out_of_the_way(tmp_path):
    read = {}
    for name in HARMLESS:
        (tmp_path / name).mkdir()
        canary = tmp_path / name / 'canary'
        read[name] = read_checkpoint(CORPUS.CASES[name].write(tmp_path / name, canary))
    meta = read['config in meta']['meta']
    assert sorted(meta) == ['cfg_text', 'config_text', 'epoch', 'iter']
    assert 'builtins.open' in meta['cfg_text']
    assert list(read['config in the message hub']['message_hub']['runtime_info']) == ['epoch', 'iter']
    assert list(read['best checkpoint elsewhere']['message_hub']['runtime_info']) == ['epoch', 'iter', 'best_score']
    assert read['covered methods']['state_dict'].__dict__ == {'_metadata': {}}
    assert list(read['covered methods']['state_dict'].copy()) == ['l.weight', 'l.bias']
    assert read['tensor with attributes']['extra'].cpu().shape == (1, 2)


@pytest.mark.slow
def test_the_corpus_is_loaded(tmp_path):
    """Read by plain torch and mmengine, every case that claims to do harm does it."""
    # The original mmengine leaves weights_only to torch, whose default it was written before.
    env = os.environ | {'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1', 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, env=env, check=True
    )
    fired = done.stdout.partition('fired:\n')[2].split('\n')[:-1]
    expected = [name for name, case in CORPUS.CASES.items() if case.fires or case.resumes]
    assert fired == expected
    assert len(expected) >= 25


def test_the_environment_cannot_switch_it_off(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['exec'].write(tmp_path, canary)
    for _, read in ways(path):
        with pytest.raises(CheckpointError):
            read()
    assert not CORPUS.harm(canary)


def test_names_that_other_code_allows_do_not_count(tmp_path):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['exec'].write(tmp_path, canary)
    with torch.serialization.safe_globals([exec, getattr]):
        with pytest.raises(CheckpointError, match='exec'):
            read_checkpoint(path)
        assert not CORPUS.harm(canary)
        # and are there again afterwards
        assert set(torch.serialization.get_safe_globals()) >= {exec, getattr}
    assert exec not in torch.serialization.get_safe_globals()
