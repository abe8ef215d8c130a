"""One measurement, in the process that asks for it: build, warm up, time, count."""

import gc
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmext.analysis.flop_report import OWN_OPERATORS
from mmext.analysis.flops import AnalysisError, count_flops
from mmext.analysis.model_from_config import build_model, input_size, load_config, toolbox_of
from mmext.analysis.speed.environment import busy_note, commit_of, name_of, versions
from mmext.analysis.speed.memory import PeakMemory
from mmext.analysis.speed.records import STAGES, SpeedRecord
from mmext.analysis.speed.subject import Subject, build_pipeline, picture_files, render_noise
from mmext.analysis.speed.timing import StageClock, WarmUp, seconds_of, timing_of, waiter, warm_up
from mmext.common.checkpoint_trust import trust
from mmext.common.config_files import building
from mmext.common.prediction.predictor import TASKS, load_weights
from mmext.common.provenance import device_name

# Notes on the count of multiply-adds begin so; they go with the count where another measurement takes it over.
MACS_NOTE = 'MACs: '
# The network is warm when the path is timed; its files and threads need less.
PATH_WARM_UP = 4
NOISE_FILES = 8


@dataclass(frozen=True)
class SpeedSettings:
    """What to measure.

    Attributes:
        config: Path of a config.
        shape_hw: What the network sees; None takes what the config's test run shows it.
        batch: Images at a time.
        device: Of torch; None is the GPU if there is one.
        precision: 'fp32', 'bf16' or 'fp16'.
        compiled: Whether to use torch.compile.
        channels_last: Whether to use that memory format.
        repeats: Passes to time.
        images: Folder of pictures for the whole path; None renders noise.
        checkpoint: Weights; None is random ones.
        trusted: SHA-256 of checkpoints that may run code.
        cost: Parameters, multiply-adds and notes of an earlier measurement of this model and shape.
    """

    config: str
    shape_hw: tuple[int, int] | None = None
    batch: int = 1
    device: str | None = None
    precision: str = 'fp32'
    compiled: bool = False
    channels_last: bool = False
    repeats: int = 20
    images: str | None = None
    checkpoint: str | None = None
    trusted: tuple[str, ...] = ()
    cost: tuple[int, int | None, tuple[str, ...]] | None = None

    def record(self, **known: Any) -> SpeedRecord:
        """A record of these settings with whatever else is known."""
        return SpeedRecord(
            name_of(self.config),
            self.shape_hw,
            self.batch,
            self.device or '',
            self.precision,
            self.compiled,
            self.channels_last,
            datetime.now(timezone.utc).isoformat(timespec='seconds'),
            **known,
        )


def measure(settings: SpeedSettings) -> SpeedRecord:
    """Measures in this process, whose memory and caches are part of the result: use a fresh one for each.

    Never raises for what a config, a model or the machine does: the record says it in ``error``.
    """
    record = settings.record()
    try:
        for digest in settings.trusted:
            trust(digest)
        config = load_config(settings.config)
        device = _available(settings.device or get_device())
        record = replace(record, device=str(device), shape_hw=settings.shape_hw or input_size(config)[0])
        record = _described(record, config, device, settings)
        record = _measured(record, config, device, settings)
    # Any model may raise anything; the other measurements go on.
    except Exception as error:
        record = replace(record, error=why(error, settings.compiled, settings.precision))
    return replace(record, timestamp=datetime.now(timezone.utc).isoformat(timespec='seconds'))


