from .label_map_hook import LabelMapHook

__all__ = ['LabelMapHook']
