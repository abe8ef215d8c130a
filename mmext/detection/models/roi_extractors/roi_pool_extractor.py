"""RoI pooling (arXiv:1504.08083) on any device, by torchvision."""

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from mmengine.utils import to_2tuple
from torch import nn
from torchvision.ops import RoIPool


@MODELS.register_module()
class RoIPoolExtractor(SingleRoIExtractor):
    """Max-pools each region of a stride-s map to a fixed size, after rounding its corners to whole cells.

    Input: feature maps (B, C, H, W) float, one per stride, and regions (N, 5) float: index of the image, then x1, y1,
    x2, y2 in pixels of the network's input. Output: (N, C, h, w). Without regions the output is empty.

    Differs from ``SingleRoIExtractor(roi_layer=dict(type='RoIPool'))`` in that it runs on the CPU too, where mmcv's
    operator does not exist, and in that corners are rounded first, as Fast R-CNN does; mmcv's operator splits the
    unrounded region into bins and rounds those.

    Args:
        roi_layer: ``dict(type='RoIPool', output_size=...)``.

    Raises:
        ValueError: another type of layer.
    """

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        settings = dict(layer_cfg)
        kind = settings.pop('type')
        if kind != 'RoIPool':
            raise ValueError(f"roi_layer.type is {kind!r}: RoIPoolExtractor has 'RoIPool' only; use SingleRoIExtractor")
        size = to_2tuple(settings.pop('output_size'))  # the parent reads it as a pair
        return nn.ModuleList(RoIPool(size, spatial_scale=1 / stride, **settings) for stride in featmap_strides)
