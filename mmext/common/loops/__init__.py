"""Training loops for any toolbox, registered in mmengine's root registry."""

from .staged_train_loop import StagedTrainLoop

__all__ = ['StagedTrainLoop']
