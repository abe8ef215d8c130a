"""The published figures of the reports' tables, read from `published.yml` and checked row by row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml

PUBLISHED = Path(__file__).with_name('published.yml')
UNITS = ('%', 'share', 'ms', 'FPS', 'M', 'MB', 'raw')
# Largest relative deviation of a count; None where the published figure itself is not understood.
TOLERANCES = {'decimals': 0.001, 'rounded': 0.01, 'unexplained': None}
# Aliases in YAML can make a value of a few lines print as gigabytes.
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 4, 4, 80
REQUIRED = ('report', 'table', 'model', 'config', 'metrics')


class PublishedError(ValueError):
    """A malformed row; the message names file, row, value and fix."""


@dataclass(frozen=True)
class Figure:
    """One score, time or size, as printed (`text`), in one of `UNITS`."""

    text: str
    unit: str

    @property
    def value(self) -> float:
        return float(self.text)

    def __str__(self) -> str:
        return self.text if self.unit in ('share', 'raw') else f'{self.text} {self.unit}'


@dataclass(frozen=True)
class PublishedMacs:
    """Multiply-adds of one image in 1e9, at (height, width)."""

    gmacs: float
    size_hw: tuple[int, int]
    tolerance: str

    def deviation(self, macs: int) -> float:
        """How far a count of ours is away, relative to the published figure, with its sign."""
        return macs / 1e9 / self.gmacs - 1

    def agrees(self, macs: int) -> bool:
        """Whether the count is within the tolerance; always, where the published figure is unexplained."""
        limit = TOLERANCES[self.tolerance]
        return limit is None or abs(self.deviation(macs)) <= limit


@dataclass(frozen=True)
class PublishedRow:
    """One model of one table of a report.

    Attributes:
        report: Short name of the report.
        table: Its table.
        model: The row, as named there.
        config: Path of the recipe, relative to the project.
        metrics: Name -> figure, in the order of the table; empty where the report prints none.
        macs: What the model costs; None where the report prints nothing.
        note: What is to be known about the figures, such as a slip of the report.
    """

    report: str
    table: str
    model: str
    config: str
    metrics: Mapping[str, Figure] = field(default_factory=dict)
    macs: PublishedMacs | None = None
    note: str = ''

    @property
    def key(self) -> tuple[str, str, str]:
        """Report, model and config, which no two rows share."""
        return self.report, self.model, self.config


def read_published(path: str | Path = PUBLISHED) -> list[PublishedRow]:
    """All rows, in the order of the file.

    Raises:
        PublishedError: the file is no list of rows, or a row is malformed.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except UnicodeDecodeError as error:
        raise PublishedError(f'{path}: no UTF-8 text ({error}); give a YAML file') from error
    except (yaml.YAMLError, RecursionError) as error:
        # The message has lines of its own about where.
        reason = ' '.join(str(error).split())
        raise PublishedError(f'{path}: no valid YAML: {reason}; correct it') from error
    if not isinstance(content, list) or not content:
        raise PublishedError(f'{path}: expected a list of rows (- report: ...), got {type(content).__name__}')
    rows = []
    for number, row in enumerate(content, start=1):
        try:
            rows.append(_row(row))
        except PublishedError as error:
            name = row.get('model', '') if isinstance(row, dict) else ''
            name = name if isinstance(name, str) else ''
            raise PublishedError(f'{path}: row {number} ({name}): {error}') from error
    return rows


def _row(row: Any) -> PublishedRow:
    if not isinstance(row, dict):
        raise PublishedError(f'expected a mapping, got {_SHORT.repr(row)}')
    unknown = sorted(map(str, set(row) - {*REQUIRED, 'gmacs', 'note'}))
    missing = [key for key in REQUIRED if key not in row]
    if unknown or missing:
        raise PublishedError(f'unknown keys {unknown}, missing keys {missing}')
    texts = {key: row[key] for key in ('report', 'table', 'model', 'config', 'note') if key in row}
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            raise PublishedError(f'{key}: {_SHORT.repr(value)}; expected text')
    if not isinstance(row['metrics'], dict):
        raise PublishedError(
            f'metrics: {_SHORT.repr(row["metrics"])}; expected a mapping, {{}} where nothing is published'
        )
    metrics = {name: _figure(name, value) for name, value in row['metrics'].items()}
    return PublishedRow(**texts, metrics=metrics, macs=_macs(row['gmacs']) if 'gmacs' in row else None)


def _figure(name: str, value: Any) -> Figure:
    match = re.fullmatch(r'(\d+(?:\.\d+)?) (\S+)', value) if isinstance(value, str) else None
    if not match or match[2] not in UNITS:
        raise PublishedError(
            f'metrics.{name}: {_SHORT.repr(value)}; expected a number and one of {", ".join(UNITS)}, as in 62.89 %'
        )
    return Figure(*match.groups())


def _macs(value: Any) -> PublishedMacs:
    if not isinstance(value, dict) or set(value) != {'value', 'size_hw', 'tolerance'}:
        raise PublishedError(f'gmacs: {_SHORT.repr(value)}; expected value, size_hw and tolerance')
    gmacs, size, tolerance = value['value'], value['size_hw'], value['tolerance']
    if isinstance(gmacs, bool) or not isinstance(gmacs, int | float) or gmacs <= 0:
        raise PublishedError(f'gmacs.value: {_SHORT.repr(gmacs)}; expected a number above 0')
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise PublishedError(f'gmacs.size_hw: {_SHORT.repr(size)}; expected [height, width]')
    if not isinstance(tolerance, str) or tolerance not in TOLERANCES:
        raise PublishedError(f'gmacs.tolerance: {_SHORT.repr(tolerance)}; expected one of {", ".join(TOLERANCES)}')
    return PublishedMacs(float(gmacs), (size[0], size[1]), tolerance)
