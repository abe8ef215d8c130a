"""What the page of recipes says of runs; the page itself: tests/tools/test_recipe_table.py."""

from mmext.analysis.published import read_published
from mmext.analysis.recipe_page import reproduced_scores
from mmext.analysis.report.matching import match_runs
from mmext.analysis.report.run_reader import read_all

STEM = 'toy_1xb4-100i_roads-8x6'


def test_reproductions_are_told_as_the_row_prints_its_figures_others_are_not(project, make_run):
    whole = make_run('whole', {50: {'mIoU': 52.0, 'aAcc': 81.0}, 100: {'mIoU': 51.25, 'aAcc': 79.5}})
    half = make_run('half', {50: {'mIoU': 52.0}}, last=50)
    matches = match_runs(read_all([whole, half]), read_published(project / 'published.yml'), project)
    scores = reproduced_scores(matches)
    assert scores == {f'configs/toy/{STEM}.py': 'mIoU 0.5125, aAcc 79.50 % (`whole`)'}
