from .basic_net_head import BasicNetHead

__all__ = ['BasicNetHead']
