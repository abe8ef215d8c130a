"""The accuracy on the training set in a form that can be read while the batches are mixed.

Shapes: B images of a batch, K classes; targets and logits (B, K).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop
from mmpretrain.registry import HOOKS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmext.common.hooks.epoch_losses_hook import WeightedMeans
from mmext.common.undisturbed import evaluating, random_state_kept

MIXED, MIXED_BEST, CLEAN = 'train_mixed', 'train_mixed_best', 'train_clean'


@HOOKS.register_module()
class TrainAccuracyHook(Hook):
    """Writes the training accuracy of a classifier at the end of each epoch, of mixed and of clean images, in percent.

    - ``accuracy/train_mixed``: mean, over all images of the epoch, of the target's probability of the predicted class;
      for CutMix of two classes that is lambda if the image's own class is predicted and 1 - lambda if the other is. It
      is taken from the logits that the loss is computed of: no second pass. Where labels are not mixed it is the usual
      training accuracy, so that curves of runs with and without mixing have one definition.
    - ``accuracy/train_mixed_best``: what a perfect classifier would reach there, the mean of the targets' largest
      probability; 100 without mixing, 75 for shares that are uniform and classes that differ.
    - ``accuracy/train_clean``: top-1 on training images without any augmentation, in evaluation mode, through the
      pipeline of the validation: to be compared with ``accuracy/top1``, their distance is the generalisation gap. It
      is a pass over ``num_clean_images`` images, the same in every epoch; its standard error is at most
      50 / sqrt(num_clean_images) points (1.6 for 1000). It measures the weights that are trained, not their average.

    The values stand in the log, the JSON scalars and TensorBoard; the step is the number of the epoch, from 1, as of a
    validation, and of its last iteration in runs that count iterations. Modes of the modules and all random numbers
    go on as if nothing had been done. Processes of a distributed run share the clean images, and the means are of all.

    Where the logits cannot be had - the model has no ``head``, or the head's output is no (B, K) - the hook says so
    once and leaves the first two out.

    Args:
        num_clean_images: Images of the training set for ``accuracy/train_clean``, drawn once with ``seed``; all if it
            has fewer; 0 leaves it out. They are loaded by this process.
        interval: Epochs from one to the next value; the first two are means over them.
        iter_interval: The same in iterations, in runs that count iterations.
        pipeline: Transforms of the clean images; by default those of the validation's data set.
        seed: Of the choice of the images.

    Raises:
        ValueError: an interval is below 1; there is no pipeline; the training set does not tell what its images are; or
            an image has other than one label.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        num_clean_images: int = 1000,
        interval: int = 1,
        iter_interval: int = 1000,
        pipeline: Sequence[dict | Callable] | None = None,
        seed: int = 0,
    ) -> None:
        if min(interval, iter_interval) < 1 or num_clean_images < 0:
            raise ValueError(
                f'TrainAccuracyHook: interval={interval}, iter_interval={iter_interval}, num_clean_images='
                f'{num_clean_images}; intervals are at least 1, the number of images at least 0'
            )
        self.num_clean_images, self.interval, self.iter_interval = num_clean_images, interval, iter_interval
        self.pipeline = Compose(pipeline) if pipeline is not None else None
        self.seed = seed
        self._means = WeightedMeans()
        self._logits: Any = None
        self._handle: Any = None
        self._in_iteration = self._told = self._counts_iterations = False

    def before_train(self, runner) -> None:
        self._counts_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if not self.num_clean_images:
            return
        if self.pipeline is None:
            self.pipeline = validation_pipeline(runner)
        dataset = runner.train_dataloader.dataset
        if not hasattr(dataset, 'get_data_info'):
            raise ValueError(
                f'TrainAccuracyHook: {type(dataset).__name__} has no get_data_info, so its images cannot be had '
                'without augmentation; set num_clean_images=0, or use a data set of mmengine'
            )

    def before_train_epoch(self, runner) -> None:
        # Here and not earlier: an average of the weights is a copy of the model, made before, that must not be watched.
        self._release()
        head = getattr(unwrapped(runner.model), 'head', None)
        if isinstance(head, nn.Module):
            self._handle = head.register_forward_hook(self._remember)
        else:
            self._tell(f'{type(unwrapped(runner.model)).__name__} has no head')

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        # Other hooks and validations use the head too.
        self._in_iteration = True

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        logits, self._logits, self._in_iteration = self._logits, None, False
        if self._handle is not None:
            self._add(logits, data_batch)
        if self._counts_iterations and self.every_n_train_iters(runner, self.iter_interval):
            self._write(runner, runner.iter + 1)

    def after_train_epoch(self, runner) -> None:
        self._release()
        if self._counts_iterations:
            # What is left over; nothing if a value has just been written.
            if runner.iter % self.iter_interval:
                self._write(runner, runner.iter)
        elif self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._write(runner, runner.epoch + 1)

    def state_dict(self) -> dict:
        """Sums of this process since the last value, of plain values and tensors."""
        return dict(means=self._means.state_dict())

    def load_state_dict(self, state: Mapping) -> None:
        """Go on summing: a value is a mean over what was trained before an interruption as well."""
        self._means.load_state_dict(state['means'])

    def _remember(self, head: nn.Module, inputs: Any, output: Any) -> None:
        if self._in_iteration:
            self._logits = output.detach() if isinstance(output, Tensor) else output

    def _release(self) -> None:
        self._logits = None
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _add(self, logits: Any, data_batch: Any) -> None:
        samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
        if not isinstance(logits, Tensor) or logits.ndim != 2 or not samples or len(samples) != len(logits):
            self._tell('the head does not give logits (B, K) for the data samples of the batch')
            return
        targets = batch_targets(samples, logits.shape[1])
        if targets is None:
            self._tell('the data samples hold neither scores nor one label each')
            return
        agreement, best = mixed_accuracy(logits, targets.to(logits.device))
        self._means.add({MIXED: agreement, MIXED_BEST: best}, len(samples))

    def _write(self, runner, step: int) -> None:
        if self.num_clean_images:
            with random_state_kept():
                self._add_clean(runner)
        means = self._means.result()
        self._means = WeightedMeans()
        if not means:
            return
        # Tags that begin with accuracy/, as those of the validation: they stand together, and no reader takes them for
        # losses.
        tags = {f'accuracy/{name}': 100 * value for name, value in means.items()}
        runner.visualizer.add_scalars(tags, step=step)
        unit = 'Iter' if self._counts_iterations else 'Epoch'
        text = '  '.join(f'{name}: {value:.4f}' for name, value in tags.items())
        runner.logger.info(f'{unit}(train) [{step}] accuracy:  {text}')

    def _add_clean(self, runner) -> None:
        dataset = runner.train_dataloader.dataset
        rank, processes = get_dist_info()
        indices = clean_indices(len(dataset), self.num_clean_images, self.seed)[rank::processes]
        size = runner.train_dataloader.batch_size or 1
        with evaluating(runner.model):
            for start in range(0, len(indices), size):
                samples = [clean_sample(dataset, index, self.pipeline) for index in indices[start : start + size]]
                correct = correct_predictions(runner.model.val_step(pseudo_collate(samples)))
                self._means.add({CLEAN: correct.float().mean()}, len(correct))

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            print_log(f'no accuracy/{MIXED}: {reason}', 'current', logging.WARNING)


