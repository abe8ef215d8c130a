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


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with the line ends that the text has."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON with a final line end."""
    write_text(path, json.dumps(content, indent=2) + '\n')
