"""Read label masks, tell how they encode the Cityscapes classes, and turn them into trainIds.

A mask that is not what the data set expects - label ids instead of trainIds, an RGB picture, a size of its own - does
not crash a training run: it trains on nonsense and ends with an mIoU near 0. Everything here raises `MaskError`
instead, which names the file, the value, the number of pixels and what to do.

Encodings: ``'train_ids'`` (0..18, 255 ignored), ``'label_ids'`` (0..33), ``'colors'`` (RGB of the label table).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from mmext.common.files import replacing

from .label_maps import CLASSES, COLOR_TO_TRAIN_ID, IGNORE_INDEX, LABEL_ID_TO_TRAIN_ID, MAX_LABEL_ID

ENCODINGS = ('train_ids', 'label_ids', 'colors')
TRAIN_IDS = frozenset({*range(len(CLASSES)), IGNORE_INDEX})
LABEL_IDS = frozenset(range(MAX_LABEL_ID + 1))
# Values that only label ids use: vegetation, sky, car and all that follows them in the table.
LABEL_IDS_ONLY = frozenset(range(len(CLASSES), MAX_LABEL_ID + 1))

T = TypeVar('T')


class MaskError(ValueError):
    """A label mask is missing, unreadable, or holds what it must not hold."""


def read_mask(path: str | Path) -> np.ndarray:
    """The values of a mask as stored.

    Returns:
        uint8 array: (H, W) for one channel or palette images (the palette's indices), (H, W, 3) RGB for colour images.

    Raises:
        MaskError: the file is missing, unreadable, truncated, deeper than 8 bits, partly transparent, or holds several
            pictures, of which only the first would be read.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # check sums, which reading does not compare; it needs a file that was opened anew
        with Image.open(path) as image:
            image.load()
            mode, frames = image.mode, getattr(image, 'n_frames', 1)
            values = np.asarray(image)
    except FileNotFoundError as error:
        where = f' (a link to {Path(path).readlink()})' if Path(path).is_symlink() else ''
        raise MaskError(f'{path}: mask is missing{where}') from error
    # What a decoder raises depends on where the file is damaged.
    except Exception as error:
        raise MaskError(f'{path}: mask cannot be read ({error}); copy it again from the source') from error
    if frames > 1:
        raise MaskError(f'{path}: mask has {frames} frames or pages; save the one that belongs to the image')
    if mode in ('L', 'P', 'RGB'):
        return values
    if mode == 'RGBA' and (values[..., 3] == 255).all():
        return values[..., :3]
    raise MaskError(f'{path}: mask has mode {mode}; save it as an 8-bit image with one channel (PIL mode L)')


def write_mask(path: str | Path, labels: np.ndarray) -> None:
    """Labels (H, W), uint8 -> one-channel PNG, whole or not at all."""
    with replacing(path) as unfinished:
        Image.fromarray(labels).save(unfinished, format='PNG')


def write_colored_mask(path: str | Path, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Labels (H, W), uint8 -> palette PNG that shows the classes' RGB colours and still holds the labels."""
    image = Image.fromarray(labels).convert('P')
    image.putpalette([channel for color in palette for channel in color])
    with replacing(path) as unfinished:
        image.save(unfinished, format='PNG')


def value_counts(mask: np.ndarray) -> dict[int, int]:
    """Value -> number of pixels; colours of an RGB mask (H, W, 3) are packed as 0xRRGGBB."""
    if mask.ndim == 2:
        counts = np.bincount(mask.ravel(), minlength=256)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    packed = pack_colors(mask)
    values, counts = np.unique(packed, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def pack_colors(mask: np.ndarray) -> np.ndarray:
    """RGB mask (H, W, 3), uint8 -> (H, W), uint32 with 0xRRGGBB."""
    channels = mask.astype(np.uint32)
    return (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]


def check_values(counts: dict[int, int], encoding: str, path: str | Path, is_color: bool = False) -> None:
    """Raise `MaskError` unless all values of one mask belong to the encoding.

    Args:
        counts: What `value_counts` returned.
        encoding: One of `ENCODINGS`.
        path: Only for the message.
        is_color: The mask has three channels.
    """
    if is_color != (encoding == 'colors'):
        found = 'three channels (a colour picture)' if is_color else 'one channel'
        raise MaskError(
            f'{path}: mask has {found}, {encoding} were expected; tools/prepare/kitti.py converts ids, trainIds and '
            f'colours, a mask saved with three equal channels needs PIL mode L'
        )
    allowed = {'train_ids': TRAIN_IDS, 'label_ids': LABEL_IDS, 'colors': COLOR_TO_TRAIN_ID.keys()}[encoding]
    wrong = {value: count for value, count in counts.items() if value not in allowed}
    if not wrong:
        return
    value, count = max(wrong.items(), key=lambda item: item[1])
    shown = f'colour #{value:06x}' if is_color else f'value {value}'
    raise MaskError(
        f'{path}: {shown} at {count} pixels ({len(wrong)} such values) is not one of the {encoding}; {_hint(wrong)}'
    )


def _hint(wrong: Iterable[int]) -> str:
    if set(wrong) <= LABEL_IDS_ONLY:
        return "these look like label ids: set label_encoding='label_ids' or convert with tools/prepare/kitti.py"
    if set(wrong) == {IGNORE_INDEX}:
        return "255 marks trainIds: set label_encoding='train_ids'"
    return 'correct the mask, or map the value to 255 if it is to be ignored'


def to_train_ids(mask: np.ndarray, encoding: str, path: str | Path = 'mask') -> np.ndarray:
    """Mask as `read_mask` returns it -> trainIds (H, W), uint8.

    Raises:
        MaskError: a value does not belong to the encoding.
    """
    check_values(value_counts(mask), encoding, path, is_color=mask.ndim == 3)
    if encoding == 'train_ids':
        return mask
    if encoding == 'label_ids':
        return LABEL_ID_TO_TRAIN_ID[mask]
    colors, inverse = np.unique(pack_colors(mask), return_inverse=True)
    train_ids = np.array([COLOR_TO_TRAIN_ID[color] for color in colors.tolist()], dtype=np.uint8)
    return train_ids[inverse].reshape(mask.shape[:2])


def guess_encoding(mask: np.ndarray) -> str | None:
    """The encoding that one mask must have, or None where both ids and trainIds are possible (only values 0..18)."""
    return guess_encoding_of_values(value_counts(mask).keys() if mask.ndim == 2 else (), is_color=mask.ndim == 3)


def guess_encoding_of_values(values: Collection[int], is_color: bool) -> str | None:
    """As `guess_encoding`, from the values of a mask that were taken before."""
    if is_color:
        return 'colors'
    if IGNORE_INDEX in values:
        return 'train_ids'
    return None if LABEL_IDS_ONLY.isdisjoint(values) else 'label_ids'


def detect_encoding(paths: Sequence[str | Path], workers: int = 2) -> str:
    """The one encoding that all masks of a folder share.

    A single frame may hold only values that both id schemes use; the folder as a whole decides. Without any decisive
    frame the masks are taken for trainIds: label ids without vegetation, sky and cars do not occur in street scenes.

    Raises:
        MaskError: two masks contradict each other, or a value belongs to no encoding.
    """
    with ThreadPoolExecutor(workers) as pool:
        return common_encoding(paths, pool.map(lambda path: guess_encoding(read_mask(path)), paths))


def common_encoding(paths: Iterable[str | Path], guesses: Iterable[str | None]) -> str:
    """What `detect_encoding` settles, from the guess about each mask.

    Raises:
        MaskError: two masks contradict each other.
    """
    first: dict[str, str | Path] = {}
    for path, guess in zip(paths, guesses, strict=True):
        if guess is not None:
            first.setdefault(guess, path)
    if len(first) > 1:
        listed = ', '.join(f'{path}: {encoding}' for encoding, path in first.items())
        raise MaskError(f'masks of different encodings in one folder ({listed}); convert them to one first')
    return next(iter(first), 'train_ids')


def check_all(pairs: Sequence[tuple[str | Path, str | Path]], check: Callable[..., T], workers: int = 2) -> list[T]:
    """What ``check(image path, mask path)`` returns for every pair.

    Raises:
        MaskError: about the first faulty pair, with the number of all faulty ones.
    """

    def attempt(pair: tuple[str | Path, str | Path]) -> T | MaskError:
        try:
            return check(*pair)
        except MaskError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(attempt, pairs))
    errors = [result for result in results if isinstance(result, MaskError)]
    if errors:
        others = f' ({len(errors)} of {len(pairs)} masks are faulty)' if len(errors) > 1 else ''
        raise MaskError(f'{errors[0]}{others}')
    return results


def read_pair(image_path: str | Path, mask_path: str | Path) -> np.ndarray:
    """The mask as `read_mask` returns it.

    Raises:
        MaskError: a file is missing or unreadable, or the mask has another size than the image.
    """
    mask = read_mask(mask_path)
    try:
        with Image.open(image_path) as image:
            width, height = image.size
    except Exception as error:
        raise MaskError(f'{image_path}: image cannot be read ({error}); copy it again from the source') from error
    if mask.shape[:2] != (height, width):
        raise MaskError(
            f'{mask_path}: mask is {mask.shape[0]} x {mask.shape[1]}, its image is {height} x {width}; '
            f'crop or resize both alike (masks with nearest neighbour)'
        )
    return mask


def check_masks(pairs: Sequence[tuple[str | Path, str | Path]], encoding: str, workers: int = 2) -> set[int]:
    """Check every (image path, mask path) of a data set: existence, size against the image, values.

    Returns:
        All values that occur.

    Raises:
        MaskError: about the first faulty mask, with the number of all faulty ones; or when masks that were declared
            as label ids hold no value that only label ids have, and read as such would be ignored for the most part; or
            as `check_variety`.
    """

    results = check_all(pairs, partial(_check_pair, encoding=encoding), workers)
    counts = sum(results, Counter())
    check_variety(counts, encoding, Path(pairs[0][1]).parent)
    if encoding == 'label_ids' and not counts.keys() & LABEL_IDS_ONLY:
        ignored = sum(count for value, count in counts.items() if LABEL_ID_TO_TRAIN_ID[value] == IGNORE_INDEX)
        if 2 * ignored > counts.total():
            raise MaskError(
                f'{Path(pairs[0][1]).parent}: no mask holds a value above {len(CLASSES) - 1}, and read as label ids '
                f"{ignored} of {counts.total()} pixels would be ignored; set label_encoding='train_ids'"
            )
    return set(counts)


def check_variety(values: Collection[int], encoding: str, where: str | Path) -> None:
    """Raise `MaskError` if the values of all masks of a set together cannot be those of trainIds.

    Either value alone is one of them, so that no single mask is at fault.
    """
    if encoding != 'train_ids':
        return
    if set(values) == {IGNORE_INDEX}:
        raise MaskError(
            f'{where}: every pixel of every mask is {IGNORE_INDEX}, which is ignored: nothing to learn from; '
            f'export the labels again'
        )
    if set(values) == {0, IGNORE_INDEX}:
        raise MaskError(
            f'{where}: all masks hold 0 and 255 only: black and white pictures, as trainIds they would be '
            f'{CLASSES[0]} and ignored; write class indices, with 255 for what is to be ignored'
        )


def _check_pair(image_path: str | Path, mask_path: str | Path, encoding: str) -> Counter[int]:
    mask = read_pair(image_path, mask_path)
    counts = value_counts(mask)
    check_values(counts, encoding, mask_path, is_color=mask.ndim == 3)
    return Counter(counts)
