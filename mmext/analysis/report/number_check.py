"""Finds numbers in Markdown and HTML that no run and no published figure has.

Every number of a text is a claim, but for what one of these rules excuses:

- code: fenced blocks, `code`, comments, addresses, targets of links, paths and names of files
- version: three parts or more (2.10.0), after ``==``, ``>=`` and the like, or after the name of a program (Python 3.10)
- size: 375 x 1242, 2x3
- date: 2026-01-31, 2026, 11:30; also arXiv:2206.12571
- name: digits that belong to a word, as in ResNet-18, R18, 8xb2, top-1, mAP@.5, FCN-32s, 20k; Table 3, Figure 1
- count: a whole number without a unit, in running text, in a heading and in the first column of a table

What else a file says on purpose it excuses itself, with the reason: ``<!-- numbers: 130, 0.92 (why) -->``.
"""

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
NUMBER = re.compile(r'(?<![\w.])(?P<sign>[+−-](?=[\d.]))?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)')
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
    'word after': re.compile(r'(?<![\w.])\d[\d.]*-?(?!(?:ms|M|G|GB|MB|FPS)\b)[A-Za-z_][\w-]*'),
    'year': re.compile(r'(?<![\w.,])(?:19|20)\d{2}(?![\w%]|[.,]\d| ?(?:' + UNIT + '))'),
}
EXCUSE = re.compile(r'<!--\s*numbers:(?P<numbers>[^()]*)\((?P<reason>[^)]*\S[^)]*)\)\s*-->')
CONFIG = re.compile(r'configs/[\w./+-]+')


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


def check_file(path: str | Path, known: KnownNumbers) -> list[Problem]:
    """Numbers of a file without a source, in its order.

    Raises:
        ProseError: as `mmext.analysis.report.prose.read_lines`.
        OSError: it cannot be read.
    """
    return check_lines(read_lines(path), known, str(path))


def check_lines(lines: Sequence[Line], known: KnownNumbers, file: str) -> list[Problem]:
    """As `check_file`, of lines."""
    excused = {number for line in lines for number in _excused(line.text)}
    runs = {subject for subject in known.subjects() if not subject.startswith('configs/')}
    problems = []
    for line in lines:
        about = subjects_of(line.text, runs)
        candidates = None
        for number in claims(line):
            if number.lstrip('+-−') in excused:
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


def subjects_of(text: str, runs: Iterable[str]) -> set[str]:
    """Configs, folders of configs, and runs that a line names."""
    quoted = {found[1].strip().replace(r'\|', '|') for found in CODE.findall(text)}
    return (quoted & set(runs)) | {found.rstrip('./') for found in CONFIG.findall(text)}


def _claims(text: str, counts_excused: bool) -> Iterator[str]:
    text = re.sub(r'\\([\\`*_{}\[\]<>|])', r'\1', text)
    for name, rule in RULES.items():
        # The text of a link stays.
        text = rule.sub(lambda found, name=name: (']' if name == 'address' and found[0][0] == ']' else '') + ' ', text)
    for found in NUMBER.finditer(text):
        whole = found['digits'].replace(',', '').isdigit()
        if counts_excused and whole and not HAS_UNIT.match(text, found.end()):
            continue
        before = text[: found.start()].rstrip(' ')
        # A hyphen after a number makes a range of it, not a negative number.
        sign = '' if before[-1:].isdigit() and found['sign'] != '+' else (found['sign'] or '')
        yield sign + found['digits']


def _reads(known: Known, number: str) -> bool:
    value, decimals = _parsed(number)
    return known.reads(value, decimals) or (number[0] not in '+-−' and known.reads(-value, decimals))


def _parsed(number: str) -> tuple[float, int]:
    plain = number.replace(',', '').replace('−', '-')
    return float(plain), len(plain.partition('.')[2])


def _nearest(number: str, candidates: Sequence[Known]) -> str:
    value = abs(_parsed(number)[0])
    near = min(candidates, key=lambda known: abs(abs(known.value) - value), default=None)
    return '' if near is None or near.value != near.value else f'{near.value:.6g}, {near.source}'


def _excused(text: str) -> set[str]:
    return {number for found in EXCUSE.finditer(text) for number in re.split(r'[\s,;]+', found['numbers']) if number}
