from . import roi_extractors

__all__ = ['roi_extractors']
