"""Everything that registers into mmseg; configs name it in ``custom_imports``."""

from ..common import hooks, loops
from . import datasets, evaluation, models, tta

__all__ = ['datasets', 'evaluation', 'hooks', 'loops', 'models', 'tta']
