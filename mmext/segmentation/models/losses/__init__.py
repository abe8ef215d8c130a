from .channel_wise_divergence import ChannelWiseDivergence
from .class_balanced_loss import ClassBalancedLoss
from .lovasz_softmax_loss import LovaszSoftmaxLoss
from .ohem_balanced_loss import OhemBalancedLoss

__all__ = ['ChannelWiseDivergence', 'ClassBalancedLoss', 'LovaszSoftmaxLoss', 'OhemBalancedLoss']
