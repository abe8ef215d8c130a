"""Lists pictures and the classes that their file names state, and finds what is wrong with either."""

import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from mmext.common.prediction.inputs import IMAGE_SUFFIXES, natural_key

# All before the last number is the class; a dot or an underscore stands between them.
PATTERN = r'(?P<label>.+)[._]\d+\.[^.]+'
SHOWN = 5


class FileNameLabelError(ValueError):
    """Files or classes that cannot be used; the message names them and the fix."""


def shorten(names: Iterable[object], shown: int = SHOWN) -> str:
    """The first names of many, and how many more there are."""
    names = [str(name) for name in names]
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more


def compile_pattern(pattern: str) -> re.Pattern:
    """The regular expression, checked.

    Raises:
        FileNameLabelError: No regular expression, or one without a group called ``label``.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FileNameLabelError(f'pattern={pattern!r}: {error}; give an expression such as {PATTERN}') from error
    if 'label' not in compiled.groupindex:
        raise FileNameLabelError(f'pattern={pattern!r}: has no group (?P<label>...); compare {PATTERN}')
    return compiled


def label_of(pattern: re.Pattern, name: str) -> str | None:
    """Class that a file name (without folder) states; None where the pattern does not match the whole name.

    Letters with accents come out composed (NFC), whichever way the file system stores them.
    """
    found = pattern.fullmatch(unicodedata.normalize('NFC', name))
    return (found['label'] or None) if found else None


def list_pictures(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Pictures in a folder and below it, by their suffix, in natural order, and all other files.

    Links to folders are followed; names that begin with a dot are left out.

    Raises:
        FileNotFoundError: There is no such folder, or no picture in it.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'{folder}: no such folder; data_root and data_prefix must name that of the pictures')
    pictures, others, seen = [], [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        # A link to a folder above would lead around in circles.
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith('.')]
        if real not in seen:
            seen.add(real)
            for path in (Path(parent) / name for name in files if not name.startswith('.')):
                (pictures if path.suffix.lower() in IMAGE_SUFFIXES else others).append(path)
    if not pictures:
        raise FileNotFoundError(f'{folder}: no picture in it; known suffixes are {" ".join(sorted(IMAGE_SUFFIXES))}')
    return sorted(pictures, key=natural_key), sorted(others, key=natural_key)


def read_list(path: str | Path, folder: str | Path) -> list[Path]:
    """Files that a text file names, one a line, relative to ``folder``; blank lines are skipped.

    Raises:
        FileNotFoundError: There is no such list.
        FileNameLabelError: It is empty, or names a file twice or one that is not there.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such list; ann_file takes a text file with one file name a line')
    lines = [line.strip() for line in Path(path).read_text(encoding='utf-8-sig').splitlines() if line.strip()]
    if not lines:
        raise FileNameLabelError(f'{path}: is empty; write one file name a line')
    if twice := [name for name, times in Counter(lines).items() if times > 1]:
        raise FileNameLabelError(f'{path}: names {shorten(twice)} more than once; remove the repetitions')
    paths = [Path(folder) / line for line in lines]
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNameLabelError(f'{path}: {shorten(missing)} not there; correct the list or copy the files')
    return paths


def unreadable_pictures(paths: Sequence[Path], workers: int = 8) -> dict[Path, str]:
    """Reason for each file that has no picture's header; pixels are not decoded.

    A picture that was cut off behind its header passes.
    """

    def check(path: Path) -> str:
        try:
            with Image.open(path):
                return ''
        except Image.UnidentifiedImageError:
            return 'no picture' if path.stat().st_size else 'empty file'
        # Missing, no permission, a size that would fill the memory, or a header that contradicts itself: what is raised
        # then depends on where.
        except Exception as error:
            return f'{type(error).__name__}: {getattr(error, "strerror", None) or error}'

    with ThreadPoolExecutor(workers) as pool:
        reasons = zip(paths, pool.map(check, paths), strict=True)
        return {path: reason for path, reason in reasons if reason}


def take_share(labels: Sequence[str | None], share: tuple[float, float], seed: int) -> list[int]:
    """Indices of a part of every class, in ascending order.

    The files of a class are shuffled, by the seed and the name of the class alone, and of N those from ``N * share[0]``
    to ``N * share[1]`` (rounded) taken. So (0, 0.8) and (0.8, 1) share no file and leave none out.

    Args:
        labels: Class of each file, None for all if there are none.
        share: Begin and end, 0..1.
        seed: 0 or greater.

    Raises:
        FileNameLabelError: ``share`` is no part of 0..1.
    """
    low, high = share
    if not 0 <= low < high <= 1:
        raise FileNameLabelError(f'share={share}: give begin and end between 0 and 1, such as (0, 0.8) and (0.8, 1)')
    members: dict[str | None, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    taken = []
    for label, indices in members.items():
        rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32((label or '').encode())]))
        mixed, count = rng.permutation(indices).tolist(), len(indices)
        taken += mixed[round(count * low) : round(count * high)]
    return sorted(taken)


def files_of_classes(named: Iterable[tuple[Path, str]]) -> dict[str, list[Path]]:
    """Class -> its files, from pairs of both."""
    files: dict[str, list[Path]] = {}
    for path, label in named:
        files.setdefault(label, []).append(path)
    return files


def class_problems(
    files: dict[str, list[Path]], classes: Sequence[str] | None, others: dict[str, list[Path]] | None
) -> list[str]:
    """What is wrong with the classes that the file names of a split state; one line per kind.

    Args:
        files: Class -> its files.
        classes: All there may be; None where they are collected from the files.
        others: Class -> files of the other split; None where there is none to compare with.
    """
    problems = []
    if classes is not None and (unknown := sorted(set(files) - set(classes), key=natural_key)):
        named = (f'{label!r} ({files[label][0]})' for label in unknown)
        problems.append(f'classes that the list does not have: {shorten(named)}; add them or correct the names')
    if classes is None:
        spellings: dict[str, list[str]] = {}
        for label in sorted({*files, *(others or {})}):
            spellings.setdefault(label.casefold(), []).append(label)
        if alike := [' / '.join(map(repr, names)) for names in spellings.values() if len(names) > 1]:
            problems.append(f'classes that differ in letter case only: {shorten(alike)}; rename, or give classes=[...]')
    for where, mine, theirs in (('here', files, others), ('in the other split', others, files)):
        if others is not None and (alone := sorted(set(mine) - set(theirs), key=natural_key)):
            named = (f'{label!r} ({len(mine[label])} files, {mine[label][0]})' for label in alone)
            problems.append(f'classes {where} only: {shorten(named)}; correct the names or move files')
    return problems
