"""Finds where a batch turns into NaN or Inf, by training it once more without a step."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from .plain_batches import image_paths

# What to try, by the kind of the finding.
ADVICE = {
    'parameter': 'the weights were non-finite before this batch: go back to an earlier checkpoint',
    'input': 'the picture or its label holds non-finite values: repair or leave out the files named',
    'forward': 'lower the learning rate, lengthen the warm-up, add clip_grad, or train this module in full precision',
    'loss': 'look at what the loss divides by and takes the logarithm of (empty labels, a class weight of 0), '
    'or lower the learning rate',
    'gradient': 'add optim_wrapper.clip_grad=dict(max_norm=1.0), lower the learning rate, or look for a square root, '
    'a division or a norm of zero behind the module named',
    'not reproduced': 'a second pass over the batch was finite: suspect the hardware, an operator that is not '
    'deterministic, or a random number; train with --deterministic',
}


@dataclass
class Diagnosis:
    """Where the first value that is not finite appears.

    Attributes:
        kind: One of `ADVICE`.
        module: Name as in ``model.named_modules()``; '' for the model itself, None where no module is at fault.
        text: The finding in words.
        losses: The terms of the loss; may be empty.
    """

    kind: str
    module: str | None
    text: str
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors below a value, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, BaseDataElement):
        yield from tensors_in(dict(value.items()))


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are; other types than floating point always are."""
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(tensor.isfinite().all())


def diagnose(
    model: nn.Module,
    batch: Any,
    context: AbstractContextManager | None = None,
    scale: float = 1.0,
    agree: Callable[[bool], bool] = bool,
) -> Diagnosis:
    """Passes a batch forward and backward and tells where the first value that is not finite appears.

    No gradient is accumulated and no wrapper for distributed training is called. Buffers such as the statistics of
    batch norm move, and random numbers are drawn: the caller restores both.

    Args:
        model: mmengine's, not wrapped, in the mode that the step had.
        batch: As the loader gives it.
        context: Of the forward pass: that of mixed precision.
        scale: Of the loss before the backward pass.
        agree: Whether any process found something, in a distributed run: all then end alike, as layers such as SyncBN
            wait for each other in the forward and in the backward pass.
    """
    bad = [name for name, value in model.named_parameters() if not is_finite(value)]
    if bad:
        more = f' and {len(bad) - 1} more parameters' if len(bad) > 1 else ''
        return Diagnosis('parameter', bad[0].rpartition('.')[0], f'{bad[0]}{more} non-finite before the batch was seen')
    broken = _broken_inputs(batch)
    forward: list[str] = []
    backward: list[str] = []
    with watching(model, forward, backward):
        with context or nullcontext():
            losses = model._run_forward(model.data_preprocessor(batch, True), mode='loss')
        loss, terms = model.parse_losses(losses)
        values = {name: float(torch.as_tensor(value).detach()) for name, value in terms.items() if name != 'loss'}
        found = _diagnose_forward(model, broken, forward, values, math.isfinite(float(loss.detach())))
        if agree(found is not None):
            return found or Diagnosis('not reproduced', None, 'the batch of this process is finite', values)
        return _diagnose_gradient(model, loss * scale, backward, values)


def _broken_inputs(batch: Any) -> str:
    """Says that a batch is not finite, with its pictures; '' if it is."""
    if all(is_finite(value) for value in tensors_in(batch)):
        return ''
    paths = image_paths(batch)
    inputs = batch.get('inputs') if isinstance(batch, Mapping) else None
    if isinstance(inputs, (list, tuple)) and len(inputs) == len(paths):
        paths = [path for path, picture in zip(paths, inputs, strict=True) if not is_finite(picture)] or paths
    named = f' ({", ".join(paths[:3])})' if paths else ''
    return f'the batch itself, as the data loader gave it, is non-finite{named}'


def _diagnose_forward(
    model: nn.Module, broken: str, forward: list[str], values: dict[str, float], finite_loss: bool
) -> Diagnosis | None:
    if broken:
        return Diagnosis('input', None, broken, values)
    if finite_loss:
        return None  # what was not finite within was masked: attention uses -inf
    if forward:
        text = f'the first module with a non-finite output is {_called(model, forward[0])}'
        return Diagnosis('forward', forward[0], text, values)
    names = [name for name, value in values.items() if not math.isfinite(value)] or list(values)
    return Diagnosis('loss', None, f'all modules are finite, the loss is not: {", ".join(names)}', values)


def _diagnose_gradient(model: nn.Module, loss: Tensor, backward: list[str], values: dict[str, float]) -> Diagnosis:
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    # Not loss.backward(): that would add to the gradients, and start the exchange of distributed training.
    gradients = torch.autograd.grad(loss, [value for _, value in named], allow_unused=True)
    bad = [name for (name, _), grad in zip(named, gradients, strict=True) if grad is not None and not is_finite(grad)]
    if not bad and not backward:
        return Diagnosis('not reproduced', None, 'a second pass over the same batch is finite', values)
    count = f'{len(bad)} of {len(named)} parameters have a non-finite gradient' + (f', first {bad[0]}' if bad else '')
    if backward:
        where = f'the first non-finite gradient on the way back is that of the output of {_called(model, backward[0])}'
        return Diagnosis('gradient', backward[0], f'{where}; {count}', values)
    name = bad[0].rpartition('.')[0]
    return Diagnosis('gradient', name, f'the gradient arises in {_called(model, name)}; {count}', values)


def _called(model: nn.Module, name: str) -> str:
    return f'{name or "the model itself"} ({type(model.get_submodule(name)).__name__})'


@contextmanager
def watching(model: nn.Module, forward: list[str], backward: list[str]) -> Iterator[None]:
    """Collects names of modules with a non-finite output, and with a non-finite gradient of it, as they end.

    A module ends after those inside it: the first name is that of the innermost one.
    """

    def look(name: str, module: nn.Module, arguments: tuple, output: Any) -> None:
        for tensor in tensors_in(output):
            if not is_finite(tensor):
                forward.append(name)
                return
            if tensor.requires_grad and not tensor.is_leaf:
                tensor.register_hook(partial(look_back, name))

    def look_back(name: str, gradient: Tensor) -> None:
        if not is_finite(gradient):
            backward.append(name)

    handles = [module.register_forward_hook(partial(look, name)) for name, module in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradients_finite(parameters: Iterable[Tensor]) -> Tensor | None:
    """One bool: whether all gradients are finite; nothing is waited for. None without a gradient."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    dense = [grad.coalesce().values() if grad.is_sparse else grad for grad in gradients]
    dense = [grad for grad in dense if grad.numel()]
    if not dense:
        return None
    if dense[0].device.type == 'cpu':
        # Sums are the fastest pass over memory; one that is not finite may have overflowed.
        sums = torch.stack([grad.sum(dtype=torch.float32) for grad in dense]).isfinite().all()
        if sums:
            return sums
    # The largest magnitude of each, all in one call, and not their squares, which overflow.
    largest = torch._foreach_norm(dense, math.inf)
    return torch.stack([value.to(largest[0].device, torch.float32) for value in largest]).isfinite().all()
