"""Every segmentation score that a confusion matrix holds.

Toolbox-free: counts in, shares out. A confusion matrix has the shape (..., C, C): rows are the true classes, columns
the predicted ones, entries pixels; leading dimensions may be images or resamples. All scores are shares between 0 and
1, in float64, and NaN where they are undefined (0 / 0).
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Scores with one value a class; 'm' before the name is the mean over the classes.
CLASS_SCORES = ('IoU', 'Acc', 'Dice', 'Fscore', 'Precision', 'Recall')
# Scores of the whole, in the order in which they are shown.
SCORES = ('aAcc', *(f'm{name}' for name in CLASS_SCORES), 'fwIoU')


class ClassCounts(NamedTuple):
    """Pixels per class, each (..., C); all that the scores need of a confusion matrix."""

    hits: np.ndarray  # truth and prediction agree on the class
    truth: np.ndarray
    predicted: np.ndarray


def class_counts(confusion: np.ndarray) -> ClassCounts:
    """Diagonal, row sums and column sums of (..., C, C)."""
    return ClassCounts(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2))


def class_scores(counts: ClassCounts, names: Sequence[str] = CLASS_SCORES) -> dict[str, np.ndarray]:
    """Scores per class, (..., C).

    - ``IoU`` hits / union; ``Dice`` 2 hits / (truth + predicted), also called F1. Undefined only for a class that is
      neither labelled nor predicted.
    - ``Acc`` and ``Recall`` hits / truth; undefined for a class without a labelled pixel.
    - ``Precision`` hits / predicted; undefined for a class that is never predicted.
    - ``Fscore`` the harmonic mean of precision and recall. Equal to ``Dice`` where both are defined and one is above
      0, and undefined elsewhere, as in mmseg: its mean leaves out the classes that are missed altogether, so that
      ``mDice`` is the one to compare by.

    Raises:
        ValueError: a name that is none of these.
    """
    hits, truth, predicted = (np.asarray(values, dtype=np.float64) for values in counts)
    unknown = [name for name in names if name not in CLASS_SCORES]
    if unknown:
        raise ValueError(f'{unknown[0]!r}: no score per class; choose from {", ".join(CLASS_SCORES)}')
    formulas = {
        'IoU': lambda: hits / (truth + predicted - hits),
        'Acc': lambda: hits / truth,
        'Dice': lambda: 2 * hits / (truth + predicted),
        'Fscore': lambda: _harmonic_mean(hits / predicted, hits / truth),
        'Precision': lambda: hits / predicted,
        'Recall': lambda: hits / truth,
    }
    with np.errstate(divide='ignore', invalid='ignore'):
        return {name: formulas[name]() for name in names}


def _harmonic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 2 * a * b / (a + b)


def score(counts: ClassCounts, name: str, in_mean: Sequence[bool] | None = None) -> np.ndarray:
    """One score of the whole, shape (...): any of `SCORES`.

    ``m...`` are means over the classes where the score is defined; ``aAcc`` is the share of the pixels that is right;
    ``fwIoU`` is the IoU averaged by the share of the labelled pixels that a class has.

    Args:
        counts: (..., C).
        name: One of `SCORES`.
        in_mean: (C,), the classes that the means speak of; all by default. ``aAcc`` and ``fwIoU`` always take all.

    Raises:
        ValueError: a name that is none of these.
    """
    labelled = counts.truth.sum(-1)
    with np.errstate(divide='ignore', invalid='ignore'):
        if name == 'aAcc':
            return counts.hits.sum(-1) / labelled
        if name == 'fwIoU':
            # A class without a labelled pixel has no share, whatever its IoU.
            iou = class_scores(counts, ['IoU'])['IoU']
            return (np.where(counts.truth > 0, iou, 0) * counts.truth).sum(-1) / labelled
    if name not in SCORES:
        raise ValueError(f'{name!r}: no such score; choose from {", ".join(SCORES)}')
    return mean_where_defined(class_scores(counts, [name[1:]])[name[1:]], in_mean)


def mean_where_defined(values: np.ndarray, in_mean: Sequence[bool] | None = None) -> np.ndarray:
    """Mean over the last axis without the NaN; NaN where nothing else is there."""
    if in_mean is not None:
        values = values[..., np.asarray(in_mean, dtype=bool)]
    defined = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(defined, values, 0).sum(-1) / defined.sum(-1)


def tidy(class_name: str) -> str:
    """The name as every logger takes it: characters that TensorBoard does not know become ``_``."""
    return re.sub(r'[^-.0-9A-Za-z_]+', '_', class_name)


def class_keys(score_name: str, classes: Sequence[str]) -> list[str]:
    """Names of the values of a score per class: ``IoU.road``, ``IoU.traffic_light``.

    Raises:
        ValueError: two classes would have one name.
    """
    keys = [f'{score_name}.{tidy(name)}' for name in classes]
    same = [name for name, key in zip(classes, keys, strict=True) if keys.count(key) > 1]
    if same:
        raise ValueError(f'the classes {same[0]!r} and {same[1]!r} have one name in the logs; rename one of them')
    return keys


def merge_classes(confusion: np.ndarray, group_of_class: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The confusion matrix of groups of classes: confusions inside a group become hits.

    Args:
        confusion: (..., C, C).
        group_of_class: C names; equal names make a group.

    Returns:
        The G names in the order in which they first occur, and (..., G, G).

    Raises:
        ValueError: there is not one name a class.
    """
    num_classes = confusion.shape[-1]
    if len(group_of_class) != num_classes:
        raise ValueError(f'{len(group_of_class)} names of groups for {num_classes} classes: expected one a class')
    names = tuple(dict.fromkeys(group_of_class))
    member = np.array([[name == group for group in group_of_class] for name in names], dtype=confusion.dtype)
    return names, member @ confusion @ member.T


def as_percent(share: float) -> float | None:
    """A share as percent; None where undefined, because JSON has no NaN."""
    return None if np.isnan(share) else float(100 * share)


def percent(values: Mapping[str, float]) -> dict[str, float | None]:
    """`as_percent` of every value."""
    return {name: as_percent(value) for name, value in values.items()}
