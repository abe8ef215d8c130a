"""The folder ``VOCdevkit``: where images, annotations and lists lie, and which lists make up the parts of the split.

``VOCdevkit/VOC20xx/{JPEGImages/<id>.jpg, Annotations/<id>.xml, ImageSets/Main/<list>.txt}``
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .voc_problems import VOCError

Source = tuple[str, str]
# Part -> (year's folder, list). That the parts share no picture is proved by `voc_split_check`.
PARTS: dict[str, tuple[Source, ...]] = {
    'train': (('VOC2007', 'trainval'),),
    'val': (('VOC2007', 'test'),),
    'test': (('VOC2012', 'val'),),
}
PREPARE = 'python tools/prepare/voc.py TAR... --out'
IMAGE_ID = re.compile(r'\w[\w.-]*')
# From VOC2008 on ids begin with the year of the picture.
DATED_ID = re.compile(r'\d{4}_\d+')


@dataclass(frozen=True)
class VOCImage:
    """One line of a list.

    Attributes:
        source: The year's folder, such as ``VOC2007``.
        stem: The id in the list, which names image and annotation.
        image: The image.
        xml: The annotation.
    """

    source: str
    stem: str
    image: Path
    xml: Path

    @property
    def img_id(self) -> str:
        """Unique in the whole VOCdevkit, such as ``VOC2007/000001``."""
        return f'{self.source}/{self.stem}'

    @property
    def picture_id(self) -> str:
        """Year and number of the picture: ``000032`` of VOC2007 and ``2007_000032`` of VOC2012 are the same one."""
        return self.stem if DATED_ID.fullmatch(self.stem) else f'{self.source.removeprefix("VOC")}_{self.stem}'


def list_path(root: Path, source: str, name: str) -> Path:
    """The file of a list of the main (classification and detection) task."""
    return root / source / 'ImageSets' / 'Main' / f'{name}.txt'


def read_list(path: Path) -> list[str]:
    """The ids of a list, one a line; empty lines are skipped.

    Raises:
        VOCError: The list is missing, empty, not plain text, holds anything but an id in a line, or an id twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
    except FileNotFoundError as error:
        root = path.parents[3]
        what = 'the folder is missing' if not root.is_dir() else 'the list is missing'
        raise VOCError(
            f'{path}: {what}; unpack the official archives with `{PREPARE} {root}`, or correct data_root'
        ) from error
    except UnicodeDecodeError as error:
        raise VOCError(f'{path}: no plain text ({error}); unpack the archive again') from error
    stems = [line for line in lines if line]
    if not stems:
        raise VOCError(f'{path}: the list is empty; unpack the archive again')
    if wrong := [stem for stem in stems if not IMAGE_ID.fullmatch(stem)]:
        raise VOCError(f'{path}: {wrong[0]!r} is no id of an image ({len(wrong)} such lines); one id a line')
    stem, times = Counter(stems).most_common(1)[0]
    if times > 1:
        raise VOCError(f'{path}: lists {stem} {times} times; remove the repeated lines')
    return stems


def list_images(root: Path, sources: Sequence[Source]) -> list[VOCImage]:
    """The images of some lists, in the order of the lists. Whether the files exist is not looked at.

    Raises:
        VOCError: What `read_list` raises, or an image that two of the lists name.
    """
    images: dict[str, VOCImage] = {}
    for source, name in sources:
        folder = root / source
        for stem in read_list(list_path(root, source, name)):
            image = VOCImage(
                source, stem, folder / 'JPEGImages' / f'{stem}.jpg', folder / 'Annotations' / f'{stem}.xml'
            )
            if image.img_id in images:
                raise VOCError(f'{list_path(root, source, name)}: {stem} is also in another list of {list(sources)}')
            images[image.img_id] = image
    return list(images.values())
