"""What lines a street: rows of houses and trees, walls, fences, parks, a railway, and the end of the view."""

from collections.abc import Callable

import numpy as np

from mmext.common.samples import street_buildings as buildings
from mmext.common.samples.street_layout import Street
from mmext.common.samples.street_mesh import Pose
from mmext.common.samples.street_vehicles import train


def build_row(street: Street, sign: int, start: float, setback: float, trees: float) -> None:
    """Houses, or with probability ``trees`` a group of trees, from ``start`` to 110 m along one side."""
    canvas, rng, z = street.canvas, street.rng, start
    edge = street.edge(sign) + setback
    while z < 110:
        length = street.uniform(9, 17)
        near = street.x(sign * edge, z + length / 2)
        if rng.random() < trees:
            for k in range(int(length / 3.5)):
                buildings.tree(canvas, rng, near + sign * street.uniform(0.8, 4), z + 3.5 * k, street.uniform(5, 10))
            if rng.random() < 0.6:
                xs = sorted((near + sign * 4.5, near + sign * 7))
                buildings.hedge(canvas, rng, xs, (z, z + length), street.uniform(2, 5))
        else:
            buildings.building(canvas, rng, sorted((near, near + sign * 10)), (z, z + length), street.uniform(6, 14))
        z += length + (street.uniform(2, 5) if rng.random() < 0.3 else 0.0)


def add_plants(street: Street, sign: int, bushes: int, trees: int, depth: tuple[float, float]) -> None:
    """Scattered shrubs and trees on the verge, ``depth`` metres behind the pavement."""
    canvas, rng, edge = street.canvas, street.rng, street.edge(sign)
    for make, count, size in ((buildings.bush, bushes, (0.6, 1.4)), (buildings.tree, trees, (5.0, 8.0))):
        for _ in range(count):
            z = street.uniform(9, 42)
            make(canvas, rng, street.x(sign * (edge + street.uniform(*depth)), z), z, street.uniform(*size))


def build_enclosure(street: Street, sign: int, make: Callable, height: float) -> None:
    """A wall or a fence along the pavement with front gardens, houses and trees behind it."""
    rng = street.rng
    # what stands behind comes first: a see-through fence blends with it
    build_row(street, sign, 6.0, street.uniform(3.0, 6.0), 0.55)
    add_plants(street, sign, int(rng.integers(2, 5)), 0, (1.5, 3.0))
    start, state = street.uniform(4, 9), int(rng.integers(2**31))
    for k in range(int(rng.integers(2, 6))):
        zs = (start + 9.9 * k, start + 9.9 * (k + 1))
        # one colour along the whole length: every piece draws from the same state
        piece = np.random.Generator(np.random.PCG64(state))
        make(street.canvas, piece, street.x(sign * (street.edge(sign) + 0.3), zs[0] + 5), zs, height)


def build_wall(street: Street, sign: int) -> None:
    build_enclosure(street, sign, buildings.wall, street.uniform(1.3, 2.3))


def build_fence(street: Street, sign: int) -> None:
    build_enclosure(street, sign, buildings.fence, street.uniform(1.0, 1.7))


def build_railway(street: Street, sign: int) -> None:
    """A track with a train some way ahead, before a distant row of trees and houses."""
    edge, length = street.edge(sign), street.uniform(24, 34)
    z = 19 + length / 2 + street.uniform(0, 8)
    for rail in (2.8, 4.2):
        x = street.x(sign * (edge + rail), z)
        corners = [(x + dx, 0.02, at) for dx, at in ((-0.06, 4), (0.06, 4), (0.06, 100), (-0.06, 100))]
        street.canvas.polygon(corners, (150, 132, 120), 'rail track')
    train(Pose(street.canvas, street.x(sign * (edge + 3.5), z), z), street.rng, length)
    build_row(street, sign, 8.0, 9.0, 0.75)


def build_park(street: Street, sign: int) -> None:
    add_plants(street, sign, int(street.rng.integers(3, 6)), int(street.rng.integers(2, 5)), (1.5, 8.0))
    build_row(street, sign, 10.0, street.uniform(8, 14), 0.8)


def build_town(street: Street, sign: int) -> None:
    """Houses right at the pavement, on half of the streets behind a row of young trees."""
    build_row(street, sign, -4.0, 0.0, 0.12)
    if street.rng.random() < 0.5:
        for k in range(3):
            z = 11 + 12 * k + street.uniform(0, 5)
            x = street.x(sign * (street.edge(sign) - 0.5), z)
            buildings.tree(street.canvas, street.rng, x, z, street.uniform(5.5, 8), 0.3)


# kind of a side -> function of the street and the sign of the side (-1 left, 1 right)
SIDE_BUILDERS: dict[str, Callable[[Street, int], None]] = {
    'rail': build_railway,
    'wall': build_wall,
    'fence': build_fence,
    'park': build_park,
    'town': build_town,
}


def build_backdrop(street: Street) -> None:
    """Closes the street at 115 m with woods and houses; a gap now and then stays unlabelled."""
    canvas, rng, x = street.canvas, street.rng, -90.0
    while x < 90:
        width = street.uniform(8, 20)
        if rng.random() < 0.55:
            for k in range(int(width / 4) + 1):
                buildings.tree(canvas, rng, x + 4 * k, 110 + street.uniform(0, 6), street.uniform(8, 14))
        elif rng.random() < 0.85:
            buildings.building(canvas, rng, (x, x + width), (115, 125), street.uniform(6, 14))
        else:
            Pose(canvas, 0, 0).box((x, x + width), (0, 4.5), (115, 118), (120, 122, 124), 'unlabeled')
        x += width
