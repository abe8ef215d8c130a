"""Reads PASCAL VOC annotations; nothing is repaired or left out without a word (`voc_problems`).

Boxes: VOC writes pixel indices that start at 1 and include both corners. Read, they are 0-based ``(x1, y1, x2, y2)``,
each coordinate less 1 as in mmdet: between 0 and width - 1 or height - 1. Fractions, which some files of VOC2012 hold,
are kept; mmdet cuts them off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from xml.etree.ElementTree import Element

from PIL import Image

from mmext.common.detection_xml import MALFORMED, RefusedXMLError, parse_xml
from mmext.common.image_files import read_whole_size

from .voc_problems import ProblemList

CLASSES = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)
# What other data sets call the same things, where the spelling leads nowhere or astray.
OTHER_NAMES = {
    'bike': 'bicycle',
    'couch': 'sofa',
    'motorcycle': 'motorbike',
    'people': 'person',
    'plane': 'aeroplane',
    'plant': 'pottedplant',
    'table': 'diningtable',
    'television': 'tvmonitor',
    'tv': 'tvmonitor',
}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class VOCObject:
    """One object: class name, 0-based box (x1, y1, x2, y2) in pixels, and its flags."""

    name: str
    box: Box
    difficult: bool = False
    truncated: bool = False
    missing_difficult: bool = False


@dataclass(frozen=True)
class VOCAnnotation:
    """What one file says: name of the image, its size (height, width) in pixels, and the usable objects."""

    filename: str
    size_hw: tuple[int, int]
    objects: tuple[VOCObject, ...] = ()


def read_image_size(path: str | Path, decode: bool = False) -> tuple[int, int]:
    """Height and width in pixels, from the header of the image.

    Args:
        path: The image.
        decode: Read it to its end, so that a cut or garbled file is noticed (`read_whole_size`).

    Raises:
        Exception: What Pillow raises about files that it cannot read; mostly OSError, but anything may come.
    """
    if decode:
        return read_whole_size(path)
    with Image.open(path) as image:
        width, height = image.size
    return height, width


def read_annotation(
    xml: Path,
    image: Path,
    problems: ProblemList,
    classes: Sequence[str] = CLASSES,
    check_image: bool = True,
    decode: bool = False,
) -> VOCAnnotation | None:
    """Reads one annotation and compares it with its image.

    Args:
        xml: The annotation.
        image: The image.
        problems: What is found is added, in the order of the file.
        classes: The names that are known.
        check_image: Read the header of the image and compare sizes. Otherwise ``<size>`` is believed, and the header
            read only where it is missing; that the image exists is checked in any case.
        decode: With ``check_image``: read the image to its end.

    Returns:
        The annotation without the objects whose problem has the rule ``'error'`` or ``'drop'``; None if the files as
        a whole cannot be used.
    """
    has_image = image.is_file()
    if not has_image:
        problems.add('missing_image', image, 'no such file')
    root = _read_root(xml, problems)
    if root is None or not has_image:
        return None
    size_hw = _stated_size(root)
    if check_image or size_hw is None:
        try:
            actual_hw = read_image_size(image, decode)
        # What a decoder raises depends on where the file is damaged.
        except Exception as error:
            problems.add('unreadable_image', image, str(error) or type(error).__name__)
            return None
        if size_hw is None:
            problems.add('missing_size', xml, f'no usable <size>, the image is {_shown(actual_hw)}')
        elif size_hw != actual_hw:
            problems.add('size_mismatch', xml, f'<size> is {_shown(size_hw)}, the image {_shown(actual_hw)}')
        size_hw = actual_hw
    elements = root.findall('object')
    if not elements:
        problems.add('no_objects', xml, 'no <object>')
    found = (_read_object(*item, size_hw, xml, problems, classes) for item in enumerate(elements))
    return VOCAnnotation(_text(root, 'filename') or image.name, size_hw, tuple(item for item in found if item))


def _read_root(xml: Path, problems: ProblemList) -> Element | None:
    try:
        root = parse_xml(xml.read_bytes())
    except FileNotFoundError:
        problems.add('missing_annotation', xml, 'no such file')
        return None
    except RefusedXMLError as error:
        problems.add('refused_xml', xml, str(error))
        return None
    except OSError as error:  # a folder, a link that leads in a circle, no permission
        problems.add('missing_annotation', xml, str(error))
        return None
    except MALFORMED as error:
        problems.add('malformed_xml', xml, str(error))
        return None
    if root.tag != 'annotation':
        problems.add('malformed_xml', xml, f'the root is <{root.tag}>, expected <annotation>')
        return None
    return root


def _read_object(
    index: int,
    element: Element,
    size_hw: tuple[int, int],
    xml: Path,
    problems: ProblemList,
    classes: Sequence[str],
) -> VOCObject | None:
    # Direct children only: the <part>s of a person have names and boxes of their own.
    name = _text(element, 'name')
    if name not in classes:
        problems.add('unknown_class', xml, f'{name!r}, nearest is {nearest_class(name, classes)!r}', index)
        return None
    box = _read_box(index, element, size_hw, xml, problems)
    difficult, truncated = _text(element, 'difficult'), _text(element, 'truncated')
    if not difficult:
        problems.add('missing_difficult', xml, f'no <difficult> for {name!r}', index)
    elif difficult not in ('0', '1') and problems.add('bad_difficult', xml, repr(difficult), index) == 'error':
        return None
    # Files of VOC2011 lack <truncated> altogether.
    if truncated not in ('', '0', '1'):
        problems.add('bad_truncated', xml, repr(truncated), index)
    if box is None:
        return None
    return VOCObject(name, box, difficult == '1', truncated == '1', missing_difficult=not difficult)


def _read_box(index: int, element: Element, size_hw: tuple[int, int], xml: Path, problems: ProblemList) -> Box | None:
    """The box, 0-based and clipped to the image; None if it cannot be used."""
    bndbox = element.find('bndbox')
    texts = [_text(bndbox, key) for key in ('xmin', 'ymin', 'xmax', 'ymax')] if bndbox is not None else []
    shown = f'({", ".join(texts)})' if texts else 'no <bndbox>'
    box = _to_numbers(texts)
    if box is None:
        problems.add('bad_coordinates', xml, shown, index)
        return None
    x1, y1, x2, y2 = (value - 1 for value in box)
    if x2 <= x1 or y2 <= y1:
        problems.add('empty_box', xml, f'{shown} has no area', index)
        return None
    height, width = size_hw
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, width - 1.0), min(y2, height - 1.0))
    if clipped == (x1, y1, x2, y2):
        return clipped
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        problems.add('empty_box', xml, f'{shown} has no area in the image of {_shown(size_hw)}', index)
        return None
    problems.add('box_outside', xml, f'{shown} in an image of {_shown(size_hw)}', index)
    return clipped


def _to_numbers(texts: Sequence[str]) -> list[float] | None:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    return values if len(values) == 4 and all(map(math.isfinite, values)) else None


def nearest_class(name: str, classes: Sequence[str] = CLASSES) -> str:
    """The class that is meant by a name that is none: another data set's word for it, or the most similar spelling."""
    plain = ''.join(character for character in name.lower() if character.isalpha())
    if OTHER_NAMES.get(plain) in classes:
        return OTHER_NAMES[plain]
    by_plain = {''.join(filter(str.isalpha, known.lower())): known for known in classes}
    return by_plain[get_close_matches(plain, by_plain, n=1, cutoff=0)[0]]


def _stated_size(root: Element) -> tuple[int, int] | None:
    size = root.find('size')
    texts = [_text(size, key) for key in ('height', 'width')] if size is not None else []
    numbers = [int(text) for text in texts if text.isascii() and text.isdigit() and int(text) > 0]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _shown(size_hw: tuple[int, int]) -> str:
    return f'{size_hw[1]} x {size_hw[0]} pixels (width x height)'


def _text(element: Element, key: str) -> str:
    return (element.findtext(key) or '').strip()
