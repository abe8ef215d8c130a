"""Fenced blocks of the project's Markdown files."""

import re
from dataclasses import dataclass
from pathlib import Path

# What a reader is told to type stands in these files.
DOCUMENTS = ('README.md', 'docs/**/*.md', 'data/README.md', 'configs/**/README.md')
FENCE = re.compile(r'^```(\w*)\s*\n(.*?)^```\s*$', re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r'# ([\w.]+\.\w+)\n')


@dataclass(frozen=True)
class Block:
    """The inside of a fence, the line of the document where it begins, and the word behind the fence."""

    line: int
    language: str
    text: str

    @property
    def file_name(self) -> str | None:
        """Under which the reader saves it: the first line is a comment with a file name; None of other blocks."""
        found = FILE_NAME.match(self.text) if self.language == 'python' else None
        return found[1] if found else None


def find_documents(root: Path) -> list[str]:
    """Paths below the project's folder of the documents that hold any shell line."""
    paths = {path for pattern in DOCUMENTS for path in root.glob(pattern)}
    chosen = [path for path in paths if any(block.language == 'shell' for block in read_blocks(path))]
    return sorted(path.relative_to(root).as_posix() for path in chosen)


def read_blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding='utf-8')
    return [Block(text.count('\n', 0, found.start(2)) + 1, found[1], found[2]) for found in FENCE.finditer(text)]
