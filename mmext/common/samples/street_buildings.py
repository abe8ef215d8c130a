"""Houses, walls, fences and plants on a Canvas; metres in the world frame of street_canvas."""

import numpy as np

from mmext.common.samples.street_canvas import Canvas, Texture, cell, hash_noise, value_noise
from mmext.common.samples.street_mesh import CIRCLE, Pose, fade, rect, shade, tint

FACADES = ((186, 172, 148), (160, 104, 84), (206, 200, 186), (142, 142, 138), (196, 160, 112), (150, 132, 128))
ROOFS = ((118, 62, 48), (78, 74, 76), (96, 84, 74))
LEAVES = ((70, 98, 44), (52, 82, 48), (96, 108, 46), (128, 104, 44), (60, 76, 36))


def leaf_texture(colour, salt: int) -> Texture:
    """Clumps of light and dark leaves with speckle that fades with distance."""

    def texture(x, y, z):
        clumps = value_noise(x + z, y, 0.55, salt) / 255
        fine = np.where(z < 18, 0.055, 0.11)
        speckle = hash_noise(cell(x + z, fine), cell(y, fine), salt) / 255
        return tint(colour, 0.45 + 0.75 * clumps + (0.7 * speckle - 0.35) * fade(z, 40))

    return texture


def brick_texture(colour, salt: int) -> Texture:
    """Courses of blocks 0.5 x 0.25 m with light joints and per-block shade."""

    def texture(x, y, z):
        row = cell(y, 0.25)
        along = x + z + row % 2 * 0.25
        factor = 0.82 + 0.36 * hash_noise(cell(along, 0.5), row, salt) / 255 * fade(z, 60)
        joint = (y - row * 0.25 < 0.035) | (along - cell(along, 0.5) * 0.5 < 0.035)
        return tint(colour, np.where(joint, factor + 0.3 * fade(z, 30), factor))

    return texture


def facade_texture(colour, salt: int, height: float, style: np.random.Generator) -> Texture:
    """Plastered house front: floors of framed windows, some lit or shuttered, cornices, shops at street level."""
    bay, storey = 2.2 + 1.2 * style.random(), 2.8 + 0.5 * style.random()
    width, sill = bay * (0.4 + 0.2 * style.random()), 0.8 + 0.2 * style.random()
    shop = style.random() < 0.5
    frame, shutter = ((224, 222, 214), (84, 66, 52))[style.integers(2)], shade(colour, 62)

    def texture(x, y, z):
        along = x + z
        col, floor = cell(along, bay), cell(y, storey)
        a, b = along - col * bay - (bay - width) / 2, y - floor * storey - sill
        kind = hash_noise(col, floor, salt)
        plaster = 0.86 + 0.2 * value_noise(along, y, 1.7, salt) / 255
        out = tint(colour, plaster * np.where(y < 0.6, 0.72, 1.0))
        tall = np.where((floor == 0) & shop, storey - sill - 0.4, storey * 0.5)
        window = (a > 0) & (a < width) & (b > 0) & (b < tall) & (y < height - 0.4)
        border = window & ((a < 0.12) | (a > width - 0.12) | (b < 0.12) | (b > tall - 0.12))
        pane = 30 + 40 * hash_noise(col, floor, salt + 1) / 255 + 20 * np.clip(b, 0, 3)
        glass = np.stack([pane, pane * 1.12, pane * 1.25], axis=1)
        out = np.where(window[:, None], glass, out)
        out = np.where((window & (kind < 36))[:, None], np.asarray(shutter), out)
        out = np.where((window & (kind > 236))[:, None], np.asarray((226, 196, 120)), out)
        out = np.where(border[:, None], np.asarray(frame), out)
        cornice = (y - floor * storey < 0.16) & (floor > 0)
        return np.where(cornice[:, None], np.asarray(shade(colour, 116)), out)

    return texture


def building(canvas: Canvas, rng: np.random.Generator, xs, zs, height: float) -> None:
    """House block with a textured front on all sides and a hipped or flat roof."""
    colour = FACADES[rng.integers(len(FACADES))]
    pose = Pose(canvas, 0.0, 0.0)
    pose.box(xs, (0.0, height), zs, facade_texture(colour, int(rng.integers(1000)), height, rng), 'building')
    if rng.random() < 0.6:
        roof, top = ROOFS[rng.integers(len(ROOFS))], height + 2.0 + 1.5 * rng.random()
        (x0, x1), (z0, z1) = (xs[0] - 0.4, xs[1] + 0.4), (zs[0] - 0.3, zs[1] + 0.3)
        mid, inner0, inner1 = (x0 + x1) / 2, z0 + 2.5, z1 - 2.5
        for x in (x0, x1):
            slope = [(x, height, z0), (x, height, z1), (mid, top, inner1), (mid, top, inner0)]
            canvas.polygon(slope, brick_texture(roof, 3), 'building')
        for z, inner in ((z0, inner0), (z1, inner1)):
            canvas.polygon([(x0, height, z), (x1, height, z), (mid, top, inner)], roof, 'building')


