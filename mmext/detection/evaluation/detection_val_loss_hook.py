"""The validation loss of a detector, from the very features that the predictions are made of.

Shapes: B images of a batch, G boxes of an image (x1, y1, x2, y2) in pixels.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmext.common.hooks.epoch_losses_hook import WeightedMeans
from mmext.common.loss_names import TWO_STAGE_NAMES, loss_name

KEY = 'val/loss'


@HOOKS.register_module()
class DetectionValLossHook(Hook):
    """Logs ``val/loss`` and its parts beside the scores of a validation, without a second pass of the backbone.

    While a batch of the validation is predicted, the hook keeps what ``extract_feat`` returns and hands it to the
    detector's own ``loss``: in evaluation mode, without gradients, with the ground truth at the size of the network's
    input. Two-stage and one-stage detectors need nothing else; predictions and what the metrics see stay as they are.
    The values stand in the log, the JSON scalars and TensorBoard as ``val/loss`` (the sum, fit for
    ``save_best='val/loss'``) and ``val/<part>``, named as `EpochLossesHook` names the training losses.

    The samplers of anchors and regions draw with the same seed in every batch, so the value depends on the weights
    alone, and the random numbers of the training go on as if nothing had been drawn. Batches count with their number
    of images; images that a distributed sampler repeats do not count; images without ground truth do, with the loss of
    their background. Boxes marked to be ignored are ignored as in training. It is no re-run of the training loss:
    BatchNorm uses its running statistics, and there is no augmentation.

    Where no loss can be had - no ground truth, a model that predicts without ``extract_feat``, a detector whose loss
    exists in training mode only - the hook says so once and logs nothing. Not for a detector that adapts itself while
    it computes its loss (Dynamic R-CNN): it would adapt to the validation images.

    Args:
        names: Loss of the model -> name, as of `EpochLossesHook`; by default those of a two-stage detector
            (``rpn_cls``, ``rpn_loc``, ``roi_cls``, ``roi_loc``), and for any other detector none.
        seed: Of the samplers.

    Raises:
        ValueError: a data sample does not tell by which factor its image was resized.
    """

    # Before mmengine's RuntimeInfoHook, which hands what is in the metrics to the logs.
    priority = 'HIGHEST'

    def __init__(self, names: Mapping[str, str] | None = None, seed: int = 0) -> None:
        self.names, self.seed = names, seed
        self._means = WeightedMeans()
        self._watched: nn.Module | None = None
        self._told = False
        self._seen, self._size = 0, 0

    def before_val_epoch(self, runner) -> None:
        self._release()
        # mmengine's log would show the mean of the last ten validations, as it does for everything called loss.
        scalars = runner.message_hub.log_scalars
        for key in [key for key in scalars if key.startswith('val/val/') and 'loss' in key]:
            del scalars[key]
        self._means, self._seen, self._size = WeightedMeans(), 0, len(runner.val_dataloader.dataset)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(model, BaseTTAModel) or not isinstance(model, BaseDetector):
            self._tell(f'{type(model).__name__} is no detector of one pass')
        else:
            self._watch(model)

    def after_val_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        self._release()
        # A process whose images are all repeated has no loss, so all are asked whether there is one.
        means = self._means.result()
        if metrics is None or any(all_gather_object(self._told)):
            return
        names = self.names
        if names is None and 'loss_rpn_cls' in means:
            names = TWO_STAGE_NAMES
        parts = {KEY if key == 'loss' else f'val/{loss_name(key, names)}': value for key, value in means.items()}
        metrics.update(parts)

    def _watch(self, model: BaseDetector) -> None:
        """Put ``predict`` and ``extract_feat`` of this one object behind functions that look on; see `_release`."""
        predict, extract_feat = model.predict, model.extract_feat
        features: list[Any] = []

        def remembering(batch_inputs: Tensor) -> Any:
            features.append(extract_feat(batch_inputs))
            return features[-1]

        def predict_and_loss(batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **kwargs) -> Any:
            features.clear()
            # Before the prediction, which writes into the data samples.
            samples = None if self._told else self._loss_samples(batch_data_samples)
            predictions = predict(batch_inputs, batch_data_samples, **kwargs)
            # In here and not in after_val_iter: the loop may run this, and only this, in mixed precision.
            if samples is not None:
                self._add_loss(model, batch_inputs, samples, features)
            return predictions

        model.predict, model.extract_feat = predict_and_loss, remembering
        self._watched = model

    def _release(self) -> None:
        if self._watched is not None:
            del self._watched.predict, self._watched.extract_feat
            self._watched = None

    def _loss_samples(self, batch_data_samples: Sequence[DetDataSample]) -> list[DetDataSample] | None:
        """Ground truth for the loss of those images of the batch that count, or None if there is none."""
        rank, processes = get_dist_info()
        # A distributed sampler repeats images at the end of its list.
        counted = [
            sample
            for index, sample in enumerate(batch_data_samples)
            if (self._seen + index) * processes + rank < self._size
        ]
        self._seen += len(batch_data_samples)
        if any('bboxes' not in sample.get('gt_instances', {}) for sample in counted):
            self._tell('the data samples hold no boxes; put LoadAnnotations behind Resize in the test pipeline')
            return None
        return [training_sample(sample) for sample in counted]

    def _add_loss(self, model: BaseDetector, inputs: Tensor, samples: list[DetDataSample], features: list[Any]) -> None:
        if len(features) != 1:
            self._tell(f'{type(model).__name__} extracts features {len(features)} times for one prediction')
            return
        if not samples:
            return
        count = len(samples)
        known = first(features[0], count)
        try:
            with torch.no_grad(), fixed_seed(self.seed, inputs.device), given_features(model, known):
                _, terms = model.parse_losses(model.loss(inputs[:count], samples))
        except (AssertionError, AttributeError, KeyError, NotImplementedError, TypeError) as error:
            # Of a detector that computes its loss in training mode only, as several transformers do.
            self._tell(f'{type(model).__name__}.loss fails in evaluation mode: {type(error).__name__}: {error}')
            return
        self._means.add({key: value for key, value in terms.items() if 'loss' in key}, count)

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            print_log(f'no {KEY}: {reason}', 'current', logging.WARNING)


def training_sample(sample: DetDataSample) -> DetDataSample:
    """A data sample of a test pipeline with its ground truth as a training pipeline would give it.

    Test pipelines load the annotations behind ``Resize``, so that the metrics find them at the size of the file; here
    they are scaled by ``scale_factor`` and clipped to the image, as ``Resize`` does it. Pixels of masks are scaled to
    the image and padded to the batch. The sample itself stays as it is; predictions are left out.

    Args:
        sample: With ``gt_instances`` (``bboxes`` (G, 4), ``labels`` (G,)) and, if there are any, ``ignored_instances``,
            ``proposals``.

    Raises:
        ValueError: ``scale_factor`` or ``img_shape`` is not in the sample's metainfo.
    """
    missing = [key for key in ('scale_factor', 'img_shape') if key not in sample.metainfo]
    if missing:
        raise ValueError(
            f'{sample.get("img_path")}: no {" and ".join(missing)} in the data sample; '
            'name it in the meta_keys of PackDetInputs'
        )
    made = DetDataSample(metainfo=sample.metainfo)
    for field in ('gt_instances', 'ignored_instances'):
        if field in sample:
            setattr(made, field, _resized(sample.get(field), sample))
    if 'proposals' in sample:
        # At the size of the input already, since predictions are made from them.
        made.proposals = copy.deepcopy(sample.proposals)
    return made


def _resized(instances: InstanceData, sample: DetDataSample) -> InstanceData:
    made = copy.deepcopy(instances)
    if 'bboxes' in made:
        boxes = made.bboxes if isinstance(made.bboxes, BaseBoxes) else HorizontalBoxes(made.bboxes)
        boxes.rescale_(sample.scale_factor)
        boxes.clip_(sample.img_shape)
        made.bboxes = boxes if isinstance(made.bboxes, BaseBoxes) else boxes.tensor
    if 'masks' in made:
        padded = sample.metainfo.get('batch_input_shape', sample.img_shape)
        made.masks = made.masks.resize(sample.img_shape[:2]).pad(padded, pad_val=0)
    return made


def first(features: Any, count: int) -> Any:
    """The first images of a batch of features: a tensor (B, ...), or tuples, lists and dicts of such."""
    if isinstance(features, Tensor):
        return features[:count]
    if isinstance(features, (tuple, list)):
        return type(features)(first(part, count) for part in features)
    if isinstance(features, dict):
        return {key: first(part, count) for key, part in features.items()}
    return features


@contextmanager
def given_features(model: BaseDetector, features: Any) -> Iterator[None]:
    """Let ``extract_feat`` of this one object return what is known already."""
    before: Callable = model.extract_feat
    model.extract_feat = lambda batch_inputs: features
    try:
        yield
    finally:
        model.extract_feat = before


@contextmanager
def fixed_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers, on the CPU and on this device, from a seed, then go on as if none had been drawn."""
    devices = [device] if device.type == 'cuda' else []
    with torch.random.fork_rng(devices):
        # torch.manual_seed would seed the other devices too, which are not put back.
        torch.random.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
