"""Animals from the side, head to the right; cats sit and look at the camera. Frame and units: voc_objects_brush."""

import numpy as np

from mmext.common.samples.voc_objects_brush import Brush, circle, one_of, rounded, shade

FEATHERS = (((44, 96, 206), (246, 214, 110)), ((190, 50, 40), (240, 220, 200)), ((24, 130, 150), (250, 240, 220)))
CATS = (((232, 146, 56), (180, 96, 24)), ((140, 142, 150), (84, 86, 94)), ((70, 60, 58), (38, 34, 34)))
DOGS = (((190, 142, 84), (120, 76, 36)), ((150, 98, 52), (82, 50, 28)), ((214, 178, 126), (160, 112, 60)))
HORSES = (((128, 62, 28), (40, 24, 18)), ((92, 52, 34), (28, 20, 18)), ((166, 98, 46), (236, 222, 196)))


def _legs(brush: Brush, rng: np.random.Generator, hips, length: float, width: float, colour, foot) -> None:
    """Four legs under the two ``hips`` (x); the far pair is darker. Random stride."""
    stride = rng.uniform(0.02, 0.08)
    for far, sign in ((0.72, -1), (1.0, 1)):
        for k, x in enumerate(hips):
            swing = stride * sign * (1 if k else -1)
            knee = (x + 0.4 * swing, length * 0.5)
            brush.line([(x - 0.02 * sign, length), knee, (x + swing, width / 2)], width, shade(colour, far))
            brush.line([(x + swing, width / 2), (x + swing + 0.02, width / 2)], width * 1.1, shade(foot, far))


def bird(brush: Brush, rng: np.random.Generator) -> None:
    """Small bird with a bright back, light breast and yellow beak, standing with the wing folded or raised."""
    back, breast = one_of(rng, FEATHERS)
    raised = rng.random() < 0.5
    if raised:
        brush.fill(rounded([(0.05, 0.5), (-0.1, 1.0), (-0.38, 0.98), (-0.3, 0.5)], 1), shade(back, 0.7))
    for x in (-0.05, 0.1):
        brush.line([(x, 0.25), (x + 0.02, 0.02), (x + 0.1, 0.02)], 0.035, (220, 140, 30))
    brush.fill([(-0.4, 0.42), (-0.86, 0.3), (-0.84, 0.18), (-0.3, 0.26)], shade(back, 0.65))
    brush.fill(rounded([(-0.5, 0.42), (-0.3, 0.2), (0.15, 0.14), (0.42, 0.4), (0.4, 0.72), (0.05, 0.68)]), back)
    brush.tint(circle(0.22, 0.27, 0.28, 0.2, 0.5), breast)
    brush.fill(circle(0.36, 0.76, 0.21), back)
    brush.fill([(0.52, 0.82), (0.8, 0.72), (0.53, 0.68)], (244, 176, 30))
    brush.fill(circle(0.43, 0.8, 0.05, corners=14), (250, 250, 250))
    brush.fill(circle(0.44, 0.8, 0.032, corners=14), (10, 10, 10))
    if raised:
        brush.fill(
            rounded([(0.15, 0.48), (0.1, 0.8), (-0.22, 1.06), (-0.52, 1.02), (-0.28, 0.4)], 1), shade(back, 0.82)
        )
    else:
        brush.fill(rounded([(0.18, 0.52), (0.0, 0.3), (-0.7, 0.3), (-0.3, 0.56)]), shade(back, 0.75))


