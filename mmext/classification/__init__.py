"""Everything that registers into mmpretrain; configs name it in ``custom_imports``."""

from ..common import hooks, loops
from . import batch_augments, datasets, evaluation, models

__all__ = ['batch_augments', 'datasets', 'evaluation', 'hooks', 'loops', 'models']
