"""What is known of a run, for a page of results. What is missing is empty, never guessed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmext.analysis.run_curves import Curve, Run
from mmext.common.loss_names import TOTAL

from .config_dump import reads_samples

# Numbers of a validation that are no scores.
NO_SCORES = {'validated_iter', 'data_time', 'time', 'memory', 'step'}
# The toolbox's unit of scores: its evaluators give percent, or shares.
UNITS = {'mmseg': '%', 'mmpretrain': '%', 'mmdet': 'share'}


@dataclass(frozen=True)
class Score:
    """The last and the best value of a score, each with the epoch or iteration; NaN where undefined."""

    last: float
    last_at: float
    best: float
    best_at: float


@dataclass(frozen=True)
class Start:
    """One start of a program in a work dir: a folder named after its time.

    Attributes:
        folder: Where it logged to.
        trained: It trained, or was about to; neither a test nor a start that failed.
        config: Its dumped config; empty if there is none.
        environment: Of `read_environment`; empty if there is no log.
        record: Of `RunRecordHook`; empty if the run had none.
        tested: Score -> value of a test.
    """

    folder: Path
    trained: bool
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    tested: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def unit(self) -> str:
        """Of its scores: '%', 'share', or 'raw' where that is not known."""
        return UNITS.get(self.config.get('default_scope'), 'raw')


@dataclass(frozen=True)
class RunFacts:
    """One run.

    Attributes:
        path: Its work dir.
        label: What to call it.
        config_name: Name of its config without the suffix; '' if no config was kept.
        starts: Oldest first.
        curves: Its scalars; None if it logged none.
        done: Epochs or iterations trained, as far as the files show; None if they show nothing.
        planned: How many it was to train; None if no config was kept.
        unit: ``'epoch'`` or ``'iteration'``.
        data_hash: '' if not recorded.
        checkpoint_meta: Of the newest checkpoint that can be read.
        notes: What is missing or odd.
    """

    path: Path
    label: str
    config_name: str = ''
    starts: tuple[Start, ...] = ()
    curves: Run | None = None
    done: float | None = None
    planned: float | None = None
    unit: str = 'iteration'
    data_hash: str = ''
    checkpoint_meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def trainings(self) -> list[Start]:
        """The starts that trained."""
        return [start for start in self.starts if start.trained]

    @property
    def config(self) -> Mapping[str, Any]:
        """Of the last training, or of whatever start has one."""
        configs = [start.config for start in (*self.starts, *self.trainings) if start.config]
        return configs[-1] if configs else {}

    @property
    def finished(self) -> bool:
        """It trained as long as its config says."""
        return self.done is not None and self.planned is not None and self.done >= self.planned

    @property
    def is_sample(self) -> bool:
        """It saw the embedded samples, which stand for no data set."""
        named = self.config_name == 'quickstart' or '_sample-' in self.config_name
        return named or any(reads_samples(start.config) for start in self.starts)

    @property
    def score_unit(self) -> str:
        """Of its scores: '%', 'share' or 'raw'."""
        return UNITS.get(self.config.get('default_scope'), 'raw')

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the last training that logged one."""
        return next((start.environment for start in reversed(self.trainings or self.starts) if start.environment), {})

    @property
    def record(self) -> Mapping[str, Any]:
        """Of the last training that kept one."""
        return next((start.record for start in reversed(self.trainings or self.starts) if start.record), {})

    @property
    def seed(self) -> str:
        """'' if not recorded."""
        randomness = self.config.get('randomness') or {}
        found = (self.record.get('seed'), self.environment.get('seed'), randomness.get('seed'))
        return next((str(seed) for seed in (*found, self.checkpoint_meta.get('seed')) if seed is not None), '')

    @property
    def commit(self) -> str:
        """'' if not recorded; says where files had changed since."""
        commit = self.record.get('commit')
        return f'{commit}{" with changes" if self.record.get("dirty") else ""}' if commit else ''

    @property
    def status(self) -> str:
        """How far it came, in words."""
        if self.done is None:
            return 'only tested' if any(start.tested for start in self.starts) else 'nothing trained yet'
        done, units = f'{self.done:g}', f'{self.unit}s'
        if self.planned is None:
            return f'{done} {units}, of how many is not recorded'
        return f'finished, {done} {units}' if self.finished else f'unfinished, {done} of {self.planned:g} {units}'

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Every score of the validations, and their loss under the name ``loss``."""
        if self.curves is None:
            return {}
        found = {name: score_of(name, curve) for name, curve in self.curves.metrics.items() if name not in NO_SCORES}
        if TOTAL in self.curves.val_losses:
            found['loss'] = score_of('loss', self.curves.val_losses[TOTAL])
        return found


def score_of(name: str, curve: Curve) -> Score:
    """Last and best value; of a loss the lowest is the best."""
    known = [(y, x) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    sign = -1 if 'loss' in name else 1
    best, best_at = max(known, key=lambda point: (sign * point[0], -point[1]), default=(math.nan, math.nan))
    return Score(curve.y[-1], curve.x[-1], best, best_at)
