"""All numbers that a text may quote, each with where it comes from: published figures, runs, measurements of speed.

A number is known of its subjects: the config and the run it belongs to. A line of text that names a config or a run is
compared with what is known of that one alone, since among thousands of numbers any number finds one that is like it.
"""

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

from mmext.analysis.published import PublishedRow
from mmext.analysis.speed.records import SpeedRecord

from .run_facts import RunFacts

# Unit of a known number -> factors of the other ways to print it.
FACTORS = {'share': (100,), '%': (0.01,), 'count': (1e-3, 1e-6, 1e-9), 'bytes': (1e-6, 1e-9, 2**-20, 2**-30)}
# Unit of what a config says: such a number is quoted as it is, not rounded.
SETTING = 'setting'
# Keys of measurements that say what they are of: a path of a config, or of data.
SUBJECTS = ('config', 'data')
# Keys of measurements whose values are large whole numbers, printed in thousands, millions or 1e9.
COUNTS = ('macs', 'flops', 'params', 'parameters')


class KnownFileError(ValueError):
    """A file of measurements that cannot be read; the message names it."""


@dataclass(frozen=True)
class Known:
    """A number.

    Attributes:
        value: As measured or printed.
        source: In words.
        subjects: Paths of configs and of data, and labels of runs.
        unit: '%', 'share', 'count', 'bytes', 'raw', `SETTING`, or another that is printed in one way only, such as 's'.
        detail: One of many of its kind, such as the score of a class: quoted where its run is named, not elsewhere.
    """

    value: float
    source: str
    subjects: frozenset[str] = frozenset()
    unit: str = 'raw'
    detail: bool = False

    def printed(self) -> list[float]:
        """The values that a text may give it, such as parameters in millions."""
        return [self.value * factor for factor in (1, *FACTORS.get(self.unit, ()))]

    def reads(self, number: float, decimals: int) -> bool:
        """Whether the number, printed with so many decimals, is this one."""
        if self.unit == SETTING:
            return math.isclose(self.value, number, rel_tol=1e-9)
        return any(is_rounded(value, number, decimals) for value in self.printed())


@dataclass
class KnownNumbers:
    """A collection to look numbers up in; it does not change after the first look."""

    numbers: list[Known] = field(default_factory=list)

    @cached_property
    def _of(self) -> dict[str, list[Known]]:
        of = defaultdict(list)
        for known in self.numbers:
            for subject in known.subjects:
                of[subject].append(known)
        return of

    def subjects(self) -> set[str]:
        """Everything that something is known of."""
        return set(self._of)

    def about(self, subjects: Iterable[str]) -> list[Known]:
        """What is known of some configs (or folders of them) and runs; without any the numbers that are no detail."""
        subjects = set(subjects)
        if not subjects:
            return [known for known in self.numbers if not known.detail]
        folders = tuple(f'{subject.rstrip("/")}/' for subject in subjects)
        named = [subject for subject in self._of if subject in subjects or subject.startswith(folders)]
        # A number may be of several of them.
        return list({id(known): known for subject in named for known in self._of[subject]}.values())


def is_rounded(value: float, number: float, decimals: int) -> bool:
    """Whether ``value``, rounded to so many decimals, is ``number``; halves may go either way."""
    return math.isfinite(value) and abs(value - number) <= 0.5 * 10**-decimals + 1e-9 * max(abs(value), 1)


def published_numbers(rows: Iterable[PublishedRow]) -> Iterator[Known]:
    """Figures and costs of the reports."""
    for row in rows:
        about = frozenset([row.config])
        for name, figure in row.metrics.items():
            yield Known(figure.value, f'{row.report}, {row.model}: {name}', about, figure.unit)
        if row.macs:
            yield Known(row.macs.gmacs, f'{row.report}, {row.model}: GMACs', about)
        # What the report says elsewhere stands in the notes of the list.
        shares = any(figure.unit == 'share' for figure in row.metrics.values())
        for number in map(float, re.findall(r'\d+\.\d+', row.note)):
            yield Known(number, f'{row.report}, {row.model}: note', about, 'share' if shares and number <= 1 else 'raw')


