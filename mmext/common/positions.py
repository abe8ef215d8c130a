"""Where a training stands, in iterations and in epochs, in every line of the local logs.

mmengine's lines of training hold ``iter``, and ``epoch`` where a run counts epochs; its other lines hold a ``step``
alone, which is an iteration or an epoch. `PositionHook` and `PositionedLocalVisBackend`, which belong together, add
both to those other lines; TensorBoard gets what mmengine gives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.runner import IterBasedTrainLoop
from mmengine.visualization.vis_backend import LocalVisBackend

from mmext.common.loss_names import MODE


@dataclass(frozen=True)
class Position:
    """Where a training stands: iterations and epochs, the latter with a fraction, that it has behind it.

    Epochs are None where the data have no length.
    """

    iter: int
    epoch: float | None
    validating: bool = False


@HOOKS.register_module()
class PositionHook(Hook):
    """Tells each `PositionedLocalVisBackend` of a Runner where the training stands."""

    priority = 'VERY_HIGH'  # before anything logs the iteration

    def __init__(self) -> None:
        self._at: Position | None = None

    def before_run(self, runner) -> None:
        for backend in runner.visualizer._vis_backends.values():
            if isinstance(backend, PositionedLocalVisBackend):
                backend.position = lambda: self._at

    def before_train(self, runner) -> None:
        self._at = position_of(runner)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._at = position_of(runner, batch_idx)

    def before_val(self, runner) -> None:
        if self._at is not None:
            self._at = Position(self._at.iter, self._at.epoch, validating=True)

    def after_val(self, runner) -> None:
        if self._at is not None:
            self._at = Position(self._at.iter, self._at.epoch)


@VISBACKENDS.register_module()
class PositionedLocalVisBackend(LocalVisBackend):
    """mmengine's local logs, where every line says at which iteration and in which epoch it was written.

    Lines that have a ``step`` alone get, behind it, ``iter``, ``epoch`` - iterations and epochs that are behind the
    training, the latter with a fraction in runs that count iterations - and ``mode``, 'val' or 'train'. Lines of
    training stay as they are. Without `PositionHook`, and outside of a training, all lines do.
    """

    position: Callable[[], Position | None] | None = None

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs) -> None:
        """Record a number, as mmengine does."""
        self.add_scalars({name: value.item() if hasattr(value, 'item') else value}, step)

    def add_scalars(
        self, scalar_dict: Mapping[str, Any], step: int = 0, file_path: str | None = None, **kwargs
    ) -> None:
        """Record numbers, as mmengine does."""
        at = self.position() if self.position is not None else None
        row = dict(scalar_dict)
        if at is not None and 'iter' not in row:
            row |= {'step': row.pop('step', step), 'iter': at.iter}
            if at.epoch is not None:
                row['epoch'] = int(at.epoch) if at.epoch == int(at.epoch) else at.epoch
            row[MODE] = 'val' if at.validating else 'train'
        super().add_scalars(row, step, file_path, **kwargs)


def position_of(runner, batch_idx: int | None = None) -> Position:
    """Where a training stands.

    Args:
        runner: The Runner, which has not counted the batch yet.
        batch_idx: The batch of the epoch that was just trained; None between two batches.
    """
    done = runner.iter + (batch_idx is not None)
    loader = runner.train_dataloader
    try:
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            within = 0 if batch_idx is None else (batch_idx + 1) / len(loader)
            return Position(done, round(runner.epoch + within, 4))
        batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None)
        # The length of a loader with an endless sampler does not know of the other processes.
        length = len(loader.dataset) / (batch * runner.world_size) if batch else len(loader)
    except TypeError:  # a stream of data
        return Position(done, None)
    return Position(done, round(done / max(length, 1e-9), 4))
