"""Opens media files with PyAV in a way that cannot lock up."""

from pathlib import Path
from typing import Any

import av


def open_media(path: str | Path, mode: str = 'r', **options: Any) -> Any:
    """As ``av.open``, with FFmpeg's messages switched off for the process.

    Otherwise a decoder's thread that has something to say waits for Python's lock, while the thread that closes the
    file holds that lock and waits for the decoder. torchvision, for one, switches messages on. Errors keep their text.
    """
    av.logging.set_level(None)
    return av.open(str(path), mode, **options)
