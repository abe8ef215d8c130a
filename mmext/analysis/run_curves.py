"""Reads the scalars that mmengine writes during training (``vis_data/scalars.json``) as curves, for any task.

A line of that file is one JSON object. Lines of training hold ``iter`` - and ``epoch`` where the run counts epochs -
with the learning rate and losses that are means over the last few iterations; lines of `EpochLossesHook` hold
``epoch/<name>`` or ``interval/<name>``; all others come from validations, whose ``step`` is an epoch or an iteration.
Lines with a ``mode``, from `PositionedLocalVisBackend`, are none of training although they hold ``iter`` and ``epoch``.
A resumed run has a folder, and a file, for each of its starts.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmext.common.loss_names import MODE, TOTAL, TWO_STAGE_NAMES, loss_name

SCALARS = Path('vis_data') / 'scalars.json'
TIMESTAMP = re.compile(r'\d{8}_\d{6}')
# What a line says about itself and the machine.
NO_SCORES = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'stage'}
MEANS = ('epoch/', 'interval/')


@dataclass(frozen=True)
class Curve:
    """Values over epochs or iterations, ascending; a value that is no finite number is NaN, a gap in the line."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """The curves of one run.

    Attributes:
        label: What to call it.
        files: What was read, oldest first.
        by_epoch: Whether x counts epochs, from 1, or iterations.
        losses: Part -> training loss, ``total`` among them.
        val_losses: The same of the validations.
        rates: ``lr`` and, where groups of parameters differ, more.
        metrics: Every other number that the validations gave.
        boundaries: Where on x a stage of a staged training ends and the next begins.
        notes: What is to be known about the files.
        keys: All names in the files.
    """

    label: str
    files: tuple[Path, ...]
    by_epoch: bool
    losses: dict[str, Curve] = field(default_factory=dict)
    val_losses: dict[str, Curve] = field(default_factory=dict)
    rates: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    boundaries: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def find_scalars(path: str | Path) -> list[Path]:
    """The files of one run, oldest first: a scalars.json, the folder of one start, or a work dir with several.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    for found in ([path / SCALARS], [path / SCALARS.name], sorted(path.glob(f'*/{SCALARS}'))):
        files = [file for file in found if file.is_file()]
        if files:
            return files
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder; give a work dir, a folder of logs or a scalars.json')
    raise FileNotFoundError(
        f'{path}: holds no {SCALARS}, neither itself nor in its folders; the run logged nothing yet, or its visualizer '
        "has no vis_backends=[dict(type='LocalVisBackend')]"
    )


def read_run(path: str | Path, label: str | None = None) -> Run:
    """Read a run; several starts in one work dir are joined, each overriding what came later than its first step.

    Training losses come from `EpochLossesHook` where it ran; else they are the logged lines, averaged by epoch where
    the run counts epochs, which is near but not the mean of the epoch. A learning rate is that of the last line.

    Args:
        path: As of `find_scalars`.
        label: What to call the run; by default the name of its work dir.

    Raises:
        FileNotFoundError: as `find_scalars`.
        ValueError: a line that is no JSON, but for a last one that a killed run left; or no line at all.
    """
    files, notes, starts = find_scalars(path), [], []
    for file in files:
        rows, note = _read_rows(file)
        notes += [note] if note else []
        trained = any(_is_of_training(row) or _holds_means(row) for row in rows)
        if rows and not trained and len(files) > 1:
            notes.append(f'{file}: left out, it holds no training')
        elif rows:
            starts.append(_placed(rows))
    if not starts:
        raise ValueError(f'{files[-1]}: no scalars in {"any of its files" if len(files) > 1 else "the file"} yet')
    by_epoch = starts[0][0].by_epoch
    if any(start[0].by_epoch != by_epoch for start in starts):
        raise ValueError(f'{path}: some of its runs count epochs, some iterations; give them one by one')
    rows = _joined(starts)
    keys = tuple(dict.fromkeys(key for row in rows for key in row.values))
    label = label or _work_dir(Path(path).resolve()).name
    return Run(label, tuple(files), by_epoch, **_curves(rows, keys), notes=tuple(notes), keys=keys)


def read_runs(paths: Sequence[str | Path], labels: Sequence[str] | None = None) -> list[Run]:
    """Read several runs; without labels they are called after their folders, as far up as tells them apart.

    Raises:
        FileNotFoundError, ValueError: as `read_run`; or there are not as many labels as runs.
    """
    paths = [Path(path) for path in paths]
    if labels is None:
        folders = [_work_dir(path.resolve()) for path in paths]
        depth = max((len(folder.parts) for folder in folders), default=1)
        kept = next((n for n in range(1, depth) if len({f.parts[-n:] for f in folders}) == len(set(folders))), depth)
        labels = ['/'.join(folder.parts[-kept:]) for folder in folders]
        if len(set(labels)) < len(labels):
            labels = [str(path) for path in paths]
    if len(labels) != len(paths):
        raise ValueError(f'{len(labels)} names for {len(paths)} runs; give one a run')
    return [read_run(path, label) for path, label in zip(paths, labels, strict=True)]


def _work_dir(path: Path) -> Path:
    """The folder after which a run is called: not the one of a start, which is a time."""
    path = path.parent if path.name == SCALARS.name else path
    path = path.parent if path.name == SCALARS.parent.name else path
    return path.parent if TIMESTAMP.fullmatch(path.name) else path


@dataclass(frozen=True)
class _Row:
    """A line: its numbers and its place on x; ``kind`` is train, means or val."""

    kind: str
    x: float
    by_epoch: bool
    values: dict[str, float]


