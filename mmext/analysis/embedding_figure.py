"""Points on the plane coloured by class, readable with a hundred classes."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

# As many classes have a legend; more have their names beside their points.
LEGEND_CLASSES = 20
MARKERS = 'os^DvPX<>p'
LONGEST_NAME = 18
# OKLCH hue in degrees and lightness; neighbours in the list are far apart, and light and dark alternate.
_HUES = (
    *((255, 0.55), (60, 0.74), (145, 0.60), (25, 0.58), (305, 0.62)),
    *((195, 0.74), (100, 0.80), (350, 0.70), (230, 0.78), (45, 0.45)),
)
_CHROMA = 0.15


def class_style(index: int) -> tuple[tuple[float, float, float], str]:
    """RGB colour, 0..1, and marker of a class: ten colours times ten markers, the same whatever other classes occur."""
    hue, lightness = _HUES[index % len(_HUES)]
    return _oklch(lightness, _CHROMA, hue), MARKERS[index // len(_HUES) % len(MARKERS)]


def embedding_figure(points: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str = '') -> Figure:
    """One mark a sample in the colour and shape of its class.

    Up to 20 classes are named in a legend with their numbers of samples; the names of more stand at the sample
    nearest to the median of their class, tied to it by a line where they had to be moved away from one another.

    Args:
        points: (N, 2).
        labels: (N,) whole numbers.
        names: By label; a label without one is shown as its number.
        title: Above the axes.
    """
    found, counts = np.unique(labels, return_counts=True)
    legend = len(found) <= LEGEND_CLASSES
    figure = Figure(figsize=(10, 7.2) if legend else (14, 13), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    size = float(np.clip((9000 if legend else 25000) / max(len(points), 1), 8, 36))
    shown = {int(label): _short(names[label]) if label < len(names) else str(label) for label in found}
    for label, count in zip(found, counts, strict=True):
        color, marker = class_style(label)
        where = points[labels == label]
        text = f'{shown[int(label)]} ({count})'
        axes.scatter(*where.T, s=size, color=color, marker=marker, alpha=0.75, linewidths=0, label=text)
    # Only nearness means something on such a plane, not the coordinates.
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect('equal', adjustable='datalim')
    axes.set_title(title, loc='left', fontsize='medium')
    if legend:
        handles, texts = axes.get_legend_handles_labels()
        # Beside the axes, so that it covers no point.
        drawn = axes.legend(handles, texts, loc='center left', bbox_to_anchor=(1.01, 0.5), frameon=False)
        for handle in drawn.legend_handles:
            handle.set(alpha=1, sizes=[45])
    else:
        axes.margins(0.07)
        _name_classes(figure, points, labels, shown)
    return figure


def _name_classes(figure: Figure, points: np.ndarray, labels: np.ndarray, shown: dict[int, str]) -> None:
    """Write each name as near to the middle sample of its class as the names before it allow."""
    axes = figure.axes[0]
    figure.draw_without_rendering()  # settles the limits that positions in pixels depend on
    axes.autoscale(False)
    renderer = figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    anchors = {label: middle_sample(points[labels == label]) for label in shown}
    placed: list[Bbox] = []
    # Names of crowded places first: they have the least choice.
    for label in sorted(shown, key=lambda label: _solitude(label, anchors)):
        color = _darker(class_style(label)[0])
        text = axes.text(*anchors[label], shown[label], ha='center', va='center', color=color, zorder=4)
        text.set(fontsize=9 if len(shown) <= 60 else 8, weight='bold', clip_on=True)
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground='white', alpha=0.85)])
        box = text.get_window_extent(renderer).padded(1)
        free = (move for move in _moves(box.width, box.height) if _is_free(box.translated(*move), frame, placed))
        shift = next(free, (0.0, 0.0))
        placed.append(box.translated(*shift))
        position = to_data(to_pixels(anchors[label]) + shift)
        text.set_position(position)
        if shift not in (_above(box.height), _below(box.height)):
            axes.plot(*zip(anchors[label], position, strict=True), color=color, linewidth=0.8, zorder=3)


def middle_sample(points: np.ndarray) -> np.ndarray:
    """(2,) the point nearest to the median of points (N, 2); the median itself may lie among other classes."""
    return points[np.linalg.norm(points - np.median(points, axis=0), axis=1).argmin()]


def _solitude(label: int, anchors: dict[int, np.ndarray]) -> float:
    """Distance of a class's place to the nearest other."""
    others = [other for index, other in anchors.items() if index != label]
    return min((float(np.linalg.norm(anchors[label] - other)) for other in others), default=0.0)


def _above(height: float) -> tuple[float, float]:
    return 0.0, 0.5 * height + 5


def _below(height: float) -> tuple[float, float]:
    return 0.0, -0.5 * height - 5


def _moves(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Shifts of a name in pixels: close above and below the mark, then along a spiral that is as flat as the name."""
    yield _above(height)
    yield _below(height)
    for ring in range(2, 25):
        # Up and down first: a name is wide, so there a small shift frees it.
        for step in range(12 + 4 * ring):
            angle = np.pi / 2 + (-1) ** step * (step + 1) // 2 * 2 * np.pi / (12 + 4 * ring)
            yield 0.3 * ring * width * np.cos(angle), 0.6 * ring * height * np.sin(angle)


def _is_free(box: Bbox, frame: Bbox, placed: Sequence[Bbox]) -> bool:
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    return inside and not any(box.overlaps(other) for other in placed)


def _short(name: str) -> str:
    """The first of several names of a class, such as WordNet's, cut to a length that fits."""
    name = name.partition(',')[0].strip()
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + '…'


def _darker(color: tuple[float, float, float]) -> tuple[float, float, float]:
    """The same hue, dark enough to be read as text on white."""
    return tuple(0.6 * channel for channel in color)


def _oklch(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """sRGB, 0..1, of a colour in OKLCH (Ottosson 2020), in which equal steps look equal; out of gamut is clipped."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    lms = (
        np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]])
        @ [lightness, a, b]
    ) ** 3
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip(to_rgb @ lms, 0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(float(channel) for channel in gamma)
