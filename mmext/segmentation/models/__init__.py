from .backbones import VGG16, BasicNet, DilatedMobileNet, FixedPaddingMobileNetV2
from .contexts import AtrousPyramid, ObjectContext, PyramidPooling
from .heads import BasicNetHead, ContextHead, DeepLabV3PlusHead, PSANetHead, SegNetHead, UNet16Head, VGGFCNHead
from .losses import ChannelWiseDivergence, ClassBalancedLoss, LovaszSoftmaxLoss, OhemBalancedLoss
from .segmentors import ChannelWiseDistiller

__all__ = [
    'VGG16',
    'AtrousPyramid',
    'BasicNet',
    'BasicNetHead',
    'ChannelWiseDistiller',
    'ChannelWiseDivergence',
    'ClassBalancedLoss',
    'ContextHead',
    'DeepLabV3PlusHead',
    'DilatedMobileNet',
    'FixedPaddingMobileNetV2',
    'LovaszSoftmaxLoss',
    'ObjectContext',
    'OhemBalancedLoss',
    'PSANetHead',
    'PyramidPooling',
    'SegNetHead',
    'UNet16Head',
    'VGGFCNHead',
]
