"""Detections and ground truth in the folders of the PASCAL VOC devkit.

Detections are files comp4_det_<set>_<class>.txt with lines ``id score x1 y1 x2 y2``, the truth is the folder of one
year with ImageSets/Main/<set>.txt and Annotations/<id>.xml. Corners of both are counted from 1.
"""

import re
from pathlib import Path

from mmext.common.detection_set import (
    DetectionSet,
    NamedBoxes,
    checked_box,
    class_names,
    finite_number,
    named_detection_set,
)
from mmext.common.detection_text import parsed_lines
from mmext.common.detection_xml import MALFORMED, RefusedXMLError, parse_xml

RESULTS = re.compile(r'comp\d+_det_(?P<part>[^_]+)_(?P<label>.+)\.txt')


def read_devkit(detections: Path, truth: Path) -> DetectionSet:
    """Reads all classes of one set; every image of the set counts, whether something was found in it or not.

    Args:
        detections: Folder of the files of results.
        truth: Folder of one year, such as VOCdevkit/VOC2007.

    Raises:
        ValueError: no or several sets, an image outside of the set, or a line or annotation that is none; names file,
            line and value.
        OSError: a file that is missing.
    """
    files = [(path, match) for path in sorted(detections.iterdir()) if (match := RESULTS.fullmatch(path.name))]
    parts = sorted({match['part'] for _, match in files})
    if len(parts) != 1:
        raise ValueError(
            f'{detections}: results of the sets {parts}; expected files comp4_det_<set>_<class>.txt of one'
        )
    # The year is part of the name, so that the images have a source.
    year = truth.resolve().name
    images = {
        f'{year}/{words[0]}': NamedBoxes([], _objects_of(truth / 'Annotations' / f'{words[0]}.xml'))
        for words in parsed_lines(truth / 'ImageSets' / 'Main' / f'{parts[0]}.txt', tuple)
    }

    def detection_of(words: list[str]) -> tuple[str, list[float], float]:
        if len(words) != 6:
            raise ValueError('expected: id score x1 y1 x2 y2')
        if f'{year}/{words[0]}' not in images:
            raise ValueError(f'image {words[0]} is not in the set {parts[0]}')
        return f'{year}/{words[0]}', checked_box(words[2:]), finite_number(words[1], 'score')

    for path, match in files:
        for image, box, score in parsed_lines(path, detection_of):
            images[image].found.append((box, score, match['label']))
    return named_detection_set(class_names(images.values()), images.items())


def _objects_of(path: Path) -> list[tuple[list[float], str, bool]]:
    try:
        root = parse_xml(path.read_bytes())
    except RefusedXMLError as error:
        raise ValueError(f'{path}: refused, it has a {error}, which annotations do not need; get it anew') from error
    except MALFORMED as error:
        raise ValueError(f'{path}: no XML ({error}); get the annotation anew') from error
    objects = []
    for number, element in enumerate(root.iter('object'), start=1):
        try:
            box = checked_box([element.findtext(f'bndbox/{corner}') for corner in ('xmin', 'ymin', 'xmax', 'ymax')])
            name = (element.findtext('name') or '').strip()
            if not name:
                raise ValueError('no name')
            # Some annotations leave the tag out.
            difficult = bool(finite_number(element.findtext('difficult') or 0, 'difficult'))
        except ValueError as error:
            raise ValueError(f'{path}: object {number}: {error}') from error
        objects.append((box, name, difficult))
    return objects
