"""What the names of files say about leaks: the same VOC picture under two ids, and neighbouring frames of a video.

Names that look like frames of a video:

- KITTI's benchmarks, ``000012_10.png``: a number of the scene and a tick of 0.1 s. Scenes of one drive have numbers
  that follow each other, so neighbours *may* show the same street; but a number is no time, and most of them differ.
- Cityscapes, ``aachen_000003_000019_leftImg8bit.png``: city, recording, frame.
- CamVid, ``0001TP_006690.png``.
- Any name or folder below the dataset with the word drive, seq(uence), clip, video, vid, frame, scene or flight, such
  as ``2011_09_26_drive_0001_sync/image_02/data/0000000012.png``: its last number (of four digits or more, if there is
  one) is the frame, everything else the sequence.

Numbers alone (VOC's ``000012.jpg``, ``cat_1.jpg``) are no frames. Names of other kinds can be described by a regular
expression with the groups ``sequence`` (optional) and ``frame``.
"""

import os
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Frames that are so near each other are neighbours: a second of KITTI's 10 frames per second, less of other videos.
WINDOW = 10
KITTI = re.compile(r'(?P<frame>\d{6})_1[01]')
CITYSCAPES = re.compile(r'(?P<sequence>[a-z-]+_\d{6})_(?P<frame>\d{6})(?:_\w+)?')
CAMVID = re.compile(r'(?P<sequence>\d{4}(?:TP|E5))_(?P<frame>\d{4,})')
WORD = re.compile(r'(?<![a-z])(?:drive|seq(?:uence)?|clip|video|vid|frame|scene|flight)s?(?![a-z])', re.IGNORECASE)
SPLIT_FOLDERS = {'train', 'training', 'trainval', 'val', 'valid', 'validation', 'test', 'testing'}
VOC_FOLDER = re.compile(r'VOC(\d{4})')
VOC_ID = re.compile(r'\d{6}')
DATED_ID = re.compile(r'(?:200[5-9]|201[0-2])_\d{6}')


class LeakRuleError(ValueError):
    """An expression for frames cannot be used; the message names it and the fix."""


@dataclass(frozen=True)
class Frame:
    """Where a file name says that a picture belongs.

    Attributes:
        sequence: Drive, clip or recording.
        number: Of the frame.
        window: Largest difference of the numbers of neighbours.
        ordered: Frames next to each other in a sequence are neighbours however far their numbers are apart: videos of
            which only every so many frames were kept.
    """

    sequence: str
    number: int
    window: int = WINDOW
    ordered: bool = True


@dataclass(frozen=True)
class Neighbours:
    """Two frames of one sequence in different splits, and the difference of their numbers."""

    first: int
    second: int
    gap: int


def voc_picture_id(path: Path) -> str | None:
    """Year and number of a VOC picture: ``000032`` in VOC2007 and ``2007_000032`` in VOC2012 are the same one."""
    if DATED_ID.fullmatch(path.stem):
        return path.stem
    folder = VOC_FOLDER.fullmatch(path.parents[1].name) if len(path.parents) > 1 else None
    return f'{folder[1]}_{path.stem}' if folder and VOC_ID.fullmatch(path.stem) else None


def compile_frames(pattern: str) -> re.Pattern:
    """The regular expression, checked.

    Raises:
        LeakRuleError: No regular expression, or one without a group called ``frame``.
    """
    example = r"r'(?P<sequence>.+)_(?P<frame>\d+)'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise LeakRuleError(f'--frames {pattern!r}: {error}; give a regular expression such as {example}') from error
    if 'frame' not in compiled.groupindex:
        raise LeakRuleError(f'--frames {pattern!r}: has no group (?P<frame>...); compare {example}')
    return compiled


