from .backbones import BasicNet
from .heads import BasicNetHead
from .losses import ClassBalancedLoss, OhemBalancedLoss

__all__ = ['BasicNet', 'BasicNetHead', 'ClassBalancedLoss', 'OhemBalancedLoss']
