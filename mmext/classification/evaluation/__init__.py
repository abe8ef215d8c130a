"""Hooks that measure a classifier, registered in mmpretrain's registries."""

from .train_accuracy_hook import TrainAccuracyHook

__all__ = ['TrainAccuracyHook']
