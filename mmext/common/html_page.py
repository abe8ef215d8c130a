"""One HTML file that holds what it shows (text, sortable tables, figures, thumbnails) and asks no network for anything.

Every text is escaped, so that a file called ``<script>`` is shown, not run; the page's own Content-Security-Policy
forbids all other scripts, styles and addresses besides. Light or dark follows the reader's system, and paper is light.

    page = HtmlPage('Data passport', facts={'Images': 200})
    section = page.section('Splits', 'What each split holds.')
    section.table([Column('split'), Column('share', '.1%')], [('train', 0.75), ('val', 0.25)])
    section.figure(light_png, dark_png, alt='Pixels of each class')
    page.write('passport.html')
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmext.common.files import write_text

TEMPLATES = Path(__file__).with_name('templates')
LEVELS = ('error', 'warning', 'note', 'ok')
# First bytes of a picture -> its media type.
MEDIA_TYPES = {b'\x89PNG': 'image/png', b'\xff\xd8\xff': 'image/jpeg', b'GIF8': 'image/gif', b'RIFF': 'image/webp'}
# Characters that are invisible, reorder the text around them, or cannot be written as UTF-8 (bytes of a file name that
# are none): they are shown as Python escapes. Line ends and tabs stay.
INVISIBLE = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        spec: Format specification of its numbers, such as ``',d'``, ``'.1%'`` or ``'.3g'``. By default integers have
            thousands separators and other numbers four significant digits.
        hint: What the heading means, shown when the pointer rests on it.
    """

    title: str
    spec: str = ''
    hint: str = ''


@dataclass(frozen=True)
class Thumbnail:
    """A small picture with words below it.

    Attributes:
        picture: Bytes of a PNG, JPEG, GIF or WebP file; None shows a placeholder.
        title: Its name.
        lines: What there is to say about it.
        level: One of `LEVELS`: colours its edge.
        placeholder: Shown in place of the picture that is not there.
    """

    picture: bytes | None
    title: str
    lines: Sequence[str] = ()
    level: str = 'note'
    placeholder: str = 'no picture'


@dataclass(frozen=True)
class _Block:
    """Something below a heading; ``kind`` names the macro of the template that shows it."""

    kind: str
    values: Mapping[str, Any]


@dataclass
class Section:
    """A heading and what is below it; see the methods. Made by `HtmlPage.section`."""

    title: str
    anchor: str
    intro: str = ''
    count: int | None = None
    blocks: list[_Block] = field(default_factory=list)

    def text(self, text: str) -> None:
        """A paragraph; line ends are kept."""
        self._add('text', text=text)

    def facts(self, facts: Mapping[str, Cell]) -> None:
        """Names and values in two columns."""
        self._add('facts', facts={name: format_cell(value) for name, value in facts.items()})

    def notice(
        self, level: str, title: str, text: str, fix: str = '', items: Sequence[str] = (), total: int = 0
    ) -> None:
        """A box that says what is wrong (or right), what to do, and which files it is about.

        Args:
            level: One of `LEVELS`.
            title: In a few words.
            text: The message; line ends are kept.
            fix: What to do.
            items: File names and the like, folded away.
            total: How many there are, where ``items`` are only the first.
        """
        _check_level(level)
        self._add('notice', level=level, title=title, text=text, fix=fix, items=items, total=max(total, len(items)))

    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]], caption: str = '') -> None:
        """A table that its headings sort, by value where it is a number; the first column names the row.

        Raises:
            ValueError: A row has another length than ``columns``.
        """
        columns = [Column(column) if isinstance(column, str) else column for column in columns]
        rows = [list(row) for row in rows]
        if wrong := [row for row in rows if len(row) != len(columns)]:
            raise ValueError(f'table {self.title!r}: {len(columns)} columns, but a row has {len(wrong[0])}: {wrong[0]}')
        cells = [
            [(format_cell(value, column.spec), _sort_key(value)) for value, column in zip(row, columns, strict=True)]
            for row in rows
        ]
        numeric = [any(_is_number(row[index]) for row in rows) for index in range(len(columns))]
        self._add('table', columns=columns, rows=cells, numeric=numeric, caption=caption)

    def figure(self, light: bytes, dark: bytes | None = None, alt: str = '', caption: str = '') -> None:
        """A picture as wide as the page, and another one for dark mode.

        Args:
            light: Bytes of a picture with a light background.
            dark: The same with a dark background; by default the light one is shown always.
            alt: What it shows, for those who do not see it.
            caption: Below it.
        """
        self._add('figure', light=data_uri(light), dark=dark and data_uri(dark), alt=alt, caption=caption)

    def gallery(self, thumbnails: Iterable[Thumbnail], caption: str = '', wide: bool = False) -> None:
        """Thumbnails side by side.

        Args:
            thumbnails: In their order.
            caption: Above them.
            wide: Show each twice as large, as pairs of pictures need it.
        """
        thumbnails = list(thumbnails)
        for thumbnail in thumbnails:
            _check_level(thumbnail.level)
        pictures = [thumbnail.picture and data_uri(thumbnail.picture) for thumbnail in thumbnails]
        self._add('gallery', thumbnails=list(zip(thumbnails, pictures, strict=True)), caption=caption, wide=wide)

    def _add(self, kind: str, **values: Any) -> None:
        self.blocks.append(_Block(kind, values))


