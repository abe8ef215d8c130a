"""Reads what a run left in its work dir. What is missing or broken is noted, and stops nothing."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmext.analysis.run_curves import SCALARS, TIMESTAMP, Run, read_run
from mmext.common.checkpoints import CheckpointError, read_checkpoint

from .config_dump import DumpError, parse_dump, total_steps
from .run_facts import NO_SCORES, RunFacts, Start
from .run_log import config_text, last_step, read_environment

RECORD = 'run.json'
DATA_CHECK = 'data_check.json'
CHECKPOINT = re.compile(r'(iter|epoch)_(\d+)\.pth')


class NoRunError(ValueError):
    """A folder that holds no run; the message names it and says what was expected."""


def read_run_facts(path: str | Path, label: str | None = None) -> RunFacts:
    """Read what a work dir holds; anything but a folder without any trace of a run is accepted.

    Args:
        path: A work dir, or the folder of one start in it.
        label: What to call it; by default its name.

    Raises:
        NoRunError: no such folder, or one that no run wrote to.
    """
    path = Path(path)
    folders = _start_folders(path)
    work_dir = path.parent if folders == [path] and TIMESTAMP.fullmatch(path.resolve().name) else path
    label, notes = label or work_dir.resolve().name, []
    starts = tuple(_read_start(folder, notes) for folder in folders)
    curves = None
    try:
        curves = read_run(path, label)
        notes += curves.notes
    except (OSError, ValueError) as error:
        notes.append(f'no curves: {error}')
    meta = _checkpoint_meta(work_dir, notes)
    trained = [start for start in starts if start.trained] or list(starts)
    planned, unit = total_steps(trained[-1].config) if trained else (None, 'iteration')
    if planned is None and curves is not None:
        unit = 'epoch' if curves.by_epoch else 'iteration'
    return RunFacts(
        path=path,
        label=label,
        config_name=_config_name(work_dir),
        starts=starts,
        curves=curves,
        done=_done(work_dir, folders, curves, unit),
        planned=planned,
        unit=unit,
        data_hash=_data_hash(work_dir, starts, meta),
        checkpoint_meta=meta,
        notes=tuple(dict.fromkeys(notes)),
    )


def read_all(paths: Sequence[str | Path]) -> list[RunFacts]:
    """Read several runs, each once; they are called after their folders, as far up as tells them apart.

    Raises:
        NoRunError: as `read_run_facts`.
    """
    given = {Path(path).resolve(): Path(path) for path in paths}
    depth = max((len(path.parts) for path in given), default=1)
    named = {path: path.parent if TIMESTAMP.fullmatch(path.name) else path for path in given}
    kept = next((n for n in range(1, depth) if len({named[p].parts[-n:] for p in given}) == len(given)), depth)
    labels = ['/'.join(named[path].parts[-kept:]) for path in given]
    if len(set(labels)) < len(labels):
        labels = [str(path) for path in given.values()]
    return [read_run_facts(path, label) for path, label in zip(given.values(), labels, strict=True)]


def read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    """A JSON object; empty, with a note, where there is something else, and without one where there is nothing."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        notes.append(f'{path}: left out, it cannot be read ({error})')
        return {}
    if isinstance(content, dict):
        return content
    notes.append(f'{path}: left out, it is no JSON object')
    return {}


def _start_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise NoRunError(f'{path}: no such folder; give the work dir of a run')
    if (path / SCALARS.parent).is_dir():
        return [path]
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and TIMESTAMP.fullmatch(folder.name))
    if not folders:
        raise NoRunError(
            f'{path}: no run; expected the work dir of tools/train.py with a folder such as 20260101_120000 in it'
        )
    return folders


def _read_start(folder: Path, notes: list[str]) -> Start:
    environment, text = {}, ''
    logs = sorted(folder.glob('*.log'))
    if logs:
        environment = read_environment(logs[0])
        text = logs[0].read_text(encoding='utf-8', errors='replace')
    else:
        notes.append(f'{folder}: no log')
    tested = read_json(folder / f'{folder.name}.json', notes)
    # mmengine says so before the first iteration; a start that failed before it did nothing.
    scalars = folder / SCALARS
    logged = scalars.is_file() and '"iter"' in scalars.read_text(encoding='utf-8', errors='replace')
    trained = logged or 'Checkpoints will be saved to' in text or '(train) [' in text
    return Start(
        folder, trained, _read_config(folder, text, notes), environment, read_json(folder / RECORD, notes),
        {key: float(value) for key, value in tested.items() if type(value) in (int, float) and key not in NO_SCORES},
    )  # fmt: skip


def _read_config(folder: Path, log: str, notes: list[str]) -> dict[str, Any]:
    """From the file that mmengine's visualizer keeps, else from the log."""
    dump = folder / 'vis_data' / 'config.py'
    try:
        text = dump.read_text(encoding='utf-8', errors='replace') if dump.is_file() else config_text(log)
        if text:
            return parse_dump(text, dump if dump.is_file() else folder)
        notes.append(f'{folder}: no config kept')
    except DumpError as error:
        notes.append(f'left out: {error}')
    return {}


def _config_name(work_dir: Path) -> str:
    """mmengine keeps a copy of the config, under its own name, in the work dir."""
    files = sorted(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime)
    return files[-1].stem if files else ''


def _done(work_dir: Path, folders: Sequence[Path], curves: Run | None, unit: str) -> float | None:
    prefix = unit[: len('iter')] if unit == 'iteration' else unit
    found = [CHECKPOINT.fullmatch(path.name) for path in work_dir.glob('*.pth')]
    steps = [float(match[2]) for match in found if match and match[1] == prefix]
    for folder in folders:
        steps += [step for log in folder.glob('*.log') if (step := last_step(log, unit)) is not None]
    if curves is not None and curves.by_epoch == (unit == 'epoch'):
        # Curves of an epoch begin while it lasts; its validation comes at the end.
        steps += [curve.x[-1] for curve in curves.metrics.values()]
        if unit == 'iteration':
            steps += [curve.x[-1] for curve in curves.losses.values()]
    return max((step for step in steps if step > 0), default=None)


def _checkpoint_meta(work_dir: Path, notes: list[str]) -> dict[str, Any]:
    found = sorted(work_dir.glob('*.pth'), key=lambda path: path.stat().st_mtime)
    if not found:
        return {}
    try:
        return dict(read_checkpoint(found[-1], 'meta').get('meta') or {})
    except (CheckpointError, OSError) as error:
        notes.append(f'not read: {error}')
        return {}


def _data_hash(work_dir: Path, starts: Sequence[Start], meta: Mapping[str, Any]) -> str:
    recorded = [start.record.get('data_hash') for start in reversed(starts)]
    checked = read_json(work_dir / DATA_CHECK, []).get('data_hash')
    in_checkpoint = meta.get('data_hash') or {}
    stored = in_checkpoint.get('all') if isinstance(in_checkpoint, Mapping) else in_checkpoint
    return next((str(value) for value in (*recorded, checked, stored) if value), '')
