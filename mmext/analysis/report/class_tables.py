"""Scores class by class: IoU and its kin of segmentation, AP of detection, and how much of the data a class is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmext.common.confusion_scores import CLASS_SCORES, class_scores
from mmext.common.image_scores import NAME, read_image_scores

from .document import NOTHING, Cell, Table
from .run_facts import RunFacts

# Scores that evaluators log class by class, as <kind>.<class>.
KINDS = ('IoU', 'Acc', 'Dice', 'Fscore', 'Precision', 'Recall', 'AP', 'F1')
OF_CLASS = re.compile(rf'({"|".join(KINDS)})\.(.+)')


@dataclass(frozen=True)
class ClassScores:
    """Scores of an evaluation by class.

    Attributes:
        source: Which evaluation, in words.
        unit: '%' or 'share'.
        values: Class -> kind of score -> value.
    """

    source: str
    unit: str
    values: Mapping[str, Mapping[str, float]]


def class_evaluations(run: RunFacts, notes: list[str]) -> list[ClassScores]:
    """Of the last validation, and of every test that has scores by class.

    Args:
        run: Of `read_run_facts`.
        notes: Gets what cannot be read.
    """
    found = []
    logged = {name: score.last for name, score in run.scores.items()}
    values = by_class(logged)
    trained = [start.folder for start in run.trainings]
    at = max((run.scores[name].last_at for name in logged if OF_CLASS.fullmatch(name)), default=0)
    detailed = _of_images([folder / NAME.format(stage='val') for folder in reversed(trained)], notes)
    if values or detailed:
        where = f', at {run.unit} {at:g}' if values else ''
        found.append(ClassScores(f'validation{where}', run.score_unit, _merged(values, detailed)))
    for start in run.starts:
        values = by_class(start.tested)
        detailed = _of_images([start.folder / NAME.format(stage='test')], notes)
        if values or detailed:
            found.append(ClassScores('test', start.unit, _merged(values, detailed)))
    return found


def by_class(scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Class -> kind -> value of the scores that are named ``<kind>.<class>``."""
    values: dict[str, dict[str, float]] = {}
    for name, value in scores.items():
        if found := OF_CLASS.fullmatch(name):
            values.setdefault(found[2], {})[found[1]] = value
    return values


def class_table(run: RunFacts, evaluation: ClassScores) -> Table:
    """One line for each class."""
    kinds = list(dict.fromkeys(kind for scores in evaluation.values.values() for kind in scores))
    decimals = 2 if evaluation.unit == '%' else 4
    rows = []
    for name, scores in evaluation.values.items():
        cells = [_cell(scores.get(kind), decimals, f'{run.label}, {evaluation.source}') for kind in kinds]
        rows.append([Cell(name, code=True), *cells, Cell(run.label, code=True)])
    unit = 'percent' if evaluation.unit == '%' else 'shares'
    caption = f'Classes, {evaluation.source}, in {unit}'
    return Table(['class', *kinds, 'run'], rows, f'{run.label}, classes, {evaluation.source}', caption)


def _cell(value: float | None, decimals: int, source: str) -> Cell:
    return NOTHING if value is None or value != value else Cell(f'{value:.{decimals}f}', value, source)


def _of_images(files: Sequence[Path], notes: list[str]) -> dict[str, dict[str, float]]:
    """All scores of each class in percent from the first file that is there."""
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return {}
    try:
        images = read_image_scores(file)
    except (OSError, ValueError) as error:
        notes.append(f'left out: {error}')
        return {}
    counts = type(images.counts)(*(values.sum(0) for values in images.counts))
    with np.errstate(invalid='ignore'):
        columns = class_scores(counts, list(CLASS_SCORES)) | {'% of pixels': counts.truth / counts.truth.sum()}
    return {
        name: {kind: 100 * float(values[index]) for kind, values in columns.items()}
        for index, name in enumerate(images.classes)
    }


def _merged(logged: Mapping[str, Mapping[str, float]], detailed: Mapping[str, Mapping[str, float]]) -> Mapping:
    """The file of the images has everything that was logged and more; names in a log lack characters."""
    return detailed or logged
