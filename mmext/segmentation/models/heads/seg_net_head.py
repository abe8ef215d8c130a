"""Decoder of SegNet (arXiv:1511.00561): max-unpooling with the positions that the encoder's pools remember.

Shapes: B images, C classes, H x W pixels of the image.
"""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

# Widths of the convolutions after each unpooling, coarse to fine: VGG16 read backwards, without its first layer, whose
# place the classifier takes.
WIDTHS = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,))


def max_unpool(x: Tensor, indices: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Put values back where a max pool found them; zero elsewhere.

    The same as ``F.max_unpool2d`` for pools without overlap. That one has no deterministic implementation and stops a
    run that was started with ``--deterministic``.

    Args:
        x: (B, K, h, w).
        indices: (B, K, h, w) int64, positions in a plane of ``size_hw`` counted row by row, as max pools return them.
        size_hw: Height and width of the map in front of the pool.
    """
    height, width = size_hw
    plane = x.new_zeros(*x.shape[:2], height * width)
    return plane.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


@MODELS.register_module()
class SegNetHead(BaseDecodeHead):
    """The thirteen decoder convolutions of SegNet: unpool, convolve, five times.

    Each convolution is 3x3 with batch normalisation and ReLU, but for the last one, which gives the class scores.
    The encoder is ``VGG16(with_bn=True, return_indices=True)``: positions come as extra entries of its tuple, behind
    the levels, so encoder and decoder stay apart and auxiliary heads may use the levels as of any backbone.

    Args:
        in_channels: Channels of the fifth pool.
        norm_cfg: Normalisation of all convolutions but the last.
        dropout_ratio: Probability of zeroing a channel in front of the last convolution; SegNet has none.
        **kwargs: As `BaseDecodeHead`.

    Shape:
        Six levels (image, pool 1, ..., pool 5) and the positions of the five pools; returns scores (B, C, H, W), for
        images of any size.
    """

    def __init__(
        self, in_channels: int = 512, norm_cfg: dict | None = None, dropout_ratio: float = 0.0, **kwargs
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            in_index=5,
            channels=WIDTHS[-1][-1],
            norm_cfg=norm_cfg or dict(type='BN'),
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        self.stages = nn.ModuleList()
        for widths in WIDTHS:
            fan_ins = (in_channels, *widths[:-1])
            self.stages.append(
                nn.Sequential(
                    *(
                        ConvModule(fan_in, width, 3, padding=1, norm_cfg=self.norm_cfg)
                        for fan_in, width in zip(fan_ins, widths, strict=True)
                    )
                )
            )
            in_channels = widths[-1]
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, kernel_size=3, padding=1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        levels, positions = inputs[:6], inputs[6:]
        x = levels[5]
        for finer, indices, stage in zip(levels[4::-1], positions[::-1], self.stages, strict=True):
            x = stage(max_unpool(x, indices, finer.shape[2:]))
        return self.cls_seg(x)
