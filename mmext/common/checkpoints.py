"""Reads checkpoints without running anything that they contain. Every tool of this project reads them here.

A torch checkpoint is a pickle, and unpickling can run any code. `read_checkpoint` reads safetensors, or a pickle with
torch's restricted unpickler and a closed list of names (`checkpoint_objects`), and nothing else: there is no second try
with full unpickling. The only way around is `trust`, by the digest of one file.

Data can do harm too once mmengine uses it: it runs the text of a config that a checkpoint holds, and deletes the
checkpoints that one names as outdated. What it would use so is taken out of its way.
"""

import json
import pickle
import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.torch_version import TorchVersion

from mmext.common.checkpoint_container import CheckpointError, WeightsError, check_zip, damaged, kind_of
from mmext.common.checkpoint_objects import ALLOWED, RefusedObjectError, restored
from mmext.common.checkpoint_schemes import register_loaders
from mmext.common.checkpoint_trust import (
    OPTION,
    add_trust_option,
    apply_trust,
    current_name,
    read_trusted,
    refusal,
    trust,
)

__all__ = [
    'OPTION',
    'CheckpointError',
    'WeightsError',
    'add_trust_option',
    'apply_trust',
    'read_checkpoint',
    'trust',
    'use_safe_loading',
]

# Before, a file could corrupt the memory of the restricted unpickler (CVE-2026-24747, CVE-2025-32434).
SAFE_TORCH = '2.10'
# How torch's restricted unpickler names what it refuses.
REFUSED_GLOBAL = re.compile(r'GLOBAL ([\w.]+(?:\([^)\n]*\))?)')
REFUSED_OPERATION = re.compile(r'(Unsupported operand \d+|Trying to call reduce for [^\n]+|Can only [^\n]+)')
# What a cut or garbled file raises depends on where it is cut.
UNREADABLE = (
    *(RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, MemoryError),
    *(AssertionError, struct.error),
)
# mmengine runs these texts as Python: `Runner.resume` the first, its inferencers the second.
CONFIG_TEXTS = ('config', 'cfg')
# mmengine deletes what `best_ckpt` and `best_ckpt_<metric>` name as soon as there is a better one, folders included.
OUTDATED = re.compile(r'best_ckpt(_.*)?')
BEST_NAME = re.compile(r'best_[^/\\]*\.pth')

_lock = threading.RLock()


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Reads a checkpoint of torch or mmengine, or safetensors, and runs nothing that is in it.

    Of a pickle only tensors, plain values, NumPy arrays and numbers, and what mmengine adds (log histories, configs)
    are read. ``meta['config']`` and ``meta['cfg']`` come back as ``config_text`` and ``cfg_text``, because mmengine
    runs them; a path to a best checkpoint that is not beside this file is left out, because mmengine deletes it.

    Args:
        path: The file. Its format is told by its first bytes.
        map_location: Where the tensors go, as of `torch.load`.

    Returns:
        What the file holds; for safetensors ``dict(state_dict=..., meta=...)``.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or holds anything else. The message names the
            object, the digest of the file and the way out.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == 'safetensors':
        return _read_safetensors(path, map_location)
    if kind == 'zip':
        check_zip(path)
    content = _read_pickle(path, 'cpu' if map_location is None else map_location)
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path}: holds no tensors (a {type(content).__name__}). Fix: give a file that holds a state dict.'
        )
    _disarm(path, content)
    return content


def use_safe_loading() -> None:
    """Makes mmengine read every checkpoint by `read_checkpoint`, local or fetched; more calls change nothing.

    This covers ``load_checkpoint``, ``load_from`` and resuming of a Runner, ``init_cfg`` of type Pretrained, and the
    names of model zoos. What is fetched is checked against the digest in its name, and kept in torch hub's folder.
    """
    register_loaders(read_checkpoint)


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    try:
        with safe_open(path, 'pt') as file:
            tensors = OrderedDict((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
            text = (file.metadata() or {}).get('meta', '{}')
    except (SafetensorError, *UNREADABLE) as error:
        raise damaged(path, error) from error
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        meta = {}
    if isinstance(map_location, str | torch.device):
        tensors = OrderedDict((name, tensor.to(map_location)) for name, tensor in tensors.items())
    content = {'state_dict': tensors, 'meta': meta if isinstance(meta, dict) else {}}
    _disarm(path, content)
    return content


def _read_pickle(path: Path, map_location: Any) -> Any:
    """What a file holds, by the restricted unpickler, or in full if its digest is trusted."""
    try:
        reason = _too_old() or ''
        if not reason:
            with _only_allowed():
                content = torch.load(path, map_location, weights_only=True)
            return restored(content, path.stat().st_size)
    except RefusedObjectError as error:
        reason = str(error)
    except pickle.UnpicklingError as error:
        reason = _reason(error)
        if not reason:
            raise damaged(path, error) from error
    except RecursionError:
        reason = 'it nests too deeply'
    except UNREADABLE as error:
        raise damaged(path, error) from error
    trusted, content = read_trusted(path, map_location)
    if not trusted:
        raise refusal(path, reason)
    return content


def _too_old() -> str:
    if TorchVersion(torch.__version__) >= SAFE_TORCH:
        return ''
    return f'torch {torch.__version__} reads pickles in a way that can be attacked (update it to {SAFE_TORCH})'


@contextmanager
def _only_allowed() -> Iterator[None]:
    """The unpickler knows torch's own names and ours, whatever other code has added in this process."""
    with _lock:
        others = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(ALLOWED)
        try:
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(others)


def _reason(error: pickle.UnpicklingError) -> str:
    """Why the restricted unpickler refused a file, or '' if the file is damaged."""
    if found := REFUSED_GLOBAL.search(str(error)):
        module, dot, name = found[1].rpartition('.')
        return f'it holds the Python object {current_name(module, name) if dot else name}'
    if found := REFUSED_OPERATION.search(str(error)):
        return f'it does more than describe data ({found[1][:80]})'
    return ''


def _disarm(path: Path, checkpoint: dict[str, Any]) -> None:
    """Takes what mmengine would run or delete out of its way."""
    meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
    if isinstance(meta, MutableMapping):
        for key in CONFIG_TEXTS:
            if key in meta:
                meta[f'{key}_text'] = meta.pop(key)
    info = hub.get('runtime_info') if isinstance(hub, MutableMapping) else None
    if not isinstance(info, MutableMapping):
        return
    drop = {'cfg'}
    if not _all_numbers(info.get('keep_ckpt_ids', [])):
        drop.add('keep_ckpt_ids')
    drop |= {key for key, value in info.items() if OUTDATED.fullmatch(str(key)) and not _is_beside(path, value)}
    for entries in (info, hub.get('resumed_keys')):
        for key in drop if isinstance(entries, MutableMapping) else ():
            entries.pop(key, None)


def _all_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _is_beside(path: Path, best: Any) -> bool:
    """Whether a path means a best checkpoint in the folder of the file that names it."""
    if best is None:
        return True
    if not isinstance(best, str) or '\0' in best or not BEST_NAME.fullmatch(Path(best).name):
        return False
    best = Path(best)
    return not best.is_symlink() and best.resolve().parent == path.resolve().parent
