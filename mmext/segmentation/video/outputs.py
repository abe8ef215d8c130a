"""Everything that is made of segmented frames, each output in a thread of its own."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmext.segmentation.video.class_shares import FIXED_COLUMNS, class_shares, flicker
from mmext.segmentation.video.clock import OutputClock
from mmext.segmentation.video.network import VideoModel
from mmext.segmentation.video.pictures import SideBySide, color, color_table, mix
from mmext.segmentation.video.segments import SegmentEnd, SegmentStore
from mmext.segmentation.video.sources import Frame
from mmext.segmentation.video.threads import Behind
from mmext.segmentation.video.writer import VideoWriter

COMPARISON, TABLE, LAST_LABELS = 'comparison.mp4', 'class_shares.csv', 'last_labels.npz'
INPUT_TITLE = 'input'
# Frames that may wait before an output: enough to even out slow ones, few enough for large frames.
WAITING = 4


class SegmentedFrame(NamedTuple):
    """A frame and what the networks say of it.

    Attributes:
        place: In the output, from 1.
        tick: When it is shown there.
        frame: The frame.
        labels: One label map a model, (H, W) uint8.
    """

    place: int
    tick: int
    frame: Frame
    labels: Sequence[np.ndarray]


class Outputs:
    """Colours, mixes, the comparison and the table of a run.

    Args:
        models: Their names and colours.
        size_hw: Of the frames.
        clock: Of the output.
        share: Of the colour in a mix.
        chosen: Places of frames that are kept for the contact sheet.
        store: Where segments go.
        segment: Number of the first one that is written.
    """

    def __init__(
        self,
        models: Sequence[VideoModel],
        size_hw: tuple[int, int],
        clock: OutputClock,
        share: float,
        chosen: Sequence[int],
        store: SegmentStore,
        segment: int,
    ) -> None:
        self._tables = [color_table(model.palette) for model in models]
        self._share = share
        self._side_by_side = SideBySide([INPUT_TITLE, *(model.name for model in models)], size_hw)
        sizes = {name: size_hw for model in models for name in video_names(model.name)}
        sizes[COMPARISON] = self._side_by_side.size_hw
        writers = [_Video(name, size, clock, store, segment) for name, size in sizes.items()]
        table = _Table(models, chosen, store, segment)
        self._videos = [Behind(writer, WAITING, writer.name) for writer in writers]
        self._table = Behind(table, WAITING, 'table')
        self._composer = Behind(self._compose, WAITING, 'compose')

    def add(self, segmented: SegmentedFrame) -> None:
        self._composer.put(segmented)

    def end_segment(self, then: Callable[[], object]) -> None:
        """Finish the files of this segment, then call back, in another thread."""
        self._composer.put(SegmentEnd(len(self._videos) + 1, then))

    def close(self) -> None:
        """Return when everything that was added is written."""
        errors = []
        for thread in (self._composer, *self._videos, self._table):
            try:
                thread.close()
            except BaseException as error:  # the others must end too
                errors.append(error)
        if errors:
            raise errors[0]

    def _compose(self, message: SegmentedFrame | SegmentEnd) -> None:
        self._table.put(message)
        if isinstance(message, SegmentEnd):
            for video in self._videos:
                video.put(message)
            return
        picture = message.frame.picture
        colors = [color(labels, table) for labels, table in zip(message.labels, self._tables, strict=True)]
        mixes = [mix(painted, picture, self._share) for painted in colors]
        pictures = [made for pair in zip(colors, mixes, strict=True) for made in pair]
        pictures.append(self._side_by_side([picture, *mixes]))
        for video, made in zip(self._videos, pictures, strict=True):
            video.put((made, message.tick))


def video_names(model: str) -> tuple[str, str]:
    """Names of a model's files: colours, and colours over the frames."""
    return f'{model}_color.mp4', f'{model}_mix.mp4'


def kept_frame_name(place: int) -> str:
    """Name of the file that keeps a frame for the contact sheet."""
    return f'frame_{place}.npz'


class _Video:
    """Writes one file a segment."""

    def __init__(
        self, name: str, size_hw: tuple[int, int], clock: OutputClock, store: SegmentStore, segment: int
    ) -> None:
        self.name, self._size_hw, self._clock = name, size_hw, clock
        self._store, self._segment = store, segment
        self._writer: VideoWriter | None = None
        self._first_tick = 0

    def __call__(self, message: tuple[np.ndarray, int] | SegmentEnd) -> None:
        if isinstance(message, SegmentEnd):
            if self._writer:
                self._writer.close()
            self._writer = None
            self._segment += 1
            message.done()
            return
        picture, tick = message
        if self._writer is None:
            path = self._store.unfinished(self._segment) / self.name
            self._writer = VideoWriter(path, self._size_hw, self._clock.rate, self._clock.time_base)
            self._first_tick = tick
        self._writer.write(picture, tick - self._first_tick, self._clock.duration)


class _Table:
    """Writes the class shares of each frame, and keeps the frames of the contact sheet."""

    def __init__(self, models: Sequence[VideoModel], chosen: Sequence[int], store: SegmentStore, segment: int) -> None:
        self._models, self._chosen, self._store, self._segment = models, set(chosen), store, segment
        self._before = _last_labels(store.path(segment - 1)) if segment else [None] * len(models)
        self._file: Any = None

    def __call__(self, message: SegmentedFrame | SegmentEnd) -> None:
        if isinstance(message, SegmentEnd):
            if self._file:
                self._file.close()
                np.savez(self._folder() / LAST_LABELS, *self._before)
            self._file = None
            self._segment += 1
            message.done()
            return
        if self._file is None:
            self._file = (self._folder() / TABLE).open('w', newline='', encoding='utf-8')
        rows = csv.writer(self._file, lineterminator='\n')
        frame = message.frame
        for model, labels, before in zip(self._models, message.labels, self._before, strict=True):
            changed = flicker(labels, before)
            shares = class_shares(labels, len(model.classes))
            numbers = [f'{value:.6g}' for value in shares]
            changed = '' if changed is None else f'{changed:.6g}'
            second = f'{float(frame.seconds):.6f}'.rstrip('0').rstrip('.')
            rows.writerow([message.place, frame.number + 1, second, model.name, changed, *numbers])
        if message.place in self._chosen:
            path = self._folder() / kept_frame_name(message.place)
            np.savez(path, picture=frame.picture, labels=np.stack(message.labels))
        self._before = list(message.labels)

    def _folder(self) -> Path:
        return self._store.unfinished(self._segment)


def table_header(classes: Sequence[str]) -> list[str]:
    """Column names of the table."""
    return [*FIXED_COLUMNS, *classes]


def _last_labels(folder: Path) -> list[np.ndarray]:
    with np.load(folder / LAST_LABELS) as arrays:
        return [arrays[name] for name in arrays.files]
