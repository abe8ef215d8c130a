from .basic_net_head import BasicNetHead
from .context_head import ContextHead
from .deep_lab_v3_plus_head import DeepLabV3PlusHead
from .psa_net_head import PSANetHead
from .seg_net_head import SegNetHead
from .unet16_head import UNet16Head
from .vgg_fcn_head import VGGFCNHead

__all__ = ['BasicNetHead', 'ContextHead', 'DeepLabV3PlusHead', 'PSANetHead', 'SegNetHead', 'UNet16Head', 'VGGFCNHead']
