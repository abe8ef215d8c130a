import ctypes
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook

from mmext.common.checkpoint_files import find_resumable, verify
from mmext.common.hooks.stop_signal_hook import StopSignalHook

TERM, INT = signal.SIGTERM, signal.SIGINT


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


def load(path: Path) -> dict:
    return torch.load(path, weights_only=False)


def assert_same_weights(one: Path, other: Path) -> None:
    one, other = load(one)['state_dict'], load(other)['state_dict']
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def train(toy, folder, *signals, **settings):
    """A function that trains, with a hook that sends signals."""

    def work():
        custom_hooks = [*settings.pop('hooks', []), *signals]
        toy.build(folder, custom_hooks=custom_hooks, **settings).train()

    return work


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('number', [TERM, INT])
def test_in_a_step(toy, in_own_group, tmp_path, by_epoch, workers, number):
    settings = dict(by_epoch=by_epoch, workers=workers)
    run = tmp_path / 'run'
    stopped = in_own_group(train(toy, run, toy.SignalHook('train', 10, [number]), **settings))
    assert stopped.code == 128 + number, stopped.output
    name = signal.Signals(number).name
    assert f'{name}: the step is finished, then the run stops; a second signal stops it at once' in stopped.output
    assert f'Stopped by {name}. Iteration 11 is saved as {run}/iter_11.pth. To go on: ' in stopped.output
    assert 'Traceback' not in stopped.output
    regular = 'epoch_1.pth' if by_epoch else 'iter_8.pth'
    assert checkpoints(run) == sorted([regular, 'iter_11.pth'])
    assert find_resumable(run) == (run / 'iter_11.pth', [])
    assert Path((run / 'last_checkpoint').read_text()) == run / 'iter_11.pth'
    meta = load(run / 'iter_11.pth')['meta']
    assert (meta['iter'], meta['epoch']) == (11, 1 if by_epoch else 0)
    went_on = in_own_group(train(toy, run, resume=True, load_from=str(run / 'iter_11.pth'), **settings))
    assert went_on.code == 0, went_on.output
    toy.build(tmp_path / 'whole', **settings).train()
    last = 'epoch_3.pth' if by_epoch else 'iter_24.pth'
    assert_same_weights(run / last, tmp_path / 'whole' / last)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('interval', [1, 100])
def test_in_validation(toy, in_own_group, tmp_path, by_epoch, workers, interval):
    run = tmp_path / 'run'
    regular = 'epoch_1.pth' if by_epoch else 'iter_8.pth'
    interval = interval if by_epoch else interval * 8
    settings = dict(by_epoch=by_epoch, workers=workers, checkpoint=dict(interval=interval))
    stopped = in_own_group(train(toy, run, toy.SignalHook('val', 3), **settings))
    assert stopped.code == 128 + TERM, stopped.output
    saved = regular if interval in (1, 8) else 'iter_8.pth'
    assert f'Iteration 8 is saved as {run / saved}. To go on: ' in stopped.output
    assert checkpoints(run) == [saved]
    checkpoint = load(run / saved)
    assert (checkpoint['meta']['iter'], checkpoint['meta']['epoch']) == (8, 1 if by_epoch else 0)
    # The run that goes on makes up for the validation.
    runner = toy.build(run, resume=True, load_from=str(run / saved), **settings)
    runner.train()
    assert runner.val_evaluator.metrics[0].validations == 3
    toy.build(tmp_path / 'whole', **settings).train()
    last = 'epoch_3.pth' if by_epoch else 'iter_24.pth'
    assert_same_weights(run / last, tmp_path / 'whole' / last)


def test_at_the_end_of_an_epoch_all_of_it_is_done(toy, in_own_group, tmp_path):
    stopped = in_own_group(train(toy, tmp_path, toy.SignalHook('train', 7)))
    assert f'Iteration 8 is saved as {tmp_path}/epoch_1.pth.' in stopped.output
    assert checkpoints(tmp_path) == ['epoch_1.pth']
    stopped = in_own_group(train(toy, tmp_path / 'rare', toy.SignalHook('train', 7), checkpoint=dict(interval=5)))
    assert checkpoints(tmp_path / 'rare') == ['iter_8.pth']
    meta = load(tmp_path / 'rare' / 'iter_8.pth')['meta']
    assert (stopped.code, meta['iter'], meta['epoch']) == (128 + TERM, 8, 1)


