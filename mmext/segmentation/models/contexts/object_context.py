"""Object-contextual representations (OCR, arXiv:1909.11065): each pixel looks at the objects of the image.

Shapes: B images, K classes, H x W pixels, D channels of a pixel or of an object, Q channels of queries and keys.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .pooled_branch import RELU, convolve


def gather_objects(pixels: Tensor, region_logits: Tensor) -> Tensor:
    """One vector a class: the mean of the pixels, weighted by how much each belongs to the class (equation 8).

    The weights are a softmax of the class' logits over the pixels, so each class sums to 1, also one that the image
    does not show; adding a number to all logits of a class changes nothing.

    Args:
        pixels: (B, D, H, W).
        region_logits: (B, K, H, W).

    Returns:
        (B, K, D).
    """
    weights = region_logits.flatten(2).softmax(dim=2)
    return torch.matmul(weights, pixels.flatten(2).transpose(1, 2))


def attend_objects(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """For each pixel the mean of the objects' values, weighted by softmax(query . key / sqrt(Q)) over the objects.

    Args:
        query: (B, Q, H, W).
        key: (B, Q, K, 1).
        value: (B, Q, K, 1).

    Returns:
        (B, Q, H, W).
    """
    tokens = (part.flatten(2).transpose(1, 2)[:, None] for part in (query, key, value))
    attended = F.scaled_dot_product_attention(*tokens)  # one head: (B, 1, H * W, Q)
    return attended[:, 0].transpose(1, 2).reshape(query.shape)


@MODELS.register_module()
class ObjectContext(nn.Module):
    """Attention from pixels to soft object regions, concatenated with the pixels.

    A 3x3 convolution makes the pixel representations; `gather_objects` sums them up to one vector for each class by
    the logits of an auxiliary classifier; `attend_objects` hands every pixel its mixture of the objects. The classifier
    belongs to the head (`ContextHead.auxiliary`), which trains it with its own loss. Gradients of the main loss flow
    into it as well, as in the authors' code.

    With batch norm, one image and one class, keys and values are single values: see `pooled_branch.convolve`.
    Upstream's ``OCRHead`` computes the same inside a ``CascadeEncoderDecoder``; its ``scale`` argument is left out.

    Args:
        in_channels: Channels of the features.
        channels: Channels D of a pixel and of an object.
        key_channels: Channels Q of queries, keys and values; None: half of `channels`, as the authors have it.
        conv_cfg: As in mmcv.
        norm_cfg: As in mmcv.
        act_cfg: As in mmcv.
        align_corners: How region logits of another size are resized.

    Shape:
        (B, in_channels, H, W) and region logits (B, K, h, w) -> (B, out_channels, H, W), out_channels = 2 * channels.
    """

    fuse_kernel_size = 1
    needs_regions = True

    def __init__(
        self,
        in_channels: int,
        channels: int,
        key_channels: int | None = None,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = RELU,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.out_channels = 2 * channels
        inner = key_channels or max(channels // 2, 1)
        layers = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.pixel = ConvModule(in_channels, channels, 3, padding=1, **layers)
        self.query = nn.Sequential(ConvModule(channels, inner, 1, **layers), ConvModule(inner, inner, 1, **layers))
        self.key = nn.Sequential(ConvModule(channels, inner, 1, **layers), ConvModule(inner, inner, 1, **layers))
        self.value = ConvModule(channels, inner, 1, **layers)
        self.out = ConvModule(inner, channels, 1, **layers)

    def forward(self, x: Tensor, region_logits: Tensor) -> Tensor:
        if region_logits.shape[2:] != x.shape[2:]:
            region_logits = resize(region_logits, size=x.shape[2:], mode='bilinear', align_corners=self.align_corners)
        pixels = self.pixel(x)
        objects = gather_objects(pixels, region_logits).transpose(1, 2)[..., None]  # (B, D, K, 1)
        key = objects
        for conv in self.key:
            key = convolve(conv, key)
        attended = attend_objects(self.query(pixels), key, convolve(self.value, objects))
        return torch.cat([self.out(attended), pixels], dim=1)
