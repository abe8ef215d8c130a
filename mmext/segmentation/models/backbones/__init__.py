from .basic_net import BasicNet
from .dilated_mobile_net import DilatedMobileNet
from .fixed_padding_mobile_net_v2 import FixedPaddingMobileNetV2
from .vgg16 import VGG16

__all__ = ['VGG16', 'BasicNet', 'DilatedMobileNet', 'FixedPaddingMobileNetV2']
