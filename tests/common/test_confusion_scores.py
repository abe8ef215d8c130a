import numpy as np
import pytest

from mmext.common.confusion_scores import (
    CLASS_SCORES,
    SCORES,
    class_counts,
    class_keys,
    class_scores,
    mean_where_defined,
    merge_classes,
    percent,
    score,
)

# rows: truth; class 2 is predicted but never true, class 3 neither
BY_HAND = np.array([[6, 1, 1, 0], [2, 10, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_by_hand():
    counts = class_counts(BY_HAND)
    assert [values.tolist() for values in counts] == [[6, 10, 0, 0], [8, 12, 0, 0], [8, 11, 1, 0]]
    nan = np.nan
    expected = {
        'IoU': [6 / 10, 10 / 13, 0, nan],
        'Acc': [6 / 8, 10 / 12, nan, nan],
        'Dice': [12 / 16, 20 / 23, 0, nan],
        'Fscore': [12 / 16, 20 / 23, nan, nan],
        'Precision': [6 / 8, 10 / 11, 0, nan],
        'Recall': [6 / 8, 10 / 12, nan, nan],
    }
    found = class_scores(counts)
    assert list(found) == list(expected) == list(CLASS_SCORES)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15)
        np.testing.assert_allclose(score(counts, f'm{name}'), np.nanmean(values), rtol=1e-15)
    assert score(counts, 'aAcc') == 16 / 20
    assert score(counts, 'fwIoU') == pytest.approx(0.4 * 6 / 10 + 0.6 * 10 / 13)
    assert score(counts, 'mIoU', [True, True, False, True]) == pytest.approx((6 / 10 + 10 / 13) / 2)


def test_perfect_and_all_wrong():
    perfect, wrong = class_counts(np.diag([3, 1, 7])), class_counts(np.array([[0, 4], [5, 0]]))
    assert [float(score(perfect, name)) for name in SCORES] == [1] * len(SCORES)
    assert float(score(wrong, 'mIoU')) == float(score(wrong, 'aAcc')) == 0
    assert np.isnan(score(wrong, 'mFscore'))


def test_means_do_not_depend_on_the_order_of_the_classes():
    rng = np.random.default_rng(0)
    confusion, order = rng.integers(0, 50, (7, 7)), rng.permutation(7)
    shuffled = confusion[order][:, order]
    for name in SCORES:
        assert score(class_counts(shuffled), name) == pytest.approx(score(class_counts(confusion), name), rel=1e-14)


def test_leading_dimensions_are_scored_one_by_one():
    stacked = np.random.default_rng(1).integers(0, 4, (5, 2, 3, 3))
    for name in SCORES:
        expected = [[score(class_counts(matrix), name) for matrix in row] for row in stacked]
        np.testing.assert_array_equal(score(class_counts(stacked), name), expected)


def test_nothing_counted_is_undefined_and_silent(recwarn):
    counts = class_counts(np.zeros((3, 3), int))
    assert all(np.isnan(score(counts, name)) for name in SCORES)
    assert np.isnan(mean_where_defined(np.full(4, np.nan)))
    assert percent(dict(a=np.nan, b=0.25)) == dict(a=None, b=25.0)
    assert not recwarn.list


def test_categories_by_hand():
    names, merged = merge_classes(BY_HAND, ['flat', 'sky', 'flat', 'human'])
    assert names == ('flat', 'sky', 'human')
    assert merged.tolist() == [[7, 1, 0], [2, 10, 0], [0, 0, 0]]
    names, merged = merge_classes(BY_HAND, ['a', 'b', 'c', 'd'])
    np.testing.assert_array_equal(merged, BY_HAND)
    with pytest.raises(ValueError, match='2 names of groups for 4 classes'):
        merge_classes(BY_HAND, ['a', 'b'])


def test_categories_are_those_of_the_official_script():
    """cityscapesScripts sums, for a category, what its labels are taken for inside and outside of it."""
    from mmext.segmentation.datasets.label_maps import CATEGORIES

    confusion = np.random.default_rng(2).integers(0, 1000, (19, 19))
    names, merged = merge_classes(confusion, CATEGORIES)
    found = dict(zip(names, class_scores(class_counts(merged), ['IoU'])['IoU'], strict=True))
    assert list(names) == ['flat', 'construction', 'object', 'nature', 'sky', 'human', 'vehicle']
    for name in names:
        inside = [c for c in range(19) if CATEGORIES[c] == name]
        outside = [c for c in range(19) if CATEGORIES[c] != name]
        hits = sum(confusion[i, j] for i in inside for j in inside)
        misses = sum(confusion[i, j] for i in inside for j in outside)
        false_alarms = sum(confusion[i, j] for i in outside for j in inside)
        assert found[name] == pytest.approx(hits / (hits + misses + false_alarms), rel=1e-14)


def test_keys_are_what_loggers_take():
    assert class_keys('IoU', ['road', 'traffic light', 'a/b']) == ['IoU.road', 'IoU.traffic_light', 'IoU.a_b']
    with pytest.raises(ValueError, match="'a b' and 'a_b' have one name"):
        class_keys('IoU', ['a b', 'c', 'a_b'])


def test_unknown_scores_are_named():
    counts = class_counts(BY_HAND)
    with pytest.raises(ValueError, match="'mAP': no such score; choose from aAcc, mIoU"):
        score(counts, 'mAP')
    with pytest.raises(ValueError, match="'iou': no score per class"):
        class_scores(counts, ['iou'])
