"""Hooks for any toolbox, registered in mmengine's root registry."""

from .run_summary_hook import RunSummaryHook

__all__ = ['RunSummaryHook']
