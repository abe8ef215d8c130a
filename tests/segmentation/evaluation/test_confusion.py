import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.segmentation.evaluation.confusion import count_confusion


def one_by_one(prediction, truth, num_classes, ignore_index):
    counts = np.zeros((num_classes, num_classes), int)
    for p, t in zip(prediction.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if t != ignore_index:
            counts[t, int(p)] += 1
    return counts


def maps(seed, num_classes, ignore_index, height=7, width=9):
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.randint(num_classes, (2, height, width), generator=generator)
    truth[torch.rand(height, width, generator=generator) < 0.2] = ignore_index
    return prediction, truth


def test_by_hand():
    truth, prediction = torch.tensor([[0, 0, 1], [1, 255, 255]]), torch.tensor([[0, 1, 1], [1, 0, 1]])
    counts = count_confusion(prediction, truth, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert counts.dtype == torch.int64


# 19 and 127 classes fit 16 bits beside 255, 150 do not; 255 may be a class
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 19, 127, 128, 150, 256, 300]),
    st.sampled_from([255, 0, -1, -100, 1000, 65535]),
    st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.float32]),
)
def test_as_counting_one_by_one(seed, num_classes, ignore_index, dtype):
    prediction, truth = maps(seed, num_classes, ignore_index)
    prediction = prediction.to(dtype if num_classes < 256 else torch.int64)
    found = count_confusion(prediction, truth, num_classes, ignore_index)
    np.testing.assert_array_equal(found, one_by_one(prediction, truth, num_classes, ignore_index))


@pytest.mark.parametrize('seed', range(5))
def test_areas_are_upstreams(seed):
    from mmseg.evaluation import IoUMetric

    prediction, truth = maps(seed, 19, 255, 30, 40)
    hits, union, predicted, labelled = IoUMetric.intersect_and_union(prediction, truth, 19, 255)
    counts = count_confusion(prediction, truth, 19)
    assert counts.diagonal().float().equal(hits)
    assert counts.sum(0).float().equal(predicted)
    assert counts.sum(1).float().equal(labelled)
    assert (counts.sum(0) + counts.sum(1) - counts.diagonal()).float().equal(union)


def test_exchanging_the_maps_transposes():
    prediction, truth = torch.randint(5, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    assert count_confusion(truth, prediction, 5).equal(count_confusion(prediction, truth, 5).T)


def test_arguments_are_left_alone():
    prediction, truth = (labels.to(torch.int16) for labels in maps(0, 5, 255))
    before = prediction.clone(), truth.clone()
    count_confusion(prediction, truth, 5)
    assert prediction.equal(before[0])
    assert truth.equal(before[1])


@pytest.mark.parametrize('shape', [(4, 5), (0, 0)])
def test_nothing_labelled(shape):
    counts = count_confusion(torch.zeros(shape, dtype=torch.long), torch.full(shape, 255), 3)
    assert counts.equal(torch.zeros(3, 3, dtype=torch.long))


@pytest.mark.parametrize(('value', 'ignore_index'), [(19, 255), (33, 255), (-1, 255), (255, -1), (254, 255), (300, 0)])
def test_labels_out_of_range_are_named(value, ignore_index):
    prediction, truth = maps(0, 19, 255)
    truth[truth == 255] = ignore_index
    truth[2, 3:6] = value
    with pytest.raises(ValueError, match=rf'x\.png: the ground truth holds {value} at 3 pixels, neither a class \(0'):
        count_confusion(prediction, truth, 19, ignore_index, 'x.png')


def test_many_values_are_cut_short():
    truth = torch.arange(20, 60)[None]
    with pytest.raises(ValueError, match=r'20 at 1 pixels, 21 at .* and 35 more values'):
        count_confusion(torch.zeros_like(truth), truth, 19)


@pytest.mark.parametrize('value', [19, 255, -1])
def test_predictions_out_of_range_are_named(value):
    prediction, truth = maps(0, 19, 255)
    truth[0, 0], prediction[0, 0] = 1, value
    with pytest.raises(ValueError, match=rf'prediction holds {value} at 1 pixels.*correct num_classes'):
        count_confusion(prediction, truth, 19)


def test_predictions_at_ignored_pixels_do_not_matter():
    prediction, truth = maps(0, 19, 255)
    expected = count_confusion(prediction, truth, 19)
    prediction[truth == 255] = 77
    assert count_confusion(prediction, truth, 19).equal(expected)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r'y\.png: the prediction has shape \(1, 4, 6\), its ground truth \(4, 5\)'):
        count_confusion(torch.zeros(1, 4, 6), torch.zeros(4, 5), 2, image='y.png')
