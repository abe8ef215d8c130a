"""Detections and ground truth as JSON: one file of our own, or COCO's results beside its annotations."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmext.common.detection_set import (
    DetectionSet,
    ImageBoxes,
    NamedBoxes,
    checked_box,
    detection_set,
    finite_number,
    named_detection_set,
)
from mmext.common.files import write_text


def write_detections(path: str | Path, data: DetectionSet) -> None:
    """Writes a data set and what was found in it as one JSON file, an image a line, with the fields of `ImageBoxes`.

    Numbers are float32, as models give them, in as few digits as tell them apart.
    """
    lines = []
    found = np.searchsorted(data.detections.image, np.arange(len(data.images) + 1))
    there = np.searchsorted(data.objects.image, np.arange(len(data.images) + 1))
    for index, (image, source) in enumerate(zip(data.images, data.sources, strict=True)):
        detections = data.detections.keep(slice(found[index], found[index + 1]))
        objects = slice(there[index], there[index + 1])
        row = ImageBoxes(
            image,
            source,
            _shortest(detections.box),
            _shortest(detections.score),
            detections.label.tolist(),
            _shortest(data.objects.box[objects]),
            data.objects.label[objects].tolist(),
            data.objects.difficult[objects].tolist(),
        )
        lines.append(json.dumps(row._asdict(), separators=(',', ':')))
    classes = json.dumps(list(data.classes))
    write_text(path, f'{{"classes": {classes}, "images": [\n' + ',\n'.join(lines) + '\n]}\n')


def _shortest(values: np.ndarray) -> list:
    return values.astype(np.float32).astype(str).astype(np.float64).tolist()


def read_json(detections: Path, truth: Path | None = None) -> DetectionSet:
    """One file of `write_detections`, or COCO's results and annotations.

    COCO's images are in the order of their ids, and classes in the order of theirs, as pycocotools has them; an object
    with ``iscrowd`` is difficult.
    """
    found = _load(detections)
    if isinstance(found, dict) and {'classes', 'images'} <= found.keys():
        if truth:
            raise ValueError(f'{detections}: holds its own ground truth; leave {truth} away')
        _check_lists(detections, found, ('classes', 'images'))
        _check_once(detections, 'classes', found['classes'])
        rows = [_entry(detections, 'images', index, row, _image_boxes) for index, row in enumerate(found['images'])]
        try:
            return detection_set(found['classes'], rows)
        except ValueError as error:
            raise ValueError(f'{detections}: {error}') from error
    if truth is None:
        raise ValueError(f'{detections}: neither classes nor images in it; name the file of the annotations too')
    return _read_coco(detections, found, truth)


def _image_boxes(row: Mapping) -> ImageBoxes:
    values = ImageBoxes(**row)
    numbers = {name: np.float32(getattr(values, name)) for name in ('boxes', 'scores', 'true_boxes')}
    return values._replace(**numbers)


def _read_coco(detections: Path, found: object, truth: Path) -> DetectionSet:
    there = _load(truth)
    if not isinstance(there, dict) or not {'images', 'annotations', 'categories'} <= there.keys():
        raise ValueError(f'{truth}: no COCO annotations; expected images, annotations and categories in it')
    _check_lists(truth, there, ('images', 'annotations', 'categories'))
    if not isinstance(found, list):
        raise ValueError(f'{detections}: no COCO results; expected a list of image_id, category_id, bbox and score')
    names = {}
    for field, name in (('categories', 'name'), ('images', 'file_name')):
        pairs = [
            _entry(truth, field, index, row, lambda row, name=name: (row['id'], str(row.get(name, row['id']))))
            for index, row in enumerate(there[field])
        ]
        _check_once(truth, field, [number for number, _ in pairs], 'id ')
        names[field] = dict(sorted(pairs, key=lambda pair: (isinstance(pair[0], str), pair[0])))
    rows = {image: NamedBoxes([], []) for image in names['images']}

    def add_object(row: Mapping) -> None:
        crowd = bool(row.get('iscrowd', 0))
        _of(rows, row, 'image_id').there.append((_corners(row), _of(names['categories'], row, 'category_id'), crowd))

    def add_detection(row: Mapping) -> None:
        score = finite_number(row['score'], 'score')
        _of(rows, row, 'image_id').found.append((_corners(row), score, _of(names['categories'], row, 'category_id')))

    for index, row in enumerate(there['annotations']):
        _entry(truth, 'annotations', index, row, add_object)
    for index, row in enumerate(found):
        _entry(detections, '', index, row, add_detection)
    classes = list(names['categories'].values())
    if len(set(classes)) < len(classes):
        raise ValueError(f'{truth}: two categories have one name; rename one of {classes}')
    return named_detection_set(classes, zip(names['images'].values(), rows.values(), strict=True))


def _check_lists(path: Path, content: Mapping, fields: Sequence[str]) -> None:
    for field in fields:
        if not isinstance(content[field], list):
            raise ValueError(f'{path}: {field} is {str(content[field])[:80]!r}; expected a list')


def _check_once(path: Path, field: str, names: Sequence[object], what: str = '') -> None:
    for index, name in enumerate(names):
        if not isinstance(name, (str, int)):
            raise ValueError(f'{path}: {field}[{index}]: {what}{str(name)[:80]} is no name; expected text')
        if name in names[:index]:
            raise ValueError(f'{path}: {field} has {what}{name!r} twice; remove or rename one')


def _of(known: Mapping, row: Mapping, field: str) -> object:
    if not isinstance(row[field], (str, int)) or row[field] not in known:
        raise ValueError(f'{field} {row[field]!r} is not in the annotations')
    return known[row[field]]


def _corners(row: Mapping) -> list[float]:
    x, y, width, height = (finite_number(value, 'bbox') for value in row['bbox'])
    return checked_box([x, y, x + width, y + height])


def _entry(path: Path, field: str, index: int, row: object, use: Callable[[Mapping], object]) -> object:
    try:
        return use(row)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f'{error.args[0]!r} is missing' if isinstance(error, KeyError) else error
        raise ValueError(f'{path}: {field}[{index}]: {str(row)[:200]}: {reason}') from error


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: no JSON ({error}); write the file again') from error
