"""Cars, trucks, buses and trains as low-poly meshes on a Canvas."""

from collections.abc import Sequence

import numpy as np

from mmext.common.samples.street_mesh import CHROME, GLASS, HEAD_LIGHT, PLATE, TAIL_LIGHT, TYRE, Pose, disc, rect, shade

CAR_PAINTS = (
    (28, 29, 32),
    (60, 63, 68),
    (148, 152, 156),
    (206, 208, 208),
    (150, 24, 28),
    (34, 56, 110),
    (24, 70, 52),
    (112, 96, 74),
)
BUS_PAINTS = ((226, 176, 30), (186, 30, 38), (220, 222, 218), (54, 132, 70))
TRAIN_PAINTS = (((206, 38, 40), (226, 226, 222)), ((38, 82, 150), (218, 214, 120)), ((214, 206, 184), (30, 110, 90)))
CARGO_PAINTS = ((222, 222, 216), (60, 92, 140), (184, 120, 44), (110, 128, 110))


def wheels(pose: Pose, half_width: float, axles: Sequence[float], radius: float, label: str) -> None:
    """Discs with hubs on both sides of a vehicle."""
    for x in (-half_width, half_width):
        for z in axles:
            pose.side(x, disc(z, radius, radius), TYRE, label, decal=True)
            pose.side(x * 1.001, disc(z, radius, radius * 0.55), CHROME, label, decal=True)


def car(pose: Pose, rng: np.random.Generator) -> None:
    """Hatchback, estate or van: body, tapered cabin with glass, wheels, lights, plates."""
    paint = CAR_PAINTS[rng.integers(len(CAR_PAINTS))]
    van = rng.random() < 0.2
    w, half, top = 0.86 + 0.1 * van, 2.05 + 0.5 * rng.random(), 1.38 + 0.12 * rng.random() + 0.5 * van
    belt, roof = 0.86 + 0.1 * van, 0.66 + 0.16 * van
    back, front = (-half + 0.08, half * 0.62) if van else (-half + 0.25 * rng.random(), half * 0.45)
    roof_back, roof_front = back + (0.05 if van else 0.45), front - (0.55 if van else 0.75)
    pose.shadow(w + 0.1, half + 0.1, 150)
    profile = [(-half, 0.28), (half, 0.28), (half, 0.62), (front, belt), (-half, belt)]
    for s in (-1, 1):
        pose.side(s * w, profile, paint, 'car')
        taper = [(s * w, belt, back), (s * w, belt, front), (s * roof, top, roof_front), (s * roof, top, roof_back)]
        pose.face(taper, paint, 'car')
        glass = [
            (s * (w - (w - roof) * t), belt + (top - belt) * t, z)
            for t, z in ((0.1, back + 0.2), (0.1, front - 0.2), (0.85, roof_front - 0.05), (0.85, roof_back + 0.12))
        ]
        pose.face(glass, GLASS, 'car', decal=True)
        pose.side(s * w, rect(-0.12, -0.02, belt * 0.95, top - 0.1), paint, 'car', decal=True)
        pose.side(s * w, rect(-half, half, 0.3, 0.4), shade(paint, 60), 'car', decal=True)
    for z, cab_z, roof_z, lamp in ((-half, back, roof_back, TAIL_LIGHT), (half, front, roof_front, HEAD_LIGHT)):
        end_belt = belt if z < 0 else 0.62
        pose.front(z, [(-w, 0.28), (w, 0.28), (w, end_belt), (-w, end_belt)], shade(paint, 92), 'car')
        screen = [(-w, belt, cab_z), (w, belt, cab_z), (roof, top, roof_z), (-roof, top, roof_z)]
        pose.face(screen, shade(paint, 92), 'car')
        inner = [(-w * 0.86, belt + 0.06, cab_z), (w * 0.86, belt + 0.06, cab_z)]
        inner += [(roof * 0.88, top - 0.07, roof_z), (-roof * 0.88, top - 0.07, roof_z)]
        pose.face(inner, GLASS, 'car', decal=True)
        for s in (-1, 1):
            pose.front(
                z,
                rect(s * w * 0.98, s * w * 0.68, end_belt - 0.24, end_belt - 0.04),
                lamp,
                'car',
                decal=True,
                lit=False,
            )
        pose.front(z, rect(-w, w, 0.28, 0.42), shade(paint, 55), 'car', decal=True)
        pose.front(z, rect(-0.26, 0.26, 0.44, 0.55), PLATE, 'car', decal=True)
    pose.face([(-w, 0.62, half), (w, 0.62, half), (w, belt, front), (-w, belt, front)], shade(paint, 112), 'car')
    pose.face([(x, belt, z) for x, z in rect(-w, w, -half, back)], shade(paint, 104), 'car')
    pose.face([(x, top, z) for x, z in rect(-roof, roof, roof_back, roof_front)], shade(paint, 110), 'car')
    wheels(pose, w, (-half * 0.62, half * 0.64), 0.32, 'car')


