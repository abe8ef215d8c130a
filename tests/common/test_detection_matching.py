import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmext.common import detection_matching
from mmext.common.detection_matching import (
    HIT,
    IGNORED,
    MISS,
    Detections,
    Objects,
    best_overlaps,
    by_class,
    coco_outcome,
    in_turn,
    matched_pairs,
    pair_iou,
    voc_outcome,
)
from mmext.common.detection_set import detection_set

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('detection_cases.py'))))


def boxes_of(*rows):
    """One image and class: detections (score, box) in turn."""
    scores, boxes = zip(*rows, strict=True) if rows else ((), np.empty((0, 4)))
    zeros = np.zeros(len(scores), int)
    return in_turn(Detections(zeros, zeros, np.array(scores, float), np.array(boxes, float).reshape(-1, 4)))


def objects_of(*boxes, difficult=()):
    zeros = np.zeros(len(boxes), int)
    return Objects(zeros, zeros, np.array(boxes, float).reshape(-1, 4), np.isin(np.arange(len(boxes)), difficult))


def flat(images):
    data = detection_set(CASES.CLASSES, images)
    return in_turn(data.detections), data.objects


def test_overlap_by_hand():
    found, true = np.array([[0, 0, 10, 10]]), np.array([[5, 0, 15, 10]])
    assert pair_iou(found, true) == [50 / 150]
    # eleven pixels wide, six of them shared
    assert pair_iou(found, true, legacy_plus_one=True) == [66 / (121 + 121 - 66)]
    assert pair_iou(found, true, crowd=np.array([True])) == [50 / 100]
    assert pair_iou(found, found) == [1]
    # edges that touch share no area, as pixels they are eleven in common
    assert pair_iou(found, found + np.array([10, 0, 10, 0])) == [0]
    assert pair_iou(found, found + np.array([10, 0, 10, 0]), legacy_plus_one=True) == [11 / 231]


def test_boxes_without_area_overlap_nothing():
    point = np.array([[3, 3, 3, 3]])
    assert pair_iou(point, point) == [0]
    assert pair_iou(point, np.array([[0, 0, 9, 9]]), crowd=np.array([True])) == [0]
    assert pair_iou(point, point, legacy_plus_one=True) == [1]


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('more', [False, True])
def test_best_overlap_as_in_loops(seed, more):
    detections, objects = flat(CASES.random_images(seed))
    best = best_overlaps(detections, objects, more)
    assert (best.object >= 0).any()
    assert (best.object < 0).any()
    for row in range(len(detections.score)):
        own = (objects.image == detections.image[row]) & (objects.label == detections.label[row])
        ious = [
            CASES.loop_iou(detections.box[row], box, float(more)) if here else -1
            for box, here in zip(objects.box, own, strict=True)
        ]
        assert best.iou[row] == pytest.approx(max(0, *ious), abs=1e-12)
        if best.object[row] >= 0:
            assert own[best.object[row]]
            assert ious[best.object[row]] == pytest.approx(max(ious), abs=1e-12)
        else:
            assert not own.any()


def test_of_equal_overlaps_the_first_ordinary_object_counts():
    found = boxes_of((0.9, [0, 0, 10, 10]))
    same = [[0, 0, 10, 10]] * 3
    assert best_overlaps(found, objects_of(*same)).object == [0]
    assert best_overlaps(found, objects_of(*same, difficult=[0])).object == [1]
    assert best_overlaps(found, objects_of(*same, difficult=[0]), any_class=True).object == [0]


def test_voc_rule_by_hand():
    found = boxes_of(
        (0.9, [0, 0, 10, 10]),  # hits the first object
        (0.8, [0, 0, 10, 9]),  # a duplicate, although the second object is free and overlaps too
        (0.7, [40, 40, 50, 50]),  # the difficult one
        (0.6, [40, 40, 50, 49]),  # the difficult one again
        (0.5, [70, 70, 80, 80]),  # nothing there
    )
    objects = objects_of([0, 0, 10, 10], [0, 0, 10, 15], [40, 40, 50, 50], difficult=[2])
    overlaps = best_overlaps(found, objects)
    assert voc_outcome(overlaps, objects.difficult, [0.5]).tolist() == [[HIT, MISS, IGNORED, IGNORED, MISS]]
    # with the difficult one as an ordinary object, and at a threshold that the second detections do not reach
    nothing = np.zeros(3, bool)
    assert voc_outcome(overlaps, nothing, [0.5, 0.95]).tolist() == [[HIT, MISS, HIT, MISS, MISS]] * 2
    assert voc_outcome(overlaps, objects.difficult, [0.95]).tolist() == [[HIT, MISS, IGNORED, MISS, MISS]]


def test_the_threshold_is_enough():
    found, objects = boxes_of((0.9, [0, 0, 10, 5])), objects_of([0, 0, 10, 10])
    assert voc_outcome(best_overlaps(found, objects), objects.difficult, [0.5, 0.51]).tolist() == [[HIT], [MISS]]


