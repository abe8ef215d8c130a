"""Corrects one file of a dataset: turns pictures, masks and boxes upright, gives masks their encoding, clips boxes."""

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image, ImageOps

from mmext.common.detection_xml import parse_xml
from mmext.common.files import replacing

from .listing import Listing
from .mask_encodings import IGNORED, MaskValues
from .records import DECODE_ERRORS

QUALITY = 95
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class FixError(ValueError):
    """A file that cannot be corrected without guessing; the message says why."""


def turn_picture(source: Path, target: Path) -> str:
    """Store a picture upright, in its format; JPEGs are encoded anew."""
    try:
        with Image.open(source) as image:
            form = 'JPEG' if image.format == 'MPO' else image.format
            profile = image.info.get('icc_profile')
            upright = ImageOps.exif_transpose(image)
        # Its EXIF block no longer says that it is turned; the rest of it stays.
        options = {'exif': upright.getexif().tobytes()} if form in ('JPEG', 'PNG', 'WEBP', 'TIFF') else {}
        options |= {'icc_profile': profile} if profile else {}
        options |= {'quality': QUALITY, 'subsampling': 0} if form == 'JPEG' else {}
        with replacing(target) as unfinished:
            upright.save(unfinished, format=form, **options)
    except DECODE_ERRORS as error:
        raise FixError(f'cannot be turned: {error}') from error
    return f'now {upright.width} x {upright.height} (width x height)'


def mask_table(listing: Listing, looks: MaskValues) -> dict[int, int]:
    """Colour (0xRRGGBB) -> value in the encoding of the other masks, from the palette or the table of Cityscapes."""
    encoding = listing.encoding or looks.encoding
    palette = listing.palette or looks.palette
    if encoding in ('label_ids', 'train_ids'):
        from mmext.segmentation.datasets.label_maps import COLOR_TO_TRAIN_ID, TRAIN_ID_TO_LABEL_ID

        to_value = TRAIN_ID_TO_LABEL_ID if encoding == 'label_ids' else np.arange(256)
        return {color: int(to_value[train_id]) for color, train_id in COLOR_TO_TRAIN_ID.items()}
    return {(red << 16) | (green << 8) | blue: index for index, (red, green, blue) in enumerate(palette)}


def to_labels(image: Image.Image, table: dict[int, int]) -> tuple[np.ndarray, str]:
    """The labels (H, W), uint8, of a mask in another form, and what was done.

    Raises:
        FixError: It is partly transparent, has values that 8 bits do not hold, or colours that are not in ``table``.
    """
    values = np.asarray(image)
    done = f'from mode {image.mode}'
    if image.mode in ('RGBA', 'LA', 'PA'):
        if (values[..., -1] < 255).any():
            raise FixError('is partly transparent: what the transparent pixels are to be is not known')
        values = values[..., :-1]
        values = values[..., 0] if values.shape[2] == 1 else values
    if values.ndim == 3 and (values == values[..., :1]).all() and not _only_colors(values, table):
        values = values[..., 0]
    if values.ndim == 3:
        packed = (values.astype(np.uint32) * (1 << 16, 1 << 8, 1)).sum(axis=2)
        colors, inverse = np.unique(packed, return_inverse=True)
        if wrong := [color for color in colors.tolist() if color not in table]:
            raise FixError(f'{len(wrong)} colours belong to no class, such as #{wrong[0]:06x}')
        labels = np.array([table[color] for color in colors.tolist()], dtype=np.uint8)
        return labels[inverse].reshape(values.shape[:2]), done
    whole = values.astype(np.int64)
    if (whole != values).any() or whole.min() < 0 or whole.max() > IGNORED:
        raise FixError(f'has values from {values.min()} to {values.max()}, which 8 bits do not hold')
    return whole.astype(np.uint8), done


def _only_colors(values: np.ndarray, table: dict[int, int]) -> bool:
    """Whether a picture of equal channels shows colours of the table (black, grey) rather than indices."""
    greys = {value * 0x010101 for value in np.unique(values).tolist()}
    return bool(greys) and greys <= table.keys()


