"""Which pictures the inputs of a command line mean, and what their results are called."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    ('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.pbm', '.jp2', '.gif')
)
LIST_SUFFIX = '.txt'
VIDEO_SUFFIXES = frozenset(('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv'))


class VideoError(ValueError):
    """A video where pictures are expected; ``path`` is its path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f'{path}: is a video; take its frames out first: ffmpeg -i {path.name} frames/%06d.png, then give frames'
        )


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """All pictures that the inputs mean, each once, in natural order of their paths (``img2`` before ``img10``).

    An input is one of these, tried in this order:

    - a folder: the files with an image suffix in it and below, links followed; what begins with a dot is left out;
    - a text file ``*.txt``: one path a line, relative to the list's folder or, where it is not there, to the working
      folder; blank lines are skipped, and a path that leads nowhere is reported when it is to be read;
    - any other file, whatever its suffix;
    - a pattern (``*``, ``?``, ``[..]``, ``**``): what it matches, of the files those with an image suffix.

    Raises:
        FileNotFoundError: an input that is nothing of this.
        ValueError: an input without a picture, a list that is not text, or a video (`VideoError`).
    """
    found: dict[Path, Path] = {}
    for name in inputs:
        paths = list(_images_of(Path(name), str(name)))
        if not paths:
            raise ValueError(f'{name}: no picture in it; known suffixes are {" ".join(sorted(IMAGE_SUFFIXES))}')
        for path in paths:
            found.setdefault(_absolute(path), path)
    return sorted(found.values(), key=natural_key)


def natural_key(path: str | Path) -> list:
    """Sorting key under which numbers inside names count as numbers; equal ones are told apart by their text."""
    parts = Path(path).parts
    # Split at digits, every second piece is a number, so that text is compared with text only.
    return [
        ([int(piece) if piece.isdecimal() else piece for piece in re.split(r'(\d+)', part)], part) for part in parts
    ]


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for the results of each path: its place below the folder that all share, without its suffix.

    ``a/1.jpg`` and ``b/1.jpg`` become ``a/1`` and ``b/1``. Where that would make two names equal (``1.jpg`` beside
    ``1.png``) they keep their suffixes. Names of files that differ in letter case only count as equal.
    """
    absolute = [_absolute(path) for path in paths]
    root = os.path.commonpath([path.parent for path in absolute]) if absolute else ''
    whole = [path.relative_to(root).as_posix() for path in absolute]
    short = [Path(name).with_suffix('').as_posix() for name in whole]
    times = Counter(name.casefold() for name in short)
    names = [full if times[name.casefold()] > 1 else name for name, full in zip(short, whole, strict=True)]
    return names if len({name.casefold() for name in names}) == len(names) else whole


def check_outputs(out_dir: Path, csv: Path | None, inputs: Sequence[str | Path], paths: Sequence[Path]) -> None:
    """Raise before anything is written where results would land among the inputs.

    A second run would take them for inputs, and a picture could replace the one that it was drawn on.

    Args:
        out_dir: Folder of all results.
        csv: File of the table, if there is one.
        inputs: As the command line names them.
        paths: Pictures found through them.

    Raises:
        ValueError: the folder is an input folder, lies below one or holds a picture; the table would replace an input.
        NotADirectoryError: the folder is a file.
    """
    out = out_dir.resolve()
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f'{out_dir}: is a file; --out takes a folder')
    for name in inputs:
        folder = _real(name)
        if folder.is_dir() and (out == folder or folder in out.parents):
            raise ValueError(f'{out_dir}: lies in the input folder {name}; give a folder outside of it to --out')
    for path in paths:
        if out in _real(path).parents or out in _absolute(path).parents:
            raise ValueError(f'{out_dir}: holds the input {path}; give another folder to --out')
    if csv and csv.resolve() in {_real(path) for path in (*inputs, *paths)}:
        raise ValueError(f'{csv}: is an input; give another file to --csv')


def _real(path: str | Path) -> Path:
    # Path.resolve raises about links that lead in a circle, which are to be reported as unreadable.
    return Path(os.path.realpath(path))


def _absolute(path: Path) -> Path:
    # Path.resolve would follow links, whose own names the results shall have; Path.absolute keeps '..'.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _images_of(path: Path, pattern: str) -> Iterator[Path]:
    if path.is_dir():
        yield from _walk(path)
    elif path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        raise VideoError(path)
    elif path.is_file():
        yield from _listed(path) if path.suffix.lower() == LIST_SUFFIX else (path,)
    elif glob.has_magic(pattern):
        # Path.glob knows no absolute patterns.
        for match in map(Path, glob.glob(pattern, recursive=True)):  # noqa: PTH207
            if match.is_dir():
                yield from _walk(match)
            elif match.suffix.lower() in IMAGE_SUFFIXES:
                yield match
    else:
        raise FileNotFoundError(f'{pattern}: no such file or folder, and no pattern')


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        # A link to a folder above would lead around in circles.
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith('.')]
        if real in seen:
            continue
        seen.add(real)
        for name in files:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith('.'):
                yield Path(parent) / name


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text; a list holds one path a line') from error
    for line in filter(None, map(str.strip, lines)):
        beside = path.parent / line
        yield beside if beside.exists() or not Path(line).exists() else Path(line)
