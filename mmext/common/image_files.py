"""Tells whole picture files from damaged ones, where decoders do not.

OpenCV returns a JPEG that was cut off behind its header without a word, grey or smeared from there on. Pillow raises
then, but takes a PNG or JPEG whose second half is zeros, as a full disk or a broken copy leaves it: it does not compare
the check sums of a PNG when it decodes, and a JPEG has none.
"""

from pathlib import Path

from PIL import Image, UnidentifiedImageError


def read_whole_size(path: str | Path) -> tuple[int, int]:
    """Height and width in pixels of a picture that was read to its end; JPEGs at an eighth of their size.

    Raises:
        Exception: What Pillow raises about files that are damaged or none, or that would fill the memory; mostly
            OSError and SyntaxError, but what a decoder raises depends on where the file is damaged.
    """
    with Image.open(path) as image:
        image.verify()  # check sums; the file must be opened again to be read
    with Image.open(path) as image:
        if image.format == 'JPEG' and not _jpeg_ends(Path(path).read_bytes()):
            raise OSError('truncated, the JPEG has no end')
        width, height = image.size
        image.draft(None, (1, 1))
        image.load()
    return height, width


def why_damaged(path: str | Path) -> str:
    """Why a picture is not whole; '' if it is, if its format is none that Pillow knows, or if it is very large."""
    try:
        read_whole_size(path)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return ''  # for whoever decodes it to say
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return getattr(error, 'strerror', None) or f'damaged or cut off: {reason}'
    return ''


def _jpeg_ends(content: bytes) -> bool:
    """Whether an end marker follows the pixels; a preview inside the header has one of its own."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        kind = content[position + 1]
        if kind == 0xDA:  # here the pixels begin, in which a marker cannot occur by chance
            return content.find(b'\xff\xd9', position) >= 0
        # A marker may be padded with any number of 0xFF; others come with their length.
        position += 1 if kind == 0xFF else 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return False
