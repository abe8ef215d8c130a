"""Keeps a bad batch from ruining a training: a step that is not finite is explained, kept for replay and left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from torch import Tensor, nn

from mmext.common.files import replacing

from .non_finite_diagnosis import Diagnosis, diagnose, gradients_finite
from .non_finite_replay import Incident, generator_states, set_generator_states, write_incident

# Where the message hub, and so every checkpoint, keeps the number of steps that were left out.
RECORD = 'non_finite_skips'


class NonFiniteError(RuntimeError):
    """More steps were NaN or Inf than may be left out; the message says where they arise and what to try."""


@dataclass
class _Pass:
    """One batch of the step under way."""

    iteration: int
    batch: Any
    generators: dict


@HOOKS.register_module()
class NonFiniteGuard(Hook):
    """Leaves out steps whose loss or gradient is NaN or Inf, says where that arises, and stops after too many.

    Works with every toolbox and training loop, with mixed precision, gradient accumulation, clipping and distributed
    training::

        custom_hooks = [dict(type='NonFiniteGuard', max_skips=5)]

    A bad step leaves weights, the optimiser's state and all buffers (statistics of batch norm) as they were before it;
    schedulers advance. With gradient accumulation a step is all batches since the one before. The batch is then passed
    through the model again to name the first module whose output is not finite, or at whose output the gradient is not.
    Batch, weights and states of the random generators are kept in ``<work dir>/non_finite`` in files that need no
    unpickling of objects; the log has the command that replays them (``tools/analysis/replay_batch.py``).

    All processes of a distributed run leave out the same steps. Infinite gradients that a dynamic loss scale is there
    to catch are left to it, and count only where its scale has already fallen to 1 or below.

    The number of steps left out is kept in checkpoints. Guarded are the steps of mmengine's optimiser wrappers; models
    sharded over processes are not supported.

    Args:
        max_skips: Steps of the whole run that may be left out; one more ends it. 0 stops at the first.
        folder: Where to keep the batches instead of ``<work dir>/non_finite``.
        save_weights: Whether to keep the weights too, a checkpoint for every bad step; a replay needs them.

    Raises:
        ValueError: ``max_skips`` is negative.
        NonFiniteError: In training, on all processes, as above.
    """

    # After all that draws random numbers or changes the batch before the step.
    priority = 'LOWEST'

    def __init__(self, max_skips: int = 5, folder: str | None = None, save_weights: bool = True) -> None:
        if max_skips < 0:
            raise ValueError(f'NonFiniteGuard: max_skips={max_skips}; give a number of steps, 0 or above')
        self.max_skips, self.folder, self.save_weights = max_skips, folder, save_weights
        self._originals: list[tuple[OptimWrapper, Callable, Callable]] = []
        self._passes: list[_Pass] = []
        self._losses: list[Tensor] = []
        self._stepped = True
        self._buffers: BufferKeeper | None = None

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        # The wrapper may be a new one: training in stages has one a stage.
        self._guard(runner)
        if self._stepped:
            self._stepped, self._passes, self._losses = False, [], []
            self._buffers.keep()
        self._passes.append(_Pass(runner.iter, data_batch, generator_states()))

    def after_train(self, runner) -> None:
        self._release()

    def _guard(self, runner) -> None:
        wrappers = list(_wrappers(runner.optim_wrapper))
        guarded = [wrapper for wrapper, _, _ in self._originals]
        if len(wrappers) == len(guarded) and all(a is b for a, b in zip(wrappers, guarded, strict=True)):
            return
        self._release()
        for wrapper in wrappers:
            backward, step = wrapper.backward, wrapper.step
            self._originals.append((wrapper, backward, step))
            wrapper.backward = partial(self._backward, backward)
            wrapper.step = partial(self._step, runner, wrapper, step)
            if hasattr(step, '_with_counter'):  # mmengine's schedulers look whether their count of steps is in place
                wrapper.step._with_counter = step._with_counter
        self._buffers = BufferKeeper(_unwrapped(runner.model))
        self._stepped = True

    def _release(self) -> None:
        for wrapper, backward, step in self._originals:
            wrapper.backward, wrapper.step = backward, step
        self._originals, self._passes, self._losses = [], [], []

    def _backward(self, backward: Callable, loss: Tensor, **kwargs) -> None:
        # Looked at in the step: reading it here would make a GPU wait twice.
        self._losses.append(loss.detach())
        backward(loss, **kwargs)

    def _step(self, runner, wrapper: OptimWrapper, step: Callable, **kwargs) -> None:
        self._stepped = True
        fault = self._find_fault(wrapper)
        if fault is None:
            step(**kwargs)
        else:
            wrapper.zero_grad()
            self._leave_out(runner, wrapper, fault)

    def _find_fault(self, wrapper: OptimWrapper) -> str | None:
        """``'loss'`` or ``'gradient'`` if any process has a non-finite one; read back at once."""
        parameters = [value for group in wrapper.optimizer.param_groups for value in group['params']]
        gradient = gradients_finite(parameters)
        loss = torch.stack([loss.float().mean() for loss in self._losses]).isfinite().all() if self._losses else None
        known = torch.tensor(True, device=parameters[0].device)
        flags = torch.stack([known if flag is None else flag.to(known.device) for flag in (loss, gradient)]).int()
        if get_world_size() > 1:
            all_reduce(flags, 'min')
        loss_finite, gradient_finite = flags.tolist()
        if not loss_finite:
            return 'loss'
        return None if gradient_finite or _loss_scale(wrapper) > 1 else 'gradient'

    def _leave_out(self, runner, wrapper: OptimWrapper, fault: str) -> None:
        now = generator_states()
        found, place = self._diagnose(runner, wrapper)
        set_generator_states(now)
        count = (runner.message_hub.get_info(RECORD) if RECORD in runner.message_hub.runtime_info else 0) + 1
        runner.message_hub.update_info(RECORD, count)
        # Processes whose own batches are finite have nothing to tell, unless none has.
        here = None if found.kind == 'not reproduced' else found
        everywhere = all_gather_object((get_rank(), here))
        culprits = [(rank, each) for rank, each in everywhere if each is not None]
        rank, first = culprits[0] if culprits else (0, found)
        folder = Path(self.folder or Path(runner.work_dir) / 'non_finite')
        command = ''
        if here is not None or not culprits:
            command = self._keep(runner, wrapper, folder, place, fault, found)
        if get_world_size() > 1:
            command = next((each for each in all_gather_object(command) if each), '')
        process = f' of process {rank}' if get_world_size() > 1 else ''
        text = f'iteration {place.iteration + 1}: non-finite {fault}{process}: {first.text}. Try: {first.advice}'
        if count > self.max_skips:
            self._release()
            raise NonFiniteError(
                f'{text}. {count} steps of this run were non-finite, max_skips={self.max_skips} allows no more. '
                f'The batch is kept in {folder}; replay: {command}'
            )
        if is_main_process():
            runner.logger.error(f'{text}. Step left out, {count} of at most {self.max_skips}. Replay: {command}')

    def _diagnose(self, runner, wrapper: OptimWrapper) -> tuple[Diagnosis, _Pass]:
        """The first batch of the step that is at fault; the last one if none is."""
        model = _unwrapped(runner.model)
        found, place = None, self._passes[-1]
        for place in self._passes:
            self._buffers.restore()
            set_generator_states(place.generators)
            found = diagnose(model, place.batch, wrapper.optim_context(model), _loss_scale(wrapper), _any_process)
            if _any_process(found.kind != 'not reproduced'):
                break
        self._buffers.restore()
        return found, place

    def _keep(self, runner, wrapper, folder: Path, place: _Pass, fault: str, found: Diagnosis) -> str:
        """Write batch and weights; the command that replays them."""
        rank, model = get_rank(), _unwrapped(runner.model)
        weights = f'iter_{place.iteration}_rank{rank}_weights.pth' if self.save_weights else ''
        if weights:
            values = {name: value.detach().cpu() for name, value in model.state_dict().items()}
            with replacing(folder / weights) as unfinished:
                torch.save(dict(state_dict=values, meta=dict(iter=place.iteration)), unfinished)
        path = folder / f'iter_{place.iteration}_rank{rank}.pt'
        config = Path(runner.work_dir) / (Path(runner.cfg.filename).name if runner.cfg.filename else 'config.py')
        command = f'python tools/analysis/replay_batch.py {config} {path}'
        frozen = [name for name, module in model.named_modules() if not module.training]
        incident = Incident(
            place.batch,
            place.generators,
            place.iteration,
            runner.seed,
            rank,
            fault,
            frozen,
            _autocast_type(wrapper),
            _loss_scale(wrapper),
            weights,
            found,
        )
        write_incident(path, incident, command)
        return command


class BufferKeeper:
    """Keeps a copy of a model's buffers, to undo what a forward pass did to them.

    Of the others than running statistics, only those that were written to since the last copy are copied again.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places = [(module, name) for module in model.modules() for name in module._buffers]
        self._copies: list[tuple[Tensor | None, int, Tensor | None]] = [(None, -1, None)] * len(self._places)

    def keep(self) -> None:
        for index, (module, name) in enumerate(self._places):
            buffer = module._buffers.get(name)
            kept, version, copy = self._copies[index]
            # Batch norm writes its statistics without counting it as a change.
            counted = name not in ('running_mean', 'running_var')
            if buffer is None or (counted and buffer is kept and buffer._version == version):
                continue
            if copy is None or copy.shape != buffer.shape or copy.device != buffer.device:
                copy = torch.empty_like(buffer)
            copy.copy_(buffer.detach())
            self._copies[index] = (buffer, buffer._version, copy)

    @torch.no_grad()
    def restore(self) -> None:
        for (module, name), (buffer, _, copy) in zip(self._places, self._copies, strict=True):
            if buffer is not None:
                buffer.copy_(copy)
                module._buffers[name] = buffer


def _any_process(here: bool) -> bool:
    return any(all_gather_object(here))


def _wrappers(wrapper: OptimWrapper | OptimWrapperDict) -> Iterator[OptimWrapper]:
    if isinstance(wrapper, OptimWrapperDict):
        yield from wrapper.values()
    else:
        yield wrapper


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _loss_scale(wrapper: OptimWrapper) -> float:
    """Factor of the loss in the backward pass; 1 in full precision."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    return float(scaler.get_scale()) if scaler is not None and scaler.is_enabled() else 1.0


def _autocast_type(wrapper: OptimWrapper) -> str:
    """Name of the type of mixed precision; '' in full precision."""
    if not hasattr(wrapper, 'loss_scaler'):
        return ''
    return str(wrapper.cast_dtype or torch.float16).removeprefix('torch.')
