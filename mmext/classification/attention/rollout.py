"""From attention weights to maps: rollout, gradient-weighted rollout, the view of one patch, and attention distances.

Shapes: B images, H heads, N tokens, h x w patches; weights (B, H, N, N) with queries in rows, as `capture` gives them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmext.classification.attention.token_grid import TokenGrid

# How the heads of a layer become one.
HEADS = ('mean', 'max', 'min')
# Of the largest value: a map that varies less is flat, and stretching it would show rounding errors.
_FLAT = 1e-6


def layer_flow(weights: Tensor, heads: str = 'mean') -> Tensor:
    """Flow of one layer with its shortcut: heads made one, plus the identity, rows normalised to 1.

    Args:
        weights: (B, H, N, N), 0..1.
        heads: 'mean' as the report has it, 'max' or 'min'.

    Returns:
        (B, N, N).
    """
    if heads not in HEADS:
        raise ValueError(f'heads {heads!r}: not one of {", ".join(HEADS)}')
    fused = weights.mean(1) if heads == 'mean' else getattr(weights, f'a{heads}')(1)
    fused = fused + torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)
    return fused / fused.sum(-1, keepdim=True)


def rollout(weights: Sequence[Tensor], heads: str = 'mean') -> Tensor:
    """Attention rollout (arXiv:2005.00928; equation 2 of report street-voc-vit): the product of all layers' flows.

    A later layer reads what earlier ones wrote, hence it is the left factor; row i tells which input tokens reached
    token i at the end.

    Args:
        weights: One a layer, first layer first.
        heads: As of `layer_flow`.

    Returns:
        (B, N, N); rows sum to 1. The rollout of identity attention is the identity.

    Raises:
        ValueError: no layer, or an unknown name of ``heads``.
    """
    _check_layers(weights)
    flow = layer_flow(weights[0], heads)
    for layer in weights[1:]:
        flow = layer_flow(layer, heads) @ flow
    return flow


def gradient_rollout(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Relevance of the tokens for one class (arXiv:2103.15679, equations 5 and 6): R <- R + E_heads[(∇A * A)⁺] R.

    Only what raises the class' score counts. Rows are not normalised: the gradients are much smaller than 1, and the
    identity would outweigh them.

    Args:
        weights: One a layer, first layer first.
        gradients: Of the class' score by ``weights``.

    Returns:
        (B, N, N), not negative; the identity where no weight raises the score.

    Raises:
        ValueError: no layer, or not as many gradients as weights.
    """
    _check_layers(weights)
    if len(weights) != len(gradients):
        raise ValueError(f'{len(weights)} layers of weights and {len(gradients)} of gradients; capture both together')
    relevance = torch.eye(weights[0].shape[-1], dtype=weights[0].dtype, device=weights[0].device)
    relevance = relevance.expand(len(weights[0]), -1, -1)
    for layer, slope in zip(weights, gradients, strict=True):
        relevance = relevance + (layer * slope).clamp(min=0).mean(1) @ relevance
    return relevance


def answer_map(flow: Tensor, grid: TokenGrid) -> Tensor:
    """What the answer draws from each patch: the class token's row of a rollout without its extra columns.

    For a model that averages its patches, the mean of their rows.

    Returns:
        (B, h, w), not scaled.
    """
    row = flow[:, grid.extra :].mean(1) if grid.mean else flow[:, 0]
    return row[:, grid.extra :].unflatten(1, grid.size_hw)


def query_maps(weights: Tensor, grid: TokenGrid, row: int, column: int, log: bool = False) -> Tensor:
    """Where each head of a layer looks from one patch (report vit-pets, figures 5 and 6).

    Args:
        weights: (B, H, N, N).
        row: Of the patch, from the top, from 0.
        column: From the left, from 0.
        log: Their logarithm: q·k/√d as the report draws it, up to a constant of each map.

    Returns:
        (B, H, h, w), the extra tokens left out.

    Raises:
        ValueError: no such patch.
    """
    maps = weights[:, :, grid.token(row, column), grid.extra :].unflatten(2, grid.size_hw)
    return maps.clamp(min=torch.finfo(maps.dtype).tiny).log() if log else maps


def mean_distance(weights: Tensor, grid: TokenGrid) -> Tensor:
    """Mean attention distance (arXiv:2010.11929, appendix D.7): pixels from a patch to what it attends to.

    Distances run from centre to centre and are weighted by the attention between patches, which is normalised without
    the extra tokens; then averaged over queries.

    Returns:
        (B, H) in pixels of the network's input.
    """
    rows, columns = torch.meshgrid(
        *(
            torch.arange(count, device=weights.device) * step
            for count, step in zip(grid.size_hw, grid.patch_hw, strict=True)
        ),
        indexing='ij',
    )
    places = torch.stack([rows, columns], -1).flatten(0, 1).to(weights.dtype)
    distances = torch.cdist(places, places, compute_mode='donot_use_mm_for_euclid_dist')
    patches = weights[:, :, grid.extra :, grid.extra :]
    return ((patches * distances).sum(-1) / patches.sum(-1).clamp(min=torch.finfo(patches.dtype).tiny)).mean(-1)


def scaled(maps: Tensor) -> Tensor:
    """Each (..., h, w) map stretched to 0..1; zeros where it is flat."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    flat = span <= _FLAT * torch.maximum(low.abs(), high.abs())
    return torch.where(flat, 0.0, (maps - low) / torch.where(flat, 1.0, span))


def resized(maps: Tensor, size_hw: tuple[int, int], smooth: bool = True) -> Tensor:
    """(B, h, w) maps at a picture's size, bilinear, or with ``smooth=False`` each patch as one block."""
    mode = dict(mode='bilinear', align_corners=False) if smooth else dict(mode='nearest-exact')
    return F.interpolate(maps[:, None], size_hw, **mode)[:, 0]


def _check_layers(weights: Sequence[Tensor]) -> None:
    if not weights:
        raise ValueError('no layer: a rollout needs the attention weights of at least one')
