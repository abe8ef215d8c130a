"""Finds numbers in Markdown and HTML that no run and no published figure has.

Every number of a text is a claim, but for what one of these rules excuses:

- code: fenced blocks, `code`, comments, addresses, targets of links, paths and names of files
- version: three parts or more (2.10.0), after ``==``, ``>=`` and the like, or after the name of a program (Python 3.10)
- size: 375 x 1242, 2x3
- date: 2026-01-31, 2026, 11:30; also arXiv:2206.12571
- name: digits that belong to a word, as in ResNet-18, R18, 8xb2, top-1, mAP@.5, FCN-32s, 20k; Table 3, Figure 1
- count: a whole number without a unit, in running text, in a heading and in the first column of a table

What else a file says on purpose it excuses itself, with the reason: ``<!-- numbers: 130, 10000, 0.92 (why) -->``.

A line that names configs or runs is compared with what is known of these. A card, README.md of a folder of recipes or
data, speaks of its folder wherever a line names no config.
"""

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .known_numbers import Known, KnownNumbers
from .prose import Line, read_lines

UNIT = (
    r'(?:%|percent|percentage points?|points?|ms|s|sec|seconds?|min|minutes?|h|hours?|days?|FPS|fps|images?/s|'
    r'images? a second|G?MACs|GFLOPs|FLOPs|M|G|k?B|[KMG]i?B|M parameters|mIoU|mAP|mAcc|aAcc|times)(?![\w-])'
)
NUMBER = re.compile(
    r'(?<![\w.])(?P<sign>[+−-](?=[\d.]))?'
    r'(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?: \d{3})+(?![\d.])|\d+(?:\.\d+)?(?:e-\d+)?|\.\d+)'
)
# A number of a range or list whose last one has a unit: 10 to 30 minutes.
HAS_UNIT = re.compile(r'(?:\s*(?:to|and|or|/|,|;|–|±|-)\s*\d[\d.,]*)*\s*' + UNIT)
PROGRAMS = (
    r'(?:Python|CUDA|cuDNN|PyTorch|torch|torchvision|Debian|Ubuntu|GCC|OpenCV|NumPy|mmengine|mmcv|mmsegmentation|'
    r'mmdetection|mmpretrain|mmseg|mmdet|mmext|Chromium)'
)
CODE = re.compile(r'(`+)(.+?)\1')
# What is replaced by blanks before numbers are looked for, in this order.
RULES = {
    'comment': re.compile(r'<!--.*?-->'),
    'code': CODE,
    'address': re.compile(r'\]\([^)]*\)|<?https?://[^\s>)]+>?|<a id="[^"]*">'),
    'arxiv': re.compile(r'arXiv:\s*\d{4}\.\d{4,5}(?:v\d+)?', re.I),
    'date': re.compile(
        r'\b(?:\d{4}-\d{2}(?:-\d{2})?(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\d{8}_\d{6}|\d{1,2}:\d{2}(?::\d{2})?)\b'
    ),
    'size': re.compile(r'\b\d+(?: ?[x×] ?\d+)+\b'),
    'version': re.compile(
        rf'\bv?\d+\.\d+\.\d+[\w.+]*|[=<>~!]=?\s*\d[\d.]*|\b{PROGRAMS}\s+v?\d[\w.+]*(?:(?:\s*(?:to|and|or|,|-)\s*)\d+\.\d[\w.]*)*'
    ),
    'file': re.compile(r'[\w./-]*\.(?:py|md|json|jsonl|ya?ml|csv|png|jpe?g|html|txt|pth|mp4|sh|log)\b'),
    'numbered': re.compile(r'\b(?:Tables?|Figures?|Fig\.|Part|Section|Chapter|Step|Stage|Appendix)\s+\d+\b', re.I),
    'word before': re.compile(r'(?<![\w.])[A-Za-z_@#][\w.@+/-]*?\d[\w.@+-]*(?:/\d+)?'),
    'word after': re.compile(r'(?<![\w.])\d[\d.]*-?(?!(?:ms|M|G|GB|MB|FPS)\b|e-\d)[A-Za-z_][\w-]*'),
    'year': re.compile(r'(?<![\w.,])(?:19|20)\d{2}(?![\w%]|[.,]\d| ?(?:' + UNIT + '))'),
}
EXCUSE = re.compile(r'<!--\s*numbers:(?P<numbers>[^()]*)\((?P<reason>[^)]*\S[^)]*)\)\s*-->')
CONFIG = re.compile(r'configs/[\w./+-]+')
LINK = re.compile(r'\]\(([^)#\s]+)')
# Beginnings of the subjects that are paths; all others are runs.
PATHS = ('configs/', 'data/')
# Files that speak of the folder they lie in.
OF_FOLDER = ('README.md', 'metafile.yml')


