"""All scores of object detection from one matching of the boxes."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from mmext.common.detection_json import write_detections
from mmext.common.detection_report import score_report, score_tables, score_values
from mmext.common.detection_scores import DetectionScores, score_detections
from mmext.common.detection_set import DetectionSet, ImageBoxes, detection_set, source_of
from mmext.common.detection_settings import score_settings
from mmext.common.files import write_json
from mmext.common.metric_log import forget_earlier, run_folder, run_stage


@METRICS.register_module()
class VOCDetectionMetric(BaseMetric):
    """Average precision in every usual way, precision, recall and F1, and what the street-voc-vit report gives.

    Values are shares in 0..1, not rounded, and None where undefined: JSON has no NaN, ``save_best`` passes over None,
    and the curves have a gap. Their names are those of `mmext.common.detection_report.score_values`: ``mAP``,
    ``mAP50_area``, ``mAP50_11points_with_difficult``, ``mAP.VOC2007``, ``AP.aeroplane``, ``precision_micro``,
    ``F1_macro``, ``mean_matched_iou``, ``matched_class_miou``, ``matched_accuracy``, ``COCO_AP`` and so on. A class
    without an object has no score and is left out of the means. For ``save_best`` with ``AP.<class>`` or F1 name
    ``rule='greater'``; the others it knows.

    The classes are those of the data set, whatever its kind. Its part (source) is ``source`` of a sample's meta
    information, or else the folder VOC<year> of the image's path. Difficult objects (``ignored_instances``) are neither
    found nor missed; scores with them as ordinary objects, ``..._with_difficult``, stand beside. The boxes of the truth
    are those of the original image: load the annotations after resizing, as mmdet's test pipelines do.

    A log shows tables by class and by source. Beside it stands ``pr_curves.png``, drawn anew at every evaluation; a
    test also writes ``detections.json`` (with the truth, for ``tools/analysis/eval_detections.py``) and
    ``detection_scores.json`` (every score of every class and source).

    Differs from upstream's ``VOCMetric`` in that both modes, both ways with difficult objects, sources and COCO's AP
    come from one pass; that nothing is rounded; and in boxes: ``VOCMetric`` takes them to be ``x2 - x1 + 1`` wide
    (``preset='voc2007'``, ``'voc2012'``), while ``eval_map`` by default, and this metric too, take ``x2 - x1``.

    Args:
        preset: Settings by name, `mmext.common.detection_settings.PRESETS`; ``'report'`` are those of the report.
        iou_thrs: Instead of the preset's; the first is the one that single numbers speak of.
        mode: 'area' or '11points', instead of the preset's: the AP that single numbers speak of.
        score_thr: Instead of the preset's: scores above it count for precision, recall and F1.
        min_score: Instead of the preset's: scores that are not above it count for nothing.
        legacy_plus_one: Instead of the preset's.
        files: Write these files; a path instead of True says where to, and then every evaluation writes all three.
        prefix: Put before the names of all values, with a ``/``.

    Raises:
        ValueError: a setting that makes no sense, or boxes that do; names the image.
    """

    # Names without a prefix; the empty string keeps the base class from warning about that.
    default_prefix = ''

    def __init__(
        self,
        preset: str = 'eval_map',
        iou_thrs: Sequence[float] | float | None = None,
        mode: str | None = None,
        score_thr: float | None = None,
        min_score: float | None = None,
        legacy_plus_one: bool | None = None,
        files: bool | str = True,
        prefix: str | None = None,
    ) -> None:
        # 'gpu' is mmengine's name for gathering through the process group, which works on the CPU too; 'cpu' would
        # write files into the working directory.
        super().__init__(collect_device='gpu', prefix=prefix)
        self.settings = score_settings(
            preset,
            iou_thrs=(iou_thrs,) if isinstance(iou_thrs, (int, float)) else iou_thrs,
            mode=mode,
            score_thr=score_thr,
            min_score=min_score,
            legacy_plus_one=legacy_plus_one,
        )
        self.files = files
        self._without_truth = 0
        self._warned = False

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the boxes of one batch; samples as mmdet's detectors give them, in the form of dictionaries."""
        for sample in data_samples:
            image = image_name(sample, len(self.results) + self._without_truth)
            if 'bboxes' not in sample.get('gt_instances', {}):
                self._without_truth += 1
            else:
                self.results.append(image_boxes(sample, image))
                self._warn_of_scale(sample, self.results[-1])
            if self._without_truth and self.results:
                raise ValueError(f'{image}: of this data set only some images have a ground truth; label all or none')

    def evaluate(self, size: int) -> dict[str, float | None]:
        """Scores of the data set of ``size`` images, the same in all processes; none without a ground truth."""
        metrics = super().evaluate(size)
        self._without_truth = 0
        forget_earlier(metrics)
        return metrics

    def compute_metrics(self, results: list[tuple]) -> dict[str, float | None]:
        """All values from the boxes of all images; mmengine calls it in the main process only."""
        if not results:
            print_log('VOCDetectionMetric: no image has a ground truth, so there is no score', 'current', logging.WARN)
            return {}
        # mmengine hands named tuples on as bare ones.
        data = detection_set(self.dataset_meta['classes'], [ImageBoxes(*row) for row in results])
        scores = score_detections(data, self.settings)
        print_log('scores of detection:\n' + score_tables(scores), 'current')
        self._write(data, scores)
        return score_values(scores)

    def _write(self, data: DetectionSet, scores: DetectionScores) -> None:
        folder = run_folder() if self.files is True else self.files
        if not isinstance(folder, (str, Path)):
            return
        # matplotlib is imported by those who draw only
        from mmext.common.pr_figure import save_pr_figure

        folder, names = Path(folder), ['pr_curves.png']
        save_pr_figure(folder / 'pr_curves.png', scores)
        if self.files is not True or run_stage() == 'test':
            write_detections(folder / 'detections.json', data)
            write_json(folder / 'detection_scores.json', score_report(scores))
            names += ['detections.json', 'detection_scores.json']
        MMLogger.get_current_instance().info(f'written to {folder}: {", ".join(names)}')

    def _warn_of_scale(self, sample: dict, row: ImageBoxes) -> None:
        """Objects outside of the original image were most likely resized with the picture."""
        if self._warned or 'ori_shape' not in sample or not len(row.true_boxes):
            return
        height, width = sample['ori_shape'][:2]
        if (row.true_boxes[:, 2] > width + 1).any() or (row.true_boxes[:, 3] > height + 1).any():
            self._warned = True
            print_log(
                f'{row.image}: objects reach beyond the image of {width} x {height} pixels; if the pipeline resizes '
                'after LoadAnnotations, exchange the two: scores are those of the original size',
                'current',
                logging.WARN,
            )


