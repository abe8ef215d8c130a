"""How a train loop goes on from a checkpoint as if it had never stopped: what all loops share."""

from logging import WARNING

from mmengine.hooks import Hook
from mmengine.logging import print_log

# Where the message hub, and so a checkpoint, keeps the iteration after which the last validation was finished ...
VALIDATED = 'iter_of_last_validation'
# ... and the number of iterations of an epoch.
EPOCH_LENGTH = 'epoch_length'
WEIGHTS_ONLY = 'take only its weights for a new training: load_from=<checkpoint>, resume=False'


class ResumptionHook(Hook):
    """Tells a loop what it goes on from before the Runner loads the optimiser's state, and notes validations.

    The loops of this package register it themselves.
    """

    # Before checkpoints are saved.
    priority = 'HIGHEST'

    def __init__(self, loop) -> None:
        self.loop = loop

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if runner._resume:
            self.loop.go_on_from(checkpoint)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        runner.message_hub.update_info(VALIDATED, self.loop.iter)


def is_validated(runner, iteration: int) -> bool:
    """Whether the weights after an iteration have been validated, in this run or the one that it goes on from."""
    return runner.message_hub.runtime_info.get(VALIDATED) == iteration


def check_resumable(checkpoint: dict, needs: tuple[str, ...] = ('optimizer',)) -> None:
    """Raise if a checkpoint lacks what training goes on with.

    Raises:
        ValueError: names what is missing and the fix.
    """
    lacks = [key for key in needs if key not in checkpoint]
    if lacks:
        raise ValueError(
            f'resume: the checkpoint holds no {" and no ".join(lacks)}; use one that CheckpointHook saved with them '
            f'(epoch_*.pth or iter_*.pth, not best_*.pth), or {WEIGHTS_ONLY}'
        )


def batches_done(checkpoint: dict, epoch_length: int) -> int:
    """How many batches of an epoch that was not finished a checkpoint has been trained with.

    Where an epoch has another number of iterations now, it is begun anew with a warning, and the checkpoint's iteration
    is corrected.

    Args:
        checkpoint: As mmengine's Runner saves it; ``meta`` may be changed in place.
        epoch_length: Iterations of an epoch of the present run.
    """
    meta = checkpoint['meta']
    begin = meta['epoch'] * epoch_length
    before = checkpoint.get('message_hub', {}).get('runtime_info', {}).get(EPOCH_LENGTH, epoch_length)
    done = meta['iter'] - begin
    if before == epoch_length and 0 <= done <= epoch_length:
        return done
    if before == epoch_length:
        change = f'iteration {meta["iter"]} is not within epoch {meta["epoch"] + 1} of {epoch_length} iterations each'
    else:
        change = f'an epoch had {before} iterations when the checkpoint was saved and has {epoch_length} now'
    begin_epoch_anew(meta, begin, change)
    return 0


def begin_epoch_anew(meta: dict, begin: int, change: str) -> None:
    """Go on with the beginning of the checkpoint's epoch, which is an iteration of the present run.

    Args:
        meta: Of the checkpoint; its iteration is corrected.
        begin: The iteration.
        change: What differs, for the warning.
    """
    print_log(
        f'resume: {change}: the data, the batch size or the number of processes has changed. Training goes on with '
        f'epoch {meta["epoch"] + 1} from its beginning, iteration {begin}; schedules by iteration are not corrected',
        'current',
        WARNING,
    )
    meta['iter'] = begin
