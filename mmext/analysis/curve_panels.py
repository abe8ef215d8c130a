"""What is drawn of training runs: panels of losses, learning rates, training beside validation, and scores."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mmext.analysis.run_curves import Curve, Run
from mmext.common.files import replacing
from mmext.common.loss_names import TOTAL

# The scores that are drawn by default, by the last part of their names.
SCORES = (
    *('mAP', 'bbox_mAP', 'bbox_mAP_50', 'matched_class_miou', 'matched_accuracy', 'mean_matched_iou'),
    *('mIoU', 'mAcc', 'aAcc', 'top1', 'top5', 'f1-score'),
)


@dataclass(frozen=True)
class Line:
    """One line of a panel, of the run with this number; ``text`` stands before its last value."""

    run: int
    name: str
    curve: Curve
    dashed: bool = False
    text: str = ''


@dataclass(frozen=True)
class Panel:
    """Lines over one pair of axes.

    Attributes:
        title: Above the axes.
        lines: One or more.
        boundaries: Where stages change.
        log_against: ``'median'`` or ``'smallest'``: what the largest value has to exceed by far for a log scale.
    """

    title: str
    lines: tuple[Line, ...]
    boundaries: tuple[float, ...] = ()
    log_against: str | None = None


def loss_panels(runs: Sequence[Run]) -> list[Panel]:
    """One panel for each part of the training loss, their sum last (figure 16 of the street-voc-vit report)."""
    names = dict.fromkeys(name for run in runs for name in run.losses)
    ordered = [name for name in names if name != TOTAL] + [name for name in names if name == TOTAL]
    # A model with one loss logs it twice.
    if len(ordered) == 2 and all(len(set(run.losses.values())) <= 1 for run in runs):
        ordered = [TOTAL]
    return _panels(runs, 'losses', ordered, 'median')


def rate_panels(runs: Sequence[Run]) -> list[Panel]:
    """The learning rate, and one panel more for each group of parameters with a rate of its own (figure 15)."""
    return _panels(runs, 'rates', list(dict.fromkeys(name for run in runs for name in run.rates)), 'smallest')


def train_val_panels(runs: Sequence[Run]) -> list[Panel]:
    """One panel for each run with its loss in training and in validation (figures 17, 19 and 22).

    Runs that have no loss of a validation are left out.
    """
    panels = []
    for index, run in enumerate(runs):
        if TOTAL in run.losses and TOTAL in run.val_losses:
            lines = (
                Line(index, 'train', run.losses[TOTAL], text='train '),
                Line(index, 'val', run.val_losses[TOTAL], dashed=True, text='val '),
            )
            panels.append(Panel(run.label, lines, run.boundaries, 'median'))
    return [panel for panel in panels if _has_numbers(panel)]


def metric_panels(runs: Sequence[Run], metrics: Sequence[str] | None = None) -> list[Panel]:
    """One panel for each score of the validations (figures 18, 20 and 21).

    Args:
        runs: Of any task.
        metrics: Names, or patterns such as ``AP*``; by default those of `SCORES` that the runs have, or else the first
            six of whatever they have.

    Raises:
        ValueError: no run has such a metric.
    """
    return _panels(runs, 'metrics', chosen_metrics(runs, metrics), None)


# Name of a figure -> what makes its panels.
FIGURES: dict[str, Callable[..., list[Panel]]] = dict(
    losses=loss_panels, lr=rate_panels, train_val=train_val_panels, metrics=metric_panels
)


def chosen_metrics(runs: Sequence[Run], metrics: Sequence[str] | None = None) -> list[str]:
    """Names of the metrics to draw; see `metric_panels`."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if metrics is None:
        # Of two scores with the same last part the one with the shorter name is the more general.
        by_last = {name.rsplit('/', 1)[-1]: name for name in sorted(names, key=len, reverse=True)}
        return [by_last[last] for last in SCORES if last in by_last] or names[:6]
    chosen = []
    for pattern in metrics:
        found = [name for name in names if name == pattern] or [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            files = ', '.join(str(run.files[-1]) for run in runs)
            raise ValueError(f'{pattern!r}: no such metric in {files}; there are {", ".join(names) or "none"}')
        chosen += found
    return list(dict.fromkeys(chosen))


def figure_panels(
    runs: Sequence[Run], figures: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> dict[str, list[Panel]]:
    """The panels of each figure, by its name in `FIGURES`.

    Args:
        runs: All of them count epochs, or all iterations.
        figures: Which; by default all for which there is data.
        metrics: As of `metric_panels`.

    Raises:
        ValueError: there is nothing to draw, or the runs count different things.
    """
    if len({run.by_epoch for run in runs}) > 1:
        by_unit = [next(run for run in runs if run.by_epoch == by_epoch) for by_epoch in (True, False)]
        raise ValueError(
            f'{by_unit[0].files[-1]} counts epochs and {by_unit[1].files[-1]} iterations; draw such runs apart'
        )
    made = {}
    for name in figures or FIGURES:
        panels = metric_panels(runs, metrics) if name == 'metrics' else FIGURES[name](runs)
        if panels:
            made[name] = panels
        elif figures:
            raise ValueError(f'no data for the figure {name!r} in {_holdings(runs)}')
    if not made:
        raise ValueError(f'nothing to draw in {_holdings(runs)}')
    return made


def write_csv(path: str | Path, panels: Sequence[Panel], runs: Sequence[Run]) -> None:
    """The numbers of a figure, one row a point: run, curve, epoch or iteration, value (empty where it is no number)."""
    unit = 'epoch' if runs[0].by_epoch else 'iteration'
    with replacing(path) as unfinished, unfinished.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['run', 'curve', unit, 'value'])
        for line in (line for panel in panels for line in panel.lines):
            for x, y in zip(line.curve.x, line.curve.y, strict=True):
                writer.writerow([runs[line.run].label, line.name, f'{x:g}', repr(y) if math.isfinite(y) else ''])


def _panels(runs: Sequence[Run], kind: str, names: Sequence[str], log_against: str | None) -> list[Panel]:
    panels = []
    for name in names:
        having = [(index, run) for index, run in enumerate(runs) if name in getattr(run, kind)]
        lines = tuple(Line(index, name, getattr(run, kind)[name]) for index, run in having)
        boundaries = sorted({boundary for _, run in having for boundary in run.boundaries})
        panels.append(Panel(name, lines, tuple(boundaries), log_against))
    return [panel for panel in panels if _has_numbers(panel)]


def _has_numbers(panel: Panel) -> bool:
    return any(math.isfinite(value) for line in panel.lines for value in line.curve.y)


def _holdings(runs: Sequence[Run]) -> str:
    """Files and what is in them."""
    return '; '.join(f'{run.files[-1]} (it holds {", ".join(run.keys)})' for run in runs)
