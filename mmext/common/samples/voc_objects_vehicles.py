"""Vehicles from the side, nose to the right. Frame and units: voc_objects_brush."""

import numpy as np

from mmext.common.samples.voc_objects_brush import Brush, circle, one_of, panel, rect, rounded, shade

GLASS, TYRE, STEEL, LAMP = (150, 196, 214), (34, 34, 38), (168, 172, 178), (250, 226, 130)
FINS = ((206, 40, 44), (32, 84, 178), (236, 140, 24), (20, 128, 96))
FRAMES = ((20, 168, 190), (226, 90, 30), (120, 190, 40), (196, 40, 120))
SAILS = ((250, 246, 232), (250, 214, 90), (236, 120, 90))
BUSES = ((222, 54, 40), (244, 184, 24), (240, 120, 30))
CARS = ((36, 96, 190), (196, 30, 40), (226, 228, 230), (60, 66, 74), (90, 160, 120))
TANKS = ((196, 26, 30), (24, 60, 160), (230, 130, 20))
TRAINS = (((28, 70, 140), (240, 200, 50)), ((20, 110, 84), (240, 236, 220)), ((120, 30, 50), (236, 214, 170)))


def wheel(brush: Brush, x: float, radius: float) -> None:
    """Tyre with a bright rim; stands on the ground."""
    brush.fill(circle(x, radius, radius), TYRE)
    brush.fill(circle(x, radius, radius * 0.55), STEEL)
    brush.fill(circle(x, radius, radius * 0.2), TYRE)


def aeroplane(brush: Brush, rng: np.random.Generator) -> None:
    """White airliner with a coloured fin, swept wings and an engine."""
    fin, hull = one_of(rng, FINS), (236, 238, 242)
    brush.fill([(0.35, 0.5), (-0.15, 0.86), (-0.36, 0.86), (-0.1, 0.5)], shade(hull, 0.72))
    brush.fill([(-0.95, 0.5), (-1.42, 1.0), (-1.15, 1.0), (-0.6, 0.52)], fin)
    brush.fill(
        rounded(
            [(-1.45, 0.5), (-0.9, 0.3), (0.9, 0.24), (1.3, 0.3), (1.52, 0.4), (1.3, 0.54), (0.9, 0.6), (-1.2, 0.6)]
        ),
        hull,
    )
    brush.tint(rect(-2, 2, 0.33, 0.37), fin)
    for x in np.arange(-0.85, 1.0, 0.17):
        brush.fill(circle(x, 0.47, 0.035, corners=10), (70, 90, 120))
    brush.fill([(1.22, 0.44), (1.4, 0.44), (1.28, 0.52), (1.18, 0.53)], (60, 80, 110))
    brush.fill([(-1.1, 0.48), (-1.55, 0.62), (-1.35, 0.64), (-0.85, 0.5)], shade(hull, 0.78))
    brush.fill(panel(0.02, 0.36, 0.07, 0.2, 0.06), fin)
    brush.fill([(0.35, 0.38), (-0.5, 0.0), (-0.75, 0.0), (-0.2, 0.38)], shade(hull, 0.8))


def bicycle(brush: Brush, rng: np.random.Generator) -> None:
    """Two thin wheels and a coloured diamond frame."""
    frame, (rear, front) = one_of(rng, FRAMES), ((-0.52, 0.33), (0.52, 0.33))
    for x, y in (rear, front):
        turn = rng.uniform(0, np.pi)
        for angle in turn + np.arange(4) * np.pi / 4:
            dx, dy = 0.3 * np.cos(angle), 0.3 * np.sin(angle)
            brush.line([(x - dx, y - dy), (x + dx, y + dy)], 0.012, (170, 170, 176))
        brush.line(circle(x, y, 0.3), 0.055, TYRE, closed=True)
    crank, seat, head = (-0.06, 0.31), (-0.2, 0.76), (0.36, 0.76)
    brush.line([rear, crank, head, (seat[0], seat[1] - 0.06), rear], 0.055, frame)
    brush.line([crank, (-0.23, 0.84)], 0.055, frame)
    brush.line([front, head, (0.33, 0.92), (0.46, 0.97)], 0.055, frame)
    brush.line([(0.46, 0.97), (0.5, 0.9)], 0.06, TYRE)
    brush.fill(rounded([(-0.38, 0.84), (-0.08, 0.82), (-0.08, 0.88), (-0.4, 0.92)], 1), TYRE)
    brush.fill(circle(*crank, 0.08), STEEL)
    brush.line([(crank[0] - 0.06, crank[1] + 0.12), (crank[0] + 0.06, crank[1] - 0.12)], 0.03, TYRE)


