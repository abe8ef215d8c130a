"""People, furniture and small things. Frame and units: voc_objects_brush."""

import numpy as np

from mmext.common.samples.voc_objects_brush import Brush, circle, one_of, panel, rect, rounded, shade

SKINS, HAIRS = ((244, 204, 172), (214, 160, 120), (132, 84, 56)), ((46, 30, 22), (110, 66, 30), (214, 176, 96))
SHIRTS = ((200, 40, 60), (40, 120, 70), (250, 206, 70), (90, 70, 160), (240, 240, 240))
TROUSERS = ((40, 56, 110), (54, 54, 60), (120, 100, 76))
GLASSES = (((24, 104, 56), (250, 246, 226)), ((120, 62, 20), (250, 214, 120)), ((28, 100, 120), (240, 240, 240)))
WOODS = ((166, 104, 50), (196, 138, 76), (122, 72, 38))
SOFAS = ((34, 130, 134), (172, 44, 56), (112, 70, 142), (206, 150, 50))
POTS, LEAVES = ((198, 92, 52), (180, 76, 60), (206, 116, 70)), ((40, 130, 50), (66, 156, 60), (30, 104, 60))
SCREENS = ((40, 120, 220), (30, 160, 200), (70, 90, 200))


def person(brush: Brush, rng: np.random.Generator) -> None:
    """Standing person from the front, arms hanging, spread or waving."""
    skin, hair = one_of(rng, SKINS), one_of(rng, HAIRS)
    shirt, trousers = one_of(rng, SHIRTS), one_of(rng, TROUSERS)
    spread = rng.uniform(0.05, 0.1)
    for side in (-1, 1):
        brush.line([(side * 0.07, 0.48), (side * spread, 0.05)], 0.1, trousers)
        brush.fill(circle(side * (spread + 0.02), 0.03, 0.07, 0.03), (30, 26, 26))
    waving = int(rng.integers(3)) - 1
    for side in (-1, 1):
        hand = (side * 0.3, 0.86) if side == waving else (side * rng.uniform(0.2, 0.26), 0.44)
        elbow = (side * 0.27, 0.66) if side == waving else (side * 0.2, 0.6)
        brush.line([(side * 0.12, 0.76), elbow], 0.085, shade(shirt, 0.88))
        brush.line([elbow, hand], 0.065, skin)
    brush.fill(rounded([(-0.17, 0.8), (-0.13, 0.44), (0.13, 0.44), (0.17, 0.8), (0.0, 0.83)], 1), shirt)
    brush.fill(rect(-0.115, 0.115, 0.44, 0.48), shade(trousers, 0.6))
    brush.fill(rect(-0.035, 0.035, 0.78, 0.86), shade(skin, 0.86))
    brush.fill(circle(0, 0.915, 0.085, 0.085), hair)
    brush.fill(circle(0, 0.9, 0.068, 0.078), skin)
    brush.fill(rounded([(-0.085, 0.9), (-0.08, 0.97), (0.0, 1.005), (0.08, 0.97), (0.085, 0.9), (0.03, 0.95)], 1), hair)
    for side in (-1, 1):
        brush.fill(circle(side * 0.028, 0.905, 0.011, corners=8), (20, 20, 20))
    brush.line([(-0.02, 0.86), (0.02, 0.86)], 0.012, (180, 70, 70))


def bottle(brush: Brush, rng: np.random.Generator) -> None:
    """Coloured glass with a neck, a cap and a paper label."""
    glass, cap = one_of(rng, GLASSES)
    body = [(-0.15, 0.0), (0.15, 0.0), (0.15, 0.55), (0.06, 0.72), (0.055, 0.92), (-0.055, 0.92), (-0.06, 0.72)]
    brush.fill(rounded([*body, (-0.15, 0.55)], 1), glass)
    brush.fill(rect(-0.13, 0.13, 0.0, 0.1), glass)
    brush.tint(rect(-0.11, -0.06, 0.05, 0.6), shade(glass, 1.7))
    brush.tint(rect(-0.2, 0.2, 0.18, 0.44), cap)
    brush.tint(rect(-0.2, 0.2, 0.28, 0.34), (190, 40, 40))
    brush.fill(rect(-0.065, 0.065, 0.9, 1.0), (200, 160, 50))


def chair(brush: Brush, rng: np.random.Generator) -> None:
    """Wooden chair seen from the side: straight back with rungs, seat, four legs."""
    wood = one_of(rng, WOODS)
    for x, foot in ((-0.14, 0.08), (0.34, 0.08)):
        brush.line([(x, 0.46), (x, foot)], 0.05, shade(wood, 0.66))
    brush.line([(-0.14, 0.5), (-0.18, 0.98)], 0.055, shade(wood, 0.7))
    for y in (0.62, 0.75, 0.88):
        brush.line([(-0.3, y - 0.02), (-0.16, y + 0.03)], 0.07, shade(wood, 0.9))
    brush.fill([(-0.32, 0.44), (0.2, 0.42), (0.38, 0.5), (-0.12, 0.52)], shade(wood, 1.25))
    brush.fill([(-0.32, 0.38), (0.2, 0.36), (0.2, 0.42), (-0.32, 0.44)], wood)
    brush.fill([(0.2, 0.36), (0.38, 0.44), (0.38, 0.5), (0.2, 0.42)], shade(wood, 0.8))
    brush.line([(-0.29, 0.4), (-0.34, 0.95)], 0.06, wood)
    brush.line([(-0.29, 0.4), (-0.29, 0.03)], 0.06, wood)
    brush.line([(0.18, 0.38), (0.18, 0.03)], 0.06, wood)
    brush.line([(-0.29, 0.18), (0.18, 0.18)], 0.035, wood)


