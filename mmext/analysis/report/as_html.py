"""A document as one HTML page. Cells of its tables say where their numbers come from, and link to it."""

from html import escape
from typing import Any

from markupsafe import Markup

from mmext.common.html_page import INVISIBLE, Column, HtmlPage, Section

from .document import Cell, Document, Gallery, Notes, Part, Plot, Table

# So many characters of an entry are kept on one line.
SHORT = 26


class ReportSection(Section):
    """A section whose tables may have cells with a link, an explanation, and names in type of fixed width."""

    def cells(self, table: Table) -> None:
        """A table that its headings sort."""
        rows = [[(_markup(cell, index == 0), _key(cell)) for index, cell in enumerate(row)] for row in table.rows]
        numeric = [any(row[index].is_number for row in table.rows) for index in range(len(table.columns))]
        columns = [Column(title) for title in table.columns]
        self._add('table', columns=columns, rows=rows, numeric=numeric, caption=table.caption)


class ReportPage(HtmlPage):
    """A page of such sections."""

    def part(self, part: Part) -> ReportSection:
        """Add a section with everything in it."""
        section = ReportSection(f'{part.title} {part.name}'.strip(), part.anchor, part.intro)
        self.sections.append(section)
        for block in part.blocks:
            _show(section, block)
        return section


def render_html(document: Document) -> str:
    """The source of the page."""
    page = ReportPage(document.title, document.lead)
    for part in document.parts:
        page.part(part)
    return page.render()


def _show(section: ReportSection, block: Any) -> None:
    if isinstance(block, Table):
        section.cells(block)
    elif isinstance(block, Plot):
        section.figure(block.light, block.dark, block.alt)
    elif isinstance(block, Gallery):
        section.gallery(block.pictures, block.caption)
    elif isinstance(block, Notes) and not block.quoted:
        section.text('\n'.join([f'{block.title}:', *block.lines]))
    elif isinstance(block, Notes):
        section.notice(block.level, block.title, '\n'.join(block.lines))
    else:
        section.text(block)


def _markup(cell: Cell, names_row: bool) -> Markup:
    text = escape(_visible(cell.text))
    if len(cell.text) <= SHORT and not names_row:
        # In narrow columns every row would be many lines high.
        text = text.replace(' ', '\u00a0')
    if cell.code:
        text = f'<code class="long">{text}</code>' if len(cell.text) > SHORT else f'<code>{text}</code>'
    title = f' title="{escape(_visible(cell.source))}"' if cell.source else ''
    if cell.link:
        return Markup(f'<a href="{escape(_visible(cell.link))}"{title}>{text}</a>')
    return Markup(f'<span{title}>{text}</span>' if title else text)


def _key(cell: Cell) -> str | None:
    if cell.value is None:
        return '' if cell.text == '–' else None
    return '' if cell.value != cell.value else repr(float(cell.value))


def _visible(text: str) -> str:
    return INVISIBLE.sub(lambda found: found[0].encode('unicode_escape').decode('ascii'), text)