@pytest.mark.parametrize('begin', ['anew', 'checkpoint'])
def test_nothing_trained_nothing_saved(toy, in_own_group, tmp_path, begin):
    settings = dict(by_epoch=False)
    if begin == 'checkpoint':
        in_own_group(train(toy, tmp_path, toy.SignalHook('val', 3), **settings))
        settings.update(resume=True, load_from=str(tmp_path / 'iter_8.pth'))
        before = (tmp_path / 'iter_8.pth').stat().st_mtime_ns
        stopped = in_own_group(train(toy, tmp_path, toy.SignalHook('val', 2), **settings))
        assert 'Nothing was trained, so nothing was saved.' in stopped.output
        assert checkpoints(tmp_path) == ['iter_8.pth']
        assert (tmp_path / 'iter_8.pth').stat().st_mtime_ns == before
    else:
        stopped = in_own_group(lambda: toy.build(tmp_path, custom_hooks=[toy.SignalHook('val', 2)]).val())
        assert 'Validation is not finished; nothing was saved.' in stopped.output
        assert checkpoints(tmp_path) == []
    assert stopped.code == 128 + TERM


def test_in_a_test_with_workers(toy, in_own_group, tmp_path):
    settings = toy.settings(tmp_path, workers=2, custom_hooks=[toy.SignalHook('test', 2, [INT])])
    test = dict(test_dataloader=settings['val_dataloader'], test_evaluator=settings['val_evaluator'], test_cfg=dict())
    from mmext.common.durable_runner import DurableRunner

    stopped = in_own_group(lambda: DurableRunner(**settings, **test).test())
    assert stopped.code == 128 + INT
    assert 'The test is not finished; nothing was saved.' in stopped.output
    assert 'Traceback' not in stopped.output


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('number', [TERM, INT])
def test_second_signal_stops_at_once(toy, in_own_group, tmp_path, workers, number):
    pause = toy.SignalHook('train', 10, [TERM, number], pause=1.1)
    stopped = in_own_group(train(toy, tmp_path, pause, workers=workers), patience=2.5)
    assert stopped.code == 128 + number, stopped.output
    assert 'Stopped by' not in stopped.output
    assert checkpoints(tmp_path) == ['epoch_1.pth']


def test_one_request_delivered_twice(toy, in_own_group, tmp_path):
    stopped = in_own_group(train(toy, tmp_path, toy.SignalHook('train', 10, [INT, INT, TERM], pause=0.05)))
    assert stopped.code == 128 + INT
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'iter_11.pth']


def test_second_signal_reaches_a_process_that_hangs_in_native_code(toy, in_own_group, tmp_path):
    class Hang(toy.SignalHook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2:
                threading.Thread(target=self._send, args=(runner, 'train', 2)).start()
                library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
                for _ in range(2):  # the second time it waits for itself, and returns into Python for no signal
                    library.pthread_mutex_lock(mutex)

    started = time.monotonic()
    stopped = in_own_group(train(toy, tmp_path, Hang('train', 2, [TERM, TERM], pause=1.1)))
    assert stopped.code == 128 + TERM
    assert time.monotonic() - started < 20


def test_saves_after_the_last_batch_of_an_accumulated_gradient(toy, in_own_group, tmp_path):
    optim = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), accumulative_counts=4)
    stopped = in_own_group(train(toy, tmp_path, toy.SignalHook('train', 8), optim_wrapper=optim))
    assert stopped.code == 128 + TERM
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'iter_12.pth']


