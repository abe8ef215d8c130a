"""Kinds of arguments for command lines: what makes no sense is refused by argparse, before anything is read."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path


def at_least(least: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """A number, whole unless ``kind`` is float, that is not below ``least`` and not NaN or infinite."""

    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError as error:
            what = 'a whole number' if kind is int else 'a number'
            raise argparse.ArgumentTypeError(f'{text!r} is not {what}') from error
        if not math.isfinite(value) or value < least:
            _refuse(f'{text}: must be at least {least:g}' if math.isfinite(value) else f'{text}: must be finite')
        return value

    return number


def finite(text: str) -> float:
    """A number that is not NaN or infinite."""
    return at_least(-sys.float_info.max, float)(text)


def output_folder(text: str) -> Path:
    """A folder for results, there or to be made."""
    path = Path(text)
    taken = next((place for place in (path, *path.parents) if place.exists()), path)
    if taken.exists() and not taken.is_dir():
        _refuse(f'{text}: {taken} is a file; give the name of a folder')
    return path


def output_file(text: str) -> Path:
    """A file for results, there or to be made."""
    path = Path(text)
    if path.is_dir():
        _refuse(f'{text}: is a folder; give the name of a file')
    output_folder(str(path.parent))
    return path


def _refuse(message: str) -> None:
    raise argparse.ArgumentTypeError(message)
