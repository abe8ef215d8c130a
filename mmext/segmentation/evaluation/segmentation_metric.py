"""All scores of semantic segmentation from one count of the pixels."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable

from mmext.common.confusion_scores import (
    CLASS_SCORES,
    SCORES,
    class_counts,
    class_keys,
    class_scores,
    mean_where_defined,
    merge_classes,
    percent,
    score,
)
from mmext.common.image_scores import NAME, dense, sparse, write_image_scores
from mmext.common.metric_log import forget_earlier, run_folder, run_stage

from ..datasets.label_maps import CATEGORIES, CLASSES
from .confusion import count_confusion


@METRICS.register_module()
class SegmentationMetric(BaseMetric):
    """Scores from one confusion matrix an image; keeps the matrices, so that runs can be compared image by image.

    Values are percent, under upstream's names where those exist, and not rounded:

    - ``aAcc``, ``mIoU``, ``mAcc``, ``mDice``, ``mFscore``, ``mPrecision``, ``mRecall``, ``fwIoU`` as
      `mmext.common.confusion_scores` defines them. Means leave out the classes where a score is undefined.
    - ``IoU.<class>`` for every class, and so for every other score named in ``per_class``; characters that
      TensorBoard does not take become ``_``: ``IoU.traffic_light``. They are fit for ``save_best``.
    - ``catIoU.<category>`` and their mean ``mCatIoU`` where the classes have categories.

    A score that is undefined is None: JSON has no NaN, ``save_best`` passes over it, and the curves have a gap.

    A log shows a table of all scores per class. Beside the log, ``image_scores_{val,test}.jsonl`` holds the confusion
    matrix of every image (`mmext.common.image_scores`; a later validation replaces it), for
    ``tools/analysis/compare_runs.py``; a test also draws ``confusion_matrix.png`` and writes it as CSV.

    Several processes add up their matrices with one ``all_reduce``; images that a sampler repeats to give every
    process the same number do not count. Without any ground truth it logs a warning and returns no score.

    Differs from upstream's ``IoUMetric`` in that labels out of range are an error; that counts are exact; in the
    missing ``nan_to_num``, ``beta``, ``output_dir`` and ``format_only`` (tools/test.py --out-labels writes
    predictions); and in speed.

    Args:
        ignore_index: Label of pixels that do not count.
        per_class: Scores that reach the loggers class by class, of IoU, Acc, Dice, Fscore, Precision and Recall.
        not_in_mean: Classes that the means leave out; their pixels count all the same, also as errors of others.
        categories: Name of the category of each class; ``'auto'`` for those of Cityscapes where the data has its 19
            classes, None for none.
        per_image_file: Write the scores of the images; a path instead of True says where to.
        confusion_matrix: Draw the confusion matrix; True: beside the log of a test; a path: at every evaluation, there.
        prefix: Put before the names of all values, with a ``/``.

    Raises:
        ValueError: a setting that does not fit the classes; and as `count_confusion`.
    """

    # Names without a prefix, as upstream's; the empty string keeps the base class from warning about that.
    default_prefix = ''

    def __init__(
        self,
        ignore_index: int = 255,
        per_class: Sequence[str] = ('IoU',),
        not_in_mean: Sequence[str] = (),
        categories: Sequence[str] | str | None = 'auto',
        per_image_file: bool | str = True,
        confusion_matrix: bool | str = True,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        unknown = [name for name in per_class if name not in CLASS_SCORES]
        if unknown:
            raise ValueError(f'per_class names {unknown[0]!r}: choose from {", ".join(CLASS_SCORES)}')
        self.ignore_index = ignore_index
        self.per_class = tuple(per_class)
        self.not_in_mean = tuple(not_in_mean)
        self.categories = categories
        self.per_image_file = per_image_file
        self.confusion_matrix = confusion_matrix
        self.results: list[tuple[str, np.ndarray]] = []  # image and its sparse confusion matrix
        self._without_truth = 0

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Count the images of one batch; samples as mmseg's segmentors give them, in the form of dictionaries."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            image = str(sample.get('img_path', f'image {len(self.results)}'))
            if 'gt_sem_seg' not in sample:
                self._without_truth += 1
            else:
                prediction, truth = sample['pred_sem_seg']['data'], sample['gt_sem_seg']['data']
                name = str(sample.get('seg_map_path', image))
                confusion = count_confusion(prediction, truth, num_classes, self.ignore_index, name)
                self.results.append((image, sparse(confusion.cpu().numpy())))
            if self._without_truth and self.results:
                raise ValueError(f'{image}: of this data set only some images have a ground truth; label all or none')

    def evaluate(self, size: int) -> dict[str, float | None]:
        """Scores of the data set of ``size`` images, the same in all processes."""
        rows = drop_repeated(self.results, size)
        self.results, self._without_truth = [], 0
        classes = tuple(self.dataset_meta['classes'])
        total = sum((dense(entries, len(classes)) for _, entries in rows), np.zeros([len(classes)] * 2, np.int64))
        # One tensor for both: the matrix, and the number of images.
        summed = torch.from_numpy(np.append(total, len(rows)))
        all_reduce(summed)
        if self.per_image_file:
            # Processes take turns in the order of the data set.
            gathered = all_gather_object(rows)
            rows = [part[turn] for turn in range(len(gathered[0])) for part in gathered if turn < len(part)]
        if summed[-1] == 0:
            print_log('SegmentationMetric: no image has a ground truth, so there is no score', 'current', logging.WARN)
            return {}
        confusion = summed[:-1].numpy().reshape(total.shape)
        metrics = self.compute_metrics(confusion)
        if is_main_process():
            print_log('per class results:\n' + class_table(confusion, classes), 'current')
            self._write(confusion, classes, rows)
        metrics = {'/'.join(filter(None, (self.prefix, name))): value for name, value in metrics.items()}
        forget_earlier(metrics)
        return metrics

    def compute_metrics(self, confusion: np.ndarray) -> dict[str, float | None]:
        """All values in percent from the (C, C) matrix of the data set."""
        classes = tuple(self.dataset_meta['classes'])
        counts, categories = class_counts(confusion), self._categories_of(classes)
        in_mean = self._in_mean(classes)
        shares = {name: score(counts, name, in_mean) for name in SCORES}
        if categories:
            groups, merged = merge_classes(confusion, categories)
            iou = class_scores(class_counts(merged), ['IoU'])['IoU']
            shares['mCatIoU'] = mean_where_defined(iou)
            shares |= dict(zip(class_keys('catIoU', groups), iou, strict=True))
        for name, values in class_scores(counts, self.per_class).items():
            shares |= dict(zip(class_keys(name, classes), values, strict=True))
        return percent(shares)

    def _in_mean(self, classes: tuple[str, ...]) -> list[bool]:
        unknown = [name for name in self.not_in_mean if name not in classes]
        if unknown:
            raise ValueError(f'not_in_mean names {unknown[0]!r}: the data set has the classes {", ".join(classes)}')
        return [name not in self.not_in_mean for name in classes]

    def _categories_of(self, classes: tuple[str, ...]) -> Sequence[str] | None:
        if self.categories == 'auto':
            return CATEGORIES if classes == CLASSES else None
        return self.categories

    def _write(self, confusion: np.ndarray, classes: tuple[str, ...], rows: list[tuple[str, np.ndarray]]) -> None:
        logger, stage, folder = MMLogger.get_current_instance(), run_stage(), run_folder()
        wanted = self.per_image_file
        file = folder / NAME.format(stage=stage or 'test') if wanted is True and folder else wanted
        if isinstance(file, (str, Path)):
            write_image_scores(file, classes, rows, self.not_in_mean)
            logger.info(f'scores of {len(rows)} images are in {file}')
        wanted = self.confusion_matrix
        picture = folder / 'confusion_matrix.png' if wanted is True and folder and stage == 'test' else wanted
        if isinstance(picture, (str, Path)):
            # matplotlib is imported by those who draw only
            from mmext.common.confusion_figure import save_confusion

            save_confusion(picture, confusion, classes)
            logger.info(f'the confusion matrix is in {picture} and, as CSV, beside it')


def drop_repeated(rows: list, size: int) -> list:
    """The results of this process without the images that the sampler repeated at the end.

    As upstream's collection of results: process r of n has the places r, r + n, r + 2 n, ... of the order of the data,
    and whatever is beyond the ``size`` of the data is a repetition.
    """
    rank, processes = get_dist_info()
    return rows[: len(range(rank, size, processes))]


def class_table(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Every score of every class in percent, and the share of the labelled pixels that the class has."""
    counts = class_counts(confusion)
    table = PrettyTable()
    table.add_column('Class', list(classes))
    with np.errstate(invalid='ignore'):
        columns = class_scores(counts) | {'% of pixels': counts.truth / counts.truth.sum()}
    for name, values in columns.items():
        table.add_column(name, [f'{100 * value:.2f}' for value in values])
    table.align = 'r'
    return table.get_string()
