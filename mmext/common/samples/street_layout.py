"""Geometry, ground, sky and light of one street frame.

Shapes: H x W pixels; lateral places are metres from the road's axis, left negative.
"""

from dataclasses import dataclass

import numpy as np

from mmext.common.samples.street_canvas import LABEL_IDS, SIZE_HW, Camera, Canvas, cell, hash_noise, value_noise
from mmext.common.samples.street_mesh import fade, shade


@dataclass(frozen=True)
class Weather:
    """Light of a frame. Colours RGB 0..255; ``gain`` in 1/256 per channel; ``haze_m``: depth that halves contrast."""

    zenith: tuple[int, int, int]
    skyline: tuple[int, int, int]
    cloud: tuple[int, int, int]
    clouds: float
    gain: tuple[int, int, int]
    ambient: float
    haze_m: float
    shadow: int


WEATHERS = (
    Weather((84, 136, 200), (196, 214, 230), (244, 246, 248), 0.5, (290, 280, 260), 0.5, 420, 120),
    Weather((110, 156, 210), (220, 228, 232), (250, 250, 248), 0.2, (300, 284, 250), 0.45, 500, 130),
    Weather((190, 194, 198), (226, 228, 228), (166, 170, 176), 0.8, (252, 256, 262), 0.85, 260, 0),
    Weather((150, 154, 162), (206, 206, 204), (120, 124, 132), 0.9, (228, 234, 244), 0.85, 150, 0),
    Weather((104, 112, 156), (238, 196, 160), (206, 158, 146), 0.5, (236, 204, 196), 0.6, 300, 50),
)


