"""What one look at the beginning and the end of a file tells: its digest, the size of its picture, obvious damage.

A file is opened once. Up to `WHOLE_BYTES` it is read whole, of a larger one the first and last `EDGE_BYTES`. That is
enough for a digest that notices edits of pictures: a PNG ends with a checksum of all its pixels, and a JPEG that is
encoded again has another length. Only in files without compression can a change of the same length stay unnoticed.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .records import DECODE_ERRORS, ORIENTATION

EDGE_BYTES = 4096
WHOLE_BYTES = 65536
# Files are read whole, whatever their size, where a split has no more bytes than this.
WHOLE_SET_BYTES = 1 << 30
CHUNK = 1 << 20
WORKERS = 8
# The last bytes of a complete file; camera files may have others behind them.
ENDS = {'PNG': b'IEND', 'JPEG': b'\xff\xd9'}


@dataclass(frozen=True)
class FileFacts:
    """What was seen of a file.

    Attributes:
        digest: SHA-256 over its length and what was read of it, hexadecimal; '' if it could not be read.
        size_wh: Width and height of the picture in pixels as stored; None if it is none.
        orientation: EXIF orientation, 1 (upright) to 8.
        kind: Of the damage: ``'missing'``, ``'unreadable'``, ``'truncated'``; '' for none.
        detail: More about it.
    """

    digest: str = ''
    size_wh: tuple[int, int] | None = None
    orientation: int = 1
    kind: str = ''
    detail: str = ''

    @property
    def shown_wh(self) -> tuple[int, int] | None:
        """Width and height after turning as the EXIF data say: what the toolboxes load."""
        return self.size_wh[::-1] if self.size_wh and self.orientation >= 5 else self.size_wh


def look_at_files(pictures: Iterable[Path], others: Iterable[Path], whole: bool) -> dict[Path, FileFacts]:
    """Look at all files, in threads.

    Args:
        pictures: Files with a picture's header.
        others: Files of which only the digest matters.
        whole: Read every file whole for its digest.
    """
    pictures = set(pictures)
    paths = list(dict.fromkeys([*pictures, *others]))
    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip(paths, pool.map(lambda path: look_at(path, path in pictures, whole), paths), strict=True))


def look_at(path: Path, is_picture: bool = True, whole: bool = False) -> FileFacts:
    """Look at one file; see the module."""
    try:
        with path.open('rb') as file:
            length = os.fstat(file.fileno()).st_size
            if length == 0:
                return FileFacts(kind='unreadable', detail='empty file')
            head, tail, digest = _read(file, length, whole)
            if not is_picture:
                return FileFacts(digest)
            # A header is almost always in the first block, which saves another read.
            facts = _header(file if length > len(head) else io.BytesIO(head), digest, tail)
    except FileNotFoundError:
        return FileFacts(kind='missing', detail='no such file')
    except OSError as error:
        return FileFacts(kind='unreadable', detail=error.strerror or str(error))
    return facts


def total_bytes(paths: Iterable[Path]) -> int:
    """Bytes of all files that are there."""
    return sum(path.stat().st_size for path in paths if path.is_file())


def _read(file: io.BufferedReader, length: int, whole: bool) -> tuple[bytes, bytes, str]:
    """First bytes, last bytes, digest."""
    digest = hashlib.sha256(f'{length}:'.encode())
    if whole or length <= WHOLE_BYTES:
        head = tail = file.read(min(length, CHUNK))
        digest.update(head)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            tail = tail[-EDGE_BYTES:] + chunk
    else:
        head = file.read(EDGE_BYTES)
        file.seek(length - EDGE_BYTES)
        tail = file.read(EDGE_BYTES)
        digest.update(head + tail)
    return head, tail[-EDGE_BYTES:], digest.hexdigest()


def _header(file: io.BufferedIOBase, digest: str, tail: bytes) -> FileFacts:
    file.seek(0)
    try:
        with Image.open(file) as image:
            size_wh = image.size
            orientation = image.getexif().get(ORIENTATION, 1) if 'exif' in image.info else 1
            if ENDS.get(image.format, b'') not in tail:
                # Odd, but not yet proof: decoding tells.
                image.load()
    except Image.UnidentifiedImageError:
        return FileFacts(digest, kind='unreadable', detail='no picture of a known format')
    except Image.DecompressionBombError:
        # Pillow refuses what others load; satellite pictures are that large.
        return FileFacts(digest)
    except DECODE_ERRORS as error:
        kind = 'truncated' if 'truncated' in str(error) else 'unreadable'
        return FileFacts(digest, kind=kind, detail=str(error).splitlines()[0][:120] if str(error) else '')
    orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    return FileFacts(digest, size_wh, orientation)
