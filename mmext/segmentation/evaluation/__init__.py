from .label_map_hook import LabelMapHook
from .seg_picture_hook import SegPictureHook

__all__ = ['LabelMapHook', 'SegPictureHook']