@dataclass
class HtmlPage:
    """A page with a table of contents; add sections, then write it.

    Attributes:
        title: Its heading and the window's title.
        lead: A sentence or two below it; line ends are kept.
        facts: Names and values shown at the top.
        footer: At the end, such as the program that wrote it.
    """

    title: str
    lead: str = ''
    facts: Mapping[str, Cell] = field(default_factory=dict)
    footer: str = ''
    sections: list[Section] = field(default_factory=list)

    template: ClassVar[str] = 'page.html.jinja'

    def section(self, title: str, intro: str = '', count: int | None = None) -> Section:
        """Add a section.

        Args:
            title: Its heading, also in the table of contents.
            intro: A paragraph below it.
            count: A number behind the heading, such as that of its findings.
        """
        taken = {section.anchor for section in self.sections}
        slug = re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-') or 'section'
        candidates = (slug if number == 1 else f'{slug}-{number}' for number in range(1, len(taken) + 2))
        section = Section(title, next(anchor for anchor in candidates if anchor not in taken), intro, count)
        self.sections.append(section)
        return section

    def render(self) -> str:
        """The page's source."""
        style, script = ((TEMPLATES / name).read_text(encoding='utf-8') for name in ('page.css', 'page.js'))
        facts = {name: format_cell(value) for name, value in self.facts.items()}
        return (
            _environment()
            .get_template(self.template)
            .render(
                page=self,
                facts=facts,
                style=Markup(style),
                script=Markup(script),
                policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; "
                "base-uri 'none'; form-action 'none'",
            )
        )

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all; the folder is made if missing."""
        write_text(path, self.render())
        return Path(path)


def data_uri(picture: bytes) -> Markup:
    """A picture as an address that holds it.

    Raises:
        ValueError: Not the bytes of a PNG, JPEG, GIF or WebP file.
    """
    media_type = next((name for start, name in MEDIA_TYPES.items() if picture.startswith(start)), None)
    if media_type is None:
        raise ValueError(f'not a PNG, JPEG, GIF or WebP picture: it starts with {picture[:8]!r}')
    # Base64 has no character that needs escaping.
    return Markup(f'data:{media_type};base64,{base64.b64encode(picture).decode("ascii")}')


def format_cell(value: Cell, spec: str = '') -> str:
    """A value as text: nothing as a dash, truth as yes or no, numbers by ``spec`` (see `Column`)."""
    if value is None or value != value:
        return '–'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if not _is_number(value):
        return str(value)
    if not spec:
        # NumPy's integers are whole too.
        spec = ',d' if float(value).is_integer() and not isinstance(value, float) else '.4g'
    return format(value, spec)


def _is_number(value: object) -> bool:
    return hasattr(value, '__float__') and not isinstance(value, (bool, str))


def _sort_key(value: Cell) -> str | None:
    """What the script sorts a cell by: digits where it is a number, '' where there is nothing, None for its text."""
    if value is None or value != value:
        return ''
    return repr(float(value)) if _is_number(value) or isinstance(value, bool) else None


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise ValueError(f'level={level!r}: must be one of {", ".join(LEVELS)}')


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _visible(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        return INVISIBLE.sub(lambda found: found[0].encode('unicode_escape').decode('ascii'), value)
    return value


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
