"""Placing meshes on a Canvas: poses, outlines, colours that several kinds of object share.

A ``Pose`` has local axes: x to the side, y up, z along the object with its front at +z; metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmext.common.samples.street_canvas import Canvas, Colour

# 14 points of the unit circle, written out so that no libm is involved
CIRCLE = (
    (1.0, 0.0),
    (0.901, 0.434),
    (0.623, 0.782),
    (0.223, 0.975),
    (-0.223, 0.975),
    (-0.623, 0.782),
    (-0.901, 0.434),
    (-1.0, 0.0),
    (-0.901, -0.434),
    (-0.623, -0.782),
    (-0.223, -0.975),
    (0.223, -0.975),
    (0.623, -0.782),
    (0.901, -0.434),
)
TYRE, GLASS, CHROME = (26, 26, 28), (44, 54, 64), (150, 152, 156)
TAIL_LIGHT, HEAD_LIGHT, PLATE = (176, 24, 22), (236, 236, 214), (214, 214, 204)


@dataclass(frozen=True)
class Pose:
    """Place (x, z) on the ground and heading (cosine, sine) of an object; (1, 0) drives along +z."""

    canvas: Canvas
    x: float
    z: float
    heading: tuple[float, float] = (1.0, 0.0)

    def world(self, points: Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
        c, s = self.heading
        return [(self.x + c * lx + s * lz, y, self.z - s * lx + c * lz) for lx, y, lz in points]

    def face(self, points: Sequence[Sequence[float]], colour, label: str, **options) -> None:
        self.canvas.polygon(self.world(points), colour, label, **options)

    def side(self, x: float, outline: Sequence[Sequence[float]], colour, label: str, **options) -> None:
        """Polygon in the plane local x = ``x``; ``outline`` is (z, y)."""
        self.face([(x, y, z) for z, y in outline], colour, label, **options)

    def front(self, z: float, outline: Sequence[Sequence[float]], colour, label: str, **options) -> None:
        """Polygon in the plane local z = ``z``; ``outline`` is (x, y)."""
        self.face([(x, y, z) for x, y in outline], colour, label, **options)

    def box(self, xs, ys, zs, colour, label: str, **options) -> None:
        """Axis-aligned box (local) without its bottom."""
        (x0, x1), (y0, y1), (z0, z1) = xs, ys, zs
        for x in xs:
            self.side(x, rect(z0, z1, y0, y1), colour, label, **options)
        for z in zs:
            self.front(z, rect(x0, x1, y0, y1), colour, label, **options)
        self.face([(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)], colour, label, **options)

    def shadow(self, half_x: float, half_z: float, strength: int = 130) -> None:
        """Soft contact shadow: two nested polygons, the outer one wider by 0.25 m."""
        for grow, part in ((0.25, strength // 2), (0.0, strength)):
            a, b = half_x + grow, half_z + grow
            corners = [(-a, 0, -b * 0.9), (-a * 0.9, 0, -b), (a * 0.9, 0, -b), (a, 0, -b * 0.9)]
            corners += [(-x, y, -z) for x, y, z in corners]
            self.canvas.shadow([(x, z) for x, _, z in self.world(corners)], part)


def rect(a0: float, a1: float, b0: float, b1: float) -> list[tuple[float, float]]:
    """Corners of a rectangle, in order."""
    return [(a0, b0), (a1, b0), (a1, b1), (a0, b1)]


def disc(a: float, b: float, radius: float, squeeze: float = 1.0) -> list[tuple[float, float]]:
    """A 14-gon about (a, b); ``squeeze`` scales its first axis."""
    return [(a + radius * squeeze * ca, b + radius * cb) for ca, cb in CIRCLE]


def limb(a: Sequence[float], b: Sequence[float], width: float) -> list[tuple[float, float]]:
    """A bar of ``width`` from ``a`` to ``b`` in a plane."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    px, py = -dy / length * width / 2, dx / length * width / 2
    return [(a[0] + px, a[1] + py), (b[0] + px, b[1] + py), (b[0] - px, b[1] - py), (a[0] - px, a[1] - py)]


def shade(colour: Colour, percent: int) -> tuple[int, ...]:
    """Colour scaled by ``percent``, clipped to 255."""
    return tuple(min(255, c * percent // 100) for c in colour)


def fade(z: np.ndarray, reach_m: float) -> np.ndarray:
    """Weight 1 near the camera to 0 at ``reach_m``: fine texture would only alias further away."""
    return np.clip(1.2 - z / reach_m, 0.0, 1.0)


def tint(colour, factor: np.ndarray) -> np.ndarray:
    """Colour (3,) times a per-pixel factor (K,), clipped to 0..255; returns (K, 3)."""
    return np.clip(np.asarray(colour)[None, :] * factor[:, None], 0, 255)
