"""Means of the training losses over whole epochs.

The log shows the mean of the last few iterations, which jumps and reaches back into the epoch before; curves need one
honest number an epoch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch import Tensor

from mmext.common.loss_names import loss_name


@HOOKS.register_module()
class EpochLossesHook(Hook):
    """Writes the mean of every training loss over the epoch, and its learning rate, for any task.

    At the end of each epoch the JSON scalars, TensorBoard and the log get ``epoch/<name>`` for each loss of the model,
    ``epoch/total`` for their sum, and ``epoch/lr``; the step is the number of the epoch, from 1, as of a validation.
    Each iteration counts with its number of images, over all processes; a loss that only some iterations have is
    averaged over those. One NaN makes the epoch NaN. Of a run that goes on within an epoch the means are of the whole
    epoch too: checkpoints of a `DurableRunner` hold the sums.

    The learning rate is that of the epoch's last iteration. Where groups of parameters differ in their initial rate,
    ``epoch/lr`` is the first group's - the one mmengine logs - and ``epoch/lr_2``, ... are the others, in their order.

    Runs that count iterations have no epochs: there the means are over ``interval`` iterations, as
    ``interval/<name>`` at the step of their last iteration; what is left over at the end is written too.

    Args:
        names: Loss of the model -> name in the logs, for example ``dict(loss_rpn_bbox='rpn_loc')``. A loss that is not
            named here loses its leading ``loss_``, and ``loss``, the sum, becomes ``total``. Anything else that the
            model logs (an accuracy) is averaged only if it is named here.
        interval: Iterations a mean, in runs that count iterations.

    Raises:
        ValueError: the interval is below 1, or two losses have the same name.
    """

    # Before mmengine's ParamSchedulerHook, which sets the learning rate of the next iteration.
    priority = 'NORMAL'

    def __init__(self, names: Mapping[str, str] | None = None, interval: int = 50) -> None:
        if interval < 1:
            raise ValueError(f'EpochLossesHook: interval={interval}; at least 1 iteration')
        self.names, self.interval = dict(names or {}), interval
        self._means = WeightedMeans()
        self._rates: dict[str, float] = {}
        self._resumed = False
        self._counts_iterations = False

    def before_train_epoch(self, runner) -> None:
        if not self._resumed:
            self._means = WeightedMeans()
        self._resumed = False
        self._counts_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        kept = {key: value for key, value in (outputs or {}).items() if 'loss' in key or key in self.names}
        self._means.add(kept, batch_size(data_batch))
        self._rates = learning_rates(runner.optim_wrapper)
        if self._counts_iterations and self.every_n_train_iters(runner, self.interval):
            self._write(runner, 'interval', runner.iter + 1)

    def after_train_epoch(self, runner) -> None:
        if self._counts_iterations:
            self._write(runner, 'interval', runner.iter)
        else:
            self._write(runner, 'epoch', runner.epoch + 1)

    def state_dict(self) -> dict:
        """Sums of this process so far, of plain values and tensors."""
        return dict(means=self._means.state_dict(), rates=dict(self._rates))

    def load_state_dict(self, state: Mapping) -> None:
        """Go on summing, within an epoch that is not finished."""
        self._means.load_state_dict(state['means'])
        self._rates = dict(state['rates'])
        self._resumed = True

    def _write(self, runner, prefix: str, step: int) -> None:
        means = self._means.result()
        self._means = WeightedMeans()
        if not means:
            return
        tags = {f'{prefix}/{loss_name(key, self.names)}': value for key, value in means.items()}
        if len(tags) != len(means):
            raise ValueError(f'EpochLossesHook: names give {sorted(means)} the tags {sorted(tags)}; each needs its own')
        rates = {f'{prefix}/{key}': value for key, value in self._rates.items()}
        runner.visualizer.add_scalars(tags | rates, step=step)
        text = [f'{name}: {value:.4f}' for name, value in tags.items()]
        text += [f'{name}: {value:.4e}' for name, value in rates.items()]
        unit = 'Iter' if self._counts_iterations else 'Epoch'
        runner.logger.info(f'{unit}(train) [{step}] means:  ' + '  '.join(text))


class WeightedMeans:
    """Sums named values with weights; the means at the end, over all processes."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, Any], weight: float) -> None:
        """Values are numbers or tensors of one element; tensors are not waited for until `result`."""
        for key, value in values.items():
            # In double precision, which some accelerators lack: there the CPU sums.
            value = torch.as_tensor(value).detach().reshape(())
            value = value.double() if value.device.type in ('cpu', 'cuda') else value.cpu().double()
            before = self._sums.get(key)
            # A sum from a checkpoint is on the CPU.
            self._sums[key] = value * weight if before is None else before.to(value.device) + value * weight
            self._weights[key] = self._weights.get(key, 0) + weight

    def state_dict(self) -> dict:
        """Sums and weights of this process."""
        return dict(sums=dict(self._sums), weights=dict(self._weights))

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from sums and weights, on whatever device the values to come are."""
        self._sums, self._weights = dict(state['sums']), dict(state['weights'])

    def result(self) -> dict[str, float]:
        """Name -> mean, in the order of first appearance; every process of a distributed run must call it."""
        here = {key: (float(value), self._weights[key]) for key, value in self._sums.items()}
        # Objects and not tensors: the processes may have seen different losses.
        sums: dict[str, tuple[float, float]] = {}
        for part in all_gather_object(here):
            for key, (value, weight) in part.items():
                before = sums.get(key, (0.0, 0.0))
                sums[key] = (before[0] + value, before[1] + weight)
        return {key: value / weight for key, (value, weight) in sums.items() if weight}


def batch_size(data_batch: Any) -> int:
    """Images of a batch as a toolbox's loader gives it, ``dict(inputs=...)``; 1 where that cannot be told."""
    inputs = data_batch.get('inputs') if isinstance(data_batch, Mapping) else None
    return len(inputs) if isinstance(inputs, (list, tuple, Tensor)) else 1


def learning_rates(optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, float]:
    """The present learning rates that differ in where they started: ``lr``, ``lr_2``, ...; ``<name>.lr`` of several.

    Args:
        optim_wrapper: Of one optimizer, or of several with names.
    """
    if isinstance(optim_wrapper, OptimWrapperDict):
        parts = {f'{name}.': wrapper for name, wrapper in optim_wrapper.items()}
    else:
        parts = {'': optim_wrapper}
    rates = {}
    for prefix, wrapper in parts.items():
        present: dict[float, float] = {}
        for group in wrapper.optimizer.param_groups:
            # Schedulers note where they started from; without one the rate is still there.
            present.setdefault(float(group.get('initial_lr', group['lr'])), float(group['lr']))
        for index, rate in enumerate(present.values()):
            rates[f'{prefix}lr' if index == 0 else f'{prefix}lr_{index + 1}'] = rate
    return rates
