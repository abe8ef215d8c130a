"""Which pictures and annotations a dataset has: from a config of any of the toolboxes, or from a plain folder.

Only names are collected here. A picture is not opened, and neither is a mask or an annotation of its own, so a listing
does not fail because single files are broken; what cannot be listed at all becomes an entry of `Listing.faults`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from .passport import TASKS, PassportError


@dataclass(frozen=True)
class Box:
    """A box of an annotation: name of the class, and corners (x1, y1, x2, y2) in pixels, 0-based, not clipped.

    ``corners`` is None where the annotation holds no four finite numbers; ``text`` is what it holds. ``flag`` says
    whether it is difficult: ``'0'``, ``'1'``, or ``''`` where nothing says so.
    """

    name: str
    corners: tuple[float, float, float, float] | None
    text: str = ''
    flag: str = ''

    @property
    def difficult(self) -> bool:
        """Whether it is left out of the evaluation."""
        return self.flag == '1'


@dataclass
class Sample:
    """One picture and what is known about it without opening a file.

    Attributes:
        image: The file.
        annotation: Its mask (segmentation) or XML file (detection); the file need not exist. None if there is none.
        label: Index of its class (classification); None if it has none, or one that the dataset does not know.
        boxes: Boxes that stand in a common annotation file (COCO); None where `annotation` holds them.
        index: Where ``image`` holds many pictures (CIFAR): which one.
        pixels: Where ``image`` holds many pictures: this one, (H, W, 3) RGB uint8.
    """

    image: Path
    annotation: Path | None = None
    label: int | None = None
    boxes: list[Box] | None = None
    index: int | None = None
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What findings call it: the path, with ``#<index>`` where the file holds many pictures."""
        return str(self.image) if self.index is None else f'{self.image}#{self.index}'


@dataclass
class Fault:
    """Something that came up while listing: a kind of `mmext.inspection.kinds`, and files with details."""

    kind: str
    split: str
    files: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)


@dataclass
class Listing:
    """All samples of a dataset.

    Attributes:
        task: One of `TASKS`.
        source: The config or folder, as given.
        splits: ``'train'``, ``'val'``, ``'test'``, or ``'all'`` for a folder without splits. A test split that the
            config defines exactly like the validation split is left out.
        classes: Names by index; empty where nothing says them (a folder of masks).
        classes_assumed: The classes are those of PASCAL VOC because the folder is called so; the names of the boxes
            decide whether they are.
        palette: RGB of each class, 0-255; may be empty.
        values: Segmentation: stored value of a mask -> class index, or `ignore_index`; None where it is not known.
        encoding: Segmentation: what the values are to be (``'train_ids'``, ``'label_ids'``, ``'class_indices'``), or
            ``''`` where it is not known.
        ignore_index: Class index of pixels that are not trained.
        roots: Folders that hold the data set with its lists; names are relative to what they share.
        spare_annotations: Masks and XML files that belong to no image.
        faults: What went wrong.
    """

    task: str
    source: str
    splits: dict[str, list[Sample]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    classes_assumed: bool = False
    palette: list[list[int]] = field(default_factory=list)
    values: dict[int, int] | None = None
    encoding: str = ''
    ignore_index: int = 255
    roots: list[Path] = field(default_factory=list)
    spare_annotations: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_listing(
    source: str | Path | Config, task: str | None = None, cfg_options: Mapping[str, Any] | None = None
) -> Listing:
    """List a dataset.

    Args:
        source: A config (path or object), whose toolbox is imported and whose datasets are built without loading
            them; or a folder of one of the layouts that `mmext.inspection.folder_listing` describes.
        task: Folders: what they are for, where several tasks are possible. Configs: must agree if given.
        cfg_options: Overrides of the config.

    Raises:
        PassportError: The source does not exist, has no data, or its layout or task cannot be told.
    """
    if task is not None and task not in TASKS:
        raise PassportError(f'task={task!r}: must be one of {", ".join(TASKS)}')
    if not isinstance(source, Config):
        if Path(source).is_dir():
            if cfg_options:
                raise PassportError(f'{source}: is a folder; --cfg-options change configs only, leave them out')
            from .folder_listing import list_folder

            return list_folder(Path(source), task)
        if Path(source).suffix != '.py' or not Path(source).is_file():
            raise PassportError(f'{source}: no such folder or config; give a folder of pictures or a config *.py')
        source = Config.fromfile(source)
    if cfg_options:
        source.merge_from_dict(dict(cfg_options))
    from .config_listing import list_config

    listing = list_config(source)
    if task not in (None, listing.task):
        raise PassportError(f'{listing.source}: is a config of {listing.task}, not of {task}; leave out --task')
    return listing


def list_samples(
    source: str | Path | Config, task: str | None = None, cfg_options: Mapping[str, Any] | None = None
) -> tuple[dict[str, list[Sample]], list[str]]:
    """The samples of each split and the names of the classes; for everything else see `read_listing`."""
    listing = read_listing(source, task, cfg_options)
    return listing.splits, listing.classes


def open_image(sample: Sample) -> Image.Image:
    """The picture as stored (neither turned by EXIF nor converted); to be closed by the caller.

    Raises:
        OSError: The file is missing or no picture.
    """
    return Image.open(sample.image) if sample.pixels is None else Image.fromarray(sample.pixels)
