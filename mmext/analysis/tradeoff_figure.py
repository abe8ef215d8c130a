"""Score against cost as a scatter plot: figure 4 of the context report, figure 1 of the kitti report.

Hollow circles are published, filled squares are our own, half-filled diamonds have their score from the report and
their cost from here. A series - machine, precision, size - has a colour and a Pareto front of its own: latencies of
two machines do not compare.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mmext.analysis.speed.tradeoff_points import FLOPS, LATENCY, MIXED, OWN, PUBLISHED, Tradeoff, pareto_front
from mmext.common.files import write_text

# Okabe and Ito's palette, lightened where the ground is dark.
COLORS = {
    'light': ('#404040', '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#B07D00', '#56B4E9'),
    'dark': ('#D0D0D0', '#56B4E9', '#FF8C42', '#2BC79A', '#E39CC6', '#F0C000', '#9AD0F5'),
}
GROUNDS = {'light': ('white', '#202020', '#e4e4e4'), 'dark': ('#15181c', '#e6e6e6', '#33383f')}
MARKERS = {PUBLISHED: ('o', 'none'), MIXED: ('D', 'left'), OWN: ('s', 'full')}
X_LABELS = {
    LATENCY: 'latency of the network, ms an image',
    FLOPS: 'G multiply-adds (MACs) an image, which the reports call FLOPs',
}
# From this ratio of the largest to the smallest cost on: a log scale.
WIDE_RANGE = 8
FORMATS = ('.png', '.svg', '.pdf')
MARKER_POINTS, LABEL_SIZE = 7.0, 8
# Distances of a label from its point, nearest first; the directions are tried in this order at each.
DISTANCES = (7, 14, 22, 32, 44, 58, 74)
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))

Box = tuple[float, float, float, float]


def tradeoff_figure(content: Tradeoff, title: str = '', theme: str = 'light') -> Figure:
    """Draw the points of a figure, their fronts, a legend above and a name beside each.

    Args:
        content: With at least one point.
        title: Above the legend.
        theme: 'light' or 'dark'.
    """
    ground, ink, grid = GROUNDS[theme]
    series = list(dict.fromkeys(point.series for point in content.points))
    colors = {name: COLORS[theme][place % len(COLORS[theme])] for place, name in enumerate(series)}
    figure = Figure(figsize=(9.5, 5.2 + 0.24 * len(series)), layout='constrained', facecolor=ground)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=ground)
    kinds = {point.series: point.kind for point in content.points}
    fronts = []
    for name in series:
        points = sorted({(p.x, p.y) for p in content.points if p.series == name})
        axes.plot(*zip(*points, strict=True), linestyle='none', zorder=3, **_style(kinds[name], colors[name], ground))
        fronts.append([points[place] for place in pareto_front(points)])
        axes.plot(*zip(*fronts[-1], strict=True), color=colors[name], linewidth=1.1, alpha=0.65, zorder=2)
    _set_axes(axes, content, ink, grid)
    handles = [
        Line2D([], [], linestyle='none', label=name, **_style(kinds[name], colors[name], ground)) for name in series
    ]
    handles.append(Line2D([], [], color=ink, linewidth=1.1, alpha=0.65, label='Pareto front of a series'))
    legend = figure.legend(handles=handles, loc='outside upper left', frameon=False, fontsize='small', labelcolor=ink)
    legend.set_title(title, prop={'size': 'medium', 'weight': 'bold'})
    legend.get_title().set_color(ink)
    legend._legend_box.align = 'left'
    _write_names(figure, axes, content, colors, fronts)
    return figure


def write_csv(content: Tradeoff, path: str | Path) -> None:
    """The points with both sources of each, and what was left out and why."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    cost = 'latency_ms' if content.x == LATENCY else 'gmacs'
    writer.writerow(('name', cost, 'miou_percent', 'kind', 'series', 'source_of_cost', 'source_of_miou', 'left_out'))
    for point in content.points:
        writer.writerow(
            (
                point.name,
                f'{point.x:.6g}',
                f'{point.y:.6g}',
                point.kind,
                point.series,
                point.x_source,
                point.y_source,
                '',
            )
        )
    writer.writerows(['', '', '', '', '', '', '', reason] for reason in content.left_out)
    write_text(path, stream.getvalue())


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    radius: float,
    lines: Sequence[tuple[float, float]] = (),
) -> list[tuple[float, float]]:
    """Lower left corners of labels such that none covers another label or any point, as far as there is room.

    Points are served from the crowded ones on; each takes the nearest free place, or the least covered one.

    Args:
        points: (x, y) of what the labels belong to, in any unit of length.
        sizes: Width and height of each label.
        bounds: x0, y0, x1, y1 that labels stay within.
        radius: Half of a marker's side.
        lines: Points along lines that labels had better not cross.
    """
    taken = [(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    drawn = [(x - 1, y - 1, x + 1, y + 1) for x, y in lines]
    corners: dict[int, tuple[float, float]] = {}

    def covers(box: Box) -> float:
        return (
            sum(_shared(box, other) for other in taken)
            + 0.5 * sum(_shared(box, other) for other in drawn)
            + 10 * _outside(box, bounds)
        )

    def crowd(place: int) -> int:
        (x, y), (width, height) = points[place], sizes[place]
        return sum(abs(x - other[0]) < width and abs(y - other[1]) < 3 * height for other in points)

    for place in sorted(range(len(points)), key=lambda place: (-crowd(place), place)):
        boxes = [_beside(points[place], sizes[place], *where) for where in product(DISTANCES, DIRECTIONS)]
        # min takes the first, and so the nearest, of equals.
        best = min(boxes, key=covers)
        taken.append(best)
        corners[place] = best[:2]
    return [corners[place] for place in range(len(points))]


def _beside(point: tuple[float, float], size: tuple[float, float], distance: float, direction: tuple[int, int]) -> Box:
    left = point[0] + direction[0] * distance + (direction[0] - 1) / 2 * size[0]
    below = point[1] + direction[1] * distance + (direction[1] - 1) / 2 * size[1]
    return left, below, left + size[0], below + size[1]


def _shared(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, bounds: Box) -> float:
    """Area of a box outside of others."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, bounds)


def _style(kind: str, color: str, ground: str) -> dict:
    marker, fill = MARKERS[kind]
    return dict(
        marker=marker,
        fillstyle='full' if fill == 'none' else fill,
        markersize=MARKER_POINTS,
        color=color,
        markeredgecolor=color,
        markeredgewidth=1.4,
        markerfacecolor=ground if fill == 'none' else color,
        markerfacecoloralt=ground,
    )


def _set_axes(axes: Axes, content: Tradeoff, ink: str, grid: str) -> None:
    costs, scores = [point.x for point in content.points], [point.y for point in content.points]
    if min(costs) > 0 and max(costs) / min(costs) > WIDE_RANGE:
        axes.set_xscale('log')
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12, y=0.1)
    if max(scores) - min(scores) < 1:
        axes.set_ylim(min(scores) - 1, max(scores) + 1)
    scale = ' (log scale)' if axes.get_xscale() == 'log' else ''
    axes.set_xlabel(X_LABELS[content.x] + scale, color=ink)
    axes.set_ylabel('mIoU, %', color=ink)
    axes.tick_params(colors=ink, which='both')
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(ink)
    axes.grid(color=grid, linewidth=0.7)
    axes.set_axisbelow(True)


def _write_names(
    figure: Figure,
    axes: Axes,
    content: Tradeoff,
    colors: dict[str, str],
    fronts: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """A name beside each point, with a line to it where it had to move away. Lengths are in points of 1/72 inch."""
    per_point = figure.dpi / 72
    texts = [axes.text(point.x, point.y, point.name, fontsize=LABEL_SIZE) for point in content.points]
    for text in texts:
        text.set_in_layout(False)
    # Places and sizes are known after a drawing; the layout must not change them any more.
    figure.canvas.draw()
    figure.set_layout_engine('none')
    extents = [text.get_window_extent() for text in texts]
    places = axes.transData.transform([(point.x, point.y) for point in content.points]) / per_point
    sizes = [(extent.width / per_point, extent.height / per_point) for extent in extents]
    bounds = tuple(axes.get_window_extent().extents / per_point)
    lines = [point for front in fronts for point in _along(axes.transData.transform(front) / per_point)]
    corners = place_labels([tuple(place) for place in places], sizes, bounds, MARKER_POINTS / 2 + 1, lines)
    for point, text, place, size, corner in zip(content.points, texts, places, sizes, corners, strict=True):
        text.remove()
        away = _distance(place, (*corner, corner[0] + size[0], corner[1] + size[1])) > 1.5 * DISTANCES[0]
        color = colors[point.series]
        axes.annotate(
            point.name,
            (point.x, point.y),
            (corner[0] - place[0], corner[1] - place[1]),
            textcoords='offset points',
            fontsize=LABEL_SIZE,
            color=color,
            va='bottom',
            zorder=4,
            annotation_clip=False,
            arrowprops=dict(arrowstyle='-', color=color, lw=0.6, shrinkA=0, shrinkB=4) if away else None,
        )


def _along(corners: Sequence[Sequence[float]], step: float = 4.0) -> Iterator[tuple[float, float]]:
    """Points on a line of straight pieces, ``step`` apart or less."""
    for (x0, y0), (x1, y1) in pairwise(corners):
        count = math.ceil(math.hypot(x1 - x0, y1 - y0) / step)
        yield from ((x0 + (x1 - x0) * part / count, y0 + (y1 - y0) * part / count) for part in range(1, count))


def _distance(point: Sequence[float], box: Box) -> float:
    """From a point to a box."""
    x = max(box[0] - point[0], 0, point[0] - box[2])
    y = max(box[1] - point[1], 0, point[1] - box[3])
    return math.hypot(x, y)
