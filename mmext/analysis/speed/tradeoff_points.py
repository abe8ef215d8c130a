"""Points of score against cost, each with where its two numbers come from; none of them is made up.

mIoU in percent, latency in milliseconds of one image (batch 1, median, network alone), cost in 1e9 multiply-adds of one
image, which the reports call FLOPs.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmext.analysis.published import PublishedRow
from mmext.analysis.report.matching import REPRODUCTION, match_runs, scale, score_key
from mmext.analysis.report.run_facts import RunFacts
from mmext.analysis.speed.environment import BUSY
from mmext.analysis.speed.records import SpeedRecord, latest_records

LATENCY, FLOPS = 'latency', 'flops'
# Where score and cost come from: both from the report, the score from there and the cost from here, both from here.
PUBLISHED, MIXED, OWN = 'published', 'published mIoU', 'own'
_NOUNS = {LATENCY: ('latency', 'measured'), FLOPS: ('FLOPs', 'counted')}


@dataclass(frozen=True)
class TradeoffPoint:
    """One model.

    Attributes:
        name: What to write beside it.
        x: Milliseconds or 1e9 multiply-adds.
        y: mIoU in percent.
        kind: `PUBLISHED`, `MIXED` or `OWN`.
        series: What it may be compared with on x: source, machine and setting, in words.
        x_source, y_source: Where the numbers come from: the report's table, the record's time, the run's folder.
    """

    name: str
    x: float
    y: float
    kind: str
    series: str
    x_source: str
    y_source: str


@dataclass(frozen=True)
class Tradeoff:
    """The points of one figure, what has no place in it, with the reason, and what casts doubt on points."""

    x: str
    points: tuple[TradeoffPoint, ...]
    left_out: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def tradeoff(
    report: str,
    x: str,
    rows: Sequence[PublishedRow],
    records: Sequence[SpeedRecord],
    runs: Sequence[RunFacts] = (),
    root: Path = Path(),
) -> Tradeoff:
    """Everything that has both coordinates.

    A row of the report gives a point with its published cost, and one for each latest record of its config - its
    multiply-adds only where the report has none. A run gives a point for each latest record of its config.

    Args:
        report: Short name of a report, whose rows have an mIoU.
        x: `LATENCY` or `FLOPS`.
        rows: Published, of any report.
        records: Of `read_speed_records`.
        runs: Of `mmext.analysis.report.run_reader.read_all`.
        root: Folder that the rows' configs are relative to.

    Raises:
        ValueError: nothing has both coordinates; says what is missing.
    """
    rows = [row for row in rows if row.report == report]
    scored = [row for row in rows if 'mIoU' in row.metrics]
    if not scored:
        raise ValueError(f'--report {report}: no published row of it has an mIoU')
    left_out = [f'{row.model}: no published mIoU' for row in rows if row not in scored]
    latest = latest_records(records)
    if x == LATENCY:
        left_out += [f'{_stem(one)}: batch {one.batch}, drawn is batch 1' for one in latest if one.batch != 1]
        latest = [record for record in latest if record.batch == 1]
    points: list[TradeoffPoint] = []
    for row in scored:
        of_row = list(_published(row, x, latest, left_out))
        if not of_row:
            left_out.append(f'{row.model}: no {_NOUNS[x][0]}, neither published nor {_NOUNS[x][1]} here')
        points += of_row
    points += _own(runs, x, latest, rows, root, left_out)
    drawn = {Path(row.config).stem for row in scored} | {run.config_name for run in runs}
    left_out += [f'{_stem(one)}: no published row of {report} and no run' for one in latest if _stem(one) not in drawn]
    if not points:
        raise ValueError(
            f'nothing of report {report} has an mIoU and a {_NOUNS[x][0]}; left out: {"; ".join(left_out)}'
        )
    doubts = _doubts(latest, {point.x_source for point in points}) if x == LATENCY else []
    return Tradeoff(x, tuple(points), tuple(dict.fromkeys(left_out)), tuple(doubts))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other one beats: none costs at most as much (x) and scores at least as much (y).

    Ascending in x and in y; of equal points the first.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1], place)):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def _published(
    row: PublishedRow, x: str, latest: Sequence[SpeedRecord], left_out: list[str]
) -> Iterator[TradeoffPoint]:
    figure = row.metrics['mIoU']
    source = f'{row.report}, {row.table}'
    shared = dict(name=row.model, y=figure.value * scale(figure.unit, '%'), y_source=source)
    noun, verb = _NOUNS[x]
    cost = _published_cost(row, x)
    if cost is not None:
        yield TradeoffPoint(x=cost, kind=PUBLISHED, series=f'published mIoU and {noun}', x_source=source, **shared)
    measured = {}
    for record in latest:
        if record.config == row.config and (value := _cost(record, x)) is not None:
            measured[series_of(record, x), value] = record
    if x == FLOPS and cost is not None:
        for record in measured.values():
            deviation = row.macs.deviation(record.macs)
            left_out.append(
                f'{row.model}: {record.macs / 1e9:.3f} G counted here ({deviation:+.2%}); the published count is drawn'
            )
        return
    for (series, value), record in measured.items():
        text = f'published mIoU, {noun} {verb} here: {series}'
        yield TradeoffPoint(x=value, kind=MIXED, series=text, x_source=_source(record), **shared)


def _own(
    runs: Sequence[RunFacts],
    x: str,
    latest: Sequence[SpeedRecord],
    rows: Sequence[PublishedRow],
    root: Path,
    left_out: list[str],
) -> Iterator[TradeoffPoint]:
    matches = {id(match.run): match for match in match_runs(runs, rows, root)}
    noun, verb = _NOUNS[x]
    for run in runs:
        match, key = matches.get(id(run)), score_key(run, 'mIoU')
        factor = scale(run.score_unit, '%')
        if key is None or factor is None or not math.isfinite(run.scores[key].last):
            left_out.append(f'run {run.label}: no mIoU in it')
            continue
        measured = {
            (series_of(record, x), value): record
            for record in latest
            if _stem(record) == run.config_name and (value := _cost(record, x)) is not None
        }
        if not measured:
            left_out.append(f'run {run.label}: no {noun} {verb} for {run.config_name or "its config"}')
        name = f'{run.label} ({"sample data" if run.is_sample else "not in the report"})'
        if match:
            name = match.row.model if match.verdict == REPRODUCTION else f'{run.label} ({match.verdict})'
        for (series, value), record in measured.items():
            yield TradeoffPoint(
                name=name,
                x=value,
                y=run.scores[key].last * factor,
                kind=OWN,
                series=f'own mIoU, {noun} {verb} here: {series}',
                x_source=_source(record),
                y_source=str(run.path),
            )


def series_of(record: SpeedRecord, x: str) -> str:
    """Machine and setting of a latency, size of a count."""
    size = f'{record.shape_hw[0]} x {record.shape_hw[1]}'
    if x == FLOPS:
        return size
    machine = record.device_name or record.device
    if record.device == 'cpu':
        machine = f'{machine}, {record.threads} threads' if record.threads != 1 else f'{machine}, 1 thread'
    ways = ['compiled'] * record.compiled + ['channels last'] * record.channels_last
    return ', '.join([machine, record.precision, *ways, size])


def _doubts(latest: Sequence[SpeedRecord], sources: Collection[str]) -> list[str]:
    """Which of the latencies that are drawn would be different the next time."""
    found = []
    for record in latest:
        reasons = [note for note in record.notes if note.startswith(BUSY)]
        reasons += ['its times were not stable'] if record.stable is False else []
        if reasons and _source(record) in sources:
            found.append(f'{_stem(record)}, {record.precision}: {"; ".join(reasons)}')
    return found


def _published_cost(row: PublishedRow, x: str) -> float | None:
    """Printed by the report; a rate is not turned into a latency, which would have to guess the batch."""
    if x == FLOPS:
        return row.macs and row.macs.gmacs
    latency = row.metrics.get('latency')
    return latency.value if latency and latency.unit == 'ms' else None


def _cost(record: SpeedRecord, x: str) -> float | None:
    if x == FLOPS:
        return None if record.macs is None else record.macs / 1e9
    return record.network.p50_ms if record.network else None


def _source(record: SpeedRecord) -> str:
    return f'{record.config}, {record.precision}, {record.timestamp}'


def _stem(record: SpeedRecord) -> str:
    return Path(record.config).stem
