"""Twenty outlines, one for each coarse class of CIFAR-100, that differ at a height of twenty pixels.

Frame and units: voc_objects_brush. A fine class wears one of five coats: what its colours and its pattern are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmext.common.samples.voc_objects_brush import Brush, Colour, circle, panel, rect, rounded

DARK = (26, 24, 28)


@dataclass(frozen=True)
class Coat:
    """Colour of the body, and a pattern of another one over it."""

    body: Colour
    pattern: str
    second: Colour = DARK

    def put_on(self, brush: Brush) -> None:
        """Covers what is painted so far with the pattern; 0..1 is the object's height."""
        for area in PATTERNS[self.pattern]:
            brush.tint(area, self.second)


PATTERNS = {
    'plain': [],
    'hoops': [rect(-2, 2, y, y + 0.13) for y in np.arange(-0.2, 1.2, 0.26)],
    'stripes': [rect(x, x + 0.14, -1, 2) for x in np.arange(-1.47, 1.5, 0.28)],
    'lower half': [rect(-2, 2, -1, 0.45)],
    'dots': [
        circle(x + 0.14 * (row % 2), 0.14 + 0.24 * row, 0.085, corners=12)
        for row in range(-1, 5)
        for x in np.arange(-1.4, 1.5, 0.28)
    ],
}
COATS = (
    Coat((250, 204, 40), 'plain'),
    Coat((226, 40, 44), 'hoops', (250, 246, 240)),
    Coat((44, 170, 70), 'stripes', (18, 66, 40)),
    Coat((40, 96, 226), 'dots', (250, 246, 240)),
    Coat((240, 130, 214), 'lower half', (96, 26, 128)),
)


def _legs(brush: Brush, xs, top: float, width: float, colour: Colour) -> None:
    for x in xs:
        brush.line([(x, top), (x, width / 2)], width, colour)


def whale(brush: Brush, coat: Coat) -> None:
    brush.fill(rounded([(-0.85, 0.5), (-0.3, 0.12), (0.5, 0.05), (0.85, 0.3), (0.8, 0.62), (0.3, 0.7)]), coat.body)
    brush.fill([(-0.7, 0.45), (-1.0, 0.9), (-0.72, 0.8), (-0.5, 0.95), (-0.55, 0.5)], coat.body)
    coat.put_on(brush)
    brush.line([(0.35, 0.7), (0.35, 0.9), (0.18, 1.0)], 0.07, (236, 246, 250))
    brush.line([(0.35, 0.9), (0.52, 1.0)], 0.07, (236, 246, 250))


def fish(brush: Brush, coat: Coat) -> None:
    brush.fill([(-0.35, 0.5), (-0.9, 0.95), (-0.78, 0.5), (-0.9, 0.05)], coat.body)
    brush.fill([(-0.2, 0.75), (0.0, 1.0), (0.3, 0.75)], coat.body)
    brush.fill(circle(0.15, 0.5, 0.6, 0.36), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0.5, 0.58, 0.1), (255, 255, 255))
    brush.fill(circle(0.52, 0.58, 0.055), DARK)


def flower(brush: Brush, coat: Coat) -> None:
    for angle in np.arange(6) * np.pi / 3:
        brush.fill(circle(0.3 * np.cos(angle), 0.62 + 0.3 * np.sin(angle), 0.17), coat.body)
    coat.put_on(brush)
    brush.line([(0, 0.2), (0.02, 0.02)], 0.08, (70, 120, 50))
    brush.fill(circle(0, 0.62, 0.16), (110, 66, 30))


def jug(brush: Brush, coat: Coat) -> None:
    brush.line([(0.3, 0.6), (0.6, 0.55), (0.58, 0.25), (0.3, 0.18)], 0.1, coat.body)
    brush.fill(panel(-0.38, 0.38, 0.0, 0.72, 0.1), coat.body)
    brush.fill(rect(-0.16, 0.16, 0.7, 1.0), coat.body)
    coat.put_on(brush)
    brush.fill(rect(-0.2, 0.2, 0.9, 1.02), DARK)


def fruit(brush: Brush, coat: Coat) -> None:
    brush.fill(circle(-0.16, 0.4, 0.34, 0.38), coat.body)
    brush.fill(circle(0.16, 0.4, 0.34, 0.38), coat.body)
    coat.put_on(brush)
    brush.line([(0, 0.72), (0.04, 0.98)], 0.08, (90, 60, 30))
    brush.fill(rounded([(0.05, 0.82), (0.3, 1.02), (0.5, 0.92), (0.3, 0.78)]), (60, 130, 50))