def truck(pose: Pose, rng: np.random.Generator) -> None:
    """Box lorry: tall plain cargo box with ribs and warning chevrons, separate cab, high wheels."""
    cargo = CARGO_PAINTS[rng.integers(len(CARGO_PAINTS))]
    cab = CAR_PAINTS[4 + rng.integers(4)]
    half, top = 3.2 + 1.2 * rng.random(), 3.1 + 0.5 * rng.random()
    pose.shadow(1.3, half + 0.2, 160)
    pose.box((-1.05, 1.05), (0.5, 0.95), (-half, half), (52, 52, 54), 'truck')
    pose.box((-1.22, 1.22), (0.95, top), (-half, half - 2.1), cargo, 'truck')
    pose.box((-1.15, 1.15), (0.45, 2.6), (half - 1.9, half), cab, 'truck')
    for s in (-1.22, 1.22):
        for k in range(1, int(2 * half - 2.1)):
            pose.side(s, rect(-half + k, -half + k + 0.07, 0.95, top), shade(cargo, 78), 'truck', decal=True)
        pose.side(s, rect(-half + 0.5, half - 2.6, top * 0.55, top * 0.75), cab, 'truck', decal=True)
        pose.side(s * 1.15 / 1.22, rect(half - 1.5, half - 0.4, 1.6, 2.3), GLASS, 'truck', decal=True)
    pose.front(-half, rect(-0.04, 0.04, 0.95, top), (60, 60, 60), 'truck', decal=True)
    for k in range(8):
        stripe = (204, 40, 32) if k % 2 else (236, 216, 70)
        x = -1.22 + k * 0.305
        pose.front(-half, rect(x, x + 0.305, 0.98, 1.22), stripe, 'truck', decal=True)
    for s in (-1, 1):
        pose.front(-half, rect(s * 0.7, s * 1.05, 0.6, 0.85), TAIL_LIGHT, 'truck', decal=True, lit=False)
        pose.front(half, rect(s * 0.75, s * 1.1, 0.6, 0.85), HEAD_LIGHT, 'truck', decal=True, lit=False)
    pose.front(half, rect(-1.05, 1.05, 1.5, 2.3), GLASS, 'truck', decal=True)
    pose.front(half, rect(-0.8, 0.8, 0.95, 1.35), (40, 40, 42), 'truck', decal=True)
    wheels(pose, 1.16, (-half + 0.9, -half + 2.0, half - 1.0), 0.48, 'truck')


