import numpy as np
import pytest

from mmext.segmentation.evaluation.seg_picture_hook import mix_colors
from mmext.segmentation.video.pictures import SideBySide, color, color_table, mix

PALETTE = [(128, 64, 128), (244, 35, 232), (70, 70, 70)]
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, (20, 30), dtype=np.uint8)
FRAME = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_colors_are_those_of_the_palette():
    np.testing.assert_array_equal(color(LABELS, color_table(PALETTE))[..., ::-1], np.array(PALETTE, np.uint8)[LABELS])


def test_classes_beyond_the_palette_have_colors_of_their_own():
    colors = color_table(PALETTE)[:, 0]
    assert len({tuple(entry) for entry in colors[:20].tolist()}) == 20


@pytest.mark.parametrize('share', [0.0, 0.25, 0.7, 1.0])
def test_mix_is_that_of_the_pictures_of_a_training(share):
    mixed = mix(color(LABELS, color_table(PALETTE)), FRAME, share)
    np.testing.assert_array_equal(mixed[..., ::-1], mix_colors(FRAME[..., ::-1], LABELS, PALETTE, share))


def test_seven_to_three():
    colors = np.full((2, 2, 3), (100, 200, 0), np.uint8)
    np.testing.assert_array_equal(mix(colors, np.full_like(colors, 50), 0.7)[0, 0], [85, 155, 15])


@pytest.mark.parametrize(
    ('count', 'size_hw', 'columns'),
    [(2, (90, 160), 2), (3, (90, 160), 2), (4, (90, 160), 2), (2, (100, 330), 1), (3, (160, 90), 3), (1, (90, 160), 1)],
)
def test_cells_hold_their_pictures(count, size_hw, columns):
    layout = SideBySide([f'model {number}' for number in range(count)], size_hw)
    assert layout.columns == columns
    whole = layout([np.full((*size_hw, 3), 10 * number + 100, np.uint8) for number in range(count)])
    assert whole.shape[:2] == layout.size_hw
    bar = layout.size_hw[0] // -(-count // columns) - size_hw[0]
    for number in range(count):
        y, x = number // columns * (size_hw[0] + bar) + bar, number % columns * size_hw[1]
        assert (whole[y : y + size_hw[0], x : x + size_hw[1]] == 10 * number + 100).all()
        # The title stands above, light on dark.
        title = whole[y - bar : y, x : x + size_hw[1]]
        assert title.max() > 200
        assert np.median(title) < 40


def test_large_pictures_shrink_to_a_screen():
    layout = SideBySide(['a', 'b', 'c'], (1080, 1920))
    assert layout.size_hw[1] == 1920
    assert layout.size_hw[0] <= 1080 * 1.15
    assert layout([np.full((1080, 1920, 3), 77, np.uint8)] * 3)[300, 300].tolist() == [77] * 3


def test_long_titles_end_within_their_cell():
    layout = SideBySide(['a very long name of a model ' * 5, 'b'], (90, 160))
    whole = layout([np.zeros((90, 160, 3), np.uint8)] * 2)
    bar = layout.size_hw[0] - 90
    assert whole[:bar, 155:160].max() < 40
