"""How a stored frame becomes the picture that a player shows: upright, with square pixels; and even sides for codecs.

A picture is (H, W, 3) or (H, W).
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np


class Orientation(NamedTuple):
    """Steps that turn a stored picture upright, in this order.

    Attributes:
        transpose: Swap rows and columns.
        mirror: Swap left and right.
        flip: Swap top and bottom.
    """

    transpose: bool = False
    mirror: bool = False
    flip: bool = False


def orientation_of(matrix: Sequence[int]) -> Orientation:
    """The orientation that a display matrix means.

    Args:
        matrix: Nine numbers a b u, c d v, x y w of ISO 14496-12: the pixel at (x, y) is shown at
            (a x + c y, b x + d y). Angles between multiples of 90 degrees count as the nearest of them.
    """
    a, b, _, c, d = matrix[:5]
    if abs(a) >= abs(b):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def upright(picture: np.ndarray, orientation: Orientation) -> np.ndarray:
    """The picture as it is to be shown, contiguous in memory; the same array if it is upright already."""
    if orientation == Orientation():
        return picture
    if orientation.transpose:
        picture = np.swapaxes(picture, 0, 1)
    if orientation.mirror:
        picture = picture[:, ::-1]
    if orientation.flip:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def square_pixel_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height with square pixels; no side shrinks.

    Args:
        width: Of the stored picture.
        height: Of the stored picture.
        aspect: Width of a stored pixel by its height (sample aspect ratio); None or 0 if the file does not say.
    """
    if not aspect or aspect == 1:
        return width, height
    if aspect > 1:
        return math.floor(width * aspect + Fraction(1, 2)), height
    return width, math.floor(height / aspect + Fraction(1, 2))


def even_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """The next size whose sides are even, as 4:2:0 chroma needs: an odd side grows by one pixel."""
    return tuple(side + side % 2 for side in size_hw)


def pad_to_even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row or column where a side is odd; the same array where none is."""
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return picture
    return cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
