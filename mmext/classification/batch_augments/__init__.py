"""Batch augmentations, registered in mmpretrain's BATCH_AUGMENTS."""

from .pairwise_cut_mix import PairwiseCutMix

__all__ = ['PairwiseCutMix']
