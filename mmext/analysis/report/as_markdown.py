"""A document as Markdown, with its pictures beside it, and its tables as CSV files."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from .document import Cell, Document, Gallery, Notes, Plot, Table

PICTURES = 'pictures'
SUFFIXES = {b'\x89PNG': '.png', b'\xff\xd8\xff': '.jpg', b'GIF8': '.gif', b'RIFF': '.webp'}
# Characters that mean something in Markdown wherever they stand.
SPECIAL = re.compile(r'([\\`*_{}\[\]<>|])')


def render_markdown(document: Document) -> tuple[str, dict[str, bytes]]:
    """The text, and the pictures that it shows: path relative to the text -> bytes."""
    pictures: dict[str, bytes] = {}
    lines = [f'# {_plain(document.title)}', '', _plain(document.lead), '']
    for part in document.parts:
        lines += [f'<a id="{part.anchor}"></a>', '']
        lines += [f'## {_plain(part.title)}{f" {_code(part.name)}" if part.name else ""}', '']
        lines += [_plain(part.intro), ''] if part.intro else []
        for block in part.blocks:
            lines += [*_block(block, pictures), '']
    return '\n'.join(lines).rstrip('\n') + '\n', pictures


def render_csv(tables: list[Table]) -> str:
    """Every entry of every table, one a row: table, row, column, text, value, source."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['table', 'row', 'column', 'text', 'value', 'source'])
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns[1:], row[1:], strict=True):
                value = '' if cell.value is None or cell.value != cell.value else repr(cell.value)
                writer.writerow([table.name, row[0].text, column, cell.text, value, cell.source])
    return file.getvalue()


def _block(block: Any, pictures: dict[str, bytes]) -> Iterator[str]:
    if isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Plot):
        path = _add(pictures, block.name, block.light)
        yield f'![{_plain(block.alt)}]({path})'
    elif isinstance(block, Gallery):
        yield _plain(block.caption)
        yield ''
        for number, thumbnail in enumerate(block.pictures):
            if thumbnail.picture is None:
                yield f'- {_code(thumbnail.title)}: {_plain(thumbnail.placeholder)}'
            else:
                path = _add(pictures, f'{block.name}-{number}', thumbnail.picture)
                yield f'- ![{_plain(thumbnail.title)}]({path}) {_code(thumbnail.title)}'
    elif isinstance(block, Notes):
        yield f'**{_plain(block.title)}**'
        yield ''
        yield from (f'- {_code(line) if block.quoted else _plain(line)}' for line in block.lines)
    else:
        yield _plain(block)


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield _plain(table.caption)
        yield ''
    yield '| ' + ' | '.join(_plain(column) for column in table.columns) + ' |'
    numeric = [any(row[index].is_number for row in table.rows) for index in range(len(table.columns))]
    yield '|' + '|'.join(' ---: ' if number else ' --- ' for number in numeric) + '|'
    for row in table.rows:
        yield '| ' + ' | '.join(_entry(cell) for cell in row) + ' |'


def _entry(cell: Cell) -> str:
    text = _code(cell.text).replace('|', r'\|') if cell.code else _plain(cell.text)
    return f'[{text}]({_address(cell.link)})' if cell.link else text


def _add(pictures: dict[str, bytes], name: str, content: bytes) -> str:
    suffix = next((suffix for start, suffix in SUFFIXES.items() if content.startswith(start)), '.png')
    path = f'{PICTURES}/{re.sub(r"[^A-Za-z0-9._-]+", "-", name)}{suffix}'
    pictures[path] = content
    return path


def _plain(text: str) -> str:
    return SPECIAL.sub(r'\\\1', ' '.join(text.split()))


def _code(text: str) -> str:
    text = ' '.join(text.split())
    fence = '``' if '`' in text else '`'
    return f'{fence} {text} {fence}' if fence == '``' else f'`{text}`'


def _address(link: str) -> str:
    return link.replace(' ', '%20').replace('(', '%28').replace(')', '%29')
