"""Encoder of the kitti report's baseline network (section 1.1): a plain VGG-like stack without normalisation."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


def _conv_relu(in_channels: int, out_channels: int, kernel_size: int = 3, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding), nn.ReLU(inplace=True))


@MODELS.register_module()
class BasicNet(BaseModule):
    """3x3 convolutions of 64-64 / 128 / 256 / 512 channels, each group followed by a 2x2 max pool, then 2048.

    The pools round sizes up (``ceil_mode``). The 512 -> 2048 convolution has no padding, so its map is two rows and
    columns smaller; a 1x1 convolution 2048 -> 2048 follows, each with channel dropout in front of the next layer.
    Its classifier 2048 -> 19 is the ``conv_seg`` of `BasicNetHead`; encoder and head have 15.28 M parameters.

    Args:
        in_channels: Channels of the image.
        dropout_ratio: Probability of zeroing one of the 2048 channels between the last two convolutions.
        init_cfg: As mmengine; None leaves PyTorch's own initialisation, as the report does.

    Shape:
        Images (B, in_channels, H, W), sides from 33; returns one map (B, 2048, ceil(H / 16) - 2, ceil(W / 16) - 2).
    """

    out_channels = 2048

    def __init__(self, in_channels: int = 3, dropout_ratio: float = 0.5, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.stage1 = nn.Sequential(_conv_relu(in_channels, 64), _conv_relu(64, 64))
        self.stage2 = _conv_relu(64, 128)
        self.stage3 = _conv_relu(128, 256)
        self.stage4 = _conv_relu(256, 512)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)
        self.stage5 = nn.Sequential(
            _conv_relu(512, self.out_channels, padding=0),
            nn.Dropout2d(dropout_ratio),
            _conv_relu(self.out_channels, self.out_channels, kernel_size=1, padding=0),
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            x = self.pool(stage(x))
        return (self.stage5(x),)
