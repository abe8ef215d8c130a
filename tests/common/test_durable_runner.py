"""Trainings that are broken off and go on, in this process; `kill_test` does so with SIGKILL."""

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import Runner
from torch import nn

from mmext.common import durable_runner, process_states, running
from mmext.common.checkpoint_files import CheckpointWriteError, find_resumable, verify
from mmext.common.checkpoints import CheckpointError, read_checkpoint
from mmext.common.durable_runner import DurableRunner, resumable, settle_resumption
from mmext.common.hooks.durable_checkpoint_hook import DurableCheckpointHook
from mmext.common.kill_test import LOOPS, differences, task, toy_task
from mmext.common.kill_test.task import KillTestRunner
from mmext.common.loops.resumable_loops import ResumableEpochLoop, ResumableIterLoop
from mmext.common.seeding import SeededDataLoader

# Checkpoints by epochs in the place of those by iterations, and the other way round.
OTHERWISE = {
    'epoch, by iterations': task.TASKS['staged']['checkpoint'],
    'staged, by epochs': task.TASKS['epoch']['checkpoint'],
}


class BreakOffError(Exception):
    pass


@HOOKS.register_module()
class BreakOffHook(Hook):
    """Ends a training as a crash would: in the middle of a step, without another word."""

    priority = 'VERY_HIGH'

    def __init__(self, before: int) -> None:
        self.before = before

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter == self.before:
            raise BreakOffError


def build(work_dir: Path, loop: str = 'iter', workers: int = 0, hooks: tuple = (), **changes) -> DurableRunner:
    cfg = toy_task(loop.partition(',')[0], workers)
    if loop in OTHERWISE:
        cfg.default_hooks.checkpoint = OTHERWISE[loop]
    cfg.work_dir, cfg.randomness = str(work_dir), dict(seed=7, deterministic=True)
    cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
    build.count += 1
    cfg.experiment_name = f'durable{build.count}'
    cfg.merge_from_dict(changes)
    return KillTestRunner.from_cfg(cfg)


build.count = 0


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> dict[str, Path]:
    """Undisturbed trainings by loop, and by those in `OTHERWISE`."""
    folders = {}
    for name in (*LOOPS, *OTHERWISE):
        folders[name] = tmp_path_factory.mktemp(name)
        build(folders[name], name).train()
    return folders


@pytest.fixture(autouse=True)
def _usual_algorithms():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize('loop', [*LOOPS, *OTHERWISE])
@pytest.mark.parametrize('before', [3, 12, 17, 21])
def test_what_was_broken_off_ends_as_the_whole(whole, tmp_path, loop, before):
    """Epochs end after 6, 12, 18 and 24 iterations; checkpoints are there after every epoch, or every 4 or 5."""
    with pytest.raises(BreakOffError):
        build(tmp_path, loop, hooks=(dict(type='BreakOffHook', before=before),)).train()
    build(tmp_path, loop, resume=True).train()
    assert differences(whole[loop], tmp_path) == []


@pytest.mark.parametrize('loop', ['iter', 'epoch'])
def test_the_number_of_workers_does_not_matter(whole, tmp_path, loop):
    # Workers that are kept end only when memory is cleared up.
    ends = {f'{name}_dataloader.persistent_workers': False for name in ('train', 'val')}
    build(tmp_path, loop, workers=1, **ends).train()
    assert differences(whole[loop], tmp_path) == []


def test_another_seed_or_another_step_is_seen(whole, tmp_path):
    """The comparison can fail."""
    build(tmp_path / 'seed', randomness=dict(seed=8)).train()
    assert differences(whole['iter'], tmp_path / 'seed')
    shutil.copytree(whole['iter'], tmp_path / 'bit')
    last, _ = find_resumable(tmp_path / 'bit')
    checkpoint = torch.load(last, weights_only=False)
    checkpoint['state_dict']['head.bias'] = checkpoint['state_dict']['head.bias'].nextafter(torch.tensor(9.0))
    torch.save(checkpoint, last)
    (scalars,) = (tmp_path / 'bit').glob('*/vis_data/scalars.json')
    scalars.write_text(scalars.read_text().replace('"loss_ce": 1.', '"loss_ce": 2.', 1))
    found = differences(whole['iter'], tmp_path / 'bit')
    assert len(found) == 2
    assert found[0] == f'{last.name}: state_dict.head.bias'
    assert found[1].startswith('scalars: loss_ce at step ')


