from .label_map_hook import LabelMapHook
from .seg_picture_hook import SegPictureHook
from .segmentation_metric import SegmentationMetric
from .stage_picture_hook import StagePictureHook
from .val_loss_hook import ValLossHook

__all__ = ['LabelMapHook', 'SegPictureHook', 'SegmentationMetric', 'StagePictureHook', 'ValLossHook']