def bus(pose: Pose, rng: np.random.Generator) -> None:
    """City bus: tall single body, continuous dark window band with pillars, lit destination board, doors."""
    paint = BUS_PAINTS[rng.integers(len(BUS_PAINTS))]
    half, top = 4.6 + 1.4 * rng.random(), 2.95 + 0.15 * rng.random()
    skirt = shade(paint, 62) if rng.random() < 0.5 else (228, 228, 222)
    pose.shadow(1.35, half + 0.2, 160)
    pose.box((-1.25, 1.25), (0.3, top), (-half, half), paint, 'bus')
    for s in (-1.25, 1.25):
        pose.side(s, rect(-half, half, 0.3, 0.75), skirt, 'bus', decal=True)
        pose.side(s, rect(-half + 0.2, half - 0.1, 1.35, 2.45), GLASS, 'bus', decal=True)
        for k in range(1, int(half * 2 / 1.5)):
            pose.side(s, rect(-half + 1.5 * k, -half + 1.5 * k + 0.09, 1.35, 2.45), shade(paint, 85), 'bus', decal=True)
        for z in (-1.4, half - 1.6):
            pose.side(s, rect(z, z + 1.2, 0.42, 2.45), (30, 36, 42), 'bus', decal=True)
            pose.side(s, rect(z + 0.57, z + 0.63, 0.42, 2.45), CHROME, 'bus', decal=True)
    for z, lamp in ((-half, TAIL_LIGHT), (half, HEAD_LIGHT)):
        pose.front(z, rect(-1.25, 1.25, 0.3, 0.7), skirt, 'bus', decal=True)
        pose.front(z, rect(-1.13, 1.13, 1.2 if z > 0 else 1.5, 2.45), GLASS, 'bus', decal=True)
        pose.front(z, rect(-0.8, 0.8, top - 0.38, top - 0.1), (24, 22, 18), 'bus', decal=True)
        for k in range(5):
            glow = rect(-0.66 + k * 0.28, -0.48 + k * 0.28, top - 0.32, top - 0.17)
            pose.front(z, glow, (250, 178, 40), 'bus', decal=True, lit=False)
        for s in (-1, 1):
            pose.front(z, rect(s * 0.85, s * 1.17, 0.72, 0.98), lamp, 'bus', decal=True, lit=False)
        pose.front(z, rect(-0.28, 0.28, 0.45, 0.57), PLATE, 'bus', decal=True)
    wheels(pose, 1.25, (-half * 0.55, half * 0.58), 0.46, 'bus')


def train(pose: Pose, rng: np.random.Generator, length: float) -> None:
    """Railcars in line: striped bodies over dark bogies, square windows, door pairs, roof gear."""
    body, stripe = TRAIN_PAINTS[rng.integers(len(TRAIN_PAINTS))]
    pose.shadow(1.6, length / 2, 150)
    cars = max(2, int(length / 13))
    step = length / cars
    for k in range(cars):
        z0, z1 = -length / 2 + k * step + 0.25, -length / 2 + (k + 1) * step - 0.25
        pose.box((-1.35, 1.35), (0.25, 0.75), (z0 + 0.3, z1 - 0.3), (40, 38, 38), 'train')
        pose.box((-1.4, 1.4), (0.7, 3.5), (z0, z1), body, 'train')
        pose.box((-1.0, 1.0), (3.5, 3.75), (z0 + 1, z1 - 1), (96, 98, 100), 'train')
        for s in (-1.4, 1.4):
            pose.side(s, rect(z0, z1, 1.15, 1.5), stripe, 'train', decal=True)
            pose.side(s, rect(z0, z1, 3.05, 3.25), stripe, 'train', decal=True)
            count = int((z1 - z0 - 0.6) / 1.3)
            for n in range(count):
                z = z0 + 0.5 + n * 1.3
                if n % 4 == 1:
                    pose.side(s, rect(z - 0.1, z + 1.0, 0.8, 2.85), shade(stripe, 88), 'train', decal=True)
                    pose.side(s, rect(z + 0.15, z + 0.75, 1.8, 2.7), GLASS, 'train', decal=True)
                else:
                    pose.side(s, rect(z, z + 0.9, 1.85, 2.8), GLASS, 'train', decal=True)
        for z in (z0, z1):
            pose.front(z, rect(-1.4, 1.4, 1.15, 1.5), stripe, 'train', decal=True)
            pose.front(z, rect(-1.1, 1.1, 1.9, 2.85), GLASS, 'train', decal=True)
            for s in (-1, 1):
                pose.front(z, disc(s * 0.95, 0.98, 0.16), (250, 244, 200), 'train', decal=True, lit=False)
