"""Lists plain folders: what they are for is told from their layout.

- detection: ``VOCdevkit/VOC20xx`` or one ``VOC20xx`` with lists in ``ImageSets/Main``; or XML files beside the pictures
  or in a folder of their own (``images/`` + ``annotations/``);
- segmentation: pictures and masks in folders that are called so (`IMAGE_FOLDERS`, `MASK_FOLDERS`), or side by side with
  endings that are called so (``0001_sat.jpg`` + ``0001_mask.png``);
- classification: one folder per class, or pictures whose class stands before the number in their name
  (``cat.1.jpg``, ``dog_2.jpg``); CIFAR-100's files.

A folder called ``train``, ``val`` or ``test`` (or similar), anywhere in the path, tells the split; otherwise text
files ``train.txt``, ``val.txt``, ``test.txt`` in the folder may list the stems of each split. ``classes.txt`` there
names the classes, one a line.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmext.common.prediction.inputs import IMAGE_SUFFIXES, natural_key

from .listing import Listing, Sample
from .passport import PassportError

MASK_FOLDERS = frozenset(
    (
        *('mask', 'masks', 'label', 'labels', 'annotation', 'annotations', 'ann', 'ann_dir', 'semantic', 'semantics'),
        *('segmentationclass', 'gtfine', 'gt', 'seg', 'segmentation', 'ground_truth', 'groundtruth', 'seg_map'),
    )
)
IMAGE_FOLDERS = frozenset(
    (
        *('image', 'images', 'img', 'imgs', 'img_dir', 'image_2', 'jpegimages', 'leftimg8bit', 'pictures', 'photos'),
        *('rgb', 'inputs', 'sat'),
    )
)
SPLIT_FOLDERS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}
# Endings of the stems of masks and of pictures where both carry one; the longest first.
MASK_ENDING = re.compile(r'[_\-.](gtFine_labelTrainIds|gtFine_labelIds|masks?|labels?|seg|segmentation|gt|ann)$', re.I)
IMAGE_ENDING = re.compile(r'[_\-.](leftImg8bit|sat|image|img|rgb)$', re.I)
# Colour renderings that lie beside masks.
NO_MASK = re.compile(r'[_\-](gtFine_color|gtFine_instanceIds|color|colors|instanceIds)$', re.I)
CLASS_LIST = 'classes.txt'


@dataclass
class FolderFiles:
    """The files below a folder, sorted naturally; paths include the folder."""

    root: Path
    images: list[Path] = field(default_factory=list)
    xmls: list[Path] = field(default_factory=list)

    def parts(self, path: Path) -> list[str]:
        """Names of the folders between the root and a file."""
        return list(path.relative_to(self.root).parts[:-1])


def list_folder(root: Path, task: str | None = None) -> Listing:
    """All samples of a folder.

    Raises:
        PassportError: There is no picture in it, or its layout is none that is known, or none of the task.
    """
    from .folder_layouts import LAYOUTS

    files = _find_files(root)
    if not files.images and not (root / 'cifar-100-python').is_dir():
        raise PassportError(f'{root}: no picture in it; known suffixes are {" ".join(sorted(IMAGE_SUFFIXES))}')
    for kind, layout in LAYOUTS:
        if task in (None, kind) and (listing := layout(files)):
            if not listing.classes:
                listing.classes = read_class_list(root)
            listing.source, listing.roots = str(root), [root]
            return listing
    if task in (None, 'classification'):
        # Pictures without labels can still be inspected.
        splits = split_up(files, [Sample(path) for path in files.images])
        return Listing('classification', str(root), splits, roots=[root])
    raise PassportError(
        f'{root}: no layout of {task} is recognised (see the first lines of mmext/inspection/folder_listing.py); '
        f'rename the folders, or write a config'
    )


def _find_files(root: Path) -> FolderFiles:
    files, seen = FolderFiles(root), set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        # A link to a folder above would lead around in circles.
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith('.')]
        if real in seen:
            continue
        seen.add(real)
        for path in (Path(parent) / name for name in names if not name.startswith('.')):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                files.images.append(path)
            elif path.suffix.lower() == '.xml':
                files.xmls.append(path)
    files.images.sort(key=natural_key)
    files.xmls.sort(key=natural_key)
    return files


def split_of(parts: Iterable[str]) -> str | None:
    """The split that one of the folders names."""
    return next((SPLIT_FOLDERS[part.lower()] for part in parts if part.lower() in SPLIT_FOLDERS), None)


def split_up(files: FolderFiles, samples: list[Sample]) -> dict[str, list[Sample]]:
    """Samples by split: as lists beside the root's folders say, else as the folders say, else all in one."""
    listed = read_split_lists(files.root)
    found: dict[str, list[Sample]] = {name: [] for name in listed}
    for sample in samples:
        stem = IMAGE_ENDING.sub('', sample.image.stem)
        inside = sample.image.relative_to(files.root).with_suffix('').as_posix()
        names = {sample.image.stem, sample.image.name, stem, inside}
        splits = [name for name, stems in listed.items() if names & stems]
        for split in splits or [split_of(files.parts(sample.image)) if not listed else None]:
            found.setdefault(split or 'all', []).append(sample)
    order = ('train', 'val', 'test', 'all')
    return {name: found[name] for name in sorted(found, key=order.index)}


def read_split_lists(root: Path) -> dict[str, set[str]]:
    """``train.txt`` and the like in a folder: split -> stems (or file names), without what follows a space."""
    lists = {}
    for name in ('train', 'val', 'test'):
        path = root / f'{name}.txt'
        if path.is_file():
            lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
            lists[name] = {line.split()[0] for line in lines if line.strip()}
    return lists


def read_class_list(root: Path) -> list[str]:
    """``classes.txt``: names by index, one a line; an empty list where there is none."""
    path = root / CLASS_LIST
    if not path.is_file():
        return []
    return [line.strip() for line in path.read_text(encoding='utf-8', errors='replace').splitlines() if line.strip()]
