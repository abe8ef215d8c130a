"""Opens every file of a listing once, in parallel processes, and remembers what it found; then has it judged."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image
from rich.progress import track

from .cache import Key, ScanCache, absolute, file_state
from .listing import Listing, Sample, read_listing
from .passport import Passport, PassportError
from .records import Record, open_file, pixel_digest

# Below this number of files, starting processes takes longer than it saves.
MIN_PARALLEL = 64
CHUNK = 8
PARENT_CHECK_SECONDS = 1.0
CACHE_NAME = 'scan_cache.jsonl'
ANNOTATION_KIND = {'segmentation': 'mask', 'detection': 'xml'}


class Scan:
    """The records of a listing's files.

    Attributes:
        listing: What was scanned.
        opened: Number of files that were opened now, not taken from the cache.
        faults: File -> kinds of its faults, once `mmext.inspection.judgement.judge` has seen them; None before.
    """

    def __init__(self, listing: Listing, records: dict[Key, Record], opened: int = 0) -> None:
        self.listing = listing
        self.opened = opened
        self.faults: dict[str, set[str]] | None = None
        self._records = records
        self._pixels: dict[str, Record] = {}

    def image(self, sample: Sample) -> Record:
        """Record of the picture."""
        if sample.pixels is None:
            return self._records['image', str(sample.image)]
        if sample.name not in self._pixels:
            self._pixels[sample.name] = _record_of_pixels(sample)
        return self._pixels[sample.name]

    def annotation(self, sample: Sample) -> Record | None:
        """Record of the mask or XML file; None if the sample has none."""
        kind = ANNOTATION_KIND.get(self.listing.task)
        return self._records[kind, str(sample.annotation)] if kind and sample.annotation else None

    def samples(self) -> Iterator[tuple[str, Sample]]:
        """Split and sample, for all."""
        return ((split, sample) for split, samples in self.listing.splits.items() for sample in samples)


def _record_of_pixels(sample: Sample) -> Record:
    height, width = sample.pixels.shape[:2]
    return {
        'status': 'ok',
        'sha256': hashlib.sha256(sample.pixels.tobytes()).hexdigest(),
        'format': '',
        'mode': 'RGB',
        'bits': 8,
        'size_hw': [height, width],
        'frames': 1,
        'orientation': 1,
        'alpha': False,
        'digest': pixel_digest(Image.fromarray(sample.pixels)),
    }


def files_of(listing: Listing) -> list[Key]:
    """Kind and path of every file that a scan opens, each once; pictures inside a common file are none."""
    kind = ANNOTATION_KIND.get(listing.task)
    found: dict[Key, None] = {}
    for samples in listing.splits.values():
        for sample in samples:
            if sample.pixels is None:
                found['image', str(sample.image)] = None
            if kind and sample.annotation:
                found[kind, str(sample.annotation)] = None
    return list(found)


def scan(listing: Listing, cache: str | Path | None = None, workers: int | None = None, progress: bool = False) -> Scan:
    """Open all files of a listing that have not been opened before.

    Args:
        listing: What to open.
        cache: File that keeps the records. Interrupted at any moment, the next scan goes on where this one was.
        workers: Processes; all cores by default, 0 or 1 for none besides this one.
        progress: Show a progress bar.

    Raises:
        PassportError: A worker process died.
        OSError: The cache cannot be written.
    """
    files = files_of(listing)
    records: dict[Key, Record] = {}
    jobs: list[tuple[str, str, tuple[int, int]]] = []
    with ScanCache(cache) as known:
        for kind, path in files:
            state = file_state(path)
            record = known.get(kind, absolute(path), state)
            if record is not None:
                records[kind, path] = record
            elif state is None:
                records[kind, path] = open_file(kind, path)
            else:
                jobs.append((kind, path, state))
        done = _open_all(jobs, os.cpu_count() or 1 if workers is None else workers)
        for (kind, path, state), record in track(done, 'Reading', len(jobs), disable=not progress or not jobs):
            records[kind, path] = record
            known.put(kind, absolute(path), state, record)
    known.compact()
    return Scan(listing, records, len(jobs))


Job = tuple[str, str, tuple[int, int]]


def _open_job(job: Job) -> tuple[Job, Record]:
    return job, open_file(job[0], job[1])


def _begin_worker(parent: int) -> None:
    """What a process does first: leave an interrupt to the main process, and end when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    # A killed main process cannot tell its workers; they would wait for it for ever.
    os._exit(1)


def _open_all(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Record]]:
    if workers < 2 or len(jobs) < MIN_PARALLEL:
        yield from map(_open_job, jobs)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in methods else None)
    with ProcessPoolExecutor(workers, context, _begin_worker, (os.getpid(),)) as pool:
        try:
            yield from pool.map(_open_job, jobs, chunksize=CHUNK)
        except BrokenProcessPool as error:
            raise PassportError(
                'a process that read files was killed, probably for lack of memory; what was read so far is kept: '
                'start again with fewer processes (--workers 1)'
            ) from error
        except BaseException:
            # Otherwise leaving the block would first read all files that are left.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def pixels_of(scan: Scan, passport: Passport) -> dict[str, np.ndarray]:
    """The pictures that findings name and that are no files of their own: name -> (H, W, 3) RGB uint8."""
    named = {file for finding in passport.findings for file in finding.files}
    return {one.name: one.pixels for _, one in scan.samples() if one.pixels is not None and one.name in named}


def inspect(
    listing: Listing, cache: str | Path | None = None, workers: int | None = None, progress: bool = False
) -> Passport:
    """Scan a listing and judge it; arguments as `scan`."""
    from .judgement import judge

    return judge(scan(listing, cache, workers, progress))


def inspect_data(
    source: str | Path | Config,
    out: str | Path | None = None,
    task: str | None = None,
    workers: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Passport:
    """The passport of a config's data sets or of a folder.

    Args:
        source: As `read_listing`, with ``task`` and ``cfg_options``.
        out: Folder for ``passport.json`` and the cache; nothing is written by default.
        workers: As `scan`, with ``progress``.

    Raises:
        PassportError: What `read_listing` and `scan` raise.
    """
    listing = read_listing(source, task, cfg_options)
    cache = Path(out) / CACHE_NAME if out else None
    passport = inspect(listing, cache, workers, progress)
    if out:
        passport.write(Path(out) / 'passport.json')
    return passport
