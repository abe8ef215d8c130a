"""Decides which objects a picture shows and where they stand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmext.common.samples.voc_devkit_backgrounds import SCENES, Zones
from mmext.common.samples.voc_devkit_scene import SEEN_SHARE, TINY_PX, Item, SceneObject, paint
from mmext.common.samples.voc_objects import OBJECTS
from mmext.common.samples.voc_objects_brush import Pose, one_of

SHORT_SIDE_PX = 192  # of the pictures that the heights of the classes are meant for
OVERLAP = 0.25  # most that two objects share of the smaller one's expected box
PLANNED_SEEN = 0.6  # least share of a planned object that is seen
PORTRAIT_SHARE, TRUNCATED_SHARE, TINY_SHARE, HIDDEN_SHARE = 0.12, 0.12, 0.22, 0.22
TINY_SEEN_PX, HIDDEN_SEEN_PX = 12, 40  # far and covered objects of which fewer pixels are seen are left out

Plan = tuple[str, list[str]]  # scene and the classes in it


@dataclass(frozen=True)
class Site:
    """What a background offers: the zone of each class, the rows of each zone, and its size."""

    zone_of: dict[str, str]
    zones: Zones
    size_hw: tuple[int, int]


def plan_pictures(rng: np.random.Generator, count: int) -> list[Plan]:
    """Scene and 2 to 5 classes of each picture, such that all classes occur about equally often."""
    seen: Counter[str] = Counter(dict.fromkeys(OBJECTS, 0))
    plans = []
    for _ in range(count):
        needs = {}
        for scene, (_, zones) in SCENES.items():
            needs[scene] = np.mean(sorted(seen[name] for name in zones)[:2]) + rng.uniform(0, 0.5)
        scene = min(needs, key=needs.__getitem__)
        names: list[str] = []
        for _ in range(rng.choice([2, 3, 4, 5], p=[0.15, 0.35, 0.3, 0.2])):
            rank = {name: seen[name] + rng.uniform(0, 1.5) + 0.7 * names.count(name) for name in SCENES[scene][1]}
            names.append(min(rank, key=rank.__getitem__))
            seen[names[-1]] += 1
        plans.append((scene, names))
    return plans


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Shared area of two boxes (x0, y0, x1, y1) over the smaller area."""
    sides = (min(a[2], b[2]) - max(a[0], b[0])), (min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(sides[0], 0) * max(sides[1], 0) / smaller


def _pose(rng: np.random.Generator, x: float, y: float, height: float, flying: bool) -> Pose:
    """Random mirror image, turn, stretch and brightness."""
    turn = rng.uniform(-0.05, 0.2) if flying else rng.uniform(-0.03, 0.03)
    mirrored = bool(rng.random() < 0.5)
    turn = -turn if mirrored else turn
    return Pose(x, y, height, mirrored, turn, rng.uniform(0.9, 1.12), rng.uniform(0.88, 1.1))


def _table_top(rng: np.random.Generator, items: Sequence[Item]) -> tuple[float, float, float] | None:
    """x, y and depth of a free place on a dining table."""
    for table in items:
        if table.name == 'diningtable':
            pose = table.pose
            x = pose.x_px + rng.uniform(-0.7, 0.7) * pose.height_px
            return x, pose.y_px - rng.uniform(0.8, 0.9) * pose.height_px, table.depth + 0.1
    return None


def _place(
    rng: np.random.Generator, name: str, site: Site, items: Sequence[Item], shrink: float, cut: float | None
) -> Item:
    """One random place for a class; it need not be free.

    ``cut`` puts the middle of the object beyond the left or right edge of the picture, or inside of it when negative,
    in parts of the object's half width; None keeps the object inside.
    """
    width, zone = site.size_hw[1], site.zone_of[name]
    kind, y, ground = OBJECTS[name], rng.uniform(*site.zones[zone]), site.zones['ground']
    near = np.clip((y - ground[0]) / (ground[1] - ground[0]), 0, 1) if zone in ('ground', 'road') else 0.4
    tall = shrink * kind.height_px * min(site.size_hw) / SHORT_SIDE_PX * (0.72 + 0.5 * near) * rng.uniform(0.8, 1.2)
    half = min(0.56 * tall * kind.aspect, width / 2 - 3)
    tall = half / kind.aspect / 0.56
    x, depth = rng.uniform(half + 2, width - half - 2), y
    stand = {'sky': 'air', 'shelf': 'board'}.get(zone, 'floor')
    top = _table_top(rng, items) if name in ('bottle', 'pottedplant') and rng.random() < 0.6 else None
    if top:
        (x, y, depth), stand, tall = top, 'table', 0.75 * tall
    elif cut is not None:
        x = -cut * half if rng.random() < 0.5 else width + cut * half
    if name == 'tvmonitor':
        stand, y = 'cabinet', y - 0.5 * tall
    return Item(name, _pose(rng, x, y, tall, stand == 'air'), depth, int(rng.integers(2**31)), stand)


def _fits(item: Item, others: Sequence[Item], site: Site, overlap: float) -> bool:
    """Whether the item stays below the upper edge and clear of the others, but for the table that it stands on."""
    box = item.box_px()
    if box[1] < 2 or box[3] > site.size_hw[0] - 1:
        return False
    return all(
        _overlap(box, other.box_px()) <= overlap
        for other in others
        if not (item.stand == 'table' and other.name == 'diningtable')
    )


def _arrange(rng: np.random.Generator, names: Sequence[str], site: Site) -> list[Item]:
    """Places the classes one after the other, wide ones first; each shrinks until it finds a free place."""
    items: list[Item] = []
    for name in sorted(names, key=lambda name: -OBJECTS[name].height_px * OBJECTS[name].aspect):
        cut = rng.uniform(-0.75, -0.05) if rng.random() < TRUNCATED_SHARE else None
        for attempt in range(200):
            item = _place(rng, name, site, items, 0.88 ** (attempt // 25), cut)
            if _fits(item, items, site, OVERLAP):
                break
        items.append(item)
    return items


def _tiny(rng: np.random.Generator, site: Site, items: Sequence[Item]) -> Item | None:
    """An object far away, its longer side below TINY_PX."""
    places = {name: 'sky' if zone == 'sky' else 'far' for name, zone in site.zone_of.items()}
    names = [name for name, zone in places.items() if zone in site.zones]
    if not names:
        return None
    for _ in range(20):
        name = one_of(rng, names)
        kind, longer = OBJECTS[name], rng.uniform(10, TINY_PX - 2)
        x, y = rng.uniform(0.04, 0.96) * site.size_hw[1], rng.uniform(*site.zones[places[name]])
        pose = Pose(x, y, longer / max(kind.aspect * 1.1, 1.1), bool(rng.random() < 0.5))
        item = Item(name, pose, y, int(rng.integers(2**31)), 'air' if places[name] == 'sky' else 'floor')
        if _fits(item, items, site, 0.0):
            return item
    return None


def _hidden(rng: np.random.Generator, site: Site, items: Sequence[Item]) -> Item | None:
    """An object behind another one that covers most of it."""
    names = [name for name, zone in site.zone_of.items() if zone in ('ground', 'road')]
    fronts = [item for item in items if item.stand == 'floor']
    if not names or not fronts:
        return None
    front, name = one_of(rng, fronts), one_of(rng, names)
    x0, y0, x1, y1 = front.box_px()
    tall = (y1 - y0) * rng.uniform(0.85, 1.1)
    x = (x0 if rng.random() < 0.5 else x1) + rng.uniform(-0.1, 0.1) * (x1 - x0)
    y = front.pose.y_px - rng.uniform(0.02, 0.1) * (y1 - y0)
    item = Item(name, _pose(rng, x, y, tall, False), front.depth - 0.05, int(rng.integers(2**31)))
    behind = [other for other in items if other is not front]
    return item if _fits(item, behind, site, 0.1) else None


def render_picture(key: Sequence[int], plan: Plan, size_hw: tuple[int, int]) -> tuple[np.ndarray, list[SceneObject]]:
    """One picture with its annotations.

    Args:
        key: seeds the picture: the same key, plan and size give the same pixels.
        plan: scene and classes, as from ``plan_pictures``.
        size_hw: of the picture; some are turned by 90 degrees (portrait).

    Returns:
        Picture (H, W, 3) RGB uint8 and the objects of which something is seen: the planned ones, which are not
        difficult unless the picture is too small for them, then difficult ones that chance added, far away or covered.
    """
    rng = np.random.Generator(np.random.PCG64(list(key)))
    if rng.random() < PORTRAIT_SHARE:
        size_hw = size_hw[::-1]
    scene, names = plan
    background, zones = SCENES[scene][0](rng, size_hw)
    site = Site(SCENES[scene][1], zones, size_hw)
    for _ in range(20):
        items = _arrange(rng, names, site)
        image, objects = paint(background, items)
        if all(_is_clear(found) for found in objects):
            break
    extras = []
    if rng.random() < TINY_SHARE:
        extras.append(_tiny)
    if rng.random() < HIDDEN_SHARE:
        extras.append(_hidden)
    for draw in extras:
        for _ in range(8):
            extra = draw(rng, site, items)
            tried = paint(background, [*items, extra]) if extra else None
            if tried and _welcome(tried[1], len(names)):
                items, (image, objects) = [*items, extra], tried
                break
    return image, [found for found in objects if found.mask.any()]


def _is_clear(found: SceneObject) -> bool:
    """Whether a planned object is seen well enough."""
    return found.seen >= PLANNED_SEEN and not found.difficult


def _welcome(objects: Sequence[SceneObject], planned: int) -> bool:
    """Whether the objects after the planned ones are difficult but seen, and the planned ones as clear as before."""

    def is_seen(found: SceneObject) -> bool:
        least = TINY_SEEN_PX if found.seen >= SEEN_SHARE else HIDDEN_SEEN_PX
        return int(found.mask.sum()) >= least

    extras = objects[planned:]
    return all(map(_is_clear, objects[:planned])) and all(found.difficult and is_seen(found) for found in extras)
