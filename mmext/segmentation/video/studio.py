"""A video through one or several networks. Decoding, preparing, the networks and all encoders run at the same time.

Between them are queues of a few frames: memory depends on the frames' size, not on their number.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmext.common.files import write_json
from mmext.segmentation.video.clock import OutputClock
from mmext.segmentation.video.network import VideoModel
from mmext.segmentation.video.outputs import Outputs, SegmentedFrame
from mmext.segmentation.video.results import SUMMARY, WrittenSegment, write_results
from mmext.segmentation.video.segments import SegmentState, SegmentStore, difference
from mmext.segmentation.video.sources import Frame, FrameSource, Place, UnreadableError
from mmext.segmentation.video.threads import Ahead
from mmext.segmentation.video.video_file import checksum

# A killed run loses less than one segment; more of them take more key frames.
SEGMENT_FRAMES = 50
DEFAULT_SHEET = (1, 100, 200)


@dataclass(frozen=True)
class StudioOptions:
    """How a video is segmented.

    Attributes:
        every: One of so many frames is kept.
        fps: Rate of the output; None keeps the times of the frames, and so the duration.
        mix: Share of the classes' colours in a mix, the rest is the frame.
        batch: Frames that go through a network together.
        chosen: Frames of the contact sheet, counted in the output from 1; None: the first, the middle and the last
            where their number is known, else 1, 100 and 200.
        resume: Go on where an earlier run with the same settings ended.
        segment_frames: A segment has at least so many frames, a multiple of the batch.
    """

    every: int = 1
    fps: Fraction | None = None
    mix: float = 0.7
    batch: int = 1
    chosen: tuple[int, ...] | None = None
    resume: bool = False
    segment_frames: int = SEGMENT_FRAMES


class Outcome(NamedTuple):
    """What came out of a run.

    Attributes:
        frames: In the outputs, those of an earlier run included.
        complete: The end of the source was reached.
        error: Where reading stopped, if it could not be read to its end.
        models: Per model the flicker and mean class shares.
        notes: For the user.
        resumed: Frames that an earlier run had done.
        seconds: From the first frame of this run to the last one encoded; joining and figures come after.
    """

    frames: int
    complete: bool
    error: UnreadableError | None
    models: dict[str, Any]
    notes: list[str]
    resumed: int
    seconds: float


def segment_video(
    source: FrameSource,
    models: Sequence[VideoModel],
    out: Path,
    options: StudioOptions = StudioOptions(),
    stopped: Callable[[], bool] = lambda: False,
    advance: Callable[[int], object] = lambda frames: None,
) -> Outcome:
    """Segment a source and write everything that is made of it; also what came before an error or a stop.

    Args:
        source: Frames.
        models: With names of their own and the same classes.
        out: Folder of the results; made if missing.
        options: See there.
        stopped: Asked after each batch; True ends the run, which can be resumed, or finishes that of a live source.
        advance: Called with the number of frames that the networks are done with, first with those of an earlier run.

    Raises:
        ValueError: models of different classes; nothing to resume under these settings; no frame could be read.
        OSError: the disk is full, for example. What was finished can be resumed.
    """
    _check(models, options, source)
    info = source.info
    chosen = options.chosen or _default_sheet(info.frames, options.every)
    settings = _settings(source, models, options, chosen)
    if options.resume and (finished := _finished(out, settings)):
        return finished
    out.mkdir(parents=True, exist_ok=True)
    store = SegmentStore(out)
    states = store.begin(settings, options.resume)
    clock = OutputClock(info.rate, info.constant, options.every, options.fps)
    resumed = sum(state.frames for state in states)
    advance(resumed)
    if states:
        clock.tick = states[-1].tick
    run = _Run(source, models, options, chosen, clock, store, states)
    error, start = None, time.perf_counter()
    try:
        ended = run.go(stopped, advance)
    except UnreadableError as stop:
        ended, error = True, stop
    seconds = time.perf_counter() - start
    segments = run.segments()
    if not segments:
        store.remove()
        raise error or ValueError(f'{info.name}: stopped before the first frame')
    told, notes = write_results(segments, models, out, info, clock, options.mix, chosen)
    complete = error is None and (ended or info.live)
    frames = sum(segment.state.frames for segment in segments)
    stop = {'frame': error.number + 1, 'second': error.seconds, 'reason': error.reason} if error else None
    summary = {'input': info.name, 'frames': frames, 'fps': str(clock.rate), 'complete': complete, 'unreadable': stop}
    write_json(out / SUMMARY, {**summary, 'models': told, 'notes': notes, 'settings': settings})
    if complete or error:
        store.remove()
    return Outcome(frames, complete, error, told, notes, resumed, seconds)


class _Run:
    """The frames that are not in whole segments yet."""

    def __init__(
        self,
        source: FrameSource,
        models: Sequence[VideoModel],
        options: StudioOptions,
        chosen: Sequence[int],
        clock: OutputClock,
        store: SegmentStore,
        states: list[SegmentState],
    ) -> None:
        self._source, self._models, self._options = source, models, options
        self._chosen, self._clock, self._store = chosen, clock, store
        self._whole = len(states)
        self._done = sum(state.frames for state in states)
        self._after = Place(states[-1].number, states[-1].pts, states[-1].checksum) if states else None
        self._length = segment_frames(options)
        self._partial: SegmentState | None = None

    def go(self, stopped: Callable[[], bool], advance: Callable[[int], object]) -> bool:
        """Returns True at the end of the source, False if it was stopped.

        Raises:
            UnreadableError: behind the last frame that could be read; the frames before are in the segments.
        """
        outputs = Outputs(
            *(self._models, self._source.info.size_hw, self._clock, self._options.mix),
            *(self._chosen, self._store, self._whole),
        )
        try:
            try:
                return self._feed(outputs, stopped, advance)
            finally:
                if self._partial:
                    outputs.end_segment(lambda: None)
        finally:
            outputs.close()

    def segments(self) -> list[WrittenSegment]:
        """All that is written: whole segments, then the last one if it has fewer frames."""
        whole = [WrittenSegment(self._store.path(n), state) for n, state in enumerate(self._store.whole())]
        if self._partial:
            whole.append(WrittenSegment(self._store.unfinished(len(whole)), self._partial))
        return whole

    def _feed(self, outputs: Outputs, stopped: Callable[[], bool], advance: Callable[[int], object]) -> bool:
        frames = Ahead(self._source.read(self._options.every, self._after), 2, 'decode')
        with closing(frames), closing(Ahead(self._prepared(frames), 2 * self._options.batch, 'prepare')) as prepared:
            for batch in _batches(prepared, self._options.batch):
                inputs = zip(*(entry[1] for entry in batch), strict=True)
                labels = [model(of_model) for model, of_model in zip(self._models, inputs, strict=True)]
                for (frame, _), *maps in zip(batch, *labels, strict=True):
                    self._add(outputs, frame, maps)
                advance(len(batch))
                if stopped():
                    return False
        return True

    def _prepared(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list]]:
        for frame in frames:
            yield frame, [model.prepare(frame.picture) for model in self._models]

    def _add(self, outputs: Outputs, frame: Frame, labels: list) -> None:
        tick = self._clock.next_tick(frame.seconds)
        self._done += 1
        outputs.add(SegmentedFrame(self._done, tick, frame, labels))
        before = self._partial
        count = before.frames + 1 if before else 1
        first_tick = before.first_tick if before else tick
        full = count == self._length
        seen = checksum(frame.picture) if full else 0
        self._partial = SegmentState(count, first_tick, tick, frame.number, frame.pts, seen, float(frame.seconds))
        if full:
            outputs.end_segment(partial(self._store.commit, self._whole, self._partial))
            self._whole += 1
            self._partial = None


def segment_frames(options: StudioOptions) -> int:
    """Frames of a whole segment: full batches, so that a resumed run puts the same frames together."""
    return -(-options.segment_frames // options.batch) * options.batch


def output_frames(frames: int | None, every: int) -> int | None:
    """How many frames are kept of so many."""
    return None if frames is None else -(-frames // every)


def _batches(entries: Iterable[tuple], size: int) -> Iterator[list[tuple]]:
    """Lists of ``size`` entries; what is left over at the end, or before an error, comes as a shorter one."""
    batch = []
    error = None
    try:
        for entry in entries:
            batch.append(entry)
            if len(batch) == size:
                yield batch
                batch = []
    except UnreadableError as stop:
        error = stop
    if batch:
        yield batch
    if error:
        raise error


def _default_sheet(frames: int | None, every: int) -> tuple[int, ...]:
    count = output_frames(frames, every)
    return DEFAULT_SHEET if not count else tuple(sorted({1, (count + 1) // 2, count}))


def _check(models: Sequence[VideoModel], options: StudioOptions, source: FrameSource) -> None:
    names = [model.name for model in models]
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f'every model needs a name of its own, got {", ".join(names)}')
    for model in models[1:]:
        if tuple(model.classes) != tuple(models[0].classes):
            raise ValueError(f'{model.name} and {models[0].name} have different classes; compare them in runs apart')
    if source.info.live and options.resume:
        raise ValueError(f'{source.info.name}: what it showed is gone; --resume needs a file or a folder')


def _settings(
    source: FrameSource, models: Sequence[VideoModel], options: StudioOptions, chosen: Sequence[int]
) -> dict[str, Any]:
    """What has to be the same in a resumed run."""
    return {
        'input': source.info.identity,
        'models': {model.name: model.identity for model in models},
        'every': options.every,
        'fps': str(options.fps or 'kept'),
        'rate': str(source.info.rate),
        'mix': options.mix,
        'batch': options.batch,
        'frames': list(chosen),
        'segment_frames': segment_frames(options),
    }


def _finished(out: Path, settings: dict[str, Any]) -> Outcome | None:
    """The outcome of a run that has reached its end."""
    path = out / SUMMARY
    if SegmentStore(out).folder.exists() or not path.is_file():
        return None
    summary = json.loads(path.read_text())
    if not summary['complete']:
        return None
    if changed := difference(summary['settings'], json.loads(json.dumps(settings))):
        raise ValueError(f'{out}: holds a finished run with other settings ({changed}); leave out --resume to redo it')
    frames = summary['frames']
    return Outcome(frames, True, None, summary['models'], ['it was complete already'], frames, 0.0)
