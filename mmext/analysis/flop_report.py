"""The result of a FLOP count, its table by module, its JSON form and its text form.

Units: one MAC is one multiply-add; FLOPs are 2 x MAC; G is 1e9, M is 1e6.
"""

from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

OWN_OPERATORS = '(operators outside of submodules)'


@dataclass(frozen=True)
class ModuleCount:
    """Parameters and MACs of one module, its children included; `name` is '' for the whole model."""

    name: str
    params: int
    macs: int


@dataclass(frozen=True)
class FlopReport:
    """What one model costs at one input size.

    Attributes:
        input_shape: Shape of the (first) input, (N, 3, H, W) for images.
        macs: Multiply-adds of one forward pass of the whole batch.
        params: All parameters, shared ones once.
        params_trainable: Those that require a gradient.
        params_inference: Those outside auxiliary heads.
        by_operator: MACs by kind of operator.
        modules: Every module, parents before children.
        zero_by_convention: Calls of each operator that is free by convention.
        unknown: Calls of each operator whose cost is missing from `macs`.
        not_called: Outermost modules with parameters that were not called, training-only ones aside: unused, or
            read from outside like the weights of a query embedding. What is done with them counts either way.
        notes: What else the figures depend on.
        input_source: Where the input size comes from.
    """

    input_shape: tuple[int, ...]
    macs: int
    params: int
    params_trainable: int
    params_inference: int
    by_operator: dict[str, int]
    modules: tuple[ModuleCount, ...]
    zero_by_convention: dict[str, int]
    unknown: dict[str, int]
    not_called: tuple[str, ...]
    notes: tuple[str, ...] = ()
    input_source: str = 'given'

    @property
    def flops(self) -> int:
        """Floating point operations: two per multiply-add."""
        return 2 * self.macs


def rows_at_depth(report: FlopReport, depth: int) -> list[ModuleCount]:
    """Cuts the module tree at a depth into rows that share nothing and add up to the report's `macs` and `params`.

    What a module does itself, outside of its children, is a row of its own. Depth 0 is one row, the whole model.
    """
    children: dict[str, list[ModuleCount]] = {}
    for module in report.modules:
        if module.name:
            children.setdefault(module.name.rpartition('.')[0], []).append(module)

    def cut(module: ModuleCount, left: int) -> list[ModuleCount]:
        parts = children.get(module.name, [])
        if left == 0 or not parts:
            return [module]
        rows = [row for part in parts for row in cut(part, left - 1)]
        own_params = module.params - sum(part.params for part in parts)
        own_macs = module.macs - sum(part.macs for part in parts)
        if own_params or own_macs:
            rows.append(ModuleCount(f'{module.name} {OWN_OPERATORS}'.strip(), own_params, own_macs))
        return rows

    return [row for row in cut(report.modules[0], depth) if row.macs or row.params or depth == 0]


def to_dict(report: FlopReport, depth: int = 1) -> dict[str, Any]:
    """The report as plain JSON values; `by_module` is cut at `depth` and adds up to the totals."""
    return {
        'input_shape': list(report.input_shape),
        'input_source': report.input_source,
        'macs': report.macs,
        'flops': report.flops,
        'params': report.params,
        'params_trainable': report.params_trainable,
        'params_inference': report.params_inference,
        'by_operator': report.by_operator,
        'by_module': [
            {'module': row.name, 'params': row.params, 'macs': row.macs} for row in rows_at_depth(report, depth)
        ],
        'uncounted': {'zero_by_convention': report.zero_by_convention, 'unknown': report.unknown},
        'not_called': list(report.not_called),
        'notes': list(report.notes),
    }


def format_report(report: FlopReport, depth: int = 1, width: int = 110) -> str:
    """The report as text: totals, table by module to `depth`, and every operator that was not counted, by name."""
    stream = StringIO()
    console = Console(file=stream, width=width, highlight=False)
    shape = ' x '.join(map(str, report.input_shape))
    facts = [
        ('input', f'{shape} (N x 3 x H x W), size from {report.input_source}'),
        ('parameters', f'{_mega(report.params)}, trainable {_mega(report.params_trainable)}'),
        ('MACs', f'{report.macs / 1e9:.3f} G MACs ({report.macs:,} multiply-adds)'),
        ('FLOPs', f'{report.flops / 1e9:.3f} G FLOPs (2 x MAC)'),
        *[('note', note) for note in report.notes],
    ]
    if report.params_inference != report.params:
        facts.insert(2, ('at inference', f'{_mega(report.params_inference)} (without auxiliary heads)'))
    summary = Table.grid(padding=(0, 2))
    for name, value in facts:
        summary.add_row(name, escape(value))
    for part in (summary, _module_table(report, depth), _uncounted_table(report)):
        console.print(part)
    if report.not_called:
        names = ', '.join(report.not_called)
        console.print(escape(f'Not called, though they hold parameters (unused, or read from outside): {names}'))
    return '\n'.join(line.rstrip() for line in stream.getvalue().splitlines())


def _mega(count: int) -> str:
    return f'{count / 1e6:.3f} M ({count:,})'


def _module_table(report: FlopReport, depth: int) -> Table:
    table = Table(title=f'By module, depth {depth}', title_justify='left')
    table.add_column('module', overflow='fold')
    for name in ('parameters (M)', 'G MACs', 'share of MACs'):
        table.add_column(name, justify='right')
    for row in rows_at_depth(report, depth):
        share = f'{100 * row.macs / report.macs:.1f} %' if report.macs else '-'
        table.add_row(escape(row.name or '(whole model)'), f'{row.params / 1e6:.3f}', f'{row.macs / 1e9:.3f}', share)
    table.add_section()
    table.add_row('total', f'{report.params / 1e6:.3f}', f'{report.macs / 1e9:.3f}', '100.0 %' if report.macs else '-')
    return table


def _uncounted_table(report: FlopReport) -> Table:
    table = Table(title='Operators not counted, with their calls', title_justify='left')
    table.add_column('why')
    table.add_column('operators', overflow='fold')
    for why, operators in (('zero by convention', report.zero_by_convention), ('unknown cost', report.unknown)):
        calls = ', '.join(f'{name.removeprefix("aten::")} ({count})' for name, count in operators.items())
        table.add_row(why, escape(calls or 'none'))
    return table