@dataclass(frozen=True)
class Problem:
    """A number without a source; ``near`` is the closest one that has some, in words."""

    file: str
    line: int
    number: str
    near: str = ''

    def __str__(self) -> str:
        near = f' (the nearest is {self.near})' if self.near else ''
        return f'{self.file}:{self.line}: {self.number}: no run and no published figure has this number{near}'


def check_file(path: str | Path, known: KnownNumbers, root: str | Path = '.') -> list[Problem]:
    """Numbers of a file without a source, in its order.

    Args:
        path: Of Markdown or HTML.
        known: What it may quote.
        root: Folder that the subjects of ``known`` are relative to: README.md of a folder that something is known of
            is a card, whose lines speak of that folder.

    Raises:
        ProseError: as `mmext.analysis.report.prose.read_lines`.
        OSError: it cannot be read.
    """
    return check_lines(read_lines(path), known, str(path), _card_folder(Path(path), known, Path(root)))


def check_lines(lines: Sequence[Line], known: KnownNumbers, file: str, folder: str = '') -> list[Problem]:
    """As `check_file`, of lines; ``folder`` is that of a card, else ''."""
    excused = {number for line in lines for number in _excused(line.text)}
    runs = {subject for subject in known.subjects() if not subject.startswith(PATHS)}
    problems = []
    for line in lines:
        about = subjects_of(line.text, runs, folder)
        candidates = None
        for number in claims(line):
            if _plain(number).lstrip('+-') in excused:
                continue
            candidates = known.about(about) if candidates is None else candidates
            if not any(_reads(one, number) for one in candidates):
                problems.append(Problem(file, line.number, number, _nearest(number, candidates)))
    return problems


def claims(line: Line) -> list[str]:
    """The numbers of a line that need a source, as written."""
    if line.cells is None:
        return list(_claims(line.text, counts_excused=True))
    return [number for index, cell in enumerate(line.cells) for number in _claims(cell, counts_excused=index == 0)]


def subjects_of(text: str, runs: Iterable[str], folder: str = '') -> set[str]:
    """Configs, folders of configs, and runs that a line names.

    A line of a card, which lies in ``folder``, links to configs from there, and speaks of the whole folder if it names
    none.
    """
    quoted = {found[1].strip().replace(r'\|', '|') for found in CODE.findall(text)}
    named = {found.rstrip('./') for found in CONFIG.findall(text)}
    if folder:
        named |= {posixpath.normpath(posixpath.join(folder, target)) for target in LINK.findall(text)}
    paths = {posixpath.dirname(path) if path.endswith(OF_FOLDER) else path for path in named if path.startswith(PATHS)}
    if folder and not any(path.endswith('.py') for path in paths):
        paths.add(folder)
    return (quoted & set(runs)) | paths


def _card_folder(path: Path, known: KnownNumbers, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    if path.name != 'README.md' or not path.is_relative_to(root):
        return ''
    folder = path.parent.relative_to(root).as_posix()
    return folder if any(subject.startswith(f'{folder}/') for subject in known.subjects()) else ''


def _claims(text: str, counts_excused: bool) -> Iterator[str]:
    text = re.sub(r'\\([\\`*_{}\[\]<>|])', r'\1', text)
    for name, rule in RULES.items():
        # The text of a link stays.
        text = rule.sub(lambda found, name=name: (']' if name == 'address' and found[0][0] == ']' else '') + ' ', text)
    for found in NUMBER.finditer(text):
        whole = _plain(found['digits']).isdigit()
        if counts_excused and whole and not HAS_UNIT.match(text, found.end()):
            continue
        before = text[: found.start()].rstrip(' ')
        # A hyphen after a number makes a range of it, not a negative number.
        sign = '' if before[-1:].isdigit() and found['sign'] != '+' else (found['sign'] or '')
        yield sign + found['digits']


def _reads(known: Known, number: str) -> bool:
    value, decimals = _parsed(number)
    return known.reads(value, decimals) or (number[0] not in '+-−' and known.reads(-value, decimals))


def _plain(number: str) -> str:
    return number.replace(',', '').replace(' ', '').replace('−', '-')


def _parsed(number: str) -> tuple[float, int]:
    plain = _plain(number)
    # A learning rate such as 1e-4 is quoted in full.
    return float(plain), 12 if 'e' in plain else len(plain.partition('.')[2])


def _nearest(number: str, candidates: Sequence[Known]) -> str:
    value = abs(_parsed(number)[0])
    printed = ((one, known.source) for known in candidates for one in known.printed() if math.isfinite(one))
    near = min(printed, key=lambda pair: abs(abs(pair[0]) - value), default=None)
    return f'{near[0]:.6g}, {near[1]}' if near else ''


def _excused(text: str) -> set[str]:
    return {number for found in EXCUSE.finditer(text) for number in re.split(r'[\s,;]+', found['numbers']) if number}