@pytest.mark.parametrize('moment', [('train', 4), ('val', 3)])
def test_averaged_weights(toy, in_own_group, tmp_path, moment):
    """In validation they stand in the model's place; a checkpoint has them the other way round."""
    settings = dict(checkpoint=dict(interval=100))
    hooks = [EMAHook(momentum=0.3)]
    stopped = in_own_group(train(toy, tmp_path / 'run', toy.SignalHook(*moment), hooks=hooks, **settings))
    assert stopped.code == 128 + TERM, stopped.output
    saved = find_resumable(tmp_path / 'run')[0]
    toy.build(tmp_path / 'run', custom_hooks=[EMAHook(momentum=0.3)], resume=True, load_from=str(saved)).train()
    toy.build(tmp_path / 'whole', custom_hooks=[EMAHook(momentum=0.3)]).train()
    assert_same_weights(tmp_path / 'run' / 'epoch_3.pth', tmp_path / 'whole' / 'epoch_3.pth')
    one, other = (load(tmp_path / name / 'epoch_3.pth')['ema_state_dict'] for name in ('run', 'whole'))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_checkpoint_of_a_stop_is_deleted_by_the_next_regular_one(toy, in_own_group, tmp_path):
    keep = dict(checkpoint=dict(max_keep_ckpts=1))
    in_own_group(train(toy, tmp_path, toy.SignalHook('train', 10), **keep))
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'iter_11.pth']
    toy.build(tmp_path, resume=True, load_from=str(tmp_path / 'iter_11.pth'), **keep).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth*')) == ['epoch_3.pth', 'epoch_3.pth.sha256']


def test_training_without_optimizer_in_its_checkpoints_gets_one_with_it(toy, in_own_group, tmp_path):
    settings = dict(by_epoch=False, checkpoint=dict(save_optimizer=False, max_keep_ckpts=1))
    in_own_group(train(toy, tmp_path, toy.SignalHook('val', 3), **settings))
    assert find_resumable(tmp_path) == (tmp_path / 'iter_8.pth', [])


def test_handlers_are_restored(toy, tmp_path):
    before = [signal.getsignal(number) for number in (INT, TERM)]
    during = []

    class Look(toy.SignalHook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            during.append([signal.getsignal(number) for number in (INT, TERM)])

    threads = threading.active_count()
    toy.build(tmp_path, custom_hooks=[Look('', 0)]).train()
    assert [signal.getsignal(number) for number in (INT, TERM)] == before
    assert all(now != then for now, then in zip(during[0], before, strict=True))
    assert signal.set_wakeup_fd(-1) == -1
    time.sleep(0.05)
    assert threading.active_count() == threads


def test_left_alone_outside_the_main_thread(toy, tmp_path):
    failed = []

    def work():
        try:
            toy.build(tmp_path).train()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []


def test_ignored_signals_stay_ignored(toy, in_own_group, tmp_path):
    """A shell starts what runs in the background so."""

    def work():
        signal.signal(INT, signal.SIG_IGN)
        train(toy, tmp_path, toy.SignalHook('train', 4, [INT], patience=0.3))()

    assert in_own_group(work).code == 0


@pytest.fixture(scope='module')
def pair(tmp_path_factory) -> tuple[Path, list[dict]]:
    """What came of the runs of two processes."""
    folder = tmp_path_factory.mktemp('pair')
    # New processes: in a fork of one that has trained, distributed training hangs.
    script = Path(__file__).with_name('pair_of_runs.py')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', str(script)]
    done = subprocess.run([*command, str(folder)], check=False, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [json.loads((folder / f'{rank}.json').read_text()) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(('run', 'iteration'), [('step', 6), ('validation', 8)])
def test_two_processes_stop_at_the_same_step(pair, run, iteration):
    folder, found = pair
    name = f'iter_{iteration}.pth'
    assert [each[run]['end'] for each in found] == [128 + TERM] * 2
    # The loop counts an iteration after all hooks.
    assert [each[run]['iter'] for each in found] == [5 if run == 'step' else 8] * 2
    assert [each[run]['files'] for each in found] == [[name, f'{name}.sha256']] * 2
    assert verify(folder / run / name) is None


@pytest.mark.slow
def test_two_processes_with_unequal_numbers_of_batches_in_validation(pair):
    assert [(each['uneven']['end'], each['uneven']['iter']) for each in pair[1]] == [(None, 24)] * 2


@pytest.mark.slow
def test_two_processes_fail_together(pair):
    first, second = (each['full'] for each in pair[1])
    assert first['end'].startswith('CheckpointWriteError: ')
    assert 'iter_8.pth: the checkpoint could not be written: the disk is full' in first['end']
    assert second['end'] == first['end'].replace(': ', ': the main process could not save: ', 1)
    assert first['iter'] == second['iter']
    assert (first['files'], second['files']) == ([], [])


def test_registry():
    from mmengine.registry import HOOKS

    assert isinstance(HOOKS.build(dict(type='StopSignalHook')), StopSignalHook)
