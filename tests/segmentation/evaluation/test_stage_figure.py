import math

import numpy as np
import pytest

from mmext.segmentation.evaluation.stage_figure import StageRow, image_miou, stage_figure, to_rgb

CLASSES = ('road', 'sky', 'car')
PALETTE = [[200, 0, 0], [0, 200, 0], [0, 0, 200]]


def test_miou_by_hand():
    """Road 1 of 3, sky 1 of 2, car predicted once and never true: 0. The unlabelled pixel counts nowhere."""
    truth = np.array([[0, 0, 1, 255], [0, 255, 255, 255]], np.uint8)
    prediction = np.array([[0, 1, 1, 2], [2, 0, 0, 0]], np.uint8)
    assert image_miou(prediction, truth, 3) == pytest.approx(100 * (1 / 3 + 1 / 2 + 0) / 3)


def test_limits_of_miou():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (5, 6), dtype=np.uint8)
    assert image_miou(truth, truth, 3) == 100
    assert image_miou(1 - truth, truth, 3) == 0
    assert math.isnan(image_miou(truth, np.full_like(truth, 255), 3))


def test_miou_does_not_depend_on_the_names_of_classes():
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 3, (2, 8, 9), dtype=np.uint8)
    order = np.array([2, 0, 1], np.uint8)
    assert image_miou(order[prediction], order[truth], 3) == pytest.approx(image_miou(prediction, truth, 3))


def row(name='a', truth=True, kept=(True, True), size=(6, 10)) -> StageRow:
    labels = np.ones(size, np.uint8)
    maps = [labels * 0 if there else None for there in kept]
    return StageRow(name, np.full((*size, 3), 90, np.uint8), maps, labels if truth else None)


def texts(figure) -> list[list[str]]:
    """Titles of the columns, then what stands below the cells of each row."""
    axes = figure.axes
    columns = sum(bool(each.get_title()) for each in axes)
    lines = [axes[start : start + columns] for start in range(0, len(axes), columns)]
    return [[each.get_title() for each in lines[0]], *([each.get_xlabel() for each in line] for line in lines)]


def test_titles_captions_and_legend():
    figure = stage_figure([row('0010'), row('0097')], ['epoch 1', 'epoch 6'], CLASSES, PALETTE)
    assert texts(figure) == [
        ['input', 'epoch 1', 'epoch 6', 'ground truth'],
        ['0010', 'mIoU 0.0 %', 'mIoU 0.0 %', ''],
        ['0097', 'mIoU 0.0 %', 'mIoU 0.0 %', ''],
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['road', 'sky']


def test_colours_reach_the_picture():
    figure = stage_figure([row(kept=(True,))], ['epoch 1'], CLASSES, PALETTE)
    cells = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert [cell[0, 0].tolist() for cell in cells] == [[90, 90, 90], PALETTE[0], PALETTE[1]]
    picture = to_rgb(figure)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    for color in ([90, 90, 90], PALETTE[0], PALETTE[1]):
        assert (picture == color).all(-1).sum() > 1000


def test_images_without_truth_have_no_score():
    figure = stage_figure([row(truth=False)], ['epoch 1', 'epoch 6'], CLASSES, PALETTE)
    assert texts(figure) == [['input', 'epoch 1', 'epoch 6'], ['a', '', '']]
    mixed = stage_figure([row(truth=False), row('b')], ['epoch 1', 'epoch 6'], CLASSES, PALETTE)
    assert texts(mixed)[1] == ['a', '', '', 'no ground truth']


def test_stage_that_was_not_kept_is_an_empty_cell():
    figure = stage_figure([row(kept=(False, True))], ['epoch 1', 'epoch 6'], CLASSES, PALETTE)
    assert texts(figure)[1] == ['a', 'not kept', 'mIoU 0.0 %', '']
    assert not figure.axes[1].images


def test_nothing_labelled_is_said():
    empty = StageRow('a', np.zeros((4, 4, 3), np.uint8), [np.zeros((4, 4), np.uint8)], np.full((4, 4), 255, np.uint8))
    assert texts(stage_figure([empty], ['epoch 1'], CLASSES, PALETTE))[1] == ['a', 'nothing labelled', '']


@pytest.mark.parametrize('size', [(375, 1242), (512, 512), (300, 100)])
def test_any_shape_of_frame(size):
    figure = stage_figure([row(size=size)], ['epoch 1', 'epoch 6'], CLASSES, PALETTE)
    height, width, _ = to_rgb(figure).shape
    assert max(height, width) < 4000