def screen(brush: Brush, coat: Coat) -> None:
    brush.line([(-0.3, 1.0), (0, 0.75), (0.3, 1.0)], 0.06, coat.body)
    brush.fill(panel(-0.65, 0.65, 0.1, 0.78, 0.08), coat.body)
    _legs(brush, (-0.4, 0.4), 0.12, 0.1, coat.body)
    coat.put_on(brush)
    brush.fill(panel(-0.5, 0.3, 0.22, 0.66, 0.06), (190, 226, 240))


def chair(brush: Brush, coat: Coat) -> None:
    brush.fill(rect(-0.42, -0.24, 0.0, 1.0), coat.body)
    brush.fill(rect(-0.42, 0.42, 0.34, 0.52), coat.body)
    brush.fill(rect(0.26, 0.42, 0.0, 0.4), coat.body)
    coat.put_on(brush)


def insect(brush: Brush, coat: Coat) -> None:
    for y in (0.2, 0.42, 0.64):
        brush.line([(-0.55, y - 0.12), (-0.3, y), (0.3, y), (0.55, y - 0.12)], 0.06, DARK)
    for side in (-1, 1):
        brush.line([(side * 0.06, 0.85), (side * 0.25, 1.0)], 0.06, DARK)
    brush.fill(circle(0, 0.4, 0.3, 0.4), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0, 0.8, 0.17, 0.13), DARK)
    brush.line([(0, 0.68), (0, 0.05)], 0.05, DARK)


def carnivore(brush: Brush, coat: Coat) -> None:
    for side in (-1, 1):
        brush.fill(circle(side * 0.4, 0.82, 0.18), coat.body)
    brush.fill(circle(0, 0.45, 0.52, 0.45), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0, 0.26, 0.24, 0.17), (244, 232, 214))
    brush.fill(circle(0, 0.34, 0.09, 0.07), DARK)
    for side in (-1, 1):
        brush.fill(circle(side * 0.22, 0.58, 0.07), DARK)


def house(brush: Brush, coat: Coat) -> None:
    brush.fill(rect(-0.5, 0.5, 0.0, 0.58), coat.body)
    brush.fill([(-0.68, 0.54), (0.68, 0.54), (0.0, 1.02)], coat.body)
    coat.put_on(brush)
    brush.fill(rect(-0.1, 0.14, 0.0, 0.36), DARK)
    for x in (-0.4, 0.24):
        brush.fill(rect(x, x + 0.18, 0.24, 0.42), (250, 240, 170))


def mountains(brush: Brush, coat: Coat) -> None:
    brush.fill([(-0.95, 0.0), (-0.4, 0.72), (0.1, 0.0)], coat.body)
    brush.fill([(-0.5, 0.0), (0.25, 1.0), (0.95, 0.0)], coat.body)
    coat.put_on(brush)
    brush.fill([(0.06, 0.76), (0.25, 1.0), (0.44, 0.76), (0.25, 0.68)], (250, 250, 252))


def elephant(brush: Brush, coat: Coat) -> None:
    _legs(brush, (-0.45, -0.2, 0.15, 0.35), 0.4, 0.17, coat.body)
    brush.fill(circle(-0.08, 0.6, 0.56, 0.34), coat.body)
    brush.fill(circle(0.5, 0.74, 0.27), coat.body)
    brush.line([(0.7, 0.7), (0.84, 0.45), (0.82, 0.12), (0.96, 0.06)], 0.15, coat.body)
    coat.put_on(brush)
    brush.fill(circle(0.36, 0.74, 0.15, 0.2), DARK)


def fox(brush: Brush, coat: Coat) -> None:
    brush.fill([(-0.5, 1.02), (-0.5, 0.55), (0, 0.0), (0.5, 0.55), (0.5, 1.02), (0.2, 0.72), (-0.2, 0.72)], coat.body)
    coat.put_on(brush)
    brush.fill(circle(0, 0.07, 0.1), DARK)
    for side in (-1, 1):
        brush.fill(circle(side * 0.22, 0.5, 0.075), (250, 250, 250))


def snail(brush: Brush, coat: Coat) -> None:
    brush.line([(-0.75, 0.08), (0.55, 0.08), (0.72, 0.4)], 0.16, (214, 186, 150))
    brush.line([(0.72, 0.4), (0.68, 0.66)], 0.05, (214, 186, 150))
    brush.line([(0.72, 0.4), (0.9, 0.62)], 0.05, (214, 186, 150))
    brush.fill(circle(-0.12, 0.54, 0.46), coat.body)
    coat.put_on(brush)
    turns = np.linspace(0, 3.2 * np.pi, 26)
    radius = 0.03 + 0.3 * turns / turns[-1]
    spiral = np.stack([-0.12 + radius * np.cos(turns), 0.54 + radius * np.sin(turns)], axis=1)
    brush.line(spiral, 0.06, DARK)


