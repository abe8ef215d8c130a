"""A file of confusion matrices, one JSON line an image: the raw material of every score and of every comparison.

Each line stands alone:

    {"image": "val/000001_10.png", "mIoU": 61.3, "classes": ["road", ...], "confusion": [[0, 0, 90412], [0, 1, 377]]}

``confusion`` lists the entries that are not 0 as [true class, predicted class, pixels], both classes as positions in
``classes``; ignored pixels are left out. ``mIoU`` is percent, of this image alone, null if it has no labelled pixel.
``not_in_mean`` is there where means leave classes out, and names them.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmext.common.confusion_scores import ClassCounts, class_counts, percent, score
from mmext.common.files import write_text

SUFFIX = '.jsonl'
NAME = 'image_scores_{stage}' + SUFFIX


@dataclass(frozen=True)
class ImageScores:
    """The images of one evaluation.

    Attributes:
        path: The file they were read from.
        images: Names, relative to the folder that all images of the file share.
        classes: Names of the C classes.
        counts: Of every image, each (N, C).
        not_in_mean: Classes that the means of this evaluation leave out.
    """

    path: Path
    images: tuple[str, ...]
    classes: tuple[str, ...]
    counts: ClassCounts
    not_in_mean: tuple[str, ...] = ()


def sparse(confusion: np.ndarray) -> np.ndarray:
    """(C, C) -> (n, 3): true class, predicted class and pixels of the n entries that are not 0; int64."""
    truth, predicted = np.nonzero(confusion)
    return np.stack([truth, predicted, confusion[truth, predicted]], axis=1)


def dense(entries: np.ndarray | Sequence, num_classes: int) -> np.ndarray:
    """Inverse of `sparse`: (n, 3) -> (C, C), int64."""
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    truth, predicted, pixels = entries = np.asarray(entries, dtype=np.int64).reshape(-1, 3).T
    if (entries < 0).any():
        raise ValueError(f'{entries.min()} is neither a class nor a number of pixels')
    confusion[truth, predicted] = pixels
    return confusion


def write_image_scores(
    path: str | Path,
    classes: Sequence[str],
    rows: Iterable[tuple[str, np.ndarray]],
    not_in_mean: Sequence[str] = (),
) -> None:
    """Write the file whole.

    Args:
        path: Where to.
        classes: Names of the C classes.
        rows: Path of an image and its confusion matrix as `sparse` gives it.
        not_in_mean: Classes that the means leave out.
    """
    lines, in_mean = [], [name not in not_in_mean for name in classes]
    about = dict(classes=list(classes)) | (dict(not_in_mean=list(not_in_mean)) if not_in_mean else {})
    for image, entries in rows:
        miou = score(class_counts(dense(entries, len(classes))), 'mIoU', in_mean)
        line = dict(image=image, **percent(dict(mIoU=miou)), **about, confusion=entries.tolist())
        lines.append(json.dumps(line, separators=(',', ':')) + '\n')
    write_text(path, ''.join(lines))


def find_image_scores(source: str | Path) -> Path:
    """The file itself, or the newest one below a folder.

    Raises:
        FileNotFoundError: neither.
    """
    source = Path(source)
    if source.is_file():
        return source
    found = sorted(source.rglob(NAME.format(stage='*')), key=lambda path: path.stat().st_mtime)
    if not found:
        wanted = NAME.format(stage='{val,test}')
        raise FileNotFoundError(
            f'{source}: neither a file nor a folder that holds {wanted}; SegmentationMetric writes it beside the log '
            f'of every validation and test'
        )
    return found[-1]


def read_image_scores(path: str | Path) -> ImageScores:
    """Read a file of `write_image_scores`.

    Raises:
        ValueError: a line that is not what it should be, an image that occurs twice, or classes that change.
    """
    path = Path(path)
    images, counts, classes, not_in_mean = [], [], None, ()
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: no UTF-8 text ({error}); give a file {NAME.format(stage="*")}') from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
            image, names = row['image'], tuple(row['classes'])
            not_in_mean = tuple(row.get('not_in_mean', ()))
            counts.append(class_counts(dense(row['confusion'], len(names))))
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f'{path}:{number}: not a line of per-image scores ({error!r}); give a file {NAME.format(stage="*")} '
                f'that SegmentationMetric wrote'
            ) from error
        if classes not in (None, names):
            raise ValueError(f'{path}:{number}: classes {names} differ from {classes} above; keep one run a file')
        if image in images:
            raise ValueError(f'{path}:{number}: {image} occurs twice; keep one run a file')
        classes = names
        images.append(image)
    if not images:
        raise ValueError(f'{path}: holds no image; repeat the evaluation that should have written it')
    stacked = ClassCounts(*(np.stack(values) for values in zip(*counts, strict=True)))
    return ImageScores(path, _below_shared_folder(images), classes, stacked, not_in_mean)


def _below_shared_folder(images: Sequence[str]) -> tuple[str, ...]:
    """The same data may lie in another place in another run."""
    shared = os.path.commonpath([Path(image).parent for image in images])
    return tuple(Path(os.path.relpath(image, shared)).as_posix() for image in images)
