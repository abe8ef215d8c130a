"""Puts a page of results together: the reports' tables, every run, runs beside each other, measurements of speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmext.analysis.published import PublishedRow
from mmext.analysis.recipe_table import recipe_files

from .class_tables import OF_CLASS, class_evaluations, class_table
from .costs import Costs
from .document import NOTHING, Cell, Document, Notes, Part, Table
from .experiment_tables import Links, report_parts, run_cell
from .figures import curve_plots, drawn_plots, sample_gallery
from .matching import Match
from .run_facts import RunFacts, Score, Start
from .speed_table import speed_part, speed_table

LEAD = (
    'Published figures are claims of the reports. Ours are those of the last validation; a difference is given only '
    'where a run has the settings of the recipe, its data, and went to its end. Rest the pointer on a number, or '
    'follow its run, to see where it comes from.'
)
NOT_RECORDED = Cell('not recorded')


@dataclass(frozen=True)
class Results:
    """What a page is made of.

    Attributes:
        rows: Published.
        runs: Given.
        matches: Of `mmext.analysis.report.matching.match_runs`.
        costs: Measurements and counts.
        configs: Label of a run -> path of its recipe, where it has one.
    """

    rows: Sequence[PublishedRow]
    runs: Sequence[RunFacts]
    matches: Sequence[Match]
    costs: Costs
    configs: Mapping[str, str]


def find_configs(runs: Sequence[RunFacts], rows: Sequence[PublishedRow], root: Path) -> dict[str, str]:
    """Label of a run -> path of the recipe of that name, relative to ``root``; runs without one are left out."""
    paths = {Path(row.config).stem: row.config for row in rows}
    for file in recipe_files(root):
        paths.setdefault(file.stem, file.relative_to(root).as_posix())
    return {run.label: paths[run.config_name] for run in runs if run.config_name in paths}


def build_document(results: Results, links: Links) -> Document:
    """Everything, in the order of reading."""
    document = Document('Results', LEAD)
    if results.runs:
        document.parts.append(_overview(results, links))
    document.parts += report_parts(results.rows, results.matches, results.costs, links)
    document.parts += _groups(results)
    document.parts += [_run_part(run, results, links) for run in results.runs]
    if results.costs.speed:
        document.parts.append(speed_part(results.costs.speed, links))
    return document


def _overview(results: Results, links: Links) -> Part:
    columns = ('run', 'score', 'last', 'best', 'state', 'published row', 'seed', 'config')
    rows = []
    for run in results.runs:
        own = [match for match in results.matches if match.run is run]
        verdict = ', '.join(f'{match.verdict}: {match.row.report}, {match.row.model}' for match in own)
        main = main_score(run)
        last, best = _score_cells(run, main) if main else (NOTHING, NOTHING)
        state = Cell(f'{run.status}{", sample" if run.is_sample else ""}')
        of_row = Cell(verdict, source='; '.join(own[0].reasons)) if own else NOTHING
        seed = Cell(run.seed, code=True) if run.seed else NOT_RECORDED
        name = Cell(main, code=True) if main else NOTHING
        config = _config_cell(run, results, links)
        rows.append([run_cell(run.label), name, last, best, state, of_row, seed, config])
    return Part('Runs', blocks=[Table(columns, rows, 'runs')])


def main_score(run: RunFacts) -> str:
    """The score that a task is judged by; '' if the run has none."""
    wanted = ('mIoU', 'mAP', 'pascal_voc/mAP', 'accuracy/top1')
    others = [name for name in run.scores if name != 'loss' and '.' not in name]
    return next((name for name in wanted if name in run.scores), others[0] if others else '')


def _groups(results: Results) -> list[Part]:
    """Runs of one config beside each other, such as those with several seeds."""
    parts = []
    for name in dict.fromkeys(run.config_name for run in results.runs if run.config_name):
        group = [run for run in results.runs if run.config_name == name]
        if len(group) < 2:
            continue
        part = Part('Runs of', name=name)
        scores = list(dict.fromkeys(score for run in group for score in run.scores if '.' not in score))
        rows = [
            [
                run_cell(run.label),
                Cell(run.seed, code=True) if run.seed else NOT_RECORDED,
                Cell(run.status),
                *(_score_cells(run, score)[0] if score in run.scores else NOTHING for score in scores),
            ]
            for run in group
        ]
        part.blocks.append(
            Table(('run', 'seed', 'state', *scores), rows, f'runs of {name}', 'Scores of the last validation')
        )
        drawn = [run.curves for run in group if run.curves]
        if len(drawn) > 1 and len({curves.by_epoch for curves in drawn}) == 1:
            part.blocks += curve_plots(drawn, f'{name}-runs', ['metrics'])
        parts.append(part)
    return parts


def _run_part(run: RunFacts, results: Results, links: Links) -> Part:
    part, notes = Part('Run', name=run.label), list(run.notes)
    part.blocks.append(_facts(run, results, links))
    part.blocks += [Table(*_scores(run))] if run.scores or any(start.tested for start in run.starts) else []
    if run.curves:
        part.blocks += curve_plots([run.curves], run.label)
    part.blocks += [class_table(run, evaluation) for evaluation in class_evaluations(run, notes)]
    part.blocks += drawn_plots(run)
    measured = [record for record in results.costs.speed if record.config == results.configs.get(run.label)]
    if measured:
        part.blocks.append(speed_table(measured, links, f'{run.label}, speed', 'Speed of its network'))
    part.blocks.append(sample_gallery(run) or 'No pictures of predictions were left.')
    reasons = [reason for match in results.matches if match.run is run for reason in match.reasons]
    if reasons:
        part.blocks.insert(0, Notes('Why this is no reproduction', reasons))
    if notes:
        part.blocks.append(Notes('What is missing or odd', list(dict.fromkeys(notes)), 'warning'))
    return part


def _facts(run: RunFacts, results: Results, links: Links) -> Table:
    code = lambda text: Cell(str(text), code=True) if text not in ('', None) else NOT_RECORDED  # noqa: E731
    facts = {
        'config': _config_cell(run, results, links),
        'state': Cell(run.status),
        'data': Cell('embedded samples') if run.is_sample else Cell('as its config says'),
        'starts': code(', '.join(f'{start.folder.name}{_kind(start)}' for start in run.starts)),
        'seed': code(run.seed),
        'data hash': code(run.data_hash),
        'commit': code(run.commit),
        'command': code(run.record.get('command')),
        'device': code(run.record.get('device') or _device(run)),
        'threads': code(run.record.get('threads')),
    }
    versions = dict(run.record.get('versions') or {}) or {
        name: value for name, value in run.environment.items() if name not in ('seed', 'CUDA available', 'platform')
    }
    facts |= {name: code(value) for name, value in versions.items()}
    rows = [[Cell(name), cell, Cell(run.label, code=True)] for name, cell in facts.items()]
    return Table(('what', 'value', 'run'), rows, f'{run.label}, facts', 'How it was made')


def _kind(start: Start) -> str:
    return ' (test)' if start.tested else '' if start.trained else ' (nothing trained)'


def _device(run: RunFacts) -> str:
    graphics = [value for name, value in run.environment.items() if name.startswith('GPU ')]
    if graphics and graphics[0] and run.environment.get('CUDA available') == 'True':
        return graphics[0]
    return 'CPU' if run.environment.get('CUDA available') == 'False' else ''


def _scores(run: RunFacts) -> tuple:
    """Of the last and the best validation and of tests, but for those of classes."""
    tests = [start for start in run.starts if start.tested]
    names = [*run.scores, *(name for start in tests for name in start.tested)]
    names = [name for name in dict.fromkeys(names) if not OF_CLASS.fullmatch(name)]
    rows = []
    for name in names:
        cells = [NOTHING] * 4
        if name in run.scores:
            score = run.scores[name]
            last, best = _score_cells(run, name)
            cells = [last, _at(run, score.last_at), best, _at(run, score.best_at)]
        of_tests = [_tested(run, start, name) for start in tests]
        rows.append([Cell(name, code=True), *cells, *of_tests, Cell(run.label, code=True)])
    columns = ['score', 'last', f'at {run.unit}', 'best', f'at {run.unit} ']
    titles = ['test' if len(tests) == 1 else f'test {chr(ord("A") + index)}' for index in range(len(tests))]
    unit = {'%': 'percent', 'share': 'shares'}.get(run.score_unit)
    caption = f'Scores{f", in {unit}" if unit else ""}; losses are plain'
    return [*columns, *titles, 'run'], rows, f'{run.label}, scores', caption


def _tested(run: RunFacts, start: Start, name: str) -> Cell:
    value = start.tested.get(name)
    if value is None or value != value:
        return NOTHING
    return Cell(_printed(run, name, value), value, f'{run.label}, test {start.folder.name}')


def _at(run: RunFacts, step: float) -> Cell:
    return Cell(f'{step:g}', step, run.label)


def _score_cells(run: RunFacts, name: str) -> tuple[Cell, Cell]:
    score: Score = run.scores[name]
    pairs = (
        (score.last, score.last_at, f'{run.label}, validation'),
        (score.best, score.best_at, f'{run.label}, best validation'),
    )
    last, best = (
        NOTHING if value != value else Cell(_printed(run, name, value), value, f'{of} at {run.unit} {at:g}')
        for value, at, of in pairs
    )
    return last, best


def _printed(run: RunFacts, name: str, value: float) -> str:
    return f'{value:.2f}' if run.score_unit == '%' and 'loss' not in name else f'{value:.4f}'


def _config_cell(run: RunFacts, results: Results, links: Links) -> Cell:
    if not run.config_name:
        return NOT_RECORDED
    path = results.configs.get(run.label)
    return Cell(run.config_name, link=links.config(path) if path else '', code=True)
