"""One figure of how predictions change in the course of a training: input, stages, ground truth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmext.common.confusion_scores import class_counts, score
from mmext.segmentation.evaluation.confusion import count_confusion
from mmext.segmentation.evaluation.seg_picture_hook import mix_colors

# Inches: width of a square cell, room for a line of text below it, and for a line of the legend.
CELL, CAPTION, LEGEND_LINE = 2.4, 0.3, 0.25
LEGEND_COLUMNS = 10


@dataclass(frozen=True)
class StageRow:
    """One image.

    Attributes:
        name: Written beside it.
        frame: (H, W, 3) RGB, uint8.
        predictions: One a stage, (H, W) class indices; None where none was kept.
        truth: (H, W) class indices, 255 where nothing is labelled; None for an unlabelled image.
    """

    name: str
    frame: np.ndarray
    predictions: Sequence[np.ndarray | None]
    truth: np.ndarray | None


def image_miou(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> float:
    """Mean IoU of one image in percent, over the classes that its truth or its prediction holds.

    Pixels without a label (255) count nowhere, whatever is predicted there; NaN if no pixel has a label.

    Raises:
        ValueError: the truth holds a value that is neither a class nor 255.
    """
    confusion = count_confusion(torch.from_numpy(prediction), torch.from_numpy(truth), num_classes)
    return 100 * float(score(class_counts(confusion.numpy()), 'mIoU'))


def stage_figure(
    rows: Sequence[StageRow], stages: Sequence[str], classes: Sequence[str], palette: Sequence, mix: float = 1.0
) -> Figure:
    """Rows are images; columns are the input, one a stage, and the ground truth if any image has one.

    Below each prediction stands the image's mIoU (`image_miou`). Pixels without a label show the frame.

    Args:
        rows: At least one image, each with one prediction a stage.
        stages: Title of each stage.
        classes: Names; a legend shows those that occur.
        palette: One RGB colour a class, 0..255.
        mix: Share of the class colour in a coloured pixel, 0 to 1; the rest is the frame.
    """
    labelled = any(row.truth is not None for row in rows)
    titles = ['input', *stages, *(['ground truth'] if labelled else [])]
    present = [c for c in _classes_in(rows) if c < len(classes)]
    aspect = max(row.frame.shape[1] / row.frame.shape[0] for row in rows)
    # Wide frames get wider cells, but not so wide that they keep the height of a square one.
    width = CELL * math.sqrt(aspect)
    legend = LEGEND_LINE * (1 + math.ceil(len(present) / LEGEND_COLUMNS))
    height = len(rows) * (width / aspect + CAPTION) + CAPTION + legend
    figure = Figure(figsize=(width * len(titles), height), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize='medium')
    for line, row in zip(grid, rows, strict=True):
        _show(line[0], row.frame, row.name, row.frame.shape[:2])
        for axes, prediction in zip(line[1:], row.predictions, strict=False):
            _show_labels(axes, row, prediction, palette, mix, _caption(prediction, row.truth, len(classes)))
        if labelled:
            _show_labels(line[-1], row, row.truth, palette, mix, '' if row.truth is not None else 'no ground truth')
    patches = [Patch(facecolor=np.divide(palette[c], 255), edgecolor='0.6', label=classes[c]) for c in present]
    if patches:
        figure.legend(
            handles=patches, loc='outside lower center', ncols=LEGEND_COLUMNS, fontsize='small', frameon=False
        )
    return figure


def to_rgb(figure: Figure) -> np.ndarray:
    """The figure as (H, W, 3) RGB, uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _classes_in(rows: Sequence[StageRow]) -> list[int]:
    maps = [labels for row in rows for labels in (row.truth, *row.predictions) if labels is not None]
    return sorted({int(value) for labels in maps for value in np.unique(labels)})


def _caption(prediction: np.ndarray | None, truth: np.ndarray | None, num_classes: int) -> str:
    if prediction is None:
        return 'not kept'
    if truth is None:
        return ''
    value = image_miou(prediction, truth, num_classes)
    return 'nothing labelled' if math.isnan(value) else f'mIoU {value:.1f} %'


def _show_labels(
    axes: Axes, row: StageRow, labels: np.ndarray | None, palette: Sequence, mix: float, caption: str
) -> None:
    picture = None if labels is None else mix_colors(row.frame, labels, palette, mix)
    _show(axes, picture, caption, row.frame.shape[:2])


def _show(axes: Axes, picture: np.ndarray | None, caption: str, size_hw: tuple[int, int]) -> None:
    """The picture, or an empty cell of its size; white pictures need the frame line too."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, fontsize='small')
    axes.set_box_aspect(size_hw[0] / size_hw[1])
    axes.spines[:].set_color('0.85')
    if picture is not None:
        axes.imshow(picture, aspect='auto')
