"""Which detection has found which object. Toolbox-free; three rules, each over all images and classes at once.

Shapes: N detections and M objects of a whole data set, T thresholds of IoU, P pairs of a detection and an object.
Boxes are (n, 4) corners x1, y1, x2, y2 in pixels. All rules take detections as `in_turn` orders them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

# What has become of a detection.
MISS, HIT, IGNORED = 0, 1, -1
# About as many pairs are held in memory at a time, or one group if that alone has more.
MOST_PAIRS = 2_000_000


class Detections(NamedTuple):
    """Boxes that a model found, one row each."""

    image: np.ndarray  # (N,) integers, index of the image
    label: np.ndarray  # (N,) integers, index of the class
    score: np.ndarray  # (N,)
    box: np.ndarray  # (N, 4)

    def keep(self, rows: np.ndarray) -> 'Detections':
        """Those of an index or mask."""
        return Detections(*(values[rows] for values in self))


class Objects(NamedTuple):
    """Boxes of the ground truth, one row each."""

    image: np.ndarray  # (M,) integers
    label: np.ndarray  # (M,) integers
    box: np.ndarray  # (M, 4)
    difficult: np.ndarray  # (M,) bool; also a crowd region, or whatever else is to be neither found nor missed


class Overlaps(NamedTuple):
    """The object that each detection overlaps most."""

    iou: np.ndarray  # (N,), 0 where there is none
    object: np.ndarray  # (N,), row among the objects, -1 where there is none


def in_turn(detections: Detections) -> Detections:
    """By image, class and falling score, as they take their turn; equal scores keep the order that they have."""
    return detections.keep(np.lexsort((-detections.score, _short(detections.label), _short(detections.image))))


def by_class(detections: Detections) -> np.ndarray:
    """The rows by class and falling score, where every curve is a slice; equal scores keep the order that they have."""
    return np.lexsort((-detections.score, _short(detections.label)))


def _short(values: np.ndarray) -> np.ndarray:
    """The same in 16 bits if they fit: NumPy sorts those far faster."""
    return values.astype(np.uint16) if len(values) and values.min() >= 0 and values.max() < 2**16 else values


def pair_iou(
    found: np.ndarray, true: np.ndarray, legacy_plus_one: bool = False, crowd: np.ndarray | None = None
) -> np.ndarray:
    """Intersection over union of boxes side by side: (P, 4), (P, 4) -> (P,) in 0..1, 0 for boxes without area.

    Args:
        found: Detected boxes.
        true: Boxes of objects.
        legacy_plus_one: Corners are the first and last pixel inside, so that a box is ``x2 - x1 + 1`` wide, as in the
            PASCAL VOC devkit; otherwise they are the edges, and it is ``x2 - x1`` wide.
        crowd: (P,) bool: divide by the area of the detected box instead of the union, as COCO does for crowd regions.
    """
    more = float(legacy_plus_one)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = (np.asarray(boxes, np.float64).T for boxes in (found, true))
    width, height = np.minimum(x2, u2) - np.maximum(x1, u1) + more, np.minimum(y2, v2) - np.maximum(y1, v1) + more
    intersection = width.clip(min=0) * height.clip(min=0)
    area = (x2 - x1 + more) * (y2 - y1 + more)
    union = area + (u2 - u1 + more) * (v2 - v1 + more) - intersection
    if crowd is not None:
        union = np.where(crowd, area, union)
    return np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)


def best_overlaps(
    detections: Detections, objects: Objects, legacy_plus_one: bool = False, any_class: bool = False
) -> Overlaps:
    """For each detection the object of its image and class with the largest IoU.

    Of objects with the same IoU the first one counts, ordinary ones before difficult ones.

    Args:
        detections: N, in turn.
        objects: M.
        legacy_plus_one: As for `pair_iou`.
        any_class: Whatever the classes; then difficult objects do not come last.
    """
    best = Overlaps(np.zeros(len(detections.score)), np.full(len(detections.score), -1))
    own, other = (detections.image, objects.image) if any_class else _image_and_class(detections, objects)
    order = np.argsort(other, kind='stable') if any_class else np.lexsort((objects.difficult, other))
    for row, place in _pairs(own, other[order]):
        iou = pair_iou(detections.box[row], objects.box[order[place]], legacy_plus_one)
        starts = _starts(row)
        first = _first_largest(iou, starts)
        best.iou[row[starts]] = iou[first]
        best.object[row[starts]] = order[place[first]]
    return best


def voc_outcome(overlaps: Overlaps, difficult: np.ndarray, iou_thrs: Sequence[float]) -> np.ndarray:
    """The rule of PASCAL VOC: what each detection is at each threshold, (T, N) of HIT, MISS and IGNORED.

    A detection stands for the object that it overlaps most. If that IoU reaches the threshold, the first detection of
    the object is a hit, and each later one a miss; those of a difficult object are ignored. All others are misses. A
    detection never falls back on its second-best object.

    Args:
        overlaps: As `best_overlaps` gives them.
        difficult: (M,) bool, objects that are to be neither found nor missed.
        iou_thrs: T numbers above 0 and at most 1.
    """
    outcome = np.full((len(iou_thrs), len(overlaps.iou)), MISS, np.int8)
    for of_threshold, iou_thr in zip(outcome, iou_thrs, strict=True):
        rows = np.flatnonzero(overlaps.iou >= iou_thr)
        aside = difficult[overlaps.object[rows]]
        of_threshold[rows[aside]] = IGNORED
        # Backwards, so that the first detection of an object is the one that stays.
        claims = rows[~aside][::-1]
        first = np.full(len(difficult), -1)
        first[overlaps.object[claims]] = claims
        of_threshold[first[first >= 0]] = HIT
    return outcome


def coco_outcome(
    detections: Detections, objects: Objects, iou_thrs: Sequence[float], max_detections: int = 100
) -> np.ndarray:
    """The rule of COCO: what each detection is at each threshold, (T, N) of HIT, MISS and IGNORED.

    A detection takes the object with the largest IoU among those that are still free, if it reaches the threshold; of
    equal ones the last. Failing that it may fall into a crowd region (``difficult``), which takes any number, and is
    then ignored. So are the detections beyond the ``max_detections`` best of their image and class.

    Args:
        detections: N, in turn.
        objects: M.
        iou_thrs: T.
        max_detections: Of each image and class.
    """
    limits = np.minimum(np.asarray(iou_thrs, np.float64), 1 - 1e-10)[:, None]
    outcome = np.full((len(iou_thrs), len(detections.score)), MISS, np.int8)
    taken = np.zeros((len(iou_thrs), len(objects.label)), bool)
    own, other = _image_and_class(detections, objects)
    starts = _starts(own)
    rank = np.arange(len(own)) - np.repeat(starts, np.diff(starts, append=len(own)))
    outcome[:, rank >= max_detections] = IGNORED
    order = np.argsort(other, kind='stable')
    for row, place in _pairs(own, other[order]):
        # The best detections of all groups take their turn together, then the second-best of all, and so on.
        turn = np.argsort(rank[row], kind='stable')
        turn = turn[: np.searchsorted(rank[row[turn]], max_detections)]
        row, pair_object = row[turn], order[place[turn]]
        crowd = objects.difficult[pair_object]
        iou = pair_iou(detections.box[row], objects.box[pair_object], crowd=crowd)
        bounds = np.append(_starts(rank[row]), len(row))
        for part in map(slice, bounds[:-1], bounds[1:]):
            _take_turn(outcome, taken, row[part], pair_object[part], iou[part], crowd[part], limits)
    return outcome


def _take_turn(
    outcome: np.ndarray,
    taken: np.ndarray,
    row: np.ndarray,
    pair_object: np.ndarray,
    iou: np.ndarray,
    crowd: np.ndarray,
    limits: np.ndarray,
) -> None:
    """One detection of each group, with all objects of its group; changes ``outcome`` and ``taken``."""
    starts, places = _starts(row), np.arange(len(row))
    segment = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(row)))
    enough = iou >= limits
    if crowd.any():
        in_crowd = np.logical_or.reduceat(enough & crowd, starts, axis=1)
        outcome[:, row[starts]] = np.where(in_crowd, IGNORED, outcome[:, row[starts]])
    value = np.where(enough & ~crowd & ~taken[:, pair_object], iou, -1)
    largest = np.maximum.reduceat(value, starts, axis=1)
    last = np.maximum.reduceat(np.where(value == largest[:, segment], places, -1), starts, axis=1)
    thr, which = np.nonzero(largest >= 0)
    outcome[thr, row[starts[which]]] = HIT
    taken[thr, pair_object[last[thr, which]]] = True


def matched_pairs(detections: Detections, objects: Objects, iou_thr: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a detection and an object of one image, whatever their classes: rows of both, (K,) and (K,).

    The rule behind the "mIOU" and "accuracy" of the street-voc-vit report: of the pairs whose IoU (corners are edges)
    is above the threshold, each detection keeps its best object, and then each object its best detection. Difficult
    objects take part. Of objects with the same IoU the first counts, of detections with the same IoU the one with the
    higher score, then the first.
    """
    best = best_overlaps(detections, objects, any_class=True)
    rows = np.flatnonzero(best.iou > iou_thr)
    largest = np.zeros(len(objects.label))
    np.maximum.at(largest, best.object[rows], best.iou[rows])
    rows = rows[best.iou[rows] == largest[best.object[rows]]]
    rows = rows[np.lexsort((-detections.score[rows], best.object[rows]))]
    rows = rows[_starts(best.object[rows])]
    return rows, best.object[rows]


