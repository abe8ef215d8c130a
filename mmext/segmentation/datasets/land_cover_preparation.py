"""From colour-coded land-cover masks to the layout that `LandCoverDataset` reads.

Raw: ``<id>_sat.jpg`` and ``<id>_mask.png`` side by side in one folder. Prepared: ``img_dir/{train,val}/<id>_sat.jpg``,
``ann_dir/{train,val}/<id>_mask.png`` with class indices, and ``split.json``, which says how the folder was made.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from .kitti_preparation import read_val_list, split_stems
from .label_encoding import MaskError, check_all, pack_colors, read_pair, write_mask
from .land_cover import CLASSES, IMG_SUFFIX, MASK_SUFFIX, PALETTE
from .prepared_folder import claim_folder, place_file

UNKNOWN = CLASSES.index('unknown')
Pairs = dict[str, tuple[Path, Path]]


@dataclass(frozen=True)
class LandCoverSplit:
    """How a prepared folder came about: what the conversion accepted, and the ids of both parts, sorted."""

    tolerance: int
    others_unknown: bool
    train: list[str]
    val: list[str]


def find_pairs(folder: Path) -> Pairs:
    """Id -> (picture, mask), sorted by id.

    Raises:
        FileNotFoundError: no picture or no mask in the folder.
        MaskError: a picture without a mask, or a mask without a picture.
    """
    images, masks = (
        {path.name.removesuffix(suffix): path for path in folder.glob(f'*{suffix}')}
        for suffix in (IMG_SUFFIX, MASK_SUFFIX)
    )
    for found, suffix in ((images, IMG_SUFFIX), (masks, MASK_SUFFIX)):
        if not found:
            raise FileNotFoundError(
                f'{folder}: no *{suffix} files; name the folder that holds <id>{IMG_SUFFIX} and <id>{MASK_SUFFIX}'
            )
    for have, lack, kind, suffix in ((images, masks, 'mask', MASK_SUFFIX), (masks, images, 'picture', IMG_SUFFIX)):
        missing = sorted(have.keys() - lack.keys())
        if missing:
            raise MaskError(
                f'{folder / missing[0]}{suffix}: {kind} is missing ({len(missing)} of {len(have)}); '
                f'unpack the data again or remove the other half of the pair'
            )
    return {stem: (images[stem], masks[stem]) for stem in sorted(images)}


def to_class_indices(
    mask: np.ndarray, tolerance: int = 0, others_unknown: bool = False, path: str | Path = 'mask'
) -> np.ndarray:
    """Colour-coded mask -> class indices.

    The distance of two colours is the largest difference of a channel. Every pixel takes the nearest class colour;
    colours farther than ``tolerance`` from all of them are an error, unless they are to become ``unknown``. The
    colours of the table differ by 255 in some channel, so up to 127 the nearest one is unambiguous, and 127 sorts as
    the evaluation of the report's course does, which cuts each channel at 128.

    Args:
        mask: (H, W, 3) uint8, RGB.
        tolerance: 0 to 127; 0 accepts the listed colours only.
        others_unknown: Pixels of other colours become ``unknown``.
        path: Only for the message.

    Returns:
        (H, W) uint8, 0..6.

    Raises:
        MaskError: not three channels, or a colour of no class; names the most frequent one, its count and the nearest
            class.
        ValueError: ``tolerance`` out of range.
    """
    if not 0 <= tolerance <= 127:
        raise ValueError(f'--tolerance {tolerance}: between 0 and 127; above, a colour could belong to two classes')
    if mask.ndim != 3:
        raise MaskError(f'{path}: mask has one channel, colours were expected; save it as an RGB image')
    packed, inverse, counts = np.unique(pack_colors(mask), return_inverse=True, return_counts=True)
    colors = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.int16)
    distances = np.abs(colors[:, None] - np.array(PALETTE, dtype=np.int16)).max(axis=2)
    nearest, distance = distances.argmin(axis=1), distances.min(axis=1)
    foreign = distance > tolerance
    if foreign.any() and not others_unknown:
        worst = int(np.argmax(np.where(foreign, counts, 0)))
        raise MaskError(
            f'{path}: colour #{packed[worst]:06x} at {counts[worst]} pixels ({foreign.sum()} such colours, '
            f'{counts[foreign].sum()} pixels) is no class colour; nearest is {CLASSES[nearest[worst]]}, '
            f'{distance[worst]} away: {_remedy(distance[foreign])}'
        )
    classes = np.where(foreign, UNKNOWN, nearest).astype(np.uint8)
    return classes[inverse].reshape(mask.shape[:2])


def _remedy(distances: np.ndarray) -> str:
    if distances.max() <= 127:
        return f'--tolerance {distances.max()} accepts noise like this, --others-unknown drops it'
    return '--others-unknown makes it unknown, or correct the mask'


def prepare_land_cover(
    raw: Path,
    out: Path,
    val_raw: Path | None = None,
    val_count: int = 0,
    seed: int = 0,
    val_list: Path | None = None,
    tolerance: int = 0,
    others_unknown: bool = False,
    copy: bool = False,
    group_by: str | None = None,
) -> LandCoverSplit:
    """Check everything, then write the prepared folder. Running it again completes or refreshes the same folder.

    The validation part comes from one of three sources.

    Args:
        raw: Folder of the pairs.
        out: Prepared folder.
        val_raw: A folder of its own with the pairs of the validation part.
        val_count: Pairs drawn from ``raw`` with ``seed``.
        val_list: Names the validation pairs in ``raw``, one id a line.
        tolerance: `to_class_indices`.
        others_unknown: `to_class_indices`.
        copy: Copy the pictures; otherwise they are symbolic links into ``raw``.
        group_by: Regular expression that keeps pairs together in the draw; `split_stems`.

    Raises:
        MaskError, FileNotFoundError, ValueError: faulty input; nothing was written.
        FileExistsError: ``out`` holds other things, or the same pairs split or converted in another way.
    """
    train, val = _split(raw, val_raw, val_count, seed, val_list, group_by)

    def convert(image: Path, mask: Path) -> np.ndarray:
        return to_class_indices(read_pair(image, mask), tolerance, others_unknown, mask)

    def check(image: Path, mask: Path) -> None:
        convert(image, mask)

    check_all([*train.values(), *val.values()], check)
    split = LandCoverSplit(tolerance, others_unknown, list(train), list(val))
    claim_folder(out, asdict(split))
    jobs = [(part, *pair) for part, pairs in (('train', train), ('val', val)) for pair in pairs.values()]
    for part, image, mask in track(jobs, description='Preparing'):
        place_file(image, out / 'img_dir' / part / image.name, copy)
        write_mask(out / 'ann_dir' / part / mask.name, convert(image, mask))
    return split


def _split(
    raw: Path, val_raw: Path | None, val_count: int, seed: int, val_list: Path | None, group_by: str | None
) -> tuple[Pairs, Pairs]:
    if group_by is not None and (val_raw or val_list):
        raise ValueError(
            f'--group-by {group_by!r}: {val_raw or val_list} holds the validation pairs already; '
            f'it goes with --val-count only'
        )
    pairs = find_pairs(raw)
    if val_raw is not None:
        return pairs, find_pairs(val_raw)
    stems: Sequence[Sequence[str]]
    stems = read_val_list(val_list, list(pairs)) if val_list else split_stems(list(pairs), val_count, seed, group_by)
    train, val = ({stem: pairs[stem] for stem in part} for part in stems)
    return train, val