def test_coco_rule_by_hand():
    found = boxes_of(
        (0.9, [0, 0, 10, 10]),  # the first object
        (0.8, [0, 0, 10, 10]),  # falls back on the second
        (0.7, [0, 0, 10, 10]),  # none is free
        (0.6, [40, 40, 45, 45]),  # inside of the crowd
        (0.5, [41, 41, 45, 45]),  # inside of the crowd too
    )
    objects = objects_of([0, 0, 10, 10], [0, 0, 10, 15], [40, 40, 80, 80], difficult=[2])
    assert coco_outcome(found, objects, [0.5, 0.75]).tolist() == [
        [HIT, HIT, MISS, IGNORED, IGNORED],
        [HIT, MISS, MISS, IGNORED, IGNORED],
    ]
    assert coco_outcome(found, objects, [0.5], max_detections=1).tolist() == [[HIT, *[IGNORED] * 4]]


def test_coco_takes_the_last_of_equal_objects():
    """The first detection overlaps both objects by a third; the second only the object that it leaves."""
    objects = objects_of([0, 0, 10, 10], [10, 0, 20, 10])
    shared = (0.9, [5, 0, 15, 10])
    assert coco_outcome(boxes_of(shared, (0.8, [0, 0, 10, 10])), objects, [0.3]).tolist() == [[HIT, HIT]]
    assert coco_outcome(boxes_of(shared, (0.8, [10, 0, 20, 10])), objects, [0.3]).tolist() == [[HIT, MISS]]


@pytest.mark.parametrize('seed', range(6))
def test_pairs_as_the_report_defines_them(seed):
    images = CASES.random_images(seed)
    detections, objects = flat(images)
    found, there = matched_pairs(detections, objects)
    assert len(set(found)) == len(found) == len(set(there)) > 5
    assert (detections.image[found] == objects.image[there]).all()
    matrix = np.zeros((4, 4))
    np.add.at(matrix, (detections.label[found], objects.label[there]), 1)
    assert (matrix - np.diag(np.diag(matrix))).sum() > 0
    with np.errstate(invalid='ignore'):
        miou = np.nanmean(np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix)))
    assert (miou, np.trace(matrix) / matrix.sum()) == pytest.approx(CASES.loop_matched(images, 4))


def test_pairs_by_hand():
    objects = objects_of([0, 0, 10, 10], [0, 0, 10, 15], [40, 40, 50, 50], difficult=[2])
    found = boxes_of(
        (0.9, [0, 0, 10, 9]),  # best with the first object, but less than the next detection
        (0.8, [0, 0, 10, 10]),
        (0.7, [40, 40, 50, 45]),  # exactly 0.5 of the difficult one is not enough
        (0.6, [40, 40, 50, 46]),
    )
    # the first detection would also overlap the second object, but has lost its best one
    assert [rows.tolist() for rows in matched_pairs(found, objects)] == [[1, 3], [0, 2]]


def test_of_equal_pairs_the_higher_score_counts():
    found = boxes_of(*[(0, [0, 0, 10, 10])] * 2)._replace(label=np.array([1, 0]), score=np.array([0.9, 0.8]))
    found = in_turn(found)
    # class 0 has the first turn, class 1 the higher score
    assert found.label.tolist() == [0, 1]
    assert [rows.tolist() for rows in matched_pairs(found, objects_of([0, 0, 10, 10]))] == [[1], [0]]


@pytest.mark.parametrize('most', [1, 13])
def test_blocks_change_nothing(monkeypatch, most):
    detections, objects = flat(CASES.random_images(3))

    def everything():
        best = best_overlaps(detections, objects)
        return (
            *best,
            voc_outcome(best, objects.difficult, [0.5, 0.7]),
            coco_outcome(detections, objects, [0.5, 0.7]),
            *matched_pairs(detections, objects),
        )

    whole = everything()
    monkeypatch.setattr(detection_matching, 'MOST_PAIRS', most)
    for before, after in zip(whole, everything(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(('found', 'there'), [(False, False), (True, False), (False, True)])
def test_nothing_found_or_nothing_there(found, there):
    detections = boxes_of(*[(0.9, [0, 0, 5, 5])] * found)
    objects = objects_of(*[[0, 0, 5, 5]] * there)
    best = best_overlaps(detections, objects)
    assert best.object.tolist() == [-1] * found
    assert voc_outcome(best, objects.difficult, [0.5]).tolist() == [[MISS] * found]
    assert coco_outcome(detections, objects, [0.5]).tolist() == [[MISS] * found]
    assert [rows.tolist() for rows in matched_pairs(detections, objects)] == [[], []]


def test_turns():
    rows = Detections(
        *(
            np.array(values)
            for values in ([1, 0, 0, 0], [0, 2, 1, 1], [0.9, 0.8, 0.3, 0.7], [[i] * 4 for i in range(4)])
        )
    )
    assert in_turn(rows).box[:, 0].tolist() == [3, 2, 1, 0]
    assert by_class(rows).tolist() == [0, 3, 2, 1]
    equal = rows._replace(image=np.zeros(4, int), label=np.zeros(4, int), score=np.ones(4))
    assert in_turn(equal).box[:, 0].tolist() == [0, 1, 2, 3]
    # more images than fit into 16 bits
    many = rows._replace(image=rows.image * 70_000)
    assert in_turn(many).box[:, 0].tolist() == [3, 2, 1, 0]