def boat(brush: Brush, rng: np.random.Generator) -> None:
    """Sailing boat: white hull, red below, mast with two sails."""
    sail = one_of(rng, SAILS)
    brush.line([(0.0, 0.2), (0.0, 0.98)], 0.03, (120, 84, 50))
    brush.fill([(-0.03, 0.3), (-0.03, 0.96), (-0.2, 0.7), (-0.46, 0.3)], sail)
    brush.tint([(-0.03, 0.52), (-0.03, 0.6), (-0.6, 0.6), (-0.6, 0.52)], one_of(rng, FINS))
    brush.fill([(0.04, 0.32), (0.04, 0.9), (0.44, 0.32)], shade(sail, 0.88))
    brush.fill(rounded([(-0.52, 0.25), (-0.44, 0.0), (0.34, 0.0), (0.62, 0.28), (0.3, 0.23)], 1), (244, 244, 240))
    brush.tint(rect(-1, 1, -0.1, 0.07), (170, 36, 36))
    brush.tint(rect(-1, 1, 0.17, 0.2), (30, 60, 120))


def bus(brush: Brush, rng: np.random.Generator) -> None:
    """City bus: tall bright box, a row of large windows, a door, two wheels."""
    paint = one_of(rng, BUSES)
    brush.fill(panel(-1.1, 1.1, 0.13, 1.0, 0.1), paint)
    brush.tint(rect(-1.2, 1.2, 0.1, 0.2), shade(paint, 0.6))
    brush.tint(rect(-1.2, 1.2, 0.4, 0.45), (246, 244, 236))
    for x in np.arange(5) * 0.33 - 1.02:
        brush.fill(rect(x, x + 0.28, 0.52, 0.84), GLASS)
        brush.fill([(x, 0.52), (x + 0.1, 0.52), (x + 0.22, 0.84), (x + 0.12, 0.84)], shade(GLASS, 1.2))
    brush.fill(rect(0.65, 0.86, 0.18, 0.84), shade(GLASS, 0.8))
    brush.fill(rect(0.745, 0.765, 0.18, 0.84), shade(paint, 0.5))
    brush.fill(rect(0.93, 1.1, 0.5, 0.86), GLASS)
    brush.fill(rect(0.72, 1.06, 0.89, 0.96), (30, 30, 30))
    brush.fill(rect(1.04, 1.1, 0.24, 0.31), LAMP)
    wheel(brush, -0.68, 0.17)
    wheel(brush, 0.45, 0.17)


def car(brush: Brush, rng: np.random.Generator) -> None:
    """Saloon: long low body, glass cabin, two wheels."""
    paint = one_of(rng, CARS)
    brush.fill(rounded([(-0.95, 0.55), (-0.5, 1.0), (0.25, 1.04), (0.75, 0.55)], 1), paint)
    brush.fill([(-0.62, 0.6), (-0.42, 0.9), (-0.14, 0.92), (-0.14, 0.6)], GLASS)
    brush.fill([(-0.07, 0.6), (-0.07, 0.92), (0.22, 0.92), (0.55, 0.6)], GLASS)
    brush.fill(rounded([(-1.2, 0.2), (-1.2, 0.62), (-0.8, 0.66), (0.6, 0.64), (1.15, 0.54), (1.22, 0.2)], 1), paint)
    brush.tint(rect(-1.3, 1.3, 0.1, 0.27), shade(paint, 0.55))
    brush.line([(-0.1, 0.6), (-0.1, 0.28)], 0.02, shade(paint, 0.55))
    brush.fill(rect(-0.32, -0.2, 0.5, 0.54), STEEL)
    brush.fill(circle(1.08, 0.45, 0.07, 0.06), LAMP)
    brush.fill(rect(-1.17, -1.08, 0.45, 0.55), (220, 30, 30))
    wheel(brush, -0.68, 0.22)
    wheel(brush, 0.7, 0.22)


