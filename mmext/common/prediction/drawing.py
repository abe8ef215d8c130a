"""Predictions drawn into pictures. Pictures are (H, W, 3) RGB uint8, also those that are returned.

Small pictures are enlarged by a whole factor, so that boxes and writing can be told apart.
"""

import colorsys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

# A shorter longest side is enlarged.
LEAST_SIDE = 256
MASK_OPACITY = 0.5
_WHITE, _BLACK, _GREY, _BAR = (255, 255, 255), (0, 0, 0), (225, 225, 225), (166, 202, 236)


def draw_detections(
    picture: np.ndarray, record: Mapping, palette: Sequence[Color], masks: np.ndarray | None = None
) -> np.ndarray:
    """Boxes in the colours of their classes with name and score, the best on top; masks half transparent below.

    Line and letter size follow the picture's size. Writing stays inside the picture, whatever the box does.

    Args:
        picture: As the boxes' coordinates mean it.
        record: ``boxes`` [x1, y1, x2, y2], ``scores``, ``labels`` and ``label_names``, best first.
        palette: Colours by class index; other classes get a colour of their own.
        masks: (N, H, W) bool, one a box.
    """
    colors = [class_color(palette, label) for label in record['labels']]
    if masks is not None:
        picture = _blend_masks(picture, masks, colors)
    factor = enlargement(picture)
    canvas = Image.fromarray(_enlarge(picture, factor))
    draw = ImageDraw.Draw(canvas)
    width, font = line_width(canvas.size), _font(font_size(canvas.size))
    corners = []
    for box, color in zip(record['boxes'][::-1], colors[::-1], strict=True):
        x1, y1, x2, y2 = (round(side * factor) for side in box)
        # A box at the border would lie outside by its last pixel.
        x1, x2 = (min(max(x, 0), canvas.width - 1) for x in (x1, x2))
        y1, y2 = (min(max(y, 0), canvas.height - 1) for y in (y1, y2))
        draw.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=color, width=width)
        corners.append((x1, y1))
    # After all boxes, so that no line crosses a name.
    texts = [f'{name} {score:.2f}' for name, score in zip(record['label_names'], record['scores'], strict=True)]
    for corner, text, color in zip(corners, texts[::-1], colors[::-1], strict=True):
        _draw_tag(draw, canvas.size, corner, text, color, font)
    return np.asarray(canvas)


