"""The figures and pictures of runs, as bytes that a page can hold."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from mmext.analysis.curve_figure import curve_figure
from mmext.analysis.curve_panels import figure_panels
from mmext.analysis.run_curves import Run
from mmext.common.html_page import Thumbnail
from mmext.common.light_and_dark import light_and_dark

from .document import Gallery, Plot
from .run_facts import RunFacts

TITLES = dict(
    losses='loss in training', lr='learning rate', train_val='loss in training and validation', metrics='scores'
)
PICTURES_OF_A_RUN = 6
SIDE, QUALITY = 640, 85
# Figures that evaluators draw; shown whole.
DRAWN = {'pr_curves.png': 'precision over recall', 'confusion_matrix.png': 'confusion matrix'}
SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
STEP = re.compile(r'_(\d+)$')
# Of the palette's colours those that are hard to read on a dark ground, and the ones beside them.
ON_DARK = {'#0072B2': '#3d9be0', '#56B4E9': '#a6dcff', '#D55E00': '#ee7a22', '#009E73': '#1fbf93'}
# No picture is worth more memory than this.
MAX_PIXELS = 60_000_000


def curve_plots(runs: Sequence[Run], name: str, figures: Sequence[str] | None = None) -> list[Plot]:
    """Curves of one run, or of several beside each other, for light and dark ground; none if there is nothing to draw.

    Args:
        runs: All count epochs, or all iterations.
        name: Begins the names of the files.
        figures: Of `mmext.analysis.curve_panels.FIGURES`; by default all for which there is data.
    """
    try:
        panels = figure_panels(runs, figures)
    except ValueError:
        return []
    plots = []
    for kind, of_figure in panels.items():

        def draw(of_figure: list = of_figure, kind: str = kind) -> Figure:
            return fit_to_ground(curve_figure(of_figure, runs, share_y=kind in ('lr', 'train_val')))

        light, dark = light_and_dark(draw)
        plots.append(Plot(f'{name}-{kind}', light, f'{TITLES[kind]} of {", ".join(run.label for run in runs)}', dark))
    return plots


def fit_to_ground(figure: Figure) -> Figure:
    """Give what `curve_figure` draws in fixed greys and dark colours those of the ground that is being drawn for."""
    text = rcParams['text.color']
    shades = {'#000000': text, '0.3': text}
    if to_rgb(rcParams['figure.facecolor']) < (0.5, 0.5, 0.5):
        shades |= ON_DARK
    for axes in figure.axes:
        for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
            line.set_color(rcParams['grid.color'])
        for artist in (*axes.lines, *axes.texts):
            artist.set_color(shades.get(artist.get_color(), artist.get_color()))
    for legend in figure.legends:
        for line in legend.get_lines():
            line.set_color(shades.get(line.get_color(), line.get_color()))
    return figure


def drawn_plots(run: RunFacts) -> list[Plot]:
    """The newest of each figure that an evaluator left."""
    found = {file.name: file for start in run.starts for file in start.folder.iterdir() if file.name in DRAWN}
    plots = []
    for file in found.values():
        small, _ = shrink(file, 1100, 'PNG')
        if small:
            plots.append(Plot(f'{run.label}-{file.stem}', small, f'{DRAWN[file.name]} of {run.label}'))
    return plots


def sample_gallery(run: RunFacts) -> Gallery | None:
    """Predictions that the run, or else a test of it, drew; None if there are none."""
    files = sample_pictures(run)
    if not files:
        return None
    pictures = []
    for file in files:
        small, reason = shrink(file, SIDE, 'JPEG')
        pictures.append(Thumbnail(small, file.name, (), 'note', reason))
    return Gallery(f'{run.label}-prediction', pictures, f'Predictions, from {_shown(files[0].parent, run)}.')


def sample_pictures(run: RunFacts) -> list[Path]:
    """The first few pictures of the last validation, or of the newest test with ``--show-dir``."""
    for start in reversed(run.starts):
        drawn = _pictures(start.folder / 'vis_data' / 'vis_image')
        steps = [int(found[1]) if (found := STEP.search(file.stem)) else 0 for file in drawn]
        if drawn:
            return [file for file, step in zip(drawn, steps, strict=True) if step == max(steps)][:PICTURES_OF_A_RUN]
    for start in reversed(run.starts):
        shown = (start.config.get('visualizer') or {}).get('save_dir')
        if shown and (drawn := _pictures(Path(shown))):
            return drawn[:PICTURES_OF_A_RUN]
    return []


def shrink(file: Path, side: int, kind: str) -> tuple[bytes | None, str]:
    """A picture not larger than ``side`` as bytes; None with the reason if it cannot be read."""
    try:
        with Image.open(file) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None, 'too large to show'
            picture.thumbnail((side, side * 4))
            written = io.BytesIO()
            picture.convert('RGB').save(written, kind, quality=QUALITY, optimize=True)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return None, f'cannot be read: {type(error).__name__}'
    return written.getvalue(), ''


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name not in DRAWN)


def _shown(folder: Path, run: RunFacts) -> str:
    inside = folder.resolve().is_relative_to(run.path.resolve())
    return str(folder.resolve().relative_to(run.path.resolve())) if inside else folder.name
