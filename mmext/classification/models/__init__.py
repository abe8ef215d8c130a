from . import backbones
from .backbones import ReportViT, ResNetViT

__all__ = ['ReportViT', 'ResNetViT', 'backbones']
