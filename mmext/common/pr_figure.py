"""Curves of precision and recall, one small panel a class."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmext.common.average_precision import falling
from mmext.common.confusion_scores import mean_where_defined
from mmext.common.detection_scores import ALL, DetectionScores, PRCurve
from mmext.common.figures import save_figure

COLOR = '#1f5fa8'


def pr_figure(scores: DetectionScores) -> Figure:
    """Precision over recall of every class, at the first IoU and over all sources; shares in 0..1.

    Thin: after each detection. Filled: the interpolated curve, whose area is the AP that the title gives. Dot: at the
    score threshold. A class without an object has an empty panel that says so.
    """
    settings, part = scores.settings, scores.sources[ALL]
    columns = max(1, min(len(scores.classes), math.ceil(math.sqrt(1.25 * len(scores.classes)))))
    rows = max(1, math.ceil(len(scores.classes) / columns))
    figure = Figure(figsize=(max(2.3 * columns + 0.6, 5), 2.2 * rows + 0.9), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for index, (axes, name) in enumerate(zip(panels, scores.classes, strict=False)):
        if part.objects[index]:
            _draw(axes, scores.curves[index], settings.score_thr)
            title = f'{name}  {part.ap["area"][0, index]:.3f}'
        else:
            axes.text(0.5, 0.5, 'no object', ha='center', va='center', color='0.5')
            title = name
        axes.set_title(title, fontsize=9)
        # The lowest panel of a column is not in the last row where that is not full.
        axes.tick_params(labelbottom=index + columns >= len(scores.classes))
    for axes in panels[: len(scores.classes)]:
        axes.set(xlim=(0, 1.02), ylim=(0, 1.05), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.grid(color='0.9')
        axes.tick_params(labelsize=8)
        axes.spines[['top', 'right']].set_visible(False)
    for axes in panels[len(scores.classes) :]:
        axes.set_visible(False)
    figure.supxlabel('recall', fontsize=10)
    figure.supylabel('precision', fontsize=10)
    mean = float(mean_where_defined(part.ap['area'][0]))
    mean = 'undefined' if math.isnan(mean) else f'{mean:.3f}'
    figure.suptitle(
        f'mAP (area) {mean} at IoU >= {settings.iou_thrs[0]:g}; dots: score > {settings.score_thr:g}', fontsize=11
    )
    return figure


def _draw(axes: Axes, curve: PRCurve, score_thr: float) -> None:
    if not len(curve.score):
        axes.text(0.5, 0.5, 'no detection', ha='center', va='center', color='0.5')
        return
    # Each step of the interpolated curve reaches back to the recall before it.
    recall = np.append(0, curve.recall)
    envelope = falling(curve.precision)
    envelope = np.append(envelope[0], envelope)
    axes.fill_between(recall, envelope, step='pre', color=COLOR, alpha=0.15, linewidth=0)
    axes.plot(recall, envelope, drawstyle='steps-pre', color=COLOR, linewidth=1.3)
    axes.plot(curve.recall, curve.precision, color=COLOR, linewidth=0.6, alpha=0.6)
    above = np.count_nonzero(curve.score > score_thr)
    if above:
        axes.plot(
            curve.recall[above - 1], curve.precision[above - 1], 'o', color='#d1495b', markersize=4, clip_on=False
        )


def save_pr_figure(path: str | Path, scores: DetectionScores) -> None:
    """Draw and write `pr_figure`."""
    save_figure(pr_figure(scores), path)
