"""Findings as a table and as JSON."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmext.common.files import write_json

from .finding import ERROR, NOT_RUN, PASS, WARNING, Finding

COLOURS = {PASS: 'green', WARNING: 'yellow', ERROR: 'bold red', NOT_RUN: 'dim'}


def print_findings(findings: Sequence[Finding], seconds: float, console: Console | None = None) -> None:
    """A table of all findings, and the sum of them."""
    console = console or Console()
    table = Table('check', 'status', 'finding', show_lines=False)
    for finding in findings:
        text = escape(finding.message)
        if finding.fix and finding.status in (WARNING, ERROR):
            text += f'\n[italic]fix: {escape(finding.fix)}[/italic]'
        table.add_row(finding.check, f'[{COLOURS[finding.status]}]{finding.status}[/]', text)
    console.print(table)
    console.print(verdict(findings, seconds))


def verdict(findings: Sequence[Finding], seconds: float) -> str:
    """One closing line."""
    counts = {status: sum(finding.status == status for finding in findings) for status in COLOURS}
    ending = ': mend the errors before training' if counts[ERROR] else ''
    return (
        f'{counts[ERROR]} errors, {counts[WARNING]} warnings, {counts[PASS]} passed, {counts[NOT_RUN]} not run, '
        f'in {seconds:.0f} s{ending}'
    )


def write_report(
    path: Path, config: str, findings: Sequence[Finding], times: Mapping[str, float], seconds: float
) -> None:
    """Everything as JSON; numbers that are not finite become text."""
    content = dict(
        config=config,
        ok=all(finding.status != ERROR for finding in findings),
        seconds=seconds,
        seconds_by_check=dict(times),
        machine=dict(torch=torch.__version__, device=get_device(), python=platform.python_version()),
        findings=[asdict(finding) for finding in findings],
    )
    write_json(path, _json(content))


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
