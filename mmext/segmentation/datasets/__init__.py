from .kitti_seg import KITTISegDataset
from .label_encoding import MaskError
from .land_cover import LandCoverDataset

__all__ = ['KITTISegDataset', 'LandCoverDataset', 'MaskError']
