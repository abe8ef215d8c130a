"""Opens one file of a dataset, once, and notes all that the checks need, as plain data that survives JSON.

A record has these keys:

- all: ``status`` (`STATUSES`), ``reason`` (where it is not ``'ok'``), ``sha256`` of the file's bytes;
- images and masks: ``format`` (Pillow's name), ``mode`` (Pillow's), ``bits`` of a channel, ``size_hw`` as stored,
  ``orientation`` (EXIF, 1 = upright), ``frames``, ``alpha`` (some pixel is transparent), ``digest`` of the pixels
  (of a mask: of its values);
- masks: ``counts`` (pairs value, pixels; at most `MAX_VALUES`, the most frequent first; colours as 0xRRGGBB),
  ``distinct`` values, ``color`` (three channels that differ), ``channels``;
- XML: ``size_hw`` that it states or None, ``boxes`` (name, corners or None, text, ``<difficult>``), ``digest`` of both.
"""

import hashlib
import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from mmext.common.detection_xml import MALFORMED, RefusedXMLError, parse_xml

KINDS = ('image', 'mask', 'xml')
STATUSES = ('ok', 'missing', 'unreadable', 'truncated')
MAX_VALUES = 256
ORIENTATION = 0x0112
# What Pillow's plug-ins raise about broken files; most of them were never meant for users.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError, NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError),
)
BITS = {'1': 1, 'I;16': 16, 'I;16B': 16, 'I;16L': 16, 'I;16N': 16, 'I': 32, 'F': 32}
PNG_DEPTH_AT = 24
Record = dict[str, Any]


def open_file(kind: str, path: str | Path) -> Record:
    """The record of one file; never raises about what is in it.

    Args:
        kind: One of `KINDS`.
        path: The file.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return {'status': 'missing', 'reason': 'no such file', 'sha256': ''}
    except OSError as error:
        return {'status': 'unreadable', 'reason': error.strerror or str(error), 'sha256': ''}
    record = {'sha256': hashlib.sha256(content).hexdigest()}
    if not content:
        return {**record, 'status': 'unreadable', 'reason': 'empty file'}
    return {**record, **(read_xml(content) if kind == 'xml' else read_picture(content, kind == 'mask'))}


def read_picture(content: bytes, is_mask: bool = False) -> Record:
    """What a picture or mask is, from the bytes of its file."""
    with warnings.catch_warnings():
        # Large pictures and odd EXIF blocks are told by the checks, not on the terminal of a worker process.
        warnings.simplefilter('ignore')
        try:
            image = Image.open(io.BytesIO(content))
        except DECODE_ERRORS as error:
            return {'status': 'unreadable', 'reason': _reason(error)}
        with image:
            record = _header(image, content)
            try:
                if image.format == 'PNG':
                    # Pillow does not compare the check sums when it decodes.
                    Image.open(io.BytesIO(content)).verify()
                image.load()
                record['alpha'] = _is_transparent(image)
                return {**record, **(describe_mask(image) if is_mask else {'digest': pixel_digest(image)})}
            except DECODE_ERRORS as error:
                return {**record, 'status': 'truncated', 'reason': _reason(error)}


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return 'no picture of a known format'
    return str(error) or type(error).__name__


def _header(image: ImageFile.ImageFile, content: bytes) -> Record:
    width, height = image.size
    bits = BITS.get(image.mode, 8)
    if image.format == 'PNG':
        # Pillow reads colours of 16 bits as 8.
        bits = content[PNG_DEPTH_AT]
    try:
        # MPO: a JPEG of a phone, with a preview behind it.
        frames = 1 if image.format == 'MPO' else getattr(image, 'n_frames', 1)
    except DECODE_ERRORS:
        frames = 1
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except DECODE_ERRORS:
        orientation = 1
    return {
        'status': 'ok',
        'format': 'JPEG' if image.format == 'MPO' else image.format,
        'mode': image.mode,
        'bits': bits,
        'size_hw': [height, width],
        'frames': frames,
        'orientation': orientation if orientation in range(2, 9) else 1,
    }


def _is_transparent(image: Image.Image) -> bool:
    if 'transparency' in image.info:
        image = image.convert('RGBA')
    return (
        image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa')
        and image.getchannel('A' if 'A' in image.getbands() else 'a').getextrema()[0] < 255
    )


def pixel_digest(image: Image.Image) -> str:
    """Digest of what a picture shows, whatever its format: grey, palette and colour files can be the same picture."""
    if image.mode in ('1', 'L', 'P') and 'transparency' not in image.info:
        image = image.convert('RGB')
    digest = hashlib.blake2b(f'{image.mode} {image.size}'.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def describe_mask(image: Image.Image) -> Record:
    """The keys of a record that only masks have; values are those that are stored (of a palette image: the indices)."""
    values = np.asarray(image)
    if image.mode in ('LA', 'PA', 'RGBA'):
        values = values[..., :-1]
    channels = 1 if values.ndim == 2 else values.shape[2]
    color = False
    if channels == 3:
        color = bool((values != values[..., :1]).any())
        values = _pack(values) if color else values[..., 0]
    elif values.ndim == 3:
        values = values[..., 0]
    counts, distinct = value_histogram(values)
    # The numbers decide, not their type: a palette, 16 bits or three equal channels do not make another mask.
    plain = np.ascontiguousarray(values, dtype=np.float32 if values.dtype.kind == 'f' else np.uint32)
    digest = hashlib.blake2b(f'{values.shape} {color}'.encode() + plain.tobytes(), digest_size=16).hexdigest()
    return {'counts': counts, 'distinct': distinct, 'color': color, 'channels': channels, 'digest': digest}


def _pack(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.uint32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def value_histogram(values: np.ndarray) -> tuple[list[list[float]], int]:
    """Pairs (value, number of pixels) of an array (H, W), the most frequent first, and the number of distinct values.

    At most `MAX_VALUES` pairs; of equally frequent values the smaller comes first. Integers stay integers.
    """
    if values.dtype in (np.uint8, np.bool_):
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind='stable')[:MAX_VALUES]
    return [[found[index].item(), int(counts[index])] for index in order], len(found)


def read_xml(content: bytes) -> Record:
    """Size and boxes of an annotation in PASCAL VOC's format, none of them judged or corrected.

    Corners are 0-based: each coordinate of the file less 1.
    """
    try:
        root = parse_xml(content)
    except (RefusedXMLError, *MALFORMED) as error:
        return {'status': 'unreadable', 'reason': f'no well-formed XML: {error}'}
    if root.tag != 'annotation':
        return {'status': 'unreadable', 'reason': f'the root is <{root.tag}>, expected <annotation>'}
    texts = [(root.findtext(f'size/{key}') or '').strip() for key in ('height', 'width')]
    stated = [int(text) for text in texts if text.isascii() and text.isdigit() and int(text) > 0]
    boxes = []
    for element in root.findall('object'):
        name, difficult = ((element.findtext(key) or '').strip() for key in ('name', 'difficult'))
        texts = [(element.findtext(f'bndbox/{key}') or '').strip() for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        boxes.append([name, _corners(texts), f'({", ".join(texts)})', difficult])
    digest = hashlib.blake2b(repr((stated, sorted(map(repr, boxes)))).encode(), digest_size=16).hexdigest()
    return {'status': 'ok', 'size_hw': stated if len(stated) == 2 else None, 'boxes': boxes, 'digest': digest}


def _corners(texts: list[str]) -> list[float] | None:
    try:
        corners = [float(text) - 1 for text in texts]
    except ValueError:
        return None
    return corners if all(map(math.isfinite, corners)) else None
