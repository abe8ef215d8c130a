"""Turns a checkpoint into files that cannot run code: its weights as safetensors, the plain rest as JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmext.common.checkpoints import CheckpointError, read_checkpoint
from mmext.common.digests import file_digest
from mmext.common.files import write_json
from mmext.common.weight_files import SAFETENSORS_SUFFIX, WRAPPERS, write_state_dict


@dataclass
class Scrubbed:
    """What became of a checkpoint.

    Attributes:
        weights: The new file of weights.
        rest: The new file of settings and log values.
        tensors: How many tensors are in the former.
        dropped: What is in neither, each with its type, as ``optimizer.state.0.exp_avg (Tensor)``.
    """

    weights: Path
    rest: Path
    tensors: int = 0
    dropped: list[str] = field(default_factory=list)


def scrub(source: str | Path, out: str | Path) -> Scrubbed:
    """Writes ``NAME.safetensors`` and ``NAME.json``, each whole or not at all, and leaves the source as it is.

    The weights file holds the tensors of the checkpoint's state dict and, in its header, its ``meta``: classes, epoch
    and the like. The JSON has all that is plain: ``meta``, the values of the log, and the source's digest. What only a
    resumed training needs - the optimiser's and the schedules' tensors - is in neither.

    Args:
        source: A checkpoint, read by `read_checkpoint`.
        out: A folder, or the weights file's path, which ends in ``.safetensors``.

    Raises:
        CheckpointError: The source cannot be read safely or holds no tensors, or ``out`` is a file of another suffix.
    """
    source, out = Path(source), Path(out)
    target = out if out.suffix == SAFETENSORS_SUFFIX else out / source.with_suffix(SAFETENSORS_SUFFIX).name
    if out.is_file() and target != out:
        raise CheckpointError(f'{out}: is a file. Fix: name a folder, or a file that ends in {SAFETENSORS_SUFFIX}.')
    if target.resolve() == source.resolve():
        raise CheckpointError(f'{target}: is the source itself. Fix: name another folder.')
    content = read_checkpoint(source)
    result = Scrubbed(target, target.with_suffix('.json'))
    wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    state = content if wrapper is None else content[wrapper]
    tensors = {str(name): value for name, value in state.items() if torch.is_tensor(value)}
    if not tensors:
        raise CheckpointError(f'{source}: holds no tensors (keys {list(content)[:5]}). Fix: name a checkpoint.')
    others = {name: value for name, value in state.items() if str(name) not in tensors}
    rest = others if wrapper is None else {key: value for key, value in content.items() if key != wrapper}
    if wrapper and others:
        rest[wrapper] = others
    plain = _plain(rest, '', result.dropped)
    result.tensors = len(tensors)
    write_state_dict(target, tensors, plain.get('meta') if isinstance(plain.get('meta'), dict) else {})
    write_json(result.rest, {'source': source.name, 'sha256': file_digest(source), **plain})
    return result


_DROPPED = object()


def _plain(value: Any, name: str, dropped: list[str]) -> Any:
    """A value as JSON can hold it; what it cannot is left out, and named."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, HistoryBuffer):
        return dict(zip(('values', 'counts'), (_plain(part, name, dropped) for part in value.data), strict=True))
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        found = {str(key): _plain(item, f'{name}.{key}' if name else str(key), dropped) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not _DROPPED}
    if isinstance(value, list | tuple | set):
        found = [_plain(item, f'{name}.{index}', dropped) for index, item in enumerate(value)]
        return [item for item in found if item is not _DROPPED]
    dropped.append(f'{name} ({type(value).__name__})')
    return _DROPPED
