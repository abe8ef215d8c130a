"""Sizes of a Mix Vision Transformer: the published ones, and those read off the shapes of a state dict."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmext.common.weight_conversion import Shape, WeightsError
from mmext.segmentation.converters.mit_layouts import Layout

# Channels of stage 1 and blocks per stage, table 6 of the paper.
ARCHS = {
    'b0': (32, (2, 2, 2, 2)),
    'b1': (64, (2, 2, 2, 2)),
    'b2': (64, (3, 4, 6, 3)),
    'b3': (64, (3, 4, 18, 3)),
    'b4': (64, (3, 8, 27, 3)),
    'b5': (64, (3, 6, 40, 3)),
}
NUM_HEADS = (1, 2, 5, 8)
STAGES = (1, 2, 3, 4)


@dataclass(frozen=True)
class MitSizes:
    """Everything that the shapes of a MiT's tensors follow from; one entry per stage where a tuple."""

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    mlp_ratios: tuple[int, ...] = (4, 4, 4, 4)
    in_channels: int = 3

    @classmethod
    def of_arch(cls, arch: str) -> 'MitSizes':
        if arch not in ARCHS:
            raise WeightsError(f'unknown architecture {arch!r}. Fix: use one of {", ".join(ARCHS)}, or detect it.')
        width, depths = ARCHS[arch]
        return cls(tuple(width * heads for heads in NUM_HEADS), depths)

    @property
    def arch(self) -> str:
        """Name of the published architecture with these sizes, or `'custom (...)'`."""
        for name in ARCHS:
            if self == MitSizes.of_arch(name):
                return name
        return f'custom (channels {self.dims}, blocks {self.depths})'


def read_sizes(state_dict: Mapping[str, Tensor], layout: Layout, backbone: str) -> MitSizes:
    """Reads the sizes off a state dict; published values stand in where a tensor that tells them is missing."""

    def shape(part: str, stage: int) -> Shape:
        name = f'{backbone}{layout.name_of(part, stage)}.weight'
        return tuple(state_dict[name].shape) if name in state_dict else ()

    dims, depths, patches, ratios, mlps = [], [], [], [], []
    for stage in STAGES:
        blocks = [block for name in state_dict if (block := layout.block_of(name, backbone, stage)) is not None]
        widths = [shape(part, stage)[:1] for part in ('stage_norm', 'embed_norm', 'embed', 'norm1', 'norm2')]
        if not blocks or not any(widths):
            raise WeightsError(
                f'no blocks or no norm of stage {stage} among the tensors named as by {layout.name}. '
                'Fix: name the architecture, then the report lists what is missing.'
            )
        # Majority: one damaged tensor must show as wrong, not change the size of the stage.
        width = Counter(width for (width,) in filter(None, widths)).most_common(1)[0][0]
        embed, reduction, hidden = shape('embed', stage), shape('sr', stage), shape('fc1', stage)
        dims.append(width)
        depths.append(max(blocks) + 1)
        patches.append(embed[-1] if len(embed) == 4 else MitSizes.patch_sizes[stage - 1])
        ratios.append(reduction[-1] if reduction else 1)
        mlps.append(hidden[0] // width if hidden else MitSizes.mlp_ratios[stage - 1])
    first = shape('embed', 1)
    channels = first[1] if len(first) == 4 else MitSizes.in_channels
    sizes = MitSizes(*map(tuple, (dims, depths, patches, ratios, mlps)), in_channels=channels)
    published = [MitSizes.of_arch(name) for name in ARCHS]
    return next((each for each in published if (each.dims, each.depths) == (sizes.dims, sizes.depths)), sizes)
