"""A confusion matrix as a picture and as a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmext.common.figures import save_figure
from mmext.common.files import write_text

# With more classes than this, numbers in the cells would be too small to read.
MOST_CLASSES_WITH_NUMBERS = 30


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """(C, C) counts -> share of the row, so that the diagonal is the recall; NaN in rows without a labelled pixel."""
    with np.errstate(invalid='ignore'):
        return confusion / confusion.sum(1, keepdims=True)


def confusion_figure(confusion: np.ndarray, classes: Sequence[str], title: str = '') -> Figure:
    """Heat map of what the pixels of every true class were taken for, in percent.

    Rows of classes without a labelled pixel stay grey. Percentages from 0.5 on stand in their cells.

    Args:
        confusion: (C, C) counts, rows are the true classes.
        classes: C names.
        title: Above the axes.

    Raises:
        ValueError: the matrix does not have one row and one column a class.
    """
    size = len(classes)
    if confusion.shape != (size, size):
        raise ValueError(f'confusion matrix {confusion.shape} for {size} classes: expected ({size}, {size})')
    shares = 100 * row_shares(confusion)
    inches = min(max(0.34 * size, 2), 22)
    font = min(8, 50 * inches / size)
    figure = Figure(figsize=(inches + 3.5, inches + 2.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor='0.85')
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    if size <= MOST_CLASSES_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
            color = 'white' if shares[row, column] > 55 else '0.15'
            text = f'{shares[row, column]:.0f}'
            axes.text(column, row, text, ha='center', va='center', fontsize=font - 1, color=color)
    axes.set_xticks(range(size), classes, rotation=90, fontsize=font)
    axes.set_yticks(range(size), classes, fontsize=font)
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=0.5)
    axes.tick_params(which='minor', length=0)
    axes.set_xlabel('predicted')
    axes.set_ylabel('truth')
    axes.set_title(title, loc='left', fontsize='medium')
    figure.colorbar(image, ax=axes, label='% of the pixels of the true class', shrink=0.8)
    return figure


def confusion_csv(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Pixels, one row a true class, one column a predicted class, names in the first row and column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['truth \\ predicted', *classes])
    writer.writerows([name, *row] for name, row in zip(classes, confusion.tolist(), strict=True))
    return text.getvalue()


def save_confusion(path: str | Path, confusion: np.ndarray, classes: Sequence[str]) -> None:
    """Write the picture, and the counts as CSV under the same name beside it."""
    title = f'{confusion.sum():,} labelled pixels'
    save_figure(confusion_figure(confusion, classes, title), path)
    write_text(Path(path).with_suffix('.csv'), confusion_csv(confusion, classes))