def read_frames(paths: Sequence[Path], pattern: re.Pattern | None = None) -> list[Frame | None]:
    """What each file name says; None for names that are no frames.

    Args:
        paths: All files of a dataset: what they have in common is not looked at.
        pattern: Searched in the path below what all have in common (with ``/``); replaces the known kinds of names.

    Raises:
        LeakRuleError: The ``frame`` that the pattern finds is no number.
    """
    parents = [str(path.parent) for path in paths]
    root = Path(os.path.commonpath(parents)) if parents else Path()
    names = [PurePosixPath(path.relative_to(root).as_posix()) for path in paths]
    return [_own_frame(name, pattern) if pattern else known_frame(name) for name in names]


def known_frame(name: PurePosixPath) -> Frame | None:
    """The frame that a name of a known kind states.

    Args:
        name: Path below the dataset's folder.
    """
    if found := KITTI.fullmatch(name.stem):
        return Frame(_folders(name), int(found['frame']), window=1, ordered=False)
    for kind in (CITYSCAPES, CAMVID):
        if found := kind.fullmatch(name.stem):
            return Frame(found['sequence'], int(found['frame']))
    if not any(WORD.search(part) for part in (*name.parts[:-1], name.stem)):
        return None
    numbers = list(re.finditer(r'\d+', name.stem))
    if not numbers:
        return None
    number = next((found for found in reversed(numbers) if len(found[0]) >= 4), numbers[-1])
    rest = f'{name.stem[: number.start()]}*{name.stem[number.end() :]}'
    return Frame(f'{_folders(name)}/{rest}'.lstrip('/'), int(number[0]))


def find_neighbours(frames: Sequence[Frame | None], splits: Sequence[str]) -> Iterator[Neighbours]:
    """Frames of one sequence that are neighbours and in different splits, each pair once.

    Args:
        frames: (N,) what the names say.
        splits: (N,) split of each.
    """
    sequences: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, frame in enumerate(frames):
        if frame is not None:
            sequences[frame.sequence].append((frame.number, index))
    for members in sequences.values():
        members.sort()
        numbers = sorted({number for number, _ in members})
        for place, (number, index) in enumerate(members):
            frame = frames[index]
            following = bisect_left(numbers, number) + 1
            reach = number + frame.window
            if frame.ordered and following < len(numbers):
                reach = max(reach, numbers[following])
            for other_number, other in members[place + 1 :]:
                if other_number > reach:
                    break
                if splits[index] != splits[other]:
                    yield Neighbours(index, other, other_number - number)


def shared_sequences(frames: Sequence[Frame | None], splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """Sequences with frames in several splits -> split -> number of frames. KITTI's scenes name no sequence."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for frame, split in zip(frames, splits, strict=True):
        if frame is not None and frame.ordered:
            counts[frame.sequence][split] += 1
    return {sequence: dict(found) for sequence, found in counts.items() if len(found) > 1}


def same_voc_pictures(paths: Mapping[int, Path], splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of different files, in different splits, whose ids say that they are the same picture."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, path in paths.items():
        if picture := voc_picture_id(path):
            groups[picture].append(index)
    for group in groups.values():
        for place, index in enumerate(group):
            for other in group[place + 1 :]:
                if splits[index] != splits[other]:
                    yield index, other


def _own_frame(name: PurePosixPath, pattern: re.Pattern) -> Frame | None:
    found = pattern.search(str(name))
    if not found:
        return None
    if not found['frame'] or not found['frame'].isdecimal():
        raise LeakRuleError(
            f'--frames {pattern.pattern!r}: takes {found["frame"]!r} of {name} for the frame, which is no number; '
            r'let the group match digits, such as (?P<frame>\d+)'
        )
    sequence = found['sequence'] if 'sequence' in pattern.groupindex else _folders(name)
    return Frame(sequence or '', int(found['frame']))


def _folders(name: PurePosixPath) -> str:
    """The folders of a name, without those that say the split."""
    return '/'.join(part for part in name.parts[:-1] if part.lower() not in SPLIT_FOLDERS)
