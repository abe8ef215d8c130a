import csv

import numpy as np
import pytest
from PIL import Image

from mmext.common.confusion_figure import confusion_figure, row_shares, save_confusion

CONFUSION = np.array([[90, 10, 0], [5, 5, 0], [0, 0, 0]])
CLASSES = ['road', 'traffic light', 'train']


def test_rows_add_up_to_one_or_are_undefined():
    shares = row_shares(CONFUSION)
    np.testing.assert_allclose(shares[:2], [[0.9, 0.1, 0], [0.5, 0.5, 0]])
    assert np.isnan(shares[2]).all()


def test_figure_shows_names_and_percentages():
    axes = confusion_figure(CONFUSION, CLASSES, 'title').axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == CLASSES
    assert [label.get_text() for label in axes.get_xticklabels()] == CLASSES
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): '90', (1, 0): '10', (0, 1): '50', (1, 1): '50'}
    np.testing.assert_allclose(axes.images[0].get_array()[:2], 100 * row_shares(CONFUSION)[:2])


def test_many_classes_have_no_numbers():
    axes = confusion_figure(np.eye(40, dtype=int), [str(c) for c in range(40)]).axes[0]
    assert len(axes.texts) == 0


def test_picture_and_counts_are_written(tmp_path):
    save_confusion(tmp_path / 'new' / 'matrix.png', CONFUSION, CLASSES)
    with Image.open(tmp_path / 'new' / 'matrix.png') as picture:
        assert np.asarray(picture.convert('L')).std() > 10
    rows = list(csv.reader((tmp_path / 'new' / 'matrix.csv').open()))
    assert rows[0][1:] == [row[0] for row in rows[1:]] == CLASSES
    assert [[int(value) for value in row[1:]] for row in rows[1:]] == CONFUSION.tolist()


def test_shape_must_fit():
    with pytest.raises(ValueError, match=r'\(3, 3\) for 2 classes: expected \(2, 2\)'):
        confusion_figure(CONFUSION, CLASSES[:2])
