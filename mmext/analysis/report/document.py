"""What a page of results consists of, whichever way it is written: sections of texts, tables, figures and pictures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmext.common.html_page import Thumbnail


@dataclass(frozen=True)
class Cell:
    """An entry of a table.

    Attributes:
        text: As shown.
        value: To sort by; by default the text is sorted.
        source: Where a number comes from, in words; shown when the pointer rests on it.
        link: Where it leads: a path relative to the page, or ``#anchor``.
        code: A name, path or hash: set in type of fixed width, and no number in it counts as one.
    """

    text: str
    value: float | None = None
    source: str = ''
    link: str = ''
    code: bool = False

    @property
    def is_number(self) -> bool:
        """Shown to the right, sorted by value."""
        return self.value is not None


NOTHING = Cell('–')


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row.

    Attributes:
        columns: Headings.
        rows: As long as ``columns`` each.
        name: Of the table in the file of all numbers.
        caption: Above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    name: str
    caption: str = ''


@dataclass(frozen=True)
class Plot:
    """A figure as PNG, for light and for dark ground.

    Attributes:
        name: Of its file, without a suffix.
        light, dark: Bytes; no ``dark`` shows the light one always.
        alt: What it shows.
    """

    name: str
    light: bytes
    alt: str
    dark: bytes | None = None


@dataclass(frozen=True)
class Gallery:
    """Small pictures; ``name`` begins the names of their files."""

    name: str
    pictures: Sequence[Thumbnail]
    caption: str = ''


@dataclass(frozen=True)
class Notes:
    """What is to be known: lines below a title; in a box where they quote messages and names of files."""

    title: str
    lines: Sequence[str]
    level: str = 'note'
    quoted: bool = True


Block = str | Table | Plot | Gallery | Notes


@dataclass
class Part:
    """A section; ``name`` is set as code behind the title, such as the name of a run."""

    title: str
    intro: str = ''
    name: str = ''
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """To link to."""
        return anchor_of(self.title, self.name)


@dataclass
class Document:
    """Everything, with a title and a sentence."""

    title: str
    lead: str
    parts: list[Part] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """All, in order."""
        return [block for part in self.parts for block in part.blocks if isinstance(block, Table)]


def anchor_of(title: str, name: str = '') -> str:
    """Letters, digits and hyphens; two names that differ in other characters only are told apart."""
    text = f'{title} {name}'.strip()
    slug = re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')
    plain = re.fullmatch(r'[a-zA-Z0-9 _-]*', text)
    return slug if plain else f'{slug}-{sum(ord(c) * (i + 1) for i, c in enumerate(text)) % 0xFFFF:x}'
