"""Detections and ground truth in files of any known format.

Text (`mmext.common.detection_text`), JSON (`mmext.common.detection_json`) and the folders of the PASCAL VOC devkit
(`mmext.common.detection_devkit`). Boxes are corners in pixels; whether they are counted from 0 or 1 does not matter as
long as detections and truth do alike.
"""

from difflib import get_close_matches
from pathlib import Path

import numpy as np

from mmext.common.detection_devkit import read_devkit
from mmext.common.detection_json import read_json
from mmext.common.detection_set import DetectionSet
from mmext.common.detection_text import read_text


def read_detection_set(detections: str | Path, truth: str | Path | None = None) -> DetectionSet:
    """Reads detections and ground truth; a folder is the devkit's, a file .json is JSON, any other is text.

    Args:
        detections: What was found.
        truth: What is there, of the same format; None for a JSON file that holds both.

    Raises:
        ValueError: a line or entry that cannot be used, or files that do not belong together; names file, line and
            value.
        OSError: a file that cannot be read.
    """
    detections, truth = Path(detections), Path(truth) if truth else None
    if detections.suffix == '.json':
        return read_json(detections, truth)
    if truth is None:
        raise ValueError(f'{detections}: holds no ground truth; name the file or folder that does beside it')
    return (read_devkit if detections.is_dir() else read_text)(detections, truth)


def check_objects(data: DetectionSet, truth: str | Path) -> None:
    """Raise `ValueError` where there is nothing to score against."""
    if not len(data.objects.label):
        raise ValueError(f'{truth}: no object in it, nothing to score against; name the file of the ground truth')


def strangers(data: DetectionSet, detections: str | Path) -> list[str]:
    """What detections in text name and the truth does not, which is right or a slip: a line each.

    Text has no list of classes and none of images without an object.
    """
    if Path(detections).suffix == '.json':
        return []
    notes = []
    for name, found, there in (
        ('class', data.detections.label, data.objects.label),
        ('image', data.detections.image, data.objects.image),
    ):
        names = data.classes if name == 'class' else data.images
        alone = [names[index] for index in np.setdiff1d(found, there)]
        if alone and not (name == 'image' and Path(detections).is_dir()):  # the devkit lists its images
            known = [names[index] for index in np.unique(there)]
            near = get_close_matches(alone[0], known, n=1, cutoff=0.5)
            hint = f', did you mean {near[0]!r}?' if near and name == 'class' else ''
            count = int(np.isin(found, [names.index(each) for each in alone]).sum())
            notes.append(
                f'{detections}: {count} detections count as wrong: no object has the {name} {alone[0]!r}{hint}'
                f'{f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""}'
            )
    return notes
