"""Figures that several tasks draw. Object-oriented matplotlib only: no window, no state shared between callers."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmext.common.files import replacing


def class_distribution_figure(
    names: Sequence[str],
    pixels: Sequence[int],
    palette: Sequence[Sequence[int]] | None = None,
    notes: Sequence[str] | None = None,
    title: str = '',
) -> Figure:
    """One bar a class: labelled pixels on a log scale, in the class' own colour (figure 4 of the kitti report).

    Args:
        names: Class names, drawn from top to bottom.
        pixels: Counts; a class without a pixel keeps its row and has no bar.
        palette: RGB per class, 0..255; by default the colours of matplotlib's tab20.
        notes: Text per class behind its count, for example the weight.
        title: Above the axes.

    Raises:
        ValueError: the lists have different lengths.
    """
    lengths = [len(values) for values in (names, pixels, palette, notes) if values is not None]
    if len(set(lengths)) != 1:
        raise ValueError(f'names, pixels, palette and notes need one entry a class, got {lengths}')
    if palette is None:
        colors = [colormaps['tab20'](index % 20) for index in range(len(names))]
    else:
        colors = [tuple(channel / 255 for channel in color) for color in palette]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = range(len(names))
    # The dark edge keeps light colours visible on white.
    axes.barh(rows, pixels, color=colors, edgecolor='0.25', linewidth=0.6, height=0.78)
    present = [count for count in pixels if count > 0]
    axes.set_xscale('log')
    lowest, highest = (min(present), max(present)) if present else (1, 10)
    # One decade below the rarest class, so that its bar has a length; room for the text on the right.
    left = 10 ** (len(str(int(lowest))) - 2)
    axes.set_xlim(max(left, 0.5), highest * (highest / max(left, 0.5)) ** 0.3)
    for row in rows:
        text = ' · '.join([_short_count(pixels[row]), *([notes[row]] if notes else [])])
        axes.annotate(
            text, (max(pixels[row], axes.get_xlim()[0]), row), (4, 0), textcoords='offset points', va='center'
        )
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel('labelled pixels (log scale)')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='x', color='0.88')
    axes.set_axisbelow(True)
    axes.set_title(title, loc='left', fontsize='medium')
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 120) -> None:
    """Write the figure; the folder is created. The format follows the suffix."""
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=dpi, format=Path(path).suffix.removeprefix('.'))


def _short_count(count: int) -> str:
    for factor, unit in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if count >= factor:
            return f'{count / factor:.3g}{unit}'
    return str(int(count))
