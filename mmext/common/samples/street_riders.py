"""Pedestrians, bicycles, motorcycles and the people on them, on a Canvas."""

import numpy as np

from mmext.common.samples.street_canvas import Colour
from mmext.common.samples.street_mesh import (
    CHROME,
    CIRCLE,
    HEAD_LIGHT,
    PLATE,
    TAIL_LIGHT,
    TYRE,
    Pose,
    disc,
    limb,
    rect,
    shade,
)

SKIN = (196, 152, 124)


def seen_from_side(pose: Pose) -> bool:
    """Whether a thin object shows its flank to the camera rather than its front or rear."""
    return abs(pose.heading[1]) > 0.3


def person(pose: Pose, rng: np.random.Generator) -> None:
    """Pedestrian: two legs in stride, coat or jacket, arms, head with hair, sometimes a bag."""
    canvas, x, z = pose.canvas, pose.x, pose.z
    tall = 1.58 + 0.34 * rng.random()
    coat = ((60, 68, 96), (150, 50, 52), (44, 46, 50), (196, 186, 160), (70, 110, 80), (210, 170, 60))[rng.integers(6)]
    legs = ((40, 44, 62), (70, 62, 54), (30, 30, 34), (120, 116, 110))[rng.integers(4)]
    skin = ((204, 160, 132), (150, 108, 84), (104, 74, 58))[rng.integers(3)]
    hair = ((44, 34, 28), (120, 92, 56), (30, 28, 28), (170, 166, 160))[rng.integers(4)]
    stride, hip, neck = 0.06 + 0.16 * rng.random(), 0.5 * tall, 0.84 * tall
    long_coat = 0.14 * tall if rng.random() < 0.4 else 0.0
    here = Pose(canvas, x, z)
    here.shadow(0.3, 0.22, 130)
    for s in (-1, 1):
        foot = s * stride
        here.front(0.0, limb((s * 0.07, hip), (foot, 0.06), 0.16), shade(legs, 100 + 8 * s), 'person')
        here.front(0.0, rect(foot - 0.09, foot + 0.13, 0.0, 0.08), (30, 28, 28), 'person', decal=True)
        arm = limb((s * 0.22, neck - 0.08), (s * (0.25 + stride), hip * 0.98), 0.12)
        here.front(0.0, arm, shade(coat, 84), 'person', decal=True)
        here.front(0.0, disc(s * (0.25 + stride), hip * 0.96, 0.06), skin, 'person', decal=True)
    trunk = [
        (-0.2, hip - long_coat),
        (0.2, hip - long_coat),
        (0.25, neck - 0.06),
        (0.1, neck),
        (-0.1, neck),
        (-0.25, neck - 0.06),
    ]
    here.front(0.0, trunk, coat, 'person', decal=True)
    here.front(0.0, rect(-0.02, 0.02, hip, neck - 0.05), shade(coat, 66), 'person', decal=True)
    here.front(0.0, disc(0.0, tall - 0.13, 0.135, 0.85), hair, 'person')
    here.front(0.0, disc(0.02, tall - 0.16, 0.1, 0.85), skin, 'person', decal=True)
    if rng.random() < 0.35:
        here.front(0.0, rect(0.2, 0.44, hip * 0.7, hip * 1.05), (86, 60, 40), 'person', decal=True)


def cycle_wheel(pose: Pose, x: float, z: float, radius: float, label: str) -> None:
    """Spoked wheel in the plane local x: see-through disc, dark rim, spokes."""
    pose.side(x, disc(z, radius, radius), (70, 72, 74), label, alpha=70)
    for k, (a, b) in enumerate(CIRCLE):
        a2, b2 = CIRCLE[(k + 1) % len(CIRCLE)]
        rim = limb(
            (z + a * radius * 0.96, radius + b * radius * 0.96),
            (z + a2 * radius * 0.96, radius + b2 * radius * 0.96),
            0.06,
        )
        pose.side(x, rim, TYRE, label, decal=True)
        if k % 2:
            pose.side(x, limb((z, radius), (z + a * radius, radius + b * radius), 0.015), CHROME, label, decal=True)


