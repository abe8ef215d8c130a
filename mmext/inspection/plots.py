"""Plots of a passport."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mmext.common.figures import class_distribution_figure

# A figure of more rows is no longer read; the tables have all.
MAX_ROWS = 100
# Told apart by people with colour-blindness too (Okabe and Ito 2008), on light and on dark ground.
SPLIT_COLORS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9')
MARKERS = 'osD^vP'


def class_balance_figure(
    classes: Sequence[str], counts: Mapping[str, Sequence[int]], what: str, palette: Sequence[Sequence[int]] = ()
) -> Figure:
    """How often each class occurs in each split.

    One split: bars of counts in the classes' colours. Several: dots of shares of the split's total, so that splits of
    different sizes can be compared; a class that a split lacks has no dot. Above `MAX_ROWS` classes the rarest are
    shown.

    Args:
        classes: Names.
        counts: Split -> count per class.
        what: What is counted: ``'pixels'``, ``'objects'``, ``'images'``.
        palette: RGB per class, 0-255.
    """
    totals = np.sum([list(values) for values in counts.values()], axis=0)
    rows = sorted(np.argsort(totals, kind='stable')[:MAX_ROWS].tolist())
    names = [classes[row] for row in rows]
    if len(counts) == 1:
        ((_, values),) = counts.items()
        colors = [palette[row] for row in rows] if len(palette) == len(classes) else None
        figure = class_distribution_figure(names, [values[row] for row in rows], colors)
        figure.axes[0].set_xlabel(f'{what} (log scale)')
        return figure
    figure, axes = _new_figure(1.4 + 0.24 * len(rows))
    places = np.arange(len(rows))
    for index, (split, values) in enumerate(counts.items()):
        shares = np.asarray(values, dtype=float)[rows] / max(sum(values), 1)
        present = shares > 0
        # Shifted a little: dots of equal shares would hide each other.
        offset = 0.2 * (index - (len(counts) - 1) / 2)
        axes.plot(shares[present], places[present] + offset, _marker(index), color=_color(index), label=split)
    axes.set_xscale('log')
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:.4%}'.rstrip('0%').rstrip('.') + ' %')
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(places, names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"share of the split's {what} (log scale)")
    _legend_above(figure, axes)
    return figure


def value_histogram_figure(counts: Mapping[str, int], expected: Sequence[int] = ()) -> Figure:
    """Pixels of each value that the masks hold, on a log scale.

    Args:
        counts: Value or colour (``'7'``, ``'#804080'``) -> pixels; colours are drawn in themselves.
        expected: Values that belong there; others are drawn in orange. Empty if nobody knows.
    """
    keys = sorted(counts, key=lambda key: (key.startswith('#'), int(key.removeprefix('#'), 16 if '#' in key else 10)))
    keys = sorted(sorted(keys, key=lambda key: -counts[key])[:MAX_ROWS], key=keys.index)
    allowed = {str(value) for value in expected}
    colors = [
        key if key.startswith('#') else SPLIT_COLORS[0] if not allowed or key in allowed else SPLIT_COLORS[4]
        for key in keys
    ]
    figure, axes = _new_figure(3.4, 'y')
    places = np.arange(len(keys))
    axes.bar(places, [counts[key] for key in keys], color=colors, edgecolor='0.5', linewidth=0.5)
    axes.set_yscale('log')
    axes.set_ylim(bottom=0.5)
    every = max(1, len(keys) // 40)
    turned = 90 if any(len(key) > 3 for key in keys) or len(keys) > 25 else 0
    axes.set_xticks(places[::every], keys[::every], rotation=turned, fontsize='small')
    axes.set_xlabel('value in the masks')
    axes.set_ylabel('pixels (log scale)')
    return figure


def image_sizes_figure(sizes: Mapping[str, Mapping[str, int]]) -> Figure:
    """Width and height of the images, a dot as large as its share of the split.

    Args:
        sizes: Split -> ``'<height>x<width>'`` -> number of images.
    """
    figure, axes = _new_figure(4.2)
    for index, (split, counts) in enumerate(sizes.items()):
        heights, widths = np.array([key.split('x') for key in counts], dtype=float).reshape(-1, 2).T
        areas = 25 + 275 * np.array(list(counts.values())) / max(sum(counts.values()), 1)
        axes.scatter(
            widths, heights, areas, color=_color(index), marker=_marker(index), alpha=0.6, linewidths=0, label=split
        )
    axes.set_xlabel('width in pixels')
    axes.set_ylabel('height in pixels')
    axes.margins(0.12)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True))
    _legend_above(figure, axes)
    return figure


def box_sides_figure(sides: Mapping[str, Sequence[int]], edges: Sequence[int]) -> Figure:
    """How large the boxes are: share of the split's boxes by the square root of their area.

    Args:
        sides: Split -> number of boxes per bin.
        edges: Lower edge of each bin in pixels; the last bin is open.
    """
    figure, axes = _new_figure(3.2, 'y')
    places, width = np.arange(len(edges)), 0.8 / max(len(sides), 1)
    for index, (split, counts) in enumerate(sides.items()):
        shares = np.asarray(counts, dtype=float) / max(sum(counts), 1)
        offset = width * (index - (len(sides) - 1) / 2)
        axes.bar(places + offset, 100 * shares, width, color=_color(index), label=split)
    names = [f'{low}–{high}' for low, high in itertools.pairwise(edges)] + [f'≥ {edges[-1]}']
    axes.set_xticks(places, names)
    axes.set_xlabel("square root of the box's area in pixels")
    axes.set_ylabel('boxes in %')
    _legend_above(figure, axes)
    return figure


def _new_figure(height: float, grid: str = 'both') -> tuple:
    figure = Figure(figsize=(9, height), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis=grid)
    axes.set_axisbelow(True)
    return figure, axes


def _color(index: int) -> str:
    return SPLIT_COLORS[index % len(SPLIT_COLORS)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def _legend_above(figure: Figure, axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # A dot in the legend would otherwise be as large as the first one drawn.
    legend = figure.legend(handles, labels, loc='outside upper left', ncols=6, frameon=False)
    for handle in legend.legend_handles:
        if hasattr(handle, 'set_sizes'):
            handle.set_sizes([50])
