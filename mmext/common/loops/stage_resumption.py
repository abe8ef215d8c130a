"""What a checkpoint tells about the stages it was trained by, checked against those of the present run."""

from .resumption import WEIGHTS_ONLY, begin_epoch_anew, check_resumable
from .stage_schedule import StagePlan, changed_stage

# Where the message hub keeps what a checkpoint is to tell.
RECORD = 'staged_training'


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
    check_resumable(checkpoint, ('optimizer', 'param_schedulers'))
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
    begin_epoch_anew(
        meta,
        begin,
        f'the epochs of the stages had {record["epoch_lengths"]} iterations when the checkpoint was saved and have '
        f'{now} now',
    )
    return stage, 0
