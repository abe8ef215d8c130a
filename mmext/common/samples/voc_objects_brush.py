"""Draws one object on a layer of its own: colour and coverage come from the same outlines.

Object frame: x to the right, y up, origin at the middle of the foot, 1 = the object's height. Pixel frame: x to the
right, y down, pixel (0, 0) covers [0, 1) x [0, 1). H x W pixels; colours are RGB in 0..255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# each pixel is drawn as OVERSAMPLING x OVERSAMPLING pixels and averaged
OVERSAMPLING = 3
_SHIFT = 4  # binary places of cv2's fixed-point coordinates

Colour = Sequence[float]
Points = Sequence[Sequence[float]] | np.ndarray


def shade(colour: Colour, factor: float) -> tuple[float, float, float]:
    """The colour made darker (factor below 1) or lighter."""
    return tuple(min(255.0, max(0.0, value * factor)) for value in colour)


def one_of(rng: np.random.Generator, choices: Sequence) -> Any:
    """Draws one of the choices, all equally likely."""
    return choices[rng.integers(len(choices))]


def circle(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0, corners: int = 28) -> np.ndarray:
    """Outline (corners, 2) of an ellipse with half axes ``rx`` and ``ry``, turned by ``turn`` radians."""
    angles = np.arange(corners) * (2 * np.pi / corners)
    u, v = rx * np.cos(angles), (rx if ry is None else ry) * np.sin(angles)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


def rect(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Outline (4, 2) of an upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


def rounded(points: Points, rounds: int = 2) -> np.ndarray:
    """Cuts the corners of a closed outline (N, 2) again and again (Chaikin); returns (N * 2**rounds, 2)."""
    points = np.asarray(points, dtype=float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def panel(x0: float, x1: float, y0: float, y1: float, radius: float) -> np.ndarray:
    """Outline of an upright rectangle whose corners are quarter circles."""
    angles = np.linspace(0, np.pi / 2, 5)
    arc = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    quarters = []
    for x, y, flip, order in ((x1, y1, (1, 1), 1), (x0, y1, (-1, 1), -1), (x0, y0, (-1, -1), 1), (x1, y0, (1, -1), -1)):
        quarters.append((arc * flip + (x - flip[0] * radius, y - flip[1] * radius))[::order])
    return np.concatenate(quarters)


@dataclass(frozen=True)
class Pose:
    """Where and how an object stands: pixel place of its foot, height in pixels, and small changes of its look."""

    x_px: float
    y_px: float
    height_px: float
    mirrored: bool = False
    turn: float = 0.0  # radians, anticlockwise
    stretch: float = 1.0  # of the width
    brightness: float = 1.0

    def to_pixels(self, points: Points) -> np.ndarray:
        """Object frame (N, 2) -> pixel frame (N, 2)."""
        points = np.asarray(points, dtype=float)
        x, y = points[:, 0] * self.stretch * (-1 if self.mirrored else 1), points[:, 1]
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        across, up = x * cosine - y * sine, x * sine + y * cosine
        return np.stack([self.x_px + across * self.height_px, self.y_px - up * self.height_px], axis=1)


class Brush:
    """Layer of H x W pixels that receives one object; what is painted later covers what was painted before."""

    def __init__(self, size_hw: tuple[int, int], pose: Pose) -> None:
        height, width = (side * OVERSAMPLING for side in size_hw)
        self.size_hw, self.pose = size_hw, pose
        self._rgb = np.zeros((height, width, 3), dtype=np.uint8)
        self._cover = np.zeros((height, width), dtype=np.uint8)
        self._low, self._high = np.full(2, np.inf), np.full(2, -np.inf)

    def _corners(self, points: Points, margin_px: float = 0.0) -> np.ndarray:
        pixels = self.pose.to_pixels(points)
        self._low = np.minimum(self._low, pixels.min(axis=0) - margin_px)
        self._high = np.maximum(self._high, pixels.max(axis=0) + margin_px)
        # a coordinate of cv2 names the middle of a pixel
        return np.round((pixels * OVERSAMPLING - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def _rgb_of(self, colour: Colour) -> tuple[float, float, float]:
        return shade(colour, self.pose.brightness)

    def fill(self, points: Points, colour: Colour) -> None:
        """Paints the area inside a closed outline (N, 2)."""
        corners = [self._corners(points)]
        cv2.fillPoly(self._rgb, corners, self._rgb_of(colour), shift=_SHIFT)
        cv2.fillPoly(self._cover, corners, 255, shift=_SHIFT)

    def tint(self, points: Points, colour: Colour) -> None:
        """Paints the area inside a closed outline (N, 2) only where the object is already."""
        stencil = np.zeros_like(self._cover)
        pixels = np.round((self.pose.to_pixels(points) * OVERSAMPLING - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(stencil, [pixels], 255, shift=_SHIFT)
        self._rgb[(stencil & self._cover) > 0] = np.round(self._rgb_of(colour)).astype(np.uint8)

    def line(self, points: Points, width: float, colour: Colour, closed: bool = False) -> None:
        """Paints a line of ``width`` (object frame) with round ends through (N, 2)."""
        width_px = width * self.pose.height_px
        corners = [self._corners(points, width_px / 2)]
        thickness = max(1, round(width_px * OVERSAMPLING))
        cv2.polylines(self._rgb, corners, closed, self._rgb_of(colour), thickness, cv2.LINE_8, _SHIFT)
        cv2.polylines(self._cover, corners, closed, 255, thickness, cv2.LINE_8, _SHIFT)

    def extent_px(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all that was painted, in pixels, also outside of the layer."""
        return (*self._low.tolist(), *self._high.tolist())

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Colour times coverage (H, W, 3) in 0..255 and coverage (H, W) in 0..1, float32; lit from above."""
        height, width = self.size_hw
        rgb = cv2.resize(self._rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        cover = cv2.resize(self._cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        top, foot = self._low[1], self._high[1]
        down = (np.arange(height, dtype=np.float32) + 0.5 - top) / max(foot - top, 1.0)
        light = 1.1 - 0.24 * down.clip(0, 1)
        return np.minimum(rgb * light[:, None, None], 255 * cover[..., None]), cover
