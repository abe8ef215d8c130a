"""Small pictures of samples with their annotation drawn in. A file that cannot be read is said to be so, never raised.

Pictures are (H, W, 3) RGB uint8; boxes are [x1, y1, x2, y2] in pixels of the full picture.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from mmext.common.html_page import Thumbnail
from mmext.common.prediction.drawing import MASK_OPACITY, class_color

from .records import DECODE_ERRORS

SIZE_WH = (320, 240)
JPEG_QUALITY = 80
# Decoding more pixels than this takes seconds and gigabytes, for a picture of thumbnail size.
MAX_PIXELS = 100_000_000
IGNORED = 255
BOX_COLOR, BAD_BOX_COLOR = (255, 210, 0), (255, 40, 40)

Box = Sequence[float]
Color = Sequence[int]


def make_thumbnail(
    image: str | Path | None,
    mask: str | Path | None = None,
    boxes: Sequence[Box] = (),
    palette: Sequence[Color] = (),
    title: str = '',
    lines: Sequence[str] = (),
    level: str = 'note',
) -> Thumbnail:
    """A thumbnail of a sample: a mask half transparent over the image, boxes as frames.

    A mask of another size than the image stands beside it; a mask without an image stands alone. An image that cannot
    be read has a placeholder with the reason. Boxes that leave the image or have no area are red.

    Args:
        image: The picture; None where there is none.
        mask: Its mask.
        boxes: Its boxes.
        palette: RGB of the mask's values; others get a colour of their own, 255 stays dark.
        title: The name to show; by default that of the file.
        lines: What to say about it.
        level: Level of the finding.
    """
    title = title or str(image or mask)
    panels, lines = [], list(lines)
    for path, convert in ((image, to_rgb), (mask, lambda picture: colored_mask(picture, palette))):
        if path is None:
            continue
        try:
            panels.append(convert(_open(path)))
        except DECODE_ERRORS as error:
            if not panels:
                return Thumbnail(None, title, lines, level, _reason(path, error))
            lines.append(f'mask: {_reason(path, error)}')
    if not panels:
        return Thumbnail(None, title, lines, level, 'no file')
    if len(panels) == 2 and panels[0].shape == panels[1].shape:
        blended = panels[0] * (1 - MASK_OPACITY) + panels[1] * MASK_OPACITY
        panels = [blended.astype(np.uint8)]
    elif boxes:
        panels = [draw_boxes(panels[0], boxes), *panels[1:]]
    small = Image.fromarray(side_by_side(panels, SIZE_WH))
    return Thumbnail(encode(small), title, lines, level)


def array_thumbnail(picture: np.ndarray, title: str, lines: Sequence[str] = (), level: str = 'note') -> Thumbnail:
    """A thumbnail of a picture in memory, such as one of CIFAR: small ones are enlarged without smoothing."""
    return Thumbnail(encode(Image.fromarray(side_by_side([picture], SIZE_WH))), title, lines, level)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Any picture as 8-bit RGB: turned as its EXIF data say, 16-bit and float ones stretched to their range."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(('I', 'F')):
        values = np.asarray(image, dtype=np.float64)
        values = np.where(np.isfinite(values), values, 0)
        low, high = float(values.min()), float(values.max())
        values = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
        image = Image.fromarray(values.astype(np.uint8))
    return np.asarray(image.convert('RGB'))


def colored_mask(mask: Image.Image, palette: Sequence[Color] = ()) -> np.ndarray:
    """A mask in colours: indices by the palette, ignored ones black, colour masks as they are."""
    if mask.mode not in ('P', 'L', '1') and not mask.mode.startswith('I'):
        return np.asarray(mask.convert('RGB'))
    values = np.asarray(mask).astype(np.int64)
    distinct, indices = np.unique(values, return_inverse=True)
    # Negative or large values exist in damaged and in 16-bit masks.
    colors = [(0, 0, 0) if value == IGNORED else class_color(palette, abs(int(value))) for value in distinct]
    return np.asarray(colors, dtype=np.uint8)[indices.reshape(values.shape)]


def draw_boxes(picture: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Frames around the boxes, drawn so wide that a thumbnail still shows them."""
    height, width = picture.shape[:2]
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(2 * max(width / SIZE_WH[0], height / SIZE_WH[1])))
    for box in boxes:
        if not np.isfinite(box).all():
            continue
        x1, y1, x2, y2 = (float(side) for side in box)
        good = 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        left, right = (min(max(x, 0), width - 1) for x in sorted((x1, x2)))
        top, bottom = (min(max(y, 0), height - 1) for y in sorted((y1, y2)))
        draw.rectangle((left, top, right, bottom), outline=BOX_COLOR if good else BAD_BOX_COLOR, width=line)
    return np.asarray(canvas)


def side_by_side(panels: Sequence[np.ndarray], size_wh: tuple[int, int]) -> np.ndarray:
    """One picture that fits into a size and holds all panels from left to right, at one common scale."""
    gap = 4
    width = sum(panel.shape[1] for panel in panels)
    height = max(panel.shape[0] for panel in panels)
    scale = min((size_wh[0] - gap * (len(panels) - 1)) / width, size_wh[1] / height)
    # Whole factors for tiny pictures: their pixels stay squares.
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
    scale = float(int(scale)) if scale >= 1 else scale
    scaled = [
        Image.fromarray(panel).resize([max(1, round(side * scale)) for side in panel.shape[1::-1]], method)
        for panel in panels
    ]
    whole = Image.new(
        'RGB', (sum(part.width for part in scaled) + gap * (len(panels) - 1), max(p.height for p in scaled))
    )
    left = 0
    for part in scaled:
        whole.paste(part, (left, 0))
        left += part.width + gap
    return np.asarray(whole)


def encode(picture: Image.Image) -> bytes:
    """JPEG, or PNG where that is smaller, as for pictures of few colours."""
    jpeg, png = io.BytesIO(), io.BytesIO()
    picture.save(jpeg, 'JPEG', quality=JPEG_QUALITY, optimize=True)
    picture.save(png, 'PNG', optimize=True)
    return min(jpeg.getvalue(), png.getvalue(), key=len)


def _open(path: str | Path) -> Image.Image:
    with Image.open(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f'{width} x {height} pixels are too many to show')
        image.load()
        return image


def _reason(path: str | Path, error: Exception) -> str:
    path = Path(path)
    if not path.is_file():
        return 'no such file'
    if isinstance(error, Image.UnidentifiedImageError):
        return 'not a picture' if path.stat().st_size else 'empty file'
    return (getattr(error, 'strerror', None) or str(error) or type(error).__name__).splitlines()[0][:120]