def fix_mask(source: Path, target: Path, table: dict[int, int]) -> str:
    """Store a mask with one channel of 8 bits."""
    return turn_mask(source, target, 1, table)


def turn_mask(source: Path, target: Path, orientation: int, table: dict[int, int]) -> str:
    """Store a mask with one channel of 8 bits, turned as EXIF's number says; always as PNG."""
    try:
        with Image.open(source) as image:
            image.load()
            if image.mode == 'P' and orientation != 1 and source.suffix.lower() == '.png':
                turned = image.transpose(TRANSPOSE[orientation])
                with replacing(target) as unfinished:
                    turned.save(unfinished, format='PNG')
                return 'turned with its picture'
            labels, done = to_labels(image, table)
    except FixError:
        raise
    except DECODE_ERRORS as error:
        raise FixError(f'cannot be converted: {error}') from error
    mask = Image.fromarray(labels)
    if orientation != 1:
        mask, done = mask.transpose(TRANSPOSE[orientation]), f'{done}, turned with its picture'
    with replacing(target) as unfinished:
        mask.save(unfinished, format='PNG')
    return done


def turn_box(box: tuple[float, float, float, float], size_hw: tuple[int, int], orientation: int) -> tuple[float, ...]:
    """Where a box of pixel indices (x1, y1, x2, y2), 0-based, comes to lie when the picture is stored upright.

    Args:
        box: Corners.
        size_hw: Of the picture as stored.
        orientation: EXIF's number, 1-8.
    """
    height, width = size_hw

    def move(x: float, y: float) -> tuple[float, float]:
        return {
            1: (x, y),
            2: (width - 1 - x, y),
            3: (width - 1 - x, height - 1 - y),
            4: (x, height - 1 - y),
            5: (y, x),
            6: (height - 1 - y, x),
            7: (height - 1 - y, width - 1 - x),
            8: (y, width - 1 - x),
        }[orientation]

    (x1, y1), (x2, y2) = move(box[0], box[1]), move(box[2], box[3])
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def fix_xml(source: Path, target: Path, size_hw: list[int] | None, orientation: int) -> str:
    """Clip the boxes of an annotation in PASCAL VOC's format to its picture, and drop those without area or numbers.

    Args:
        source: The annotation.
        target: Where to write it.
        size_hw: Of the picture as stored; None if it is not known, then ``<size>`` is taken.
        orientation: EXIF's number by which boxes and ``<size>`` are turned, 1 for none.
    """
    root = parse_xml(source.read_bytes())
    stated = [int(root.findtext(f'size/{key}') or 0) for key in ('height', 'width')]
    height, width = (stated if all(stated) else size_hw) or (None, None)
    if height is None:
        raise FixError('neither the annotation nor the picture says its size')
    clipped = dropped = 0
    for element in root.findall('object'):
        places = [element.find(f'bndbox/{key}') for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        try:
            corners = [float(place.text) - 1 for place in places]
        except (AttributeError, TypeError, ValueError):
            corners = [float('nan')]
        box = None
        if np.isfinite(corners).all():
            box = tuple(np.clip(corners, 0, (width - 1, height - 1, width - 1, height - 1)).tolist())
        if box is None or box[2] <= box[0] or box[3] <= box[1]:
            root.remove(element)
            dropped += 1
            continue
        clipped += box != tuple(corners)
        for place, value in zip(places, turn_box(box, (height, width), orientation), strict=True):
            place.text = f'{value + 1:g}'
    if orientation >= 5 and root.find('size') is not None:
        root.find('size/height').text, root.find('size/width').text = str(width), str(height)
    ET.indent(root)
    with replacing(target) as unfinished:
        unfinished.write_bytes(ET.tostring(root, encoding='utf-8') + b'\n')
    turned = ', turned with its picture' if orientation != 1 else ''
    return f'{clipped} clipped, {dropped} dropped{turned}'
