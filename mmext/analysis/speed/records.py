"""Records of speed measurements: one JSON object a line, appended to one file by any number of processes.

Units: times in milliseconds a batch, rates in images a second, memory in bytes, one MAC is one multiply-add. Sizes are
(height, width) in pixels.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

DEFAULT_FILE = Path('work_dirs/speed.jsonl')
# What happens to a batch of files, in order; the whole path is their sum.
STAGES = ('decode', 'preprocess', 'network', 'postprocess')


class SpeedRecordError(ValueError):
    """A file of records, or a line of it, that cannot be used; the message names file, line, value and fix."""


@dataclass(frozen=True)
class Timing:
    """How long a batch takes.

    Attributes:
        p50_ms: Median latency of a batch.
        p95_ms: 95th percentile, interpolated between the repeats.
        images_per_s: All images of all repeats by their total time.
        repeats: Batches timed.
    """

    p50_ms: float
    p95_ms: float
    images_per_s: float
    repeats: int


@dataclass(frozen=True)
class SpeedRecord:
    """One measurement of one config with one setting; with an ``error`` there are no figures.

    Attributes:
        config: Path of the config, relative to the project where it lies in it.
        shape_hw: What the network sees; None where an error came before it was known.
        batch: Images at a time.
        device: As torch names it: 'cpu', 'cuda'; empty where an error came before it was known.
        precision: 'fp32', 'bf16' or 'fp16', the latter two by autocast.
        compiled: Whether torch.compile was used.
        channels_last: Whether weights and images were in that memory format.
        timestamp: ISO 8601, UTC, of the end.
        error: Why there are no figures; empty for a measurement.
        task: 'segmentation', 'detection' or 'classification'.
        network: The network alone, on a batch that lies ready on the device.
        path: From the files to the result in memory, one batch after the other, nothing overlapped.
        stages: The path's parts by name (``STAGES``).
        peak_memory_bytes: Most memory while the network runs, weights included.
        memory_source: What counted it, in words.
        params: Parameters of the model, auxiliary heads included.
        macs: Multiply-adds of one image of ``shape_hw``.
        device_name: The processor's or GPU's name.
        threads: CPU threads that torch used within an operator.
        warmup: Passes before the timing.
        stable: Whether the last of these agreed; if not, the times may still drift.
        images: What the path read, in words.
        weights: 'random' or the checkpoint.
        versions: Package name -> version: python, torch, mmcv, mmengine, the toolbox, mmext.
        commit: Of the project, with '+' if files differed from it; empty outside of a checkout.
        notes: What else the figures depend on.
    """

    config: str
    shape_hw: tuple[int, int] | None
    batch: int
    device: str
    precision: str
    compiled: bool
    channels_last: bool
    timestamp: str
    error: str = ''
    task: str = ''
    network: Timing | None = None
    path: Timing | None = None
    stages: Mapping[str, Timing] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    memory_source: str = ''
    params: int | None = None
    macs: int | None = None
    device_name: str = ''
    threads: int | None = None
    warmup: int | None = None
    stable: bool | None = None
    images: str = ''
    weights: str = 'random'
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ''
    notes: tuple[str, ...] = ()

    @property
    def flops(self) -> int | None:
        """Floating point operations of one image: two per multiply-add."""
        return None if self.macs is None else 2 * self.macs

    @property
    def setting(self) -> tuple:
        """What two records must share to be repetitions of one measurement."""
        machine = (self.device, self.device_name, self.threads)
        return (self.config, self.shape_hw, self.batch, self.precision, self.compiled, self.channels_last, *machine)


def append_speed_record(path: str | Path, record: SpeedRecord) -> None:
    """Add a record as one line, in a single write: processes may append at the same time.

    The folder is made if missing. A line that a killed process left without an end is closed first.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(asdict(record), allow_nan=False) + '\n').encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size:
            os.lseek(descriptor, size - 1, os.SEEK_SET)
            line = line if os.read(descriptor, 1) == b'\n' else b'\n' + line
        if os.write(descriptor, line) != len(line):
            raise OSError(f'{path}: only part of a record could be written; is the disk full?')
    finally:
        os.close(descriptor)


def read_speed_records(path: str | Path) -> list[SpeedRecord]:
    """All records of a file in the order of their writing; empty lines are passed over.

    Raises:
        FileNotFoundError: no such file.
        SpeedRecordError: a line that is no record.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file of speed records; make it with tools/benchmarks/speed.py')
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(json.loads(line)))
        except (ValueError, RecursionError) as error:
            reason = 'no JSON' if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else error
            raise SpeedRecordError(f'{path}: line {number} is no speed record ({reason}); delete the line') from error
    return records


def latest_records(records: Iterable[SpeedRecord]) -> list[SpeedRecord]:
    """The last measurement of each ``setting``, in the order of the settings' first; failures are left out."""
    return list({record.setting: record for record in records if not record.error}.values())


def _record(content: Any) -> SpeedRecord:
    """A record from what JSON holds; fields of other versions are passed over."""
    if not isinstance(content, dict):
        raise ValueError(f'expected an object, got {type(content).__name__}')
    known = {key: content[key] for key in (entry.name for entry in fields(SpeedRecord)) if key in content}
    missing = [name for name in _REQUIRED if name not in known]
    if missing:
        raise ValueError(f'without {", ".join(missing)}')
    for name, value in known.items():
        if not _fits(name, value):
            raise ValueError(f'{name} is {str(value)[:60]!r}')
    for name in ('network', 'path'):
        known[name] = _timing(name, known.get(name))
    known['stages'] = {name: _timing(name, value) for name, value in known.get('stages', {}).items()}
    return SpeedRecord(
        **known | {name: tuple(known[name]) for name in ('shape_hw', 'notes') if known.get(name) is not None}
    )


_REQUIRED = ('config', 'shape_hw', 'batch', 'device', 'precision', 'compiled', 'channels_last', 'timestamp')
_COUNTS = ('peak_memory_bytes', 'params', 'macs', 'threads', 'warmup')


def _fits(name: str, value: Any) -> bool:
    if name == 'shape_hw':
        sides = value if isinstance(value, list) and len(value) == 2 else [None]
        return value is None or all(type(side) is int and side > 0 for side in sides)
    if name == 'batch':
        return type(value) is int and value > 0
    if name in _COUNTS:
        return value is None or (type(value) is int and value >= 0)
    if name in ('compiled', 'channels_last', 'stable'):
        return isinstance(value, bool) or (name == 'stable' and value is None)
    if name in ('network', 'path'):
        return value is None or isinstance(value, dict)
    if name in ('stages', 'versions'):
        return isinstance(value, dict)
    if name == 'notes':
        return isinstance(value, list) and all(isinstance(note, str) for note in value)
    return isinstance(value, str)


def _timing(name: str, value: Any) -> Timing | None:
    if value is None:
        return None
    names = [entry.name for entry in fields(Timing)]
    numbers = [value.get(key) for key in names] if isinstance(value, dict) else [None]
    if not all(type(number) in (int, float) and math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError(f'{name} needs the numbers {", ".join(names)}')
    return Timing(*numbers)