def bicycle(pose: Pose, rng: np.random.Generator) -> None:
    """Two thin spoked wheels, diamond frame, saddle, handlebar; also solid enough from behind to be seen."""
    paint = ((190, 40, 40), (40, 90, 170), (60, 150, 90), (210, 210, 200), (40, 40, 44))[rng.integers(5)]
    pose.shadow(0.25, 0.85, 110)
    for z in (-0.52, 0.52):
        cycle_wheel(pose, 0.0, z, 0.36, 'bicycle')
    joints = {
        'rear': (-0.52, 0.36),
        'crank': (-0.06, 0.32),
        'seat': (-0.22, 0.86),
        'head': (0.34, 0.86),
        'fork': (0.52, 0.36),
    }
    for a, b in (
        ('rear', 'crank'),
        ('rear', 'seat'),
        ('crank', 'seat'),
        ('crank', 'head'),
        ('seat', 'head'),
        ('head', 'fork'),
    ):
        pose.side(0.001, limb(joints[a], joints[b], 0.065), paint, 'bicycle', decal=True)
    pose.side(0.0, rect(-0.38, -0.1, 0.92, 1.0), TYRE, 'bicycle')
    pose.side(0.0, rect(0.28, 0.36, 0.84, 1.1), CHROME, 'bicycle')
    pose.front(0.32, rect(-0.3, 0.3, 1.03, 1.09), (50, 50, 52), 'bicycle')
    if not seen_from_side(pose):
        for z in (-0.86, 0.86):
            pose.front(z, disc(0.0, 0.37, 0.36, 0.16), TYRE, 'bicycle')
    pose.front(-0.6, rect(-0.11, 0.11, 0.62, 0.74), (180, 30, 26), 'bicycle', lit=False)


def motorcycle(pose: Pose, rng: np.random.Generator) -> None:
    """Two fat wheels, engine block, bright tank and fairing, seat, exhaust, handlebar with lamp."""
    paint = ((200, 30, 30), (30, 70, 170), (230, 150, 20), (40, 140, 60), (190, 192, 196))[rng.integers(5)]
    pose.shadow(0.4, 1.1, 130)
    for x in (-0.07, 0.07):
        for z in (-0.72, 0.74):
            pose.side(x, disc(z, 0.33, 0.33), TYRE, 'motorcycle')
            pose.side(x * 1.02, disc(z, 0.33, 0.16), CHROME, 'motorcycle', decal=True)
    if not seen_from_side(pose):
        for z in (-1.05, 1.07):
            pose.front(z, rect(-0.09, 0.09, 0.02, 0.64), TYRE, 'motorcycle')
    pose.box((-0.2, 0.2), (0.28, 0.62), (-0.32, 0.34), (66, 66, 70), 'motorcycle')
    for x in (-0.2, 0.2):
        pose.side(x, [(-0.1, 0.6), (0.5, 0.62), (0.62, 1.0), (0.0, 0.98)], paint, 'motorcycle')
        pose.side(x, [(-1.0, 0.72), (-0.1, 0.62), (0.0, 0.86), (-0.95, 0.94)], (34, 34, 36), 'motorcycle', decal=True)
        pose.side(x, [(-1.05, 0.6), (-0.3, 0.58), (-0.3, 0.74), (-1.1, 0.84)], paint, 'motorcycle', decal=True)
        pose.side(x * 1.1, limb((-0.95, 0.34), (0.0, 0.3), 0.12), CHROME, 'motorcycle')
        pose.side(x * 0.5, limb((0.5, 1.0), (0.74, 0.33), 0.09), CHROME, 'motorcycle')
    pose.face([(x, 0.99, z) for x, z in rect(-0.2, 0.2, -0.05, 0.62)], paint, 'motorcycle')
    pose.front(-1.02, rect(-0.2, 0.2, 0.6, 0.92), paint, 'motorcycle')
    pose.front(-1.03, rect(-0.13, 0.13, 0.74, 0.86), TAIL_LIGHT, 'motorcycle', lit=False)
    pose.front(-1.03, rect(-0.11, 0.11, 0.5, 0.64), PLATE, 'motorcycle')
    pose.front(0.6, rect(-0.24, 0.24, 0.7, 1.2), paint, 'motorcycle')
    pose.front(0.61, disc(0.0, 0.98, 0.13), HEAD_LIGHT, 'motorcycle', decal=True, lit=False)
    pose.front(0.45, rect(-0.4, 0.4, 1.04, 1.12), (44, 44, 46), 'motorcycle')
    for s in (-1, 1):
        pose.front(0.45, rect(s * 0.34, s * 0.5, 1.14, 1.26), (60, 62, 66), 'motorcycle')


