"""From KITTI's raw layout to the layout that `KITTISegDataset` reads.

Raw: ``training/image_2/*.png`` and ``training/semantic/*.png`` of the same names. Prepared:
``img_dir/{train,val}/*.png``, ``ann_dir/{train,val}/*.png`` with trainIds, and ``split.json``, which says how the
folder was made.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import track

from mmext.common.group_split import groups_of, split_groups

from .label_encoding import MaskError, check_masks, detect_encoding, read_mask, to_train_ids, write_mask
from .prepared_folder import claim_folder, place_file

# The stereo benchmark puts the frame one tick later beside each labelled one; it has no labels.
UNLABELLED_SUFFIX = '_11.png'


@dataclass(frozen=True)
class KITTISplit:
    """How a prepared folder came about: encoding of the raw masks, and the file stems of both parts, sorted."""

    encoding: str
    train: list[str]
    val: list[str]


def find_pairs(raw: Path) -> dict[str, tuple[Path, Path]]:
    """File stem -> (image, mask) of every labelled frame, sorted by stem.

    Raises:
        FileNotFoundError: a folder is missing or empty.
        MaskError: an image without a mask, or a mask without an image.
    """
    image_dir, mask_dir = raw / 'training' / 'image_2', raw / 'training' / 'semantic'
    for folder in (image_dir, mask_dir):
        if not any(folder.glob('*.png')):
            raise FileNotFoundError(
                f'{folder}: no PNG files; RAW must be the folder that holds training/image_2 and training/semantic'
            )
    images = {path.stem: path for path in image_dir.glob('*.png') if not path.name.endswith(UNLABELLED_SUFFIX)}
    masks = {path.stem: path for path in mask_dir.glob('*.png')}
    for have, lack, kind, where in ((images, masks, 'mask', mask_dir), (masks, images, 'image', image_dir)):
        missing = sorted(have.keys() - lack.keys())
        if missing:
            raise MaskError(
                f'{where / missing[0]}.png: {kind} is missing ({len(missing)} of {len(have)}); '
                f'unpack data_semantics.zip again or remove the other half of the pair'
            )
    return {stem: (images[stem], masks[stem]) for stem in sorted(images)}


def split_stems(
    stems: Sequence[str], val_count: int, seed: int, group_by: str | None = None
) -> tuple[list[str], list[str]]:
    """Sorted stems of train and val; the same for the same stems, count and seed.

    Args:
        stems: All of them.
        val_count: Size of the validation part; with ``group_by`` as near to it as whole groups allow.
        seed: Seed of the draw.
        group_by: Regular expression; stems in which it finds the same stay together, see `groups_of`.

    Raises:
        ValueError: ``val_count`` leaves one part empty, or the groups cannot be split; `GroupSplitError`.
    """
    if not 0 < val_count < len(stems):
        raise ValueError(f'--val-count {val_count}: must be between 1 and {len(stems) - 1} for {len(stems)} frames')
    if group_by is not None:
        stems = sorted(stems)
        sizes = (len(stems) - val_count, val_count)
        parts = split_groups(groups_of(stems, group_by), sizes, seed, names=('train', 'val'))
        return tuple([stems[index] for index in part] for part in parts)
    val = set(random.Random(seed).sample(sorted(stems), val_count))
    return sorted(set(stems) - val), sorted(val)


def read_val_list(path: Path, stems: Sequence[str]) -> tuple[list[str], list[str]]:
    """Sorted stems of train and val from a text file that names the validation frames, one a line.

    Raises:
        ValueError: the file names no frame, an unknown one, one twice, or all.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: no plain text ({error}); one file stem a line') from error
    val = [Path(line).name.removesuffix('.png') for line in lines if line]
    unknown = sorted(set(val) - set(stems))
    if unknown:
        raise ValueError(f'{path}: {unknown[0]} is no labelled frame ({len(unknown)} unknown); one file stem a line')
    if len(set(val)) != len(val):
        raise ValueError(f'{path}: {next(stem for stem in val if val.count(stem) > 1)} is listed twice')
    if not 0 < len(val) < len(stems):
        raise ValueError(f'{path}: lists {len(val)} of {len(stems)} frames; both parts need at least one')
    return sorted(set(stems) - set(val)), sorted(val)


def prepare_kitti(
    raw: Path,
    out: Path,
    val_count: int = 50,
    seed: int = 0,
    val_list: Path | None = None,
    copy: bool = False,
    group_by: str | None = None,
) -> KITTISplit:
    """Check everything, then write the prepared folder. Running it again completes or refreshes the same folder.

    Args:
        raw: Folder that holds ``training``.
        out: Prepared folder.
        val_count: Frames of the validation part, drawn with ``seed``.
        val_list: Names the validation frames instead; `read_val_list`.
        copy: Copy the images; otherwise they are symbolic links into ``raw``.
        group_by: Keeps frames together in the draw; `split_stems`.

    Raises:
        MaskError, FileNotFoundError, ValueError: faulty input; nothing was written.
        FileExistsError: ``out`` holds other things, or the same frames split in another way.
    """
    if val_list and group_by is not None:
        raise ValueError(f'--group-by {group_by!r}: {val_list} names the validation frames already; leave one out')
    pairs = find_pairs(raw)
    masks = [mask for _, mask in pairs.values()]
    encoding = detect_encoding(masks)
    check_masks(list(pairs.values()), encoding)
    if val_list:
        train, val = read_val_list(val_list, list(pairs))
    else:
        train, val = split_stems(list(pairs), val_count, seed, group_by)
    split = KITTISplit(encoding, train, val)
    claim_folder(out, asdict(split))
    jobs = [('train', stem) for stem in train] + [('val', stem) for stem in val]
    for part, stem in track(jobs, description='Preparing'):
        image, mask = pairs[stem]
        place_file(image, out / 'img_dir' / part / image.name, copy)
        write_mask(out / 'ann_dir' / part / mask.name, to_train_ids(read_mask(mask), encoding, mask))
    return split
