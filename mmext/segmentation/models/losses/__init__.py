from .class_balanced_loss import ClassBalancedLoss
from .ohem_balanced_loss import OhemBalancedLoss

__all__ = ['ClassBalancedLoss', 'OhemBalancedLoss']
