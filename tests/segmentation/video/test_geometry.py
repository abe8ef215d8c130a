from fractions import Fraction

import numpy as np
import pytest

from mmext.segmentation.video.geometry import (
    Orientation,
    even_size,
    orientation_of,
    pad_to_even,
    square_pixel_size,
    upright,
)

ONE = 1 << 16
MATRICES = [(a, b, 0, c, d) for a, b, c, d in [(s, 0, 0, t) for s in (1, -1) for t in (1, -1)]]
MATRICES += [(0, s, 0, t, 0) for s in (1, -1) for t in (1, -1)]


@pytest.mark.parametrize('matrix', MATRICES)
def test_pixels_go_where_the_matrix_says(matrix):
    """Every pixel is moved by hand, then all are shifted to start at 0."""
    picture = np.arange(6).reshape(2, 3)
    a, b, _, c, d = matrix
    moved = {(a * x + c * y, b * x + d * y): picture[y, x] for y in range(2) for x in range(3)}
    left, top = (min(place[axis] for place in moved) for axis in (0, 1))
    shown = upright(picture, orientation_of([ONE * value for value in matrix]))
    assert {(x + left, y + top): value for (y, x), value in np.ndenumerate(shown)} == moved
    assert shown.flags.c_contiguous


def test_an_upright_picture_is_not_copied():
    picture = np.zeros((2, 3, 3), np.uint8)
    assert upright(picture, Orientation()) is picture


def test_a_counterclockwise_quarter_is_that_of_numpy():
    picture = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(upright(picture, orientation_of([0, -ONE, 0, ONE, 0])), np.rot90(picture))


@pytest.mark.parametrize(
    ('aspect', 'expected'),
    [
        (None, (720, 576)),
        (0, (720, 576)),
        (Fraction(1), (720, 576)),
        (Fraction(16, 15), (768, 576)),
        (Fraction(8, 9), (720, 648)),
        (Fraction(64, 45), (1024, 576)),
    ],
)
def test_square_pixels_shrink_nothing(aspect, expected):
    assert square_pixel_size(720, 576, aspect) == expected


@pytest.mark.parametrize('size', [(4, 6), (5, 6), (4, 7), (5, 7)])
def test_odd_sides_repeat_their_last_line(size):
    picture = np.arange(3 * size[0] * size[1], dtype=np.uint8).reshape(*size, 3)
    padded = pad_to_even(picture)
    assert padded.shape[:2] == even_size(size)
    np.testing.assert_array_equal(padded[: size[0], : size[1]], picture)
    np.testing.assert_array_equal(padded[-1, -1], picture[-1, -1])
    assert (padded is picture) == (size == (4, 6))
