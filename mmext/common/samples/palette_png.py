"""Colour reduction and atomic PNG writing for rendered samples.

A picture of few colours is stored in palette mode, at a third of the size of its RGB file; every reader expands it.
Integer arithmetic throughout, so that the palette does not depend on the machine or on Pillow's quantiser.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from mmext.common.files import replacing


def choose_palette(colours: np.ndarray, weights: np.ndarray, count: int, rounds: int = 6) -> np.ndarray:
    """Weighted k-means from a greedy farthest-point start.

    Args:
        colours: (M, 3) int64 distinct colours, 0..255.
        weights: (M,) int64 positive.
        count: palette size; fewer entries come back when M is smaller.

    Returns:
        (P, 3) int64 palette, P <= count.
    """
    if len(colours) <= count:
        return colours
    chosen = [int(np.argmax(weights))]
    nearest = ((colours - colours[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(count - 1):
        chosen.append(int(np.argmax(nearest * weights)))
        nearest = np.minimum(nearest, ((colours - colours[chosen[-1]]) ** 2).sum(axis=1))
    palette = colours[chosen]
    for _ in range(rounds):
        owner = nearest_entry(colours, palette)
        # sums of integers below 2**53 are exact in float64, whatever their order
        mass = np.maximum(np.bincount(owner, weights, count), 1).astype(np.int64)
        sums = [np.bincount(owner, weights * colours[:, k], count).astype(np.int64) for k in range(3)]
        palette = np.stack([(s + mass // 2) // mass for s in sums], axis=1)
    return palette


def nearest_entry(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Index of the palette entry (P, 3) nearest to each colour (M, 3); the first one wins a tie."""
    return ((colours[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)


def reduce_colours(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps an RGB image (H, W, 3) uint8 to indices (H, W) uint8 into a palette (P, 3) uint8 of at most ``count``.

    Colours count by the square root of their pixels: a small red sign keeps its red next to a large grey road.
    """
    coarse = (image >> 3).astype(np.int64)
    codes, inverse, pixels = np.unique(
        coarse[..., 0] << 10 | coarse[..., 1] << 5 | coarse[..., 2], return_inverse=True, return_counts=True
    )
    colours = np.stack([codes >> 10, codes >> 5 & 31, codes & 31], axis=1) * 8 + 4
    palette = choose_palette(colours, np.floor(np.sqrt(pixels)).astype(np.int64), count)
    # neighbours in brightness get neighbouring indices, which packs better
    palette = palette[np.argsort(palette @ np.array([299, 587, 114]), kind='stable')]
    indices = nearest_entry(colours, palette)[inverse.reshape(image.shape[:2])]
    return indices.astype(np.uint8), palette.astype(np.uint8)


def write_png(path: Path, pixels: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Writes (H, W) uint8 as grey PNG, or as palette PNG when ``palette`` (P, 3) is given; atomic."""
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    with replacing(path) as unfinished:
        picture.save(unfinished, format='PNG', optimize=True)
