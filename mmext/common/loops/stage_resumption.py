"""What a checkpoint tells about the stages it was trained by, checked against those of the present run."""

from logging import WARNING

from mmengine.hooks import Hook
from mmengine.logging import print_log

from .stage_schedule import StagePlan, changed_stage

# Where the message hub keeps what a checkpoint is to tell.
RECORD = 'staged_training'
WEIGHTS_ONLY = 'take only its weights for a new training: load_from=<checkpoint>, resume=False'


def resumption_point(checkpoint: dict, plan: StagePlan) -> tuple[int, int]:
    """Where a checkpoint stands in the plan.

    Args:
        checkpoint: As mmengine's Runner saves it. The iteration in its ``meta`` is corrected where the data or the
            number of processes has changed.
        plan: Of the present run.

    Returns:
        The stage that was trained last, from 0, and the number of batches trained of an epoch that was not finished.

    Raises:
        ValueError: The checkpoint has no state of the optimiser, or was trained by other stages.
    """
    lacks = [key for key in ('optimizer', 'param_schedulers') if key not in checkpoint]
    if lacks:
        raise ValueError(
            f'resume: the checkpoint holds no {" and no ".join(lacks)}; use one that CheckpointHook saved with them '
            f'(epoch_*.pth, not best_*.pth), or {WEIGHTS_ONLY}'
        )
    record = checkpoint.get('message_hub', {}).get('runtime_info', {}).get(RECORD)
    if record is None:
        raise ValueError(f'resume: the checkpoint was not trained by StagedTrainLoop; {WEIGHTS_ONLY}')
    change = changed_stage(record['stages'], plan.stages)
    if change:
        raise ValueError(
            f'resume: the checkpoint was trained by other stages: {change}; restore the value, or {WEIGHTS_ONLY}'
        )
    stage, meta = len(record['stages']) - 1, checkpoint['meta']
    begin = plan.iteration_at(meta['epoch'])
    now = plan.until(stage)['epoch_lengths']
    if record['epoch_lengths'] == now:
        return stage, meta['iter'] - begin
    print_log(
        f'resume: the epochs of the stages had {record["epoch_lengths"]} iterations when the checkpoint was saved and '
        f'have {now} now: the data or the number of processes has changed. Training goes on with epoch '
        f'{meta["epoch"] + 1} from its beginning, iteration {begin}; schedules by iteration are not corrected',
        'current',
        WARNING,
    )
    meta['iter'] = begin
    return stage, 0


class StageResumptionHook(Hook):
    """Lets the train loop enter the stage of a checkpoint before the Runner loads the state of its optimiser.

    `StagedTrainLoop` registers it itself.
    """

    def __init__(self, loop) -> None:
        self.loop = loop

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if runner._resume:
            self.loop.go_on_from(checkpoint)
