"""The objects besides tensors that mmengine keeps in a checkpoint, rebuilt without calling what a file names.

torch's restricted unpickler may call whatever is on its list of allowed names, with any arguments, and hands any state
to what it builds. NumPy's own constructors are not made for that: a type with forged flags turns bytes into pointers.
`HistoryBuffer` writes methods that come with its state into the class, for the whole process. And `getattr`, which
mmengine's checkpoints contain, reaches everything. So none of these names means the real thing here. Each means a
record that only keeps what it was given; when the file is read, `restored` checks all of it and builds the real things.
"""

import math
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

MAX_DEPTH = 100
GIB = 1 << 30
# Booleans, integers, floats, complex numbers and text; no objects, no records, no times.
PLAIN_DTYPE = re.compile(r'b1|[iuf][1248]|f16|c(8|16|32)|[SU]\d{1,6}')
# Known methods of known classes. Older pickles name a method by getattr(class, name).
METHODS = {'HistoryBuffer': ('min', 'max', 'current', 'mean')}
METHODS['OneCycleParamScheduler'] = ('_annealing_cos', '_annealing_linear')
HISTORY_STATE = {'_log_history', '_count_history', 'max_length', 'statistics_methods'}
PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray)
PLAIN_TORCH = (torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format)


class RefusedObjectError(pickle.UnpicklingError):
    """Something in a file that is no plain data; the message is a clause without the file's name."""


class _Record:
    """What a file says about an object: arguments and state, kept and not looked at."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(_Record):
    pass


class _Array(_Record):
    pass


class _Scalar(_Record):
    pass


class _Bytes(_Record):
    """`bytes()`, which is how old pickles say b''."""


class _ConfigDict(_Record):
    pass


class _HistoryBuffer(_Record):
    # The unpickler makes it without calling __init__.
    arguments, state = (), None


class _Owner(_Record):
    """A class that is only named: as the type of an array, or as the owner of a method."""


class _OneCycle(_Owner):
    pass


class _Method(_Record):
    """`getattr`, of which only the known methods of the known classes exist."""

    def __init__(self, owner: Any, name: Any, *default: Any) -> None:
        known = {_HistoryBuffer: 'HistoryBuffer', _OneCycle: 'OneCycleParamScheduler'}
        owner = known.get(owner) if isinstance(owner, type) else None
        if owner is None or name not in METHODS[owner]:
            # Worded as torch does, which passes on the text alone.
            raise RefusedObjectError(f'GLOBAL getattr({str(name)[:40]!r}) was not an allowed global')
        super().__init__(owner, name, *default)


# NumPy 1 and 2 name their functions differently.
ALLOWED: list[tuple[type, str]] = [
    *((_Array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *((_Scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    (_Dtype, 'numpy.dtype'),
    (_Bytes, 'builtins.bytes'),
    (_Owner, 'numpy.ndarray'),
    (_ConfigDict, 'mmengine.config.config.ConfigDict'),
    (_HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_OneCycle, 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'),
    (_Method, 'builtins.getattr'),
]


def restored(content: Any, file_size: int) -> Any:
    """Turns what the restricted unpickler made into plain data, tensors, arrays, log histories and nothing else.

    Dictionaries and lists are changed in place. Attributes that a file hangs on tensors and dictionaries, where a
    method of the same name would be covered, are taken off; ``_metadata`` of a state dict stays.

    Args:
        content: As unpickled with the names of `ALLOWED`.
        file_size: Bytes of the file; tensors cannot hold more.

    Raises:
        RefusedObjectError: An object of another type, one that contains itself, nesting beyond 100 levels, an array or
            log history whose state does not fit together, tensors larger than the file.
    """
    return _Restoration(file_size).visit(content)


class _Restoration:
    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        self.storages: set[int] = set()
        self.bytes = 0
        # The originals are kept too: an id is only unique as long as its object lives.
        self.done: dict[int, tuple[Any, Any]] = {}
        self.path: set[int] = set()

    def visit(self, value: Any) -> Any:
        if type(value) in PLAIN or type(value) in PLAIN_TORCH:
            return value
        key = id(value)
        if key in self.done:
            return self.done[key][1]
        if key in self.path or len(self.path) > MAX_DEPTH:
            raise RefusedObjectError(f'it holds a {type(value).__name__} that contains itself or nests too deeply')
        self.path.add(key)
        result = self._build(value)
        self.path.remove(key)
        self.done[key] = value, result
        return result

    def _build(self, value: Any) -> Any:
        kind = type(value)
        if kind in (torch.Tensor, torch.nn.Parameter):
            return self._tensor(value)
        if kind in (dict, OrderedDict, Counter):
            return self._mapping(value)
        if kind is list:
            value[:] = [self.visit(item) for item in value]
            return value
        if kind in (tuple, set):
            return kind([self.visit(item) for item in value])
        if kind is _Dtype:
            return _dtype(*value.arguments[:1], value.state)
        if kind is _Scalar:
            return _scalar(*self._all(value.arguments, 2))
        if kind is _Array:
            return _array(*self._all(value.state, 5))
        if kind is _Bytes and value.arguments == ():
            return b''
        if kind is _Method:
            return _method(*value.arguments[:2])
        if kind is _ConfigDict:
            return _config_dict(*self._all(value.arguments, 1))
        if kind is _HistoryBuffer:
            return _history(self.visit(value.state))
        raise RefusedObjectError(f'it holds an object of type {kind.__name__}')

    def _all(self, values: Any, number: int) -> list[Any]:
        if type(values) is not tuple or len(values) != number:
            raise RefusedObjectError('it holds an array or number whose state has the wrong form')
        return [self.visit(value) for value in values]

    def _mapping(self, value: dict) -> dict:
        items = [(self.visit(key), self.visit(item)) for key, item in dict.items(value)]
        attributes = getattr(value, '__dict__', {})
        metadata = self.visit(attributes.get('_metadata'))
        attributes.clear()
        value.clear()
        for key, item in items:
            value[key] = item
        if isinstance(metadata, Mapping):
            value._metadata = metadata
        return value

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is not torch.strided:
            raise RefusedObjectError(f'it holds a tensor of layout {tensor.layout}')
        storage = tensor.untyped_storage()
        if storage._cdata not in self.storages:
            self.storages.add(storage._cdata)
            self.bytes += storage.nbytes()
        # A view may repeat few numbers, but not until the memory is full.
        size = tensor.numel() * tensor.element_size()
        if self.bytes > self.file_size or size > max(self.file_size, GIB):
            raise RefusedObjectError(f'it holds tensors of more bytes than the {self.file_size} of the file')
        tensor.__dict__.clear()
        if tensor._backward_hooks is not None:
            tensor._backward_hooks = None
        return tensor


def _dtype(name: Any, state: Any) -> np.dtype:
    """NumPy's type of that name; only its byte order is taken from the state."""
    if type(name) is not str or not PLAIN_DTYPE.fullmatch(name):
        raise RefusedObjectError(f'it holds a NumPy array of type {str(name)[:20]!r}')
    order = state[1] if type(state) is tuple and len(state) > 1 else '='
    if order not in ('<', '>', '=', '|'):
        raise RefusedObjectError('it holds a NumPy type of unknown byte order')
    return np.dtype(name).newbyteorder(order)


