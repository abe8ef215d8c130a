"""Batches of any toolbox as plain values and back, so that a file of them can be read without running any code.

A file of the result holds tensors, numbers, text, lists, tuples and dicts alone: torch's restricted unpickler reads it.
"""

import importlib
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement

# A dict with this key stands for an object; a class is imported only from these packages and if it is of a known kind.
KIND = '__kind__'
PACKAGES = ('mmengine', 'mmseg', 'mmdet', 'mmpretrain', 'mmext')


def to_plain(value: Any) -> Any:
    """Tensors (copied to the CPU), numbers, text, lists, tuples and dicts in place of whatever a batch is made of.

    Data samples keep their class, fields and meta information; boxes and masks of mmdet theirs. An object of another
    kind becomes its text, which `from_plain` refuses.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return {KIND: 'array', 'values': torch.from_numpy(np.ascontiguousarray(value)).clone()}
    if isinstance(value, (np.generic, Number)):
        return value.item() if isinstance(value, np.generic) else _text(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Path):
        return str(value)
    return _object(value)


def _object(value: Any) -> dict:
    kind = f'{type(value).__module__}.{type(value).__qualname__}'
    if isinstance(value, BaseDataElement):
        fields = {key: to_plain(getattr(value, key)) for key in value.keys()}  # noqa: SIM118, is no dict
        return {KIND: 'element', 'class': kind, 'fields': fields, 'metainfo': to_plain(value.metainfo)}
    if kind.startswith('mmdet.structures.') and isinstance(getattr(value, 'tensor', None), torch.Tensor):
        return {KIND: 'boxes', 'class': kind, 'tensor': to_plain(value.tensor)}
    if kind.startswith('mmdet.structures.') and hasattr(value, 'masks'):
        return {KIND: 'masks', 'class': kind, 'arguments': [to_plain(value.masks), value.height, value.width]}
    return _text(value)


def _text(value: Any) -> dict:
    return {KIND: 'text', 'text': repr(value)[:200]}


def from_plain(value: Any) -> Any:
    """The batch that `to_plain` was given, on the CPU.

    Raises:
        ValueError: An object that was kept as text, or a class that does not belong into a batch.
    """
    if isinstance(value, dict) and KIND in value:
        return _restore(value)
    if isinstance(value, dict):
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(item) for item in value)
    return value


def _restore(value: dict) -> Any:
    kind = value[KIND]
    if kind == 'array':
        return value['values'].numpy()
    if kind == 'element':
        element = _find_class(value['class'], BaseDataElement)(metainfo=from_plain(value['metainfo']))
        for name, item in value['fields'].items():
            setattr(element, name, from_plain(item))
        return element
    if kind == 'boxes':
        return _find_class(value['class'])(value['tensor'])
    if kind == 'masks':
        return _find_class(value['class'])(*from_plain(value['arguments']))
    raise ValueError(f'the batch holds {value.get("text", kind)}, which could not be stored; it cannot be replayed')


def _find_class(path: str, parent: type | None = None) -> type:
    module, _, name = path.rpartition('.')
    known = path.startswith('mmdet.structures.') if parent is None else module.partition('.')[0] in PACKAGES
    found = getattr(importlib.import_module(module), name, None) if known else None
    if not isinstance(found, type) or (parent is not None and not issubclass(found, parent)):
        raise ValueError(f'{path}: no class of a batch; the file was not written by NonFiniteGuard, or was changed')
    return found


def image_paths(batch: Any) -> list[str]:
    """Paths of the pictures of a batch, as far as its samples tell them."""
    if isinstance(batch, Mapping):
        batch = batch.get('data_samples') or []
    samples = batch if isinstance(batch, (list, tuple)) else []
    paths = [sample.metainfo.get('img_path') for sample in samples if isinstance(sample, BaseDataElement)]
    return [str(path) for path in paths if path]
