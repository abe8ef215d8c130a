"""Sizes of a Vision Transformer: the published ones, and those read off the shapes of a state dict."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

from torch import Tensor

from mmext.classification.converters.vit_layouts import Names
from mmext.common.conv_bn_rules import majority_width
from mmext.common.weight_conversion import WeightsError

# Letter -> width, blocks, heads, hidden channels, name in mmpretrain (table 1 of arXiv:2010.11929, 2012.12877).
ARCHS = {
    'Ti': (192, 12, 3, 768, 'deit-tiny'),
    'S': (384, 12, 6, 1536, 'deit-small'),
    'B': (768, 12, 12, 3072, 'base'),
    'L': (1024, 24, 16, 4096, 'large'),
    'H': (1280, 32, 16, 5120, 'huge'),
}
# Only whole architectures tell the heads: other networks of the same width have other ones.
HEADS = {(width, depth, hidden): heads for width, depth, heads, hidden, _ in ARCHS.values()}


@dataclass(frozen=True)
class VitSizes:
    """Everything that the shapes of a ViT's tensors follow from.

    Attributes:
        width: Channels of a token, D.
        depth: Blocks.
        hidden: Channels inside the MLP.
        heads: Heads of the attention; None where neither the file nor the other sizes tell.
        patch: Side of a patch, pixels.
        grid: Patches along one side of the picture.
        in_channels: Of the picture.
        distilled: Whether there is a distillation token beside the class token.
    """

    width: int
    depth: int
    hidden: int
    heads: int | None
    patch: int = 16
    grid: int = 14
    in_channels: int = 3
    distilled: bool = False

    @property
    def extra_tokens(self) -> int:
        return 2 if self.distilled else 1

    @property
    def letter(self) -> str:
        """Of the published architecture with these sizes, or ''."""
        sizes = (self.width, self.depth, self.heads, self.hidden)
        return next((letter for letter, arch in ARCHS.items() if arch[:4] == sizes), '')

    @property
    def arch(self) -> str:
        """`'ViT-B/16'`, or `'custom (...)'` for sizes that were never published."""
        name = 'distilled ViT' if self.distilled else 'ViT'
        if self.letter:
            return f'{name}-{self.letter}/{self.patch}'
        heads = 'unknown' if self.heads is None else self.heads
        return f'custom ({name}, width {self.width}, {self.depth} blocks, heads {heads}, hidden {self.hidden})'

    def backbone_config(self, img_size: int) -> dict:
        """mmpretrain's config of the backbone that the weights fit; `num_heads` is None where it is not known."""
        sizes = dict(
            embed_dims=self.width,
            num_layers=self.depth,
            num_heads=self.heads,
            feedforward_channels=self.hidden,
        )
        config = dict(
            type='DistilledVisionTransformer' if self.distilled else 'VisionTransformer',
            arch=ARCHS[self.letter][4] if self.letter else sizes,
            img_size=img_size,
            patch_size=self.patch,
        )
        return config if self.in_channels == 3 else config | dict(in_channels=self.in_channels)


def read_sizes(state_dict: Mapping[str, Tensor], names: Names, num_heads: int | None = None) -> VitSizes:
    """Reads the sizes off a state dict; those of a ViT-B/16 at 224 px stand in where a tensor that tells is missing.

    Args:
        state_dict: The source.
        names: What its tensors are called.
        num_heads: Heads of the attention. None: read off a npz file; otherwise those of the published
            architecture with the same width, depth and hidden channels, if there is one.

    Raises:
        WeightsError: `num_heads` does not fit, or the positions are no square grid behind the class token.
    """
    norm = '|'.join(names.pattern(part) for part in ('norm1', 'norm2', 'norm'))
    width = majority_width(state_dict, norm, 768)
    depth = 1 + max(int(n) for name in state_dict if (n := _block_of(names, name)) is not None)
    hidden = majority_width(state_dict, names.pattern('fc1', 'bias'), 4 * width)
    patch, channels = _patch_and_channels(state_dict.get(names.of('embed')), names.layout.jax)
    distilled = names.has('dist_token') and names.of('dist_token') in state_dict
    return VitSizes(
        width=width,
        depth=depth,
        hidden=hidden,
        heads=_heads(state_dict, names, width, num_heads) or HEADS.get((width, depth, hidden)),
        patch=patch,
        grid=_grid(state_dict.get(names.of('pos_embed')), names.of('pos_embed'), 2 if distilled else 1),
        in_channels=channels,
        distilled=distilled,
    )


def _patch_and_channels(kernel: Tensor | None, jax: bool) -> tuple[int, int]:
    """Off the kernel of the patch embedding: (p, p, C, D) in JAX, (D, C, p, p) in torch."""
    if kernel is None or kernel.ndim != 4:
        return VitSizes.patch, VitSizes.in_channels
    return (kernel.shape[0], kernel.shape[2]) if jax else (kernel.shape[2], kernel.shape[1])


def _block_of(names: Names, name: str) -> str | None:
    before = names.of('norm1', block=777).partition('777')[0]
    found = re.match(re.escape(before) + r'(\d+)', name)
    return found[1] if found else None


def _heads(state_dict: Mapping[str, Tensor], names: Names, width: int, num_heads: int | None) -> int | None:
    """As asked for, or as the file tells; None if neither does."""
    if names.layout.jax:
        # A head has a row of its own in the bias (heads, D / heads); a file without any bias is incomplete anyway.
        written = majority_width(state_dict, names.pattern('query', 'bias'), num_heads or 1)
        if num_heads not in (None, written):
            raise WeightsError(f'the file has {written} heads, not {num_heads}. Fix: leave the number out.')
        num_heads = written
    if num_heads is not None and (num_heads < 1 or width % num_heads):
        raise WeightsError(f'{num_heads} heads do not divide the width {width}. Fix: give another number of heads.')
    return num_heads


def _grid(positions: Tensor | None, name: str, extra_tokens: int) -> int:
    """Patches along one side, from position embeddings (1, extra tokens + patches, D)."""
    if positions is None or positions.ndim != 3:
        return VitSizes.grid  # the report names the tensor as missing or of a wrong shape
    length = positions.shape[1]
    grid = isqrt(max(length - extra_tokens, 0))
    if grid and grid**2 == length - extra_tokens:
        return grid
    reason = 'the patches form no square'
    if isqrt(length) ** 2 == length:
        reason = 'they leave out the class token, as in DeiT III and big_vision'
    raise WeightsError(
        f'{name!r} holds {length} positions: {reason}, and mmpretrain wants one for each of {extra_tokens} extra '
        'tokens and a square of patches. Fix: give a ViT of the plain kind.'
    )
