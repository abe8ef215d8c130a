"""Interrupted staged trainings against one without a pause; trainings in two processes."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

TOY = Path(__file__).with_name('staged_toy.py')


@pytest.fixture(scope='session')
def toy() -> ModuleType:
    """The tiny training beside this file; imported once a process, because it registers classes."""
    if 'staged_toy' not in sys.modules:
        spec = importlib.util.spec_from_file_location('staged_toy', TOY)
        sys.modules['staged_toy'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['staged_toy'])
    return sys.modules['staged_toy']


ADAM = dict(_delete_=True, optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))
# Something that changes with every iteration, to be resumed in the middle of an epoch.
BY_ITERATION = {
    'train_cfg.stages.1.lr_decay': None,
    'train_cfg.stages.1.param_scheduler': [dict(type='CosineAnnealingLR', by_epoch=False)],
}


@pytest.fixture(scope='module', params=['SGD', 'AdamW'])
def whole(request, toy, tmp_path_factory) -> SimpleNamespace:
    """A run without a pause that saves after every iteration and every epoch."""
    folder = tmp_path_factory.mktemp('whole')
    changes = {} if request.param == 'SGD' else {'optim_wrapper': ADAM, **BY_ITERATION}
    every = dict(type='CheckpointHook', interval=1, by_epoch=False)
    hooks = [*toy.settings(folder).custom_hooks, every, dict(type='EMAHook')]
    runner = toy.build(folder, **changes, custom_hooks=hooks)
    runner.train()
    return SimpleNamespace(runner=runner, folder=folder, lines=toy.records(folder), changes=changes, hooks=hooks)


def go_on(toy, whole: SimpleNamespace, checkpoint: str, folder: Path, **changes):
    hooks = [dict(whole.hooks[0], path=str(folder / 'record.jsonl')), whole.hooks[2]]
    changes = {**whole.changes, 'custom_hooks': hooks, **changes}
    runner = toy.build(folder, load_from=str(whole.folder / checkpoint), resume=True, **changes)
    runner.train()
    return runner


def assert_same(one, two) -> None:
    """Equal bit by bit, at any depth."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_same(left, right)
    else:
        assert one == two


@pytest.mark.parametrize(
    ('checkpoint', 'begin'),
    [
        ('iter_1.pth', 1),  # middle of the first epoch
        ('iter_3.pth', 3),  # its end, before the schedulers have moved
        ('epoch_1.pth', 3),
        ('iter_5.pth', 5),
        ('iter_6.pth', 6),  # last iteration of stage 1
        ('epoch_2.pth', 6),
        ('iter_7.pth', 7),  # first iteration of stage 2
        ('epoch_3.pth', 12),
        ('iter_16.pth', 16),
        ('iter_24.pth', 24),
        ('epoch_5.pth', 24),
    ],
)
def test_run_that_was_interrupted_equals_the_whole_one(toy, whole, tmp_path, checkpoint, begin):
    runner = go_on(toy, whole, checkpoint, tmp_path)
    record = tmp_path / 'record.jsonl'
    assert (toy.records(tmp_path) if record.exists() else []) == whole.lines[begin:]
    assert_same(runner.model.state_dict(), whole.runner.model.state_dict())
    assert_same(runner.optim_wrapper.state_dict(), whole.runner.optim_wrapper.state_dict())
    assert (runner.epoch, runner.iter) == (5, 24)


def test_order_goes_on_without_a_seed_in_the_config(toy, tmp_path):
    """Each start draws a seed; a run that goes on takes that of its checkpoint, for the dataloader too."""
    toy.build(tmp_path / 'whole', randomness=dict(seed=None)).train()
    checkpoint = str(tmp_path / 'whole' / 'epoch_1.pth')
    toy.build(tmp_path / 'rest', randomness=dict(seed=None), load_from=checkpoint, resume=True).train()
    assert toy.records(tmp_path / 'rest') == toy.records(tmp_path / 'whole')[3:]


def test_stages_can_be_added_to_a_finished_run(toy, whole, tmp_path):
    stages = [*whole.runner.cfg.train_cfg.stages, dict(epochs=1, freeze=['head'], lr=0.5)]
    go_on(toy, whole, 'epoch_5.pth', tmp_path, **{'train_cfg.stages': stages})
    lines = toy.records(tmp_path)
    assert [(line['stage'], line['lr'], line['epoch'], line['iter']) for line in lines] == [
        (3, [0.5], 5, 24 + index) for index in range(3)
    ]
    assert 'head.weight' not in lines[0]['trained']


@pytest.mark.parametrize(
    ('checkpoint', 'change', 'message'),
    [
        ('epoch_1.pth', {'train_cfg.stages.0.lr': 0.3}, r'other stages: train_cfg\.stages\[0\]\.lr: was 0\.1, is 0\.3'),
        (
            'epoch_3.pth',
            {'train_cfg.stages.0.freeze': []},
            r"stages\[0\]\.freeze: was \['backbone'\], is \[\]; restore",
        ),
        ('epoch_3.pth', {'train_cfg.stages.1.epochs': 9}, r'stages\[1\]\.epochs: was 3, is 9; restore the value, or'),
    ],
)
def test_other_stages_are_refused(toy, whole, tmp_path, checkpoint, change, message):
    with pytest.raises(ValueError, match=message):
        go_on(toy, whole, checkpoint, tmp_path, **change)


