"""What a scan found out about files, kept between runs: a file that has not changed is not opened again.

A text file of one JSON line per record. Lines are only appended, each by one write, so a scan that is killed loses at
most the line it was writing; that one is skipped when the file is read. Other files of that name
are replaced.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO

from mmext.common.files import write_text

from .records import Record

# Raised whenever records change their meaning: what older versions wrote is then not used.
FORMAT = 1
HEADER = json.dumps({'scan cache': FORMAT})
Key = tuple[str, str]


def absolute(path: str | Path) -> str:
    """Absolute path without ``..``; links keep their own names."""
    # Path.resolve would follow links; Path.absolute keeps '..'.
    return os.path.abspath(path)  # noqa: PTH100


def file_state(path: str | Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in ns; None where there is no such file."""
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


class ScanCache:
    """Records by kind and absolute path, valid for one state of the file.

    Use it as a context manager: at the end of the block the file is closed.

    Args:
        path: The file; None keeps nothing.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path else None
        self._entries: dict[Key, tuple[tuple[int, int], Record]] = {}
        self._file: IO[bytes] | None = None
        self._stale = 0
        if self.path:
            self._load()

    def _load(self) -> None:
        lines = self.path.read_bytes().split(b'\n') if self.path.is_file() else []
        if not lines or lines[0].decode(errors='replace') != HEADER:
            write_text(self.path, HEADER + '\n')
            return
        for line in lines[1:]:
            try:
                kind, path, state, record = json.loads(line)
                key, entry = (kind, path), (tuple(state), record)
            except (ValueError, TypeError):
                # The last line, when the scan was killed; or the empty text behind the last line end.
                self._stale += bool(line)
                continue
            self._stale += key in self._entries
            self._entries[key] = entry
        if lines[-1]:
            with self.path.open('ab') as file:
                file.write(b'\n')

    def __enter__(self) -> 'ScanCache':
        if self.path:
            self._file = self.path.open('ab', buffering=0)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, kind: str, path: str, state: tuple[int, int] | None) -> Record | None:
        """The record, if the file has not changed since."""
        known, record = self._entries.get((kind, path), (None, None))
        return record if known == state and state is not None else None

    def put(self, kind: str, path: str, state: tuple[int, int], record: Record) -> None:
        """Keep a record; it is on disk when this returns (as far as the operating system goes)."""
        self._stale += (kind, path) in self._entries
        self._entries[kind, path] = state, record
        if self._file:
            self._file.write((json.dumps([kind, path, state, record]) + '\n').encode())

    def compact(self) -> None:
        """Write the file anew, whole or not at all, if more than half of its lines are out of date."""
        if self.path and 2 * self._stale > len(self._entries):
            lines = (json.dumps([*key, *entry]) for key, entry in self._entries.items())
            write_text(self.path, '\n'.join([HEADER, *lines]) + '\n')
            self._stale = 0
