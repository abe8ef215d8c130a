from .basic_net import BasicNet

__all__ = ['BasicNet']
