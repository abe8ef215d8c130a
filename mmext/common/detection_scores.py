"""Every score of object detection from one matching of the boxes.

Toolbox-free. Scores are shares between 0 and 1 in float64, NaN where they are undefined; a class without an object has
no score and is left out of the means. Shapes: N detections, M objects, C classes, T thresholds of IoU.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mmext.common.average_precision import MODES, average_precision, interpolated_precision, precision_recall
from mmext.common.confusion_scores import class_counts, mean_where_defined, score
from mmext.common.detection_matching import (
    HIT,
    IGNORED,
    MISS,
    Detections,
    Objects,
    best_overlaps,
    by_class,
    coco_outcome,
    in_turn,
    matched_pairs,
    voc_outcome,
)
from mmext.common.detection_set import DetectionSet
from mmext.common.detection_settings import PRESETS, ScoreSettings

COCO_POINTS = np.linspace(0, 1, 101)
COCO_IOU_THRS = np.linspace(0.5, 0.95, 10)
# Name of all sources together.
ALL = 'all'


class PRCurve(NamedTuple):
    """Precision and recall of one class at falling scores, (n,) each; ignored detections are left out."""

    score: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class SourceScores:
    """Scores of one part of the data, (C,) unless told otherwise.

    Attributes:
        images: Images that hold an object of the class, difficult ones included.
        objects: Objects, without the difficult ones.
        difficult: Difficult objects.
        detections: Detections above ``min_score``.
        ap: By mode, (T, C); difficult objects are neither found nor missed.
        ap_with_difficult: By mode, (T, C); difficult objects count as any other.
        counts: Hits, misses and objects at the first IoU and above ``score_thr``, (3, C).
    """

    images: np.ndarray
    objects: np.ndarray
    difficult: np.ndarray
    detections: np.ndarray
    ap: dict[str, np.ndarray]
    ap_with_difficult: dict[str, np.ndarray]
    counts: np.ndarray

    def at_threshold(self) -> dict[str, np.ndarray]:
        """``precision``, ``recall`` and ``F1`` of each class."""
        return precision_recall_f1(np.where(self.objects > 0, self.counts, np.nan))

    def micro(self) -> dict[str, float]:
        """The same of all classes' counts together; misses of classes without an object count too."""
        return {name: float(value) for name, value in precision_recall_f1(self.counts.sum(1)).items()}

    def macro(self) -> dict[str, float]:
        """Means over the classes where they are defined."""
        return {name: float(mean_where_defined(values)) for name, values in self.at_threshold().items()}


@dataclass(frozen=True)
class DetectionScores:
    """All scores of a data set.

    Attributes:
        classes: C names.
        settings: What they were computed with.
        sources: Scores of `ALL` images, and of each source by name.
        curves: Of each class over all images, at the first IoU, without difficult objects.
        matched: ``mean_matched_iou``: mean IoU of the hits at the first threshold with their objects; difficult ones
            are no hits. ``matched_class_miou`` and ``matched_accuracy``: see `matched_class_scores`.
        coco: ``AP`` (mean over IoU 0.50, 0.55 ... 0.95), ``AP50``, ``AP75`` and ``AR100`` as pycocotools has them,
            difficult objects being crowd regions.
    """

    classes: tuple[str, ...]
    settings: ScoreSettings
    sources: dict[str, SourceScores]
    curves: list[PRCurve]
    matched: dict[str, float]
    coco: dict[str, float]


def score_detections(data: DetectionSet, settings: ScoreSettings = PRESETS['eval_map']) -> DetectionScores:
    """All scores of a data set; without detections or objects they are 0 or undefined.

    Detections with the same score keep the order of the data, images first. (mmdet sorts them in no particular order.)
    """
    objects, num_classes = data.objects, len(data.classes)
    detections = counted_detections(data, settings)
    order = by_class(detections)
    sources, curves, mean_iou = voc_scores(data, detections, order, settings)
    outcome = coco_outcome(detections, objects, COCO_IOU_THRS)[:, order]
    return DetectionScores(
        data.classes,
        settings,
        sources,
        curves,
        {'mean_matched_iou': mean_iou, **matched_class_scores(detections, objects, num_classes)},
        coco_scores(outcome, detections.label[order], objects),
    )


def counted_detections(data: DetectionSet, settings: ScoreSettings) -> Detections:
    """Those above ``min_score``, in turn."""
    return in_turn(data.detections.keep(data.detections.score > settings.min_score))


def voc_scores(
    data: DetectionSet, detections: Detections, order: np.ndarray, settings: ScoreSettings
) -> tuple[dict[str, SourceScores], list[PRCurve], float]:
    """The ``sources``, ``curves`` and ``mean_matched_iou`` of `DetectionScores`, by the rule of PASCAL VOC.

    Args:
        data: Gives classes, sources and objects.
        detections: As `counted_detections` gives them.
        order: As `by_class` gives it for them.
        settings: What to compute.
    """
    objects, num_classes = data.objects, len(data.classes)
    overlaps = best_overlaps(detections, objects, settings.legacy_plus_one)
    outcome = voc_outcome(overlaps, objects.difficult, settings.iou_thrs)
    hits = outcome[0] == HIT
    mean_iou = float(overlaps.iou[hits].mean()) if hits.any() else float('nan')
    with_difficult = outcome
    if objects.difficult.any():
        with_difficult = voc_outcome(overlaps, np.zeros_like(objects.difficult), settings.iou_thrs)
    detections, outcome, with_difficult = detections.keep(order), outcome[:, order], with_difficult[:, order]
    parts = {ALL: np.ones(len(data.images), bool)}
    parts |= {name: np.array([source == name for source in data.sources]) for name in data.source_names()}
    sources = {
        name: _score_part(detections, objects, outcome, with_difficult, part, num_classes, settings.score_thr)
        for name, part in parts.items()
    }
    curves = [
        _curve(detections.score[rows], outcome[0, rows], num_objects)
        for rows, num_objects in zip(_class_slices(detections.label, num_classes), sources[ALL].objects, strict=True)
    ]
    return sources, curves, mean_iou


