"""Hooks for any toolbox, registered in mmengine's root registry."""

from .epoch_losses_hook import EpochLossesHook
from .initialisation_proof_hook import InitialisationProofHook
from .non_finite_guard import NonFiniteGuard
from .run_summary_hook import RunSummaryHook

__all__ = ['EpochLossesHook', 'InitialisationProofHook', 'NonFiniteGuard', 'RunSummaryHook']
