"""Attention weights of every layer and head of a vision transformer that runs fused attention, proven at run time.

Hooks take what each layer computes - the output of its ``qkv``, the input of its output projection, its own output -
and the weights softmax(q kᵀ / √d) are worked out from q and k beside it. The model's code and its forward pass stay as
they are. Before the weights are handed out they must give back what the layer itself computed.

Shapes: B images, H heads, d channels a head, N tokens: extra ones such as the class token, then h x w patches in rows.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.classification.attention.token_grid import TokenGrid, token_grid

# Of a layer's largest value. Fused kernels sum in another order: about 1e-6 in single precision.
TOLERANCE = 1e-4
# Modules that a layer may apply to the joined heads, in this order. Dropout does nothing in evaluation mode.
_AFTER_HEADS = ('proj', 'gamma1')


class AttentionCheckError(ValueError):
    """The weights worked out from q and k are not those that the layer used."""


class LayerCheck(NamedTuple):
    """How far explicit attention is from what a layer itself computed.

    Attributes:
        name: The layer inside the model.
        difference: Largest absolute difference of the layer's output.
        relative: Largest difference as part of the largest value, of the output or of the joined heads before the
            output projection, whichever is worse: a layer scale near zero hides nothing.
    """

    name: str
    difference: float
    relative: float


@dataclass(frozen=True)
class CapturedAttention:
    """What one forward pass showed.

    Attributes:
        weights: One (B, H, N, N) a layer, in the order of the forward pass; rows are queries and sum to 1.
        gradients: Derivatives of the chosen scores by ``weights``, same shapes; empty if not asked for.
        checks: One a layer.
        grid: Where the tokens lie in the picture.
        skipped: Attention layers with another number of tokens than the last one has, as in a tokeniser.
        output: What the model returned, without its graph: (B, C) scores of a classifier.
        target: (B,) classes that ``gradients`` belong to.
    """

    weights: list[Tensor]
    gradients: list[Tensor]
    checks: list[LayerCheck]
    grid: TokenGrid
    skipped: list[str]
    output: Any
    target: Tensor | None


@dataclass
class _Trace:
    """What the hooks of one layer saw; the tensors are parts of the graph."""

    layer: nn.Module
    qkv: list[Tensor] = field(default_factory=list)
    joined: list[Tensor] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


def attention_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules with a Linear ``qkv`` and ``num_heads``, by name, in the order in which the model lists them."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'qkv', None), nn.Linear) and isinstance(getattr(module, 'num_heads', None), int)
    }


def capture_attention(
    model: nn.Module,
    inputs: Tensor,
    gradients: bool = False,
    target: int | None = None,
    tolerance: float = TOLERANCE,
) -> CapturedAttention:
    """Run a model and return the attention weights of its layers, and on demand the gradients of a class by them.

    The gradients need no second model. A layer's heads are O = A V, so that ∂s/∂A = ∂s/∂O Vᵀ, and ∂s/∂O is what
    back-propagation finds at the joined heads, whatever kernel computed them.

    Args:
        model: A classifier or a backbone in evaluation mode, called as ``model(inputs)``.
        inputs: (B, C, H, W), ready for the network.
        gradients: Also differentiate a score of the classifier by the weights.
        target: Index of the class whose score that is; by default each picture's best one.
        tolerance: Largest difference that passes, as part of a layer's largest value; never below what the precision of
            the model allows. Where v is the same for all tokens, any weights pass.

    Raises:
        AttentionCheckError: explicit attention does not give a layer's own output: it has a position bias, a mask,
            windows, rotary embeddings or another scale.
        ValueError: the model is in training mode, has no layer of this kind, a layer is skipped or run twice, its
            tokens make no grid, or gradients are wanted of what is no classifier or by a class it does not have.
    """
    layers = attention_layers(model)
    if not layers:
        raise ValueError(
            f'{type(model).__name__}: no attention layer with a Linear `qkv` and `num_heads`; give a vision transformer'
        )
    if model.training or any(layer.training for layer in layers.values()):
        raise ValueError(f'{type(model).__name__}: is in training mode, where dropout changes attention; call eval()')
    if gradients:
        # The graph then exists even if every parameter is frozen.
        inputs = inputs.detach().requires_grad_()
    grids: list[Any] = []
    with torch.set_grad_enabled(gradients), _traces(model, layers, grids) as traces:
        output = model(inputs)
    _check_traces(traces, len(inputs))
    # Traces are in the order of the forward pass.
    tokens = list(traces.values())[-1].qkv[0].shape[1]
    skipped = [name for name, trace in traces.items() if trace.qkv[0].shape[1] != tokens]
    traces = {name: trace for name, trace in traces.items() if name not in skipped}
    with torch.no_grad():
        pairs = [_explicit(name, trace, tolerance) for name, trace in traces.items()]
    slopes: list[Tensor] = []
    if gradients:
        target = _target(output, target)
        slopes = _gradients(output, target, list(traces.values()))
        output = output.detach()
    grid = token_grid(model, tokens, tuple(inputs.shape[-2:]), grids)
    weights, checks = ([pair[index] for pair in pairs] for index in range(2))
    return CapturedAttention(weights, slopes, checks, grid, skipped, output, target if gradients else None)


def attention_weights(query: Tensor, key: Tensor, scale: float | None = None) -> Tensor:
    """softmax(q kᵀ · scale) in at least single precision: (B, H, N, d) twice -> (B, H, N, N); scale 1/√d by default."""
    query, key = (part.float() if part.dtype.itemsize < 4 else part for part in (query, key))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return (query @ key.transpose(-2, -1) * scale).softmax(-1)


@contextmanager
def _traces(model: nn.Module, layers: dict[str, nn.Module], grids: list[Any]) -> Iterator[dict[str, _Trace]]:
    """Hooks for one forward pass; the dictionary fills in the order in which the layers run."""
    traces: dict[str, _Trace] = {}
    handles = []
    for name, layer in layers.items():

        def enter(module: nn.Module, _: Any, name: str = name) -> None:
            traces.setdefault(name, _Trace(module))

        def keep_qkv(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
            traces[name].qkv.append(output)

        def keep_joined(_: nn.Module, inputs: tuple, name: str = name) -> None:
            traces[name].joined.append(inputs[0])

        def keep_output(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            traces[name].outputs.append(output)

        handles.append(layer.register_forward_pre_hook(enter))
        handles.append(layer.qkv.register_forward_hook(keep_qkv))
        if after := _after_heads(layer):
            handles.append(after[0].register_forward_pre_hook(keep_joined))
        handles.append(layer.register_forward_hook(keep_output))
    patch_embed = getattr(getattr(model, 'backbone', model), 'patch_embed', None)
    if isinstance(patch_embed, nn.Module):
        handles.append(patch_embed.register_forward_hook(lambda _, __, output: grids.append(output)))
    try:
        yield traces
    finally:
        for handle in handles:
            handle.remove()


def _after_heads(layer: nn.Module) -> list[nn.Module]:
    found = [getattr(layer, name, None) for name in _AFTER_HEADS]
    return [module for module in found if isinstance(module, nn.Module)]


def _check_traces(traces: dict[str, _Trace], batch: int) -> None:
    if not traces:
        raise ValueError('no attention layer took part in the forward pass; give a model that runs its transformer')
    for name, trace in traces.items():
        what = f'{name} ({type(trace.layer).__name__})'
        if len(trace.qkv) != 1 or len(trace.outputs) != 1 or (_after_heads(trace.layer) and len(trace.joined) != 1):
            times = (
                f'its qkv ran {len(trace.qkv)} times, its projection {len(trace.joined)}, in {len(trace.outputs)} calls'
            )
            raise AttentionCheckError(f'{what}: {times}; only layers that call each of them once can be shown')
        qkv = trace.qkv[0]
        if qkv.ndim != 3 or len(qkv) != batch:
            raise AttentionCheckError(
                f'{what}: qkv has shape {tuple(qkv.shape)} for {batch} pictures, not one row of tokens for each; '
                'attention inside windows cannot be shown'
            )
        if qkv.shape[-1] % (3 * trace.layer.num_heads):
            raise AttentionCheckError(
                f'{what}: {qkv.shape[-1]} channels of qkv are not 3 x {trace.layer.num_heads} heads'
            )
        if not isinstance(trace.outputs[0], Tensor):
            raise AttentionCheckError(f'{what}: returns {type(trace.outputs[0]).__name__}, not a tensor')


def _split(trace: _Trace) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v as (B, H, N, d), cut as mmpretrain and timm lay them out."""
    batch, tokens, channels = trace.qkv[0].shape
    heads = trace.layer.num_heads
    return (
        trace.qkv[0].detach().reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4).unbind()
    )


