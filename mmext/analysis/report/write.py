"""Writes a page of results as HTML, Markdown and CSV, and checks every number on it."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmext.analysis.published import PublishedRow
from mmext.common.files import replacing, write_text

from .as_html import render_html
from .as_markdown import PICTURES, render_csv, render_markdown
from .class_tables import class_evaluations
from .content import Results, build_document, find_configs
from .costs import Costs
from .experiment_tables import Links
from .known_numbers import Known, KnownNumbers, published_numbers, run_numbers, speed_numbers
from .matching import Match, match_runs, spread
from .number_check import Problem, check_file
from .run_facts import RunFacts

NAMES = ('report.html', 'report.md', 'report.csv')


@dataclass(frozen=True)
class Written:
    """Files that were written, and what is known for checking others."""

    files: tuple[Path, ...]
    problems: tuple[Problem, ...]
    known: KnownNumbers


def write_report(
    runs: Sequence[RunFacts],
    rows: Sequence[PublishedRow],
    costs: Costs,
    out: str | Path,
    root: str | Path = '.',
    chosen: Mapping[str, str] | None = None,
    extra: Sequence[Known] = (),
) -> Written:
    """Write ``report.html``, ``report.md`` with its pictures, and ``report.csv``, and check what was written.

    Args:
        runs: Of `read_all`.
        rows: Published.
        costs: Measurements and counts.
        out: Folder; made if missing.
        root: Folder that the paths of the published configs are relative to.
        chosen: As of `match_runs`.
        extra: Further known numbers.

    Raises:
        RowError: as `match_runs`.
        OSError: it cannot be written.
    """
    out, root = Path(out), Path(root)
    matches = match_runs(runs, rows, root, chosen)
    results = Results(rows, runs, matches, costs, find_configs(runs, rows, root))
    document = build_document(results, Links(root.resolve(), out.resolve()))
    text, pictures = render_markdown(document)
    # Pictures of an earlier page would stay behind for ever.
    shutil.rmtree(out / PICTURES, ignore_errors=True)
    for name, content in pictures.items():
        with replacing(out / name) as unfinished:
            unfinished.write_bytes(content)
    files = tuple(out / name for name in NAMES)
    for file, content in zip(files, (render_html(document), text, render_csv(document.tables)), strict=True):
        write_text(file, content)
    known = KnownNumbers([*known_numbers(results), *extra])
    problems = [problem for file in files[:2] for problem in check_file(file, known)]
    return Written(files, tuple(problems), known)


def known_numbers(results: Results) -> list[Known]:
    """Everything that the published list, the runs and the measurements hold, and what follows from it."""
    configs = {match.run.label: match.row.config for match in results.matches} | dict(results.configs)
    known = [
        *published_numbers(results.rows),
        *run_numbers(results.runs, configs),
        *speed_numbers(results.costs.speed),
        *_differences(results.matches),
        *_counted(results),
    ]
    for run in results.runs:
        about = frozenset(filter(None, [run.label, configs.get(run.label)]))
        for evaluation in class_evaluations(run, []):
            for name, scores in evaluation.values.items():
                known += [
                    Known(value, f'{run.label}: {kind} of {name}', about, evaluation.unit, detail=True)
                    for kind, value in scores.items()
                ]
    return known


def _differences(matches: Sequence[Match]) -> list[Known]:
    known = []
    for match in matches:
        own = [other for other in matches if other.row is match.row]
        about = frozenset([match.row.config, match.run.label])
        for name, figure in match.row.metrics.items():
            ours, source = match.ours(name), f'{match.run.label}: {name}'
            if ours is not None:
                known += [Known(value, source, about, figure.unit) for value in (ours.last, ours.best)]
            if (delta := match.delta(name)) is not None:
                known.append(Known(delta, f'{source} minus the published one', about, figure.unit))
            if average := spread(own, name):
                values = (average.mean, average.deviation, average.mean - figure.value, average.runs)
                known += [Known(value, f'{source}, mean of runs', about, figure.unit) for value in values]
    return known


def _counted(results: Results) -> Iterator[Known]:
    costs = results.costs
    for row in results.rows:
        about = frozenset([row.config])
        if gmacs := costs.gmacs(row):
            yield Known(gmacs[0], f'GMACs of {gmacs[1]}', about)
        if params := costs.params(row):
            yield Known(params[0], f'M parameters of {params[1]}', about)
    for row, what, difference in costs.differences(results.rows):
        yield Known(difference, f'counted minus published {what}', frozenset([row.config]))
