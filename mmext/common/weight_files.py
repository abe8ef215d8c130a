"""Reads and writes files of weights without running anything that they contain.

A torch checkpoint is a pickle, and unpickling can run any code. Files from elsewhere are therefore read with torch's
restricted unpickler or as safetensors, and never otherwise.
"""

import json
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mmext.common.files import replacing

TORCH_SUFFIXES = ('.pth', '.pt', '.bin')
SAFETENSORS_SUFFIX = '.safetensors'
# Training frameworks put the weights under one of these keys, beside optimiser state and settings.
WRAPPERS = ('state_dict', 'model_state_dict', 'model_state', 'model')
# What a NumPy number is made of. Building one runs nothing; NumPy 1 and 2 name the function differently.
NUMPY_NUMBERS = [
    *((np.float64(0).__reduce__()[0], f'numpy.{module}.multiarray.scalar') for module in ('core', '_core')),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('f4', 'f8', 'i4', 'i8')),
]
# How torch's restricted unpickler names the object that it refuses.
REFUSED_GLOBAL = re.compile(r'GLOBAL ([\w.]+)')


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message names the file, the value and the fix."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a torch checkpoint (zip or older pickle) or a safetensors file, on the CPU.

    The format is told by the first bytes, not by the suffix: `.bin` is used for both. A checkpoint that keeps its
    weights under `state_dict`, `model_state_dict`, `model_state` or `model` is unwrapped, and a `module.` prefix that
    all names share (left by data-parallel training) is cut off. Entries that are no tensors are left out; plain NumPy
    numbers, which scores are saved as, may be among them.

    Args:
        path: The file.

    Returns:
        Name -> tensor, in the file's order.

    Raises:
        WeightsError: The file is missing, damaged, of another format, holds no tensor, or holds objects that only full
            unpickling would load.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f'{path}: no such file. Fix: check the path.')
    with path.open('rb') as file:
        head = file.read(16)
    if head[8:9] == b'{':
        content = _read_safetensors(path)
    elif head[:2] == b'PK' or head[:1] == b'\x80':
        content = _read_torch(path)
    else:
        raise WeightsError(f'{path}: {_what_else(head)}. Fix: fetch the weights themselves (.pth, .bin, .safetensors).')
    return _unwrap(path, content)


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


def _read_safetensors(path: Path) -> Mapping:
    try:
        return load_file(path, device='cpu')
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> Mapping:
    try:
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        refused = REFUSED_GLOBAL.search(str(error))
        if not refused:
            raise _damaged(path, error) from error
        raise WeightsError(
            f'{path}: refused, it holds the Python object {refused[1]!r}, and loading that could run code. '
            'Fix: use the safetensors version of the weights, or have whoever made the file save its state dict alone.'
        ) from error
    # What a cut or garbled file raises depends on where it is cut.
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return WeightsError(
        f'{path}: truncated or damaged ({path.stat().st_size} bytes; {reason[0]}). '
        'Fix: fetch the file again and compare its size and SHA-256 with the published ones.'
    )


def _what_else(head: bytes) -> str:
    """Names what people most often have instead of weights."""
    if not head:
        return 'the file is empty'
    if head.startswith(b'version https:/'):
        return 'a Git LFS pointer, not the weights (git lfs pull fetches them)'
    if head.lstrip()[:1] == b'<':
        return 'a web page, not weights (a download link that led to a log-in or error page)'
    return f'neither a torch checkpoint nor safetensors (first bytes {head[:8]!r})'


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
