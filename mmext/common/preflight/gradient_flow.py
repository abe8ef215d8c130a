"""Whether a gradient reaches every module, and how far the first step of the recipe's own optimiser would move it."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmext.common.loops.stage_optimizer import build_trainable_optim_wrapper
from mmext.common.loops.stage_schedule import merge_settings

from .config_facts import stages_of
from .finding import ERROR, PASS, WARNING, Finding
from .subject import Subject, losses_of, without_augmentation

LISTED = 5
# Change of a weight in one step as a share of it. Usual are 1e-4 to 1e-2; below the last, float32 rounds it away.
WILD, LOST = 5.0, 1e-8


@dataclass
class ModuleFlow:
    """The gradient of one module's own parameters.

    Attributes:
        name: Of the module.
        gradient: Euclidean norm; NaN or Inf if any value is.
        weight: Euclidean norm of the parameters.
        dead: Exactly zero, or no gradient at all, also after zeros of the model were replaced by noise.
        update: Change of the weights by the optimiser's first step as a share of them; None where they are zero.
    """

    name: str
    gradient: float
    weight: float
    dead: bool
    update: float | None = None


def optimizer_settings(cfg: Config) -> dict:
    """Settings of the optimiser of the (first stage of the) training, in full precision."""
    settings = dict(cfg.optim_wrapper)
    if settings.get('type') == 'AmpOptimWrapper':
        settings = {key: value for key, value in settings.items() if key not in ('loss_scale', 'dtype', 'use_fsdp')}
        settings['type'] = 'OptimWrapper'
    stage = (stages_of(cfg) or [{}])[0]
    settings = merge_settings(settings, stage.get('optim_wrapper') or {})
    if stage.get('lr') is not None:
        settings['optimizer']['lr'] = stage['lr']
    settings.pop('accumulative_counts', None)
    return settings


def gradient_flow(model: nn.Module, batch: object, settings: Mapping) -> list[ModuleFlow]:
    """Looks at the gradients of a copy of the model.

    Twice: some networks start with zeros on purpose (the last scale of a residual block, a classifier), which keep the
    first gradient from what lies before them. For the second look all zeros are replaced by small noise.
    """
    model = copy.deepcopy(model)
    with without_augmentation(model):
        wrapper = build_trainable_optim_wrapper(model, copy.deepcopy(dict(settings)))
        first = _gradients(model, batch)
        zeros = [name for name, value in model.named_parameters() if value.requires_grad and not value.any()]
        with torch.no_grad():
            for name in zeros:
                model.get_parameter(name).normal_(std=0.01)
        second = _gradients(model, batch)
        updates = _updates(model, wrapper, zeros)
    flows = []
    for name, module in model.named_modules():
        own = {f'{name}.{key}' if name else key: value for key, value in module.named_parameters(recurse=False)}
        own = {key: value for key, value in own.items() if value.requires_grad}
        if own:
            dead = all(_is_zero(look.get(key)) for look in (first, second) for key in own)
            norm = max(
                (_norm([look[key] for key in own if look.get(key) is not None]) for look in (first, second)),
                key=lambda value: math.inf if math.isnan(value) else value,
            )
            moved = [updates[key] for key in own if updates.get(key) is not None]
            weight = _norm([value.detach() for value in own.values()])
            flows.append(ModuleFlow(name, norm, weight, dead, max(moved, default=None)))
    return flows


def _gradients(model: nn.Module, batch: object) -> dict[str, Tensor | None]:
    model.zero_grad()
    losses_of(model, batch)[0].backward()
    return {name: value.grad.clone() if value.grad is not None else None for name, value in model.named_parameters()}


def _updates(model: nn.Module, wrapper: OptimWrapper, zeros: Sequence[str]) -> dict[str, float | None]:
    """Relative change of each weight by one step. Vectors, and what started at 0, have no size to compare with."""
    before = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    wrapper.step()
    updates: dict[str, float | None] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in before:
                size = float(before[name].norm())
                usable = parameter.ndim > 1 and size > 0 and name not in zeros and parameter.grad is not None
                updates[name] = float((parameter - before[name]).norm()) / size if usable else None
    return updates


def _is_zero(gradient: Tensor | None) -> bool:
    return gradient is None or not gradient.any()


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.float().norm()) ** 2 for tensor in tensors)) if tensors else 0.0


def dead_parts(flows: Sequence[ModuleFlow]) -> list[str]:
    """Names of modules without gradient, the outermost below which nothing has one."""
    alive = {part for flow in flows if not flow.dead for part in _with_parents(flow.name)}
    found = []
    for flow in flows:
        if flow.dead:
            part = next((part for part in reversed(_with_parents(flow.name)) if part and part not in alive), flow.name)
            if part not in found:
                found.append(part)
    return found


def _with_parents(name: str) -> list[str]:
    """A name and those around it, the innermost first; '' is the model."""
    parts = name.split('.')
    return ['.'.join(parts[:length]) for length in range(len(parts), 0, -1)] + ['']


def judge_flow(flows: Sequence[ModuleFlow], rate: float | None) -> list[Finding]:
    """What is dead, not finite or moved too far, by name; or that nothing is."""
    values = {flow.name: {'gradient': str(flow.gradient), 'update': flow.update} for flow in flows}
    if not flows:
        return [Finding('gradients', ERROR, 'no parameter of the model is trained', 'thaw something')]
    at = f' at the full learning rate {rate:g}' if rate else ''
    found = []
    if bad := [flow.name for flow in flows if not math.isfinite(flow.gradient)]:
        text = f'non-finite gradient in {_listed(bad)}'
        found.append(Finding('gradients', ERROR, text, 'add the hook NonFiniteGuard: it names the place', values))
    if dead := dead_parts(flows):
        every = all(flow.dead for flow in flows)
        fix = 'is it part of the loss? take it out of the model, or freeze it; DistributedDataParallel refuses it'
        found.append(Finding('gradients', ERROR if every else WARNING, f'no gradient in {_listed(dead)}', fix, values))
    moves = {flow.name: flow.update for flow in flows if flow.update is not None and math.isfinite(flow.update)}
    if wild := [f'{name} ({move:.2g})' for name, move in moves.items() if move > WILD]:
        text = f'the first step{at} changes weights by more than {WILD:g} times their size: {_listed(wild)}'
        found.append(Finding('gradients', WARNING, text, 'lower the rate, warm up, or set clip_grad', values))
    live = {flow.name for flow in flows if not flow.dead}
    if lost := [name for name, move in moves.items() if move < LOST and name in live]:
        text = f'the first step{at} is too small for float32 to change {_listed(lost)}'
        found.append(Finding('gradients', WARNING, text, 'raise the rate (lr_mult?) or normalise', values))
    if not found:
        norms = [flow.gradient for flow in flows]
        middle = sorted(moves.values())[len(moves) // 2] if moves else math.nan
        text = (
            f'{len(flows)} modules, norms {min(norms):.2g} to {max(norms):.2g}; the first step{at} changes weights by '
        )
        found.append(Finding('gradients', PASS, f'{text}{middle:.2g} of themselves (median)', '', values))
    return found


def _listed(names: Sequence[str]) -> str:
    more = f' and {len(names) - LISTED} more' if len(names) > LISTED else ''
    return ', '.join(name or 'the model itself' for name in names[:LISTED]) + more


def check_gradients(subject: Subject) -> list[Finding]:
    """`judge_flow` of the subject's model, which is not changed."""
    settings = optimizer_settings(subject.cfg)
    return judge_flow(gradient_flow(subject.model, subject.batch, settings), settings['optimizer'].get('lr'))
