"""How many pixels each class has, and the class weights that follow from it.

Toolbox-free: counts in, weights out. `n_c` is the number of labelled pixels of class c, `N` their sum over the
classes, `a_c` the number of all pixels, ignored ones included, of the images in which c occurs, C the number of
classes.

A class without a pixel has no frequency. In every scheme its weight is 0 - it cannot occur in the labels that were
counted - and the other weights are computed as if it did not exist, except that they still sum to C where a scheme is
normalised. `ClassStatistics.absent` names such classes; the JSON file repeats them.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from mmext.common.files import write_json

FORMULAS = {
    'log1p': 'w_c = 1 / ln(1 + n_c), scaled to sum to C',
    'inverse': 'w_c = N / n_c, scaled to sum to C',
    'median': 'w_c = median over classes of (n_c / a_c), divided by n_c / a_c; not scaled (arXiv:1411.4734)',
    'effective': 'w_c = (1 - beta) / (1 - beta^n_c), scaled to sum to C (arXiv:1901.05555)',
    'enet': 'w_c = 1 / ln(1.02 + n_c / N); not scaled (arXiv:1606.02147)',
}
SCHEMES = tuple(FORMULAS)
WRITE_IT = 'write it with tools/analysis/class_weights.py'


@dataclass(frozen=True)
class ClassStatistics:
    """Counts over a set of label masks, per class in the order of `names`.

    Attributes:
        names: Class names.
        pixels: Labelled pixels of the class.
        images: Masks in which the class occurs.
        image_pixels: All pixels, ignored ones included, of the masks in which the class occurs.
        ignored_pixels: Pixels that carry the ignore index.
        num_files: Masks counted.
        files_sha256: SHA-256 of the sorted list of masks, which tells whether two files speak of the same data.
    """

    names: tuple[str, ...]
    pixels: tuple[int, ...]
    images: tuple[int, ...]
    image_pixels: tuple[int, ...]
    ignored_pixels: int = 0
    num_files: int = 0
    files_sha256: str = ''

    def __post_init__(self) -> None:
        lengths = {key: len(getattr(self, key)) for key in ('names', 'pixels', 'images', 'image_pixels')}
        if len(set(lengths.values())) != 1:
            raise ValueError(f'class statistics need one entry per class in each list, got {lengths}')

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes without a pixel."""
        return tuple(name for name, count in zip(self.names, self.pixels, strict=True) if count == 0)


def log1p_weights(pixels: Sequence[int]) -> np.ndarray:
    """1 / ln(1 + n_c), scaled to sum to C: mild, a factor of about 2 over three decades. The kitti report's scheme."""
    return _over_present(pixels, lambda counts: 1 / np.log1p(counts), scale=True)


def inverse_weights(pixels: Sequence[int]) -> np.ndarray:
    """N / n_c, scaled to sum to C: every class contributes the same total."""
    return _over_present(pixels, lambda counts: counts.sum() / counts, scale=True)


def median_weights(pixels: Sequence[int], image_pixels: Sequence[int]) -> np.ndarray:
    """Median frequency balancing (Eigen & Fergus, arXiv:1411.4734), not scaled: the median class weighs 1."""
    present = np.asarray(pixels) > 0
    frequency = np.asarray(pixels, float)[present] / np.asarray(image_pixels, float)[present]
    weights = np.zeros(len(present))
    if present.any():
        weights[present] = np.median(frequency) / frequency
    return weights


def effective_weights(pixels: Sequence[int], beta: float = 0.9999) -> np.ndarray:
    """(1 - beta) / (1 - beta^n_c), scaled to sum to C (Cui et al., arXiv:1901.05555).

    beta = 0 weighs all classes alike, beta -> 1 tends to `inverse_weights`. Counts of pixels are far above
    1 / (1 - beta) for the usual beta of 0.9999, which then also weighs all classes nearly alike: pixels want a beta
    such as 1 - 1e-7.

    Raises:
        ValueError: beta is outside [0, 1).
    """
    if not 0 <= beta < 1:
        raise ValueError(f'beta={beta}: the effective number of samples needs 0 <= beta < 1, for example 0.9999')
    log_beta = math.log1p(beta - 1) if beta > 0 else -math.inf
    # expm1 and log1p: 1 - beta^n loses all digits where n (1 - beta) is small, and beta^n underflows where it is large.
    return _over_present(pixels, lambda counts: (1 - beta) / -np.expm1(counts * log_beta), scale=True)


def enet_weights(pixels: Sequence[int]) -> np.ndarray:
    """1 / ln(1.02 + p_c) with p_c = n_c / N (ENet, arXiv:1606.02147), not scaled: between 1.4 and 50.5."""
    return _over_present(pixels, lambda counts: 1 / np.log(1.02 + counts / counts.sum()), scale=False)


def class_weights(statistics: ClassStatistics, scheme: str = 'log1p', beta: float = 0.9999) -> np.ndarray:
    """Weights of a scheme named in `SCHEMES`.

    Returns:
        float64 array (C,): 0 for a class without a pixel.

    Raises:
        ValueError: unknown scheme, or beta out of range.
    """
    pixels = statistics.pixels
    if scheme == 'median':
        return median_weights(pixels, statistics.image_pixels)
    if scheme == 'effective':
        return effective_weights(pixels, beta)
    plain = {'log1p': log1p_weights, 'inverse': inverse_weights, 'enet': enet_weights}
    if scheme not in plain:
        raise ValueError(f'scheme={scheme!r}: choose one of {", ".join(SCHEMES)}')
    return plain[scheme](pixels)


