"""Where the tokens of a vision transformer lie in the picture, and which of them it reads its answer from."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

# A grid may be so much longer than the picture, or shorter, where the model does not tell its size.
_MOST_STRETCH = 1.2


class TokenGrid(NamedTuple):
    """A row of tokens: extra ones (class token first, then for example a distillation token), then patches in rows.

    Attributes:
        size_hw: Patches from top to bottom and from left to right.
        extra: Number of tokens before the patches.
        mean: The answer is read from the mean of the patches, not from the class token.
        input_hw: Pixels of the network's input.
    """

    size_hw: tuple[int, int]
    extra: int
    mean: bool
    input_hw: tuple[int, int]

    @property
    def patch_hw(self) -> tuple[float, float]:
        """Pixels from patch to patch."""
        return self.input_hw[0] / self.size_hw[0], self.input_hw[1] / self.size_hw[1]

    def token(self, row: int, column: int) -> int:
        """Index of the token of a patch.

        Raises:
            ValueError: no such patch.
        """
        height, width = self.size_hw
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f'patch {row} {column}: outside the grid, rows are 0 to {height - 1} and columns 0 to {width - 1}'
            )
        return self.extra + row * width + column


def token_grid(model: nn.Module, tokens: int, input_hw: tuple[int, int], embedded: Sequence[Any]) -> TokenGrid:
    """Find the grid of a model's tokens.

    Args:
        model: A backbone, or a classifier with one.
        tokens: Their number in an attention layer.
        input_hw: Size of the network's input.
        embedded: What ``backbone.patch_embed`` returned in the forward pass. mmpretrain's gives the grid along with the
            patches; without it, the grid is the factorisation that is nearest to the picture's shape.

    Raises:
        ValueError: the tokens make no grid.
    """
    backbone = getattr(model, 'backbone', model)
    if size := _size_of(embedded):
        extra = tokens - math.prod(size)
    else:
        extra = int(getattr(backbone, 'num_extra_tokens', 1))
        size = nearest_grid(tokens - extra, input_hw)
    if size is None or extra < 0:
        raise ValueError(
            f'{type(backbone).__name__}: {tokens} tokens, {extra} of them extra, are no grid of patches of a picture '
            f'of {input_hw[0]} x {input_hw[1]}; `patch_embed` may return (patches, (rows, columns)) to tell it'
        )
    mean = extra == 0 or getattr(backbone, 'out_type', None) in ('avg_featmap', 'featmap')
    return TokenGrid(size, extra, mean, input_hw)


def nearest_grid(patches: int, input_hw: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns whose product is ``patches`` and whose ratio is nearest to the picture's; None if none is."""
    wanted = math.log(input_hw[0] / input_hw[1])
    pairs = [(rows, patches // rows) for rows in range(1, patches + 1) if patches % rows == 0]
    best = min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1]) - wanted), default=None)
    if best and abs(math.log(best[0] / best[1]) - wanted) <= math.log(_MOST_STRETCH):
        return best
    return None


def _size_of(embedded: Sequence[Any]) -> tuple[int, int] | None:
    size = embedded[-1][1] if embedded and isinstance(embedded[-1], tuple) and len(embedded[-1]) == 2 else None
    if isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    return None
