"""Outputs in segments of a fixed number of frames, each of them whole on disk or not there: what a killed run leaves.

Segments lie in a hidden folder beside the outputs. One that is being written has a name with ``.part``; when all its
files are finished it is flushed to the disk and gets its own name. Every segment is encoded by itself, so that a run
that goes on behind the last whole one writes the same files as one that was never killed.
"""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mmext.common.files import flush_to_disk, write_json

FOLDER = '.segments'
SETTINGS, STATE = 'settings.json', 'segment.json'
UNFINISHED = '.part'


class SegmentState(NamedTuple):
    """Where a segment ends.

    Attributes:
        frames: In this segment.
        first_tick: Of its first frame in the output.
        tick: Of its last frame.
        number: Of its last frame in the source.
        pts: Of that frame in the source's own ticks.
        checksum: Of that frame's pixels.
        seconds: Of that frame in the source.
    """

    frames: int
    first_tick: int
    tick: int
    number: int
    pts: int | None
    checksum: int
    seconds: float


class SegmentStore:
    """The segments of one run.

    Args:
        out: Folder of the outputs.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def begin(self, settings: dict[str, Any], resume: bool) -> list[SegmentState]:
        """Make the folder; whole segments of an earlier run stay if it is to be resumed.

        Returns:
            What is whole, from the first on.

        Raises:
            ValueError: the earlier run had other settings; names one of them.
        """
        stored = self._stored_settings()
        if not resume or stored is None:
            self.remove()
            self.folder.mkdir(parents=True)
            write_json(self.folder / SETTINGS, settings)
            return []
        if changed := difference(stored, json.loads(json.dumps(settings))):
            raise ValueError(
                f'{self.folder.parent}: was begun with other settings ({changed}); give the same ones to --resume, '
                f'or start anew without it'
            )
        for rest in self.folder.glob(f'*{UNFINISHED}'):
            shutil.rmtree(rest)
        return self.whole()

    def whole(self) -> list[SegmentState]:
        """The whole segments from the first on."""
        states = []
        while (path := self.path(len(states)) / STATE).is_file():
            states.append(SegmentState(**json.loads(path.read_text())))
        return states

    def path(self, number: int) -> Path:
        return self.folder / f'{number:06d}'

    def unfinished(self, number: int) -> Path:
        """The folder in which a segment is written; made if missing."""
        path = self.folder / f'{number:06d}{UNFINISHED}'
        path.mkdir(exist_ok=True)
        return path

    def commit(self, number: int, state: SegmentState) -> None:
        """Give a segment its name, whose files are all finished."""
        path = self.unfinished(number)
        write_json(path / STATE, state._asdict())
        for file in path.iterdir():
            flush_to_disk(file)
        flush_to_disk(path)
        path.rename(self.path(number))
        flush_to_disk(self.folder)

    def remove(self) -> None:
        """Delete all segments."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _stored_settings(self) -> dict[str, Any] | None:
        path = self.folder / SETTINGS
        return json.loads(path.read_text()) if path.is_file() else None


class SegmentEnd:
    """Goes through all outputs behind the last frame of a segment; the last of them to be done with it calls back.

    Args:
        outputs: How many there are.
        then: Called once, in the thread of the last.
    """

    def __init__(self, outputs: int, then: Callable[[], object]) -> None:
        self._waiting, self._then = outputs, then
        self._lock = threading.Lock()

    def done(self) -> None:
        with self._lock:
            self._waiting -= 1
            last = self._waiting == 0
        if last:
            self._then()


def difference(old: dict[str, Any], new: dict[str, Any], prefix: str = '') -> str:
    """The first setting that is not the same, as ``name: old, now new``; '' if all are."""
    for name in {**old, **new}:
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            if found := difference(before, now, f'{prefix}{name}.'):
                return found
        elif before != now:
            return f'{prefix}{name}: {before}, now {now}'
    return ''
