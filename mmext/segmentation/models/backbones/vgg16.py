"""The convolutional part of VGG16 (arXiv:1409.1556) as an encoder whose level i has stride 2 ** i.

Shapes: B images, H x W pixels; level i of the returned tuple is ceil(H / 2 ** i) x ceil(W / 2 ** i).
"""

import torch.nn.functional as F
from mmcv.cnn import VGG
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class VGG16(BaseModule):
    """Thirteen 3x3 convolutions with biases and ReLUs in five groups of 64, 128, 256, 512 and 512 channels, five pools.

    The layers come from mmcv and carry torchvision's names, so that ``vgg16-397923af.pth`` (``vgg16_bn-6c64b313.pth``
    with batch normalisation) loads as it is; its fully connected layers are not used. mmcv's own ``VGG`` is no mmseg
    backbone: it returns the pools alone, loads weights in a way of its own and switches batch normalisation off.

    The pools round sizes up, which changes nothing where 32 divides the sides. At other sizes the last row and column
    of a level see fewer pixels, but no pixel of the image is dropped and level i always lies on the image's grid: a
    decoder multiplies sizes by two and cuts off what is over at the right and at the bottom.

    Args:
        with_bn: Batch normalisation after every convolution.
        levels: What the six levels are. ``'pools'``: the image itself, then the outputs of the five pools.
            ``'convs'``: the outputs of the five groups in front of their pools, then the output of the last pool.
        return_indices: Append the argmax positions of the five pools, for max-unpooling.
        init_cfg: As mmengine; None: He initialisation, without which signals fade in a network this deep.

    Shape:
        Images (B, 3, H, W) of any size; returns a tuple of six maps, and with ``return_indices`` five more (int64, of
        the shapes of the pools; positions count row by row in the map in front of the pool).

    Raises:
        ValueError: unknown ``levels``.
    """

    def __init__(
        self,
        with_bn: bool = False,
        levels: str = 'pools',
        return_indices: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if levels not in ('pools', 'convs'):
            raise ValueError(f"levels={levels!r}: expected 'pools' or 'convs'")
        super().__init__(init_cfg or [dict(type='Kaiming', layer='Conv2d')])
        self.levels = levels
        self.return_indices = return_indices
        self.features = VGG(16, with_bn=with_bn, ceil_mode=True).features

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pools, convs, indices = [x], [], []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                convs.append(x)
                if self.return_indices:
                    x, positions = F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True, return_indices=True)
                    indices.append(positions)
                else:
                    x = layer(x)
                pools.append(x)
            else:
                x = layer(x)
        levels = pools if self.levels == 'pools' else [*convs, x]
        return (*levels, *indices)
