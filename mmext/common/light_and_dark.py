"""Figures for pages with a light and a dark look: each as a pair of PNG files."""

import io
from collections.abc import Callable, Mapping

import matplotlib as mpl
from matplotlib.figure import Figure

DPI = 110
_BACK, _TEXT, _LINE, _GRID = 'back', 'text', 'line', 'grid'
LIGHT = {_BACK: '#ffffff', _TEXT: '#1b1f24', _LINE: '#57606a', _GRID: '#dde1e6'}
DARK = {_BACK: '#14171a', _TEXT: '#e6e8eb', _LINE: '#a5adb6', _GRID: '#343a40'}


def light_and_dark(draw: Callable[[], Figure]) -> tuple[bytes, bytes]:
    """Draw a figure for both grounds; ``draw`` leaves the colours of text, axes and grid to matplotlib's settings."""
    return _render(draw, LIGHT), _render(draw, DARK)


def _render(draw: Callable[[], Figure], colors: Mapping[str, str]) -> bytes:
    back, text, line = colors[_BACK], colors[_TEXT], colors[_LINE]
    settings = {
        **dict.fromkeys(('figure.facecolor', 'axes.facecolor', 'savefig.facecolor', 'legend.facecolor'), back),
        **dict.fromkeys(('text.color', 'axes.labelcolor', 'axes.titlecolor', 'xtick.labelcolor'), text),
        **dict.fromkeys(('ytick.labelcolor', 'legend.labelcolor'), text),
        **dict.fromkeys(('xtick.color', 'ytick.color', 'axes.edgecolor'), line),
        'grid.color': colors[_GRID],
    }
    with mpl.rc_context(settings):
        figure = draw()
        for axes in figure.axes:
            # Also of figures that name the colour of their grid.
            for grid_line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
                grid_line.set_color(colors[_GRID])
        file = io.BytesIO()
        figure.savefig(file, dpi=DPI, format='png', metadata={'Software': None})
    return file.getvalue()
