"""Decoder of UNet16, the U-Net (arXiv:1505.04597) on a VGG16 encoder in the manner of TernausNet (arXiv:1801.05746).

Shapes: B images, C classes, H x W pixels of the image.
"""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from .vgg_fcn_head import crop_to


def _conv_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU(inplace=True))


def _double(in_channels: int, middle_channels: int, out_channels: int) -> nn.Sequential:
    """A convolution, then a transposed convolution to exactly twice the size, a ReLU after each."""
    return nn.Sequential(
        _conv_relu(in_channels, middle_channels),
        nn.ConvTranspose2d(middle_channels, out_channels, kernel_size=4, stride=2, padding=1),
        nn.ReLU(inplace=True),
    )


@MODELS.register_module()
class UNet16Head(BaseDecodeHead):
    """Five doublings, each followed by a concatenation with the encoder's map of that size, and a 1x1 classifier.

    With n = ``channels``: the last pool is doubled to 8n channels; joined with the encoder's groups 5, 4, 3 and 2 the
    maps are doubled to 8n, 8n, 2n and n channels; the first group's map is joined last and convolved to n. No
    normalisation, no dropout. The encoder is ``VGG16(levels='convs')``.

    The widths are those of the UNet16 that the authors of TernausNet publish with their paper. Theirs can double by
    bilinear interpolation and two convolutions, too; here it is the transposed convolution of the paper. Sides that
    are no multiples of 32 are handled by cutting each doubled map to the size of its partner.

    Args:
        in_channels: Channels of the encoder's five groups; the last pool has those of the fifth.
        channels: Width n of the finest map.
        dropout_ratio: Probability of zeroing a channel in front of the classifier.
        init_cfg: As mmengine; None leaves PyTorch's own initialisation.
        **kwargs: As `BaseDecodeHead`.

    Shape:
        Maps of strides 1, 2, 4, 8, 16 and 32; returns scores (B, C, H, W).
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 128, 256, 512, 512),
        channels: int = 32,
        dropout_ratio: float = 0.0,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=[*in_channels, in_channels[-1]],
            in_index=list(range(6)),
            input_transform='multiple_select',
            channels=channels,
            dropout_ratio=dropout_ratio,
            init_cfg=init_cfg,
            **kwargs,
        )
        n = channels
        self.center = _double(in_channels[4], 16 * n, 8 * n)
        # From coarse to fine: groups 5, 4, 3 and 2.
        self.stages = nn.ModuleList(
            [
                _double(in_channels[4] + 8 * n, 16 * n, 8 * n),
                _double(in_channels[3] + 8 * n, 16 * n, 8 * n),
                _double(in_channels[2] + 8 * n, 8 * n, 2 * n),
                _double(in_channels[1] + 2 * n, 4 * n, n),
            ]
        )
        self.last = _conv_relu(in_channels[0] + n, n)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        first, *skips, top = self._transform_inputs(inputs)
        x = self.center(top)
        for skip, stage in zip(skips[::-1], self.stages, strict=True):
            x = stage(torch.cat([crop_to(x, skip), skip], dim=1))
        return self.cls_seg(self.last(torch.cat([crop_to(x, first), first], dim=1)))
