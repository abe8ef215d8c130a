"""What a checkpoint has to hold of each process besides model, optimiser and schedulers, to go on bit by bit.

mmengine stores what the main process has. The rest is small and rarely anything at all:

- what hooks have summed up so far, of those that have ``state_dict()`` and ``load_state_dict(state)``;
- buffers of the model that differ between processes: statistics of BatchNorm, which each process takes of its share of
  the data and validates with;
- gradients, where a checkpoint falls between two steps of the optimiser (gradient accumulation).

Only plain values and tensors, which can be loaded without running code.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn


def gather_states(runner) -> list[dict]:
    """The state of every process, by rank. All processes must call it."""
    model = _unwrapped(runner.model)
    here = dict(hooks={name: _to_cpu(hook.state_dict()) for name, hook in stateful_hooks(runner.hooks)})
    if unfinished_steps(runner.optim_wrapper):
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        here['gradients'] = _to_cpu(gradients)
    states = all_gather_object(here)
    if len(states) > 1:
        for state, buffers in zip(states, _different_buffers(model), strict=True):
            state['buffers'] = buffers
    return states


def restore_state(runner, states: list[dict] | None) -> None:
    """Put back what `gather_states` found, after the checkpoint has been loaded.

    Where the number of processes is another one, or the checkpoint knows nothing of this, nothing is put back: sums
    then begin with the checkpoint.
    """
    if not states or len(states) != runner.world_size:
        return
    state, model = states[runner.rank], _unwrapped(runner.model)
    for name, hook in stateful_hooks(runner.hooks):
        if name in state['hooks']:
            hook.load_state_dict(state['hooks'][name])
    buffers, parameters = dict(model.named_buffers()), dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.get('buffers', {}).items():
            buffers[name].copy_(value)
        for name, value in state.get('gradients', {}).items():
            parameters[name].grad = value.to(parameters[name].device)


def stateful_hooks(hooks: list[Hook]) -> Iterator[tuple[str, Hook]]:
    """Hooks that keep a state, with a name each: that of the class, numbered from its second one on."""
    seen: Counter[str] = Counter()
    for hook in hooks:
        if hasattr(hook, 'state_dict') and hasattr(hook, 'load_state_dict'):
            name = type(hook).__name__
            seen[name] += 1
            yield (name if seen[name] == 1 else f'{name}.{seen[name]}'), hook


def unfinished_steps(wrapper: Any) -> bool:
    """Whether gradients have been summed up that no step of the optimiser has used yet."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return any(getattr(each, '_accumulative_counts', 1) > 1 and not each.should_update() for each in wrappers)


def _different_buffers(model: nn.Module) -> list[dict[str, Tensor]]:
    """By rank, the buffers whose values are not those of the main process."""
    digests = all_gather_object({name: _digest(value) for name, value in model.named_buffers()})
    names = {name for each in digests for name in each if each[name] != digests[0].get(name)}
    here = {name: value.detach().cpu().clone() for name, value in model.named_buffers() if name in names}
    return [{}, *all_gather_object(here)[1:]]


def _digest(value: Tensor) -> str:
    flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data, digest_size=16).hexdigest()


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(each) for key, each in value.items()}
    return value


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