def cat(brush: Brush, rng: np.random.Generator) -> None:
    """Sitting cat seen from the front: pointed ears, green eyes, stripes, tail round the paws."""
    fur, dark = one_of(rng, CATS)
    brush.line([(0.2, 0.07), (0.42, 0.08), (0.5, 0.2), (0.46, 0.34), (0.5, 0.44)], 0.09, shade(dark, 1.1))
    brush.fill(rounded([(-0.34, 0.0), (0.34, 0.0), (0.34, 0.25), (0.16, 0.66), (-0.16, 0.66), (-0.34, 0.25)]), fur)
    for y in (0.16, 0.28, 0.4):
        for side in (-1, 1):
            brush.tint([(side * 0.5, y), (side * 0.16, y + 0.03), (side * 0.5, y + 0.07)], dark)
    brush.fill(circle(0, 0.34, 0.12, 0.2), (246, 238, 226))
    for x in (-0.1, 0.1):
        brush.line([(x, 0.3), (x, 0.05)], 0.11, shade(fur, 1.08))
        brush.fill(circle(x, 0.045, 0.085, 0.045), (246, 238, 226))
    for side in (-1, 1):
        brush.fill([(side * 0.27, 0.74), (side * 0.27, 1.0), (side * 0.05, 0.87)], fur)
        brush.fill([(side * 0.23, 0.8), (side * 0.23, 0.93), (side * 0.12, 0.86)], (232, 150, 150))
    brush.fill(circle(0, 0.73, 0.28, 0.2), fur)
    for x in (-0.07, 0.0, 0.07):
        brush.tint([(x - 0.02, 0.95), (x + 0.02, 0.95), (x, 0.83)], dark)
    brush.fill(circle(0, 0.65, 0.12, 0.08), (246, 238, 226))
    for side in (-1, 1):
        brush.fill(circle(side * 0.12, 0.76, 0.055, 0.05, corners=16), (150, 220, 70))
        brush.fill(circle(side * 0.12, 0.76, 0.02, 0.045, corners=12), (10, 10, 10))
        brush.line([(side * 0.08, 0.66), (side * 0.3, 0.68)], 0.01, (250, 250, 250))
    brush.fill([(-0.035, 0.69), (0.035, 0.69), (0, 0.65)], (220, 110, 120))


def cow(brush: Brush, rng: np.random.Generator) -> None:
    """White with black patches, pink muzzle and udder, horns."""
    white, black, pink = (240, 238, 232), (32, 30, 32), (236, 166, 164)
    brush.line([(-0.66, 0.82), (-0.74, 0.62), (-0.72, 0.36)], 0.04, white)
    brush.fill(circle(-0.72, 0.34, 0.05, 0.07), black)
    _legs(brush, rng, (-0.5, 0.36), 0.45, 0.12, white, (60, 50, 46))
    brush.fill(circle(-0.3, 0.36, 0.12, 0.09), pink)
    brush.fill(
        rounded([(-0.74, 0.88), (-0.7, 0.4), (-0.3, 0.38), (0.3, 0.36), (0.6, 0.46), (0.66, 0.86), (0.1, 0.86)], 2),
        white,
    )
    for x, y, rx, ry in ((-0.5, 0.72, 0.18, 0.17), (0.0, 0.54, 0.17, 0.14), (0.3, 0.8, 0.2, 0.12)):
        x, y = x + rng.uniform(-0.06, 0.06), y + rng.uniform(-0.04, 0.04)
        brush.tint(rounded(circle(x, y, rx, ry, rng.uniform(0, 3), 7) * rng.uniform(0.96, 1.04, (7, 2))), black)
    brush.fill(rounded([(0.42, 0.5), (0.7, 0.62), (0.8, 0.9), (0.5, 0.92)], 1), white)
    brush.line([(0.7, 0.94), (0.72, 1.02)], 0.045, (226, 208, 160))
    brush.line([(0.82, 0.94), (0.88, 1.0)], 0.045, (226, 208, 160))
    brush.fill(circle(0.62, 0.88, 0.1, 0.05, 0.3), black)
    brush.fill(rounded([(0.66, 0.98), (0.88, 0.94), (1.06, 0.66), (0.96, 0.6), (0.74, 0.72)], 2), white)
    brush.tint(circle(0.72, 0.86, 0.1, 0.14), black)
    brush.fill(circle(0.99, 0.66, 0.08, 0.07, -0.6), pink)
    brush.fill(circle(0.84, 0.84, 0.025, corners=12), (10, 10, 10))


