"""Reads NumPy's `.npz` files, which JAX models are published in, without running anything that they contain."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmext.common.weight_files import WeightsError, read_state_dict

# What a cut or garbled file raises depends on where it is cut; MemoryError comes of a header that promises more than
# there is, the last two are raised by a bare array (.npy).
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError, LookupError, OSError, MemoryError),
    *(NotImplementedError, TypeError, AttributeError),
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Reads a torch checkpoint, a safetensors file or an npz file; told by the content, not by the suffix.

    Args:
        path: The file.

    Returns:
        Name -> tensor, in the file's order, on the CPU.

    Raises:
        WeightsError: See `read_state_dict` and `read_npz`.
    """
    return read_npz(path) if _is_npz(Path(path)) else read_state_dict(path)


def read_npz(path: str | Path) -> dict[str, Tensor]:
    """Reads the arrays of an npz file.

    Args:
        path: The file, compressed or not.

    Returns:
        Name -> tensor, in the file's order.

    Raises:
        WeightsError: The file is missing, damaged, no npz file, empty, or holds something else than numbers - Python
            objects above all, which only unpickling would load.
    """
    path, tensors = Path(path), {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                tensors[name] = _tensor(path, name, arrays)
    except WeightsError:
        raise
    except FileNotFoundError as error:
        raise WeightsError(f'{path}: no such file. Fix: check the path.') from error
    except DAMAGE as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise WeightsError(
            f'{path}: no npz file, or damaged ({path.stat().st_size} bytes; {reason[0]}). '
            'Fix: fetch the file again and compare its size and SHA-256 with the published ones.'
        ) from error
    if not tensors:
        raise WeightsError(f'{path}: holds no arrays. Fix: give a file that holds weights.')
    return tensors


def _tensor(path: Path, name: str, arrays: Mapping) -> Tensor:
    """One array as a tensor of its own."""
    try:
        array = arrays[name]
    except ValueError as error:
        # NumPy has no error class of its own for this refusal.
        if 'allow_pickle' not in str(error):
            raise
        raise WeightsError(
            f'{path}: refused, the array {name!r} holds Python objects, and loading them could run code. '
            'Fix: have whoever made the file save its numbers alone.'
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'fiub':
        kind = getattr(array, 'dtype', type(array).__name__)
        raise WeightsError(f'{path}: the entry {name!r} holds no numbers ({kind}). Fix: give a file of weights.')
    return torch.from_numpy(array.astype(array.dtype.newbyteorder('='), order='C'))


def _is_npz(path: Path) -> bool:
    """Whether it is a zip archive of arrays; a torch checkpoint is a zip archive too."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile:
        return False  # whose reader names the damage
    return bool(members) and all(name.endswith('.npy') for name in members)
