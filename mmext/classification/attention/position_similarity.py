"""How alike the position embeddings of a vision transformer are: cosine of each with all others (report vit-pets)."""

import math

from torch import Tensor, nn
from torch.nn import functional as F


def position_embedding(model: nn.Module) -> Tensor:
    """The embeddings of the patches, laid out as their grid, those of the class and other extra tokens left out.

    Args:
        model: A backbone with ``pos_embed`` (1, N, C), or a classifier with one.

    Returns:
        (h, w, C) on the CPU.

    Raises:
        ValueError: no position embedding, or not one of a grid.
    """
    backbone = getattr(model, 'backbone', model)
    name = type(backbone).__name__
    embedding = getattr(backbone, 'pos_embed', None)
    if not isinstance(embedding, Tensor) or embedding.ndim != 3:
        raise ValueError(f'{name}: has no position embedding `pos_embed` of shape (1, N, C); it has nothing to compare')
    embedding = embedding.detach()[0].float().cpu()
    size = _grid_of(backbone, len(embedding))
    if size is None:
        raise ValueError(
            f'{name}: {len(embedding)} position embeddings are no square and no grid that `patch_resolution` names'
        )
    # Extra tokens come first; some networks give them no position at all.
    return embedding[len(embedding) - math.prod(size) :].unflatten(0, size)


def position_similarity(embedding: Tensor) -> Tensor:
    """Cosine of every position's embedding with every other's.

    Args:
        embedding: (h, w, C).

    Returns:
        (h, w, h, w), -1..1, symmetric, 1 on the diagonal: entry [r, c] is the map of the patch in row r, column c.

    Raises:
        ValueError: an embedding is zero and has no direction.
    """
    rows, columns, _ = embedding.shape
    flat = embedding.flatten(0, 1)
    norms = flat.norm(dim=-1)
    if not bool((norms > 0).all()):
        zeros = int((norms == 0).sum())
        raise ValueError(
            f'position embeddings: {zeros} of {len(flat)} are zero and have no direction; load trained weights'
        )
    unit = F.normalize(flat, dim=-1)
    return (unit @ unit.T).clamp(-1, 1).reshape(rows, columns, rows, columns)


def similarity_picture(similarity: Tensor, gap: int = 1) -> Tensor:
    """All maps beside each other as one matrix, in the places of their patches, NaN in the gaps.

    Args:
        similarity: (h, w, h, w).
        gap: Cells between maps.

    Returns:
        (h * (h + gap) - gap, w * (w + gap) - gap).
    """
    rows, columns = similarity.shape[:2]
    tiles = F.pad(similarity, (0, gap, 0, gap), value=math.nan)
    picture = tiles.permute(0, 2, 1, 3).reshape(rows * (rows + gap), columns * (columns + gap))
    return picture[: picture.shape[0] - gap, : picture.shape[1] - gap]


def _grid_of(backbone: nn.Module, count: int) -> tuple[int, int] | None:
    size = getattr(backbone, 'patch_resolution', None)
    if isinstance(size, (tuple, list)) and len(size) == 2:
        return (int(size[0]), int(size[1])) if math.prod(size) <= count else None
    side = math.isqrt(count - int(getattr(backbone, 'num_extra_tokens', 0)))
    return next(((root, root) for root in (side, math.isqrt(count)) if 0 <= count - root * root <= 2 and root), None)
