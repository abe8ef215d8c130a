"""FCN32s, 16s, 8s, 4s and 2s on VGG16 as the dlcv report builds them (after arXiv:1411.4038).

Shapes: B images, C classes, H x W pixels of the image.
"""

import math
from collections.abc import Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

STRIDES = (32, 16, 8, 4, 2)


def crop_to(x: Tensor, reference: Tensor) -> Tensor:
    """The top left part of ``x`` (B, C, >= h, >= w) that has height and width of ``reference`` (B, any, h, w)."""
    return x[..., : reference.shape[-2], : reference.shape[-1]]


@MODELS.register_module()
class VGGFCNHead(BaseDecodeHead):
    """Two 3x3 convolutions on the fifth pool, class scores, and transposed convolutions back to the image.

    From the fifth pool on, scores are doubled by a transposed convolution and added to the scores that a 1x1
    convolution gives for the next finer pool, until the stride of the model is reached; one transposed convolution of
    that kernel and stride then reaches the image. Kernel = stride: every input cell writes an area of its own.

    Differs from arXiv:1411.4038 as the report does: 3x3 convolutions in place of 7x7 and 1x1, Dropout2d of 0.1, no
    padding of the image by 100, learnt upsampling with biases and without overlap, no bilinear initialisation. FCN32s
    has a ReLU on its scores, which FCN8s has not: **negative scores are clipped to zero** before the upsampling, so a
    class cannot be argued against, only for. The strides 16, 4 and 2, which the report does not print, follow FCN8s.

    The transposed convolutions only make multiples of the stride. With the backbone's pools, which round up, that is
    never too little; sums and result are cut to size at the right and at the bottom, so images of any size get scores
    of exactly their own size and grid.

    Args:
        stride: 32, 16, 8, 4 or 2.
        in_channels: Channels of the five pools.
        channels: Width of the two 3x3 convolutions.
        dropout_ratio: Probability of zeroing a channel after each of them.
        clip_scores: ReLU on the scores of the fifth pool; None: for stride 32 only, as the report.
        init_cfg: As mmengine; None leaves PyTorch's own initialisation, as the report does.
        **kwargs: As `BaseDecodeHead`.

    Shape:
        Levels of `VGG16` (image, pool 1, ..., pool 5); returns scores (B, C, H, W).

    Raises:
        ValueError: another stride.
    """

    def __init__(
        self,
        stride: int,
        in_channels: Sequence[int] = (64, 128, 256, 512, 512),
        channels: int = 4096,
        dropout_ratio: float = 0.1,
        clip_scores: bool | None = None,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        if stride not in STRIDES:
            raise ValueError(f'stride={stride}: expected one of {STRIDES}, the strides of the five pools')
        finest = int(math.log2(stride))
        pools = range(finest, 6)
        super().__init__(
            in_channels=[in_channels[pool - 1] for pool in pools],
            in_index=list(pools),
            input_transform='multiple_select',
            channels=channels,
            dropout_ratio=dropout_ratio,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.clip_scores = stride == 32 if clip_scores is None else clip_scores
        # `cls_seg` adds the second dropout and the classifier.
        self.conv_block = nn.Sequential(
            nn.Conv2d(in_channels[-1], channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout_ratio),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
        )
        # From coarse to fine: the scores of a pool, and the step that leads to it.
        scores = self.out_channels
        self.skip_scores = nn.ModuleList(nn.Conv2d(width, scores, 1) for width in self.in_channels[-2::-1])
        self.doublings = nn.ModuleList(nn.ConvTranspose2d(scores, scores, 2, stride=2) for _ in self.skip_scores)
        self.upsample = nn.ConvTranspose2d(scores, scores, stride, stride=stride)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        *skips, top = self._transform_inputs(inputs)
        scores = self.cls_seg(self.conv_block(top))
        if self.clip_scores:
            scores = scores.relu()
        for skip, score, doubling in zip(skips[::-1], self.skip_scores, self.doublings, strict=True):
            scores = crop_to(doubling(scores), skip) + score(skip)
        return crop_to(self.upsample(scores), inputs[0])
