import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmext.analysis.published import Figure, PublishedMacs, PublishedRow
from mmext.analysis.report.run_facts import RunFacts, Start
from mmext.analysis.run_curves import Curve, Run
from mmext.analysis.speed.records import SpeedRecord, Timing
from mmext.analysis.speed.tradeoff_points import FLOPS, LATENCY, MIXED, OWN, PUBLISHED, pareto_front, tradeoff
from mmext.analysis.tradeoff_figure import place_labels, tradeoff_figure, write_csv

ROWS = [
    PublishedRow(
        'one', 'Table 1', 'A', 'configs/a.py', {'mIoU': Figure('0.5', 'share'), 'latency': Figure('34', 'ms')}
    ),
    PublishedRow('one', 'Table 1', 'B', 'configs/b.py', {'mIoU': Figure('60.25', '%'), 'speed': Figure('20', 'FPS')}),
    PublishedRow('one', 'Table 2', 'C', 'configs/c.py', {'mAcc': Figure('60', '%')}),
    PublishedRow(
        'two', 'Table 1', 'D', 'configs/d.py', {'mIoU': Figure('70', '%')}, PublishedMacs(10.0, (8, 8), 'decimals')
    ),
]


def record(config: str, **change) -> SpeedRecord:
    values = dict(network=Timing(50.0, 60.0, 20.0, 3), macs=11_000_000_000, device_name='processor', threads=2)
    base = SpeedRecord(config, (512, 1024), 1, 'cpu', 'fp32', False, False, '2026-01-01T00:00:00+00:00')
    return replace(base, **(values | change))


def run(label: str, config_name: str, miou: float, path: Path = Path('work_dirs/x')) -> RunFacts:
    start = Start(path, True, {'default_scope': 'mmseg', 'train_cfg': {'max_iters': 1}})
    curves = Run(label, (), False, metrics={'mIoU': Curve((1.0, 2.0), (1.0, miou))})
    return RunFacts(path, label, config_name, (start,), curves)


def test_published_measured_and_own_points_say_what_they_are() -> None:
    runs = [run('mine', 'b', 61.0)]
    found = tradeoff('one', LATENCY, ROWS, [record('configs/a.py'), record('configs/b.py', precision='bf16')], runs)
    points = {(point.name, point.kind): point for point in found.points}
    assert len(points) == len(found.points) == 4
    published = points['A', PUBLISHED]
    assert (published.x, published.y, published.series) == (34, 50, 'published mIoU and latency')
    mixed = points['A', MIXED]
    assert (mixed.x, mixed.y) == (50, 50)
    assert mixed.series == 'published mIoU, latency measured here: processor, 2 threads, fp32, 512 x 1024'
    assert (mixed.y_source, mixed.x_source) == ('one, Table 1', 'configs/a.py, fp32, 2026-01-01T00:00:00+00:00')
    # A rate is no latency: B has only what was measured here.
    assert points['B', MIXED].x == 50
    (own,) = [point for point in found.points if point.kind == OWN]
    # The recipe of this row cannot be read, so that the run is no reproduction of it.
    assert (own.name, own.y, own.y_source) == ('mine (other settings)', 61, 'work_dirs/x')
    assert found.left_out == ('C: no published mIoU',)


def test_runs_that_are_no_recipe_of_the_report_say_so() -> None:
    runs = [run('tried', 'mine', 20.0), run('small', 'a_sample-8x8', 30.0)]
    found = tradeoff('one', LATENCY, ROWS, [record('mine.py'), record('a_sample-8x8.py')], runs)
    assert [point.name for point in found.points[1:]] == ['tried (not in the report)', 'small (sample data)']


def test_what_lacks_a_number_is_left_out_by_name() -> None:
    records = [
        record('configs/a.py', batch=8),
        record('configs/a.py', error='out of memory', network=None),
        record('configs/other.py'),
    ]
    found = tradeoff('one', LATENCY, ROWS, records, [run('mine', 'nowhere', 1.0), run('none', 'a', float('nan'))])
    assert [point.kind for point in found.points] == [PUBLISHED]
    assert set(found.left_out) == {
        'C: no published mIoU',
        'B: no latency, neither published nor measured here',
        'a: batch 8, drawn is batch 1',
        'other: no published row of one and no run',
        'run mine: no latency measured for nowhere',
        'run none: no mIoU in it',
    }


def test_multiply_adds_are_published_or_counted_once() -> None:
    found = tradeoff('two', FLOPS, ROWS, [record('configs/d.py')])
    (point,) = found.points
    assert (point.x, point.y, point.kind) == (10, 70, PUBLISHED)
    assert found.left_out == ('D: 11.000 G counted here (+10.00%); the published count is drawn',)
    records = [record('configs/a.py'), record('configs/a.py', precision='bf16'), record('configs/b.py', batch=8)]
    found = tradeoff('one', FLOPS, ROWS, records)
    assert [(point.name, point.x, point.kind) for point in found.points] == [('A', 11, MIXED), ('B', 11, MIXED)]
    assert found.points[0].series == 'published mIoU, FLOPs counted here: 512 x 1024'


