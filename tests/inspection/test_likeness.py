import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.inspection.likeness import (
    SAME_PICTURE,
    SIDE,
    SURE_PICTURE,
    Likeness,
    compare_aligned,
    same_color,
    without_trend,
)
from mmext.inspection.perceptual_hashes import fingerprint_pixels

PICTURES = runpy.run_path(str(Path(__file__).with_name('pictures.py')))
COPIES, make_photo = PICTURES['COPIES'], PICTURES['make_photo']


def thumb_of(picture: Image.Image) -> np.ndarray:
    return fingerprint_pixels(np.asarray(picture)).thumb


def likeness_of(pictures: list[Image.Image]) -> Likeness:
    prints = [fingerprint_pixels(np.asarray(picture)) for picture in pictures]
    return Likeness(np.stack([found.thumb for found in prints]), np.stack([found.color for found in prints]))


def compare(first: Image.Image, second: Image.Image, mirrored: bool = False) -> tuple[float, float]:
    likeness = likeness_of([first, second])
    structure, detail = likeness.compare(np.array([0]), np.array([1]), np.array([mirrored]))
    return float(structure[0]), float(detail[0])


def correlation_by_hand(first: np.ndarray, second: np.ndarray) -> float:
    """Of the rests after a least-squares fit of a parabola; an independent way."""
    rests = []
    for picture in (first, second):
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(float)
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).reshape(-1, 6)
        fit, *_ = np.linalg.lstsq(terms, picture.reshape(-1).astype(float), rcond=None)
        rests.append(picture.reshape(-1) - terms @ fit)
    return float(np.corrcoef(*rests)[0, 1])


def test_structure_is_the_correlation_of_the_rests():
    rng = np.random.default_rng(0)
    for _ in range(5):
        first = thumb_of(make_photo(int(rng.integers(1000))))
        second = (0.6 * first + 20 + rng.normal(0, 4, first.shape)).clip(0, 255).astype(np.uint8)
        likeness = Likeness(np.stack([first, second]), np.zeros((2, 8, 8, 2), np.int16))
        found = float((likeness.structure[0] * likeness.structure[1]).sum())
        assert found == pytest.approx(correlation_by_hand(first, second), abs=1e-4)


def test_no_parabola_is_left():
    y, x = np.mgrid[-1 : 1 : 1j * SIDE, -1 : 1 : 1j * SIDE].astype(np.float32)
    assert np.abs(without_trend(100 + 30 * x - 20 * y + 9 * x * y - 15 * y * y)).max() < 1e-3


def test_the_same_picture_is_one_and_order_does_not_matter():
    first, second = make_photo(1), COPIES['compressed'][0](make_photo(1))
    assert compare(first, first) == pytest.approx((1, 1), abs=1e-5)
    assert compare(first, second) == pytest.approx(compare(second, first), abs=0.02)


@pytest.mark.parametrize('name', COPIES)
@pytest.mark.parametrize('size_hw', [(32, 32), (180, 240)])
def test_copies_agree(name, size_hw):
    copy, kind = COPIES[name]
    reached = []
    for seed in range(20):
        picture = make_photo(seed, size_hw)
        reached.append(SAME_PICTURE.reached(*compare(picture, copy(picture), kind == 'mirrored')))
    assert np.mean(reached) >= (0.8 if size_hw == (32, 32) and 'resized' in name else 0.95)


def test_different_pictures_do_not():
    pictures = [make_photo(seed, (32, 32)) for seed in range(60)]
    first, second = np.triu_indices(60, 1)
    structure, detail = likeness_of(pictures).compare(first, second, np.zeros(len(first), bool))
    assert not SAME_PICTURE.reached(structure, detail).any()


@pytest.mark.parametrize('level', [0, 128])
def test_flat_pictures_say_nothing(level):
    rng = np.random.default_rng(0)
    y = np.linspace(0, 60, 64)[:, None, None]
    skies = [(level + y + rng.normal(0, 3, (64, 64, 3))).clip(0, 255).astype(np.uint8) for _ in range(4)]
    likeness = likeness_of([Image.fromarray(sky) for sky in skies])
    assert likeness.flat.all()
    first, second = np.triu_indices(4, 1)
    structure, detail = likeness.compare(first, second, np.zeros(len(first), bool))
    assert not structure.any()
    assert not detail.any()


def test_night_frames_are_not_alike():
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(40):
        frame = rng.normal(8, 3, (96, 160, 3))
        for _ in range(6):
            y, x = rng.integers(0, 90), rng.integers(0, 150)
            frame[y : y + 6, x : x + 8] += rng.uniform(80, 240)
        frames.append(Image.fromarray(frame.clip(0, 255).astype(np.uint8)))
    first, second = np.triu_indices(40, 1)
    structure, detail = likeness_of(frames).compare(first, second, np.zeros(len(first), bool))
    assert not SAME_PICTURE.reached(structure, detail).any()


def test_a_crop_is_found_by_laying_it_over():
    picture = make_photo(5, (400, 400))
    first, second = thumb_of(picture), thumb_of(picture.crop((30, 5, 390, 365)))
    as_they_lie = correlation_by_hand(first, second)
    assert as_they_lie < SAME_PICTURE.structure
    assert min(compare_aligned(first, second)) > max(0.9, as_they_lie)
    assert SURE_PICTURE.reached(*compare_aligned(second, first))


def test_colours():
    gray = np.zeros((1, 8, 8, 2), np.int16)
    red, blue = gray.copy(), gray.copy()
    red[..., 0], blue[..., 1] = 60, 60
    pale = (red * 0.7).astype(np.int16)
    assert same_color(red, red)
    assert same_color(red, pale)
    assert not same_color(red, blue)
    assert same_color(red, gray)  # a grey copy has no colour to compare
    assert same_color(gray, gray)
    # sqrt(60^2 / 2 * 2) / sqrt(60^2 / 2) is the square root of two, far above the bound.
    assert not same_color(np.concatenate([red, blue]), np.concatenate([blue, red])).any()
