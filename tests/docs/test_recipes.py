"""docs/recipes.md and docs/recipes.json: every recipe is in them, with what was counted."""

import json
from pathlib import Path

import pytest

from mmext.analysis.published import read_published
from mmext.analysis.recipe_page import recipe_page
from mmext.analysis.recipe_table import check_recipes, own_recipes, read_counts

ROOT = Path(__file__).resolve().parents[2]
REMEDY = 'python tools/analysis/recipe_table.py --flops --json docs/recipes.json --markdown docs/recipes.md'


@pytest.fixture(scope='module')
def checks():
    rows = read_published()
    rows += own_recipes(rows, ROOT)
    return list(check_recipes(rows, ROOT, counts=read_counts(ROOT / 'docs' / 'recipes.json')))


def test_every_recipe_was_counted(checks):
    assert len(checks) >= 70
    assert [check.row.config for check in checks if check.count is None or check.problem] == [], REMEDY
    entries = json.loads((ROOT / 'docs' / 'recipes.json').read_text(encoding='utf-8'))
    assert [entry['config'] for entry in entries] == [check.row.config for check in checks], REMEDY


def test_the_page_shows_what_was_counted(checks):
    page = ROOT / 'docs' / 'recipes.md'
    assert page.read_text(encoding='utf-8') == recipe_page(checks, page, ROOT), REMEDY