def why(error: Exception, compiled: bool = False, precision: str = 'fp32') -> str:
    """An error in one line; lack of memory, of a compiler and of an operator for a precision by their names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no message']
    text = lines[0]
    lowered = str(error).lower()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in lowered:
        return f'out of memory: {text}; try a smaller --shape or --batch'
    if compiled and type(error).__module__.partition('.')[2].startswith(('_dynamo', '_inductor')):
        return f'--compile: {text}; torch.compile needs a C++ compiler (CPU) or triton (GPU) that works'
    if precision != 'fp32' and re.search(r'scalar type|not implemented for|same dtype', text):
        return f'--precision {precision}: an operator of the model has none for it on this device ({text})'
    # These come with a message that names file, value and fix.
    return text if isinstance(error, AnalysisError | OSError) else f'{type(error).__name__}: {text}'


def _available(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # torch raises AssertionError where it was built without CUDA, and RuntimeError for a number that is not there.
    except (RuntimeError, AssertionError) as error:
        raise AnalysisError(f'--device {name}: not on this machine ({str(error).splitlines()[0]})') from error
    return device


def _described(record: SpeedRecord, config: Config, device: torch.device, settings: SpeedSettings) -> SpeedRecord:
    """Adds what was known before the measurement, and settles what the config leaves open."""
    toolbox, notes = toolbox_of(config), list(filter(None, [busy_note()]))
    if (config.model.get('test_cfg') or {}).get('mode') == 'slide':
        config.model.test_cfg.mode = 'whole'
        notes.append('the config tests by a sliding window; timed is one pass over the whole shape')
    if device.type == 'cuda':
        torch.backends.cudnn.benchmark = bool((config.get('env_cfg') or {}).get('cudnn_benchmark'))
        tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        notes.append(
            f'cudnn.benchmark {torch.backends.cudnn.benchmark}, TF32 in convolutions {tf32[0]}, in products {tf32[1]}'
        )
    if config.get('data_preprocessor') is not None:  # a Runner hands it to the model in this way
        config.model.setdefault('data_preprocessor', config.data_preprocessor)
    return replace(
        record,
        task=TASKS[toolbox],
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        versions=versions(toolbox),
        commit=commit_of(),
        weights=settings.checkpoint or 'random',
        notes=tuple(notes),
    )


def _measured(record: SpeedRecord, config: Config, device: torch.device, settings: SpeedSettings) -> SpeedRecord:
    toolbox = toolbox_of(config)
    # Importing them later would count as memory of the model.
    import_module(f'{toolbox}.models')
    with building(settings.config):
        load, prepare = build_pipeline(config, record.shape_hw)
    memory = PeakMemory(device)
    with building(settings.config):
        model = build_model(config)
    params = sum(parameter.numel() for parameter in model.parameters())
    if settings.checkpoint:
        load_weights(model, settings.checkpoint)
    subject = Subject(
        model.to(device), toolbox, load, prepare, settings.precision, settings.channels_last, settings.compiled
    )
    del model
    record = replace(_timed(record, subject, memory, settings), params=params)
    del subject
    gc.collect()
    macs, notes = _macs(config, device, record, settings)
    return replace(record, macs=macs, notes=(*record.notes, *notes))


def _timed(record: SpeedRecord, subject: Subject, memory: PeakMemory, settings: SpeedSettings) -> SpeedRecord:
    """Adds the network alone, its memory, and the whole path."""
    batch, wait = settings.batch, waiter(subject.device)
    images = subject.images(batch, record.shape_hw)

    def network() -> float:
        return seconds_of(lambda: subject.network(images), wait)

    warmed = warm_up(network)
    memory.restart()
    seconds = [network() for _ in range(settings.repeats)]
    record = replace(
        record,
        network=timing_of(seconds, batch),
        peak_memory_bytes=memory.read(),
        memory_source=memory.source,
        warmup=warmed.passes,
        stable=warmed.stable,
    )
    with _pictures(settings, record.shape_hw) as (files, what):
        total, stages, path_warmed = time_path(subject, files, batch, settings.repeats)
    notes = () if path_warmed.stable else ('the whole path was still changing its speed when its timing began',)
    return replace(
        record,
        path=timing_of(total, batch),
        stages={name: timing_of(seconds, batch) for name, seconds in stages.items()},
        images=what,
        notes=(*record.notes, *notes),
    )


def time_path(
    subject: Subject, files: Sequence[str], batch: int, repeats: int
) -> tuple[list[float], dict[str, list[float]], WarmUp]:
    """Seconds of whole passes and, by stage, of their parts; the files are taken in turn."""
    clock = StageClock(waiter(subject.device))
    subject.watch_postprocess(clock)
    position = 0

    def one_pass() -> float:
        nonlocal position
        chosen = [files[(position + place) % len(files)] for place in range(batch)]
        position += batch
        clock.reset()
        return seconds_of(lambda: subject.path(chosen, clock), waiter(subject.device))

    warmed = warm_up(one_pass, PATH_WARM_UP)
    total, stages = [], {name: [] for name in STAGES}
    for _ in range(repeats):
        total.append(one_pass())
        for name, seconds in clock.seconds.items():
            stages[name].append(seconds)
    return total, stages, warmed


@contextmanager
def _pictures(settings: SpeedSettings, size_hw: tuple[int, int]) -> Iterator[tuple[list[str], str]]:
    """The files to read, and what they are."""
    if settings.images:
        files = picture_files(settings.images)
        yield files, f'{len(files)} pictures of {settings.images}'
        return
    with tempfile.TemporaryDirectory() as folder:
        files = render_noise(folder, size_hw, NOISE_FILES)
        yield files, f'{len(files)} rendered JPEG files of {size_hw[0]} x {size_hw[1]} smooth noise'


def _macs(
    config: Config, device: torch.device, record: SpeedRecord, settings: SpeedSettings
) -> tuple[int | None, list[str]]:
    """Multiply-adds of one image and what is to be known about them; counted on a model of its own, in fp32."""
    if settings.cost:
        return settings.cost[1], list(settings.cost[2])
    try:
        report = count_flops(build_model(config).to(device), record.shape_hw, toolbox=toolbox_of(config))
    except (AnalysisError, torch.OutOfMemoryError) as error:
        return None, [f'{MACS_NOTE}not counted: {why(error)}']
    # A note on a row of its table says nothing here.
    notes = [note for note in report.notes if not note.startswith(OWN_OPERATORS)]
    if report.unknown:
        notes.append(f'without operators of unknown cost: {", ".join(report.unknown)}')
    return report.macs, [f'{MACS_NOTE}{note}' for note in notes]
