"""Files that appear whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A killed process leaves a file of this pattern behind; it may be deleted at any time.
UNFINISHED = '.*.part'


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, which takes its place when the block ends without an error.

    The folder is made if missing. The name holds the process id, so that processes may write the same file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def flush_to_disk(path: str | Path) -> None:
    """Return when the file, or the names in the folder, would survive a power cut.

    A rename is safe only after both: the file before it, the folder after it.
    """
    path = Path(path)
    if path.is_dir() and os.name == 'nt':
        return  # Windows cannot open folders and writes their names by itself
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with the line ends that the text has."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON with a final line end."""
    write_text(path, json.dumps(content, indent=2) + '\n')