def run_numbers(runs: Iterable[RunFacts], configs: dict[str, str]) -> Iterator[Known]:
    """Scores and progress of runs.

    Args:
        runs: Of `read_all`.
        configs: Label of a run -> path of its config.
    """
    for run in runs:
        about = frozenset(filter(None, [run.label, configs.get(run.label)]))
        for name, score in run.scores.items():
            # A loss has no unit, whatever the unit of the scores is.
            unit, detail = 'raw' if 'loss' in name else run.score_unit, '.' in name
            yield Known(score.last, f'{run.label}: {name}', about, unit, detail)
            yield Known(score.best, f'{run.label}: best {name}', about, unit, detail)
            yield Known(score.last_at, f'{run.label}: when {name} was measured', about, detail=True)
            yield Known(score.best_at, f'{run.label}: when {name} was best', about, detail=True)
        for start in run.starts:
            for name, value in start.tested.items():
                yield Known(value, f'{run.label}: test, {name}', about, start.unit, '.' in name)
        plain = dict(done=run.done, planned=run.planned, starts=len(run.starts), trainings=len(run.trainings))
        for name, value in plain.items():
            if value is not None:
                yield Known(float(value), f'{run.label}: {name}', about, detail=True)


def speed_numbers(records: Sequence[SpeedRecord]) -> Iterator[Known]:
    """Times, sizes and settings of measurements, and times relative to those of other configs of the same folder."""
    yield from _ratios(records)
    for record in records:
        about, source = frozenset([record.config]), f'speed of {record.config}'
        for name in ('params', 'macs', 'flops'):
            if getattr(record, name) is not None:
                yield Known(getattr(record, name), f'{source}: {name}', about, 'count')
        if record.peak_memory_bytes is not None:
            yield Known(record.peak_memory_bytes, f'{source}: memory', about, 'bytes')
        timings = [('network', record.network), ('path', record.path), *record.stages.items()]
        for name, timing in timings:
            for value in (timing.p50_ms, timing.p95_ms, timing.images_per_s) if timing else ():
                yield Known(value, f'{source}: {name}', about)
        for value in (record.batch, record.threads, *record.shape_hw):
            if value is not None:
                yield Known(value, f'{source}: setting', about, detail=True)


def _ratios(records: Sequence[SpeedRecord]) -> Iterator[Known]:
    groups = defaultdict(list)
    for record in records:
        if record.network:
            how = (record.device, record.device_name, record.precision, record.compiled, record.channels_last)
            where = (record.config.rpartition('/')[0], record.batch, record.shape_hw, record.threads)
            groups[how + where].append(record)
    for group in groups.values():
        for one, other in permutations(group, 2):
            ratio = one.network.p50_ms / other.network.p50_ms
            source = f'time of the network, {one.precision}, relative to {other.config}'
            yield Known(ratio, source, frozenset([one.config]), detail=True)


def file_numbers(path: str | Path) -> list[Known]:
    """Every number of a JSON, JSON Lines or CSV file; ``config`` or ``data`` beside it, a path, is its subject.

    Numbers of data are details, since they are small and whole. One that stands as ``{"value": 1.5, "unit": "%"}`` has
    that unit (as `Known`).

    Raises:
        KnownFileError: the file cannot be read as what its suffix says.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding='utf-8')
        if path.suffix == '.csv':
            content: Any = [
                {key: _number(value) for key, value in row.items()} for row in csv.DictReader(text.splitlines())
            ]
        elif path.suffix == '.jsonl':
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif path.suffix == '.json':
            content = json.loads(text)
        else:
            raise KnownFileError(f'{path}: measurements are read from .json, .jsonl and .csv; convert the file')
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, KnownFileError):
            raise
        raise KnownFileError(f'{path}: cannot be read ({error}); give a file that a tool wrote') from error
    return list(_walk(content, '', str(path), frozenset()))


def _walk(node: Any, key: str, source: str, about: frozenset[str], detail: bool = False) -> Iterator[Known]:
    if isinstance(node, dict):
        about = about | {node[key] for key in SUBJECTS if isinstance(node.get(key), str)}
        detail = detail or isinstance(node.get('data'), str)
        # A figure with its unit.
        if isinstance(node.get('unit'), str) and isinstance(node.get('value'), (int, float)):
            yield Known(float(node['value']), f'{source}: {key}', about, node['unit'], detail)
            return
        for name, value in node.items():
            yield from _walk(value, str(name), source, about, detail)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value, key, source, about, detail)
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        unit = 'count' if any(name in key.lower() for name in COUNTS) else 'raw'
        yield Known(float(node), f'{source}: {key}', about, unit, detail)


def _number(text: str | Sequence[str] | None) -> float | str | Sequence[str] | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
