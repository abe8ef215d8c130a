"""What scores of object detection count, and how."""

import math
from dataclasses import dataclass, replace

from mmext.common.average_precision import MODES


@dataclass(frozen=True)
class ScoreSettings:
    """What is counted, and how.

    Attributes:
        iou_thrs: T thresholds; a detection must reach them. The first is the one that single numbers speak of.
        mode: The AP that single numbers speak of: 'area', the area under the interpolated curve (PASCAL VOC from 2010
            on), or '11points', the mean of the interpolated precision at recall 0, 0.1, ... 1 (PASCAL VOC 2007).
        score_thr: Detections above it count for precision, recall and F1.
        min_score: Detections that are not above it do not exist.
        legacy_plus_one: Boxes are ``x2 - x1 + 1`` wide, as in the VOC devkit and in mmdet's ``VOCMetric``; otherwise
            ``x2 - x1``, as mmdet's ``eval_map`` has it by default.

    Raises:
        ValueError: a setting that makes no sense.
    """

    iou_thrs: tuple[float, ...] = (0.5,)
    mode: str = 'area'
    score_thr: float = 0.5
    min_score: float = float('-inf')
    legacy_plus_one: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'iou_thrs', tuple(float(iou_thr) for iou_thr in self.iou_thrs))
        if not self.iou_thrs or not all(0 < iou_thr <= 1 for iou_thr in self.iou_thrs):
            raise ValueError(f'iou_thrs {self.iou_thrs}: expected one or more numbers above 0 and at most 1')
        if len(set(self.iou_thrs)) < len(self.iou_thrs):
            raise ValueError(f'iou_thrs {self.iou_thrs}: one occurs twice')
        for name in ('score_thr', 'min_score'):
            if math.isnan(getattr(self, name)):
                raise ValueError(f'{name} nan: expected a number; nothing compares with nan')
        if self.mode not in MODES:
            raise ValueError(f'mode {self.mode!r}: choose from {", ".join(MODES)}')


# Settings by name: mmdet's eval_map as it is by default, the PASCAL challenges, and the street-voc-vit report.
PRESETS = {
    'eval_map': ScoreSettings(),
    'voc2007': ScoreSettings(mode='11points', legacy_plus_one=True),
    'voc2012': ScoreSettings(legacy_plus_one=True),
    'report': ScoreSettings(legacy_plus_one=True, min_score=0.05),
}


def score_settings(preset: str, **changes: object) -> ScoreSettings:
    """A preset, and what is to differ from it; None stands for no change.

    Raises:
        ValueError: no such preset, or a setting that makes no sense.
    """
    if preset not in PRESETS:
        raise ValueError(f'preset {preset!r}: choose from {", ".join(PRESETS)}')
    return replace(PRESETS[preset], **{name: value for name, value in changes.items() if value is not None})
