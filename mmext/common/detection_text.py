"""Detections and ground truth as plain text, one box a line, blanks between the values.

    image class score x1 y1 x2 y2        a detection
    image class x1 y1 x2 y2 [difficult]  an object; difficult is 0, 1 or the word, and 0 if it is missing

Empty lines and those that start with # are passed over. The name of an image has no blank, that of a class may.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from mmext.common.detection_set import (
    DetectionSet,
    NamedBoxes,
    checked_box,
    class_names,
    finite_number,
    named_detection_set,
)

DIFFICULT = {'0': False, '1': True, 'difficult': True}


def read_text(detections: Path, truth: Path) -> DetectionSet:
    """Reads two files; images are in the order in which the truth, and then the detections, name them.

    Raises:
        ValueError: a line that is none; names file, line and value.
        OSError: a file that cannot be read.
    """
    images = defaultdict(lambda: NamedBoxes([], []))
    for image, *row in parsed_lines(truth, _object_of):
        images[image].there.append(row)
    for image, *row in parsed_lines(detections, _detection_of):
        images[image].found.append(row)
    return named_detection_set(class_names(images.values()), images.items())


def parsed_lines(path: Path, parse: Callable[[list[str]], tuple]) -> Iterator[tuple]:
    """What ``parse`` makes of the words of each line.

    Raises:
        ValueError: as ``parse`` does, with file, line and value before it; or the file is no text.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: no UTF-8 text ({error}); give plain text, or JSON in a file .json') from error
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith('#'):
            try:
                yield parse(words)
            except ValueError as error:
                raise ValueError(f'{path}:{number}: {line.strip()!r}: {error}') from error


def _detection_of(words: list[str]) -> tuple[str, list[float], float, str]:
    if len(words) < 7:
        raise ValueError('expected: image class score x1 y1 x2 y2')
    return words[0], checked_box(words[-4:]), finite_number(words[-5], 'score'), ' '.join(words[1:-5])


def _object_of(words: list[str]) -> tuple[str, list[float], str, bool]:
    # After the class come five values with a flag at the end, four without.
    flagged = len(words) > 6 and (words[-1] == 'difficult' or _is_number(words[-5]))
    *words, flag = words if flagged else (*words, '0')
    if flag not in DIFFICULT:
        raise ValueError(f'difficult is {flag!r}; expected 0, 1 or the word')
    if len(words) < 6:
        raise ValueError('expected: image class x1 y1 x2 y2 [difficult]')
    return words[0], checked_box(words[-4:]), ' '.join(words[1:-4]), DIFFICULT[flag]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