def motorbike(brush: Brush, rng: np.random.Generator) -> None:
    """Thick black wheels, bright tank, dark seat, chrome engine and exhaust."""
    paint = one_of(rng, TANKS)
    for x in (-0.58, 0.58):
        brush.fill(circle(x, 0.32, 0.32), TYRE)
        brush.fill(circle(x, 0.32, 0.2), STEEL)
        brush.fill(circle(x, 0.32, 0.14), (88, 90, 96))
    brush.line([(0.58, 0.32), (0.34, 0.92)], 0.07, STEEL)
    brush.line([(0.36, 0.9), (0.2, 1.0)], 0.06, TYRE)
    brush.line([(-0.58, 0.32), (0.0, 0.28), (0.3, 0.72), (-0.35, 0.6), (-0.58, 0.32)], 0.07, (50, 50, 56))
    brush.fill(rounded([(-0.25, 0.2), (0.28, 0.2), (0.28, 0.52), (-0.25, 0.55)], 1), (130, 132, 138))
    for y in (0.3, 0.38, 0.46):
        brush.line([(-0.12, y), (0.2, y)], 0.03, (60, 62, 66))
    brush.line([(0.15, 0.2), (-0.3, 0.16), (-0.85, 0.26)], 0.09, (206, 208, 212))
    brush.fill(rounded([(-0.12, 0.6), (0.36, 0.64), (0.32, 0.86), (-0.05, 0.84)], 2), paint)
    brush.fill(rounded([(-0.85, 0.78), (-0.75, 0.64), (-0.05, 0.6), (-0.02, 0.76), (-0.4, 0.72)], 1), (40, 36, 36))
    brush.fill(rounded([(-0.92, 0.56), (-0.6, 0.66), (-0.4, 0.6), (-0.7, 0.76), (-0.95, 0.7)], 1), paint)
    brush.fill(rounded([(0.3, 0.58), (0.62, 0.68), (0.9, 0.56), (0.62, 0.74)], 1), paint)
    brush.fill(circle(0.46, 0.82, 0.1), LAMP)
    brush.line(circle(0.46, 0.82, 0.1), 0.03, STEEL, closed=True)


def train(brush: Brush, rng: np.random.Generator) -> None:
    """Railcar with a sloping nose and a coach behind it, small windows, one long stripe, many small wheels."""
    paint, stripe = one_of(rng, TRAINS)
    for x in (-1.6, -1.4, -0.55, -0.35, 0.2, 0.4, 1.15, 1.35):
        brush.fill(circle(x, 0.09, 0.09, corners=16), TYRE)
    brush.fill(rect(-1.7, 1.55, 0.1, 0.18), (60, 58, 60))
    brush.fill(rect(-0.2, 0.1, 0.2, 0.8), (50, 50, 54))
    brush.line([(-1.1, 0.86), (-1.3, 0.94), (-1.1, 0.99), (-0.9, 0.99)], 0.025, (60, 60, 64))
    coach = rect(-1.8, -0.12, 0.16, 0.87)
    front = rounded([(0.02, 0.16), (1.75, 0.16), (1.85, 0.32), (1.45, 0.87), (0.02, 0.87)], 1)
    for outline in (coach, front):
        brush.fill(outline, paint)
    brush.fill(rect(0.02, 0.4, 0.16, 0.87), paint)
    brush.tint(rect(-1.9, 1.9, 0.8, 0.9), (196, 198, 200))
    brush.tint(rect(-1.9, 1.9, 0.34, 0.42), stripe)
    for x in (-1.66, -1.42, -1.18, -0.94, -0.7, -0.46, 0.14, 0.38, 0.62, 0.86):
        brush.fill(rect(x, x + 0.16, 0.52, 0.72), (206, 228, 236))
    brush.fill([(1.22, 0.5), (1.6, 0.5), (1.44, 0.74), (1.22, 0.74)], (40, 56, 74))
    brush.fill(circle(1.66, 0.3, 0.06, corners=16), LAMP)
