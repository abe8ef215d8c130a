"""Training loops for any toolbox, registered in mmengine's root registry."""

from .resumable_loops import ResumableEpochLoop, ResumableIterLoop
from .staged_train_loop import StagedTrainLoop

__all__ = ['ResumableEpochLoop', 'ResumableIterLoop', 'StagedTrainLoop']
