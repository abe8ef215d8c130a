from .channel_wise_distiller import ChannelWiseDistiller

__all__ = ['ChannelWiseDistiller']