def _read_rows(file: Path) -> tuple[list[dict], str]:
    """Numbers of each line, with its mode, and a note on a broken last line."""
    lines = [line for line in file.read_text(encoding='utf-8', errors='replace').split('\n') if line.strip('\0 \t\r')]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError(type(row).__name__)
        except (ValueError, TypeError) as error:
            # The file of a run that was killed may end in the middle of a line.
            if number == len(lines) and number > 1:
                return rows, f'{file}: line {number}, the last one, is cut off and left out'
            raise ValueError(
                f'{file}: line {number} is no JSON object ({line[:40]!r}); give the scalars.json of mmengine'
            ) from error
        rows.append({key: value for key, value in row.items() if type(value) in (int, float) or key == MODE})
    return rows, ''


def _placed(rows: list[dict]) -> list[_Row]:
    """Rows with their place on x. A validation's step may be an epoch, an iteration or nothing, so order helps."""
    by_epoch = any(
        ('epoch' in row and _is_of_training(row)) or any(key.startswith('epoch/') for key in row) for row in rows
    )
    # A log processor may write train/loss and val/val/loss in place of loss and val/loss.
    hierarchy = any(key.startswith('train/') for row in rows for key in row)
    placed, epoch, iteration = [], None, None
    for row in rows:
        if _is_of_training(row):
            epoch, iteration = row.get('epoch', epoch), row['iter']
            values = {key.removeprefix('train/'): value for key, value in row.items()}
            placed.append(_Row('train', epoch if by_epoch else iteration, by_epoch, values))
            continue
        step = row.get('step', 0)
        row = {key: value for key, value in row.items() if key != MODE}
        if _holds_means(row):
            placed.append(_Row('means', step, by_epoch, row))
            continue
        # In epochs the step may still be an iteration; in iterations mmengine's default is an epoch, which stays 0.
        in_epochs = step if epoch is None or step <= epoch else epoch
        place = row.get('epoch', in_epochs) if by_epoch else row.get('iter', step or iteration or 0)
        values = {key.removeprefix('val/') if hierarchy else key: value for key, value in row.items()}
        placed.append(_Row('val', place, by_epoch, values))
    return placed


def _is_of_training(row: Mapping[str, Any]) -> bool:
    """Whether a line is one that mmengine writes while it trains."""
    return 'iter' in row and MODE not in row


def _holds_means(row: dict) -> bool:
    return any(key.startswith(MEANS) for key in row)


def _joined(starts: Sequence[list[_Row]]) -> list[_Row]:
    rows: list[_Row] = []
    for start in starts:
        # Not the validations: a run may begin with one, of the weights that it starts from.
        begin = min((row.x for row in start if row.kind != 'val'), default=-math.inf)
        rows = [row for row in rows if row.x < begin] + start
    return rows


def _curves(rows: Sequence[_Row], keys: Sequence[str]) -> dict:
    train = [row for row in rows if row.kind == 'train']
    means = [row for row in rows if row.kind == 'means']
    names = TWO_STAGE_NAMES if 'loss_rpn_cls' in keys else None
    mean_rows = [(row.x, {key.split('/', 1)[1]: v for key, v in row.values.items() if '/' in key}) for row in means]
    logged_losses = [
        (row.x, {loss_name(key, names): value for key, value in row.values.items() if 'loss' in key}) for row in train
    ]
    logged_rates = [(row.x, {key: value for key, value in row.values.items() if _is_rate(key)}) for row in train]
    mean_losses = [(x, {key: value for key, value in row.items() if not _is_rate(key)}) for x, row in mean_rows]
    mean_rates = [(x, {key: value for key, value in row.items() if _is_rate(key)}) for x, row in mean_rows]
    val_losses, metrics = [], []
    for row in rows:
        if row.kind == 'val':
            parts = {key: value for key, value in row.values.items() if key.startswith('val/') or key == 'val_loss'}
            val_losses.append((row.x, {_val_name(key): value for key, value in parts.items()}))
            left = row.values.keys() - parts.keys() - NO_SCORES
            metrics.append((row.x, {key: value for key, value in row.values.items() if key in left}))
    return dict(
        losses=_gather(mean_losses) or _gather(logged_losses, mean=True),
        rates=_gather(mean_rates) or _gather(logged_rates),
        val_losses=_gather(val_losses),
        metrics=_gather(metrics),
        boundaries=_boundaries(train),
    )


def _is_rate(key: str) -> bool:
    """``lr``, ``lr_2``, ``generator.lr``; not mmengine's ``base_lr``, which belongs to no parameter."""
    last = key.split('.')[-1]
    return last == 'lr' or last.startswith('lr_')


def _val_name(key: str) -> str:
    return TOTAL if key in ('val/loss', 'val_loss') else loss_name(key.removeprefix('val/'))


def _gather(rows: Sequence[tuple[float, dict[str, float]]], mean: bool = False) -> dict[str, Curve]:
    """Name -> curve. Of several values at one x the last is taken, or their mean."""
    found: dict[str, dict[float, list[float]]] = {}
    for x, values in rows:
        for key, value in values.items():
            found.setdefault(key, {}).setdefault(x, []).append(value if math.isfinite(value) else math.nan)
    curves = {}
    for key, points in found.items():
        points = dict(sorted(points.items()))
        values = [sum(point) / len(point) if mean else point[-1] for point in points.values()]
        curves[key] = Curve(tuple(points), tuple(values))
    return curves


def _boundaries(train: Sequence[_Row]) -> tuple[float, ...]:
    """Half a step in front of each line whose stage is not that of the line before."""
    staged = [(row.x, row.values['stage']) for row in train if 'stage' in row.values]
    return tuple((before + x) / 2 for (before, stage), (x, other) in pairwise(staged) if stage != other)
