import math
from itertools import pairwise

import pytest

from mmext.analysis.curve_figure import COLORS, curve_figure, dots, spread
from mmext.analysis.curve_panels import Line, Panel, chosen_metrics, figure_panels
from mmext.analysis.run_curves import Curve, Run


def make_run(label='a', by_epoch=True, **curves):
    return Run(label, (), by_epoch, **curves)


def line(run, *values, **settings):
    return Line(run, 'x', Curve(tuple(range(1, len(values) + 1)), values), **settings)


def test_what_is_in_a_figure():
    panel = Panel('cls', (line(0, 1.0, 2.0, 3.0), line(1, 3.0, math.nan, 1.0)), (1.5,))
    figure = curve_figure([panel, panel], [make_run('a'), make_run('b')])
    axes = figure.axes[0]
    assert axes.get_title(loc='left') == 'cls'
    assert [text.get_text() for text in axes.texts] == ['1.00', '3.00']
    lines = {entry.get_color(): entry for entry in axes.get_lines()}
    assert list(lines[COLORS[0]].get_xydata().ravel()) == [1, 1, 2, 2, 3, 3]
    assert list(lines['0.55'].get_xdata()) == [1.5, 1.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['a', 'b', 'change of stage']


def test_names_stand_beside_the_lines_of_a_single_panel():
    figure = curve_figure([Panel('lr', (line(0, 1.0), line(1, 2.0)))], [make_run('a'), make_run('b' * 40)])
    assert [text.get_text() for text in figure.axes[0].texts] == ['a 1.00', '2.00']


@pytest.mark.parametrize(
    ('against', 'values', 'scale'),
    [
        ('median', (100.0, 1.0, 1.0), 'log'),
        ('median', (100.0, 99.0, 1.0), 'linear'),
        ('smallest', (100.0, 99.0, 1.0), 'log'),
        (None, (100.0, 1.0, 1.0), 'linear'),
        ('median', (100.0, 1.0, 0.0), 'linear'),
    ],
)
def test_log_scales(against, values, scale):
    (axes,) = curve_figure([Panel('x', (line(0, *values),), log_against=against)], [make_run()]).axes
    assert axes.get_yscale() == scale
    assert axes.get_title(loc='left').endswith('(log scale)') == (scale == 'log')


def test_more_runs_than_colours_differ_in_their_dashes():
    runs = [make_run(str(index)) for index in range(9)]
    figure = curve_figure([Panel('x', tuple(line(index, 1.0, 2.0) for index in range(9)))], runs)
    looks = {(entry.get_color(), str(entry._dash_pattern)) for entry in figure.axes[0].get_lines()}
    assert len(looks) == 9


def test_labels_keep_their_distance():
    assert spread([], 0.1) == []
    assert spread([0.2, 0.8], 0.1) == [0.2, 0.8]
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread([0.98, 1.0], 0.1) == pytest.approx([0.9, 1.0])
    assert spread([0.0, 0.0, 0.15], 0.1) == pytest.approx([0.0, 0.1, 0.2])
    for seed in range(20):
        places = spread(sorted((seed * index * 0.137) % 1 for index in range(6)), 0.1)
        assert all(b - a > 0.1 - 1e-9 for a, b in pairwise(places))
        assert places[0] > -1e-9
        assert places[-1] < 1 + 1e-9


def test_dots():
    nan = math.nan
    assert dots([]) == []
    assert dots([1.0, nan, 2.0]) == [0, 2]
    long = [1.0] * 20
    assert dots(long) == [19]
    long[5] = long[7] = nan
    assert dots(long) == [6, 19]


def test_metrics_by_default():
    curve = Curve((1.0,), (0.5,))
    run = make_run(metrics=dict.fromkeys(('VOC2007/mAP', 'mAP', 'AP.car', 'accuracy/top1'), curve))
    assert chosen_metrics([run]) == ['mAP', 'accuracy/top1']
    unknown = make_run(metrics={f'score{index}': curve for index in range(9)})
    assert chosen_metrics([unknown]) == [f'score{index}' for index in range(6)]
    assert 'train_val' not in figure_panels([run])
