"""Which classes each frame holds, how much they flicker, and both over time as a figure."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmext.common.figures import save_figure

FIXED_COLUMNS = ('frame', 'source_frame', 'second', 'model', 'flicker')
# Points of the figure; longer videos are averaged, so that it takes as much memory for an hour as for a minute.
FIGURE_POINTS = 1000
# Classes with a name of their own in the legend.
LEGEND_CLASSES = 20


def class_shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The share of each class in a label map, (num_classes,) float64; they sum to 1.

    Args:
        labels: (H, W) uint8, below ``num_classes``.
        num_classes: At most 256.
    """
    # Single precision counts single pixels up to 16.7 million; rows are counted apart beyond.
    step = max((1 << 24) // labels.shape[1], 1)
    counts = sum(
        cv2.calcHist([labels[row : row + step]], [0], None, [num_classes], [0, num_classes]).astype(np.float64)
        for row in range(0, len(labels), step)
    )
    return counts.ravel() / labels.size


def flicker(labels: np.ndarray, before: np.ndarray | None) -> float | None:
    """The share of pixels whose class differs from the frame before; None for the first frame.

    What moves changes too: the score compares models on the same frames, not videos with each other.
    """
    return None if before is None else np.count_nonzero(labels != before) / labels.size


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a table of class shares."""
    with path.open(newline='', encoding='utf-8') as file:
        yield from csv.DictReader(file)


@dataclass
class Course:
    """What a table holds for one model, averaged to a limited number of points.

    Attributes:
        seconds: Of each point.
        shares: (points, classes).
        flicker: Of each point, NaN where there is none.
        mean_flicker: Over all frames but the first; None if there is only one.
        mean_shares: (classes,) over all frames.
    """

    seconds: np.ndarray
    shares: np.ndarray
    flicker: np.ndarray
    mean_flicker: float | None
    mean_shares: np.ndarray


@dataclass
class _Sums:
    """Sums of bins of equal length, whose number is halved when there are too many."""

    classes: int
    bin: int = 1
    count: int = 0
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, second: float, flickering: float | None, shares: Sequence[float]) -> None:
        known = flickering is not None
        row = np.array([1, second, known, flickering or 0, *shares])
        if self.count % self.bin == 0:
            if len(self.rows) == 2 * FIGURE_POINTS:
                self.rows = [first + second for first, second in zip(self.rows[::2], self.rows[1::2], strict=True)]
                self.bin *= 2
            self.rows.append(row)
        else:
            self.rows[-1] = self.rows[-1] + row
        self.count += 1

    def course(self) -> Course:
        table = np.array(self.rows).reshape(-1, 4 + self.classes)
        frames, seconds, known, flickering = table[:, :4].T
        with np.errstate(invalid='ignore'):
            averaged = flickering / known
        total = table.sum(axis=0)
        return Course(
            seconds / frames,
            table[:, 4:] / frames[:, None],
            averaged,
            float(total[3] / total[2]) if total[2] else None,
            total[4:] / total[0],
        )


def read_courses(path: Path, models: Sequence[str], classes: Sequence[str]) -> dict[str, Course]:
    """The course of each model in a table of class shares; memory does not grow with the table."""
    sums = {name: _Sums(len(classes)) for name in models}
    for row in read_rows(path):
        flickering = float(row['flicker']) if row['flicker'] else None
        sums[row['model']].add(float(row['second']), flickering, [float(row[name]) for name in classes])
    return {name: found.course() for name, found in sums.items()}


def timeline_figure(courses: dict[str, Course], classes: Sequence[str], palette: Sequence) -> Figure:
    """One panel a model with the stacked shares of the classes over time, and one with the flicker of all models."""
    figure = Figure(figsize=(11, 2.2 * len(courses) + 3.2), layout='constrained')
    FigureCanvasAgg(figure)
    heights = [1.0] * len(courses) + [0.7]
    grid = figure.subplots(len(courses) + 1, 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    everywhere = np.mean([course.mean_shares for course in courses.values()], axis=0)
    order = np.argsort(-everywhere, kind='stable')
    order = order[everywhere[order] > 0]
    colors = [np.divide(palette[index], 255) for index in order]
    for axes, (name, course) in zip(grid, courses.items(), strict=False):
        # Dark lines between the areas keep light colours apart; a single frame needs a width to be seen.
        seconds, shares = course.seconds, 100 * course.shares[:, order]
        if len(seconds) == 1:
            seconds, shares = np.array([seconds[0], seconds[0] + 1e-3]), np.repeat(shares, 2, axis=0)
        axes.stackplot(seconds, shares.T, colors=colors, edgecolor='0.25', linewidth=0.2)
        axes.set_ylim(0, 100)
        axes.set_ylabel('% of pixels')
        axes.set_title(name, loc='left', fontsize='medium')
        axes.margins(x=0)
    for name, course in courses.items():
        mean = '' if course.mean_flicker is None else f'  (mean {100 * course.mean_flicker:.2f} %)'
        grid[-1].plot(course.seconds, 100 * course.flicker, linewidth=1.2, label=name + mean)
    grid[-1].set_ylim(bottom=0)
    grid[-1].set_ylabel('% changed')
    grid[-1].set_title('Flicker: pixels whose class differs from the frame before', loc='left', fontsize='medium')
    grid[-1].set_xlabel('second of the source')
    grid[-1].legend(fontsize='small', frameon=False, ncols=min(len(courses), 3))
    for axes in grid:
        axes.spines[['top', 'right']].set_visible(False)
    handles = [
        figure.axes[0].fill_between([], [], color=paint, edgecolor='0.25', linewidth=0.4)
        for paint in colors[:LEGEND_CLASSES]
    ]
    names = [classes[index] for index in order[:LEGEND_CLASSES]]
    figure.legend(handles, names, loc='outside right upper', fontsize='small', frameon=False)
    return figure


def draw_timeline(table: Path, path: Path, models: Sequence[str], classes: Sequence[str], palette: Sequence) -> dict:
    """Write the figure of a table of class shares.

    Returns:
        The course of each model.
    """
    courses = read_courses(table, models, classes)
    save_figure(timeline_figure(courses, classes, palette), path)
    return courses