def mixed_accuracy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the target's probability of the predicted class, and of its most probable class: two scalars.

    For one-hot targets the first is the accuracy and the second 1.

    Args:
        logits: (B, K).
        targets: (B, K), probabilities.
    """
    predicted = logits.argmax(1, keepdim=True)
    return targets.gather(1, predicted).mean(), targets.amax(1).mean()


def batch_targets(samples: Sequence[DataSample], num_classes: int) -> Tensor | None:
    """Targets (B, K) of the loss, as upstream's heads take them: the (mixed) scores, else the labels; None without."""
    if all('gt_score' in sample for sample in samples):
        return torch.stack([sample.gt_score for sample in samples]).float()
    if all('gt_label' in sample and sample.gt_label.numel() == 1 for sample in samples):
        labels = torch.cat([sample.gt_label for sample in samples])
        return nn.functional.one_hot(labels, num_classes).float()
    return None


def clean_indices(size: int, count: int, seed: int) -> list[int]:
    """``count`` different places of a data set, ascending; all of it if it has fewer.

    Drawn and not evenly spaced, which in a set with a period would be images of few classes.
    """
    drawn = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count]
    return drawn.sort().values.tolist()


def clean_sample(dataset: Any, index: int, pipeline: Callable[[dict], dict | None]) -> dict:
    """An image of a data set through another pipeline than its own.

    Raises:
        ValueError: the pipeline gives nothing for it.
    """
    sample = pipeline(dataset.get_data_info(index))
    if sample is None:
        raise ValueError(f'TrainAccuracyHook: the pipeline gives nothing for image {index} of the training set')
    return sample


def correct_predictions(predictions: Sequence[DataSample]) -> Tensor:
    """(B,) bool: whether the predicted label is the one label of the image.

    Raises:
        ValueError: an image has no label, or several.
    """
    for sample in predictions:
        if 'gt_label' not in sample or sample.gt_label.numel() != 1:
            raise ValueError(
                f'TrainAccuracyHook: {sample.get("img_path", "an image")} has not exactly one label; the accuracy on '
                'clean images needs one each: set num_clean_images=0'
            )
    truth = torch.cat([sample.gt_label for sample in predictions])
    return torch.cat([sample.pred_label for sample in predictions]).to(truth.device) == truth


def validation_pipeline(runner) -> Callable[[dict], dict | None]:
    """The transforms of the validation's data set, within whatever wraps it.

    Raises:
        ValueError: there is no validation, or its data set has no pipeline.
    """
    dataset = runner.val_dataloader.dataset if runner.val_loop is not None else None
    while dataset is not None and not hasattr(dataset, 'pipeline'):
        parts = getattr(dataset, 'datasets', None)
        dataset = parts[0] if parts else getattr(dataset, 'dataset', None)
    if dataset is None:
        raise ValueError(
            'TrainAccuracyHook: the run has no validation whose transforms the clean images could go through; '
            'name them: pipeline=[...], or set num_clean_images=0'
        )
    return dataset.pipeline


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself in a distributed run."""
    return model.module if is_model_wrapper(model) else model