def person(brush: Brush, coat: Coat) -> None:
    brush.line([(-0.1, 0.4), (-0.2, 0.04)], 0.14, coat.body)
    brush.line([(0.1, 0.4), (0.2, 0.04)], 0.14, coat.body)
    brush.line([(-0.4, 0.82), (-0.16, 0.62), (0.16, 0.62), (0.4, 0.82)], 0.12, coat.body)
    brush.fill(panel(-0.2, 0.2, 0.34, 0.72, 0.06), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0, 0.86, 0.16), (236, 186, 146))


def snake(brush: Brush, coat: Coat) -> None:
    xs = np.linspace(-0.85, 0.75, 24)
    path = np.stack([xs, 0.45 + 0.3 * np.sin(xs * 7)], axis=1)
    brush.line(path, 0.22, coat.body)
    brush.fill(circle(path[-1][0] + 0.1, path[-1][1] + 0.04, 0.2, 0.16), coat.body)
    coat.put_on(brush)
    brush.fill(circle(path[-1][0] + 0.14, path[-1][1] + 0.08, 0.05), DARK)
    brush.line([path[-1] + (0.28, 0.02), path[-1] + (0.48, -0.04)], 0.05, (220, 40, 50))


def mouse(brush: Brush, coat: Coat) -> None:
    brush.line([(-0.5, 0.12), (-0.8, 0.2), (-0.9, 0.55), (-0.75, 0.8)], 0.06, (226, 160, 160))
    brush.fill(rounded([(-0.6, 0.0), (-0.62, 0.6), (-0.1, 0.8), (0.5, 0.55), (0.9, 0.12), (0.7, 0.0)]), coat.body)
    brush.fill(circle(0.2, 0.78, 0.22), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0.2, 0.78, 0.12), (236, 170, 170))
    brush.fill(circle(0.52, 0.36, 0.06), DARK)


def tree(brush: Brush, coat: Coat) -> None:
    brush.fill([(-0.44, 0.3), (0.44, 0.3), (0.0, 0.7)], coat.body)
    brush.fill([(-0.34, 0.54), (0.34, 0.54), (0.0, 0.86)], coat.body)
    brush.fill([(-0.24, 0.76), (0.24, 0.76), (0.0, 1.04)], coat.body)
    coat.put_on(brush)
    brush.fill(rect(-0.09, 0.09, 0.0, 0.32), (92, 62, 36))


def bus(brush: Brush, coat: Coat) -> None:
    brush.fill(panel(-0.95, 0.95, 0.14, 0.9, 0.12), coat.body)
    coat.put_on(brush)
    brush.fill(rect(-0.82, 0.82, 0.54, 0.78), (196, 230, 244))
    for x in (-0.3, 0.3):
        brush.fill(rect(x - 0.05, x + 0.05, 0.54, 0.78), coat.body)
    for x in (-0.55, 0.55):
        brush.fill(circle(x, 0.16, 0.18), DARK)


def rocket(brush: Brush, coat: Coat) -> None:
    brush.fill([(-0.14, 0.2), (0.0, -0.06), (0.14, 0.2)], (255, 170, 40))
    for side in (-1, 1):
        brush.fill([(side * 0.16, 0.55), (side * 0.46, 0.1), (side * 0.16, 0.2)], coat.body)
    brush.fill(rounded([(-0.22, 0.16), (-0.24, 0.66), (0.0, 1.18), (0.24, 0.66), (0.22, 0.16)], 2), coat.body)
    coat.put_on(brush)
    brush.fill(circle(0, 0.62, 0.1), DARK)


# drawing function of each coarse class, in their order, and its width / height
SHAPES: tuple[tuple[Callable[[Brush, Coat], None], float], ...] = (
    (whale, 1.85),
    (fish, 1.65),
    (flower, 0.95),
    (jug, 1.05),
    (fruit, 1.0),
    (screen, 1.3),
    (chair, 0.85),
    (insect, 1.15),
    (carnivore, 1.15),
    (house, 1.35),
    (mountains, 1.9),
    (elephant, 1.7),
    (fox, 1.0),
    (snail, 1.65),
    (person, 0.9),
    (snake, 2.0),
    (mouse, 1.8),
    (tree, 0.9),
    (bus, 1.9),
    (rocket, 0.92),
)
