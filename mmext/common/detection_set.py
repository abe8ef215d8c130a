"""The boxes of a data set in flat arrays: what is there, and what a model found."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from mmext.common.detection_matching import Detections, Objects

# Folders that tell the year of a PASCAL VOC challenge: VOC2007, or 2007 in the ids of images.
VOC_YEAR = re.compile(r'(?:VOC)?(20(?:0[5-9]|1[0-2]))')


class ImageBoxes(NamedTuple):
    """What is found and what is there in one image: n detections, m objects. Boxes are corners x1, y1, x2, y2."""

    image: str
    source: str | None  # the part of the data set that it belongs to, such as 'VOC2007'
    boxes: np.ndarray  # (n, 4)
    scores: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)
    true_boxes: np.ndarray  # (m, 4)
    true_labels: np.ndarray  # (m,)
    difficult: np.ndarray  # (m,) bool


@dataclass(frozen=True)
class DetectionSet:
    """A data set and what a model found in it.

    Attributes:
        classes: C names.
        images: Names, in the order of the data.
        sources: Of each image, None where unknown.
        detections: N rows, in the order of the images.
        objects: M rows, in the order of the images.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    sources: tuple[str | None, ...]
    detections: Detections
    objects: Objects

    def source_names(self) -> list[str]:
        """The sources that occur, sorted; images without one are left out."""
        return sorted({source for source in self.sources if source is not None})


def detection_set(classes: Sequence[str], images: Iterable[ImageBoxes]) -> DetectionSet:
    """Puts the boxes of single images together; float64 and int64 whatever they are given in.

    A detected box with its corners in the wrong order, which an untrained model may give, overlaps nothing.

    Raises:
        ValueError: a label without a class, a box or score that is no finite number, an object with its corners in the
            wrong order, or columns of one image that differ in length; names the image.
    """
    images = list(images)
    names = tuple(row.image for row in images)
    found, there = (
        np.repeat(np.arange(len(images)), [len(getattr(row, field)) for row in images])
        for field in ('scores', 'true_labels')
    )
    detections = Detections(
        found,
        _column(images, 'labels', 'scores', np.int64),
        _column(images, 'scores', 'scores', np.float64),
        _column(images, 'boxes', 'scores', np.float64, 4).reshape(-1, 4),
    )
    objects = Objects(
        there,
        _column(images, 'true_labels', 'true_labels', np.int64),
        _column(images, 'true_boxes', 'true_labels', np.float64, 4).reshape(-1, 4),
        _column(images, 'difficult', 'true_labels', bool),
    )
    for rows, what in ((detections, 'detection'), (objects, 'object')):
        _check_labels(rows, names, classes, what)
        _check_boxes(rows, names, what)
    for row in np.flatnonzero(~np.isfinite(detections.score))[:1]:
        raise ValueError(
            f'{names[found[row]]}: score {detections.score[row]} is no finite number; does the model diverge?'
        )
    return DetectionSet(tuple(classes), names, tuple(row.source for row in images), detections, objects)


def _column(images: Sequence[ImageBoxes], field: str, like: str, kind: type, width: int = 1) -> np.ndarray:
    """One field of all images behind each other; each must have ``width`` values for every one of field ``like``."""
    parts = [np.asarray(getattr(row, field)) for row in images]
    for row, part in zip(images, parts, strict=True):
        expected = width * len(getattr(row, like))
        if part.size != expected:
            raise ValueError(f'{row.image}: {field} holds {part.size} numbers; {expected} belong to its {like}')
        if kind is np.int64 and part.size:
            _check_whole(row.image, field, part)
    return np.concatenate([np.empty(0, kind), *(part.ravel() for part in parts)]).astype(kind)


def _check_whole(image: str, field: str, values: np.ndarray) -> None:
    if values.dtype.kind == 'f':
        wrong = values[values != np.floor(values)]  # also NaN
    else:
        wrong = values[:0] if values.dtype.kind in 'iu' else values
    if wrong.size:
        raise ValueError(f'{image}: {field} holds {wrong.flat[0]}, which is no whole number; labels count from 0')


def _check_labels(rows: Detections | Objects, names: Sequence[str], classes: Sequence[str], what: str) -> None:
    for row in np.flatnonzero((rows.label < 0) | (rows.label >= len(classes)))[:1]:
        raise ValueError(
            f'{names[rows.image[row]]}: {what} with label {rows.label[row]}, but there are {len(classes)} classes '
            f'({", ".join(classes[:3])}, ...); make num_classes of the model and the classes of the data set agree'
        )


def _check_boxes(rows: Detections | Objects, names: Sequence[str], what: str) -> None:
    bad = ~np.isfinite(rows.box).all(1)
    if isinstance(rows, Objects):
        bad |= (rows.box[:, 2:] < rows.box[:, :2]).any(1)
    for row in np.flatnonzero(bad)[:1]:
        raise ValueError(
            f'{names[rows.image[row]]}: {what} with box {rows.box[row].tolist()}; expected finite x1, y1, x2, y2 with '
            'x1 <= x2 and y1 <= y2'
        )


def source_of(path: str) -> str | None:
    """The PASCAL VOC challenge that a path or id speaks of: 'VOC2007' for VOCdevkit/VOC2007/... and for 2007/000001."""
    years = [match[1] for part in PurePath(path).parts[:-1] if (match := VOC_YEAR.fullmatch(part))]
    return f'VOC{years[-1]}' if years else None


class NamedBoxes(NamedTuple):
    """What is found and what is there in one image, box by box and with the names of the classes, as files hold it."""

    found: list[tuple[list[float], float, str]]  # box, score, class
    there: list[tuple[list[float], str, bool]]  # box, class, difficult


def named_detection_set(classes: Sequence[str], images: Iterable[tuple[str, NamedBoxes]]) -> DetectionSet:
    """`detection_set` of images with their names; the names tell the sources."""
    label = {name: index for index, name in enumerate(classes)}
    rows = []
    for image, (found, there) in images:
        boxes, scores, names = ([row[column] for row in found] for column in range(3))
        true_boxes, true_names, difficult = ([row[column] for row in there] for column in range(3))
        labels, true_labels = ([label[name] for name in each] for each in (names, true_names))
        rows.append(ImageBoxes(image, source_of(image), boxes, scores, labels, true_boxes, true_labels, difficult))
    return detection_set(classes, rows)


def class_names(images: Iterable[NamedBoxes]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted(
        {name for image in images for name in (*(row[2] for row in image.found), *(row[1] for row in image.there))}
    )


def finite_number(value: str | float, what: str) -> float:
    """The value as a number.

    Raises:
        ValueError: it is none, or none that is finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'{what} {value!r} is no finite number')
    return number


def checked_box(corners: Sequence[str | float]) -> list[float]:
    """Corners x1, y1, x2, y2 as numbers.

    Raises:
        ValueError: they are not four finite numbers with x1 <= x2 and y1 <= y2.
    """
    if len(corners) != 4:
        raise ValueError(f'box {corners} has {len(corners)} numbers; expected 4')
    x1, y1, x2, y2 = (finite_number(value, 'corner') for value in corners)
    if x2 < x1 or y2 < y1:
        raise ValueError(f'box {[x1, y1, x2, y2]} has no size; expected x1 <= x2 and y1 <= y2')
    return [x1, y1, x2, y2]
