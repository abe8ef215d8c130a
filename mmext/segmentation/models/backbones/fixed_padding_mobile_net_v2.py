"""MobileNetV2 (arXiv:1801.04381) that pads before the expansion, as in VainF/DeepLabV3Plus-Pytorch."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

# Expansion, channels, blocks and stride of each stage: table 2 of the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM = 32
# Stem, one block of stage 1 and two of stage 2: the map at a quarter of the image that decoders join in.
LOW_LEVEL = 3


@MODELS.register_module()
class FixedPaddingMobileNetV2(BaseModule):
    """MobileNetV2 dilated to an output stride, with the borders of VainF's implementation.

    Three things differ from mmseg's `MobileNetV2`, and the first two change numbers along the borders only:

    - A block pads its input with zeros before the 1x1 expansion, so the depth-wise convolution sees
      relu6(batch norm(0)) outside the map, not 0.
    - The stem does not pad: 768 pixels become 383 columns.
    - Where a stage trades its stride for dilation, its first block keeps the dilation of the stage before and all
      others are dilated; mmseg dilates the first block only.

    Names are those of torchvision's `mobilenet_v2`, whose ImageNet file loads through `init_cfg` as it is (its last
    convolution and classifier are not used).

    Args:
        output_stride: 8, 16 or 32.
        norm_cfg: Batch norms; VainF trains with `dict(type='BN', momentum=0.01)`.
        init_cfg: Kaiming by default.

    Raises:
        ValueError: The output stride is another one.
    """

    def __init__(
        self,
        output_stride: int = 16,
        norm_cfg: Mapping = dict(type='BN'),
        init_cfg: Mapping | Sequence | None = None,
    ) -> None:
        if output_stride not in (8, 16, 32):
            raise ValueError(f'output_stride={output_stride}: use 8, 16 or 32')
        default = [
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ]
        super().__init__(init_cfg or default)
        layers: list[nn.Module] = [_conv_bn(3, STEM, norm_cfg, kernel_size=3, stride=2)]
        channels = STEM
        for expansion, width, stride, dilation in block_settings(output_stride):
            layers.append(_Block(channels, width, expansion, stride, dilation, norm_cfg))
            channels = width
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> maps of 24 channels at stride 4 and 320 channels at the output stride."""
        low = self.features[: LOW_LEVEL + 1](x)
        return low, self.features[LOW_LEVEL + 1 :](low)


def block_settings(output_stride: int) -> list[tuple[int, int, int, int]]:
    """Expansion, channels, stride and dilation of each of the 17 blocks."""
    settings = []
    reached, dilation = 2, 1
    for expansion, width, blocks, stride in STAGES:
        before = dilation
        if reached == output_stride:
            dilation *= stride
            stride = 1
        reached *= stride
        settings.append((expansion, width, stride, before))
        settings += [(expansion, width, 1, dilation)] * (blocks - 1)
    return settings


class _Block(nn.Module):
    """Inverted residual: pad, expand 1x1, depth-wise 3x3, project 1x1; the input is added where shapes agree."""

    def __init__(
        self, in_channels: int, channels: int, expansion: int, stride: int, dilation: int, norm_cfg: Mapping
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers = [] if expansion == 1 else [_conv_bn(in_channels, hidden, norm_cfg)]
        self.conv = nn.Sequential(
            *layers,
            _conv_bn(hidden, hidden, norm_cfg, kernel_size=3, stride=stride, dilation=dilation, groups=hidden),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
            build_norm_layer(norm_cfg, channels)[1],
        )
        self.padding = dilation
        self.is_residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(F.pad(x, (self.padding,) * 4))
        return x + out if self.is_residual else out


def _conv_bn(in_channels: int, channels: int, norm_cfg: Mapping, kernel_size: int = 1, **kwargs) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, kernel_size, bias=False, **kwargs)
    return nn.Sequential(convolution, build_norm_layer(norm_cfg, channels)[1], nn.ReLU6(inplace=True))
