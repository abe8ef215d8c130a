"""mmengine's train loops, except that a run that goes on from a checkpoint equals one that was never interrupted.

`DurableRunner` puts them in the place of mmengine's. They work with mmengine's own Runner too, where nothing seeds
samples and steps, so that random augmentation and dropout draw other numbers after an interruption.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmext.common.seeding import SeededDataLoader, batches_from, set_epoch

from .resumption import EPOCH_LENGTH, ResumptionHook, batches_done, check_resumable, is_validated


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Trains by epochs and goes on in the middle of one.

    Differs from `EpochBasedTrainLoop`, whose arguments it has, after a checkpoint is loaded:

    - Batches of the epoch that were trained already are passed over at the sampler, and ``batch_idx`` goes on.
      mmengine begins the epoch again.
    - The validation that was due at the checkpoint's own step is made up for. mmengine leaves it out.

    Where the data or the number of processes has changed, the epoch is begun anew, with a warning.

    Raises:
        ValueError: on resuming from a checkpoint without the optimizer's state.
    """

    def __init__(self, runner, *args, **kwargs) -> None:
        super().__init__(runner, *args, **kwargs)
        self._batches_done = 0  # of the next epoch
        runner.register_hook(ResumptionHook(self))

    def run(self) -> nn.Module:
        """Train, or do what a checkpoint has left to do."""
        self.runner.call_hook('before_train')
        if self._epoch and not self._batches_done:
            self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train one epoch or the rest of one."""
        runner = self.runner
        runner.message_hub.update_info(EPOCH_LENGTH, len(self.dataloader))
        runner.call_hook('before_train_epoch')
        runner.model.train()
        done, self._batches_done = self._batches_done, 0
        for index, batch in enumerate(batches_from(self.dataloader, self._epoch, done), done):
            self.run_iter(index, batch)
        runner.call_hook('after_train_epoch')
        self._epoch += 1

    def go_on_from(self, checkpoint: dict) -> None:
        """Take note of where a checkpoint stands. Called before the Runner reads its epoch and iteration."""
        check_resumable(checkpoint)
        self._batches_done = batches_done(checkpoint, len(self.dataloader))

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        at_interval = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        due = self._epoch >= self.val_begin and at_interval and not is_validated(self.runner, self._iter)
        if due and self.runner.val_loop is not None:
            self.runner.val_loop.run()


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """Trains by iterations and goes on with the very next batch.

    Differs from `IterBasedTrainLoop`, whose arguments it has, after a checkpoint is loaded:

    - Batches that were trained already are passed over at the sampler, of whatever kind it is; mmengine can do so with
      few samplers, its older releases load all those batches.
    - The validation that was due at the checkpoint's own step is made up for. mmengine leaves it out.

    Raises:
        ValueError: on resuming from a checkpoint without the optimizer's state.
    """

    def __init__(self, runner, *args, **kwargs) -> None:
        super().__init__(runner, *args, **kwargs)
        # mmengine 0.10.7 has begun already, and its sampler may not begin twice.
        begun = getattr(self.dataloader_iterator, '_iterator', None)
        self.dataloader_iterator = self._batches(begun)
        runner.register_hook(ResumptionHook(self))

    def run(self) -> nn.Module:
        """Train, or do what a checkpoint has left to do."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self._iter:
            self._validate_if_due()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._validate_if_due()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def go_on_from(self, checkpoint: dict) -> None:
        """Check what training goes on with."""
        check_resumable(checkpoint)

    def _batches(self, begun: Iterator[Any] | None) -> Iterator[Any]:
        """Batches without end, from that of the present iteration on."""
        # mmengine's setting for those who would rather begin anew than wait for a sampler.
        done = 0 if getattr(self, 'fast_forward_on_resume', False) else self._iter
        loader, epoch = self.dataloader, 0
        seeded = isinstance(loader, SeededDataLoader)
        while True:
            if seeded:
                loader.seek(epoch, done)
                begun, done = None, 0  # nothing has been taken from it
            for batch in loader if begun is None else begun:
                if done:  # loaded in vain
                    done -= 1
                else:
                    yield batch
            begun = None
            # What was passed over may have been several passes.
            epoch = (loader.place.epoch if seeded else epoch) + 1
            set_epoch(loader, epoch)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        at_interval = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        due = self._iter >= self.val_begin and at_interval and not is_validated(self.runner, self._iter)
        if due and self.runner.val_loop is not None:
            self.runner.val_loop.run()
