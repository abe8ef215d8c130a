"""Figures of training runs: small multiples with several runs in each. Object-oriented matplotlib only.

A run has one colour in all figures (a palette that colour-blind readers can tell apart); the legend stands above the
panels, and the last value of each line to the right of its panel.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mmext.analysis.curve_panels import Panel, figure_panels, write_csv
from mmext.analysis.run_curves import Run
from mmext.common.figures import save_figure

# Okabe and Ito's palette without its yellow, which is too light for lines.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
DASHES = ('-', (0, (6, 1.5)), (0, (2, 1)))
STAGES = dict(color='0.55', linewidth=0.9, linestyle=(0, (1, 1.5)))
# So many values are drawn with a dot each.
FEW = 12
# From this ratio of the largest value to the median (losses) or the smallest one (learning rates) on: a log scale.
WIDE_RANGE = 15
PANEL_INCHES = (4.3, 2.7)
SINGLE_INCHES = (7.5, 3.8)
LABEL_SIZE = 8
# A name that stands beside its line, in characters; longer ones are in the legend alone.
LONGEST_NAME = 16


def draw_figures(
    runs: Sequence[Run],
    out: str | Path,
    figures: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    suffix: str = 'png',
) -> list[Path]:
    """Draw and write the figures of some runs, and a CSV file of the numbers beside each.

    Args:
        runs: As of `figure_panels`, as are ``figures`` and ``metrics``.
        out: Folder; made if missing.
        suffix: png, svg or pdf.

    Returns:
        The pictures.

    Raises:
        ValueError: as `figure_panels`; then nothing is written.
    """
    written = []
    for name, panels in figure_panels(runs, figures, metrics).items():
        path = Path(out) / f'{name}.{suffix}'
        save_figure(curve_figure(panels, runs, share_y=name in ('lr', 'train_val')), path)
        write_csv(path.with_suffix('.csv'), panels, runs)
        written.append(path)
    return written


def curve_figure(panels: Sequence[Panel], runs: Sequence[Run], share_y: bool = False) -> Figure:
    """Small multiples over the same epochs or iterations.

    Args:
        panels: One or more, each with a number in one of its lines.
        runs: All runs, also those without a line here: a run's place gives its colour.
        share_y: Give all panels the same range of values.
    """
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width, height = PANEL_INCHES if len(panels) > 1 else SINGLE_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout='constrained')
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y, sharex=True).flat)
    for axes in grid[len(panels) :]:
        axes.remove()
    places = list(zip(grid, panels, strict=False))
    for index, (axes, panel) in enumerate(places):
        _draw_lines(axes, panel, len(runs))
        _set_axes(axes, panel, panels if share_y else [panel])
        if index + columns >= len(panels):
            axes.set_xlabel('epoch' if runs[0].by_epoch else 'iteration')
    # Not before all lines are there: panels share their ranges.
    for axes, panel in places:
        names = [run.label for run in runs] if len(panels) == 1 and len(runs) > 1 else None
        _label_ends(axes, panel, height * 72 * 0.75, names)
    _legend(figure, panels, runs)
    return figure


def _draw_lines(axes: Axes, panel: Panel, runs: int) -> None:
    for boundary in panel.boundaries:
        axes.axvline(boundary, zorder=1, **STAGES)
    # Runs often share a schedule: what lies below is wider, and shows where other lines cover it.
    step = 0.8 if panel.log_against == 'smallest' and runs <= 6 else 0.0
    for line in panel.lines:
        axes.plot(
            line.curve.x,
            line.curve.y,
            color=_color(line.run),
            linestyle=DASHES[1] if line.dashed else _dash(line.run),
            linewidth=1.5 + step * (runs - 1 - line.run),
            marker='o',
            markersize=3.5,
            markevery=dots(line.curve.y),
            zorder=2 + line.run,
        )


def _set_axes(axes: Axes, panel: Panel, sharing: Sequence[Panel]) -> None:
    values = [value for one in sharing for line in one.lines for value in line.curve.y if math.isfinite(value)]
    low, high = min(values), max(values)
    reference = dict(median=statistics.median(values), smallest=low).get(panel.log_against)
    if reference is not None and low > 0 and high / reference > WIDE_RANGE:
        axes.set_yscale('log')
    elif 0 <= low < 0.5 * high:
        axes.set_ylim(0, high * 1.05)
    title = f'{panel.title} (log scale)' if axes.get_yscale() == 'log' else panel.title
    axes.set_title(title, loc='left', fontsize='medium')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    # Panels that share an axis would show its numbers at the border of the figure only.
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', color='0.9')
    axes.set_axisbelow(True)


def dots(y: Sequence[float]) -> list[int]:
    """Which values get a dot: all if they are few, else the last one and those between two gaps (NaN)."""
    known = [math.isfinite(value) for value in y]
    last = max((index for index, is_known in enumerate(known) if is_known), default=-1)

    def alone(index: int) -> bool:
        return not any(known[max(index - 1, 0) : index] + known[index + 1 : index + 2])

    few = len(y) <= FEW
    return [index for index, is_known in enumerate(known) if is_known and (few or index == last or alone(index))]


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places on 0..1, moved as little as needed to lie ``gap`` apart; groups stay around their mean.

    Nothing is moved out of 0..1, as long as all fit in.
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1:
            below, above = groups[-2:]
            if _middle(above, gap) - _middle(below, gap) >= gap * (len(below) + len(above)) / 2:
                break
            groups[-2:] = [below + above]
    return [
        _middle(group, gap) + gap * (index - (len(group) - 1) / 2) for group in groups for index in range(len(group))
    ]


def _middle(group: Sequence[float], gap: float) -> float:
    half = gap * (len(group) - 1) / 2
    return max(min(statistics.fmean(group), 1 - half), half)


def _label_ends(axes: Axes, panel: Panel, height_points: float, names: Sequence[str] | None = None) -> None:
    """The last value of each line to the right of the axes, moved up or down where they would overlap."""
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = []
    for line in panel.lines:
        known = [(x, y) for x, y in zip(line.curve.x, line.curve.y, strict=True) if math.isfinite(y)]
        if known:
            ends.append((float(to_axes.transform(known[-1])[1]), line, known[-1][1]))
    ends.sort(key=lambda end: end[0])
    gap = LABEL_SIZE * 1.2 / height_points
    for place, (_, line, value) in zip(spread([end[0] for end in ends], gap), ends, strict=True):
        text = f'{line.text}{value:#.3g}'
        if names and len(names[line.run]) <= LONGEST_NAME:
            text = f'{names[line.run]} {text}'
        style = dict(color=_color(line.run), fontsize=LABEL_SIZE, va='center')
        axes.text(1.015, place, text, transform=axes.transAxes, **style)


def _legend(figure: Figure, panels: Sequence[Panel], runs: Sequence[Run]) -> None:
    lines = [line for panel in panels for line in panel.lines]
    if any(line.dashed for line in lines):
        # The panels are named after their runs.
        entries = [('training', dict(color='0.3')), ('validation', dict(color='0.3', linestyle=DASHES[1]))]
    else:
        drawn = sorted({line.run for line in lines})
        entries = [(runs[run].label, dict(color=_color(run), linestyle=_dash(run), linewidth=2.2)) for run in drawn]
    if any(panel.boundaries for panel in panels):
        entries.append(('change of stage', STAGES))
    handles = [Line2D([], [], label=label, **style) for label, style in entries]
    # About as many as fit side by side.
    widest = max(len(label) for label, _ in entries) * 0.09 + 0.5
    rows = math.ceil(len(handles) / max(1, int(figure.get_figwidth() / widest)))
    columns = math.ceil(len(handles) / rows)
    figure.legend(handles=handles, loc='outside upper left', ncols=columns, frameon=False, fontsize='medium')


def _color(run: int) -> str:
    return COLORS[run % len(COLORS)]


def _dash(run: int) -> str | tuple:
    return DASHES[run // len(COLORS) % len(DASHES)]
