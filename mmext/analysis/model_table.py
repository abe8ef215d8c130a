"""Classifiers beside a published table of sizes: parameters, true multiply-adds, and what torchinfo makes of them.

Units: parameters, MACs (multiply-adds) and mult-adds of one image in M = 1e6, pass size in MB = 1e6 bytes; sizes are
(height, width). Published rows are those of `published.yml` with the metrics of `METRICS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from torchinfo import summary

from mmext.analysis.flops import count_flops
from mmext.analysis.model_from_config import AnalysisError, build_model, input_size, load_config, toolbox_of
from mmext.analysis.published import Figure, PublishedRow
from mmext.common.config_files import building

METRICS = {'params': 'M', 'flops': 'M', 'pass_size': 'MB'}
COLUMNS = (
    'model',
    'config',
    'input',
    'params (M)',
    'published (M)',
    'MACs (M)',
    'torchinfo mult-adds (M)',
    'published "FLOPs" (M)',
    'MACs / published',
    'torchinfo pass (MB)',
    'published (MB)',
)
NOTE = (
    'The published "FLOPs" are the mult-adds that torchinfo prints. For a transformer these are not FLOPs: a linear or '
    'normalisation layer is charged once per image instead of once per token, and the two products of attention, '
    'q k^T and weights times v, are not charged at all. "MACs / published" says how many times more multiply-adds '
    'an image really takes; one MAC is two FLOPs. The pass size is the output of all layers with parameters, forward '
    'and backward. A published figure is "exact" where ours, rounded to its decimals, is the same; otherwise the '
    'deviation of ours stands beside it.'
)


@dataclass(frozen=True)
class ModelRow:
    """The counts of one config for one image, and its published row, if any."""

    config: str
    size_hw: tuple[int, int]
    input_source: str
    params: int
    macs: int
    mult_adds: int
    pass_bytes: int
    published: PublishedRow | None = None
    unknown: tuple[str, ...] = ()  # operators whose cost is missing from `macs`

    @property
    def ours(self) -> dict[str, float]:
        """What stands beside each published metric, in its unit."""
        return {
            'params': self.params / 1e6,
            'flops': self.mult_adds / 1e6,
            'pass_size': self.pass_bytes / 1e6,
        }

    @property
    def figures(self) -> dict[str, Figure]:
        """The published ones of `METRICS`."""
        metrics = self.published.metrics if self.published else {}
        return {name: metrics[name] for name in METRICS if name in metrics}

    @property
    def ratio(self) -> float | None:
        """True MACs / published "FLOPs"."""
        published = self.figures.get('flops')
        return self.macs / 1e6 / published.value if published and published.value else None

    def cells(self) -> dict[str, str]:
        """The row as text, one entry for each of `COLUMNS`; '-' where nothing is published."""
        ours = {name: f'{value:.2f}' for name, value in self.ours.items()}
        theirs = {name: _compared(self.ours[name], self.figures.get(name)) for name in METRICS}
        ratio = '-' if self.ratio is None else f'{self.ratio:.2f}' if self.ratio < 10 else f'{self.ratio:.1f}'
        values = (
            self.published.model if self.published else Path(self.config).stem,
            self.config,
            f'{self.size_hw[0]} x {self.size_hw[1]}',
            ours['params'],
            theirs['params'],
            f'{self.macs / 1e6:.2f}',
            ours['flops'],
            theirs['flops'],
            ratio,
            ours['pass_size'],
            theirs['pass_size'],
        )
        return dict(zip(COLUMNS, values, strict=True))


def is_exact(ours: float, published: Figure) -> bool:
    """Whether ours, rounded to as many decimals as are printed, is the published figure."""
    decimals = len(published.text.partition('.')[2])
    return f'{ours:.{decimals}f}' == published.text


def _compared(ours: float, published: Figure | None) -> str:
    if published is None:
        return '-'
    if is_exact(ours, published):
        return f'{published.text} exact'
    return f'{published.text} {100 * (ours / published.value - 1):+.2f} %' if published.value else published.text


def published_row(config: str | Path, rows: Iterable[PublishedRow], root: str | Path = '.') -> PublishedRow | None:
    """The first row of this config, whose path is relative to ``root``, that has one of `METRICS`.

    Raises:
        AnalysisError: one of these metrics is in another unit.
    """
    path = Path(config).resolve()
    for row in rows:
        if not METRICS.keys() & row.metrics or (Path(root) / row.config).resolve() != path:
            continue
        for name, unit in METRICS.items():
            if name in row.metrics and row.metrics[name].unit != unit:
                raise AnalysisError(
                    f'{row.config}: the published {name} is {row.metrics[name].text} {row.metrics[name].unit}; '
                    f'write it in {unit}'
                )
        return row
    return None


def count_model(
    config_path: str | Path,
    size_hw: tuple[int, int] | None = None,
    rows: Iterable[PublishedRow] = (),
    root: str | Path = '.',
    options: Mapping[str, Any] | None = None,
) -> ModelRow:
    """Builds the classifier of a config without weights and counts one image through it, up to the scores.

    Args:
        config_path: Config with ``default_scope = 'mmpretrain'``.
        size_hw: Height and width; by default what the config says, or the 32 x 32 of a CIFAR data set.
        rows: Published rows to look the config up in.
        root: Folder that their paths are relative to.
        options: Settings to override.

    Raises:
        AnalysisError: no such config, no classifier, no size, or a model that cannot process it; also for a published
            figure in another unit.
    """
    published = published_row(config_path, rows, root)
    config = load_config(config_path, options)
    if toolbox_of(config) != 'mmpretrain':
        raise AnalysisError(
            f"{config_path}: default_scope is '{config.default_scope}'; this table is for classifiers ('mmpretrain'), "
            'use tools/get_flops.py for other models'
        )
    size_hw, source = (size_hw, '--shape') if size_hw else input_size(config)
    with building(config_path):
        model = build_model(config)
    try:
        report = count_flops(model, size_hw, toolbox='mmpretrain')
    except AnalysisError as error:
        raise AnalysisError(f'{config_path}: {error}') from error
    counts = summary(model, input_data=[torch.zeros(1, 3, *size_hw)], verbose=0)
    return ModelRow(
        str(config_path),
        tuple(size_hw),
        source,
        report.params,
        report.macs,
        counts.total_mult_adds,
        counts.total_output_bytes,
        published,
        tuple(report.unknown),
    )


def rich_table(rows: Sequence[ModelRow]) -> Table:
    """For the screen."""
    table = Table(title='Sizes of networks, ours and published', title_justify='left')
    for name in COLUMNS:
        table.add_column(name, overflow='fold', justify='left' if name in ('model', 'config') else 'right')
    for row in rows:
        cells = row.cells()
        cells['config'] = cells['config'].removeprefix('configs/').removesuffix('.py')
        table.add_row(*(escape(cell) for cell in cells.values()))
    return table


def markdown_table(rows: Sequence[ModelRow]) -> str:
    """All columns as a Markdown table, with the note below."""
    lines = ['| ' + ' | '.join(COLUMNS) + ' |', '|' + ' --- |' * len(COLUMNS)]
    lines += ['| ' + ' | '.join(cell.replace('|', r'\|') for cell in row.cells().values()) + ' |' for row in rows]
    return '\n'.join(lines) + f'\n\n{NOTE}\n'


def to_dict(row: ModelRow) -> dict[str, Any]:
    """Plain JSON values; ``published`` holds value, unit and whether ours is exactly that, per metric."""
    return {
        'model': row.cells()['model'],
        'config': row.config,
        'size_hw': list(row.size_hw),
        'input_source': row.input_source,
        'params': row.params,
        'macs': row.macs,
        'uncounted_operators': list(row.unknown),
        'torchinfo_mult_adds': row.mult_adds,
        'torchinfo_pass_bytes': row.pass_bytes,
        'published': {
            name: {'value': figure.value, 'unit': figure.unit, 'exact': is_exact(row.ours[name], figure)}
            for name, figure in row.figures.items()
        },
        'macs_per_published_flop': row.ratio,
    }
