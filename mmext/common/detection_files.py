"""Detections and ground truth in files of any known format.

Text (`mmext.common.detection_text`), JSON (`mmext.common.detection_json`) and the folders of the PASCAL VOC devkit
(`mmext.common.detection_devkit`). Boxes are corners in pixels; whether they are counted from 0 or 1 does not matter as
long as detections and truth do alike.
"""

from pathlib import Path

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
