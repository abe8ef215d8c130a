"""Ends a run in order when it is told to."""

import signal
from collections.abc import Sized
from typing import Any, NoReturn

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from mmext.common.stop_signals import StopRequest, shield_workers

from .durable_checkpoint_hook import DurableCheckpointHook, save_resumable, write_note


@HOOKS.register_module()
class StopSignalHook(Hook):
    """On SIGTERM or SIGINT finishes the step, saves a checkpoint and exits; a second signal stops at once.

    The exit code is 128 + the number of the signal, as of a process that the signal has killed. Signals within a second
    of the first are the same request: terminals and launchers may deliver it twice.

    - In training the checkpoint is ``iter_<iterations>.pth``, by epochs too, with the finished epochs and iterations in
      its ``meta``. It is written after the last batch of an accumulated gradient, which no checkpoint holds, and at the
      end of an epoch after all that belongs to it.
    - In validation, ``meta`` is the same as of a checkpoint from before that validation: the loop has counted epoch and
      iteration already, and validation trains nothing. The hub's ``iter_of_last_validation`` stays that of the
      validation before, from which `mmext.common.loops` sees that this one has to be made up for. Averaged weights that
      are validated in place of the model's are swapped back first.
    - An iteration that has a checkpoint gets no second one.
    - In validation or testing without training nothing is saved.

    Distributed processes agree after every step, so that a signal to any of them stops all at the same step. Workers
    of dataloaders outlast signals to the whole group of processes, and never their main process. Outside the main
    thread signals are left alone. Hooks of priority LOWEST that are registered later come too late for a last word.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._request = StopRequest(self._announce)
        self._agreed = 0  # the signal that all processes know of
        self._group: torch_dist.ProcessGroup | None = None
        self._common_steps = 0
        self._training = False
        self._begun_at = 0
        self._delay = 0
        self._swaps: dict[EMAHook, int] = {}

    def before_run(self, runner) -> None:
        self._logger = runner.logger
        # A group of its own, on the CPU: GPUs need not wait, and it is never in the way of others.
        if get_world_size() > 1 and self._group is None:
            self._group = torch_dist.new_group(backend='gloo')
        self._request.install()

    def after_run(self, runner) -> None:
        self._request.uninstall()

    def before_train(self, runner) -> None:
        self._training, self._begun_at = True, runner.iter
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and hook not in self._swaps:
                self._count_swaps(hook)

    def after_train(self, runner) -> None:
        self._training = False

    def before_train_epoch(self, runner) -> None:
        shield_workers(runner.train_loop.dataloader)

    def after_train_iter(self, runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None) -> None:
        if not self._agree():
            return
        self._delay += 1
        loop = runner.train_loop
        ends_epoch = isinstance(loop, EpochBasedTrainLoop) and batch_idx + 1 == _length(loop.dataloader)
        if not ends_epoch and not _gradient_pending(runner.optim_wrapper, self._delay):
            self._save_and_exit(runner, runner.epoch, runner.iter + 1)

    def after_train_epoch(self, runner) -> None:
        if self._agreed and isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._save_and_exit(runner, runner.epoch + 1, runner.iter)

    def before_val_epoch(self, runner) -> None:
        self._before_evaluation(runner.val_loop.dataloader)

    def after_val_iter(self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if not self._agree_in_evaluation(batch_idx):
            return
        if not self._training:
            self._exit(runner, 'Validation is not finished; nothing was saved.')
        if runner.iter == self._begun_at:
            self._exit(runner, 'Nothing was trained, so nothing was saved. To go on: the same command again.')
        for hook, count in self._swaps.items():
            if count % 2:
                hook._swap_ema_parameters()
        self._save_and_exit(runner, runner.epoch, runner.iter)

    def before_test_epoch(self, runner) -> None:
        self._before_evaluation(runner.test_loop.dataloader)

    def after_test_iter(self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self._agree_in_evaluation(batch_idx):
            self._exit(runner, 'The test is not finished; nothing was saved.')

    def _announce(self, name: str) -> None:
        self._logger.warning(f'{name}: the step is finished, then the run stops; a second signal stops it at once')

    def _agree(self) -> int:
        """The signal that any of the processes has received, 0 if none."""
        if self._group is None:
            self._agreed = self._request.number
        elif not self._agreed:
            received = torch.tensor(self._request.number)
            torch_dist.all_reduce(received, torch_dist.ReduceOp.MAX, group=self._group)
            self._agreed = int(received)
        return self._agreed

    def _before_evaluation(self, loader: Any) -> None:
        shield_workers(loader)
        self._common_steps = _length(loader)
        if self._group is not None:  # a process with fewer batches does not ask again
            steps = torch.tensor(self._common_steps)
            torch_dist.all_reduce(steps, torch_dist.ReduceOp.MIN, group=self._group)
            self._common_steps = int(steps)

    def _agree_in_evaluation(self, batch_idx: int) -> int:
        return self._agree() if batch_idx < self._common_steps else 0

    def _save_and_exit(self, runner, epoch: int, iteration: int) -> NoReturn:
        hook = next((hook for hook in runner.hooks if isinstance(hook, DurableCheckpointHook)), None)
        if hook:
            path = hook.save_now(runner, epoch, iteration)
        else:
            name = f'iter_{iteration}.pth'
            path = f'{runner.work_dir}/{name}'
            save_resumable(runner, runner.work_dir, name, dict(epoch=epoch, iter=iteration))
            write_note(runner, path)
        self._exit(runner, f'Iteration {iteration} is saved as {path}. To go on: the same command with --resume.')

    def _exit(self, runner, what: str) -> NoReturn:
        number = self._agreed
        runner.logger.warning(f'Stopped by {signal.Signals(number).name}. {what}')
        runner.call_hook('after_run')  # writes out what loggers hold
        for handler in runner.logger.handlers:
            handler.flush()
        raise SystemExit(128 + number)

    def _count_swaps(self, hook: EMAHook) -> None:
        swap, self._swaps[hook] = hook._swap_ema_parameters, 0

        def counted() -> None:
            swap()
            self._swaps[hook] += 1

        hook._swap_ema_parameters = counted


def _length(loader: Any) -> int:
    """Batches of a loader; 0 if it does not know."""
    try:
        return len(loader) if isinstance(loader, Sized) else 0
    except TypeError:  # of an iterable dataset
        return 0


def _gradient_pending(optim_wrapper: OptimWrapper | OptimWrapperDict, delay: int) -> bool:
    """Whether gradients are accumulated that have not changed the weights yet. Stops waiting after a full round."""
    wrappers = list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    longest = max(wrapper._accumulative_counts for wrapper in wrappers)
    return delay <= longest and not all(wrapper.should_update() for wrapper in wrappers)
