from .kitti_seg import KITTISegDataset
from .label_encoding import MaskError

__all__ = ['KITTISegDataset', 'MaskError']
