"""Which run belongs to which published row, and whether it may stand beside it as a reproduction.

A run reproduces a row if it is one of the row's recipe with the recipe's settings, on its data, to the end. Any other
run is shown without a difference to the published figures.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmext.analysis.published import Figure, PublishedRow

from .config_dump import DumpError, differences, read_recipe
from .run_facts import RunFacts, Score

# Published name -> names that evaluators log, the first that a run has.
NAMES = {
    'mIoU': ('mIoU',),
    'mAcc': ('mAcc',),
    'aAcc': ('aAcc',),
    'loss': ('loss',),
    'mAP': ('mAP', 'pascal_voc/mAP'),
    'matched_class_miou': ('matched_class_miou',),
    'matched_accuracy': ('matched_accuracy',),
    'top1': ('accuracy/top1', 'accuracy/top1_single-label'),
    'top5': ('accuracy/top5',),
}
REPRODUCTION, SAMPLE, OTHER, UNFINISHED = 'reproduction', 'sample', 'other settings', 'unfinished'
SCALES = {('%', 'share'): 0.01, ('share', '%'): 100.0}


class RowError(ValueError):
    """A row that does not exist; the message names similar ones."""


@dataclass(frozen=True)
class Match:
    """A run beside a row.

    Attributes:
        verdict: One of `REPRODUCTION`, `SAMPLE`, `OTHER` and `UNFINISHED`.
        reasons: Why it is no reproduction.
    """

    row: PublishedRow
    run: RunFacts
    verdict: str
    reasons: tuple[str, ...] = ()

    def ours(self, metric: str) -> Score | None:
        """Our score in the unit of the published one; None if the run has none of that name or the units differ."""
        figure, key = self.row.metrics[metric], score_key(self.run, metric)
        if key is None:
            return None
        factor = scale(self.run.score_unit if key != 'loss' else 'raw', figure.unit)
        score = self.run.scores[key]
        return factor and Score(score.last * factor, score.last_at, score.best * factor, score.best_at)

    def delta(self, metric: str) -> float | None:
        """Ours at the end of the training minus the published figure, in its unit; None but for reproductions."""
        ours = self.ours(metric)
        if self.verdict != REPRODUCTION or ours is None or not math.isfinite(ours.last):
            return None
        return ours.last - self.row.metrics[metric].value


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of a sample) over the reproductions of a row."""

    runs: int
    mean: float
    deviation: float


def scale(ours: str, published: str) -> float | None:
    """Factor from our unit to the published one; None if one cannot be expressed in the other."""
    return 1.0 if ours == published else SCALES.get((ours, published))


def score_key(run: RunFacts, metric: str) -> str | None:
    """Name under which a run logs a published metric; None if it does not."""
    return next((key for key in NAMES.get(metric, ()) if key in run.scores), None)


def match_runs(
    runs: Sequence[RunFacts],
    rows: Sequence[PublishedRow],
    root: Path,
    chosen: Mapping[str, str] | None = None,
) -> list[Match]:
    """Every run that belongs to a row, in the order of the rows.

    Args:
        runs: Of `read_all`.
        rows: Published.
        root: Folder that the recipes' paths are relative to.
        chosen: Label of a run -> a row of `find_row`, where the name of the config does not tell, or the same data
            lie in another place.

    Raises:
        RowError: as `find_row`.
    """
    rows_of = {label: find_row(rows, name) for label, name in (chosen or {}).items()}
    found = []
    for run in runs:
        named = rows_of.get(run.label)
        belonging = [
            row for row in rows if row is named or (named is None and Path(row.config).stem == run.config_name)
        ]
        found += [judge(run, row, root, explicit=named is not None) for row in belonging]
    return sorted(found, key=lambda match: rows.index(match.row))


def find_row(rows: Sequence[PublishedRow], name: str) -> PublishedRow:
    """The row of a config (its path or name), or ``<report>: <model>``.

    Raises:
        RowError: none or several.
    """
    found = [row for row in rows if name in (row.config, Path(row.config).stem, f'{row.report}: {row.model}')]
    if len(found) == 1:
        return found[0]
    near = [Path(row.config).stem for row in rows if name.lower() in row.config.lower()][:3]
    hint = f'did you mean {", ".join(near)}?' if near else 'give the name of its config as in published.yml'
    raise RowError(f'--as {name}: {len(found) or "no"} published rows are called so; {hint}')


def judge(run: RunFacts, row: PublishedRow, root: Path, explicit: bool = False) -> Match:
    """Whether a run reproduces a row."""
    if run.is_sample:
        return Match(row, run, SAMPLE, ('trained or tested on the embedded samples',))
    reasons = _other_settings(run, root / row.config, explicit)
    if reasons:
        return Match(row, run, OTHER, tuple(reasons))
    if not run.finished:
        return Match(row, run, UNFINISHED, (run.status,))
    return Match(row, run, REPRODUCTION)


def spread(matches: Sequence[Match], metric: str) -> Spread | None:
    """Over the reproductions among some matches of one row; None for fewer than two."""
    values = [match.ours(metric).last for match in matches if match.delta(metric) is not None]
    if len(values) < 2:
        return None
    return Spread(len(values), statistics.fmean(values), statistics.stdev(values))


def printed(value: float, figure: Figure, sign: str = '') -> str:
    """A value with as many decimals as the published figure was printed with, but two at least."""
    decimals = max(len(figure.text.partition('.')[2]), 4 if figure.unit == 'share' else 2)
    return f'{round(value, decimals) + 0.0:{sign}.{decimals}f}'  # never -0.00


def _other_settings(run: RunFacts, recipe: Path, explicit: bool) -> list[str]:
    trainings = [start for start in run.trainings if start.config]
    if not trainings:
        return ['no config of a training was kept']
    try:
        wanted = _recipe(recipe)
    except DumpError as error:
        return [str(error)]
    reasons: list[str] = []
    for number, start in enumerate(trainings):
        resumed = bool(start.config.get('resume')) and number > 0
        reasons += differences(start.config, wanted, same_data=explicit, resumed=resumed)
    promised = recipe.stem.split('xb')[0].rsplit('_', 1)[-1]
    processes = run.environment.get('processes')
    if processes and promised.isdigit() and 'xb' in recipe.stem and processes != promised:
        reasons.append(f'processes: {processes}, not {promised}')
    return list(dict.fromkeys(reasons))


@cache
def _recipe(path: Path) -> Mapping:
    return read_recipe(path)
