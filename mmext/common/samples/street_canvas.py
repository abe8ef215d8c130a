"""Z-buffered polygon canvas that paints a colour picture and its label mask from the same polygons.

World frame, metres: x to the right, y up from the ground, z forward; the camera stands at (x_m, height_m, 0) and looks
along +z. Everything is integers or elementwise IEEE float64 (no transcendental functions, no reductions), so that the
same calls give the same pixels on every machine.

Shapes: H x W pixels, N vertices of one planar polygon, K pixels that the polygon hits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SIZE_HW = (375, 1242)
NEAR_M = 0.7

# Cityscapes label ids of everything that is drawn: the 19 train classes first, then regions that training ignores
LABEL_IDS = {
    'road': 7,
    'sidewalk': 8,
    'building': 11,
    'wall': 12,
    'fence': 13,
    'pole': 17,
    'traffic light': 19,
    'traffic sign': 20,
    'vegetation': 21,
    'terrain': 22,
    'sky': 23,
    'person': 24,
    'rider': 25,
    'car': 26,
    'truck': 27,
    'bus': 28,
    'train': 31,
    'motorcycle': 32,
    'bicycle': 33,
    'unlabeled': 0,
    'static': 4,
    'dynamic': 5,
    'ground': 6,
    'parking': 9,
    'rail track': 10,
}

Colour = Sequence[int]
# maps world x, y, z (each (K,), metres) to RGB (K, 3) in 0..255
Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def hash_noise(a: np.ndarray, b: np.ndarray, salt: int = 0) -> np.ndarray:
    """Uniform noise 0..255 (int64) that depends only on the integer cell (a, b) and the salt; broadcasts."""
    # wraps modulo 2**64, and only the low 32 bits are used
    a, b = (np.asarray(v).astype(np.int64).view(np.uint64) for v in (a, b))
    h = a * np.uint64(374761393) + (b * np.uint64(668265263) + np.uint64(salt * 2246822519 % 2**32))
    h &= np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    h *= np.uint64(1274126177)
    # bits 7..14 of the low word, after folding its upper half in
    h ^= (h & np.uint64(0xFFFFFFFF)) >> np.uint64(16)
    h >>= np.uint64(7)
    h &= np.uint64(255)
    return h.view(np.int64)


def cell(values: np.ndarray, size: float) -> np.ndarray:
    """Integer index of the cell of ``size`` that each value lies in."""
    return np.floor(values / size).astype(np.int64)


def value_noise(x: np.ndarray, y: np.ndarray, size: float, salt: int = 0) -> np.ndarray:
    """Smooth noise 0..255 (float64) with features of ``size``: bilinear between ``hash_noise`` lattice points."""
    ix, iy = cell(x, size), cell(y, size)
    fx, fy = x / size - ix, y / size - iy
    top = hash_noise(ix, iy, salt) * (1 - fx) + hash_noise(ix + 1, iy, salt) * fx
    bottom = hash_noise(ix, iy + 1, salt) * (1 - fx) + hash_noise(ix + 1, iy + 1, salt) * fx
    return top * (1 - fy) + bottom * fy


@dataclass(frozen=True)
class Camera:
    """Pinhole camera without pitch or roll; ``cx_px`` moves with the yaw, ``horizon_px`` with the pitch."""

    focal_px: float = 720.0
    height_m: float = 1.65
    x_m: float = 0.0
    cx_px: float = 621.0
    horizon_px: float = 172.0


def clip_near(points: np.ndarray) -> np.ndarray:
    """Cuts a polygon (N, 3) at z = NEAR_M; returns (M, 3), M = 0 when it lies behind the camera."""
    if (points[:, 2] >= NEAR_M).all():
        return points
    kept = []
    for p, q in zip(points, np.roll(points, -1, axis=0), strict=True):
        if p[2] >= NEAR_M:
            kept.append(p)
        if (p[2] >= NEAR_M) != (q[2] >= NEAR_M):
            kept.append(p + (q - p) * ((NEAR_M - p[2]) / (q[2] - p[2])))
    return np.array(kept, dtype=np.float64).reshape(-1, 3)


def plane_of(points: np.ndarray) -> tuple[float, float, float]:
    """Normal of a planar polygon (N, 3) by Newell's sum; not of unit length."""
    nx = ny = nz = 0.0
    vertices = points.tolist()
    for (x0, y0, z0), (x1, y1, z1) in zip(vertices, vertices[1:] + vertices[:1], strict=True):
        nx += (y0 - y1) * (z0 + z1)
        ny += (z0 - z1) * (x0 + x1)
        nz += (x0 - x1) * (y0 + y1)
    return nx, ny, nz


def inside_polygon(uv: np.ndarray, us: np.ndarray, vs: np.ndarray) -> np.ndarray:
    """Even-odd test of pixel centres ``us`` (w,) x ``vs`` (h,) in the polygon ``uv`` (N, 2); returns bool (h, w)."""
    inside = np.zeros((len(vs), len(us)), dtype=bool)
    corners = uv.tolist()
    for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if v0 == v1:
            continue
        crosses = (v0 <= vs) != (v1 <= vs)
        at = u0 + (vs - v0) * ((u1 - u0) / (v1 - v0))
        inside ^= crosses[:, None] & (us[None, :] < at[:, None])
    return inside


