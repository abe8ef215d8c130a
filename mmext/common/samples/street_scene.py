"""Procedural street scenes in KITTI's frame format: a picture and its pixel-exact Cityscapes label ids.

A frame is a straight or gently bent road in perspective with kerbs, pavements and two sides (houses, a wall, a fence,
a park or a railway), traffic and people on it, under one of several lights. The rare classes follow a plan over the
whole set, so that each occurs often enough in both splits to be learnt and measured, yet covers few pixels.

Shapes: images (375, 1242, 3) uint8 RGB; labels (375, 1242) uint8.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmext.common.samples import street_objects as objects
from mmext.common.samples import street_riders as riders
from mmext.common.samples import street_vehicles as vehicles
from mmext.common.samples.street_canvas import LABEL_IDS, SIZE_HW
from mmext.common.samples.street_layout import (
    WEATHERS,
    Street,
    cast_side_shadow,
    develop,
    paint_ground,
    paint_sky,
    turn,
)
from mmext.common.samples.street_mesh import Pose
from mmext.common.samples.street_sides import SIDE_BUILDERS, build_backdrop

__all__ = ['FRAME_COUNT', 'LABEL_IDS', 'SIZE_HW', 'VAL_EVERY', 'FramePlan', 'plan_frames', 'render_frame', 'split_of']

FRAME_COUNT = 32
VAL_EVERY = 4

# frames of the training and the validation split that must show the class, and the pixels that count as shown
QUOTAS = {
    'bus': (8, 3, 3000),
    'truck': (8, 3, 3000),
    'motorcycle': (7, 3, 900),
    'rider': (10, 4, 900),
    'bicycle': (9, 3, 700),
    'traffic light': (11, 4, 500),
    'traffic sign': (15, 5, 500),
    'person': (17, 6, 800),
}
# sides of the road: counts over both splits; the first half of the list meets the second, so no frame has two railways
SIDES = {'rail': (7, 3), 'wall': (9, 3), 'fence': (9, 3), 'park': (9, 3), 'town': (14, 4)}
SIDE_LABELS = {'rail': ('train', 2500), 'wall': ('wall', 2500), 'fence': ('fence', 2000), 'park': ('terrain', 2500)}
ATTEMPTS = 12


@dataclass(frozen=True)
class FramePlan:
    """What one frame must show: kinds of the left and right side, the light, and the rare classes."""

    sides: tuple[str, str]
    weather: int
    classes: frozenset[str]

    def required_pixels(self) -> dict[str, int]:
        """Class name -> least number of visible pixels."""
        out = {name: QUOTAS[name][2] for name in self.classes}
        out.update(SIDE_LABELS[kind] for kind in self.sides if kind in SIDE_LABELS)
        return out


def split_of(index: int) -> str:
    """'val' for every fourth frame, else 'train'."""
    return 'val' if index % VAL_EVERY == VAL_EVERY - 1 else 'train'


def plan_frames(seed: int) -> list[FramePlan]:
    """Deals the sides and the rare classes over all frames; rare classes go to the frames that have the fewest."""
    rng = np.random.Generator(np.random.PCG64([seed, 1_000_003]))
    plans: list[FramePlan | None] = [None] * FRAME_COUNT
    for which, split in enumerate(('train', 'val')):
        frames = [k for k in range(FRAME_COUNT) if split_of(k) == split]
        kinds = [kind for kind, counts in SIDES.items() for _ in range(counts[which])]
        first = np.argsort(rng.random(len(frames)), kind='stable')
        light = np.argsort(rng.random(len(frames)), kind='stable')
        second = np.argsort(rng.random(len(frames)), kind='stable') + len(frames)
        classes: list[set[str]] = [set() for _ in frames]
        for name, quota in QUOTAS.items():
            load = np.array([len(names) for names in classes]) + 1.5 * rng.random(len(frames))
            for k in np.argsort(load, kind='stable')[: quota[which]]:
                classes[k].add(name)
        for k, frame in enumerate(frames):
            pair = (kinds[first[k]], kinds[second[k]])
            plans[frame] = FramePlan(
                pair if rng.random() < 0.5 else pair[::-1], int(light[k]) % len(WEATHERS), frozenset(classes[k])
            )
    return plans


def place_vehicle(
    street: Street, make: Callable, size: tuple[float, float], zs: tuple[float, float], slot: str
) -> None:
    """Puts a vehicle in the own lane, the oncoming lane or at the kerb of either side."""
    half = street.half
    lateral = {
        'own': (half * 0.42, half * 0.58),
        'oncoming': (-half * 0.6, -half * 0.42),
        'left': (1.05 - street.kerb(-1), 1.15 - street.kerb(-1)),
        'right': (street.kerb(1) - 1.15, street.kerb(1) - 1.05),
    }[slot]
    spot = street.place(lateral, zs, size)
    if spot is None:
        return
    forward = slot in ('own', 'right')
    c, s = turn((street.rng.random() - 0.5) * 0.05)
    slope = 2 * street.bend * spot[1]
    make(Pose(street.canvas, *spot, (c, s + slope) if forward else (-c, s - slope)), street.rng)


def add_two_wheelers(street: Street, wanted: frozenset[str]) -> None:
    """Riders in the traffic or crossing it; parked bicycles and motorcycles askew on the pavement."""
    canvas, rng = street.canvas, street.rng
    if 'rider' in wanted:
        motor = 'motorcycle' in wanted and rng.random() < 0.6
        spot = street.place((-street.half * 0.3, street.half - 0.7), (7.0, 12.0), (0.9, 1.2), 60)
        if spot:
            t = street.uniform(0.5, 1.2) if rng.random() < 0.7 else street.uniform(0, 0.12)
            heading = turn(t if rng.random() < 0.5 else -t)
            pose = Pose(canvas, *spot, heading)
            (riders.motorcycle if motor else riders.bicycle)(pose, rng)
            riders.rider(pose, rng, upright=not motor)
    for name, make in (('bicycle', riders.bicycle), ('motorcycle', riders.motorcycle)):
        for _ in range(int(rng.integers(1, 3)) if name in wanted else 0):
            sign = 1 if rng.random() < 0.6 else -1
            # parked cars would hide it
            sign *= -1 if street.kerb(sign) > street.kerb(-sign) else 1
            kerb = street.kerb(sign)
            ends = sorted((sign * (kerb - 0.3), sign * (kerb + street.walk[(sign + 1) // 2] - 0.4)))
            spot = street.place(tuple(ends), (9.5, 15.5), (0.7, 0.9), 60)
            if spot:
                t = street.uniform(0.35, 1.1)
                make(Pose(canvas, *spot, turn(t if rng.random() < 0.5 else -t)), rng)


def add_furniture(street: Street, wanted: frozenset[str]) -> None:
    """Lamp posts, bollards, signs, lights, bins: upright things within the first metre of the pavement."""
    canvas, rng = street.canvas, street.rng
    jobs: list[tuple[Callable, tuple[float, float]]] = []
    if 'traffic light' in wanted:
        jobs += [(objects.traffic_light, (9.0, 16.0))] * int(rng.integers(1, 4))
    if 'traffic sign' in wanted:
        jobs += [(objects.traffic_sign, (8.0, 15.0))] * int(rng.integers(1, 4))
    jobs += [(objects.lamp_post, (7.0, 16.0)), (objects.lamp_post, (16.0, 40.0)), (objects.lamp_post, (16.0, 40.0))]
    jobs += [(objects.litter_bin, (10.0, 24.0))] * int(rng.integers(0, 3))
    jobs += [(objects.trolley, (9.0, 22.0))] * int(rng.random() < 0.25)
    for make, zs in jobs:
        sign = 1 if rng.random() < 0.5 else -1
        kerb = street.kerb(sign)
        spot = street.place(tuple(sorted((sign * (kerb + 0.3), sign * (kerb + 0.9)))), zs, (0.4, 0.5), 10)
        if spot is None:
            continue
        pose = Pose(canvas, *spot)
        if make in (objects.lamp_post, objects.traffic_light):
            make(pose, rng, -sign)
        else:
            make(pose, rng)
    if rng.random() < 0.4:
        sign = 1 if rng.random() < 0.5 else -1
        z = street.uniform(8, 14)
        objects.bollards(canvas, rng, street.x(sign * (street.kerb(sign) + 0.25), z), z)


def add_people(street: Street, wanted: frozenset[str]) -> None:
    """Pedestrians on the pavements, now and then one who crosses."""
    rng = street.rng
    for _ in range(int(rng.integers(2, 6)) if 'person' in wanted else 0):
        sign = 1 if rng.random() < 0.5 else -1
        ends = sorted((sign * (street.kerb(sign) + 0.4), sign * (street.edge(sign) - 0.3)))
        if rng.random() < 0.15:
            ends = [-street.half * 0.6, street.half * 0.8]
        spot = street.place(tuple(ends), (8.0, 19.0), (0.35, 0.4), 30)
        if spot:
            riders.person(Pose(street.canvas, *spot), rng)


def add_traffic(street: Street, wanted: frozenset[str]) -> None:
    """Large vehicles first (they need room), then cars moving and parked."""
    rng = street.rng
    slots = ['own', 'oncoming'] if rng.random() < 0.5 else ['oncoming', 'own']
    for name, make in (('bus', vehicles.bus), ('truck', vehicles.truck)):
        if name in wanted:
            place_vehicle(street, make, (1.3, 6.2), (17.0, 27.0), slots.pop())
    for slot, chance, zs in (
        ('own', 0.5, (12, 40)),
        ('oncoming', 0.7, (9, 22)),
        ('oncoming', 0.6, (22, 60)),
        ('own', 0.5, (35, 70)),
    ):
        if rng.random() < chance:
            place_vehicle(street, vehicles.car, (1.0, 2.9), zs, slot)
    for slot, which in (('left', 0), ('right', 1)):
        chance = 0.75 if street.parking[which] else 0.3
        for k in range(9):
            if rng.random() < chance:
                place_vehicle(street, vehicles.car, (1.0, 2.6), (7 + 5.8 * k, 7.8 + 5.8 * k), slot)


def compose(street: Street, wanted: frozenset[str]) -> None:
    """Draws the whole frame; see-through things come last, for they blend with what stands behind them."""
    paint_sky(street)
    paint_ground(street)
    cast_side_shadow(street)
    build_backdrop(street)
    for sign, kind in zip((-1, 1), street.sides, strict=True):
        SIDE_BUILDERS[kind](street, sign)
    add_traffic(street, wanted)
    add_furniture(street, wanted)
    add_people(street, wanted)
    add_two_wheelers(street, wanted)


def render_frame(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Renders frame ``index`` of the set with ``seed``.

    A draw that hides a class the plan asks for is thrown away, up to ATTEMPTS times; then the best one stays.

    Returns:
        RGB image (375, 1242, 3) uint8 and Cityscapes label ids (375, 1242) uint8.
    """
    plan = plan_frames(seed)[index]
    best, fewest = None, len(LABEL_IDS) + 1
    for attempt in range(ATTEMPTS):
        street = Street(
            np.random.Generator(np.random.PCG64([seed, index, attempt])), plan.sides, WEATHERS[plan.weather]
        )
        compose(street, plan.classes)
        pixels = np.bincount(street.canvas.ids.ravel(), minlength=256)
        missing = sum(pixels[LABEL_IDS[name]] < least for name, least in plan.required_pixels().items())
        if missing < fewest:
            best, fewest = street, missing
        if not missing:
            break
    return develop(best), best.canvas.ids
