"""Label maps in colours, over frames, and beside each other. Pictures are (H, W, 3) BGR, uint8, as frames come."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmext.common.prediction.drawing import Color, class_color, font_size

# Largest side by side video: a common screen, and few pixels to encode.
SCREEN_HW = (1080, 1920)
_TITLE_PAPER, _TITLE_INK = (24, 24, 24), (255, 255, 255)


def color_table(palette: Sequence[Color]) -> np.ndarray:
    """BGR colours of the 256 values that a label map can hold, (256, 1, 3) uint8."""
    colors = [class_color(palette, label)[::-1] for label in range(256)]
    return np.array(colors, dtype=np.uint8)[:, None]


def color(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The classes' colours, (H, W, 3).

    Args:
        labels: (H, W) uint8.
        table: As of `color_table`.
    """
    return cv2.applyColorMap(labels, table)


def mix(colors: np.ndarray, frame: np.ndarray, share: float) -> np.ndarray:
    """Colours over the frame: ``share`` of the colour, the rest of the frame; 0.7 makes it 7 to 3."""
    return cv2.addWeighted(colors, share, frame, 1 - share, 0)


class SideBySide:
    """Pictures of one size in one, each with its title above.

    They stand in the number of columns that comes closest to a screen's shape, and shrink if they would be larger than
    one; cells left over stay dark.

    Args:
        titles: One a picture.
        size_hw: Of the pictures.

    Attributes:
        size_hw: Of the whole.
    """

    def __init__(self, titles: Sequence[str], size_hw: tuple[int, int]) -> None:
        count = len(titles)
        self.columns = min(range(1, count + 1), key=lambda columns: (_misfit(columns, count, size_hw), -columns))
        rows = -(-count // self.columns)
        scale = min(1, SCREEN_HW[1] / (self.columns * size_hw[1]), SCREEN_HW[0] / (rows * size_hw[0]))
        self._cell_hw = tuple(max(round(side * scale), 1) for side in size_hw)
        height, width = self._cell_hw
        font = ImageFont.truetype(
            str(Path(mpl.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'), font_size((width, height))
        )
        self._bar = round(1.7 * font.size)
        self.size_hw = rows * (height + self._bar), self.columns * width
        self._corners = [
            (place // self.columns * (height + self._bar) + self._bar, place % self.columns * width)
            for place in range(count)
        ]
        self._empty = self._titled(titles, font)

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        whole = self._empty.copy()
        height, width = self._cell_hw
        for picture, (y, x) in zip(pictures, self._corners, strict=True):
            if picture.shape[:2] != self._cell_hw:
                picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            whole[y : y + height, x : x + width] = picture
        return whole

    def _titled(self, titles: Sequence[str], font: ImageFont.FreeTypeFont) -> np.ndarray:
        canvas = Image.new('RGB', self.size_hw[::-1], _TITLE_PAPER)
        draw = ImageDraw.Draw(canvas)
        width = self._cell_hw[1]
        for title, (y, x) in zip(titles, self._corners, strict=True):
            cell = Image.new('RGB', (width, self._bar), _TITLE_PAPER)  # what is too long ends at its border
            room = width - font.size
            while font.getlength(title) > room and len(title) > 1:
                title = title[:-2].rstrip('…') + '…'
            ImageDraw.Draw(cell).text((font.size // 2, self._bar // 2), title, fill=_TITLE_INK, font=font, anchor='lm')
            canvas.paste(cell, (x, y - self._bar))
        del draw
        return np.ascontiguousarray(np.asarray(canvas)[..., ::-1])


def _misfit(columns: int, count: int, size_hw: tuple[int, int]) -> float:
    rows = -(-count // columns)
    shape = columns * size_hw[1] / (rows * size_hw[0])
    return round(abs(math.log(shape * SCREEN_HW[0] / SCREEN_HW[1])), 6)
