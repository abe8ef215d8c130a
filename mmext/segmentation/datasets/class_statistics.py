"""Count the pixels of each class over label masks: those of any mmseg data set config, or those of a folder.

Every mask is read once. What its values mean is settled after the pass, from all masks together, because a single
frame may hold only values that several encodings share.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, TRANSFORMS
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmext.common.class_balance import ClassStatistics

from .label_encoding import (
    MaskError,
    check_values,
    check_variety,
    common_encoding,
    guess_encoding_of_values,
    read_mask,
    value_counts,
)
from .label_maps import CLASSES, COLOR_TO_TRAIN_ID, IGNORE_INDEX, LABEL_ID_TO_TRAIN_ID, PALETTE

LOADERS = ('LoadAnnotations', 'LoadLabelMap')


@dataclass(frozen=True)
class MaskSource:
    """Masks that can be read one by one.

    Attributes:
        name: For titles and file names.
        files: Paths, in the order of `load`'s index; only named, never opened through this list.
        load: Index -> mask, (H, W) integers or (H, W, 3) RGB.
        class_names: In the order of the class indices.
        palette: RGB per class, 0..255, or None.
        ignore_index: Value of pixels that do not count.
        guess_encoding: The masks may hold Cityscapes label ids or colours in place of class indices.
    """

    name: str
    files: tuple[str, ...]
    load: Callable[[int], np.ndarray]
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] | None
    ignore_index: int = IGNORE_INDEX
    guess_encoding: bool = False


@dataclass(frozen=True)
class MaskCounts:
    """Value -> pixels of one mask; colours are packed as 0xRRGGBB."""

    path: str
    values: dict[int, int]
    is_color: bool = False


def masks_of_folder(
    folder: str | Path, classes: str = 'cityscapes', ignore_index: int | None = None, pattern: str = '*.png'
) -> MaskSource:
    """All masks below a folder.

    Args:
        folder: Searched recursively.
        classes: ``'cityscapes'`` (label ids, trainIds or colours, found out from the values), or the path of a text
            file with one class name a line, for masks that hold class indices.
        ignore_index: 255 by default; the Cityscapes encodings know no other.
        pattern: Glob pattern of the file names.

    Raises:
        FileNotFoundError: no such mask, or no such file of names.
        ValueError: another ignore index than 255 for Cityscapes classes.
    """
    files = tuple(sorted(str(path) for path in Path(folder).rglob(pattern)))
    if not files:
        raise FileNotFoundError(f'{folder}: no {pattern} below it; name the folder that holds the label masks')
    is_cityscapes = classes == 'cityscapes'
    if is_cityscapes and ignore_index not in (None, IGNORE_INDEX):
        raise ValueError(f'ignore index {ignore_index}: Cityscapes masks ignore {IGNORE_INDEX}; leave it out')
    return MaskSource(
        name=Path(folder).resolve().name,
        files=files,
        load=lambda index: read_mask(files[index]),
        class_names=CLASSES if is_cityscapes else _read_names(classes),
        palette=PALETTE if is_cityscapes else None,
        ignore_index=IGNORE_INDEX if ignore_index is None else ignore_index,
        guess_encoding=is_cityscapes,
    )


def _read_names(path: str) -> tuple[str, ...]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; give 'cityscapes' or a text file with one class name a line")
    names = tuple(line.strip() for line in Path(path).read_text(encoding='utf-8').splitlines() if line.strip())
    if not names or len(set(names)) != len(names):
        raise ValueError(f'{path}: {len(names)} names, {len(set(names))} different; write one class name a line')
    return names


def masks_of_config(cfg: Config, split: str = 'train', ignore_index: int | None = None) -> MaskSource:
    """The masks that ``cfg.<split>_dataloader`` reads, as its annotation-loading transform delivers them.

    Wrappers (repeated, concatenated, mixed data sets) are looked through: each data set is counted once, a repetition
    would not change the frequencies. Images are not read and no other transform runs.

    Raises:
        ValueError: no such data loader, no loading transform in its pipeline, data sets of different classes, or no
            annotations.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'{cfg.filename}: no {split}_dataloader; choose another --split')
    parts = [_build_part(part, cfg.filename) for part in _leaf_datasets(loader['dataset'])]
    datasets = [dataset for dataset, _ in parts]
    meta = datasets[0].metainfo
    if any(dataset.metainfo['classes'] != meta['classes'] for dataset in datasets):
        raise ValueError(f'{cfg.filename}: the {split} data sets have different classes; count them one by one')
    where = [(part, index) for part, dataset in enumerate(datasets) for index in range(len(dataset))]
    infos = [datasets[part].get_data_info(index) for part, index in where]
    files = tuple(str(info.get('seg_map_path') or '') for info in infos)
    if not files or not all(files):
        raise ValueError(f'{cfg.filename}: the {split} data set has images without a mask; choose another --split')

    def load(index: int) -> np.ndarray:
        part, inner = where[index]
        dataset, transform = parts[part]
        return _load_annotation(transform, dataset.get_data_info(inner))

    palette = meta.get('palette')
    return MaskSource(
        name=f'{Path(cfg.filename or "config").stem}-{split}',
        files=files,
        load=load,
        class_names=tuple(meta['classes']),
        palette=tuple(tuple(color) for color in palette) if palette else None,
        ignore_index=datasets[0].ignore_index if ignore_index is None else ignore_index,
    )