def image_name(sample: dict, index: int) -> str:
    """Path or id of the image, or its number."""
    return str(sample.get('img_path') or sample.get('img_id', f'image {index}'))


def image_boxes(sample: dict, image: str) -> ImageBoxes:
    """The boxes of one sample of mmdet in compact arrays on the CPU: float32 boxes and scores, int16 labels."""
    found, there, ignored = (sample.get(key, {}) for key in ('pred_instances', 'gt_instances', 'ignored_instances'))
    true = [part for part in (there, ignored) if 'bboxes' in part]
    boxes, labels = ([_array(part[key]) for part in true] for key in ('bboxes', 'labels'))
    difficult = np.repeat([part is ignored for part in true], [len(part) for part in labels])
    return ImageBoxes(
        image,
        sample.get('source') or source_of(image),
        _array(found['bboxes']).astype(np.float32),
        _array(found['scores']).astype(np.float32),
        _array(found['labels']).astype(np.int16),
        np.concatenate(boxes).astype(np.float32).reshape(-1, 4),
        np.concatenate(labels).astype(np.int16),
        difficult,
    )


def _array(values: object) -> np.ndarray:
    """Of a tensor or of mmdet's boxes."""
    return torch.as_tensor(getattr(values, 'tensor', values)).detach().cpu().numpy()