def draw_segmentation(
    picture: np.ndarray, label_map: np.ndarray, record: Mapping, palette: Sequence[Color]
) -> np.ndarray:
    """Classes in their colours over the picture, half transparent, and a legend of them on the right.

    Args:
        picture: Of the size of the label map.
        label_map: (H, W) class indices.
        record: ``labels``, ``label_names`` and ``shares`` of every class in the label map, in the order of the legend.
        palette: Colours by class index.
    """
    colors = [class_color(palette, label) for label in record['labels']]
    lookup = np.zeros((int(label_map.max()) + 1, 3), dtype=np.uint8)
    lookup[record['labels']] = colors
    overlay = cv2.addWeighted(picture, 1 - MASK_OPACITY, lookup[label_map], MASK_OPACITY, 0)
    canvas = Image.fromarray(_enlarge(overlay, enlargement(picture)))
    size = font_size(canvas.size)
    font, pad, step = _font(size), size // 2, round(1.5 * size)
    texts = [f'{name}  {_percent(share)}' for name, share in zip(record['label_names'], record['shares'], strict=True)]
    panel_width = round(max(map(font.getlength, texts))) + 2 * size + 2 * pad
    whole = Image.new('RGB', (canvas.width + panel_width, max(canvas.height, len(texts) * step + 2 * pad)), _WHITE)
    whole.paste(canvas)
    draw = ImageDraw.Draw(whole)
    for row, (text, color) in enumerate(zip(texts, colors, strict=True)):
        x, y = canvas.width + pad, pad + row * step
        draw.rectangle((x, y + step // 8, x + size, y + step // 8 + size), fill=color, outline=_BLACK)
        draw.text((x + 1.6 * size, y + step // 2), text, fill=_BLACK, font=font, anchor='lm')
    return np.asarray(whole)


def draw_classification(picture: np.ndarray, record: Mapping) -> np.ndarray:
    """The picture with its most probable classes below: bars as long as the probability.

    Args:
        picture: Any size.
        record: ``label_names`` and ``probabilities``, best first.
    """
    canvas = Image.fromarray(_enlarge(picture, enlargement(picture)))
    size = font_size(canvas.size)
    font, pad, step = _font(size), size // 2, round(1.5 * size)
    probabilities = record['probabilities']
    texts = [f'{name}  {_percent(share)}' for name, share in zip(record['label_names'], probabilities, strict=True)]
    width = max(canvas.width, round(max(map(font.getlength, texts), default=0)) + 4 * pad)
    whole = Image.new('RGB', (width, canvas.height + len(texts) * step + 2 * pad), _WHITE)
    whole.paste(canvas, ((width - canvas.width) // 2, 0))
    draw = ImageDraw.Draw(whole)
    for row, (text, probability) in enumerate(zip(texts, probabilities, strict=True)):
        y = canvas.height + pad + row * step
        length = round(min(max(probability, 0), 1) * (width - 2 * pad))
        draw.rectangle((pad, y + 1, width - pad, y + step - 2), outline=_GREY)
        if length > 1:
            draw.rectangle((pad, y + 1, pad + length, y + step - 2), fill=_BAR)
        draw.text((2 * pad, y + step // 2), text, fill=_BLACK, font=font, anchor='lm')
    return np.asarray(whole)


def class_color(palette: Sequence[Color], label: int) -> Color:
    """The palette's colour; beyond it one of many hues that lie far apart for neighbouring indices."""
    if label < len(palette):
        return tuple(palette[label])
    golden = 0.618034
    channels = colorsys.hsv_to_rgb(label * golden % 1, 0.55 + 0.4 * (label % 2), 0.95 - 0.25 * (label // 2 % 2))
    return tuple(round(255 * channel) for channel in channels)


def text_color(background: Color) -> Color:
    """Black or white, whichever stands out more (luma of ITU-R BT.601)."""
    red, green, blue = background
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else _WHITE


def enlargement(picture: np.ndarray) -> int:
    """The whole factor by which a picture is enlarged: 1 from ``LEAST_SIDE`` pixels on."""
    return max(1, -(-LEAST_SIDE // max(picture.shape[:2])))


def line_width(size: tuple[int, int]) -> int:
    """Pixels: 2 at 500 x 375, 16 at 12 megapixels."""
    return max(2, round(sum(size) / 450))


def font_size(size: tuple[int, int]) -> int:
    """Pixels: 13 at 500 x 375, 61 at 12 megapixels."""
    return max(12, round(sum(size) / 115 + 5))


def _blend_masks(picture: np.ndarray, masks: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    blended = picture.copy()
    for mask, color in zip(masks[::-1], colors[::-1], strict=True):
        tint = np.array(color) * MASK_OPACITY
        blended[mask] = (blended[mask] * (1 - MASK_OPACITY) + tint).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(blended, outlines, -1, color, max(1, line_width(picture.shape[:2]) // 2))
    return blended


def _enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else picture


def _draw_tag(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corner: tuple[int, int],
    text: str,
    color: Color,
    font: ImageFont.FreeTypeFont,
) -> None:
    """Writing on a plate of the box's colour: above the box's upper left corner, or wherever it fits."""
    left, top, right, bottom = font.getbbox(text, anchor='la')
    width, height = round(right - left) + 6, round(bottom - top) + 6
    x = max(0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else max(0, min(corner[1], size[1] - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    draw.text((x + 3 - left, y + 3 - top), text, fill=text_color(color), font=font, anchor='la')


def _percent(share: float) -> str:
    return f'{share:.1%}' if share >= 0.001 else '<0.1%'


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings a font that is there on every machine and has accents, Greek and Cyrillic.
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'), size)
