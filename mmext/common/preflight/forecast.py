"""How long a training, its validations and its tests will take on this machine, and how much memory a step needs."""

import copy
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmext.common.undisturbed import evaluating

from .config_facts import batch_size, run_length, transforms, type_name
from .finding import NOT_RUN, PASS, Finding
from .overfitting import Overfit, overfit
from .schedule_trace import parts_of
from .subject import Subject, build_dataset, draw_batch, images_of

GIB = 2**30
TTA_BUDGET_S = 15.0  # a longer one is not measured but computed from its pixels


@contextmanager
def peak_memory(found: dict[str, float]) -> Iterator[None]:
    """Writes the most memory held inside into ``found['bytes']``: of the GPU, or of this process.

    The peak of a process is reset where Linux lets it; elsewhere it is that since its start.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield
        found['bytes'] = torch.cuda.max_memory_allocated()
        return
    with suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
    yield
    found['bytes'] = _peak_of_process()


def _peak_of_process() -> int:
    status = Path('/proc/self/status')
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM'):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def validations(cfg: Config) -> int:
    """Number of validations of a run, the one at its end included."""
    length, settings = run_length(cfg), cfg.get('train_cfg') or {}
    if length is None or cfg.get('val_cfg') is None:
        return 0
    total, in_epochs = length
    interval, begin = settings.get('val_interval', 1 if in_epochs else 1000), settings.get('val_begin', 1)
    moments = {moment for moment in range(interval, total + 1, interval) if moment >= begin}
    return len(moments | {total} if begin <= total else moments)


def view_scales(pipeline: Any) -> list[tuple[int, int]]:
    """(width, height) of every view of a test-time augmentation; (0, 0) for a view without a resize."""
    steps = [step for step in transforms(pipeline) if type_name(step) == 'TestTimeAug']
    if not steps:
        return []
    views: list[tuple[int, int]] = [(0, 0)]
    for alternatives in steps[0]['transforms']:
        sizes = [each.get('scale') if type_name(each) == 'Resize' else None for each in alternatives]
        views = [tuple(size) if size is not None else view for view in views for size in sizes]
    return views


def seconds_an_image(model: torch.nn.Module, batch: Any, step: str) -> float:
    """Of the second of two predictions."""
    with evaluating(model):
        for _ in range(2):
            begin = time.perf_counter()
            getattr(model, step)(copy.deepcopy(batch))
            if torch.cuda.is_available():
                torch.cuda.synchronize()
    return (time.perf_counter() - begin) / images_of(batch)


def check_forecast(subject: Subject, courses: list[Overfit], peak: Mapping[str, float]) -> list[Finding]:
    """Time and memory of training, validation and test-time augmentation.

    Args:
        subject: What is trained.
        courses: Trainings on its batch, of which the times are taken; a short one is run where there are none.
        peak: Memory during these, in bytes.
    """
    cfg, memory = subject.cfg, dict(peak)
    seconds = [each for course in courses for each in course.seconds[1:] or course.seconds]
    if not seconds:
        with peak_memory(memory):
            course = overfit(subject.model, subject.batch, 2, 1e-6, 30.0)
        seconds = course.seconds[1:] or course.seconds
    if not seconds:
        return [Finding('forecast', NOT_RUN, 'no step of the training was finished, so there is nothing to measure')]
    images, begin = images_of(subject.batch), time.perf_counter()
    for index in range(4):
        subject.dataset[index % len(subject.dataset)]
    load = (time.perf_counter() - begin) / 4
    # One step at the measured size, scaled to the batch of each stage.
    size = batch_size(cfg)
    iterations = sum(part.iterations for part in parts_of(cfg, len(subject.dataset)))
    step = median(seconds) * size / images
    loading = load * size / max(cfg.train_dataloader.get('num_workers', 0), 1)
    training = iterations * max(step, loading)
    found = [_train_finding(iterations, step, loading, training, memory.get('bytes', 0))]
    if cfg.get('val_dataloader') and cfg.get('val_cfg') is not None:
        found += _test_findings(subject, training)
    else:
        found.append(Finding('forecast', NOT_RUN, 'the config has no validation, so predictions are not measured'))
    return found


def _train_finding(iterations: int, step: float, loading: float, total: float, memory: float) -> Finding:
    slow = ': loading is the slower of the two, more num_workers would help' if loading > step else ''
    where = 'GPU memory' if torch.cuda.is_available() else 'memory of the process'
    text = (
        f'training {duration(total)} here: {iterations:,} iterations of {step:.3g} s (loading {loading:.3g} s{slow}); '
        f'{where} at most {memory / GIB:.2f} GiB'
    )
    values = dict(iterations=iterations, step_s=step, loading_s=loading, training_s=total, memory_bytes=memory)
    return Finding('forecast', PASS, text, '', values)


def _test_findings(subject: Subject, training: float) -> list[Finding]:
    cfg, dataset = subject.cfg, build_dataset(subject.cfg, 'val')
    memory: dict[str, float] = {}
    with peak_memory(memory):
        each = seconds_an_image(subject.model, draw_batch(cfg, dataset, 1, 'val'), 'val_step')
    number, images = validations(cfg), len(dataset)
    once, total = images * each, training + number * images * each
    text = (
        f'{number} validations of {images:,} images, {duration(once)} each ({each:.3g} s an image, scores aside); '
        f'all in all {duration(total)}; {memory["bytes"] / GIB:.2f} GiB'
    )
    values = dict(validations=number, images=images, image_s=each, total_s=total, memory_bytes=memory['bytes'])
    return [Finding('forecast', PASS, text, '', values), _tta_finding(subject, images, each)]


def _tta_finding(subject: Subject, images: int, each: float) -> Finding:
    cfg = subject.cfg
    views = view_scales(cfg.get('tta_pipeline'))
    if not views or 'tta_model' not in cfg:
        return Finding('forecast', NOT_RUN, 'no test-time augmentation: the config has no tta_pipeline and tta_model')
    plain = [step.get('scale') for step in transforms(_test_pipeline(cfg)) if type_name(step) == 'Resize']
    base = math.prod(plain[-1]) if plain and plain[-1] else 0
    factor = sum(width * height / base if base and width else 1.0 for width, height in views)
    values, memory = dict(views=len(views), image_s=each * factor, measured=False), {}
    how = 'computed from their pixels'
    if each * factor < TTA_BUDGET_S / 2:
        with peak_memory(memory):
            values.update(image_s=_measure_tta(subject), measured=True)
        how = f'measured, {memory["bytes"] / GIB:.2f} GiB'
    total = images * values['image_s']
    text = (
        f'test-time augmentation with {len(views)} views: {values["image_s"]:.3g} s an image, '
        f'{values["image_s"] / each:.1f} times as long as without ({how}); {duration(total)} for {images:,} images'
    )
    return Finding('forecast', PASS, text, '', values | memory)


def _test_pipeline(cfg: Config) -> Any:
    return cfg.val_dataloader.dataset.get('pipeline') or cfg.get('test_pipeline')


def _measure_tta(subject: Subject) -> float:
    cfg = copy.deepcopy(subject.cfg)
    cfg.val_dataloader.dataset.pipeline = cfg.tta_pipeline
    model = MODELS.build(dict(cfg.tta_model, module=subject.model))
    batch = draw_batch(cfg, build_dataset(cfg, 'val'), 1, 'val')
    with evaluating(model):
        begin = time.perf_counter()
        model.test_step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - begin


def duration(seconds: float) -> str:
    """In the unit that reads best."""
    for unit, name in ((86400, 'days'), (3600, 'hours'), (60, 'minutes')):
        if seconds >= 1.5 * unit:
            return f'{seconds / unit:.1f} {name}'
    return f'{seconds:.1f} s'
