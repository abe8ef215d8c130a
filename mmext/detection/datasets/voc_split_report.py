"""What is in the parts of a split and what is wrong with them: counts, problems, notes; as tables and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from .voc_annotation import CLASSES, VOCAnnotation
from .voc_devkit import Source
from .voc_problems import ProblemList, count_kinds


@dataclass
class ClassCount:
    """Images with at least one object that is not difficult, such objects, and difficult ones."""

    images: int = 0
    objects: int = 0
    difficult: int = 0


@dataclass
class PartReport:
    """What one part holds.

    Attributes:
        sources: Pairs (year's folder, list).
        images: Lines of the lists.
        truncated: Objects with the flag, difficult or not.
        classes: Class name -> counts, in the order of `CLASSES`.
        sha256: Image id -> SHA-256 of the image file, for the images that could be read.
    """

    sources: tuple[Source, ...]
    images: int = 0
    truncated: int = 0
    classes: dict[str, ClassCount] = field(default_factory=lambda: {name: ClassCount() for name in CLASSES})
    sha256: dict[str, str] = field(default_factory=dict)

    def add(self, annotation: VOCAnnotation) -> None:
        """Count the objects of one image."""
        for found in annotation.objects:
            count = self.classes[found.name]
            count.difficult += found.difficult
            count.objects += not found.difficult
            self.truncated += found.truncated
        for name in {found.name for found in annotation.objects if not found.difficult}:
            self.classes[name].images += 1

    def total(self, what: str) -> int:
        """Sum of a `ClassCount` field over the classes."""
        return sum(getattr(count, what) for count in self.classes.values())


@dataclass
class SplitReport:
    """The result of `check_split`.

    Attributes:
        parts: Part -> counts.
        problems: Of single images and annotations, each with its rule.
        errors: What is wrong with the lists or between the parts.
        notes: What is worth knowing and no error.
    """

    parts: dict[str, PartReport] = field(default_factory=dict)
    problems: ProblemList = field(default_factory=ProblemList)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def all_errors(self) -> list[str]:
        """Errors of the lists, between the parts, and of single files."""
        return [*self.errors, *map(str, self.problems.errors)]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the totals that `tables` shows."""
        parts = {
            name: asdict(part) | {what: part.total(what) for what in ('objects', 'difficult')}
            for name, part in self.parts.items()
        }
        return dict(
            rules=self.problems.rules,
            parts=parts,
            problem_counts=count_kinds(self.problems),
            problems=[asdict(problem) for problem in self.problems],
            errors=self.errors,
            notes=self.notes,
        )

    def tables(self) -> list[Table]:
        """The parts and their classes, if a list could be read; the kinds of problems, if there are any."""
        counts = [_part_table(self.parts), _class_table(self.parts)] if self.parts else []
        return [*counts, *_problem_table(self.problems)]


def _part_table(parts: Mapping[str, PartReport]) -> Table:
    table = Table('part', 'lists', title='Parts')
    for name in ('images', 'objects', 'difficult', 'truncated'):
        table.add_column(name, justify='right')
    for name, part in parts.items():
        lists = ' + '.join(' '.join(source) for source in part.sources)
        numbers = (part.images, part.total('objects'), part.total('difficult'), part.truncated)
        table.add_row(name, lists, *map(str, numbers))
    return table


def _class_table(parts: Mapping[str, PartReport]) -> Table:
    table = Table('class', title='Images with the class / objects + difficult ones')
    for name in parts:
        table.add_column(name, justify='right')
    for name in CLASSES:
        counts = [part.classes[name] for part in parts.values()]
        table.add_row(name, *(f'{count.images} / {count.objects} + {count.difficult}' for count in counts))
    return table


def _problem_table(problems: ProblemList) -> Iterator[Table]:
    if problems:
        table = Table('problem', 'rule', 'count', 'first', title='Problems')
        for kind, count in count_kinds(problems).items():
            first = next(problem for problem in problems if problem.kind == kind)
            table.add_row(kind, first.rule, str(count), str(first))
        yield table