def wall(canvas: Canvas, rng: np.random.Generator, x: float, zs, height: float) -> None:
    """Free-standing brick or block wall along the pavement with a light coping."""
    colour = ((150, 92, 74), (158, 152, 142), (178, 160, 128), (120, 112, 104))[rng.integers(4)]
    pose = Pose(canvas, x, 0.0)
    pose.box((-0.15, 0.15), (0.0, height), zs, brick_texture(colour, int(rng.integers(1000))), 'wall')
    pose.box((-0.24, 0.24), (height, height + 0.14), zs, shade(colour, 130), 'wall')
    z = zs[0]
    while z < zs[1]:
        pose.box((-0.26, 0.26), (0.0, height + 0.3), (z, z + 0.5), shade(colour, 112), 'wall')
        z += 5.0


def fence(canvas: Canvas, rng: np.random.Generator, x: float, zs, height: float) -> None:
    """Railing or paling along the pavement: see-through panel, upright bars, two rails, posts."""
    colour = ((44, 62, 52), (206, 204, 196), (128, 96, 62), (60, 62, 66))[rng.integers(4)]
    pose = Pose(canvas, x, 0.0)
    pose.side(0.0, rect(*zs, 0.0, height), shade(colour, 70), 'fence', alpha=60)
    gap = 0.28 + 0.14 * rng.random()
    z = zs[0]
    while z < zs[1]:
        # bars get sparser and wider with distance, or they would alias into a haze
        stride = gap * (1 if z < 16 else 2)
        pose.side(0.0, rect(z, z + stride * 0.42, 0.06, height + 0.06), colour, 'fence', decal=True)
        z += stride
    for y in (0.2, height - 0.18):
        pose.side(0.0, rect(*zs, y, y + 0.1), shade(colour, 84), 'fence', decal=True)
    z = zs[0]
    while z < zs[1]:
        pose.box((-0.07, 0.07), (0.0, height + 0.16), (z, z + 0.14), shade(colour, 120), 'fence')
        z += 2.6


def blob(canvas: Canvas, x: float, y: float, z: float, radii, colour, salt: int) -> None:
    """One ragged leafy clump facing the camera."""
    ring = []
    for k, (a, b) in enumerate(CIRCLE):
        r = 0.82 + 0.36 * int(hash_noise(k, salt, 7)) / 255
        ring.append((x + a * r * radii[0], max(0.02, y + b * r * radii[1]), z))
    canvas.polygon(ring, leaf_texture(colour, salt), 'vegetation', lit=False)


def tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float, height: float, trunk: float = 0.35) -> None:
    """Trunk and a crown of ragged clumps, darker below and lighter to the top."""
    leaves = LEAVES[rng.integers(len(LEAVES))]
    pose = Pose(canvas, x, z)
    pose.shadow(height * 0.22, height * 0.22, 90)
    bark = ((74, 58, 46), (92, 80, 66), (58, 52, 46))[rng.integers(3)]
    half, salt = trunk / 2, int(rng.integers(1000))
    canvas.polygon(
        [(x - half * 1.4, 0, z), (x + half * 1.4, 0, z), (x + half, height * 0.6, z), (x - half, height * 0.6, z)],
        brick_texture(bark, salt),
        'vegetation',
    )
    for k in range(11):
        dx, dy = (rng.random() - 0.5) * height * 0.42, (0.42 + 0.5 * k / 10 + 0.06 * rng.random()) * height
        size = height * (0.13 + 0.08 * rng.random())
        blob(canvas, x + dx, dy, z - 0.4 + 0.05 * k, (size, size * 0.85), shade(leaves, 78 + 5 * k), salt + k)


def bush(canvas: Canvas, rng: np.random.Generator, x: float, z: float, size: float) -> None:
    """Low round shrub of three clumps."""
    leaves, salt = LEAVES[rng.integers(len(LEAVES))], int(rng.integers(1000))
    Pose(canvas, x, z).shadow(size, size * 0.6, 100)
    for k in range(3):
        blob(
            canvas,
            x + (k - 1) * size * 0.6,
            size * (0.45 + 0.2 * (k == 1)),
            z - 0.1 * k,
            (size * 0.7, size * 0.6),
            shade(leaves, 84 + 10 * k),
            salt + k,
        )


def hedge(canvas: Canvas, rng: np.random.Generator, xs, zs, height: float) -> None:
    """Clipped box hedge, or the far edge of a wood when it is tall."""
    leaves = LEAVES[rng.integers(len(LEAVES))]
    Pose(canvas, 0.0, 0.0).box(xs, (0.0, height), zs, leaf_texture(leaves, int(rng.integers(1000))), 'vegetation')