def matched_class_scores(detections: Detections, objects: Objects, num_classes: int) -> dict[str, float]:
    """How well the classes agree of pairs that were matched whatever their classes (`matched_pairs`, IoU above 0.5).

    What the street-voc-vit report calls mIOU and accuracy. Neither sees an object that was not found, nor a detection
    of nothing: they are no overlap of boxes and no recall.

    Args:
        detections: In turn.
        objects: All of them, difficult ones too.
        num_classes: C.

    Returns:
        ``matched_class_miou``: mean over the classes of agreeing pairs / pairs with the class on either side;
        ``matched_accuracy``: agreeing pairs / pairs. NaN without a pair.
    """
    found, there = matched_pairs(detections, objects)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (objects.label[there], detections.label[found]), 1)
    counts = class_counts(confusion)
    return {
        'matched_class_miou': float(score(counts, 'mIoU')),
        'matched_accuracy': float(score(counts, 'aAcc')),
    }


def coco_scores(outcome: np.ndarray, label: np.ndarray, objects: Objects) -> dict[str, float]:
    """COCO's scores of boxes of any size: means over the classes with an object, NaN without one.

    Args:
        outcome: (10, N) of `coco_outcome` at `COCO_IOU_THRS`, by class and falling score.
        label: (N,) classes of the detections.
        objects: Difficult ones are crowd regions.
    """
    num_objects = np.bincount(objects.label[~objects.difficult])
    precision, recall = [], []
    for rows, present in zip(_class_slices(label, len(num_objects)), num_objects, strict=True):
        if present:
            curve = precision_recall(outcome[:, rows], present)
            precision.append(interpolated_precision(*curve, COCO_POINTS).mean(1))
            recall.append(curve[1][:, -1] if curve[1].size else np.zeros(len(COCO_IOU_THRS)))
    if not precision:
        return dict.fromkeys(('AP', 'AP50', 'AP75', 'AR100'), float('nan'))
    by_iou = np.mean(precision, axis=0)
    values = {'AP': by_iou.mean(), 'AP50': by_iou[0], 'AP75': by_iou[5], 'AR100': np.mean(recall)}
    return {name: float(value) for name, value in values.items()}


def _score_part(
    detections: Detections,
    objects: Objects,
    outcome: np.ndarray,
    with_difficult: np.ndarray,
    part: np.ndarray,
    num_classes: int,
    score_thr: float,
) -> SourceScores:
    """Scores of the images that are True in ``part``; outcomes (T, N) leave out the difficult objects or not."""
    found, there = part[detections.image], part[objects.image]
    label, difficult = objects.label[there], objects.difficult[there]
    every = np.bincount(label, minlength=num_classes)
    ordinary = np.bincount(label[~difficult], minlength=num_classes)
    own = detections.label[found]
    above = detections.score[found] > score_thr
    first = outcome[0, found]
    return SourceScores(
        images=np.bincount(
            np.unique(objects.image[there] * num_classes + label) % max(num_classes, 1), minlength=num_classes
        ),
        objects=ordinary,
        difficult=every - ordinary,
        detections=np.bincount(own, minlength=num_classes),
        ap=_ap(outcome[:, found], own, ordinary),
        ap_with_difficult=_ap(with_difficult[:, found], own, every),
        counts=np.stack(
            [
                *(np.bincount(own[above & (first == what)], minlength=num_classes) for what in (HIT, MISS)),
                ordinary,
            ]
        ),
    )


def _ap(outcome: np.ndarray, label: np.ndarray, num_objects: np.ndarray) -> dict[str, np.ndarray]:
    """By mode (T, C), NaN for classes without an object; outcomes (T, n) by class and falling score."""
    ap = {mode: np.full((len(outcome), len(num_objects)), np.nan) for mode in MODES}
    for index, rows in enumerate(_class_slices(label, len(num_objects))):
        if num_objects[index]:
            precision, recall = precision_recall(outcome[:, rows], num_objects[index])
            for mode in MODES:
                ap[mode][:, index] = average_precision(precision, recall, mode)
    return ap


def _curve(score: np.ndarray, outcome: np.ndarray, num_objects: int) -> PRCurve:
    counted = outcome != IGNORED
    precision, recall = precision_recall(outcome[counted], num_objects)
    return PRCurve(score[counted], recall, precision)


def _class_slices(label: np.ndarray, num_classes: int) -> list[slice]:
    """Where each class is in sorted labels."""
    bounds = np.searchsorted(label, np.arange(num_classes + 1))
    return [slice(*pair) for pair in pairwise(bounds)]


def precision_recall_f1(counts: np.ndarray) -> dict[str, np.ndarray]:
    """From hits, misses and objects, (3, ...): precision hits / (hits + misses), recall hits / objects, F1 2 hits /
    (hits + misses + objects); undefined as 0 / 0."""
    hits, misses, objects = counts.astype(np.float64)
    with np.errstate(invalid='ignore'):
        return {
            'precision': hits / (hits + misses),
            'recall': hits / objects,
            'F1': 2 * hits / (hits + misses + objects),
        }
