"""Compares the loss of the untrained model with that of a prediction that favours no class.

A model that knows nothing yet should lose what a uniform prediction loses: ln C for a plain cross entropy of C classes.
Class weights, mining, smoothing, ignored pixels, a factor of the loss and sigmoids all change that number. What to
expect is therefore not a formula: the loss itself is asked, with logits of zero and the same labels.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .finding import ERROR, NOT_RUN, PASS, WARNING, Finding
from .subject import Subject, losses_of, without_augmentation

HIGH, VERY_HIGH, LOW = 1.5, 5.0, 0.5  # of the expected value
LOSS_WORDS = ('Loss', 'Divergence', 'CrossEntropy', 'Criterion')


@dataclass
class LossCall:
    """One call of a loss module during a forward pass.

    Attributes:
        name: Of the module.
        kind: Its class.
        value: What it gave.
        uniform: What it gives for logits of zero; None if it does not compare logits with classes.
        classes: Number of classes; 2 for sigmoids.
        reason: Why `uniform` may differ from `factor` x ln `classes`.
        constant: Whether all logits were the same: a head that starts at zero.
        factor: ``loss_weight`` of the loss.
        calls: Of how many calls of the module it is the sum.
    """

    name: str
    kind: str
    value: float
    uniform: float | None = None
    classes: int = 0
    reason: str = ''
    constant: bool = False
    factor: float = 1.0
    calls: int = 1


def is_loss(module: nn.Module) -> bool:
    return any(word in type(module).__name__ for word in LOSS_WORDS)


@contextmanager
def watching_losses(model: nn.Module, calls: list[LossCall]) -> Iterator[None]:
    """Collects the calls of all loss modules inside; of nested ones the outer."""
    names = [name for name, module in model.named_modules() if is_loss(module)]
    outer = [name for name in names if not any(name != other and name.startswith(f'{other}.') for other in names)]
    look = lambda name, module, arguments, settings, output: calls.append(  # noqa: E731
        describe_call(name, module, arguments, settings, output)
    )
    handles = [model.get_submodule(name).register_forward_hook(partial(look, name), with_kwargs=True) for name in outer]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def describe_call(name: str, module: nn.Module, arguments: tuple, settings: dict, output: Any) -> LossCall:
    """What a loss gave, beside what it gives for a uniform prediction."""
    call = LossCall(name, type(module).__name__, _mean(output))
    if len(arguments) < 2 or not classifies(*arguments[:2]):
        return call
    logits, labels, *rest = arguments
    uniform = module.forward(torch.zeros_like(logits), labels, *rest, **settings)
    call.uniform, call.constant = _mean(uniform), bool((logits == logits.flatten()[0]).all())
    sigmoid = bool(getattr(module, 'use_sigmoid', False)) or logits.shape[1] == 1
    call.classes = 2 if sigmoid else logits.shape[1]
    call.factor = float(getattr(module, 'loss_weight', 1.0) or 1.0)
    call.reason = _reason(module, labels, sigmoid)
    return call


def add_calls(calls: Sequence[LossCall]) -> list[LossCall]:
    """One entry a module: a head that is called once for every level of a pyramid shares its mean among the calls."""
    sums: dict[tuple, LossCall] = {}
    for call in calls:
        known = sums.get(key := (call.name, call.uniform is None, call.classes))
        if known is None:
            sums[key] = replace(call)
            continue
        known.calls += 1
        known.value += call.value
        known.constant &= call.constant
        if known.uniform is not None:
            known.uniform += call.uniform
    return list(sums.values())


def _mean(value: Any) -> float:
    return float(value.detach().float().mean()) if isinstance(value, Tensor) else math.nan


def classifies(logits: Any, labels: Any) -> bool:
    """Whether the arguments of a loss are logits and classes: indices, or shares that sum to 1."""
    if not (isinstance(logits, Tensor) and isinstance(labels, Tensor)):
        return False
    if not logits.is_floating_point() or logits.ndim < 2 or logits.numel() == 0:
        return False
    if not labels.is_floating_point():
        return labels.shape in (logits.shape[:1] + logits.shape[2:], logits.shape)
    if labels.shape != logits.shape or logits.shape[1] < 2:
        return False
    sums = labels.sum(1)
    return bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3))


def _reason(module: nn.Module, labels: Tensor, sigmoid: bool) -> str:
    kind = type(module).__name__
    for word, text in (
        ('Lovasz', 'the Lovász loss measures 1 - IoU and not a cross entropy'),
        ('Focal', 'the focal loss weighs what is uncertain'),
        ('Dice', 'the Dice loss measures overlap and not a cross entropy'),
        ('Tversky', 'the Tversky loss measures overlap and not a cross entropy'),
    ):
        if word in kind:
            return text
    if sigmoid:
        return 'sigmoids, whose mean is not over their number alone'
    weight = getattr(module, 'class_weight', None)
    if weight is not None and getattr(weight, 'value', weight) is not None:
        return 'class weights'
    if not labels.is_floating_point() and bool((labels == 255).any()):
        return 'ignored pixels count in its mean'
    return 'its own definition'


def judge(call: LossCall, pretrained: bool) -> Finding:
    """Compares the two values of a call.

    Args:
        call: Of a loss module.
        pretrained: The whole model was loaded from a checkpoint, and may know the answer already.
    """
    numbers = {'loss': call.value, 'uniform': call.uniform, 'classes': call.classes}
    place = f'{call.name} ({call.kind})'
    if not math.isfinite(call.value):
        return Finding('loss', ERROR, f'{place}: {call.value} on the first batch', 'look at the labels', numbers)
    if not call.uniform:
        text = f'{place}: no label of the first batch counts, so there is nothing to expect'
        return Finding('loss', NOT_RUN, text, 'look at ignore_index and at the masks', numbers)
    plain = call.factor * math.log(call.classes)
    scale = f'{call.factor:g} x ' * (call.factor != 1) + f'ln {call.classes} = {plain:.4g}'
    why = scale if math.isclose(call.uniform, plain, rel_tol=0.02) else f'{scale}; {call.reason}'
    why += f'; sum of {call.calls} calls' * (call.calls > 1)
    head = '; the head starts at zero' if call.constant else ''
    text = f'{place}: {call.value:.4g}, a uniform prediction gives {call.uniform:.4g} ({why}{head})'
    ratio = call.value / call.uniform
    if ratio > HIGH:
        status = ERROR if ratio > VERY_HIGH else WARNING
        fix = 'logits are large before training: normalise the input, initialise the last layer smaller, check labels'
        return Finding('loss', status, f'{text}: {ratio:.1f} times as high', fix, numbers)
    if ratio < LOW and not pretrained and 'Focal' not in call.kind:  # that one may start with a prior of its own
        fix = 'does the head hold trained weights, or the input the label? then name load_from, or mend the pipeline'
        return Finding('loss', WARNING, f'{text}: only {ratio:.2f} of it', fix, numbers)
    return Finding('loss', PASS, text, '', numbers)


def check_initial_loss(subject: Subject) -> list[Finding]:
    """One forward pass of a copy in training mode on the first batch."""
    calls: list[LossCall] = []
    model = copy.deepcopy(subject.model)
    with torch.no_grad(), without_augmentation(model), watching_losses(model, calls):
        loss, terms = losses_of(model, subject.batch)
    sums = add_calls(calls)
    found = [judge(call, subject.pretrained) for call in sums if call.uniform is not None]
    if others := [f'{call.name} ({call.kind}) {call.value:.4g}' for call in sums if call.uniform is None]:
        text = f'not compared with ln C, as they compare no logits with classes: {", ".join(others)}'
        found.append(Finding('loss', NOT_RUN, text))
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    listed = ', '.join(f'{name} {value:.4g}' for name, value in terms.items())
    if bad:
        found.append(Finding('loss', ERROR, f'{", ".join(bad)} of the first batch not finite', 'look at the labels'))
    if not any(call.uniform is not None for call in calls):
        found.append(Finding('loss', NOT_RUN, f'no loss module compares logits with classes; losses: {listed}'))
    if not isinstance(loss, Tensor):  # the sum of nothing
        found.append(Finding('loss', ERROR, f'the model gives no loss to follow; it logs {listed}', 'name it loss_...'))
    return found
