"""Pictures of many scales, as photos are, and copies of them."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def make_photo(seed: int, size_hw: tuple[int, int] = (120, 160), largest: int = 160) -> Image.Image:
    """Noise whose amplitudes fall with the frequency, like those of photos, in colours of its own.

    Args:
        seed: Another seed, another picture.
        size_hw: Height and width.
        largest: Size in pixels of the largest things in it.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(size_hw[0])[:, None], np.fft.rfftfreq(size_hw[1])[None]
    decay = np.maximum(np.hypot(rows, columns), 1 / min(largest, max(size_hw))) ** -1.5
    planes = []
    for _ in range(2):
        spectrum = decay * np.exp(2j * np.pi * rng.random(decay.shape))
        plane = np.fft.irfft2(spectrum, size_hw)
        planes.append((plane - plane.mean()) / plane.std())
    tint = rng.uniform(-25, 25, 3)
    picture = 128 + 45 * planes[0][..., None] + planes[1][..., None] * tint + tint
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def compress(picture: Image.Image, quality: int = 60) -> Image.Image:
    """After a trip through JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, 'JPEG', quality=quality)
    with Image.open(buffer) as copy:
        return copy.convert('RGB')


def crop(picture: Image.Image, share: float = 0.97, at: float = 0.7) -> Image.Image:
    """What is left of both sides, a little off the middle."""
    width, height = picture.size
    inner = round(width * share), round(height * share)
    left, top = (round((side - part) * at) for side, part in zip(picture.size, inner, strict=True))
    return picture.crop((left, top, left + inner[0], top + inner[1]))


def brighten(picture: Image.Image) -> Image.Image:
    """A quarter brighter; what was bright is cut off at white."""
    return ImageEnhance.Brightness(picture).enhance(1.25)


def shrink(picture: Image.Image) -> Image.Image:
    """At 60 % of the size."""
    return picture.resize([round(side * 0.6) for side in picture.size])


# Name -> copy, kind that it is to be found as.
COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    'resaved': (lambda picture: picture, 'same-pixels'),
    'resized': (shrink, 'near-duplicate'),
    'compressed': (compress, 'near-duplicate'),
    'brighter': (brighten, 'near-duplicate'),
    'cropped': (crop, 'near-duplicate'),
    'mirrored': (ImageOps.mirror, 'mirrored'),
    'mirrored and compressed': (lambda picture: compress(ImageOps.mirror(picture)), 'mirrored'),
}
