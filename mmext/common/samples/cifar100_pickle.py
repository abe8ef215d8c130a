"""Writes CIFAR-100's pickle files in the form that Python 2 gave them, whatever Python and NumPy write them.

The files of the set are pickles of protocol 2 made by Python 2, whose plain strings are `str` to a reader that passes
``encoding='latin1'`` and `bytes` to one that passes ``encoding='bytes'``. Python 3 has no way to write such strings,
and NumPy 2 names its modules differently, so the few instructions that are needed are put together here.
"""

import struct
from pickle import (
    APPENDS,
    BININT,
    BINSTRING,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    GLOBAL,
    MARK,
    NEWFALSE,
    NONE,
    PROTO,
    REDUCE,
    SETITEMS,
    STOP,
    TUPLE,
)

import numpy as np

Value = dict[bytes, 'Value'] | list['Value'] | bytes | int | np.ndarray


def dumps(value: Value) -> bytes:
    """A whole pickle of dictionaries, lists, byte strings (Python 2's ``str``), integers and uint8 arrays.

    Raises:
        TypeError: Something else is in it.
    """
    return PROTO + b'\x02' + _encode(value) + STOP


def _encode(value: Value) -> bytes:
    if isinstance(value, dict):
        items = b''.join(_encode(key) + _encode(entry) for key, entry in value.items())
        return EMPTY_DICT + MARK + items + SETITEMS
    if isinstance(value, list):
        return EMPTY_LIST + MARK + b''.join(map(_encode, value)) + APPENDS
    if isinstance(value, bytes):
        return BINSTRING + struct.pack('<i', len(value)) + value
    if isinstance(value, int) and not isinstance(value, bool):
        return BININT + struct.pack('<i', value)
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return _encode_array(value)
    raise TypeError(f'{type(value).__name__} cannot be written; use dict, list, bytes, int or a uint8 array')


def _tuple(*items: bytes) -> bytes:
    return MARK + b''.join(items) + TUPLE


def _encode_array(array: np.ndarray) -> bytes:
    """What NumPy 1 writes: an empty array, then its state (version, shape, type, Fortran order, bytes)."""
    kind = GLOBAL + b'numpy\ndtype\n' + _tuple(_encode(b'u1'), _encode(0), _encode(1)) + REDUCE
    # version, byte order, subarray, names, fields, size, alignment, flags
    kind += _tuple(_encode(3), _encode(b'|'), NONE, NONE, NONE, _encode(-1), _encode(-1), _encode(0)) + BUILD
    start = _tuple(GLOBAL + b'numpy\nndarray\n', _tuple(_encode(0)), _encode(b'b'))
    shape = _tuple(*map(_encode, array.shape))
    state = _tuple(_encode(1), shape, kind, NEWFALSE, _encode(np.ascontiguousarray(array).tobytes()))
    return GLOBAL + b'numpy.core.multiarray\n_reconstruct\n' + start + REDUCE + state + BUILD