def dog(brush: Brush, rng: np.random.Generator) -> None:
    """Tan dog with a dark hanging ear, raised tail, red collar and tongue."""
    fur, dark = one_of(rng, DOGS)
    brush.line([(-0.46, 0.56), (-0.64, 0.76), (-0.62, 0.92)], 0.08, fur)
    _legs(brush, rng, (-0.38, 0.26), 0.42, 0.11, fur, (240, 230, 214))
    brush.fill(
        rounded([(-0.56, 0.62), (-0.5, 0.34), (-0.1, 0.36), (0.3, 0.28), (0.48, 0.5), (0.36, 0.68), (-0.2, 0.6)]), fur
    )
    brush.tint(circle(-0.15, 0.62, 0.22, 0.14), dark)
    brush.fill(rounded([(0.14, 0.56), (0.44, 0.46), (0.62, 0.76), (0.34, 0.86)], 1), fur)
    brush.line([(0.24, 0.66), (0.52, 0.56)], 0.07, (206, 30, 36))
    brush.fill(circle(0.48, 0.82, 0.19, 0.17), fur)
    brush.fill(rounded([(0.5, 0.9), (0.86, 0.8), (0.86, 0.68), (0.5, 0.68)], 1), shade(fur, 1.15))
    brush.fill([(0.7, 0.7), (0.78, 0.7), (0.79, 0.58), (0.73, 0.57)], (236, 100, 110))
    brush.fill(circle(0.84, 0.79, 0.05, 0.045), (16, 14, 14))
    brush.fill(circle(0.55, 0.86, 0.03, corners=12), (10, 10, 10))
    brush.fill(rounded([(0.3, 0.98), (0.44, 0.96), (0.42, 0.62), (0.26, 0.6)], 1), dark)


def horse(brush: Brush, rng: np.random.Generator) -> None:
    """Long thin legs, high arched neck, dark mane and tail."""
    coat, mane = one_of(rng, HORSES)
    brush.line([(-0.5, 0.68), (-0.62, 0.56), (-0.64, 0.3)], 0.1, mane)
    _legs(brush, rng, (-0.38, 0.28), 0.5, 0.075, coat, (40, 32, 30))
    brush.fill(
        rounded([(-0.54, 0.72), (-0.5, 0.44), (-0.1, 0.4), (0.36, 0.42), (0.46, 0.62), (0.2, 0.7), (-0.2, 0.68)]), coat
    )
    brush.fill(rounded([(0.1, 0.64), (0.42, 0.5), (0.6, 0.86), (0.46, 1.0)], 1), coat)
    brush.fill(rounded([(0.1, 0.66), (0.22, 0.84), (0.44, 1.0), (0.5, 0.94), (0.3, 0.7)], 1), mane)
    brush.fill(rounded([(0.44, 1.0), (0.58, 0.98), (0.88, 0.74), (0.82, 0.66), (0.5, 0.8)], 1), coat)
    brush.tint(circle(0.84, 0.71, 0.07), shade(coat, 0.6))
    brush.fill([(0.45, 0.96), (0.48, 1.05), (0.54, 0.96)], coat)
    brush.fill(circle(0.59, 0.9, 0.022, corners=12), (10, 10, 10))


def sheep(brush: Brush, rng: np.random.Generator) -> None:
    """Cloud of cream wool on thin black legs, black face."""
    wool, black = (238, 230, 208), (44, 38, 38)
    _legs(brush, rng, (-0.36, 0.3), 0.35, 0.085, black, black)
    for angle in np.arange(12) * (2 * np.pi / 12) + rng.uniform(0, 0.5):
        x, y = -0.05 + 0.46 * np.cos(angle), 0.58 + 0.24 * np.sin(angle)
        brush.fill(circle(x, y, 0.17), shade(wool, 0.88))
    for x, y in ((-0.36, 0.6), (-0.12, 0.5), (0.1, 0.66), (0.3, 0.52), (-0.14, 0.74), (0.0, 0.58), (-0.3, 0.46)):
        brush.fill(circle(x, y, 0.16), wool)
    for x, y in ((-0.28, 0.68), (0.02, 0.48), (0.16, 0.7)):
        brush.line([(x - 0.06, y), (x, y - 0.04), (x + 0.06, y)], 0.02, shade(wool, 0.8))
    brush.fill(circle(0.44, 0.86, 0.1, 0.05, 0.5), black)
    brush.fill(circle(0.6, 0.7, 0.12, 0.2, 0.5), black)
    brush.fill(circle(0.52, 0.88, 0.12, 0.09), wool)
    brush.fill(circle(0.62, 0.76, 0.03, corners=12), (250, 250, 250))