def test_the_seed_of_the_checkpoint_is_taken_before_anything_is_built(whole, tmp_path, capsys):
    last, _ = find_resumable(whole['iter'])
    changes = dict(load_from=str(last), resume=True)
    runner = build(tmp_path / 'a', randomness=dict(seed=None), **changes)
    assert runner.seed == runner.train_dataloader.sampler.seed == 7
    assert 'warning' not in capsys.readouterr().err
    assert build(tmp_path / 'b', randomness=dict(seed=1), **changes).seed == 7
    assert (
        f'{last}: was trained with seed 7, and so the training goes on; seed 1 is not used' in capsys.readouterr().err
    )
    assert build(tmp_path / 'c', randomness=dict(seed=1), load_from=str(last)).seed == 1, 'weights bring no seed'


def test_resume_in_a_config_takes_the_newest_sound_checkpoint(whole, tmp_path, capsys):
    shutil.copytree(whole['epoch'], tmp_path, dirs_exist_ok=True)
    newest = tmp_path / 'epoch_4.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    cfg = Config(dict(work_dir=str(tmp_path), resume=True))
    settle_resumption(cfg)
    assert Path(cfg.load_from).name == 'epoch_3.pth'
    assert cfg.randomness.seed == 7
    message = capsys.readouterr().err
    assert f'{newest}: passed over: ' in message
    assert f'going on from {cfg.load_from}' in message
    empty = Config(dict(work_dir=str(tmp_path / 'none'), resume=True))
    settle_resumption(empty)
    assert (empty.resume, empty.load_from) == (False, None)


def test_loops_and_hooks_take_the_place_of_mmengines(tmp_path):
    runner = build(tmp_path / 'epoch', 'epoch')
    assert type(runner.train_loop) is ResumableEpochLoop
    assert type(build(tmp_path / 'iter').train_loop) is ResumableIterLoop
    assert isinstance(runner.train_dataloader, SeededDataLoader)
    saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    assert [type(hook) for hook in saving] == [DurableCheckpointHook]
    assert type(runner.hooks[0]).__name__ == 'SeedingHook'
    assert sum(type(hook).__name__ == 'StopSignalHook' for hook in runner.hooks) == 1


@pytest.mark.parametrize(
    ('given', 'made'),
    [
        (dict(by_epoch=True, max_epochs=2), dict(type=ResumableEpochLoop, max_epochs=2)),
        (dict(by_epoch=False, max_iters=2), dict(type=ResumableIterLoop, max_iters=2)),
        (dict(type='EpochBasedTrainLoop'), dict(type=ResumableEpochLoop)),
        (dict(type='mmengine.IterBasedTrainLoop'), dict(type=ResumableIterLoop)),
        (dict(type='StagedTrainLoop'), dict(type='StagedTrainLoop')),
        (dict(type=int), dict(type=int)),
    ],
)
def test_which_loops_are_replaced(given, made):
    assert resumable(given) == made


def test_a_runner_of_the_config_stays(tmp_path):
    @RUNNERS.register_module(name='PlainKillTestRunner')
    class Plain(Runner):
        def _log_env(self, env_cfg: dict) -> None:
            pass

    try:
        cfg = toy_task('iter')
        cfg.work_dir, cfg.runner_type, cfg.experiment_name = str(tmp_path), 'PlainKillTestRunner', 'plain'
        assert type(running.build_runner(cfg)) is Plain
        cfg.runner_type = 'KillTestRunner'
        assert isinstance(running.build_runner(cfg), DurableRunner)
    finally:
        RUNNERS.module_dict.pop('PlainKillTestRunner')


def test_a_full_disk_stops_the_training_and_harms_no_checkpoint(tmp_path, monkeypatch):
    runner = build(tmp_path)
    save = Runner.save_checkpoint

    def until_full(self, out_dir, filename, *args, **kwargs):
        save(self, out_dir, filename, *args, **kwargs)
        if self.iter + 1 == 10:
            Path(out_dir, filename).write_bytes(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Runner, 'save_checkpoint', until_full)
    with pytest.raises(CheckpointWriteError, match=r'iter_10\.pth'):
        runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_5.pth']
    assert verify(tmp_path / 'iter_5.pth') is None
    assert not list(tmp_path.glob('.*'))


