"""Every published row beside its recipe: is the recipe there, and does it cost what the report says?

Units: GMACs are 1e9 multiply-adds of one image, which the reports call FLOPs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmext.analysis.published import PublishedRow
from mmext.common.config_files import building

COLUMNS = ('report', 'table', 'model', 'config', 'published', 'published GMACs', 'GMACs', 'deviation', 'note')


@dataclass(frozen=True)
class RecipeCheck:
    """A published row, what was counted (None: not counted), and what is wrong with it ('' if nothing)."""

    row: PublishedRow
    macs: int | None = None
    problem: str = ''

    def cells(self) -> dict[str, str]:
        """The row as text, one entry for each of `COLUMNS`; '-' where there is nothing."""
        row, published, ours, deviation = self.row, '-', '-', '-'
        if row.macs is not None:
            published = f'{row.macs.gmacs:g} at {row.macs.size_hw[0]} x {row.macs.size_hw[1]}'
        if self.macs is not None:
            ours, deviation = f'{self.macs / 1e9:.3f}', f'{100 * row.macs.deviation(self.macs):+.3f} %'
        metrics = ', '.join(f'{name} {figure}' for name, figure in row.metrics.items())
        note = '; '.join(text for text in (self.problem, row.note) if text)
        values = (row.report, row.table, row.model, row.config, metrics, published, ours, deviation, note)
        return {name: value or '-' for name, value in zip(COLUMNS, values, strict=True)}


def check_recipes(rows: Iterable[PublishedRow], root: Path, count: bool = False) -> Iterator[RecipeCheck]:
    """Looks for each row's config below ``root`` and, if asked, counts its model where a figure is published.

    Each figure is checked within the tolerance of its row. A model takes seconds; recipes that differ in anything but
    the model, or in its initial weights only, share one count.
    """
    counted: dict[str, int] = {}
    for row in rows:
        path = root / row.config
        if not path.is_file():
            yield RecipeCheck(row, problem='the config is missing')
        elif not count or row.macs is None:
            yield RecipeCheck(row)
        else:
            yield _counted(row, path, counted)


def _counted(row: PublishedRow, path: Path, counted: dict[str, int]) -> RecipeCheck:
    from mmext.analysis.flops import count_flops  # fvcore is only needed by who counts
    from mmext.analysis.model_from_config import build_model, load_config, toolbox_of, without_weights

    try:
        config = load_config(path)
        model = f'{without_weights(config.model)} {row.macs.size_hw}'
        if model not in counted:
            with building(path):
                network = build_model(config)
            counted[model] = count_flops(network, row.macs.size_hw, toolbox=toolbox_of(config)).macs
    except ValueError as error:
        return RecipeCheck(row, problem=f'not counted: {error}')
    macs = counted[model]
    return RecipeCheck(row, macs, '' if row.macs.agrees(macs) else f'out of tolerance ({row.macs.tolerance})')


def rich_table(checks: Sequence[RecipeCheck], counted: bool) -> Table:
    """For the screen; a row with a problem is red."""
    table = Table(title='Published figures and their recipes', title_justify='left')
    columns = [name for name in COLUMNS if counted or name not in ('GMACs', 'deviation')]
    for name in columns:
        table.add_column(name, overflow='fold', justify='right' if 'GMACs' in name or name == 'deviation' else 'left')
    for check in checks:
        cells = check.cells()
        cells['config'] = cells['config'].removeprefix('configs/').removesuffix('.py')
        table.add_row(*(escape(cells[name]) for name in columns), style='red' if check.problem else None)
    return table


def markdown_table(checks: Sequence[RecipeCheck]) -> str:
    """All columns as a Markdown table."""
    lines = ['| ' + ' | '.join(COLUMNS) + ' |', '|' + ' --- |' * len(COLUMNS)]
    lines += ['| ' + ' | '.join(cell.replace('|', r'\|') for cell in check.cells().values()) + ' |' for check in checks]
    return '\n'.join(lines) + '\n'


def to_dict(check: RecipeCheck) -> dict[str, Any]:
    """Plain JSON values."""
    row = check.row
    return {
        'report': row.report,
        'table': row.table,
        'model': row.model,
        'config': row.config,
        'metrics': {name: {'value': figure.value, 'unit': figure.unit} for name, figure in row.metrics.items()},
        'published_gmacs': row.macs and row.macs.gmacs,
        'size_hw': row.macs and list(row.macs.size_hw),
        'macs': check.macs,
        'deviation': None if check.macs is None else row.macs.deviation(check.macs),
        'note': row.note,
        'problem': check.problem,
    }