def _leaf_datasets(dataset: Mapping) -> Iterator[Mapping]:
    if 'datasets' in dataset:
        for part in dataset['datasets']:
            yield from _leaf_datasets(part)
    elif 'dataset' in dataset:
        yield from _leaf_datasets(dataset['dataset'])
    else:
        yield dataset


def _build_part(dataset_cfg: Mapping, config_name: str | None) -> tuple:
    steps = dataset_cfg.get('pipeline', [])
    found = [step for step in steps if any(name in str(step['type']) for name in LOADERS)]
    if not found:
        raise ValueError(
            f'{config_name}: the pipeline of {dataset_cfg["type"]} has no transform named like {" or ".join(LOADERS)}'
        )
    return DATASETS.build({**dataset_cfg, 'pipeline': []}), TRANSFORMS.build(dict(found[0]))


def _load_annotation(transform: Callable[[dict], dict], info: dict) -> np.ndarray:
    path = info['seg_map_path']
    try:
        mask = transform(info)['gt_seg_map']
    except (OSError, SyntaxError, AttributeError) as error:  # PIL raises the first two, cv2 returns None
        raise MaskError(f'{path}: mask is missing or unreadable ({error}); copy it again from the source') from error
    if mask.ndim != 2:
        raise MaskError(f'{path}: mask has shape {mask.shape}, expected (H, W); convert colours to class indices first')
    return mask