def test_later_stages_may_change(toy, whole, tmp_path):
    go_on(toy, whole, 'epoch_1.pth', tmp_path, **{'train_cfg.stages.1.epochs': 1, 'train_cfg.stages.1.lr': 0.7})
    assert len(toy.records(tmp_path)) == 3 + 6
    assert toy.records(tmp_path)[3]['lr'] == [0.7]


def test_checkpoint_of_another_loop_is_refused(toy, tmp_path):
    plain = dict(_delete_=True, by_epoch=True, max_epochs=1)
    toy.build(tmp_path / 'plain', train_cfg=plain, custom_hooks=[], param_scheduler=[]).train()
    checkpoint = str(tmp_path / 'plain' / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'was not trained by StagedTrainLoop; take only its weights .* resume=False'):
        toy.build(tmp_path / 'a', load_from=checkpoint, resume=True).train()
    toy.build(tmp_path / 'b', load_from=checkpoint).train()
    assert len(toy.records(tmp_path / 'b')) == 24


def test_after_a_change_of_the_data_the_epoch_begins_anew(toy, whole, tmp_path, capfd):
    """As with another number of processes: 20 samples make epochs of 5 and 10 iterations."""
    change = {'train_dataloader.dataset.samples': 20, 'log_level': 'WARNING'}
    runner = go_on(toy, whole, 'iter_5.pth', tmp_path, **change)
    lines = toy.records(tmp_path)
    assert [(line['epoch'], line['iter']) for line in lines][:6] == [(1, 5 + index) for index in range(5)] + [(2, 10)]
    assert runner.iter == runner.max_iters == 2 * 5 + 3 * 10
    text = ''.join(capfd.readouterr())
    assert 'epochs of the stages had [3] iterations when the checkpoint was saved and have [5] now' in text
    assert 'goes on with epoch 2 from its beginning, iteration 5' in text


def start(folder: Path, *flags: str, **environment: str) -> subprocess.Popen:
    """The toy training in a session of its own, so that it can kill its process group and nothing else."""
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith(('RANK', 'MASTER', 'WORLD'))}
    return subprocess.Popen(
        [sys.executable, str(TOY), str(folder), *flags],
        env={**inherited, 'PYTHONWARNINGS': 'ignore', 'OMP_NUM_THREADS': str(torch.get_num_threads()), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_in_both_stages_it_goes_on_as_if_nothing_had_happened(toy, tmp_path):
    """kill -9 of program and dataloader workers, in the middle of the second and of the fourth epoch."""
    toy.build(tmp_path / 'whole').train()
    killed = tmp_path / 'killed'
    killed.mkdir()
    for kill_at, status in ((4, -signal.SIGKILL), (14, -signal.SIGKILL), (-1, 0)):
        process = start(killed, '--kill-at', str(kill_at), '--workers', '1')
        output, _ = process.communicate(timeout=120)
        assert process.returncode == status, output
    lines, whole = toy.records(killed), toy.records(tmp_path / 'whole')
    assert [line['iter'] for line in lines] == [*range(5), *range(3, 15), *range(12, 24)]
    assert all(line == whole[line['iter']] for line in lines)
    states = [torch.load(folder / 'epoch_5.pth', weights_only=False) for folder in (killed, tmp_path / 'whole')]
    assert_same(states[0]['state_dict'], states[1]['state_dict'])
    assert_same(states[0]['optimizer'], states[1]['optimizer'])


@pytest.mark.slow
def test_two_processes_train_both_stages_and_go_on_after_a_kill(toy, tmp_path):
    """Neither stage may wait for gradients of what it does not train, and both processes learn the same."""
    for kill_at, status in ((8, -signal.SIGKILL), (-1, 0)):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        common = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE='2', CUDA_VISIBLE_DEVICES='')
        flags = ('--launcher', 'pytorch', '--kill-at', str(kill_at))
        processes = [start(tmp_path, *flags, RANK=rank, LOCAL_RANK=rank, **common) for rank in '01']
        outputs = [process.communicate(timeout=120)[0] for process in processes]
        assert [process.returncode for process in processes] == [status] * 2, outputs
    lines = [toy.records(tmp_path, f'record{rank}.jsonl') for rank in range(2)]
    # Six samples a process: epochs of 2 iterations, then of 3.
    rates = [0.1] * 2 + [0.05] * 2 + [0.02] * 3 + [0.018] * 3 + [0.0162] * 3
    for one, two in zip(*lines, strict=True):
        assert not set(one['index']) & set(two['index'])
        assert {**one, 'index': None} == {**two, 'index': None}
        assert one['lr'] == [pytest.approx(rates[one['iter']], rel=1e-12)]
        assert one['stage'] == (1 if one['iter'] < 4 else 2)
    assert [line['iter'] for line in lines[0]] == [*range(9), *range(7, 13)]
    assert lines[0][7:9] == lines[0][9:11]
    weights = [torch.load(tmp_path / f'weights{rank}.pth', weights_only=True) for rank in range(2)]
    states = [torch.load(tmp_path / f'epoch_{epoch}.pth', weights_only=False)['state_dict'] for epoch in (1, 2, 5)]
    for name, _ in toy.ToyNet().named_parameters():
        assert torch.equal(weights[0][name], weights[1][name])
        assert torch.equal(states[0][name], states[1][name]) == name.startswith('backbone'), name
        assert torch.equal(states[1][name], states[2][name]) == ('stem' in name), name
