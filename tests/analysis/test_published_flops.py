"""Every FLOP figure of the kitti report, counted by a forward pass at the size it was counted at.

About half a minute on an idle core. The report's FLOPs are multiply-adds.
"""

from pathlib import Path

import pytest

from mmext.analysis.published import read_published
from mmext.analysis.recipe_table import check_recipes, read_counts

ROOT = Path(__file__).resolve().parents[2]
KNOWN = read_counts(ROOT / 'docs' / 'recipes.json')
ROWS = [row for row in read_published() if row.macs is not None]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('in_root')]


@pytest.fixture(scope='module')
def counted():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {check.row.config: check for check in check_recipes(ROWS, ROOT, count=True)}
    finally:
        torch.set_num_threads(before)


def test_all_figures_of_table_1_are_checked():
    checked = {(row.macs.gmacs, row.macs.size_hw) for row in ROWS if row.macs.tolerance != 'unexplained'}
    at_375 = (15.579, 50.633, 150, 97.213, 459, 97.193, 316, 455, 79.472, 67.003)
    assert checked == {(value, (375, 1242)) for value in at_375} | {(356, (368, 1248))}
    for row in ROWS:
        assert (row.macs.tolerance == 'decimals') == (row.macs.gmacs != int(row.macs.gmacs))


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.model)
def test_figure(row, counted):
    check = counted[row.config]
    assert not check.problem
    assert check.count == KNOWN[row.key], 'docs/recipes.json is older than the recipe'
    if row.macs.tolerance == 'decimals':  # stricter than the tolerance: all three decimals
        assert f'{check.count.macs / 1e9:.3f}' == f'{row.macs.gmacs:.3f}'
    elif row.macs.tolerance == 'rounded':
        assert abs(check.count.macs / 1e9 / row.macs.gmacs - 1) <= 0.01
    else:
        assert row.macs.gmacs == 99
        assert f'{check.count.macs / 1e9:.3f}' == '97.213'
