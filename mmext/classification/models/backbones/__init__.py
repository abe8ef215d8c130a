from .report_vit import ReportViT
from .res_net_vit import ResNetViT

__all__ = ['ReportViT', 'ResNetViT']
