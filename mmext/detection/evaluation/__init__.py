from .detection_val_loss_hook import DetectionValLossHook
from .voc_detection_metric import VOCDetectionMetric

__all__ = ['DetectionValLossHook', 'VOCDetectionMetric']
