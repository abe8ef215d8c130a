"""Point-wise spatial attention (PSANet): every position looks at every other one, in both directions.

Paper: PSANet, Zhao et al., ECCV 2018 (https://hszhao.github.io/papers/eccv18_psanet.pdf).

Shapes: B images, C channels, h x w positions of the shrunk map, N = h * w of them, a mask of M_h x M_w relative
positions.
"""

import torch
from mmcv.cnn import ConvModule
from mmcv.ops.psa_mask import psa_mask
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PSANetHead(BaseDecodeHead):
    """Decode head of PSANet with both branches, collect and distribute.

    Each position predicts one score for every relative position of an M_h x M_w mask around it. mmcv's `PSAMask`
    operator turns the relative scores into an N x N matrix: in the collect branch they say what the position takes
    from the others, in the distribute branch what it gives to them. A softmax over the sources and a matrix product
    make the new features. Both branches work on a map shrunk by `shrink_factor`.

    Upstream's `PSAHead` computes something else: its projection after the attention is a 1x1 convolution with padding
    1, so a rim of constants is scaled into the map, and weights of the authors' code give other logits in it. Names of
    the parameters are the same. In exchange this head has no modes: no compact mask, no single branch, always a softmax
    - the settings of the authors' published models.

    Where the map is larger than the mask reaches, the scores of positions out of reach are 0 (not minus infinity)
    before the softmax, as in the authors' code. That code takes maps of odd height and width only (images of 16 n + 1
    with the factor 2); this head takes any, by resizing back to the map it was given.

    Args:
        mask_size: M_h, M_w, both odd; 2 h - 1 and 2 w - 1 let every position reach every other one. It is part of the
            weights' shapes: weights trained with one mask do not fit another.
        shrink_factor: How much smaller the attention's map is, >= 1.
        **kwargs: Of `BaseDecodeHead`; `in_channels` and `in_index` of one map, `channels` of the reduced features.

    Raises:
        ValueError: A side of the mask is even or the factor is smaller than 1.
    """

    def __init__(self, mask_size: tuple[int, int], shrink_factor: int = 2, **kwargs) -> None:
        if any(side < 1 or side % 2 == 0 for side in mask_size):
            raise ValueError(f'mask_size={tuple(mask_size)}: both sides must be odd, the position is in the middle')
        if shrink_factor < 1:
            raise ValueError(f'shrink_factor={shrink_factor}: must be 1 (no shrinking) or more')
        super().__init__(**kwargs)
        self.mask_size = tuple(mask_size)
        self.shrink_factor = shrink_factor
        self.reduce = self._conv_bn(self.in_channels, self.channels)
        self.attention = self._relative_scores()
        self.reduce_p = self._conv_bn(self.in_channels, self.channels)
        self.attention_p = self._relative_scores()
        self.proj = self._conv_bn(2 * self.channels, self.in_channels)
        self.bottleneck = self._conv_bn(2 * self.in_channels, self.channels, kernel_size=3)

    def _conv_bn(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> ConvModule:
        settings = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        return ConvModule(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **settings)

    def _relative_scores(self) -> nn.Sequential:
        mask_h, mask_w = self.mask_size
        last = nn.Conv2d(self.channels, mask_h * mask_w, kernel_size=1, bias=False)
        return nn.Sequential(self._conv_bn(self.channels, self.channels), last)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Feature maps of the backbone -> logits (B, classes, H, W) at the size of the map that the head reads."""
        x = self._transform_inputs(inputs)
        size = shrunk_size(x.shape[2:], self.shrink_factor)
        to_collect = resize(self.reduce(x), size, mode='bilinear', align_corners=True)
        to_distribute = resize(self.reduce_p(x), size, mode='bilinear', align_corners=True)
        collected = attend(to_collect, self.attention(to_collect), self.mask_size, 'collect')
        distributed = attend(to_distribute, self.attention_p(to_distribute), self.mask_size, 'distribute')
        context = self.proj(torch.cat([collected, distributed], dim=1))
        # The original interpolates with aligned corners whatever the size, hence no warning about other sizes.
        context = resize(context, x.shape[2:], mode='bilinear', align_corners=True, warning=False)
        return self.cls_seg(self.bottleneck(torch.cat([x, context], dim=1)))


def shrunk_size(size_hw: tuple[int, int], factor: int) -> tuple[int, int]:
    """Every `factor`-th position of a map, the first one included: corners stay corners on maps of factor n + 1."""
    height, width = size_hw
    return (height - 1) // factor + 1, (width - 1) // factor + 1


def attend(features: Tensor, scores: Tensor, mask_size: tuple[int, int], direction: str) -> Tensor:
    """Weighted sums of the features of all positions.

    Args:
        features: (B, C, h, w).
        scores: (B, M_h * M_w, h, w), per position one score for every relative position.
        mask_size: M_h, M_w.
        direction: `'collect'` or `'distribute'`, see `between_positions`.

    Returns:
        (B, C, h, w); the weights of each target sum to 1 over the sources.
    """
    # mmcv's operator has no half precision; the softmax over thousands of sources needs single anyway.
    weights = between_positions(scores.float(), mask_size, direction).softmax(dim=1)
    return torch.bmm(features.flatten(2), weights.to(features.dtype)).view_as(features)


def between_positions(scores: Tensor, mask_size: tuple[int, int], direction: str) -> Tensor:
    """Scores of relative positions as a matrix of source and target; 0 where the mask does not reach.

    mmcv's operator on a GPU. On the CPU it takes seven seconds for a map of 45 x 45 and cannot be traced (so no FLOPs
    could be counted): there, the same matrix is gathered.

    Args:
        scores: (B, M_h * M_w, h, w), row by row of the mask; its middle is the position itself.
        mask_size: M_h, M_w.
        direction: `'collect'`: a position scores what it takes from the others, `'distribute'`: what it gives to them.

    Returns:
        (B, N, N), sources before targets.
    """
    if scores.is_cuda:
        return psa_mask(scores, ('collect', 'distribute').index(direction), mask_size).flatten(2)
    (height, width), (mask_h, mask_w) = scores.shape[2:], mask_size
    rows = _offsets(height, mask_h, scores.device)[:, None, :, None]
    columns = _offsets(width, mask_w, scores.device)[None, :, None, :]
    reached = ((rows >= 0) & (rows < mask_h) & (columns >= 0) & (columns < mask_w)).view(height * width, -1)
    place = (rows * mask_w + columns).view(height * width, -1).where(reached, 0)
    # The scores of each position stand in its column; row n is the other position.
    matrix = scores.flatten(2).gather(1, place.expand(len(scores), -1, -1)).where(reached, 0)
    return matrix if direction == 'collect' else matrix.transpose(1, 2)


def _offsets(size: int, mask: int, device: torch.device) -> Tensor:
    """(size, size): where in the mask around the second position the first one lies."""
    places = torch.arange(size, device=device)
    return places[:, None] - places + mask // 2
