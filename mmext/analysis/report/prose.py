"""Markdown and HTML as lines of one form, for whoever looks for numbers in them: `code`, [text](link), | cells |."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

FENCE = re.compile(r'^\s*(```+|~~~+)')
SEPARATOR = re.compile(r'^\s*\|?[\s:|-]+\|?\s*$')
CELLS = re.compile(r'(?<!\\)\|')
# Elements of a page whose text is no claim: programs, and messages quoted from files.
SILENT = {'script', 'style', 'title'}
BLOCKS = {'p', 'li', 'h1', 'h2', 'h3', 'caption', 'figcaption', 'dt', 'dd', 'summary', 'div', 'section', 'header', 'tr'}


class ProseError(ValueError):
    """A file that is neither Markdown nor HTML; the message names it."""


@dataclass(frozen=True)
class Line:
    """A line.

    Attributes:
        number: In its file, from 1.
        text: Of it; of a row of a table its cells between bars.
        cells: Of a row below a table's heading; None for all other lines.
    """

    number: int
    text: str
    cells: tuple[str, ...] | None = None


def read_lines(path: str | Path) -> list[Line]:
    """Lines of a file by its suffix: .md, .html or .htm.

    Raises:
        ProseError: another suffix, or no UTF-8 text.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.md', '.html', '.htm'):
        raise ProseError(f'{path}: numbers are checked in .md and .html files; give one of these')
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ProseError(f'{path}: no UTF-8 text ({error}); convert the file') from error
    return markdown_lines(text) if path.suffix.lower() == '.md' else html_lines(text)


def markdown_lines(text: str) -> list[Line]:
    """Lines of Markdown without fenced code; comments stay."""
    lines, fence, below = [], '', False
    source = text.splitlines()
    for index, line in enumerate(source):
        mark = FENCE.match(line)
        if fence:
            fence = '' if mark and mark[1].startswith(fence) else fence
            continue
        if mark:
            fence = mark[1]
            continue
        is_row = line.count('|') > 1 and line.lstrip().startswith('|')
        if is_row and SEPARATOR.match(line):
            below = True
            continue
        following = source[index + 1] if index + 1 < len(source) else ''
        heading = is_row and bool(SEPARATOR.match(following)) and following.count('|') > 1
        below = below and is_row and not heading
        cells = tuple(cell.strip() for cell in CELLS.split(line.strip().strip('|'))) if is_row and below else None
        lines.append(Line(index + 1, line, cells))
    return lines


def html_lines(text: str) -> list[Line]:
    """Blocks of a page, and rows of its tables, as Markdown would write them."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.end_block()
    return reader.lines


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[Line] = []
        self._text, self._start, self._silent = '', 1, 0
        self._row: list[str] | None = None
        self._is_heading = False
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or '' for name, value in attrs}
        if self._silent or tag in SILENT or (tag == 'article' and 'notice' in values.get('class', '')):
            # Only what is closed again counts.
            self._silent += tag in SILENT or tag == 'article'
            return
        if tag == 'tr':
            self.end_block()
            self._row, self._start, self._is_heading = [], self.getpos()[0], True
        elif tag in ('td', 'th') and self._row is not None:
            self._text = ''
            self._is_heading = self._is_heading and tag == 'th'
        elif tag in BLOCKS:
            self.end_block()
            self._start = self.getpos()[0]
        elif tag == 'code':
            self._text += '`'
        elif tag == 'a':
            self._links.append(values.get('href', ''))
            self._text += '['

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            self._silent -= tag in SILENT or tag == 'article'
            return
        if tag in ('td', 'th') and self._row is not None:
            self._row.append(' '.join(self._text.split()))
            self._text = ''
        elif tag == 'tr' and self._row is not None:
            row, self._row = self._row, None
            if any(row):
                text = '| ' + ' | '.join(row) + ' |'
                self.lines.append(Line(self._start, text, None if self._is_heading else tuple(row)))
        elif tag in BLOCKS:
            self.end_block()
        elif tag == 'code':
            self._text += '`'
        elif tag == 'a' and self._links:
            self._text += f']({self._links.pop()})'

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text += data

    def end_block(self) -> None:
        """What was read so far is a line."""
        text = ' '.join(self._text.split())
        if text and self._row is None:
            self.lines.append(Line(self._start, text))
        if self._row is None:
            self._text = ''