def _image_and_class(detections: Detections, objects: Objects) -> tuple[np.ndarray, np.ndarray]:
    """One number for each pair of image and class, rising with the detections' turn."""
    classes = 1 + max((int(labels.max()) for labels in (detections.label, objects.label) if len(labels)), default=0)
    return tuple(rows.image.astype(np.int64) * classes + rows.label for rows in (detections, objects))


def _pairs(own: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every detection with every object of its group, in blocks of whole groups.

    Args:
        own: (N,) number of the group of a detection, rising.
        other: (M,) number of the group of an object, rising.

    Yields:
        Places of the detection and of the object of each pair, both as rising as can be.
    """
    starts = _starts(own)
    sizes = np.diff(starts, append=len(own))
    first = np.searchsorted(other, own[starts])
    objects = np.searchsorted(other, own[starts], 'right') - first
    # Groups without an object have no pair; a block ends with the group that fills it.
    groups = np.flatnonzero(objects)
    blocks = _starts(np.cumsum((sizes * objects)[groups]) // MOST_PAIRS)
    for block in np.split(groups, blocks[1:]):
        rows = _ranges(starts[block], sizes[block])
        each = np.repeat(objects[block], sizes[block])
        yield np.repeat(rows, each), _ranges(np.repeat(first[block], sizes[block]), each)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... of every start, one after the other."""
    return np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)


def _starts(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values start."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.empty(0, np.int64)


def _first_largest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Of each run of values the place of the largest, the first of equal ones."""
    if not len(starts):
        return starts
    segment = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    largest = np.flatnonzero(values == np.maximum.reduceat(values, starts)[segment])
    return largest[_starts(segment[largest])]
