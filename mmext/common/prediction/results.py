"""From the data samples of the toolboxes to plain records that any program can read."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmext.common.prediction.predictor import PreparedImage

# Names of a picture's most probable classes that are kept.
MOST_CLASSES = 5


class Result(NamedTuple):
    """What the network said about one picture.

    Attributes:
        record: Of plain Python values, ready for JSON; its keys are those of :func:`detection_result`,
            :func:`segmentation_result` or :func:`classification_result`.
        label_map: (H, W) class indices, uint8 or uint16; segmentation only.
        masks: (N, H, W) bool in the order of the record's boxes; instance segmentation only.
    """

    record: dict[str, Any]
    label_map: np.ndarray | None = None
    masks: np.ndarray | None = None


def make_result(
    task: str, prepared: PreparedImage, sample: BaseDataElement, classes: Sequence[str], score_thr: float = 0.0
) -> Result:
    """The result of a task for one picture.

    Raises:
        ValueError: the model's predictions are not of the task, or hold NaN.
    """
    make: Callable[..., Result] = {
        'detection': detection_result,
        'segmentation': segmentation_result,
        'classification': classification_result,
    }[task]
    wanted = {'detection': 'pred_instances', 'segmentation': 'pred_sem_seg', 'classification': 'pred_score'}[task]
    if wanted not in sample:
        held = ', '.join(name for name in sample.all_keys() if name.startswith('pred')) or 'no prediction'
        raise ValueError(f'the model returns {held}; {task} results are read from {wanted}')
    result = make(sample, classes, score_thr) if task == 'detection' else make(sample, classes)
    return result._replace(record={'size_hw': list(prepared.size_hw), **result.record})


def detection_result(sample: BaseDataElement, classes: Sequence[str], score_thr: float = 0.0) -> Result:
    """``boxes``, ``scores`` (0..1), ``labels`` and ``label_names`` of what was found, best first.

    A box is [x1, y1, x2, y2] in pixels of the original picture. Instance segmentation adds ``masks`` in COCO's
    run-length code (``size`` [height, width] and ``counts``).

    Args:
        sample: Of mmdet, with ``pred_instances``.
        classes: Names by index.
        score_thr: What scores less is left out; 0 keeps all that the model returns.
    """
    instances = sample.pred_instances
    instances = instances[instances.scores >= score_thr]
    # Stable, so that equal scores keep the model's order.
    instances = instances[torch.sort(instances.scores, descending=True, stable=True).indices].cpu()
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    record = {'boxes': [shortest(box) for box in boxes], 'scores': shortest(instances.scores)}
    record |= _named(instances.labels.tolist(), classes)
    if 'masks' not in instances:
        return Result(record)
    masks = np.asarray(instances.masks, dtype=bool)
    return Result(record | {'masks': [_run_lengths(mask) for mask in masks]}, masks=masks)


def segmentation_result(sample: BaseDataElement, classes: Sequence[str]) -> Result:
    """``labels``, ``label_names`` and ``shares`` (0..1) of the classes present, largest first; and the label map.

    Args:
        sample: Of mmseg, with ``pred_sem_seg``.
        classes: Names by index.
    """
    label_map = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
    label_map = label_map.astype(np.uint16 if max(len(classes) - 1, label_map.max()) > 255 else np.uint8)
    counts = np.bincount(label_map.ravel())
    labels = sorted(np.flatnonzero(counts).tolist(), key=lambda label: (-counts[label], label))
    shares = [round(int(counts[label]) / label_map.size, 6) for label in labels]
    return Result(_named(labels, classes) | {'shares': shares}, label_map)


def classification_result(sample: BaseDataElement, classes: Sequence[str]) -> Result:
    """``labels``, ``label_names`` and ``probabilities`` of the five most probable classes, best first.

    Args:
        sample: Of mmpretrain, with ``pred_score``.
        classes: Names by index.

    Raises:
        ValueError: a probability is NaN, which no order could place.
    """
    scores = sample.pred_score.detach().float().cpu()
    if not torch.isfinite(scores).all():
        raise ValueError('the network returns NaN or infinite probabilities; its weights are damaged or diverged')
    best = torch.sort(scores, descending=True, stable=True)
    record = _named(best.indices[:MOST_CLASSES].tolist(), classes)
    return Result(record | {'probabilities': shortest(best.values[:MOST_CLASSES])})


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a class; ``class_<index>`` where nobody named it."""
    return classes[label] if label < len(classes) else f'class_{label}'


def shortest(values: torch.Tensor) -> list[float]:
    """Numbers in as few digits as give the same float32 again: 0.3 instead of 0.30000001192092896."""
    return [float(str(value)) for value in values.float().numpy()]


def _named(labels: list[int], classes: Sequence[str]) -> dict[str, Any]:
    return {'labels': labels, 'label_names': [class_name(classes, label) for label in labels]}


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    # mmdet itself requires pycocotools; the other toolboxes do without.
    from pycocotools import mask as coco

    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': [int(side) for side in code['size']], 'counts': code['counts'].decode()}
