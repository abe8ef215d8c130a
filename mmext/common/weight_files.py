"""The tensors of files of weights: read by `read_checkpoint`, which runs nothing that they contain, and written."""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mmext.common.checkpoint_container import WeightsError
from mmext.common.checkpoints import read_checkpoint
from mmext.common.files import replacing

__all__ = ['WRAPPERS', 'WeightsError', 'read_state_dict', 'write_state_dict']

TORCH_SUFFIXES = ('.pth', '.pt', '.bin')
SAFETENSORS_SUFFIX = '.safetensors'
# Training frameworks put the weights under one of these keys, beside optimiser state and settings.
WRAPPERS = ('state_dict', 'model_state_dict', 'model_state', 'model')


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a torch checkpoint (zip or older pickle) or a safetensors file, on the CPU.

    The format is told by the first bytes, not by the suffix: `.bin` is used for both. A checkpoint that keeps its
    weights under `state_dict`, `model_state_dict`, `model_state` or `model` is unwrapped, and a `module.` prefix that
    all names share (left by data-parallel training) is cut off. Entries that are no tensors are left out.

    Args:
        path: The file.

    Returns:
        Name -> tensor, in the file's order.

    Raises:
        WeightsError: As `read_checkpoint`, or the file holds no tensor.
    """
    return _unwrap(Path(path), read_checkpoint(path))


def write_state_dict(path: str | Path, state_dict: Mapping[str, Tensor], meta: Mapping | None = None) -> None:
    """Writes a checkpoint whole or not at all: to a temporary file beside it, which is then renamed.

    Args:
        path: `.pth`, `.pt` or `.bin` for a checkpoint `dict(state_dict=..., meta=...)` as mmengine loads it,
            `.safetensors` for bare tensors with `meta` as JSON in the header.
        state_dict: Name -> tensor.
        meta: Plain values that describe the weights.

    Raises:
        WeightsError: The suffix is another one.
    """
    path = Path(path)
    if path.suffix not in (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX):
        known = ', '.join((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX))
        raise WeightsError(f'{path}: cannot tell the format from the suffix {path.suffix!r}. Fix: use one of {known}.')
    # Copies: a view would drag its whole storage into a torch file, and safetensors refuses shared storage.
    tensors = OrderedDict((name, tensor.detach().cpu().contiguous().clone()) for name, tensor in state_dict.items())
    with replacing(path) as unfinished:
        if path.suffix == SAFETENSORS_SUFFIX:
            # Not save_file: it makes files that only their owner can read.
            unfinished.write_bytes(save(tensors, metadata={'format': 'pt', 'meta': json.dumps(meta or {})}))
        else:
            torch.save({'state_dict': tensors, 'meta': dict(meta or {})}, unfinished)
        with unfinished.open('rb+') as file:
            os.fsync(file.fileno())


def _unwrap(path: Path, content: object) -> dict[str, Tensor]:
    """The tensors of a loaded file, out of the wrappers that training frameworks put around them."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {name: value for name, value in content.items() if isinstance(name, str) and torch.is_tensor(value)}
    if not tensors:
        found = f'keys {list(content)[:5]}' if isinstance(content, Mapping) else f'a {type(content).__name__}'
        raise WeightsError(f'{path}: holds no tensors ({found}). Fix: give a file that holds a state dict.')
    if all(name.startswith('module.') for name in tensors):
        tensors = {name.removeprefix('module.'): value for name, value in tensors.items()}
    return tensors
