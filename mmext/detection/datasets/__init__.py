from .voc0712_split_dataset import VOC0712SplitDataset
from .voc_problems import VOCError

__all__ = ['VOC0712SplitDataset', 'VOCError']
