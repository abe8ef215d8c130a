"""Atrous spatial pyramid pooling (arXiv:1606.00915, arXiv:1706.05587): convolutions of several rates side by side."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .pooled_branch import RELU, PooledBranch


@MODELS.register_module()
class AtrousPyramid(nn.Module):
    """One 3x3 convolution with norm and activation for each dilation rate, concatenated.

    By default the variant of the context report: four branches of rates 1, 2, 3 and 6, all of them 3x3. The report
    concatenates "all these", which is read as the branches without the input, as in DeepLab. ``image_pooling=True``
    turns it into DeepLabV3's: an image pooling branch comes first and rate 1 stands for a 1x1 convolution, exactly as
    upstream's ``ASPPHead`` has it. That branch trains with one image a process too, see `pooled_branch.convolve`.

    Args:
        in_channels: Channels of the features.
        channels: Channels of each branch.
        rates: Dilation rates, one branch each; DeepLabV3 at stride 8 takes 1, 12, 24, 36.
        image_pooling: DeepLabV3's variant.
        conv_cfg: As in mmcv.
        norm_cfg: As in mmcv.
        act_cfg: As in mmcv.
        align_corners: Of the resize of image pooling, where it makes no difference; the heads hand it to every context.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W), out_channels = channels times the number of branches.
    """

    fuse_kernel_size = 3
    needs_regions = False

    def __init__(
        self,
        in_channels: int,
        channels: int,
        rates: Sequence[int] = (1, 2, 3, 6),
        image_pooling: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = RELU,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.image_pooling = (
            PooledBranch(1, in_channels, channels, conv_cfg, norm_cfg, act_cfg, align_corners)
            if image_pooling
            else None
        )
        self.branches = nn.ModuleList()
        for rate in rates:
            pointwise = image_pooling and rate == 1
            self.branches.append(
                ConvModule(
                    in_channels,
                    channels,
                    kernel_size=1 if pointwise else 3,
                    padding=0 if pointwise else rate,
                    dilation=rate,
                    conv_cfg=conv_cfg,
                    norm_cfg=norm_cfg,
                    act_cfg=act_cfg,
                )
            )
        self.out_channels = (len(rates) + image_pooling) * channels

    def forward(self, x: Tensor) -> Tensor:
        pooled = [] if self.image_pooling is None else [self.image_pooling(x)]
        return torch.cat([*pooled, *(branch(x) for branch in self.branches)], dim=1)