def test_checkpoints_are_read_without_running_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / 'canary',))

    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict={}, optimizer={}, meta=dict(seed=Evil(), iter=1, epoch=0)), path)
    with pytest.raises(CheckpointError):
        build(tmp_path / 'run', load_from=str(path), resume=True)
    assert not (tmp_path / 'canary').exists()


def test_everything_a_checkpoint_holds_can_be_loaded_safely(whole):
    for folder in whole.values():
        for path in folder.glob('*.pth'):
            assert verify(path) is None
            assert 'process_states' in read_checkpoint(path)


def test_gradients_between_two_steps_of_the_optimizer_are_kept(whole):
    """Two iterations a step, a checkpoint after every fifth."""
    states = {path.name: read_checkpoint(path)['process_states'] for path in whole['iter'].glob('iter_*.pth')}
    assert set(states) == {'iter_20.pth', 'iter_24.pth'}
    assert all('gradients' not in state[0] for state in states.values())
    model = nn.Linear(2, 1)
    model.weight.grad = torch.ones(1, 2)
    wrapper = SimpleNamespace(_accumulative_counts=2, should_update=lambda: False)
    runner = SimpleNamespace(model=model, hooks=[], optim_wrapper=wrapper, world_size=1, rank=0)
    states = process_states.gather_states(runner)
    assert states[0]['gradients'].keys() == {'weight'}
    model.weight.grad = None
    process_states.restore_state(runner, states)
    assert model.weight.grad.tolist() == [[1.0, 1.0]]
    assert model.bias.grad is None
    wrapper.should_update = lambda: True
    assert 'gradients' not in process_states.gather_states(runner)[0]


def _own_statistics(rank: int) -> dict:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.register_buffer('same', torch.ones(3))
    model[1].running_mean.fill_(rank)
    wrapper = SimpleNamespace(_accumulative_counts=1)
    runner = SimpleNamespace(model=model, hooks=[], optim_wrapper=wrapper, world_size=2, rank=rank)
    states = process_states.gather_states(runner)
    model[1].running_mean.fill_(0)  # what the main process has saved
    process_states.restore_state(runner, states)
    runner.world_size = 3
    process_states.restore_state(runner, states)  # of other processes: nothing is put back
    return dict(
        states=[{**state, 'buffers': sorted(state['buffers'])} for state in states],
        mean=float(model[1].running_mean[0]),
    )


def test_statistics_of_each_process_are_kept(in_two_processes):
    found = in_two_processes(_own_statistics)
    assert [each['mean'] for each in found] == [0, 1]
    assert found[0]['states'] == found[1]['states']
    assert [state['buffers'] for state in found[0]['states']] == [[], ['1.running_mean']]


def test_hooks_that_keep_a_state_are_told_apart():
    class Keeps(Hook):
        def __init__(self, value: int) -> None:
            self.value = value

        def state_dict(self) -> dict:
            return dict(value=torch.tensor(self.value))

        def load_state_dict(self, state: dict) -> None:
            self.value = int(state['value'])

    runner = SimpleNamespace(model=nn.Linear(1, 1), hooks=[Keeps(1), Hook(), Keeps(2)], world_size=1, rank=0)
    runner.optim_wrapper = SimpleNamespace()
    states = process_states.gather_states(runner)
    assert states == [dict(hooks={'Keeps': dict(value=torch.tensor(1)), 'Keeps.2': dict(value=torch.tensor(2))})]
    runner.hooks = [Keeps(0), Keeps(0), Keeps(0)]
    process_states.restore_state(runner, states)
    assert [hook.value for hook in runner.hooks] == [1, 2, 0]
    process_states.restore_state(runner, None)
    assert [hook.value for hook in runner.hooks] == [1, 2, 0]


def test_other_addresses_than_files_are_left_to_mmengine(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Runner, 'save_checkpoint', lambda self, *args, **kwargs: seen.append(args))
    runner = build(tmp_path)
    runner.optim_wrapper = SimpleNamespace()
    runner.save_checkpoint('s3://bucket/run', 'iter_1.pth')
    assert seen == [('s3://bucket/run', 'iter_1.pth')]


def test_only_the_first_process_warns(monkeypatch, capsys):
    monkeypatch.setenv('RANK', '1')
    durable_runner.tell('x')
    assert capsys.readouterr().err == ''
