"""Pictures of predictions: where the colours are, and that nothing leaves the picture."""

from itertools import pairwise

import numpy as np
import pytest

from mmext.common.prediction import drawing

RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((300, 400, 3), 100, dtype=np.uint8)


def found(*boxes, labels=(0,), scores=(0.9,), names=('thing',)) -> dict:
    return {'boxes': list(boxes), 'scores': list(scores), 'labels': list(labels), 'label_names': list(names)}


def test_box_is_drawn_on_its_corners_in_the_colour_of_its_class(grey):
    before = grey.copy()
    drawn = drawing.draw_detections(grey, found([50, 100, 150, 200], labels=[1]), [RED, BLUE])
    assert np.array_equal(grey, before)
    assert drawn.shape == grey.shape
    assert drawn.dtype == np.uint8
    blue = (drawn == BLUE).all(-1)
    for y, x in ((100, 50), (200, 150), (150, 50), (150, 150), (200, 100)):
        assert blue[y, x]
    assert not blue[103:197, 53:147].any()
    assert not (drawn != grey)[202:].any()


@pytest.mark.parametrize(
    'box',
    [
        [0, 0, 400, 300],
        [-50, -50, 500, 400],
        [395, 0, 400, 5],
        [398, 298, 400, 300],
        [0, 290, 3, 300],
        [10, 20, 10, 20],
    ],
)
def test_writing_stays_inside(grey, box):
    drawn = drawing.draw_detections(grey, found(box, names=['a long name'], scores=[1]), [RED])
    plate = (drawn == RED).all(-1).sum(1).max()
    assert plate >= 80  # pixels of the plate's widest row: none of it is cut off
    assert ((drawn > 240).all(-1)).sum() > 50  # white letters on dark red


def test_the_best_is_on_top(grey):
    same = [50, 100, 150, 200]
    both = found(same, same, labels=[0, 1], scores=[0.9, 0.8], names=['a', 'a'])
    drawn = drawing.draw_detections(grey, both, [RED, BLUE])
    assert (drawn[150, 50] == RED).all()
    assert not (drawn == BLUE).all(-1).any()


def test_masks_are_half_transparent(grey):
    mask = np.zeros((1, 300, 400), dtype=bool)
    mask[0, 210:290, 200:300] = True
    drawn = drawing.draw_detections(grey, found([200, 210, 300, 290]), [RED], mask)
    assert drawn[250, 250].tolist() == [150, 50, 50]
    assert drawn[205, 350].tolist() == [100, 100, 100]


def test_nothing_found_leaves_the_picture(grey):
    nothing = found(labels=[], scores=[], names=[])
    assert np.array_equal(drawing.draw_detections(grey, nothing, []), grey)
    assert np.array_equal(drawing.draw_detections(grey, nothing, [], np.zeros((0, 300, 400), bool)), grey)


def test_small_pictures_are_enlarged_and_their_boxes_with_them():
    small = np.full((32, 64, 3), 100, dtype=np.uint8)
    assert drawing.enlargement(small) == 4
    drawn = drawing.draw_detections(small, found([8, 16, 48, 28]), [RED])
    assert drawn.shape == (128, 256, 3)
    assert (drawn[112, 32:193] == RED).all()
    assert [drawing.enlargement(np.zeros((1, side, 3))) for side in (1, 128, 255, 256, 5000)] == [256, 2, 2, 1, 1]


def test_segmentation_blends_the_colours_and_has_a_legend(grey):
    labels = np.zeros((300, 400), dtype=np.uint8)
    labels[:, 300:] = 1
    record = {'labels': [0, 1], 'label_names': ['road', 'sky'], 'shares': [0.75, 0.25]}
    drawn = drawing.draw_segmentation(grey, labels, record, [RED, BLUE])
    assert drawn.shape[0] == 300
    assert drawn.shape[1] > 400
    assert np.abs(drawn[150, 100].astype(int) - [150, 50, 50]).max() <= 1
    assert np.abs(drawn[150, 350].astype(int) - [50, 50, 150]).max() <= 1
    legend = drawn[:, 400:]
    for color in (RED, BLUE):
        assert (legend == color).all(-1).sum() >= 100
    assert (legend == RED).all(-1).argmax(0).max() < (legend == BLUE).all(-1).argmax(0).max()  # largest share first


def test_legend_of_many_classes_makes_room():
    labels = np.arange(150, dtype=np.uint8).repeat(4).reshape(20, 30)
    names = [f'class {label}' for label in range(150)]
    record = {'labels': list(range(150)), 'label_names': names, 'shares': [1 / 150] * 150}
    assert drawing.draw_segmentation(np.zeros((20, 30, 3), np.uint8), labels, record, []).shape[0] > 150 * 12


def test_bars_are_as_long_as_the_probability(grey):
    record = {'label_names': ['cat', 'dog', 'x'], 'probabilities': [0.75, 0.25, 0]}
    drawn = drawing.draw_classification(grey, record)
    assert np.array_equal(drawn[:300, :400], grey)
    lengths = (drawn[300:] == (166, 202, 236)).all(-1).sum(1)
    bars = [length for length, before in zip(lengths[1:], lengths[:-1], strict=True) if length and not before]
    assert bars == pytest.approx([0.75 * 388, 0.25 * 388], abs=3)


def test_a_long_name_widens_the_picture():
    record = {'label_names': ['a name that is much too long for a small picture ' * 2], 'probabilities': [1.0]}
    assert drawing.draw_classification(np.zeros((32, 32, 3), np.uint8), record).shape[1] > 500


def test_colours_without_a_palette_differ():
    colors = [drawing.class_color([], label) for label in range(40)]
    assert len(set(colors)) == 40
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    assert drawing.class_color([RED], 0) == RED
    # Neighbours are told apart at a glance.
    distances = [np.abs(np.subtract(*pair)).sum() for pair in pairwise(colors)]
    assert min(distances) > 100


def test_letters_stand_out_from_their_plate():
    assert drawing.text_color((255, 255, 0)) == (0, 0, 0)
    assert drawing.text_color((0, 0, 142)) == (255, 255, 255)


def test_lines_and_letters_grow_with_the_picture():
    sizes = [(32, 32), (500, 375), (1242, 375), (4000, 3000)]
    assert [drawing.line_width(size) for size in sizes] == [2, 2, 4, 16]
    assert [drawing.font_size(size) for size in sizes] == [12, 13, 19, 66]
