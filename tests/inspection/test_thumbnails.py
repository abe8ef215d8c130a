"""Thumbnails: what is drawn, and that no file can break them."""

import io

import numpy as np
import pytest
from PIL import Image

from mmext.inspection import thumbnails
from mmext.inspection.thumbnails import (
    BAD_BOX_COLOR,
    BOX_COLOR,
    SIZE_WH,
    array_thumbnail,
    colored_mask,
    draw_boxes,
    make_thumbnail,
    side_by_side,
    to_rgb,
)

PALETTE = [(10, 20, 30), (200, 100, 0)]


def shown(thumbnail) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(thumbnail.picture)).convert('RGB'))


@pytest.fixture
def pair(tmp_path):
    """A grey picture of 32 x 24 and a mask: left half class 0, right half class 1."""
    Image.new('RGB', (32, 24), (100, 100, 100)).save(tmp_path / 'i.png')
    mask = np.zeros((24, 32), np.uint8)
    mask[:, 16:] = 1
    Image.fromarray(mask).save(tmp_path / 'm.png')
    return tmp_path / 'i.png', tmp_path / 'm.png'


def test_the_mask_lies_half_transparent_over_the_image(pair):
    picture = shown(make_thumbnail(*pair, palette=PALETTE))
    # 32 x 24 pixels grow by the whole factor 10.
    assert picture.shape == (240, 320, 3)
    np.testing.assert_allclose(picture[120, 80], [55, 60, 65], atol=3)
    np.testing.assert_allclose(picture[120, 240], [150, 100, 50], atol=3)


def test_a_mask_of_another_size_stands_beside_the_image(pair, tmp_path):
    Image.fromarray(np.ones((12, 32), np.uint8)).save(tmp_path / 'm.png')
    picture = shown(make_thumbnail(*pair, palette=PALETTE))
    height, width = picture.shape[:2]
    assert width <= SIZE_WH[0]
    assert height <= SIZE_WH[1]
    np.testing.assert_allclose(picture[5, 5], [100, 100, 100], atol=4)
    np.testing.assert_allclose(picture[5, -5], PALETTE[1], atol=6)


def test_mask_values_without_a_palette_differ_and_255_is_black():
    colors = colored_mask(Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)))
    assert len({tuple(color) for color in colors[0]}) == 4
    assert colors[0, 3].tolist() == [0, 0, 0]


def test_colour_masks_and_deep_masks():
    color = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    np.testing.assert_array_equal(colored_mask(Image.fromarray(color)), color)
    deep = Image.fromarray(np.array([[0, 60000]], np.uint16))
    assert colored_mask(deep, PALETTE)[0, 0].tolist() == list(PALETTE[0])


def test_deep_pictures_are_stretched_and_exif_is_followed(tmp_path):
    deep = to_rgb(Image.fromarray(np.array([[1000, 3000]], np.uint16)))
    assert deep[0, :, 0].tolist() == [0, 255]
    assert to_rgb(Image.fromarray(np.full((2, 2), 7, np.uint16))).max() == 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (30, 10)).save(tmp_path / 'e.jpg', exif=exif)
    assert to_rgb(Image.open(tmp_path / 'e.jpg')).shape == (30, 10, 3)


def test_boxes_are_frames_and_bad_ones_are_red():
    picture = np.zeros((100, 100, 3), np.uint8)
    drawn = draw_boxes(picture, [[10, 20, 50, 60]])
    assert drawn[20, 30].tolist() == list(BOX_COLOR)
    assert drawn[40, 30].tolist() == [0, 0, 0]
    for bad in ([30, 30, 30, 60], [60, 20, 20, 60], [-5, 10, 50, 50], [10, 10, 5000, 50]):
        assert list(BAD_BOX_COLOR) in draw_boxes(picture, [bad]).reshape(-1, 3).tolist(), bad
    np.testing.assert_array_equal(draw_boxes(picture, [[0, 0, float('nan'), 5]]), picture)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [(None, 'no such file'), (b'', 'empty file'), (b'nope' * 9, 'not a picture'), ('cut', 'truncated')],
)
def test_a_broken_image_has_a_placeholder_with_the_reason(pair, content, reason):
    image, mask = pair
    if content == 'cut':
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(image)
        image.write_bytes(image.read_bytes()[:3000])
    elif content is None:
        image.unlink()
    else:
        image.write_bytes(content)
    thumbnail = make_thumbnail(image, mask)
    assert thumbnail.picture is None
    assert reason in thumbnail.placeholder


def test_a_broken_mask_is_said_below_the_image(pair):
    image, mask = pair
    mask.write_bytes(b'')
    thumbnail = make_thumbnail(image, mask, lines=['first'])
    assert list(thumbnail.lines) == ['first', 'mask: empty file']
    np.testing.assert_allclose(shown(thumbnail)[5, 5], [100, 100, 100], atol=3)


def test_nothing_at_all_and_a_mask_alone(pair):
    assert make_thumbnail(None).placeholder == 'no file'
    assert shown(make_thumbnail(None, pair[1], palette=PALETTE)).shape == (240, 320, 3)


def test_huge_pictures_are_not_decoded(pair, monkeypatch):
    monkeypatch.setattr(thumbnails, 'MAX_PIXELS', 700)
    assert make_thumbnail(pair[0]).placeholder == '32 x 24 pixels are too many to show'


@pytest.mark.parametrize('size_hw', [(1, 1), (1, 3000), (3000, 1), (32, 32), (700, 500)])
def test_every_size_fits_and_none_vanishes(size_hw):
    picture = side_by_side([np.zeros((*size_hw, 3), np.uint8)], SIZE_WH)
    assert 1 <= picture.shape[0] <= SIZE_WH[1]
    assert 1 <= picture.shape[1] <= SIZE_WH[0]


def test_arrays_keep_their_pixels():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[0, 0] = 255
    found = shown(array_thumbnail(picture, 'cifar#3'))
    # 240 / 32, rounded down.
    assert found.shape == (224, 224, 3)
    assert (found[:7, :7] == 255).all()
    assert found[7:].max() == 0
