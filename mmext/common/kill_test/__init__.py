"""Kills trainings at random moments and compares what becomes of them with a training that nobody disturbed."""

from .comparison import differences
from .task import LOOPS, real_task, toy_task
from .trial import Case, Result, run_case

__all__ = ['LOOPS', 'Case', 'Result', 'differences', 'real_task', 'run_case', 'toy_task']
