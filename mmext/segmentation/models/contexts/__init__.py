"""What a pixel learns of the rest of the image, as exchangeable modules of `ContextHead`.

A context is built with in_channels, channels, conv_cfg, norm_cfg, act_cfg and align_corners. It has `out_channels`,
`fuse_kernel_size` (of the convolution that follows it) and `needs_regions` (whether its forward takes class logits
beside the features), and keeps the size of its map.
"""

from .atrous_pyramid import AtrousPyramid
from .object_context import ObjectContext
from .pyramid_pooling import PyramidPooling

__all__ = ['AtrousPyramid', 'ObjectContext', 'PyramidPooling']