def rider(pose: Pose, rng: np.random.Generator, upright: bool) -> None:
    """Person on a two-wheeler, from the side or from behind: trunk, legs, arms, helmet. ``upright``: on a bicycle."""
    coat = ((226, 214, 40), (230, 120, 30), (60, 150, 200), (190, 40, 70), (60, 62, 66))[rng.integers(5)]
    legs, helmet = shade(coat, 45), ((236, 236, 232), (40, 40, 44), (200, 40, 40))[rng.integers(3)]
    draw = rider_side if seen_from_side(pose) else rider_rear
    draw(pose, 0.12 if upright else 0.0, coat, legs, helmet)


def rider_side(pose: Pose, lift: float, coat: Colour, legs: Colour, helmet: Colour) -> None:
    """Profile: leaning trunk, arms stretched to the bar, near leg bent, far leg down."""
    hip, neck, far = (-0.25, 0.86 + lift), (0.06, 1.36 + lift), -0.14 if pose.heading[1] > 0 else 0.14
    for s, knee, foot in ((-far, (0.16, 0.62 + lift), (0.0, 0.26)), (far, (0.2, 0.8 + lift), (0.08, 0.46))):
        pose.side(s, limb(hip, knee, 0.2), legs, 'rider')
        pose.side(s, limb(knee, foot, 0.15), legs, 'rider')
        pose.side(s, rect(foot[0] - 0.08, foot[0] + 0.18, foot[1] - 0.06, foot[1] + 0.04), TYRE, 'rider')
        pose.side(s * 1.4, limb(neck, (0.4, 1.08), 0.12), shade(coat, 85), 'rider')
    pose.side(0.0, limb((hip[0] - 0.02, hip[1] - 0.06), neck, 0.36), coat, 'rider')
    pose.side(0.0, limb(neck, (0.12, 1.56 + lift), 0.12), SKIN, 'rider')
    pose.side(0.0, disc(0.14, 1.6 + lift, 0.17), helmet, 'rider')
    pose.side(0.0, rect(0.18, 0.3, 1.46 + lift, 1.58 + lift), SKIN, 'rider', decal=True)


def rider_rear(pose: Pose, lift: float, coat: Colour, legs: Colour, helmet: Colour) -> None:
    """From behind: broad back with a bright stripe, elbows out, helmet above the shoulders."""
    for s in (-1, 1):
        pose.front(-0.12, limb((s * 0.12, 0.9 + lift), (s * 0.2, 0.3), 0.16), legs, 'rider')
        pose.front(-0.05, limb((s * 0.2, 1.34 + lift), (s * 0.36, 1.04), 0.12), shade(coat, 85), 'rider')
    trunk = [(-0.19, 0.82 + lift), (0.19, 0.82 + lift), (0.25, 1.4 + lift), (-0.25, 1.4 + lift)]
    pose.front(-0.2, trunk, coat, 'rider')
    pose.front(-0.2, rect(-0.2, 0.2, 1.06 + lift, 1.14 + lift), shade(coat, 140), 'rider', decal=True)
    pose.front(-0.1, disc(0.0, 1.58 + lift, 0.17), helmet, 'rider')