def _scale(layer: nn.Module) -> float | None:
    """The factor of q·k where the layer has one of its own.

    With ``qk_scale``, as in T2T-ViT, mmpretrain's layer binds ``scale`` to a function that divides by it.
    """
    function = getattr(layer, 'scaled_dot_product_attention', None)
    divisor = function.keywords.get('scale') if isinstance(function, partial) else None
    return 1 / divisor if divisor else None


def _explicit(name: str, trace: _Trace, tolerance: float) -> tuple[Tensor, LayerCheck]:
    query, key, value = _split(trace)
    weights = attention_weights(query, key, _scale(trace.layer))
    joined = (weights @ value.to(weights.dtype)).transpose(1, 2).flatten(2).to(value.dtype)
    output = joined
    for module in _after_heads(trace.layer):
        output = module(output)
    if getattr(trace.layer, 'v_shortcut', False):
        output = value.squeeze(1) + output
    pairs = [(output, trace.outputs[0]), *((joined, own) for own in trace.joined)]
    if any(mine.shape != own.shape for mine, own in pairs):
        shapes = ' and '.join(f'{tuple(mine.shape)} for {tuple(own.shape)}' for mine, own in pairs)
        raise AttentionCheckError(f'{name} ({type(trace.layer).__name__}): explicit attention has shape {shapes}')
    differences = [float((mine - own).abs().max()) for mine, own in pairs]
    # Nothing is far from nothing: a layer scale of zero.
    least = torch.finfo(value.dtype).tiny
    shares = [gap / max(float(own.abs().max()), least) for gap, (_, own) in zip(differences, pairs, strict=True)]
    # max() would lose a NaN.
    relative = max(shares) if all(map(math.isfinite, shares)) else math.inf
    allowed = max(tolerance, 16 * torch.finfo(value.dtype).eps)
    if relative > allowed:
        raise AttentionCheckError(
            f'{name} ({type(trace.layer).__name__}): softmax(q kᵀ / √d) v differs from what the layer computes by '
            f'{relative:.2g} of its largest value, {allowed:.2g} is allowed; the layer does something else - a '
            'position bias, a mask, rotary embeddings or another scale - and its weights cannot be shown'
        )
    return weights, LayerCheck(name, differences[0], relative)


def _target(scores: Any, target: int | None) -> Tensor:
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        what = f'a tensor of shape {tuple(scores.shape)}' if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f'gradients need a classifier that returns (B, C) scores, not {what}; give a model with a head'
        )
    if target is None:
        return scores.detach().argmax(1)
    if not 0 <= target < scores.shape[1]:
        raise ValueError(f'class {target}: the model has {scores.shape[1]} classes, 0 to {scores.shape[1] - 1}')
    return torch.full((len(scores),), target, device=scores.device)


def _gradients(scores: Tensor, target: Tensor, traces: list[_Trace]) -> list[Tensor]:
    heads = [(trace.joined or trace.outputs)[0] for trace in traces]
    # One score a picture: those of a batch do not influence each other in evaluation mode.
    chosen = F.one_hot(target, scores.shape[1]).to(scores.dtype)
    slopes = torch.autograd.grad(scores, heads, chosen, allow_unused=True, materialize_grads=True)
    result = []
    for trace, slope in zip(traces, slopes, strict=True):
        value = _split(trace)[2]
        batch, count, tokens, channels = value.shape
        result.append(slope.reshape(batch, tokens, count, channels).transpose(1, 2) @ value.transpose(-2, -1))
    return result