def _over_present(pixels: Sequence[int], weigh: Callable[[np.ndarray], np.ndarray], scale: bool) -> np.ndarray:
    counts = np.asarray(pixels, dtype=np.float64)
    present = counts > 0
    weights = np.zeros(len(counts))
    if present.any():
        weights[present] = weigh(counts[present])
        if scale:
            weights *= len(counts) / weights.sum()
    return weights


def write_class_balance(path: str | Path, statistics: ClassStatistics, scheme: str, beta: float = 0.9999) -> None:
    """Write counts and weights as JSON; the file appears whole or not at all."""
    weights = class_weights(statistics, scheme, beta)
    content = {
        'scheme': scheme,
        'formula': FORMULAS[scheme],
        **({'beta': beta} if scheme == 'effective' else {}),
        'absent_classes_weigh_0': list(statistics.absent),
        **asdict(statistics),
        'weights': [float(weight) for weight in weights],
    }
    write_json(path, content)


def read_class_statistics(path: str | Path) -> ClassStatistics:
    """The counts of a file that `write_class_balance` wrote.

    Raises:
        ValueError: the file is no such file; the message names it and what is missing.
    """
    content = _read_json(path)
    try:
        lists = {key: tuple(content[key]) for key in ('names', 'pixels', 'images', 'image_pixels')}
        scalars = {key: content[key] for key in ('ignored_pixels', 'num_files', 'files_sha256')}
        for key in ('pixels', 'images', 'image_pixels'):
            if wrong := [value for value in lists[key] if type(value) is not int or value < 0]:
                raise ValueError(f'{key} holds {wrong[0]!r}, which is no count')
        return ClassStatistics(**lists, **scalars)
    except (KeyError, TypeError, ValueError) as error:
        reason = f'no entry {error}' if isinstance(error, KeyError) else error
        raise ValueError(f'{path}: {reason}; {WRITE_IT}') from error


def load_class_weight(
    value: Sequence[float] | str | Path | None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> list[float] | None:
    """Class weights from a list, or from the JSON file of ``tools/analysis/class_weights.py``.

    Args:
        value: None for no weights, numbers, or a path (relative to the working directory).
        num_classes: Number of weights that must come out; None leaves it unchecked.
        class_names: Names, in order, that the file must hold; a list carries no names and is not compared.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: wrong number of weights, wrong names, values that are negative, not finite or no numbers, nothing
            but zeros, or no such JSON.
    """
    if value is None:
        return None
    names = None
    source = 'class_weight'
    if isinstance(value, str | Path):
        source = f'class_weight file {value}'
        content = _read_json(value)
        if not isinstance(content, dict) or 'weights' not in content:
            raise ValueError(f"{source}: no entry 'weights'; {WRITE_IT}")
        value, names = content['weights'], content.get('names')
        if names is not None and not isinstance(names, list):
            raise ValueError(f'{source}: names is {names!r}, expected a list; {WRITE_IT}')
    weights = _checked_weights(value, source, class_names if class_names is not None else names)
    if num_classes is not None and len(weights) != num_classes:
        raise ValueError(
            f'{source}: {len(weights)} weights for {num_classes} classes; give one weight a class, '
            f'or count this data set with tools/analysis/class_weights.py'
        )
    if class_names is not None and names is not None and list(names) != list(class_names):
        pairs = zip(names, class_names, strict=False)
        position = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(names), len(class_names)))
        raise ValueError(
            f'{source}: counted for the classes {_around(names, position)}, this model has '
            f'{_around(class_names, position)}; count its data set with tools/analysis/class_weights.py'
        )
    return weights


def _checked_weights(value: Any, source: str, names: Sequence[str] | None) -> list[float]:
    """Finite numbers >= 0, one of them above 0."""
    if isinstance(value, dict | str) or not isinstance(value, Iterable):
        raise ValueError(f'{source}: weights is a {type(value).__name__} ({value!r}); expected a list of numbers')
    weights = []
    for index, weight in enumerate(value):
        of = f' of {names[index]}' if names is not None and index < len(names) else f' at position {index}'
        if isinstance(weight, bool) or not isinstance(weight, Real):
            raise ValueError(f'{source}: weight {weight!r}{of} is no number; correct it')
        # A whole number that is too large for a float raises.
        if not (abs(weight) <= sys.float_info.max and weight >= 0):
            raise ValueError(f'{source}: weight {str(weight)[:40]}{of} is not a finite number >= 0; correct it')
        weights.append(float(weight))
    if weights and not any(weights):
        raise ValueError(f'{source}: all {len(weights)} weights are 0, nothing would be learned; {WRITE_IT}')
    return weights


def _around(names: Sequence[str], position: int) -> str:
    shown = names[position] if position < len(names) else 'nothing'
    return f'"{shown}" at position {position}'


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'), object_pairs_hook=_without_repetitions)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such class weight file; {WRITE_IT}, or correct the path') from error
    except OSError as error:
        raise type(error)(f'{path}: class weights cannot be read ({error.strerror}); {WRITE_IT}') from error
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8
        raise ValueError(f'{path}: not a JSON file ({error}); {WRITE_IT}') from error


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON takes the last of two entries of one name without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f'it has the entry {twice!r} twice')
    return content
