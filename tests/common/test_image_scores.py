import json
import os

import numpy as np
import pytest

from mmext.common.confusion_scores import class_counts
from mmext.common.image_scores import (
    dense,
    find_image_scores,
    read_image_scores,
    sparse,
    write_image_scores,
)

CLASSES = ['road', 'sky', 'car']


def matrices(num=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9, (num, 3, 3)) * rng.integers(0, 2, (num, 3, 3)) + np.diag([0, 1, 0])


def write(path, images, confusions):
    write_image_scores(path, CLASSES, [(image, sparse(c)) for image, c in zip(images, confusions, strict=True)])
    return path


def test_sparse_and_back():
    confusion = np.array([[5, 0], [2, 0]])
    assert sparse(confusion).tolist() == [[0, 0, 5], [1, 0, 2]]
    for confusion in (*matrices(), np.zeros((3, 3), int)):
        np.testing.assert_array_equal(dense(sparse(confusion), 3), confusion)


def test_one_line_an_image_and_back(tmp_path):
    confusions = matrices()
    path = write(tmp_path / 'new' / 'x.jsonl', ['/d/a/1.png', '/d/a/2.png', '/d/b/1.png', '/d/b/é.png'], confusions)
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    assert [row['image'] for row in rows] == ['/d/a/1.png', '/d/a/2.png', '/d/b/1.png', '/d/b/é.png']
    for row, confusion in zip(rows, confusions, strict=True):
        hits, union = np.diag(confusion), confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        assert row['mIoU'] == pytest.approx(100 * np.mean(hits[union > 0] / union[union > 0]))
    scores = read_image_scores(path)
    assert scores.images == ('a/1.png', 'a/2.png', 'b/1.png', 'b/é.png')
    assert scores.classes == tuple(CLASSES)
    for found, expected in zip(scores.counts, class_counts(confusions), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [entry.name for entry in path.parent.iterdir()] == ['x.jsonl']


def test_an_image_without_labels_has_no_score(tmp_path):
    path = write(tmp_path / 'x.jsonl', ['a.png'], np.zeros((1, 3, 3), int))
    assert json.loads(path.read_text()) == dict(image='a.png', mIoU=None, classes=CLASSES, confusion=[])
    assert read_image_scores(path).images == ('a.png',)


def test_classes_outside_of_the_mean_are_told(tmp_path):
    path, confusion = tmp_path / 'x.jsonl', np.array([[3, 1, 0], [0, 4, 0], [0, 5, 5]])
    write_image_scores(path, CLASSES, [('a.png', sparse(confusion))], ['car'])
    assert json.loads(path.read_text())['mIoU'] == pytest.approx(100 * (3 / 4 + 4 / 10) / 2)
    assert read_image_scores(path).not_in_mean == ('car',)


def test_newest_file_of_a_run_is_found(tmp_path):
    for age, name in enumerate(['b/image_scores_val.jsonl', 'a/image_scores_test.jsonl', 'b/other.jsonl']):
        path = write(tmp_path / name, ['a.png'], matrices(1))
        os.utime(path, (100 - age, 100 - age))
    assert find_image_scores(tmp_path) == tmp_path / 'b/image_scores_val.jsonl'
    assert find_image_scores(tmp_path / 'a') == tmp_path / 'a/image_scores_test.jsonl'
    assert find_image_scores(tmp_path / 'b/other.jsonl') == tmp_path / 'b/other.jsonl'
    with pytest.raises(
        FileNotFoundError, match=r'gone: neither a file nor a folder that holds image_scores_\{val,test'
    ):
        find_image_scores(tmp_path / 'gone')


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('{"loss": 1}', r'x\.jsonl:2: not a line of per-image scores'),
        ('not json', r'x\.jsonl:2: not a line'),
        ('{"image": "b.png", "classes": ["road"], "confusion": [[0, 3, 1]]}', r'x\.jsonl:2: not a line'),
        ('{"image": "b.png", "classes": ["road"], "confusion": []}', r'x\.jsonl:2: classes .*differ'),
        ('{"image": "a.png", "classes": ["road", "sky", "car"], "confusion": []}', r'x\.jsonl:2: a\.png occurs twice'),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, reason):
    path = write(tmp_path / 'x.jsonl', ['a.png'], matrices(1))
    with path.open('a') as file:
        file.write(line + '\n')
    with pytest.raises(ValueError, match=reason):
        read_image_scores(path)


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / 'x.jsonl').touch()
    with pytest.raises(ValueError, match=r'x\.jsonl: holds no image'):
        read_image_scores(tmp_path / 'x.jsonl')
