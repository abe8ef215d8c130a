"""What can be wrong with images and annotations in PASCAL VOC's layout, and the rule that each kind has.

A rule is ``'error'`` (the data cannot be used), ``'warn'`` (kept after the stated repair) or ``'drop'`` (the object is
left out; no kind's default). Whatever the rule, every problem is counted and listed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

AGAIN = 'unpack the archive again, or take the id out of the list'
# Kind -> the rules it can have, the default first, and what is or can be done about it.
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    'missing_annotation': (('error',), AGAIN),
    'malformed_xml': (('error',), AGAIN),
    'refused_xml': (('error',), 'an annotation needs no document type; do not trust where the file came from'),
    'missing_image': (('error',), AGAIN),
    'unreadable_image': (('error',), AGAIN),
    'missing_size': (('warn', 'error'), 'the size of the image is taken'),
    'size_mismatch': (('error', 'warn'), "correct <size>; the rule 'warn' takes the size of the image"),
    'no_objects': (('warn', 'error'), 'the image is kept, without objects'),
    'unknown_class': (('error', 'drop'), "correct <name>; the rule 'drop' leaves the object out"),
    'bad_coordinates': (('error', 'drop'), "correct <bndbox>; the rule 'drop' leaves the object out"),
    'empty_box': (('error', 'drop'), "correct <bndbox>; the rule 'drop' leaves the object out"),
    'box_outside': (('warn', 'error'), 'the box is clipped to the image'),
    'missing_difficult': (('warn', 'error'), 'taken as 0: not difficult'),
    'bad_difficult': (('error', 'warn'), "write 0 or 1 in <difficult>; the rule 'warn' takes it as 0"),
    'bad_truncated': (('warn', 'error'), 'taken as 0: not truncated'),
}
DEFAULT_RULES = {kind: possible[0] for kind, (possible, _) in KINDS.items()}


class VOCError(ValueError):
    """Data in VOC's layout that cannot be used; the message names the file, the value and the fix."""


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        kind: A key of `KINDS`.
        rule: ``'error'``, ``'warn'`` or ``'drop'``.
        file: The annotation or the image.
        object: Index of the object in the file, from 0; None if the whole file is concerned.
        value: What was found.
    """

    kind: str
    rule: str
    file: str
    object: int | None
    value: str

    def __str__(self) -> str:
        where = self.file if self.object is None else f'{self.file}, object {self.object}'
        return f'{where}: {self.kind.replace("_", " ")}: {self.value}; {KINDS[self.kind][1]}'


class ProblemList(list[Problem]):
    """Problems in the order in which they were found, and the rules they are judged by.

    Args:
        rules: Kind -> rule, for the kinds that differ from `DEFAULT_RULES`.

    Raises:
        ValueError: An unknown kind, or a rule that the kind cannot have.
    """

    def __init__(self, rules: Mapping[str, str] | None = None) -> None:
        super().__init__()
        for kind, rule in (rules or {}).items():
            if kind not in KINDS:
                near = get_close_matches(kind, KINDS, n=1, cutoff=0)[0]
                raise ValueError(f'rules: {kind!r} is no kind of problem; did you mean {near!r}? One of {list(KINDS)}')
            if rule not in KINDS[kind][0]:
                raise ValueError(f'rules: {kind}={rule!r} is not possible; one of {list(KINDS[kind][0])}')
        self.rules = DEFAULT_RULES | dict(rules or {})

    def add(self, kind: str, file: str | Path, value: str, index: int | None = None) -> str:
        """Note a problem, and return its rule."""
        self.append(Problem(kind, self.rules[kind], str(file), index, value))
        return self.rules[kind]

    @property
    def errors(self) -> list[Problem]:
        """Those that make the data unusable."""
        return [problem for problem in self if problem.rule == 'error']

    def raise_errors(self, hint: str = '') -> None:
        """Raise `VOCError` about the first error, with the number of all and a hint."""
        if errors := self.errors:
            count = f'{len(errors)} errors in all' if len(errors) > 1 else ''
            more = '; '.join(filter(None, (count, hint)))
            raise VOCError(f'{errors[0]}{f" ({more})" if more else ""}')


def count_kinds(problems: Iterable[Problem]) -> dict[str, int]:
    """Kind -> number of problems, the most frequent first."""
    return dict(Counter(problem.kind for problem in problems).most_common())