def count_classes(source: MaskSource, workers: int = 2, progress: bool = False) -> tuple[ClassStatistics, str]:
    """Read every mask once and count, in ``workers`` threads (decoding releases the interpreter lock).

    Returns:
        The statistics, and how the masks encode the classes: ``'class indices'`` or one of
        `label_encoding.ENCODINGS`.

    Raises:
        MaskError: a mask is missing, unreadable or holds values outside the table; the message names file, value,
            number of pixels and remedy. Also as `label_encoding.check_variety`.
    """

    def count(index: int) -> MaskCounts:
        mask = source.load(index)
        if mask.ndim == 2 and mask.dtype != np.uint8:
            values, counts = np.unique(mask, return_counts=True)
            return MaskCounts(source.files[index], dict(zip(values.tolist(), counts.tolist(), strict=True)))
        return MaskCounts(source.files[index], value_counts(mask), mask.ndim == 3)

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        results = pool.map(count, range(len(source.files)))
        total = len(source.files)
        masks = list(
            track(results, 'counting', total=total, console=Console(stderr=True), disable=not progress, transient=True)
        )
    where = Path(masks[0].path).parent
    if not source.guess_encoding:
        statistics = tabulate(masks, source.class_names, source.ignore_index)
        if not any(statistics.pixels):
            raise MaskError(f'{where}: every pixel of all {len(masks)} masks is ignored: no labelled pixel to count')
        return statistics, 'class indices'
    guesses = (guess_encoding_of_values(mask.values, mask.is_color) for mask in masks)
    encoding = common_encoding([mask.path for mask in masks], guesses)
    to_class = {'label_ids': LABEL_ID_TO_TRAIN_ID, 'colors': COLOR_TO_TRAIN_ID, 'train_ids': range(256)}[encoding]
    for mask in masks:
        check_values(mask.values, encoding, mask.path, mask.is_color)
    check_variety({value for mask in masks for value in mask.values}, encoding, where)
    return tabulate(masks, source.class_names, source.ignore_index, to_class), encoding


def tabulate(
    masks: Sequence[MaskCounts],
    class_names: Sequence[str],
    ignore_index: int = IGNORE_INDEX,
    to_class: Mapping[int, int] | Sequence[int] | None = None,
) -> ClassStatistics:
    """Per-class sums of per-mask counts.

    Args:
        masks: One entry a mask.
        class_names: C names.
        ignore_index: Class value of pixels that do not count.
        to_class: Stored value -> class index; None if the masks hold class indices.

    Raises:
        MaskError: a value is neither a class nor ignored.
    """
    pixels, images, image_pixels = np.zeros((3, len(class_names)), dtype=np.int64)
    ignored = 0
    for mask in masks:
        size = sum(mask.values.values())
        per_class: dict[int, int] = {}
        for value, count in mask.values.items():
            index = value if to_class is None else int(to_class[value])
            per_class[index] = per_class.get(index, 0) + count
        ignored += per_class.pop(ignore_index, 0)
        for index, count in per_class.items():
            if not 0 <= index < len(class_names):
                raise MaskError(
                    f'{mask.path}: value {index} at {count} pixels is neither a class (0..{len(class_names) - 1}) nor '
                    f'the ignore index {ignore_index}; correct the mask, the class names or the ignore index'
                )
            pixels[index] += count
            images[index] += 1
            image_pixels[index] += size
    columns = (tuple(int(value) for value in column) for column in (pixels, images, image_pixels))
    paths = [mask.path for mask in masks]
    return ClassStatistics(tuple(class_names), *columns, ignored, len(masks), hash_file_list(paths))


def hash_file_list(paths: Sequence[str]) -> str:
    """SHA-256 of the sorted paths relative to their common folder, so that moving the data does not change it."""
    if not paths:
        return hashlib.sha256(b'').hexdigest()
    root = os.path.commonpath([str(Path(path).parent.absolute()) for path in paths])
    relative = sorted(Path(path).absolute().relative_to(root).as_posix() for path in paths)
    return hashlib.sha256('\n'.join(relative).encode()).hexdigest()


def class_table(statistics: ClassStatistics, weights: Sequence[float], title: str = '') -> Table:
    """Pixels, share, images and weight of each class, and their sums, for the terminal."""
    table = Table('class', title=title)
    for header in ('pixels', 'share %', 'images', 'weight'):
        table.add_column(header, justify='right')
    total = sum(statistics.pixels)
    columns = (statistics.names, statistics.pixels, statistics.images, weights)
    for name, pixels, images, weight in zip(*columns, strict=True):
        table.add_row(name, f'{pixels:,}', f'{100 * pixels / max(total, 1):.3f}', f'{images}', f'{weight:.6f}')
    table.add_section()
    table.add_row('all', f'{total:,}', '', f'{statistics.num_files}', f'{sum(weights):.6f}')
    return table
