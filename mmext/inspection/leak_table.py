"""A report of leaks on the terminal."""

import os
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from .leak_page import spread_over_kinds
from .leak_report import LeakReport
from .passport import LEVELS
from .perceptual_hashes import Fingerprint

SHOWN = {'error': 30, 'warning': 5}
STYLES = {'error': 'red', 'warning': 'yellow', 'note': 'cyan'}


def show_progress(prints: Iterable[Fingerprint], total: int) -> Iterable[Fingerprint]:
    """A progress bar on stderr."""
    return track(prints, 'Reading', total, console=Console(stderr=True))


def print_report(report: LeakReport) -> None:
    """Print pairs, findings and the verdict; file names are never shortened, so that they can be copied."""
    console = Console(soft_wrap=True, highlight=False)
    for line in table_lines(report):
        console.print(line)
    for finding in report.findings():
        console.print(f'[{STYLES[finding.level]}]{finding.level}[/] {escape(finding.message)}; {escape(finding.fix)}')
    compared = ', '.join(f'{split} {count}' for split, count in report.splits.items())
    errors = len(report.of_level('error'))
    verdict = f'[red]{errors} leaks[/]' if errors else '[green]no leak[/]'
    console.print(f'{escape(report.source)}: {compared}: {verdict}')


def table_lines(report: LeakReport) -> list[str]:
    """The worst pairs in columns, with rich's markup."""
    lines, left_out = [], 0
    for level in LEVELS[:2]:
        pairs = report.of_level(level)
        shown = spread_over_kinds(pairs, SHOWN[level])
        left_out += len(pairs) - len(shown)
        lines += [
            (level, pair.kind, f'{pair.first_split}: {_short(pair.first)}',
             f'{pair.second_split}: {_short(pair.second)}', pair.reason)
            for pair in shown
        ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for level, *cells in lines:
        padded = '  '.join(cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        texts.append(f'[{STYLES[level]}]{level.ljust(widths[0])}[/]  {escape(padded.rstrip())}')
    return [*texts, *([f'... and {left_out} more pairs: --out DIR writes them all'] if left_out else [])]


def _short(name: str) -> str:
    """Relative to the working folder where that is shorter."""
    return min(name, os.path.relpath(name), key=len)
