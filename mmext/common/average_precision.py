"""From the outcomes of detections at falling scores to curves of precision and recall, and to average precision."""

import numpy as np

from mmext.common.detection_matching import HIT, MISS

# Ways from a curve to one number.
MODES = ('area', '11points')
# Tenths as PASCAL's and mmdet's code have them: three of them are 0.30000000000000004, which a recall of exactly 3/10
# does not reach.
ELEVEN_POINTS = np.arange(11) * 0.1


def precision_recall(outcome: np.ndarray, num_objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection, both (..., n).

    Args:
        outcome: (..., n) of HIT, MISS and IGNORED at falling scores.
        num_objects: How many could be hit; 1 is taken for 0, and for no counted detection.
    """
    hits, misses = (np.cumsum(outcome == what, axis=-1) for what in (HIT, MISS))
    return hits / np.maximum(hits + misses, 1), hits / max(num_objects, 1)


def falling(precision: np.ndarray) -> np.ndarray:
    """The largest value here or later: the interpolated precision, (..., n)."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def interpolated_precision(precision: np.ndarray, recall: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The largest precision at each of R recalls or above, 0 where none is as large: (T, n), (T, n) -> (T, R)."""
    envelope = np.append(falling(precision), np.zeros((len(precision), 1)), axis=1)
    place = [np.searchsorted(row, points) for row in recall]
    return np.take_along_axis(envelope, np.array(place).reshape(-1, len(points)), axis=1)


def average_precision(precision: np.ndarray, recall: np.ndarray, mode: str) -> np.ndarray:
    """AP of T curves: (T, n), (T, n) -> (T,); 0 for curves without a point.

    Args:
        precision: At falling scores.
        recall: At falling scores, so that it never falls.
        mode: 'area': area under the interpolated curve; '11points': mean of the interpolated precision at recall 0,
            0.1, ... 1.

    Raises:
        ValueError: another mode.
    """
    if mode not in MODES:
        raise ValueError(f'mode {mode!r}: choose from {", ".join(MODES)}')
    if mode == '11points':
        return interpolated_precision(precision, recall, ELEVEN_POINTS).mean(1)
    return (np.diff(recall, prepend=0) * falling(precision)).sum(1)
