"""Records of all three tasks, from data samples made by hand."""

import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from pycocotools import mask as coco

from mmext.common.prediction.predictor import PreparedImage
from mmext.common.prediction.results import (
    class_name,
    classification_result,
    detection_result,
    make_result,
    segmentation_result,
    shortest,
)


def detections(scores, labels=None, **more) -> BaseDataElement:
    scores = torch.tensor(scores)
    labels = torch.arange(len(scores)) if labels is None else torch.tensor(labels)
    boxes = torch.arange(4.0) + 10 * torch.arange(len(scores))[:, None]
    return BaseDataElement(pred_instances=InstanceData(scores=scores, labels=labels, bboxes=boxes, **more))


def test_detections_are_those_above_the_threshold_best_first():
    # 0.3 as float32 is a little more than 0.3: it counts.
    assert detection_result(detections([0.2, 0.9, 0.3, 0.29]), ['a', 'b', 'c'], 0.3).record == {
        'boxes': [[10, 11, 12, 13], [20, 21, 22, 23]],
        'scores': [0.9, 0.3],
        'labels': [1, 2],
        'label_names': ['b', 'c'],
    }


def test_detections_without_threshold_are_all_and_equal_scores_keep_their_order():
    record = detection_result(detections([0.5, 0.7, 0.5, 0.0, 0.5]), []).record
    assert record['labels'] == [1, 0, 2, 4, 3]
    assert record['label_names'][0] == 'class_1'
    # A score that is no number is above nothing.
    assert detection_result(detections([float('nan')]), []).record['scores'] == []


def test_no_detection_is_empty_lists():
    nothing = {'boxes': [], 'scores': [], 'labels': [], 'label_names': []}
    assert detection_result(detections([0.1]), ['a'], 0.5).record == nothing
    assert detection_result(detections([], labels=[]), ['a']).record == nothing


def test_masks_follow_their_boxes_and_can_be_decoded():
    masks = torch.from_numpy(np.random.default_rng(0).random((3, 7, 5)) > 0.5)
    result = detection_result(detections([0.1, 0.9, 0.5], masks=masks), ['a', 'b', 'c'], 0.2)
    assert np.array_equal(result.masks, masks[[1, 2]].numpy())
    for code, mask in zip(json.loads(json.dumps(result.record))['masks'], result.masks, strict=True):
        assert code['size'] == [7, 5]
        assert np.array_equal(coco.decode(code), mask)


def test_shares_are_counted_pixels_largest_first():
    labels = torch.tensor([[[0, 2, 2, 2], [1, 2, 300, 300]]])
    result = segmentation_result(BaseDataElement(pred_sem_seg=PixelData(data=labels)), ['a', 'b', 'c'])
    assert result.record == {
        'labels': [2, 300, 0, 1],
        'label_names': ['c', 'class_300', 'a', 'b'],
        'shares': [0.5, 0.25, 0.125, 0.125],
    }
    assert result.label_map.dtype == np.uint16
    assert np.array_equal(result.label_map, labels[0].numpy())


def test_shares_equal_an_independent_count():
    rng = np.random.default_rng(0)
    for classes in (1, 2, 19, 256):
        labels = rng.integers(0, classes, (1, 13, 17))
        sample = BaseDataElement(pred_sem_seg=PixelData(data=torch.from_numpy(labels)))
        result = segmentation_result(sample, [f'c{index}' for index in range(classes)])
        assert result.label_map.dtype == np.uint8
        for label, share in zip(result.record['labels'], result.record['shares'], strict=True):
            assert share == pytest.approx((labels == label).mean(), abs=1e-6)
        assert sum(result.record['shares']) == pytest.approx(1, abs=1e-4)


def test_at_most_five_classes_best_first():
    scores = torch.tensor([0.05, 0.3, 0.1, 0.3, 0.05, 0.2])
    assert classification_result(BaseDataElement(pred_score=scores), 'abcdef').record == {
        'labels': [1, 3, 5, 2, 0],
        'label_names': ['b', 'd', 'f', 'c', 'a'],
        'probabilities': [0.3, 0.3, 0.2, 0.1, 0.05],
    }
    record = classification_result(BaseDataElement(pred_score=torch.tensor([0.25, 0.75])), []).record
    assert record['label_names'] == ['class_1', 'class_0']


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match='returns NaN'):
        classification_result(BaseDataElement(pred_score=torch.tensor([0.5, float('nan')])), ['a', 'b'])


def test_size_comes_first_and_foreign_predictions_are_named():
    prepared = PreparedImage(torch.zeros(3, 4, 4), BaseDataElement(), (20, 30), None)
    sample = BaseDataElement(pred_score=torch.tensor([1.0]))
    record = make_result('classification', prepared, sample, ['a']).record
    assert list(record) == ['size_hw', 'labels', 'label_names', 'probabilities']
    assert record['size_hw'] == [20, 30]
    with pytest.raises(
        ValueError, match='the model returns pred_score; detection results are read from pred_instances'
    ):
        make_result('detection', prepared, sample, ['a'])
    with pytest.raises(ValueError, match='no prediction'):
        make_result('segmentation', prepared, BaseDataElement(), ['a'])


def test_shortest_numbers_give_the_same_float32():
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 1000
    assert torch.equal(torch.tensor(shortest(values)), values)
    assert json.dumps(shortest(torch.tensor([0.3, 0.1, 1.0]))) == '[0.3, 0.1, 1.0]'


def test_unnamed_classes_have_a_number():
    assert [class_name(['a'], label) for label in (0, 1)] == ['a', 'class_1']
