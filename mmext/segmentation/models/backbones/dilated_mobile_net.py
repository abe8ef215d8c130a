"""MobileNetV2 (arXiv:1801.04381) and MobileNetV3-large (arXiv:1905.02244) of torchvision at a chosen output stride."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torchvision.models
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


class Arch(NamedTuple):
    """One network of torchvision.

    Attributes:
        build: Name of its function in torchvision.models.
        out_indices: Layers that end the stages of stride 4, 8, 16 and 32; the last is the last bottleneck.
    """

    build: str
    out_indices: tuple[int, ...]


ARCHS = {
    'v2': Arch('mobilenet_v2', (3, 6, 13, 17)),
    'v3-large': Arch('mobilenet_v3_large', (3, 6, 12, 15)),
}


def dilate(layers: Iterable[nn.Module], output_stride: int) -> None:
    """Replaces, in place, the strides beyond `output_stride` by dilation.

    A convolution that would exceed the stride gets stride 1; those after it get a dilation larger by the factor it
    lost, and paddings to fit. Away from the border, every so-manieth value of the new map is the value of the strided
    network. torchvision's own dilated MobileNetV3 enlarges the dilation one convolution earlier, and loses that.

    Args:
        layers: In the order they are applied, each of them a single path with skip connections at most.
        output_stride: 1, 2, 4, 8, 16 or 32.
    """
    stride = dilation = 1
    for conv in (module for layer in layers for module in layer.modules() if isinstance(module, nn.Conv2d)):
        lost = conv.stride[0] if stride >= output_stride else 1
        if lost > 1:
            conv.stride = (1, 1)
        stride *= conv.stride[0]
        if dilation > 1 and conv.kernel_size[0] > 1:
            conv.dilation = (dilation, dilation)
            conv.padding = tuple(dilation * (side // 2) for side in conv.kernel_size)
        dilation *= lost


@MODELS.register_module()
class DilatedMobileNet(BaseModule):
    """The layers of torchvision's network up to the last one asked for, dilated from `output_stride` on.

    torchvision's weight files load as they are, without a conversion: the names are the same, and so are padding and
    the epsilon of the norms. The classifier's tensors, and those of layers behind the last output, are left over.

    Upstream's namesakes are no substitutes. Its ``MobileNetV2`` dilates only the first block of a stage. Its
    ``MobileNetV3`` runs at stride 8, but pads its strided convolutions unevenly, as TensorFlow does, so that weights of
    torchvision see maps that are shifted by a pixel. Both name their tensors otherwise.

    Args:
        arch: 'v2' or 'v3-large'.
        output_stride: Size of the image by size of the last map: 8, 16 or 32.
        out_indices: Numbers of the layers whose outputs are returned. None: the ends of the four stages, the last
            being the last bottleneck, of 24, 32, 96, 320 channels (v2) and 24, 40, 112, 160 (v3-large). The 1x1
            convolution behind it (1280 and 960 channels) is layer 18 and 16.
        init_cfg: As mmengine; None leaves torchvision's own random initialisation.

    Shape:
        Images (B, 3, H, W); returns one map for each of `out_indices`, at strides 4, 8, 8, 8 by default.

    Raises:
        ValueError: The arch, the stride or a layer is unknown.
    """

    def __init__(
        self,
        arch: str = 'v2',
        output_stride: int = 8,
        out_indices: Sequence[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in ARCHS:
            raise ValueError(f'arch={arch!r}: must be one of {", ".join(ARCHS)}')
        if output_stride not in (8, 16, 32):
            raise ValueError(f'output_stride={output_stride}: must be 8, 16 or 32')
        layers = getattr(torchvision.models, ARCHS[arch].build)(weights=None).features
        self.out_indices = tuple(ARCHS[arch].out_indices if out_indices is None else out_indices)
        unknown = [index for index in self.out_indices if not 0 <= index < len(layers)]
        if unknown or not self.out_indices:
            raise ValueError(f'out_indices={self.out_indices}: {arch} has the layers 0 to {len(layers) - 1}')
        self.features = layers[: max(self.out_indices) + 1]
        dilate(self.features, output_stride)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            maps[index] = x
        return tuple(maps[index] for index in self.out_indices)
