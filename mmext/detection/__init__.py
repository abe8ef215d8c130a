"""Everything that registers into mmdet; configs name it in ``custom_imports``."""

from ..common import hooks, loops
from . import datasets, evaluation, models

__all__ = ['datasets', 'evaluation', 'hooks', 'loops', 'models']
