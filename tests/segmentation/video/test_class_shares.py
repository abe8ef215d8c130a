import csv

import numpy as np
import pytest

from mmext.segmentation.video import class_shares as module
from mmext.segmentation.video.class_shares import class_shares, draw_timeline, flicker, read_courses, timeline_figure

CLASSES = ('road', 'sky', 'car')
PALETTE = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]


def test_shares_by_hand():
    labels = np.array([[0, 0, 1, 2], [0, 0, 1, 1]], np.uint8)
    np.testing.assert_array_equal(class_shares(labels, 4), [0.5, 0.375, 0.125, 0])


def test_shares_are_those_of_numpy():
    labels = np.random.default_rng(0).integers(0, 19, (321, 457), dtype=np.uint8)
    expected = np.bincount(labels.ravel(), minlength=19) / labels.size
    np.testing.assert_allclose(class_shares(labels, 19), expected, rtol=1e-12)


def test_single_pixels_count_in_pictures_of_20_megapixels():
    labels = np.zeros((4000, 5000), np.uint8)
    labels[-1, -1] = 1
    np.testing.assert_array_equal(class_shares(labels, 2) * labels.size, [labels.size - 1, 1])


def test_flicker():
    labels = np.array([[0, 1], [2, 0]], np.uint8)
    assert flicker(labels, None) is None
    assert flicker(labels, labels.copy()) == 0
    assert flicker(labels, np.array([[0, 1], [2, 1]], np.uint8)) == 0.25
    assert flicker(labels, labels + 1) == flicker(labels + 1, labels) == 1


def write_table(path, rows) -> None:
    with path.open('w', newline='') as file:
        table = csv.writer(file)
        table.writerow(['frame', 'source_frame', 'second', 'model', 'flicker', *CLASSES])
        table.writerows(rows)


def test_a_course_by_hand(tmp_path):
    rows = []
    for frame, (changed, shares) in enumerate([('', (1, 0, 0)), (0.2, (0.5, 0.5, 0)), (0.4, (0, 1, 0))]):
        rows += [(frame + 1, frame + 1, frame / 10, 'a', changed, *shares), (frame + 1, frame + 1, 0, 'b', '', 0, 0, 1)]
    write_table(tmp_path / 't.csv', rows)
    courses = read_courses(tmp_path / 't.csv', ['a', 'b'], CLASSES)
    assert courses['a'].mean_flicker == pytest.approx(0.3)
    np.testing.assert_allclose(courses['a'].seconds, [0, 0.1, 0.2])
    np.testing.assert_allclose(courses['a'].flicker, [np.nan, 0.2, 0.4])
    np.testing.assert_allclose(courses['a'].mean_shares, [0.5, 0.5, 0])
    assert courses['b'].mean_flicker is None


def test_long_tables_are_averaged_to_a_limited_number_of_points(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'FIGURE_POINTS', 8)
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], 101)
    changed = rng.random(101)
    rows = [(k + 1, k + 1, k / 25, 'a', changed[k] if k else '', *shares[k]) for k in range(101)]
    write_table(tmp_path / 't.csv', rows)
    course = read_courses(tmp_path / 't.csv', ['a'], CLASSES)['a']
    assert 8 <= len(course.seconds) <= 16
    np.testing.assert_allclose(course.mean_shares, shares.mean(axis=0), rtol=1e-6)
    assert course.mean_flicker == pytest.approx(changed[1:].mean(), rel=1e-6)
    # Bins of eight frames.
    np.testing.assert_allclose(course.shares[1], shares[8:16].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(course.seconds[1], np.mean(np.arange(8, 16)) / 25)


def test_the_figure_shows_the_classes_there_are(tmp_path):
    write_table(tmp_path / 't.csv', [(k + 1, k + 1, k, 'a', 0.1 if k else '', 0.75, 0.25, 0) for k in range(4)])
    courses = draw_timeline(tmp_path / 't.csv', tmp_path / 't.png', ['a'], CLASSES, PALETTE)
    figure = timeline_figure(courses, CLASSES, PALETTE)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['road', 'sky']
    assert [axes.get_title(loc='left')[:7] for axes in figure.axes] == ['a', 'Flicker']
    assert (tmp_path / 't.png').stat().st_size > 5000


def test_a_single_frame(tmp_path):
    write_table(tmp_path / 't.csv', [(1, 1, 0, 'a', '', 1, 0, 0)])
    assert draw_timeline(tmp_path / 't.csv', tmp_path / 't.png', ['a'], CLASSES, PALETTE)['a'].mean_flicker is None
