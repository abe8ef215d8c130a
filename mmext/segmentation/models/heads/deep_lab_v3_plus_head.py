"""Decoder of DeepLabV3+ with plain convolutions (arXiv:1802.02611)."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class DeepLabV3PlusHead(BaseDecodeHead):
    """Atrous pyramid with image pooling, joined with an early feature map, then one 3x3 convolution.

    The network that VainF/DeepLabV3Plus-Pytorch publishes weights of. Upstream's `DepthwiseSeparableASPPHead` has
    separable convolutions throughout, two after the join instead of one, and a 3x3 bottleneck behind the pyramid where
    this one has 1x1; neither loads the other's weights.

    Dropout acts on single values behind the pyramid's projection, not on whole channels before the classifier.

    The pooled branch has one value a channel and image, and batch norm cannot normalise a single value: training needs
    two images a GPU or synchronised batch norm over several.

    Args:
        in_channels: Of the early map and of the last map.
        in_index: Where they are among the backbone's outputs.
        low_level_channels: What the early map is reduced to.
        dilations: Of the three 3x3 branches; (6, 12, 18) for output stride 16, (12, 24, 36) for 8.
        dropout_ratio: Behind the pyramid.
        **kwargs: Of `BaseDecodeHead`; `channels` is the width of everything else.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_index: Sequence[int] = (0, 1),
        low_level_channels: int = 48,
        dilations: Sequence[int] = (6, 12, 18),
        dropout_ratio: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            in_index=in_index,
            input_transform='multiple_select',
            dropout_ratio=0,
            **kwargs,
        )
        low, high = in_channels
        settings = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.low_level_project = ConvModule(low, low_level_channels, 1, **settings)
        self.aspp = ASPPModule((1, *dilations), high, self.channels, **settings)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(high, self.channels, 1, **settings))
        self.aspp_project = ConvModule((len(self.aspp) + 1) * self.channels, self.channels, 1, **settings)
        self.aspp_dropout = nn.Dropout(dropout_ratio)
        self.fuse = ConvModule(low_level_channels + self.channels, self.channels, 3, padding=1, **settings)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Feature maps of the backbone -> logits (B, classes, h, w) at the size of the early map."""
        low, high = self._transform_inputs(inputs)
        pooled = self.image_pool(high).expand(-1, -1, *high.shape[2:])
        context = self.aspp_dropout(self.aspp_project(torch.cat([*self.aspp(high), pooled], dim=1)))
        context = resize(context, low.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return self.cls_seg(self.fuse(torch.cat([self.low_level_project(low), context], dim=1)))
