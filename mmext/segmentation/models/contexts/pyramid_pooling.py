"""Pyramid pooling of PSPNet (arXiv:1612.01105): the scene at several coarse resolutions beside the features."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .pooled_branch import RELU, PooledBranch


@MODELS.register_module()
class PyramidPooling(nn.Module):
    """The input, followed by one `PooledBranch` for each number of bins.

    Training with one image a process works: `pooled_branch.convolve` says what batch norm does with a map of one cell.
    Upstream's ``PPM``, part of its ``PSPHead``, computes the same but fails there.

    Args:
        in_channels: Channels of the features.
        channels: Channels of each branch; the authors take ``in_channels / len(bins)``.
        bins: Cells along each side, one branch each.
        conv_cfg: As in mmcv.
        norm_cfg: As in mmcv.
        act_cfg: As in mmcv.
        align_corners: How the branches are resized to the input's size.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W), out_channels = in_channels + len(bins) * channels.
    """

    fuse_kernel_size = 3
    needs_regions = False

    def __init__(
        self,
        in_channels: int,
        channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = RELU,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            PooledBranch(n, in_channels, channels, conv_cfg, norm_cfg, act_cfg, align_corners) for n in bins
        )
        self.out_channels = in_channels + len(bins) * channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, *(branch(x) for branch in self.branches)], dim=1)
