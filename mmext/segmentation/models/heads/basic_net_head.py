"""Decoder of the kitti report's baseline network (section 1.1): transposed convolutions on the class scores."""

import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class BasicNetHead(BaseDecodeHead):
    """Classifies 2048-channel features, doubles the scores three times and resizes them to a fixed size.

    Args:
        output_hw: Height and width of the returned scores; the report trains and evaluates at 256 x 864. None: eight
            times the size of the features, and `BaseDecodeHead` resizes the scores to the labels or to the image.
        dropout_ratio: Probability of zeroing one of the input channels.
        in_channels: Channels of the features.
        num_classes: Classes C.
        init_cfg: As mmengine; None leaves PyTorch's own initialisation, as the report does.
        **kwargs: As `BaseDecodeHead`.

    Shape:
        One map (B, in_channels, h, w); returns scores (B, C, output_hw[0], output_hw[1]).
    """

    def __init__(
        self,
        output_hw: tuple[int, int] | None = (256, 864),
        in_channels: int = 2048,
        num_classes: int = 19,
        dropout_ratio: float = 0.5,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_classes=num_classes,
            dropout_ratio=dropout_ratio,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.output_hw = output_hw
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(num_classes, num_classes, kernel_size=4, stride=2, output_padding=1, bias=False),
            nn.ConvTranspose2d(num_classes, num_classes, kernel_size=4, stride=2, bias=False),
            nn.ConvTranspose2d(num_classes, num_classes, kernel_size=4, stride=2, padding=1, bias=False),
        )

    def forward(self, inputs: tuple[Tensor]) -> Tensor:
        scores = self.upsample(self.cls_seg(self._transform_inputs(inputs)))
        if self.output_hw is None:
            return scores
        scores = F.interpolate(scores, size=self.output_hw, mode='bilinear', align_corners=True)
        # The report's decoder resizes a second time, to the size that the scores already have. It changes no value;
        # it is kept because the published 67.003 GMACs count it.
        return resize(scores, size=self.output_hw, mode='bilinear', align_corners=self.align_corners)
