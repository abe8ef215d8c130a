"""Lists of names to leave out of a split or to keep, in the form that the datasets read."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmext.common.files import write_text
from mmext.common.wording import counted

from .config_listing import datasets_of
from .leak_report import TRAIN, LeakReport
from .listing import Sample

# How a list of names to keep is used.
USES = {
    'stems': '--cfg-options {split}_dataloader.dataset.ann_file={path}',
    'files': '--cfg-options {split}_dataloader.dataset.ann_file={path}',
    'ids': 'copy it into ImageSets/Main and name it in {split}_dataloader.dataset.sources',
    'indices': 'give the numbers as {split}_dataloader.dataset.indices',
}


def list_names(samples: Sequence[Sample], cfg: Config | None = None, split: str = 'train') -> tuple[list[str], str]:
    """How the lists of a dataset call its samples, and the kind of these names (a key of `USES`).

    - ``'stems'``, segmentation: path below the image folder, without the suffix of images;
    - ``'ids'``, VOC: name without suffix;
    - ``'indices'``, many pictures in a file (CIFAR): place in the dataset, from 0;
    - ``'files'``, everything else: path below the image folder.

    Args:
        samples: All of the split, in its order.
        cfg: The config; None for a folder.
        split: The split.
    """
    if any(sample.index is not None for sample in samples):
        return [str(index) for index in range(len(samples))], 'indices'
    if samples and all(sample.annotation and sample.annotation.suffix == '.xml' for sample in samples):
        return [sample.image.stem for sample in samples], 'ids'
    if cfg:
        folders, kind = _image_folders(cfg, split)
    else:
        folders, kind = [(Path(os.path.commonpath([sample.image.parent for sample in samples] or [''])), '')], 'files'
    return [_below(sample.image, folders) for sample in samples], kind


def write_names(path: str | Path, names: Iterable[str]) -> None:
    """One name a line, whole or not at all; an empty list is an empty file."""
    write_text(path, ''.join(f'{name}\n' for name in names))


def write_lists(
    report: LeakReport,
    splits: Mapping[str, Sequence[Sample]],
    cfg: Config | None,
    exclude: Path | None,
    keep: Path | None,
) -> list[str]:
    """Write the training pictures to leave out, and the others; what was written, for people.

    Raises:
        ValueError: There is no training split.
    """
    if not (exclude or keep):
        return []
    if TRAIN not in splits:
        raise ValueError(f'--exclude-list, --keep-list: name training pictures, but only {", ".join(splits)} was read')
    samples = splits[TRAIN]
    names, kind = list_names(samples, cfg, TRAIN)
    leaked = set(report.to_leave_out())
    lines = []
    for path, wanted in ((exclude, True), (keep, False)):
        if path:
            chosen = [name for name, sample in zip(names, samples, strict=True) if (sample.name in leaked) == wanted]
            chosen = list(dict.fromkeys(chosen))
            write_names(path, chosen)
            lines.append(f'{path}: {counted(len(chosen), "training picture")} to {"leave out" if wanted else "keep"}')
    if keep:
        lines.append(f'To train on them: {USES[kind].format(split=TRAIN, path=keep.resolve())}')
    if any(pair.level == 'error' and pair.first_split != TRAIN for pair in report.pairs):
        lines.append('Some leaks are between other splits: no list for the training cures them')
    return lines


def _image_folders(cfg: Config, split: str) -> tuple[list[tuple[Path, str]], str]:
    """Folders of pictures with the suffix that lists leave out, and the kind of the names."""
    folders = []
    kind = 'files'
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        for description in datasets_of(cfg.get(f'{split}_dataloader')):
            dataset = DATASETS.build({**description, 'pipeline': [], 'lazy_init': True})
            folder, suffix = _image_folder(dataset)
            kind = 'stems' if suffix else kind
            if folder:
                folders.append((Path(folder), suffix))
    return folders, kind


def _image_folder(dataset: Any) -> tuple[str, str]:
    prefixes = getattr(dataset, 'data_prefix', None) or {}
    if hasattr(dataset, 'img_suffix') and 'img_path' in prefixes:
        return prefixes['img_path'] or '', dataset.img_suffix
    return getattr(dataset, 'img_prefix', '') or prefixes.get('img') or prefixes.get('img_path') or '', ''


def _below(image: Path, folders: Sequence[tuple[Path, str]]) -> str:
    for folder, suffix in folders:
        if image.is_relative_to(folder):
            return image.relative_to(folder).as_posix().removesuffix(suffix)
    return image.name