class Canvas:
    """Colour (H, W, 3) int64, label ids (H, W) uint8 and depth (H, W) metres of one frame under construction."""

    def __init__(self, camera: Camera, sun: tuple[float, float, float], ambient: float) -> None:
        self.camera, self.sun, self.ambient = camera, sun, ambient
        self.rgb = np.zeros((*SIZE_HW, 3), dtype=np.int64)
        self.ids = np.full(SIZE_HW, LABEL_IDS['sky'], dtype=np.uint8)
        self.depth = np.full(SIZE_HW, 1e6)

    def light_on(self, normal: tuple[float, float, float], towards: np.ndarray) -> float:
        """Brightness factor of a plane seen from the camera: ambient plus Lambert's cosine of the sun."""
        nx, ny, nz = normal
        length = (nx * nx + ny * ny + nz * nz) ** 0.5
        if nx * towards[0] + ny * towards[1] + nz * towards[2] > 0:
            length = -length
        cosine = (nx * self.sun[0] + ny * self.sun[1] + nz * self.sun[2]) / length
        return self.ambient + (1 - self.ambient) * max(0.0, cosine)

    def _hits(self, points: np.ndarray, closer: Callable[[np.ndarray, np.ndarray], np.ndarray]):
        """Rows, columns and depth (each (K,)) of the pixels that the polygon covers and ``closer(z, old)`` admits."""
        cam = self.camera
        points = clip_near(points - np.array([cam.x_m, cam.height_m, 0.0]))
        if len(points) < 3:
            return None
        uv = np.stack(
            [
                cam.cx_px + cam.focal_px * points[:, 0] / points[:, 2],
                cam.horizon_px - cam.focal_px * points[:, 1] / points[:, 2],
            ],
            axis=1,
        )
        u0, v0 = np.maximum(np.floor(uv.min(axis=0)), 0).astype(int)
        u1 = min(int(np.ceil(uv[:, 0].max())), SIZE_HW[1] - 1)
        v1 = min(int(np.ceil(uv[:, 1].max())), SIZE_HW[0] - 1)
        if u1 < u0 or v1 < v0:
            return None
        us, vs = np.arange(u0, u1 + 1) + 0.5, np.arange(v0, v1 + 1) + 0.5
        normal = plane_of(points)
        slope = (
            normal[0] * ((us - cam.cx_px) / cam.focal_px)[None, :]
            + normal[1] * ((cam.horizon_px - vs) / cam.focal_px)[:, None]
            + normal[2]
        )
        slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        offset = normal[0] * points[0, 0] + normal[1] * points[0, 1] + normal[2] * points[0, 2]
        z = offset / slope
        hit = inside_polygon(uv, us, vs) & (z > 0) & closer(z, self.depth[v0 : v1 + 1, u0 : u1 + 1])
        rows, cols = np.nonzero(hit)
        return rows + v0, cols + u0, z[rows, cols], normal, points[0]

    def polygon(
        self,
        points: Sequence[Sequence[float]],
        colour: Colour | Texture,
        label: str,
        alpha: int = 256,
        lit: bool = True,
        decal: bool = False,
    ) -> None:
        """Paints one planar polygon.

        Args:
            points: (N, 3) world vertices in metres.
            colour: RGB 0..255, or a texture.
            label: key of LABEL_IDS.
            alpha: opacity 0..256; the label is always written in full, as annotators outline see-through objects.
            lit: whether the sun shades it (lamps and signs glow by themselves).
            decal: lies on a plane painted before, so wins over an equal depth.
        """
        slack = 1.004 if decal else 1.0
        found = self._hits(np.asarray(points, dtype=np.float64), lambda z, old: z < old * slack)
        if found is None:
            return
        rows, cols, z, normal, towards = found
        light = int(256 * self.light_on(normal, towards)) if lit else 256
        if callable(colour):
            cam = self.camera
            x = cam.x_m + (cols + 0.5 - cam.cx_px) * z / cam.focal_px
            y = cam.height_m + (cam.horizon_px - rows - 0.5) * z / cam.focal_px
            paint = np.asarray(colour(x, y, z)).astype(np.int64)
        else:
            paint = np.asarray(colour, dtype=np.int64)[None, :]
        paint = paint * light >> 8
        self.rgb[rows, cols] = self.rgb[rows, cols] * (256 - alpha) + paint * alpha >> 8
        self.ids[rows, cols] = LABEL_IDS[label]
        self.depth[rows, cols] = np.minimum(z, self.depth[rows, cols])

    def shadow(self, points_xz: Sequence[Sequence[float]], strength: int) -> None:
        """Darkens the bare ground inside a polygon (N, 2) of (x, z) by ``strength`` of 256."""
        points = np.array([(x, 0.0, z) for x, z in points_xz], dtype=np.float64)
        found = self._hits(points, lambda z, old: (z < old * 1.01) & (z > old * 0.99))
        if found is not None:
            rows, cols = found[:2]
            self.rgb[rows, cols] = self.rgb[rows, cols] * (256 - strength) >> 8