def _scalar(dtype: Any, data: Any) -> np.generic:
    if not isinstance(dtype, np.dtype) or type(data) is not bytes or len(data) != dtype.itemsize:
        raise RefusedObjectError('it holds a NumPy number whose bytes do not fit its type')
    return np.frombuffer(data, dtype)[0] if data else dtype.type()


def _array(version: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray:
    fits = (
        type(shape) is tuple
        and all(type(side) is int and side >= 0 for side in shape)
        and isinstance(dtype, np.dtype)
        and type(data) is bytes
        and len(data) == math.prod(shape) * dtype.itemsize
    )
    if not fits:
        raise RefusedObjectError('it holds a NumPy array whose bytes do not fit its shape and type')
    native = dtype.newbyteorder('=')  # as NumPy does
    if not data:
        return np.zeros(shape, native)
    return np.frombuffer(data, dtype).reshape(shape, order='F' if fortran else 'C').astype(native, order='K')


def _method(owner: str, name: str) -> Any:
    if owner == 'HistoryBuffer':
        from mmengine.logging import HistoryBuffer

        return getattr(HistoryBuffer, name)
    from mmengine.optim.scheduler import OneCycleParamScheduler

    return getattr(OneCycleParamScheduler, name)


def _config_dict(content: Any) -> dict:
    from mmengine.config import ConfigDict

    if type(content) is not dict:
        raise RefusedObjectError('it holds a ConfigDict that is made of no dictionary')
    return ConfigDict(content)


def _history(state: Any) -> Any:
    """A log history of mmengine; the methods in its state are the class's own, whatever they are called."""
    from mmengine.logging import HistoryBuffer

    if type(state) is not dict or not {'_log_history', '_count_history', 'max_length'} <= set(state) <= HISTORY_STATE:
        raise RefusedObjectError('it holds a HistoryBuffer with a state that mmengine does not write')
    methods = state.get('statistics_methods', {})
    own = {name: getattr(HistoryBuffer, name) for name in METHODS['HistoryBuffer']}
    if type(methods) is not dict or any(own.get(name) is not method for name, method in methods.items()):
        raise RefusedObjectError('it holds a HistoryBuffer that brings methods of its own')
    log, count, length = state['_log_history'], state['_count_history'], state['max_length']
    if not _is_row(log) or not _is_row(count) or len(log) != len(count) or type(length) is not int or length < 1:
        raise RefusedObjectError('it holds a HistoryBuffer without two equally long rows of numbers')
    return HistoryBuffer(log, count, length)


def _is_row(value: Any) -> bool:
    return type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in 'biuf'
