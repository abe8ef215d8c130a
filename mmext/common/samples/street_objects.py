"""Street furniture on a Canvas: posts, lights, signs, containers; metres in the world frame of street_canvas."""

import numpy as np

from mmext.common.samples.street_canvas import Canvas
from mmext.common.samples.street_mesh import CIRCLE, Pose, disc, limb, rect, shade

METALS = ((112, 116, 118), (76, 80, 82), (146, 148, 146), (92, 104, 96))


def lamp_post(pose: Pose, rng: np.random.Generator, towards_road: float) -> None:
    """Tall tapered mast with a cranked arm and a lamp head."""
    metal = METALS[rng.integers(len(METALS))]
    top = 6.5 + 1.5 * rng.random()
    pose.shadow(0.2, 0.2, 100)
    pose.box((-0.1, 0.1), (0.0, 1.1), (-0.1, 0.1), shade(metal, 84), 'pole')
    pose.box((-0.075, 0.075), (1.1, top), (-0.075, 0.075), metal, 'pole')
    pose.front(-0.08, limb((0.0, top - 0.1), (towards_road * 1.5, top + 0.25), 0.13), metal, 'pole')
    pose.front(
        -0.09,
        limb((towards_road * 1.2, top + 0.2), (towards_road * 2.0, top + 0.3), 0.2),
        (214, 210, 190),
        'pole',
        decal=True,
    )


def bollards(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Three short thick posts with a light band, along the kerb."""
    metal = METALS[rng.integers(len(METALS))]
    for k in range(3):
        post = Pose(canvas, x, z + 1.5 * k)
        post.box((-0.09, 0.09), (0.0, 1.0), (-0.09, 0.09), metal, 'pole')
        post.front(-0.1, rect(-0.09, 0.09, 0.74, 0.86), (232, 232, 226), 'pole')


def traffic_light(pose: Pose, rng: np.random.Generator, towards_road: float) -> None:
    """Dark three-lamp housing with hoods on a pole, sometimes a second one over the road on an arm."""
    metal = METALS[rng.integers(len(METALS))]
    arm = rng.random() < 0.5
    top = 5.4 if arm else 3.5
    pose.shadow(0.25, 0.25, 100)
    pose.box((-0.08, 0.08), (0.0, top), (-0.08, 0.08), metal, 'pole')
    places = [(0.0, 2.35)]
    if arm:
        reach = towards_road * (2.4 + 0.8 * rng.random())
        pose.front(-0.08, limb((0.0, 5.2), (reach, 5.4), 0.15), metal, 'pole')
        places.append((reach, 4.35))
    lit = int(rng.integers(3))
    for x, y in places:
        pose.front(-0.2, rect(x - 0.3, x + 0.3, y - 0.08, y + 1.28), (214, 214, 206), 'traffic light')
        pose.front(-0.21, rect(x - 0.24, x + 0.24, y - 0.02, y + 1.22), (26, 28, 26), 'traffic light', decal=True)
        for k, lamp in enumerate(((60, 220, 110), (246, 190, 40), (240, 50, 40))):
            glow = lamp if k == lit else shade(lamp, 24)
            pose.front(-0.22, disc(x, y + 0.2 + 0.4 * k, 0.15), glow, 'traffic light', decal=True, lit=False)


def traffic_sign(pose: Pose, rng: np.random.Generator) -> None:
    """Post with one of five plates: prohibition ring, blue disc, warning triangle, priority diamond, board."""
    metal = METALS[rng.integers(len(METALS))]
    red, white, blue, size = (206, 28, 34), (238, 238, 234), (32, 84, 176), 0.42 + 0.1 * rng.random()
    pose.shadow(0.2, 0.2, 90)
    pose.box((-0.06, 0.06), (0.0, 2.2 + 2 * size), (-0.06, 0.06), metal, 'pole')
    y, kind = 2.2 + size, int(rng.integers(5))
    triangle = [(-1.0, -0.8), (1.0, -0.8), (0.0, 0.95)]
    diamond = [(-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0)]
    round_, board = [(a, b) for a, b in CIRCLE], [(-1.5, -0.7), (1.5, -0.7), (1.5, 0.7), (-1.5, 0.7)]
    arrow = [(-0.15, -0.6), (0.15, -0.6), (0.15, 0.1), (0.4, 0.1), (0.0, 0.65), (-0.4, 0.1), (-0.15, 0.1)]
    bar = [(-0.55, -0.14), (0.55, -0.14), (0.55, 0.14), (-0.55, 0.14)]
    layers = (
        ((round_, 1.0, red), (round_, 0.72, white), (bar, 0.7, (40, 40, 40))),
        ((round_, 1.0, white), (round_, 0.92, blue), (arrow, 1.0, white)),
        ((triangle, 1.1, red), (triangle, 0.66, white), (bar, 0.4, (40, 40, 40))),
        ((diamond, 1.1, white), (diamond, 0.85, (246, 196, 30))),
        ((board, 1.0, white), (board, 0.92, blue), (bar, 1.4, white), (arrow, 0.8, white)),
    )[kind]
    for k, (outline, scale, colour) in enumerate(layers):
        plate = [(a * size * scale, y + b * size * scale) for a, b in outline]
        # painted metal is bright in any light, so that the sun does not shade it
        pose.front(-0.08 - 0.005 * k, plate, colour, 'traffic sign', decal=k > 0, lit=False)


def litter_bin(pose: Pose, rng: np.random.Generator) -> None:
    """Waste container on the pavement (static, ignored in training)."""
    colour = ((40, 84, 60), (96, 98, 100), (120, 84, 30))[rng.integers(3)]
    pose.shadow(0.4, 0.4, 110)
    pose.box((-0.32, 0.32), (0.05, 1.0), (-0.28, 0.28), colour, 'static')
    pose.box((-0.36, 0.36), (1.0, 1.1), (-0.36, 0.36), shade(colour, 70), 'static')


def trolley(pose: Pose, rng: np.random.Generator) -> None:
    """Loaded hand cart (dynamic, ignored in training)."""
    colour = ((170, 130, 80), (120, 60, 60), (60, 90, 130))[rng.integers(3)]
    pose.shadow(0.4, 0.5, 110)
    pose.box((-0.35, 0.35), (0.2, 0.8), (-0.45, 0.45), colour, 'dynamic')
    pose.box((-0.25, 0.25), (0.8, 1.1), (-0.3, 0.3), shade(colour, 125), 'dynamic')
