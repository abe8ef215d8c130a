"""Predicts for any number of files: threads read ahead and draw behind while the network runs."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmext.common.prediction.drawing import Color
from mmext.common.prediction.inputs import output_names
from mmext.common.prediction.output import PredictionWriter, picture_names, write_pictures
from mmext.common.prediction.predictor import Predictor, PreparedImage, UnreadableImageError
from mmext.common.prediction.results import Result, make_result

# A picture waits for others of its size while so many batches of later ones come; more would take more memory.
WINDOW_BATCHES = 4


class Outcome(NamedTuple):
    """What came out of a run.

    Attributes:
        done: Number of pictures predicted for.
        unreadable: ``image`` and ``reason`` of every file that could not be used.
        found: How often each class was found: boxes; pictures that have it; pictures of which it is the best guess.
    """

    done: int
    unreadable: list[dict[str, str]]
    found: Counter


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    out_dir: Path,
    header: dict[str, Any],
    batch_size: int = 1,
    score_thr: float = 0.3,
    pictures: bool = True,
    table: Path | None = None,
    workers: int = 2,
) -> Outcome:
    """Predict for files and write the results, in the order of the files, below ``out_dir``.

    Files of a batch have the same size after the test pipeline, so that no result depends on its neighbours. Whatever
    ends the run, all files that exist then are whole, and ``predictions.json`` has the records written so far.

    Args:
        predictor: The network.
        paths: Files without repetition.
        out_dir: Made if missing.
        header: First entries of ``predictions.json``, for example the checkpoint.
        batch_size: Pictures that go through the network together.
        score_thr: Detections that score less are neither written nor drawn.
        pictures: Draw the results.
        table: CSV file to write.
        workers: Threads that read, and as many that draw.
    """
    header = {'task': predictor.task, **header, 'classes': list(predictor.classes)}
    if predictor.task == 'detection':
        header['score_thr'] = score_thr
    writer = PredictionWriter(out_dir, predictor.task, header, table)
    sources = list(zip(paths, output_names(paths), strict=True))
    found: Counter = Counter()

    def keep(record: dict[str, Any]) -> None:
        writer.add(record)
        found.update(record['label_names'][: 1 if predictor.task == 'classification' else None])
        progress.advance(task)

    with _progress() as progress, writer.open():
        task = progress.add_task(predictor.task, total=len(paths))
        with (
            ThreadPoolExecutor(workers) as readers,
            closing(_ahead(readers, partial(_read, predictor, pictures), sources, batch_size + 2 * workers)) as ahead,
            _Behind(workers, keep) as behind,
        ):
            for (path, name), prepared, sample in _predicted(predictor, ahead, batch_size):
                if isinstance(prepared, PreparedImage):
                    result = _result(predictor, path, prepared, sample, score_thr)
                    behind.submit(_write, out_dir, path, name, prepared, result, predictor.palette)
                else:
                    writer.add_unreadable(path, str(prepared))
                    # Those of an earlier run, when the file was whole.
                    for stale in picture_names(name, path).values():
                        (out_dir / stale).unlink(missing_ok=True)
                    progress.advance(task)
    return Outcome(writer.count, writer.unreadable, found)


def _read(predictor: Predictor, pictures: bool, source: tuple[Path, str]) -> PreparedImage | UnreadableImageError:
    try:
        return predictor.read(source[0], keep_picture=pictures)
    except UnreadableImageError as error:
        return error


def _result(
    predictor: Predictor, path: Path, prepared: PreparedImage, sample: BaseDataElement, score_thr: float
) -> Result:
    try:
        return make_result(predictor.task, prepared, sample, predictor.classes, score_thr)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _write(
    out_dir: Path, path: Path, name: str, prepared: PreparedImage, result: Result, palette: Sequence[Color]
) -> dict[str, Any]:
    """Writes the pictures of a result and returns its record."""
    files = write_pictures(out_dir, name, path, result, prepared.picture, palette)
    return {'image': path.as_posix(), 'name': name, **files, **result.record}


def _predicted(predictor: Predictor, read_ahead: Iterable[tuple], batch_size: int) -> Iterator[tuple]:
    """Runs the network over (source, prepared) and yields (source, prepared, data sample) in the same order.

    Pictures that can share a batch are put together, past others, as soon as there are enough of them, or when the
    oldest has waited for a window of several batches. What is unreadable has None for its data sample.
    """
    kept: dict[int, tuple] = {}
    groups: dict[tuple, list[int]] = {}
    samples: dict[int, Any] = {}
    position = 0  # of the next to yield

    def run(indices: list[int]) -> None:
        samples.update(zip(indices, predictor([kept[index][1] for index in indices]), strict=True))

    def ready() -> Iterator[tuple]:
        nonlocal position
        while position in samples:
            yield *kept.pop(position), samples.pop(position)
            position += 1

    for index, (source, prepared) in enumerate(read_ahead):
        kept[index] = source, prepared
        if isinstance(prepared, PreparedImage):
            key = predictor.batch_key(prepared)
            groups.setdefault(key, []).append(index)
            if len(groups[key]) == batch_size:
                run(groups.pop(key))
        else:
            samples[index] = None
        yield from ready()
        if index - position >= WINDOW_BATCHES * batch_size:
            # The oldest is the first of its group.
            run(groups.pop(next(key for key, indices in groups.items() if indices[0] == position)))
            yield from ready()
    for indices in sorted(groups.values()):
        run(indices)
        yield from ready()


def _ahead(pool: ThreadPoolExecutor, call: Callable, items: Sequence, ahead: int) -> Iterator[tuple]:
    """(item, call(item)) in order, while up to ``ahead`` further calls run or wait with their results."""
    pending: deque[tuple[Any, Future]] = deque()
    waiting = iter(items)
    try:
        while True:
            for item in islice(waiting, ahead + 1 - len(pending)):
                pending.append((item, pool.submit(call, item)))
            if not pending:
                return
            item, future = pending.popleft()
            yield item, future.result()
    finally:
        for _, future in pending:
            future.cancel()


class _Behind:
    """Runs calls in threads and hands their results on in order, with at most a few calls waiting.

    The ``with`` block ends when all results are handed on, also after an error, so that what was done is not lost.
    """

    def __init__(self, workers: int, keep: Callable[[Any], None]) -> None:
        self._pool, self._keep, self._most = ThreadPoolExecutor(workers), keep, 4 * workers
        self._pending: deque[Future] = deque()

    def submit(self, call: Callable, *arguments: Any) -> None:
        self._pending.append(self._pool.submit(call, *arguments))
        # Those that are ready are handed on at once, so that the progress shown is true.
        while len(self._pending) > self._most or (self._pending and self._pending[0].done()):
            self._keep(self._pending.popleft().result())

    def __enter__(self) -> '_Behind':
        return self

    def __exit__(self, *error: object) -> None:
        with self._pool:
            while self._pending:
                self._keep(self._pending.popleft().result())


def _progress() -> Progress:
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # On stderr, so that what is printed about the results can be piped.
    return Progress(*columns, TextColumn('left'), TimeRemainingColumn(), console=Console(stderr=True))
