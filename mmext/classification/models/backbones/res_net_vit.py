"""The hybrid of the CIFAR-100 study: a residual network down to 14 x 14 cells, each of which is a token of a ViT."""

from collections import OrderedDict
from collections.abc import Sequence

from mmengine.model import Sequential
from mmpretrain.models.backbones.resnet import Bottleneck
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmext.classification.models.backbones.report_vit import ReportViT

STEM_STRIDE = 4  # of the 7x7 convolution and the max pool together
EXPANSION = 4  # of a bottleneck: output channels per inner channel


@MODELS.register_module()
class ResNetViT(ReportViT):
    """Residual stages of (3, 4, 9) blocks, 64-128-256 channels, then ViT-small on 196 tokens and a class token.

    224 x 224 pixels become 256 x 14 x 14 and, with "patches" of one cell, 14 x 14 tokens. ``residual`` holds the
    stages; all else lies where `ReportViT` has it.

    The report gives the stages, the map, 6.47 M parameters and 550 M mult-adds, which are torchinfo's and so charge a
    linear layer once per image, not once per token. Assumed: the stem is a 7x7 convolution of stride 2 and a 3x3 max
    pool; blocks are bottlenecks whose inner width is a quarter, with stride 2 in the first 3x3 convolution of stages 2
    and 3; every block, not only the first of a stage, has a 1x1 shortcut convolution with batch normalisation; the
    transformer is ViT-small. With 100 classes that is 550.08 M mult-adds and 6,351,140 parameters: 2 % below the
    published ones, and the report does not say where the other 119 k are. With shortcuts in the first block of each
    stage alone, mult-adds would be 383.1 M.

    Args:
        img_size: Side of the images in pixels, or (H, W); a multiple of 4 times 2 per further stage, 16 here.
        in_channels: Channels of the image.
        stage_blocks: Blocks per stage.
        stage_channels: Channels that each stage puts out, multiples of 4; the stem's are the first.
        **kwargs: Of the transformer, as `ReportViT`, save ``patch_size`` (1 cell) and ``frozen_stages``.

    Shape:
        Images (B, in_channels, H, W) float; returns a tuple of one class token (B, 192).

    Raises:
        ValueError: a setting that the network cannot have; names it, its value and the fix.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        stage_blocks: Sequence[int] = (3, 4, 9),
        stage_channels: Sequence[int] = (64, 128, 256),
        **kwargs,
    ) -> None:
        sides = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        stride = _check_stages(sides, stage_blocks, stage_channels)
        if not {'patch_size', 'frozen_stages'}.isdisjoint(kwargs):
            raise ValueError(
                'ResNetViT has no patch_size (one cell of the map is one token) and no frozen_stages '
                "(freeze by name instead: 'backbone.residual', 'backbone.layers.0')"
            )
        grid_hw = tuple(side // stride for side in sides)
        super().__init__(img_size=grid_hw, patch_size=1, in_channels=stage_channels[-1], **kwargs)
        self.residual = residual_stages(in_channels, stage_blocks, stage_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(self.residual(x))

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """As the parent, for layer-wise learning rates; the residual stages count as the embedding."""
        if param_name.startswith(f'{prefix}residual.'):
            return 0, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)


def residual_stages(in_channels: int, blocks: Sequence[int], channels: Sequence[int]) -> nn.Module:
    """The stem and the stages: (B, in_channels, H, W) -> (B, channels[-1], H / s, W / s), s = 4, doubled per stage.

    Convolutions start as He et al. (arXiv:1502.01852), batch normalisations as the identity.
    """
    parts = OrderedDict(
        stem=nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
    )
    before = channels[0]
    for index, (count, width) in enumerate(zip(blocks, channels, strict=True)):
        first = _bottleneck(before, width, stride=2 if index else 1)
        parts[f'stage{index + 1}'] = nn.Sequential(first, *(_bottleneck(width, width) for _ in range(count - 1)))
        before = width
    init_cfg = [dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', val=1, layer='_BatchNorm')]
    return Sequential(parts, init_cfg=init_cfg)


def _bottleneck(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """mmpretrain's block, with a shortcut convolution even where shapes agree."""
    shortcut = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )
    return Bottleneck(in_channels, out_channels, expansion=EXPANSION, stride=stride, downsample=shortcut)


def _check_stages(img_size: tuple[int, ...], blocks: Sequence[int], channels: Sequence[int]) -> int:
    """The stride of the residual stages; refuses sizes that they cannot have."""
    if not blocks or len(blocks) != len(channels) or min(blocks) < 1:
        raise ValueError(
            f'stage_blocks {tuple(blocks)} and stage_channels {tuple(channels)}: '
            'give one number per stage in each, blocks from 1'
        )
    if any(width < EXPANSION or width % EXPANSION for width in channels):
        raise ValueError(f'stage_channels {tuple(channels)}: bottlenecks need multiples of {EXPANSION}')
    stride = STEM_STRIDE * 2 ** (len(blocks) - 1)
    if any(side < stride or side % stride for side in img_size):
        raise ValueError(f'img_size {img_size}: {len(blocks)} stages need sides that are multiples of {stride} pixels')
    return stride
