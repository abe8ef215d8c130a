import numpy as np
import pytest
from matplotlib import colormaps

from mmext.classification.attention.pictures import (
    STYLES,
    alpha_picture,
    heat_map,
    masked_picture,
    on_white,
    overlay_picture,
    styled,
)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def values() -> np.ndarray:
    values = np.random.default_rng(1).random((6, 8)).astype(np.float32)
    values[0, 0], values[5, 7] = 0, 1
    return values


def test_sizes_types_and_channels(picture, values):
    for style in STYLES:
        drawn = styled(style, picture, values)
        assert drawn.shape == (6, 8, 4 if style == 'alpha' else 3)
        assert drawn.dtype == np.uint8


def test_heat_is_inferno_and_brighter_is_more():
    ramp = heat_map(np.linspace(0, 1, 256, dtype=np.float32)[None])
    np.testing.assert_array_equal(ramp[0, 0], colormaps['inferno'](0, bytes=True)[:3])
    np.testing.assert_array_equal(ramp[0, -1], colormaps['inferno'](255, bytes=True)[:3])
    brightness = ramp[0] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > -1).all()
    # What interpolation overshoots is cut off.
    np.testing.assert_array_equal(heat_map(np.array([[-0.1, 1.1]])), ramp[:, [0, -1]])


def test_alpha_is_the_map(picture, values):
    drawn = alpha_picture(picture, values)
    np.testing.assert_array_equal(drawn[..., :3], picture)
    np.testing.assert_array_equal(drawn[..., 3], np.rint(255 * values))
    paper = on_white(drawn)
    np.testing.assert_array_equal(paper[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(paper[5, 7], picture[5, 7])
    np.testing.assert_array_equal(on_white(picture), picture)


def test_mask_multiplies(picture, values):
    np.testing.assert_array_equal(masked_picture(picture, values), np.rint(picture * values[..., None]))
    np.testing.assert_array_equal(masked_picture(picture, np.ones((6, 8))), picture)
    assert not masked_picture(picture, np.zeros((6, 8))).any()


def test_overlay_lies_between_picture_and_heat(picture, values):
    np.testing.assert_array_equal(overlay_picture(picture, values, 0), picture)
    np.testing.assert_array_equal(overlay_picture(picture, values, 1), heat_map(values))
    middle = overlay_picture(picture, values).astype(float)
    assert np.abs(middle - (picture.astype(float) + heat_map(values)) / 2).max() <= 0.5


@pytest.mark.parametrize('style', STYLES)
def test_a_map_of_another_size_is_refused(style, picture):
    with pytest.raises(ValueError, match=r'picture \(6, 8, 3\) and map \(8, 6\)'):
        styled(style, picture, np.zeros((8, 6)))
