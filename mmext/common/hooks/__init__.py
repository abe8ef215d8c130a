"""Hooks for any toolbox, registered in mmengine's root registry."""

from mmext.common.positions import PositionHook
from mmext.common.trackers import TrackerHook

from .durable_checkpoint_hook import DurableCheckpointHook
from .epoch_losses_hook import EpochLossesHook
from .initialisation_proof_hook import InitialisationProofHook
from .non_finite_guard import NonFiniteGuard
from .run_record_hook import RunRecordHook
from .run_summary_hook import RunSummaryHook
from .stop_signal_hook import StopSignalHook

__all__ = [
    'DurableCheckpointHook',
    'EpochLossesHook',
    'InitialisationProofHook',
    'NonFiniteGuard',
    'PositionHook',
    'RunRecordHook',
    'RunSummaryHook',
    'StopSignalHook',
    'TrackerHook',
]
