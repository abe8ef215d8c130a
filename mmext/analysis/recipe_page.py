"""The recipes as a Markdown page, a table for each report: published figures, ours, parameters and multiply-adds."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmext.analysis.published import Figure
from mmext.analysis.recipe_table import OWN, RecipeCheck, size_text
from mmext.analysis.report.matching import REPRODUCTION, Match, printed

NOT_TRAINED = 'not trained here'
# Report -> what its table is of; others are titled by their names.
TITLES = {
    'kitti': 'KITTI-seg',
    'context': 'Cityscapes, contexts beside each other',
    'dlcv': 'Land cover, and 50 classes of pictures',
    'street-voc-vit': 'Streets, VOC07+12 split, CIFAR-100',
    'vit-pets': 'Cats and dogs',
    OWN: 'Recipes of our own, without a published figure',
}
LEAD = """# Recipes

Every row of the reports' tables with its recipe. Published figures are claims of the reports. Parameters, without
auxiliary heads, and GMACs (1e9 multiply-adds of one image of height x width, which the reports call FLOPs) are counted
on models built from the configs: by `tools/get_flops.py` for one config, and for this page by

```shell
python tools/analysis/recipe_table.py --flops --json docs/recipes.json --markdown docs/recipes.md
```
"""


def recipe_page(checks: Sequence[RecipeCheck], file: Path, root: Path, ours: Mapping[str, str] | None = None) -> str:
    """The whole page.

    Args:
        checks: Of `check_recipes`.
        file: Where the page will be, for its links.
        root: Folder that holds configs/.
        ours: Config -> scores of runs that reproduce its row, in words; the others say that they were not trained.
    """
    parts = [LEAD]
    for report in dict.fromkeys(check.row.report for check in checks):
        own = [check for check in checks if check.row.report == report]
        lines = _own_lines(own, file, root) if report == OWN else _lines(own, file, root, ours or {})
        parts.append(f'## {TITLES.get(report, report)}\n\n' + '\n'.join(lines) + '\n')
    return '\n'.join(parts)


def reproduced_scores(matches: Sequence[Match]) -> dict[str, str]:
    """Config -> final scores, under the published names, of the runs that reproduce its row."""
    found: dict[str, list[str]] = {}
    for match in matches:
        if match.verdict != REPRODUCTION:
            continue
        scores = {name: match.ours(name) for name in match.row.metrics}
        texts = [
            f'{name} {Figure(printed(score.last, match.row.metrics[name]), match.row.metrics[name].unit)}'
            for name, score in scores.items()
            if score
        ]
        if texts:
            found.setdefault(match.row.config, []).append(f'{", ".join(texts)} (`{match.run.label}`)')
    return {config: '; '.join(texts) for config, texts in found.items()}


def _lines(checks: Sequence[RecipeCheck], file: Path, root: Path, ours: Mapping[str, str]) -> list[str]:
    lines = ['| recipe | published | ours | params | GMACs | GMACs published |', '| --- |' + ' --- |' * 5]
    notes = [note for note in dict.fromkeys(check.cells()['note'] for check in checks) if note != '-']
    for check in checks:
        cells = check.cells()
        mark = f' <sup>{notes.index(cells["note"]) + 1}</sup>' if cells['note'] in notes else ''
        name, reached = _link(check.row.model, check, file, root), ours.get(check.row.config, NOT_TRAINED)
        lines.append(_line([name, f'{cells["published"]}{mark}', reached, *_counts(check), _published(check)]))
    return [*lines, '', *(f'{number}. {note}' for number, note in enumerate(notes, start=1))] if notes else lines


def _own_lines(checks: Sequence[RecipeCheck], file: Path, root: Path) -> list[str]:
    lines = ['| recipe | params | GMACs |', '| --- |' + ' --- |' * 2]
    return [*lines, *(_line([_link(check.row.model, check, file, root), *_counts(check)]) for check in checks)]


def _line(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cells) + ' |'


def _link(text: str, check: RecipeCheck, file: Path, root: Path) -> str:
    path = Path(os.path.relpath(root / check.row.config, file.parent)).as_posix()
    return f'[{text.replace("|", chr(92) + "|")}]({path})'


def _counts(check: RecipeCheck) -> list[str]:
    cells = check.cells()
    return [cells['params'], cells['GMACs']]


def _published(check: RecipeCheck) -> str:
    macs = check.row.macs
    if macs is None:
        return '-'
    same = check.count is not None and check.count.size_hw == macs.size_hw
    return f'{macs.gmacs:g}' if same else f'{macs.gmacs:g} at {size_text(macs.size_hw)}'
