"""Simple backgrounds: what the ground looks like, and where on it objects may stand.

Pictures are float32 RGB (H, W, 3) in 0..255; a zone is the range of pixel rows (top, bottom) for the foot of an object.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mmext.common.samples.voc_objects_brush import one_of

Zones = dict[str, tuple[float, float]]
Background = tuple[np.ndarray, Zones]

SKIES = (((96, 156, 220), (206, 226, 240)), ((150, 170, 190), (214, 218, 220)), ((110, 130, 190), (244, 208, 176)))
GRASSES = ((112, 158, 76), (134, 160, 84), (96, 140, 80), (160, 158, 96))
WALLS = ((226, 214, 190), (196, 208, 204), (214, 200, 208), (206, 206, 178), (190, 196, 214))
FLOORS = ((172, 134, 96), (150, 144, 140), (188, 160, 120), (120, 96, 84))


def _gradient(image: np.ndarray, top: int, bottom: int, first: Sequence[float], last: Sequence[float]) -> None:
    """Rows ``top`` to ``bottom`` change from one colour to the other."""
    share = np.linspace(0, 1, max(bottom - top, 1), dtype=np.float32)[:, None, None]
    image[top:bottom] = np.float32(first) * (1 - share) + np.float32(last) * share


def _ridge(image: np.ndarray, rng: np.random.Generator, foot: int, rise: float, colour: Sequence[float]) -> None:
    """Wavy hills that stand on row ``foot``, at most ``rise`` rows high."""
    width = image.shape[1]
    x = np.arange(width)
    waves = sum(np.sin(x * (k + rng.random()) * 2 * np.pi / width + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    heights = rise * (0.55 + 0.22 * waves).clip(0.05, 1)
    outline = np.concatenate([np.stack([x, foot - heights], axis=1), [(width, foot), (0, foot)]])
    cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], tuple(map(float, colour)), cv2.LINE_AA, 4)


def _sky(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> np.ndarray:
    image = np.zeros((*size_hw, 3), dtype=np.float32)
    _gradient(image, 0, horizon, *one_of(rng, SKIES))
    clouds = np.zeros(size_hw, dtype=np.float32)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(0, size_hw[1]), rng.uniform(0.1, 0.7) * horizon
        for _ in range(4):
            spot = (int(x + rng.normal(0, 14)), int(y + rng.normal(0, 3)))
            cv2.ellipse(clouds, spot, (int(rng.uniform(10, 22)), int(rng.uniform(4, 8))), 0, 0, 360, 0.7, -1)
    clouds = cv2.GaussianBlur(clouds, (0, 0), 3)[..., None]
    clouds[horizon:] = 0
    return image * (1 - clouds) + 248 * clouds


def _outdoors(rng: np.random.Generator, size_hw: tuple[int, int], low: float, high: float) -> tuple[np.ndarray, int]:
    horizon = int(size_hw[0] * rng.uniform(low, high))
    image = _sky(rng, size_hw, horizon)
    if rng.random() < 0.7:
        _ridge(image, rng, horizon, 0.12 * size_hw[0], (118, 138, 146))
    return image, horizon


def street(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """Houses, a pavement and a road."""
    (height, width), (image, horizon) = size_hw, _outdoors(rng, size_hw, 0.4, 0.48)
    x = -rng.uniform(0, 30)
    while x < width:
        broad, tall = rng.uniform(34, 62), rng.uniform(0.16, 0.34) * height
        wall = np.float32(rng.uniform(150, 200)) + np.float32(rng.uniform(-16, 16, 3))
        cv2.rectangle(image, (int(x), int(horizon - tall)), (int(x + broad), horizon), wall.tolist(), -1)
        for v in np.arange(horizon - tall + 7, horizon - 10, 15):
            for u in np.arange(x + 7, x + broad - 9, 14):
                cv2.rectangle(image, (int(u), int(v)), (int(u) + 6, int(v) + 8), (wall * 0.7).tolist(), -1)
        x += broad + rng.uniform(-1, 18)
    kerb = int(horizon + 0.16 * height)
    _gradient(image, horizon, kerb, (184, 180, 172), (172, 168, 160))
    tar = rng.uniform(96, 130)
    _gradient(image, kerb, height, [tar * 0.9] * 3, [tar * 1.1] * 3)
    cv2.line(image, (0, kerb), (width, kerb), (206, 204, 196), 2)
    row = int(kerb + 0.45 * (height - kerb))
    for u in range(int(-40 * rng.random()), width, 44):
        cv2.line(image, (u, row), (u + 22, row), (222, 222, 214), 2)
    zones = {'road': (kerb + 0.04 * height, 0.97 * height), 'ground': (horizon + 0.1 * height, 0.97 * height)}
    return image, zones | {
        'sky': (0.16 * height, horizon - 0.06 * height),
        'far': (horizon + 3, kerb),
        'pavement': (horizon + 0.08 * height, kerb),
    }


def meadow(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """Grass, sometimes a row of trees or a fence."""
    (height, width), (image, horizon) = size_hw, _outdoors(rng, size_hw, 0.34, 0.5)
    grass = np.float32(one_of(rng, GRASSES))
    if rng.random() < 0.5:
        _ridge(image, rng, horizon, 0.07 * height, grass * 0.62)
    _gradient(image, horizon, height, grass * 1.12, grass * 0.9)
    if rng.random() < 0.4:
        foot = horizon + int(0.06 * height)
        for u in range(int(rng.integers(0, 24)), width, 26):
            cv2.line(image, (u, foot), (u, foot - 13), (150, 126, 96), 2)
        for v in (4, 9):
            cv2.line(image, (0, foot - v), (width, foot - v), (160, 136, 104), 1)
    zones = {'ground': (horizon + 0.14 * height, 0.97 * height), 'far': (horizon + 4, horizon + 0.15 * height)}
    return image, zones | {'sky': (0.14 * height, horizon - 0.03 * height)}


def shore(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """Water to the horizon and a strip of sand."""
    (height, width), (image, horizon) = size_hw, _outdoors(rng, size_hw, 0.32, 0.44)
    water = np.float32([60, 122, 160]) + np.float32(rng.uniform(-20, 20, 3))
    beach = int(height * rng.uniform(0.78, 0.88))
    _gradient(image, horizon, beach, water * 1.25, water * 0.85)
    for _ in range(14):
        u, v = int(rng.uniform(0, width)), int(rng.uniform(horizon + 4, beach - 2))
        cv2.line(image, (u, v), (u + int(rng.uniform(8, 26)), v), (water * 1.2).tolist(), 1)
    _gradient(image, beach, height, (226, 206, 160), (206, 182, 134))
    cv2.line(image, (0, beach), (width, beach), (236, 240, 240), 2)
    zones = {'water': (horizon + 0.16 * height, beach - 3), 'ground': (beach + 0.03 * height, 0.97 * height)}
    return image, zones | {'sky': (0.14 * height, horizon - 0.03 * height), 'far': (horizon + 4, horizon + 14)}


def railway(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """A track on gravel across a field."""
    (height, width), (image, horizon) = size_hw, _outdoors(rng, size_hw, 0.34, 0.46)
    grass = np.float32(one_of(rng, GRASSES)) * 0.95
    _gradient(image, horizon, height, grass * 1.1, grass * 0.9)
    track = int(height * rng.uniform(0.6, 0.74))
    _gradient(image, track - 7, track + 10, (150, 142, 134), (128, 120, 112))
    for u in range(int(rng.integers(0, 9)), width, 10):
        cv2.line(image, (u, track - 3), (u - 3, track + 5), (98, 78, 64), 2)
    for v in (track - 2, track + 4):
        cv2.line(image, (0, v), (width, v), (196, 196, 200), 1)
    zones = {'rails': (track, track + 4), 'ground': (track + 0.13 * height, 0.97 * height)}
    return image, zones | {'sky': (0.14 * height, horizon - 0.03 * height), 'far': (horizon + 4, track - 12)}


def airfield(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """Pale concrete with painted lines, and grass behind it."""
    (height, width), (image, horizon) = size_hw, _outdoors(rng, size_hw, 0.34, 0.46)
    apron = horizon + int(0.08 * height)
    _gradient(image, horizon, apron, (140, 160, 96), (128, 150, 88))
    pale = rng.uniform(166, 196)
    _gradient(image, apron, height, [pale * 1.05] * 3, [pale * 0.92] * 3)
    row = int(height * rng.uniform(0.68, 0.8))
    cv2.line(image, (0, row), (width, row + int(rng.uniform(-14, 14))), (232, 200, 80), 2, cv2.LINE_AA)
    zones = {'ground': (apron + 0.1 * height, 0.97 * height), 'far': (horizon + 3, apron)}
    return image, zones | {'sky': (0.14 * height, horizon - 0.03 * height)}


def room(rng: np.random.Generator, size_hw: tuple[int, int]) -> Background:
    """Plain wall with a window or a picture, floor boards, sometimes a rug."""
    height, width = size_hw
    edge = int(height * rng.uniform(0.52, 0.64))
    wall, floor = (np.float32(one_of(rng, colours)) for colours in (WALLS, FLOORS))
    image = np.zeros((height, width, 3), dtype=np.float32)
    _gradient(image, 0, edge, wall * 1.04, wall * 0.95)
    _gradient(image, edge, height, floor * 0.88, floor * 1.08)
    for k in np.linspace(-1.6, 1.6, 15):
        ends = (int(width * (0.5 + 0.5 * k)), edge), (int(width * (0.5 + 0.95 * k)), height)
        cv2.line(image, *ends, (floor * 0.86).tolist(), 1, cv2.LINE_AA)
    if rng.random() < 0.6:
        u, v = int(rng.uniform(0.1, 0.7) * width), int(rng.uniform(0.06, 0.14) * height)
        broad, tall = int(rng.uniform(36, 56)), int(0.26 * height)
        pane = one_of(rng, ((206, 228, 240), (190, 180, 160)))
        cv2.rectangle(image, (u, v), (u + broad, v + tall), (246, 244, 238), -1)
        cv2.rectangle(image, (u + 4, v + 4), (u + broad - 4, v + tall - 4), pane, -1)
        cv2.line(image, (u + broad // 2, v), (u + broad // 2, v + tall), (246, 244, 238), 3)
    if rng.random() < 0.4:
        rug = np.float32(rng.uniform(110, 190, 3)) * 0.5 + floor * 0.5
        middle, row = int(rng.uniform(0.3, 0.7) * width), int((edge + height) / 2 + 8)
        cv2.ellipse(
            image, (middle, row), (int(0.32 * width), int(0.1 * height)), 0, 0, 360, rug.tolist(), -1, cv2.LINE_AA
        )
    cv2.rectangle(image, (0, edge - 4), (width, edge), (wall * 0.8).tolist(), -1)
    return image, {'ground': (edge + 0.07 * height, 0.97 * height), 'shelf': (0.34 * height, edge - 0.1 * height)}


# name -> (painter, class -> zone of its foot)
_ANYWHERE = {'person': 'ground', 'dog': 'ground'}
_IN_THE_AIR = {'aeroplane': 'sky', 'bird': 'sky'}
_TRAFFIC = dict.fromkeys(('car', 'bus', 'motorbike', 'bicycle'), 'road')
_CATTLE = dict.fromkeys(('cow', 'horse', 'sheep', 'cat', 'bicycle'), 'ground')
_FURNITURE = dict.fromkeys(('chair', 'diningtable', 'sofa', 'pottedplant', 'tvmonitor', 'cat'), 'ground')
SCENES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Background], dict[str, str]]] = {
    'street': (street, _ANYWHERE | _IN_THE_AIR | _TRAFFIC | {'pottedplant': 'pavement', 'cat': 'pavement'}),
    'meadow': (meadow, _ANYWHERE | _IN_THE_AIR | _CATTLE),
    'shore': (shore, _ANYWHERE | _IN_THE_AIR | {'boat': 'water', 'bird': 'ground'}),
    'railway': (railway, _ANYWHERE | _IN_THE_AIR | {'train': 'rails', 'motorbike': 'ground', 'sheep': 'ground'}),
    'airfield': (
        airfield,
        {'aeroplane': 'ground', 'bird': 'sky', 'bus': 'ground', 'car': 'ground', 'person': 'ground'},
    ),
    'room': (room, _ANYWHERE | _FURNITURE | {'bottle': 'shelf'}),
}
