"""The tables of the reports: every experiment with its config, its published figures, ours, and the differences."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmext.analysis.published import Figure, PublishedRow
from mmext.analysis.speed.records import SpeedRecord

from .costs import SPEED_CARD, Costs
from .document import NOTHING, Cell, Notes, Part, Table, anchor_of
from .matching import REPRODUCTION, Match, printed, spread

COLUMNS = ('experiment', 'metric', 'published', 'ours', 'difference', 'state', 'best', 'run', 'from')
NOT_RUN = 'not run'
# Published figures that a run does not log, but a measurement may have.
TIMES, RATES = ('latency',), ('speed',)


@dataclass(frozen=True)
class Links:
    """Makes addresses that hold in the folder of the page.

    Attributes:
        root: Folder that the paths of configs are relative to.
        out: Folder of the page.
    """

    root: Path
    out: Path

    def config(self, path: str) -> str:
        """The address of a config, '' if there is no such file."""
        file = self.root / path
        return Path(os.path.relpath(file, self.out)).as_posix() if file.is_file() else ''


def run_anchor(label: str) -> str:
    """Of the section of a run."""
    return anchor_of('Run', label)


def run_cell(label: str) -> Cell:
    """The name of a run, leading to its section."""
    return Cell(label, link=f'#{run_anchor(label)}', code=True)


def report_parts(rows: Sequence[PublishedRow], matches: Sequence[Match], costs: Costs, links: Links) -> list[Part]:
    """A section for each report, with a table for each of its tables."""
    parts: dict[str, Part] = {}
    for report, table in dict.fromkeys((row.report, row.table) for row in rows):
        part = parts.setdefault(report, Part('Report', name=report))
        of_table = [row for row in rows if (row.report, row.table) == (report, table)]
        entries = [entry for row in of_table for entry in row_entries(row, matches, costs, links)]
        notes = [f'{row.model}: {row.note}' for row in of_table if row.note]
        part.blocks.append(Table(COLUMNS, entries, f'{report}, {table}', table))
        if notes:
            part.blocks.append(Notes('Notes on the published figures', notes, quoted=False))
    return list(parts.values())


def row_entries(row: PublishedRow, matches: Sequence[Match], costs: Costs, links: Links) -> list[list[Cell]]:
    """Lines of the table for one experiment: one for each figure and run, or one that says that nothing was run."""
    own = [match for match in matches if match.row is row]
    name = Cell(row.model, source=row.config, link=links.config(row.config))
    entries = []
    for metric, figure in row.metrics.items():
        lines = _measured(row, metric, figure, costs.speed) if metric in TIMES + RATES else []
        if metric == 'params' and (counted := costs.params(row)):
            lines.append([*_counted(*counted, figure), NOTHING])
        lines += [_run_line(match, metric, figure) for match in own if match.ours(metric) is not None]
        if spread(own, metric):
            lines.append(_spread_line(own, metric, figure))
        lines = lines or [[NOTHING, NOTHING, *_state(own)]]
        entries += [[name, Cell(_titled(metric, figure)), _published(row, figure), *line] for line in lines]
    if not row.metrics:
        entries.append([name, NOTHING, NOTHING, NOTHING, NOTHING, *_state(own)])
    if row.macs is not None:
        entries.append([name, *_macs_line(row, costs)])
    return entries


def _run_line(match: Match, metric: str, figure: Figure) -> list[Cell]:
    ours, delta, run = match.ours(metric), match.delta(metric), match.run
    unit = run.unit
    source = f'{run.label}, validation at {unit} {ours.last_at:g}'
    best = f'{run.label}, best validation, at {unit} {ours.best_at:g}'
    why = '; '.join(match.reasons)
    return [
        _number(ours.last, figure, source),
        NOTHING if delta is None else Cell(printed(delta, figure, '+'), delta, f'{source}, minus the published figure'),
        Cell(match.verdict, source=why),
        _number(ours.best, figure, best),
        run_cell(run.label),
        Cell(f'validation at {unit} {ours.last_at:g}'),
    ]


def _spread_line(own: Sequence[Match], metric: str, figure: Figure) -> list[Cell]:
    """The mean of the reproductions, with their standard deviation."""
    average = spread(own, metric)
    runs = ', '.join(match.run.label for match in own if match.verdict == REPRODUCTION)
    delta = average.mean - figure.value
    text = f'{printed(average.mean, figure)} ± {printed(average.deviation, figure)}'
    return [
        Cell(text, average.mean, f'mean and standard deviation of {runs}'),
        Cell(printed(delta, figure, '+'), delta, f'mean of {runs}, minus the published figure'),
        Cell(f'mean of {average.runs} runs'),
        NOTHING,
        Cell(runs, code=True),
        Cell('last validations'),
    ]


def _measured(row: PublishedRow, metric: str, figure: Figure, speed: Sequence[SpeedRecord]) -> list[list[Cell]]:
    """Times of ours stand beside the published ones without a difference: they are of another machine."""
    lines = []
    for record in speed:
        if record.config != row.config:
            continue
        if metric in TIMES and record.network and record.batch == 1:
            value = record.network.p50_ms
        elif metric in RATES and record.network and record.batch == 1:
            value = record.network.images_per_s
        else:
            continue
        source = f'{SPEED_CARD}, {record.device_name or record.device}'
        ours, place = _number(value, figure, source), _place(SPEED_CARD)
        setting = Cell(_setting(record), code=True)
        lines.append([ours, NOTHING, Cell('another machine'), NOTHING, place, setting])
    return lines


def _macs_line(row: PublishedRow, costs: Costs) -> list[Cell]:
    size, text = Cell(f'at {row.macs.size_hw[0]} x {row.macs.size_hw[1]}'), f'{row.macs.gmacs:g}'
    head = [Cell('GMACs'), Cell(text, row.macs.gmacs, f'published: {row.report}, {row.table}')]
    counted = costs.gmacs(row)
    if counted is None:
        return [*head, NOTHING, NOTHING, Cell('not counted'), NOTHING, NOTHING, size]
    return [*head, *_counted(*counted, Figure(f'{row.macs.gmacs:.3f}', 'raw')), size]


def _counted(ours: float, source: str, figure: Figure) -> list[Cell]:
    delta = ours - figure.value
    change = Cell(printed(delta, figure, '+'), delta, f'{source}, minus the published figure')
    return [_number(ours, figure, source), change, Cell('counted'), NOTHING, _place(source)]


def _place(source: str) -> Cell:
    """Where a measurement stands: in a section of the page, or in a file."""
    return Cell(source, link=f'#{anchor_of("Speed card")}') if source == SPEED_CARD else Cell(source, code=True)


def _setting(record: SpeedRecord) -> str:
    size = f'{record.shape_hw[0]} x {record.shape_hw[1]}'
    return f'network alone, {size}, {record.precision}, {record.device_name or record.device}'


def _state(own: Sequence[Match]) -> list[Cell]:
    """Of a figure that no run has: whether there are runs at all."""
    if not own:
        return [Cell(NOT_RUN), NOTHING, NOTHING, NOTHING]
    verdicts = ', '.join(dict.fromkeys(match.verdict for match in own))
    runs = own[0].run.label if len(own) == 1 else ''
    return [Cell(f'{verdicts}, no such score'), NOTHING, run_cell(runs) if runs else NOTHING, NOTHING]


def _published(row: PublishedRow, figure: Figure) -> Cell:
    return Cell(figure.text, figure.value, f'published: {row.report}, {row.table}')


def _number(value: float, figure: Figure, source: str) -> Cell:
    return NOTHING if value != value else Cell(printed(value, figure), value, source)


def _titled(metric: str, figure: Figure) -> str:
    return metric if figure.unit in ('raw', 'share') else f'{metric}, {figure.unit}'