def test_latencies_that_were_not_stable_are_told() -> None:
    busy = record('configs/b.py', notes=('the machine was busy: load 9 on 2 cores at the beginning', 'else'))
    unread = record('configs/other.py', stable=False)
    found = tradeoff('one', LATENCY, ROWS, [record('configs/a.py', stable=False), busy, unread])
    assert found.doubts == (
        'a, fp32: its times were not stable',
        'b, fp32: the machine was busy: load 9 on 2 cores at the beginning',
    )
    assert tradeoff('one', LATENCY, ROWS, [record('configs/a.py', stable=True)]).doubts == ()
    assert tradeoff('one', FLOPS, ROWS, [busy]).doubts == ()


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match='--report three: no published row'):
        tradeoff('three', LATENCY, ROWS, [])
    with pytest.raises(ValueError, match=r'nothing of report two .* left out: D: no latency'):
        tradeoff('two', LATENCY, ROWS, [])


def test_the_newest_measurement_counts() -> None:
    found = tradeoff('one', LATENCY, ROWS, [record('configs/b.py'), record('configs/b.py', network=Timing(9, 9, 9, 9))])
    assert [point.x for point in found.points if point.name == 'B'] == [9]


def test_pareto_front_by_hand_and_by_definition() -> None:
    assert pareto_front([(1, 1), (2, 3), (3, 2), (4, 4), (2, 3)]) == [0, 1, 3]
    assert pareto_front([]) == []
    assert pareto_front([(1, 1), (1, 2)]) == [1]
    generator = np.random.default_rng(0)
    for _ in range(20):
        points = [tuple(pair) for pair in generator.integers(0, 12, (15, 2)).tolist()]
        better = {
            point
            for point in points
            if not any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in points)
        }
        front = pareto_front(points)
        assert {points[place] for place in front} == better
        assert len(front) == len(better)


def overlap(a: tuple, b: tuple) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize('seed', range(5))
def test_labels_cover_neither_each_other_nor_points(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = [tuple(pair) for pair in generator.uniform((60, 60), (540, 340), (15, 2))]
    points += [(points[0][0] + 1, points[0][1] + 1), points[1]]
    sizes = [(generator.uniform(20, 100), 10.0) for _ in points]
    corners = place_labels(points, sizes, (0, 0, 600, 400), 4)
    boxes = [(x, y, x + size[0], y + size[1]) for (x, y), size in zip(corners, sizes, strict=True)]
    markers = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for place, box in enumerate(boxes):
        assert min(box) >= 0
        assert box[2] <= 600
        assert box[3] <= 400
        assert not any(overlap(box, other) for other in boxes[:place] + markers)


def test_a_lone_label_stands_to_the_right_or_where_there_is_room() -> None:
    assert place_labels([(50, 50)], [(20, 10)], (0, 0, 100, 100), 4) == [(57, 45)]
    assert place_labels([(95, 50)], [(20, 10)], (0, 0, 100, 100), 4) == [(68, 45)]
    # A line to the right of the point pushes it to the left.
    line = [(x, 50.0) for x in range(56, 80)]
    assert place_labels([(50, 50)], [(20, 10)], (0, 0, 100, 100), 4, line) == [(23, 45)]
    assert place_labels([], [], (0, 0, 1, 1), 1) == []


@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_kinds_differ_in_shape_and_legend(theme: str) -> None:
    found = tradeoff('one', LATENCY, ROWS, [record('configs/a.py')], [run('mine', 'a', 55.0)])
    figure = tradeoff_figure(found, 'title', theme)
    (legend,) = figure.legends
    handles = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    styles = {}
    for point in found.points:
        line = handles[point.series]
        styles[point.kind] = line.get_marker(), line.get_fillstyle()
        hollow = line.get_markerfacecolor() == figure.axes[0].get_facecolor()
        assert not hollow or point.kind == PUBLISHED
    assert styles == {PUBLISHED: ('o', 'full'), MIXED: ('D', 'left'), OWN: ('s', 'full')}
    assert handles['published mIoU and latency'].get_markerfacecolor() != handles[found.points[-1].series].get_color()
    names = sorted(text.get_text() for text in figure.axes[0].texts)
    assert names == ['A', 'A', 'mine (other settings)']
    assert legend.get_title().get_text() == 'title'
    dark = sum(figure.get_facecolor()[:3]) < 1
    assert dark == (theme == 'dark')


def test_one_point_is_a_figure_and_wide_costs_are_logarithmic() -> None:
    one = tradeoff('one', LATENCY, ROWS, [])
    assert tradeoff_figure(one).axes[0].get_xscale() == 'linear'
    wide = tradeoff('one', LATENCY, ROWS, [record('configs/b.py', network=Timing(5000, 1, 1, 1))])
    axes = tradeoff_figure(wide).axes[0]
    assert axes.get_xscale() == 'log'
    assert 'log scale' in axes.get_xlabel()


def test_the_numbers_stand_beside_the_picture(tmp_path: Path) -> None:
    found = tradeoff('one', LATENCY, ROWS, [record('configs/a.py')])
    write_csv(found, tmp_path / 'a.csv')
    rows = list(csv.DictReader((tmp_path / 'a.csv').read_text().splitlines()))
    assert [(row['name'], row['latency_ms'], row['miou_percent'], row['kind']) for row in rows[:2]] == [
        ('A', '34', '50', PUBLISHED),
        ('A', '50', '50', MIXED),
    ]
    assert rows[1]['source_of_cost'] == 'configs/a.py, fp32, 2026-01-01T00:00:00+00:00'
    assert [row['left_out'] for row in rows[2:]] == list(found.left_out)
