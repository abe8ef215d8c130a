from .roi_pool_extractor import RoIPoolExtractor

__all__ = ['RoIPoolExtractor']