def diningtable(brush: Brush, rng: np.random.Generator) -> None:
    """Broad table seen a little from above, with a cloth runner and four legs."""
    wood, cloth = one_of(rng, WOODS), one_of(rng, ((244, 240, 230), (230, 226, 210)))
    for x in (-0.68, 0.68):
        brush.line([(x, 0.6), (x, 0.2)], 0.08, shade(wood, 0.6))
    top = [(-1.0, 0.72), (1.0, 0.72), (0.76, 1.0), (-0.76, 1.0)]
    brush.fill(top, shade(wood, 1.2))
    brush.fill(rect(-1.0, 1.0, 0.6, 0.72), shade(wood, 0.85))
    brush.fill([(-0.42, 0.72), (0.42, 0.72), (0.34, 1.0), (-0.34, 1.0)], cloth)
    brush.fill([(-0.42, 0.72), (0.42, 0.72), (0.42, 0.46), (0.0, 0.38), (-0.42, 0.46)], shade(cloth, 0.9))
    brush.fill(circle(0.0, 0.87, 0.2, 0.055), (120, 160, 200))
    brush.fill(circle(0.0, 0.87, 0.13, 0.035), (236, 240, 244))
    for x in (-0.9, 0.9):
        brush.line([(x, 0.62), (x, 0.05)], 0.1, wood)


def sofa(brush: Brush, rng: np.random.Generator) -> None:
    """Upholstered two-seater from the front: back, two cushions, thick arms, short feet."""
    cloth = one_of(rng, SOFAS)
    for x in (-0.85, 0.85):
        brush.line([(x, 0.1), (x, 0.03)], 0.06, (60, 40, 26))
    brush.fill(panel(-0.9, 0.9, 0.3, 1.0, 0.15), cloth)
    for side in (-1, 1):
        brush.fill(panel(0.41 * side - 0.38, 0.41 * side + 0.38, 0.48, 0.94, 0.12), shade(cloth, 1.14))
    brush.fill(rect(-0.9, 0.9, 0.08, 0.36), shade(cloth, 0.7))
    for side in (-1, 1):
        brush.fill(panel(0.415 * side - 0.4, 0.415 * side + 0.4, 0.32, 0.52, 0.06), shade(cloth, 1.3))
        brush.fill(panel(0.88 * side - 0.14, 0.88 * side + 0.14, 0.08, 0.7, 0.12), shade(cloth, 0.9))


def pottedplant(brush: Brush, rng: np.random.Generator) -> None:
    """Terracotta pot with a bush of green leaves."""
    pot, green, root = one_of(rng, POTS), one_of(rng, LEAVES), np.array([0.0, 0.36])
    for angle in rng.permutation(np.linspace(0.15, np.pi - 0.15, 9)):
        reach = rng.uniform(0.36, 0.5) * (1 if 0.8 < angle < 2.3 else 0.85)
        tip = np.array([np.cos(angle) * reach * 0.8, 0.4 + np.sin(angle) * reach * 1.15])
        middle = (tip + root) / 2
        length, turn = float(np.hypot(*(tip - root))) / 2, float(np.arctan2(*(tip - root)[::-1]))
        brush.fill(circle(*middle, length, 0.1, turn), shade(green, rng.uniform(0.75, 1.3)))
        brush.line([root, middle], 0.015, shade(green, 0.6))
    brush.fill([(-0.15, 0.0), (0.15, 0.0), (0.21, 0.34), (-0.21, 0.34)], pot)
    brush.tint([(0.06, 0.0), (0.2, 0.0), (0.3, 0.34), (0.08, 0.34)], shade(pot, 0.8))
    brush.fill(rect(-0.25, 0.25, 0.3, 0.4), shade(pot, 1.12))


def tvmonitor(brush: Brush, rng: np.random.Generator) -> None:
    """Black frame round a lit screen, on a foot."""
    screen = one_of(rng, SCREENS)
    brush.fill(rounded([(-0.3, 0.0), (0.3, 0.0), (0.2, 0.06), (-0.2, 0.06)], 1), (40, 40, 44))
    brush.fill(rect(-0.07, 0.07, 0.03, 0.2), (60, 60, 64))
    brush.fill(panel(-0.72, 0.72, 0.17, 1.0, 0.06), (24, 24, 28))
    brush.fill(rect(-0.63, 0.63, 0.27, 0.92), screen)
    brush.fill([(-0.63, 0.27), (-0.2, 0.55), (0.1, 0.36), (0.34, 0.5), (0.63, 0.27)], shade(screen, 0.55))
    brush.fill(circle(0.36, 0.74, 0.09), (250, 240, 170))
    brush.fill([(-0.63, 0.92), (-0.35, 0.92), (-0.63, 0.6)], shade(screen, 1.35))
