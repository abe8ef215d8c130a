"""Is one model better than another, or were these images kind to it? A paired bootstrap over images.

Shapes: N images, C classes, R resamples. Scores are shares in the functions and percent in reports. Toolbox-free.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from mmext.common.confusion_scores import SCORES, ClassCounts, as_percent, class_keys, class_scores, score, tidy
from mmext.common.image_scores import ImageScores

# Resamples are taken in blocks of about this many numbers, so that memory stays small for any N and R.
BLOCK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Score of B minus score of A over the same images.

    Attributes:
        value: The difference on all images, NaN where one of the scores is undefined.
        low, high: 95 % percentile interval of the bootstrap; NaN where no resample defines the difference.
        p: Two-sided: how often resampling takes the difference to the other side of 0 (or onto it), doubled. At least
            2 / (R + 1), 1 where nothing speaks for a difference.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """In words, at the level of 5 %."""
        if math.isnan(self.value):
            return 'undefined'
        if self.p >= 0.05:
            return 'no difference shown'
        return 'better' if self.value > 0 else 'worse'


def summed(counts: ClassCounts, times: np.ndarray | None = None) -> ClassCounts:
    """Counts (N, C) of images added up to (C,); with ``times`` (R, N), how often each resample has each image, (R, C).

    Exact in float64 up to 2^53 pixels.
    """
    if times is None:
        return ClassCounts(*(values.sum(0) for values in counts))
    return ClassCounts(*(times @ values.astype(np.float64) for values in counts))


def resampled(num_images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (r, N) of how often an image is drawn: N draws with replacement, ``resamples`` times in all."""
    generator = np.random.default_rng(seed)
    block = max(BLOCK // num_images, 1)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(num_images, size=(rows, num_images)) + num_images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * num_images).reshape(rows, num_images).astype(np.float64)


def scores_of(
    counts: ClassCounts, names: Sequence[str], classes: Sequence[str], not_in_mean: Sequence[str] = ()
) -> np.ndarray:
    """Scores stacked in the last axis: (..., C) counts -> (..., number of names).

    Args:
        counts: (..., C).
        names: Of `mmext.common.confusion_scores.SCORES`, or ``IoU.<class>`` and the like.
        classes: C names.
        not_in_mean: Classes that the means leave out.

    Raises:
        ValueError: an unknown score or class.
    """
    in_mean = [name not in not_in_mean for name in classes]
    places = {tidy(name): place for place, name in enumerate(classes)}
    split = [name.partition('.') for name in names]
    unknown = [name for name in (*(part[2] for part in split if part[1]), *not_in_mean) if tidy(name) not in places]
    if unknown:
        raise ValueError(f'{unknown[0]!r} is no class of this data; it has {", ".join(classes)}')
    per_class = class_scores(counts, list(dict.fromkeys(kind for kind, dot, _ in split if dot)))
    columns = [
        per_class[kind][..., places[tidy(of_class)]] if dot else score(counts, kind, in_mean)
        for kind, dot, of_class in split
    ]
    return np.stack(columns, axis=-1)


def paired_bootstrap(
    a: ClassCounts,
    b: ClassCounts,
    names: Sequence[str],
    classes: Sequence[str],
    resamples: int = 10_000,
    seed: int = 0,
    not_in_mean: Sequence[str] = (),
) -> list[Difference]:
    """B minus A for every score, with an interval and a p-value from resampled images.

    Images are drawn with replacement, the same ones for both models, their counts are added up, and the scores are
    computed anew from the sums: what mIoU is made of is neither independent nor normal, so there is no formula. Half
    of the resamples that take the difference to exactly 0 count for either side. The same seed gives the same figures.

    The interval speaks of other images like these for these very weights; a training with another seed may
    differ by more. With fewer than some twenty images, and for classes that few images show, it is too narrow.

    Args:
        a: (N, C), of the model to compare with.
        b: (N, C), of the same images in the same order.
        names: Scores as in `scores_of`.
        classes: C names.
        resamples: R.
        seed: Of the draws.
        not_in_mean: Classes that the means leave out.

    Raises:
        ValueError: A and B have different shapes, or R < 1.
    """
    if a.hits.shape != b.hits.shape or resamples < 1:
        raise ValueError(
            f'counts of shape {a.hits.shape} and {b.hits.shape}, {resamples} resamples: expected the same images and '
            f'classes, and at least one resample'
        )
    observed = scores_of(summed(b), names, classes, not_in_mean) - scores_of(summed(a), names, classes, not_in_mean)
    blocks = [
        scores_of(summed(b, times), names, classes, not_in_mean)
        - scores_of(summed(a, times), names, classes, not_in_mean)
        for times in resampled(len(a.hits), resamples, seed)
    ]
    drawn = np.concatenate(blocks)
    return [
        _difference(float(value), column[~np.isnan(column)]) for value, column in zip(observed, drawn.T, strict=True)
    ]


def _difference(value: float, drawn: np.ndarray) -> Difference:
    if math.isnan(value) or not len(drawn):
        return Difference(value, math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # The observed sample counts as one of the resamples: a p of 0 would promise more than R draws can tell.
    ties = (drawn == 0).sum() / 2
    smaller_side = min((drawn < 0).sum() + ties, (drawn > 0).sum() + ties)
    return Difference(value, float(low), float(high), float(min(1.0, 2 * (smaller_side + 1) / (len(drawn) + 1))))


def check_same_images(runs: Sequence[ImageScores]) -> list[ImageScores]:
    """The runs with their images in the order of the first.

    Raises:
        ValueError: the classes, the images or the ground truth differ; names the files and the first differences.
    """
    first, aligned = runs[0], [runs[0]]
    for run in runs[1:]:
        pair = f'{first.path} and {run.path}'
        if run.classes != first.classes:
            raise ValueError(f'{pair}: the classes differ: {", ".join(first.classes)} and {", ".join(run.classes)}')
        missing, added = (sorted(set(x) - set(y)) for x, y in ((first.images, run.images), (run.images, first.images)))
        if missing or added:
            parts = [f'{len(names)} images only in {path}, such as {", ".join(names[:3])}'
                     for names, path in ((missing, first.path), (added, run.path)) if names]  # fmt: skip
            raise ValueError(f'{pair}: the images differ: {"; ".join(parts)}; evaluate both runs on the same data')
        places = {name: place for place, name in enumerate(run.images)}
        order = [places[name] for name in first.images]
        counts = ClassCounts(*(values[order] for values in run.counts))
        differ = np.argwhere(counts.truth != first.counts.truth)
        if len(differ):
            image, c = differ[0]
            raise ValueError(
                f'{pair}: the ground truth differs: {first.images[image]} has {first.counts.truth[image, c]} and '
                f'{counts.truth[image, c]} pixels of {first.classes[c]}; evaluate both runs on the same masks'
            )
        aligned.append(replace(run, images=first.images, counts=counts))
    return aligned


def compare_runs(
    runs: Sequence[ImageScores],
    labels: Sequence[str],
    metric: str = 'mIoU',
    resamples: int = 10_000,
    seed: int = 0,
    not_in_mean: Sequence[str] | None = None,
) -> dict:
    """Every run against the first, as plain numbers ready for JSON: percent, None where undefined.

    Args:
        runs: Two or more.
        labels: What to call them.
        metric: One of `SCORES` or ``IoU.<class>`` and the like.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        not_in_mean: Classes that the means leave out; by default those that the runs left out.

    Raises:
        ValueError: as `check_same_images` and `scores_of`; or the runs left out different classes.
    """
    runs = check_same_images(runs)
    classes = runs[0].classes
    if not_in_mean is None:
        not_in_mean = runs[0].not_in_mean
        for run in runs:
            if set(run.not_in_mean) != set(not_in_mean):
                raise ValueError(
                    f'{runs[0].path} and {run.path}: their means leave out {list(not_in_mean)} and '
                    f'{list(run.not_in_mean)}; say which classes the means shall leave out (--not-in-mean)'
                )
    of_class = metric[1:] if metric in SCORES and metric[1:] in ('IoU', 'Acc', 'Dice', 'Precision', 'Recall') else 'IoU'
    names = [metric, *class_keys(of_class, classes)]
    report = dict(
        metric=metric, images=len(runs[0].images), resamples=resamples, seed=seed, not_in_mean=list(not_in_mean)
    )
    report['runs'] = []
    for run, label in zip(runs, labels, strict=True):
        values = scores_of(summed(run.counts), names, classes, not_in_mean)
        entry = dict(label=label, file=str(run.path), scores=dict(zip(names, map(as_percent, values), strict=True)))
        if run is not runs[0]:
            found = paired_bootstrap(runs[0].counts, run.counts, names, classes, resamples, seed, not_in_mean)
            entry['differences'] = {
                name: dict(
                    difference=as_percent(each.value),
                    interval=[as_percent(each.low), as_percent(each.high)],
                    p=None if math.isnan(each.p) else each.p,
                    verdict=each.verdict,
                )
                for name, each in zip(names, found, strict=True)
            }
        report['runs'].append(entry)
    return report


def comparison_table(report: dict) -> Table:
    """All runs with the score asked for, and what sets them apart from the first."""
    metric, first = report['metric'], report['runs'][0]
    title = f'{metric} in percent, {report["images"]} images, {report["resamples"]} resamples'
    table = Table('run', metric, f'minus {first["label"]}', '95 % interval', 'p', 'verdict', title=title)
    for run in report['runs']:
        row = [run['label'], _text(run['scores'][metric])]
        table.add_row(*row, *(_cells(run['differences'][metric]) if 'differences' in run else ()))
    return table


def class_differences_table(report: dict, run: dict) -> Table:
    """Class by class: the first run, another one, and what sets them apart."""
    first = report['runs'][0]
    table = Table('class', first['label'], run['label'], 'difference', '95 % interval', 'p', 'verdict')
    for name, difference in list(run['differences'].items())[1:]:
        table.add_row(name, _text(first['scores'][name]), _text(run['scores'][name]), *_cells(difference))
    return table


def _cells(difference: dict) -> list[str]:
    low, high = difference['interval']
    interval = f'{_text(low, "+")} to {_text(high, "+")}'
    p = '-' if difference['p'] is None else f'{difference["p"]:.4f}'
    return [_text(difference['difference'], '+'), interval, p, difference['verdict']]


def _text(value: float | None, sign: str = '') -> str:
    return '-' if value is None else f'{value:{sign}.2f}'


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Short names of the arguments: their last parts, or all of them where these are not distinct."""
    short = [path.name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]
