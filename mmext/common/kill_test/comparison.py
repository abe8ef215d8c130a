"""What tells the results of two trainings apart, to the last bit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmext.common.checkpoint_files import find_resumable
from mmext.common.checkpoints import read_checkpoint

# Of a checkpoint; the rest tells times and paths.
COMPARED = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'process_states')
TIMINGS = ('time', 'data_time', 'memory')


def differences(one: str | Path, two: str | Path) -> list[str]:
    """Where two finished trainings differ: last and best checkpoints, scalars by step; empty if nowhere.

    Args:
        one: Work dir.
        two: Work dir, of a run that was interrupted any number of times: what it logged twice must be the same twice.
    """
    one, two = Path(one), Path(two)
    last = [find_resumable(folder)[0] for folder in (one, two)]
    if None in last or last[0].name != last[1].name:
        return [f'last checkpoint: {" and ".join(path.name if path else "none" for path in last)}']
    found = []
    bests = [sorted(path.name for path in folder.glob('best_*.pth')) for folder in (one, two)]
    if bests[0] != bests[1]:
        found.append(f'best checkpoints: {bests[0]} and {bests[1]}')
    for name in [last[0].name, *(name for name in bests[0] if name in bests[1])]:
        checkpoints = [read_checkpoint(folder / name) for folder in (one, two)]
        parts = [{key: each[key] for key in COMPARED if key in each} for each in checkpoints]
        found += [f'{name}: {place}' for place in unequal(*parts)]
    found += [f'scalars: {text}' for text in _unequal_scalars(scalars(one), scalars(two))]
    return found


def unequal(one: Any, two: Any, place: str = '') -> Iterator[str]:
    """Places in nested values where they are not the same in type, shape or any bit."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        if one.dtype != two.dtype or one.shape != two.shape or _bits(one) != _bits(two):
            yield place
    elif isinstance(one, Mapping) and isinstance(two, Mapping):
        for key in [*one, *(key for key in two if key not in one)]:
            if key in one and key in two:
                yield from unequal(one[key], two[key], f'{place}.{key}' if place else str(key))
            else:
                yield f'{place}.{key} (in one only)'
    elif isinstance(one, Sequence) and isinstance(two, Sequence) and not isinstance(one, str):
        if len(one) != len(two):
            yield f'{place} (lengths {len(one)} and {len(two)})'
        for index, (left, right) in enumerate(zip(one, two, strict=False)):
            yield from unequal(left, right, f'{place}.{index}')
    elif isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        if not np.array_equal(one, two):
            yield place
    elif repr(one) != repr(two):
        yield f'{place} ({one!r} and {two!r})'


def scalars(work_dir: Path) -> dict[tuple[int, str], set[str]]:
    """(step, name) -> every value logged there, as text, by a run and those that went on from it; without timings."""
    found: dict[tuple[int, str], set[str]] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                values = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a run that was killed
            for name, value in values.items():
                if name not in TIMINGS:
                    found.setdefault((values['step'], name), set()).add(repr(value))
    return found


def _unequal_scalars(one: Mapping, two: Mapping) -> Iterator[str]:
    for step, name in sorted({*one, *two}):
        left, right = (sorted(each.get((step, name), {'missing'})) for each in (one, two))
        if left != right:
            yield f'{name} at step {step}: {", ".join(left)} and {", ".join(right)}'


def _bits(value: torch.Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
