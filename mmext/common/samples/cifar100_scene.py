"""Pictures of 32 x 32 pixels: one object in its coat, anywhere on a background that says nothing about its class."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmext.common.samples.cifar100_names import COARSE_OF_FINE, PLACE_OF_FINE
from mmext.common.samples.cifar100_shapes import COATS, SHAPES
from mmext.common.samples.voc_objects_brush import Brush, Pose

SIZE = 32
HEIGHT_PX = (15.0, 23.0)  # of the object; wide ones are limited by their width
WIDTH_PX = (17.0, 27.0)
SEEN_COVER = 0.5


def background(rng: np.random.Generator) -> np.ndarray:
    """Float32 RGB (32, 32, 3) in 0..255: two dull colours that run into each other, smears, and short strokes."""
    first, last = (rng.uniform(90, 190) + rng.uniform(-28, 28, 3) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    v, u = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE - 0.5
    share = (0.5 + 0.7 * (u * np.cos(angle) + v * np.sin(angle))).clip(0, 1)[..., None]
    image = np.float32(first * (1 - share) + last * share)
    grain = rng.normal(0, 1, (8, 8, 3)).astype(np.float32)
    image += 14 * cv2.resize(grain, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 4, image.shape).astype(np.float32)
    for _ in range(rng.integers(3, 8)):
        x, y = rng.integers(0, SIZE, 2).tolist()
        dx, dy = rng.integers(-5, 6, 2).tolist()
        colour = (rng.uniform(70, 200) + rng.uniform(-45, 45, 3)).tolist()
        cv2.line(image, (x, y), (x + dx, y + dy), colour, int(rng.integers(1, 3)))
    return image


def render_class(key: Sequence[int], fine: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture of a class.

    Args:
        key: Numbers, 0 or greater, that seed it.
        fine: Index of the fine class, 0..99; the coarse class decides the outline, the place in it the coat.

    Returns:
        Picture (32, 32, 3) RGB uint8, and where the object is, (32, 32) bool.
    """
    rng = np.random.Generator(np.random.PCG64(list(key)))
    draw, aspect = SHAPES[COARSE_OF_FINE[fine]]
    height = min(rng.uniform(*HEIGHT_PX), rng.uniform(*WIDTH_PX) / aspect)
    half, turn = 0.5 * aspect * height, rng.uniform(-0.2, 0.2)
    image = background(rng)
    # Turning and stretching may put a tip outside, as a hasty photograph would.
    x = rng.uniform(half, SIZE - half)
    y = rng.uniform(height, SIZE)
    pose = Pose(x, y, height, rng.random() < 0.5, turn, rng.uniform(0.92, 1.08), rng.uniform(0.85, 1.1))
    brush = Brush((SIZE, SIZE), pose)
    draw(brush, COATS[PLACE_OF_FINE[fine]])
    colour, cover = brush.finish()
    image = image * (1 - cover[..., None]) + colour
    return np.round(image.clip(0, 255)).astype(np.uint8), cover >= SEEN_COVER