class Street:
    """Geometry of one frame: where the road, its edges and the free places are."""

    def __init__(self, rng: np.random.Generator, sides: tuple[str, str], weather: Weather) -> None:
        self.rng, self.sides, self.weather = rng, sides, weather
        self.half = 3.4 + 1.2 * rng.random()
        self.bend = (rng.random() - 0.5) * 0.0012
        self.walk = (1.8 + 1.2 * rng.random(), 1.8 + 1.2 * rng.random())
        self.parking = tuple(2.2 if rng.random() < 0.35 else 0.0 for _ in range(2))
        camera = Camera(
            x_m=self.half * (0.35 + 0.3 * rng.random()),
            cx_px=float(rng.integers(480, 761)),
            horizon_px=float(rng.integers(158, 189)),
            height_m=1.55 + 0.2 * rng.random(),
        )
        side = 1 if rng.random() < 0.5 else -1
        sun = (0.62 * side, 0.68, -0.39 if rng.random() < 0.7 else 0.39)
        self.canvas = Canvas(camera, sun, self.weather.ambient)
        self.taken: list[tuple[float, float, float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def edge(self, sign: int) -> float:
        """Distance from the road's axis to the outer border of the pavement on the left (-1) or right (+1)."""
        which = (sign + 1) // 2
        return self.half + self.parking[which] + self.walk[which]

    def kerb(self, sign: int) -> float:
        return self.half + self.parking[(sign + 1) // 2]

    def x(self, lateral: float, z: float) -> float:
        return lateral + self.bend * z * z

    def place(
        self, lateral: tuple[float, float], zs: tuple[float, float], size: tuple[float, float], margin_px: float = -400
    ) -> tuple[float, float] | None:
        """Finds and takes a free place.

        Args:
            lateral, zs: ranges to draw from, metres.
            size: half extents (x, z) that must not overlap a taken place, metres.
            margin_px: how far inside the left and right picture border the centre must lie; negative: outside.

        Returns:
            (x, z) in the world, or None when 30 tries fail.
        """
        cam, (rx, rz) = self.canvas.camera, size
        for _ in range(30):
            z, side = self.uniform(*zs), self.uniform(*lateral)
            x = self.x(side, z)
            column = cam.cx_px + cam.focal_px * (x - cam.x_m) / z
            if not margin_px <= column <= SIZE_HW[1] - margin_px:
                continue
            if all(abs(x - tx) > rx + trx or abs(z - tz) > rz + trz for tx, tz, trx, trz in self.taken):
                self.taken.append((x, z, rx, rz))
                return x, z
        return None


def turn(t: float) -> tuple[float, float]:
    """Heading (cosine, sine) of the angle 2 arctan(t): rational, so the same on every machine."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def paint_sky(street: Street) -> None:
    """Gradient from zenith to skyline with soft clouds."""
    weather, canvas = street.weather, street.canvas
    rows, cols = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    down = np.clip(rows / canvas.camera.horizon_px, 0, 1)[..., None]
    base = np.asarray(weather.zenith) * (1 - down) + np.asarray(weather.skyline) * down
    salt = int(street.rng.integers(1000))
    fluff = 0.65 * value_noise(cols, rows * 2.5, 150, salt) + 0.35 * value_noise(cols, rows * 2.5, 50, salt + 1)
    cover = np.clip((fluff / 255 - 0.5) * 4 * weather.clouds + 0.2 * weather.clouds, 0, 1)[..., None]
    canvas.rgb[:] = (base * (1 - cover) + np.asarray(weather.cloud) * cover).astype(np.int64)


def ground_strips(street: Street) -> tuple[list[float], list[str], list[tuple[int, int, int]]]:
    """Borders (n,) in metres across the road from left to right, with the n + 1 labels and colours between them."""
    rng = street.rng
    asphalt = street.rng.integers(74, 118)
    road = (int(asphalt), int(asphalt) + 1, int(asphalt) + 4)
    paving = ((150, 146, 138), (132, 130, 130), (160, 138, 122))[rng.integers(3)]
    grass = ((104, 116, 62), (120, 112, 70), (88, 104, 58), (142, 128, 86))[rng.integers(4)]
    sides = []
    for sign, kind in zip((-1, 1), street.sides, strict=True):
        which, out = (sign + 1) // 2, []
        at = street.half
        if street.parking[which]:
            out.append((at, 'parking', shade(road, 84)))
            at += street.parking[which]
        out += [(at, 'sidewalk', (176, 174, 168)), (at + 0.22, 'sidewalk', paving)]
        at += street.walk[which]
        if kind == 'town':
            out.append((at, 'ground', (128, 122, 112)))
        else:
            out.append((at, 'terrain', grass))
        if kind == 'rail':
            out += [(at + 2.0, 'rail track', (112, 100, 92)), (at + 5.0, 'terrain', grass)]
        sides.append(out)
    left, right = sides
    borders = [-a for a, _, _ in reversed(left)] + [a for a, _, _ in right]
    labels = [name for _, name, _ in reversed(left)] + ['road'] + [name for _, name, _ in right]
    colours = [c for _, _, c in reversed(left)] + [road] + [c for _, _, c in right]
    return borders, labels, colours


def lane_paint(street: Street, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Where the road carries white paint: dashed axis, edge lines, a zebra crossing, a tram rail pair."""
    rng, half = street.rng, street.half
    dash, phase = street.uniform(3.0, 6.0), street.uniform(0, 6)
    width = 0.07 + 0.04 * rng.random()
    paint = (np.abs(x) < width) & (np.mod(z + phase, 2 * dash) < dash)
    if rng.random() < 0.6:
        paint |= np.abs(np.abs(x) - half + 0.3) < width
    if rng.random() < 0.35:
        zebra = street.uniform(9, 20)
        paint |= (np.abs(z - zebra) < 1.6) & (np.mod(x, 1.0) < 0.5) & (np.abs(x) < half - 0.2)
    return paint


def paint_ground(street: Street) -> None:
    """Road, parking strips, pavements and verges by casting every pixel below the horizon on the plane y = 0."""
    canvas, rng = street.canvas, street.rng
    cam = canvas.camera
    top = int(cam.horizon_px) + 1
    rows, cols = np.mgrid[top : SIZE_HW[0], 0 : SIZE_HW[1]] + 0.5
    z = cam.focal_px * cam.height_m / (rows - cam.horizon_px)
    x = cam.x_m + (cols - cam.cx_px) * z / cam.focal_px - street.bend * z * z
    borders, labels, colours = ground_strips(street)
    strip = np.searchsorted(np.array(borders), x)
    ids = np.array([LABEL_IDS[name] for name in labels], dtype=np.uint8)[strip]
    rgb = np.array(colours)[strip].astype(np.float64)
    salt, near = int(rng.integers(1000)), fade(z, 45)
    grain = 0.94 + 0.12 * value_noise(x, z * 0.5, 0.9, salt) / 255
    grain += (hash_noise(cell(x, 0.06), cell(z, 0.16), salt) / 255 - 0.5) * 0.14 * near
    grass = np.isin(ids, [LABEL_IDS['terrain']])
    tufts = value_noise(x, z, 0.5, salt + 1) / 255 - 0.5 + hash_noise(cell(x, 0.1), cell(z, 0.2), salt) / 500 * near
    grain += np.where(grass, tufts * 0.5, 0.0)
    gravel = ids == LABEL_IDS['rail track']
    grain += np.where(gravel, (hash_noise(cell(x, 0.12), cell(z, 0.2), salt) / 255 - 0.5) * 0.5 * near, 0.0)
    slab = (ids == LABEL_IDS['sidewalk']) & ((np.mod(z, 1.1) < 0.06) | (np.mod(x, 0.75) < 0.035))
    grain -= np.where(slab, 0.2 * near, 0.0)
    rgb *= grain[..., None]
    road = ids == LABEL_IDS['road']
    patches = value_noise(x, z, 3.5, salt + 2) > 178
    rgb[road & patches] *= 0.88
    rgb[road & lane_paint(street, x, z)] = (222, 222, 216)
    rgb[(ids == LABEL_IDS['parking']) & (np.mod(z, 5.5) < 0.14)] = (206, 206, 200)
    canvas.rgb[top:], canvas.ids[top:], canvas.depth[top:] = rgb.astype(np.int64), ids, z


def cast_side_shadow(street: Street) -> None:
    """On sunny days the row of houses or trees on the sun's side throws a broken shadow over pavement and road."""
    strength = street.weather.shadow
    if not strength:
        return
    sign = 1 if street.canvas.sun[0] > 0 else -1
    z = 1.0
    while z < 70:
        length, reach = street.uniform(4, 14), street.uniform(0.5, street.half + 3.0)
        edge = street.edge(sign)
        lateral = [(edge, z), (edge - reach, z + 1.5), (edge - reach, z + length + 1.5), (edge, z + length)]
        street.canvas.shadow([(street.x(sign * a, b), b) for a, b in lateral], strength)
        z += length + street.uniform(1, 8)


def develop(street: Street) -> np.ndarray:
    """Haze by depth, the colour cast of the light, exposure and sensor noise; returns (H, W, 3) uint8."""
    weather, canvas, rng = street.weather, street.canvas, street.rng
    haze = (canvas.depth / (canvas.depth + weather.haze_m))[..., None]
    haze[canvas.depth >= 1e6] = 0.0
    rgb = canvas.rgb * (1 - haze) + np.asarray(weather.skyline) * haze
    exposure = street.uniform(0.95, 1.25)
    rgb = rgb * (np.asarray(weather.gain) / 256 * exposure)
    # the lens: a three-tap blur both ways, so that edges are not razor sharp
    for axis in (0, 1):
        padded = np.concatenate([rgb.take([0], axis), rgb, rgb.take([-1], axis)], axis)
        n = rgb.shape[axis]
        rgb = (padded.take(range(n), axis) + 6 * rgb + padded.take(range(2, n + 2), axis)) / 8
    rows, cols = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    noise = hash_noise(rows // 2, cols // 2, int(rng.integers(1000))) / 255 - 0.5
    return np.clip(np.floor(rgb + 5 * noise[..., None] + 0.5), 0, 255).astype(np.uint8)
