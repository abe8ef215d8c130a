"""Every published row beside its recipe: is the recipe there, and does it cost what the report says?

Units: GMACs are 1e9 multiply-adds of one image, which the reports call FLOPs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmext.analysis.published import PublishedRow
from mmext.common.config_files import building

COLUMNS = (
    *('report', 'table', 'model', 'config', 'published', 'published GMACs', 'params', 'GMACs', 'deviation', 'note'),
)
COUNTED = ('params', 'GMACs', 'deviation')
# Recipes that reproduce no row of a report.
OWN = 'mmext'
# `PublishedRow.key`.
RowKey = tuple[str, str, str]


class CountsError(ValueError):
    """A file of counts that cannot be used; the message names it and the fix."""


@dataclass(frozen=True)
class Count:
    """Parameters of a model, in all and without auxiliary heads, and multiply-adds of one image of (height, width)."""

    params: int
    params_inference: int
    macs: int
    size_hw: tuple[int, int]


@dataclass(frozen=True)
class RecipeCheck:
    """A row, what was counted (None: nothing), and what is wrong with it ('' if nothing)."""

    row: PublishedRow
    count: Count | None = None
    problem: str = ''

    @property
    def deviation(self) -> float | None:
        """How far the count is from the published figure, relative to it; None without either."""
        macs = self.row.macs
        return None if macs is None or self.count is None else macs.deviation(self.count.macs)

    def cells(self) -> dict[str, str]:
        """The row as text, one entry for each of `COLUMNS`; '-' where there is nothing."""
        row, count = self.row, self.count
        cells = dict(report=row.report, table=row.table, model=row.model, config=row.config)
        cells['published'] = ', '.join(f'{name} {figure}' for name, figure in row.metrics.items())
        if row.macs is not None:
            cells['published GMACs'] = f'{row.macs.gmacs:g} at {size_text(row.macs.size_hw)}'
        if count is not None:
            cells['params'] = f'{count.params_inference / 1e6:.3f} M'
            cells['GMACs'] = f'{count.macs / 1e9:.3f} at {size_text(count.size_hw)}'
        if self.deviation is not None:
            cells['deviation'] = f'{100 * self.deviation:+.3f} %'
        cells['note'] = '; '.join(text for text in (self.problem, row.note) if text)
        return {name: cells.get(name) or '-' for name in COLUMNS}


def size_text(size_hw: Sequence[int]) -> str:
    """'375 x 1242': height, then width."""
    return f'{size_hw[0]} x {size_hw[1]}'


def recipe_files(root: str | Path) -> list[Path]:
    """The configs below ``root``/configs that can be run, sorted."""
    return [path for path in sorted((Path(root) / 'configs').rglob('*.py')) if '_base_' not in path.parts]


def own_recipes(rows: Iterable[PublishedRow], root: Path) -> list[PublishedRow]:
    """A row without figures for each config below ``root`` that no row names, by path."""
    taken = {row.config for row in rows}
    files = (file.relative_to(root) for file in recipe_files(root))
    return [PublishedRow(OWN, '', file.stem, file.as_posix()) for file in files if file.as_posix() not in taken]


def check_recipes(
    rows: Iterable[PublishedRow], root: Path, count: bool = False, counts: Mapping[RowKey, Count] | None = None
) -> Iterator[RecipeCheck]:
    """Looks for each row's config below ``root`` and, if asked, counts its model.

    A model is counted at the size of the published figure, which must agree within the tolerance of its row, or else
    at the size that the config tests at. It takes seconds; recipes that differ in anything but the model, or in its
    initial weights only, share one count.

    Args:
        rows: Published, or of `own_recipes`.
        root: Folder that holds configs/.
        count: Count the models; otherwise only ``counts`` are shown.
        counts: What was counted before, as `read_counts` returns it.
    """
    counted: dict[str, Count] = {}
    for row in rows:
        path = root / row.config
        if not path.is_file():
            yield RecipeCheck(row, problem='the config is missing')
        elif count:
            yield _counted(row, path, counted)
        else:
            known = (counts or {}).get(row.key)
            yield _judged(row, known) if known else RecipeCheck(row)


def read_counts(path: str | Path) -> dict[RowKey, Count]:
    """Row -> count, from what `to_dict` made of checks.

    Raises:
        CountsError: the file is missing, no JSON, or not of that form.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding='utf-8'))
        return {_key(entry): _count(entry) for entry in entries if entry['macs'] is not None}
    except (OSError, ValueError, RecursionError) as error:
        raise CountsError(f'{path}: cannot be read ({error}); write it by --flops --json') from error
    except (KeyError, TypeError) as error:
        raise CountsError(f'{path}: not of recipe_table.py ({error!r}); write it by --flops --json') from error


def _key(entry: Mapping[str, Any]) -> RowKey:
    return entry['report'], entry['model'], entry['config']


def _count(entry: Mapping[str, Any]) -> Count:
    height, width = entry['size_hw']
    return Count(int(entry['params']), int(entry['params_inference']), int(entry['macs']), (height, width))


def _counted(row: PublishedRow, path: Path, counted: dict[str, Count]) -> RecipeCheck:
    from mmext.analysis.flops import count_flops  # fvcore is only needed by who counts
    from mmext.analysis.model_from_config import build_model, input_size, load_config, toolbox_of, without_weights

    try:
        config = load_config(path)
        size = row.macs.size_hw if row.macs else input_size(config)[0]
        model = f'{without_weights(config.model)} {size}'
        if model not in counted:
            with building(path):
                network = build_model(config)
            report = count_flops(network, size, toolbox=toolbox_of(config))
            counted[model] = Count(report.params, report.params_inference, report.macs, size)
    except ValueError as error:
        return RecipeCheck(row, problem=f'not counted: {error}')
    return _judged(row, counted[model])


def _judged(row: PublishedRow, count: Count) -> RecipeCheck:
    agrees = row.macs is None or row.macs.agrees(count.macs)
    return RecipeCheck(row, count, '' if agrees else f'out of tolerance ({row.macs.tolerance})')


def rich_table(checks: Sequence[RecipeCheck]) -> Table:
    """For the screen; a row with a problem is red."""
    table = Table(title='Published figures and their recipes', title_justify='left')
    counted = any(check.count for check in checks)
    columns = [name for name in COLUMNS if counted or name not in COUNTED]
    for name in columns:
        right = 'GMACs' in name or name in COUNTED
        table.add_column(name, overflow='fold', justify='right' if right else 'left')
    for check in checks:
        cells = check.cells()
        cells['config'] = cells['config'].removeprefix('configs/').removesuffix('.py')
        table.add_row(*(escape(cells[name]) for name in columns), style='red' if check.problem else None)
    return table


def to_dict(check: RecipeCheck) -> dict[str, Any]:
    """Plain JSON values."""
    row, count = check.row, check.count
    size = count.size_hw if count else row.macs and row.macs.size_hw
    return {
        'report': row.report,
        'table': row.table,
        'model': row.model,
        'config': row.config,
        'metrics': {name: {'value': figure.value, 'unit': figure.unit} for name, figure in row.metrics.items()},
        'published_gmacs': row.macs and row.macs.gmacs,
        'size_hw': size and list(size),
        'params': count and count.params,
        'params_inference': count and count.params_inference,
        'macs': count and count.macs,
        'deviation': check.deviation,
        'note': row.note,
        'problem': check.problem,
    }
