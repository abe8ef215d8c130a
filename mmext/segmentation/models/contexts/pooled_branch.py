"""Pooling to a few cells and a 1x1 convolution: a branch of the pyramid, and DeepLab's image pooling."""

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.dist import get_world_size
from mmseg.models.utils import resize
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

RELU = dict(type='ReLU')


def lacks_variance(norm: nn.Module, x: Tensor) -> bool:
    """Whether `norm` is a batch norm about to estimate the variance of a single value a channel.

    A synchronised batch norm of several processes sees the values of all of them and is left alone.
    """
    if not (isinstance(norm, _BatchNorm) and norm.training) or x.numel() > x.shape[1]:
        return False
    return not (isinstance(norm, nn.SyncBatchNorm) and get_world_size() > 1)


def convolve(conv: ConvModule, x: Tensor) -> Tensor:
    """Convolution, norm and activation, also where batch norm has nothing to estimate a variance from.

    One image pooled to one cell has one value a channel: its variance is 0 / 0, and torch refuses to train on it. Such
    a map is normalised with the running statistics, as in a test, and does not change them; scale and shift get their
    gradients. A model that only ever trains on single images keeps the statistics it started with, those of a
    checkpoint or mean 0 and variance 1, so that training and test agree.

    Args:
        conv: A pointwise convolution that keeps the size of its map.
        x: (B, channels, h, w).
    """
    if not (conv.with_norm and lacks_variance(conv.norm, x)):
        return conv(x)
    conv.norm.eval()
    try:
        return conv(x)
    finally:
        conv.norm.train()


class PooledBranch(nn.Module):
    """Average over `bins` x `bins` cells, 1x1 convolution, norm, activation, bilinear resize to the input's size.

    The cells are those of `torch.nn.AdaptiveAvgPool2d`: they overlap where `bins` does not divide a side. With one
    image and one cell see `convolve`.

    Args:
        bins: Cells along each side.
        in_channels: Channels of the input.
        channels: Channels of the output.
        conv_cfg: As in mmcv.
        norm_cfg: As in mmcv.
        act_cfg: As in mmcv.
        align_corners: Of the resize.

    Shape:
        (B, in_channels, H, W) -> (B, channels, H, W).
    """

    def __init__(
        self,
        bins: int,
        in_channels: int,
        channels: int,
        conv_cfg: dict | None,
        norm_cfg: dict | None,
        act_cfg: dict | None,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.bins = bins
        self.align_corners = align_corners
        self.conv = ConvModule(in_channels, channels, 1, conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        pooled = convolve(self.conv, F.adaptive_avg_pool2d(x, self.bins))
        return resize(pooled, size=x.shape[2:], mode='bilinear', align_corners=self.align_corners)

    def extra_repr(self) -> str:
        return f'bins={self.bins}, align_corners={self.align_corners}'
