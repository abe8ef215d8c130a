"""Many measurements, each in a fresh process, so that neither memory nor caches of one reach into the next.

A process costs its start: 10 to 20 seconds for the imports and the building of the model.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmext.analysis.speed.environment import PROJECT
from mmext.analysis.speed.measure import MACS_NOTE, SpeedSettings
from mmext.analysis.speed.records import STAGES, SpeedRecord, Timing, append_speed_record, read_speed_records

# Where the schedule begins in the name of a config.
SCHEDULE = re.compile(r'_\d+xb\d+-')
# Columns that no table needs.
UNLIMITED = 10_000


def combinations(
    configs: Sequence[str],
    checkpoints: Sequence[str],
    batches: Sequence[int],
    precisions: Sequence[str],
    compiled: bool,
    channels_last: bool,
    **shared: object,
) -> list[SpeedSettings]:
    """Every config with every setting; what is compiled or in another memory format also without.

    Args:
        configs: Paths.
        checkpoints: One a config, or none.
        shared: Other fields of the settings.

    Raises:
        ValueError: as many checkpoints as configs, or none, were expected.
    """
    if checkpoints and len(checkpoints) != len(configs):
        raise ValueError(f'--checkpoint: {len(checkpoints)} for {len(configs)} configs; give one each, in their order')
    models = zip(configs, checkpoints or [None] * len(configs), strict=True)
    formats, ways = [False, True][: 1 + channels_last], [False, True][: 1 + compiled]
    return [
        SpeedSettings(
            config=str(config),
            checkpoint=checkpoint,
            batch=batch,
            precision=precision,
            compiled=way,
            channels_last=memory_format,
            **shared,
        )
        for (config, checkpoint), batch, precision, memory_format, way in product(
            models, batches, precisions, formats, ways
        )
    ]


def measure_all(
    settings: Iterable[SpeedSettings],
    out: str | Path,
    measure_one: Callable[[SpeedSettings], SpeedRecord] | None = None,
    tell: Callable[[str], object] = print,
) -> list[SpeedRecord]:
    """Measures one after the other; each record is in the file before the next begins.

    The multiply-adds of a model and shape are counted once.
    """
    measure_one = measure_one or measure_apart
    records: list[SpeedRecord] = []
    costs: dict[tuple, tuple[int, int | None, tuple[str, ...]]] = {}
    for one in settings:
        key = one.config, one.shape_hw
        tell(f'{label(one)} ...')
        record = measure_one(replace(one, cost=costs.get(key)))
        if not record.error:
            notes = tuple(note for note in record.notes if note.startswith(MACS_NOTE))
            costs[key] = record.params, record.macs, notes
        tell(f'  {result_line(record)}')
        append_speed_record(out, record)
        records.append(record)
    return records


def measure_apart(settings: SpeedSettings) -> SpeedRecord:
    """Measures in a fresh process; one that is killed becomes a record with that error."""
    paths = [str(PROJECT), os.environ.get('PYTHONPATH')]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'record.jsonl'
        command = [sys.executable, '-m', 'mmext.analysis.speed.worker', json.dumps(asdict(settings)), str(file)]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode == 0 and file.is_file():
            return read_speed_records(file)[0]
    return settings.record(error=_why_ended(done.returncode, done.stdout.decode(errors='replace')))


def label(settings: SpeedSettings | SpeedRecord) -> str:
    """A combination in one line."""
    size = ' x '.join(map(str, settings.shape_hw)) if settings.shape_hw else 'its own shape'
    return f'{Path(settings.config).stem}, {size}, {setting_text(settings)}'


def setting_text(settings: SpeedSettings | SpeedRecord) -> str:
    """How a combination is run, without what and at which size."""
    parts = [f'batch {settings.batch}', settings.precision]
    return ', '.join(parts + ['compiled'] * settings.compiled + ['channels last'] * settings.channels_last)


def result_line(record: SpeedRecord) -> str:
    """What came out, in one line."""
    if record.error:
        return f'error: {record.error}'
    return (
        f'network {record.network.p50_ms:.1f} ms, path {record.path.p50_ms:.1f} ms a batch, '
        f'{record.network.images_per_s:.2f} images/s' + ('' if record.stable else ' (times were not stable)')
    )


def short_names(configs: Iterable[str]) -> dict[str, str]:
    """Config -> its file's name without the schedule and the data.

    ``{algorithm}_{backbone}_{gpus}xb{batch}-{schedule}_{dataset}-{size}`` becomes ``{algorithm}_{backbone}``; names
    that would then be the same stay whole.
    """
    stems = {config: Path(config).stem for config in configs}
    short = {stem: SCHEDULE.split(stem)[0] for stem in stems.values()}
    counts = Counter(short.values())
    return {config: short[stem] if counts[short[stem]] == 1 else stem for config, stem in stems.items()}


def print_speed_table(records: Sequence[SpeedRecord], console: Console) -> None:
    """Prints the records of one run, each in a line; nothing is folded or cut off, however narrow the console is."""
    table = speed_table(records)
    console.width = max(console.width, console.measure(table, options=console.options.update(width=UNLIMITED)).maximum)
    console.print(table)


def speed_table(records: Sequence[SpeedRecord]) -> Table:
    """The records of one run, for the screen."""
    table = Table(title='Milliseconds a batch, p50 / p95', title_justify='left')
    table.add_column('config')
    table.add_column('setting')
    for name in ('network alone', 'images/s', 'whole path', 'images/s', *STAGES, 'peak MiB', 'M params', 'GMACs'):
        table.add_column(name, justify='right')
    names = short_names(record.config for record in records)
    for record in records:
        size = f'{record.shape_hw[0]} x {record.shape_hw[1]}, ' if record.shape_hw else ''
        name, setting = escape(names[record.config]), f'{size}{setting_text(record)}'
        if record.error:
            table.add_row(name, setting, 'failed', style='red')
            continue
        figures = []
        for timing in (record.network, record.path):
            figures += [_ms(timing), f'{timing.images_per_s:.2f}']
        figures += [_ms(record.stages[stage]) for stage in STAGES]
        memory = '-' if record.peak_memory_bytes is None else f'{record.peak_memory_bytes / 2**20:.0f}'
        macs = '-' if record.macs is None else f'{record.macs / 1e9:.3f}'
        table.add_row(name, setting, *figures, memory, f'{record.params / 1e6:.3f}', macs)
    return table


def facts(records: Sequence[SpeedRecord]) -> list[str]:
    """What the table has no column for, each thing once."""
    found = []
    for record in records:
        if not record.error:
            versions = ', '.join(f'{name} {version}' for name, version in record.versions.items())
            found += [
                f'device: {record.device} ({record.device_name}), {record.threads} threads',
                f'versions: {versions}',
                f'path: {record.images}; one batch after the other, nothing overlapped',
                f'peak memory: {record.memory_source}',
                *(f'note: {note}' for note in record.notes),
            ]
    return list(dict.fromkeys(found))


def _ms(timing: Timing) -> str:
    return f'{timing.p50_ms:.1f} / {timing.p95_ms:.1f}'


def _why_ended(code: int, output: str) -> str:
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), '')
    if code >= 0:
        return f'the process ended with status {code}: {last or "it printed nothing"}'
    name = signal.Signals(-code).name
    memory = '; most likely out of memory: try a smaller --shape or --batch' if name == 'SIGKILL' else ''
    return f'the process was ended by {name}{memory}'
