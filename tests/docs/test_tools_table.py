"""The documents name every tool, and only options that it has."""

import re
from pathlib import Path

from shell_blocks import DOCUMENTS

ROOT = Path(__file__).resolve().parents[2]
SPAN = re.compile(r'`([^`\n]+)`')
OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]*')
TOOL = re.compile(r'(?:tools/)?(?:\w+/)?\w+\.(?:py|sh)')
# Written in code spans, but options of other programs: pip, uv, pytest, the shell scripts' own programs.
OTHERS = {'--no-deps', '--no-build-isolation'}


def tools() -> list[str]:
    found = [path for suffix in ('py', 'sh') for path in (ROOT / 'tools').rglob(f'*.{suffix}')]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def texts() -> dict[str, str]:
    paths = {path for pattern in DOCUMENTS for path in ROOT.glob(pattern)}
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding='utf-8') for path in paths}


def test_the_index_names_every_tool_once():
    index = (ROOT / 'docs' / 'README.md').read_text(encoding='utf-8')
    rows = [line for line in index.splitlines() if line.startswith('| `tools/')]
    named = [tool for row in rows for tool in re.findall(r'`(tools/[\w/]+\.\w+)`', row.split('|')[1])]
    assert sorted(named) == tools()
    assert all(len(row.split('|')[2].strip()) > 10 for row in rows)


def test_tools_that_are_named_are_there():
    there = set(tools())
    wrong = [
        f'{name}: {tool}'
        for name, text in texts().items()
        for tool in re.findall(r'(?<![\w/])tools/[\w/]+\.(?:py|sh)', text)
        if tool not in there
    ]
    assert not wrong


def test_options_are_those_of_help(option_strings):
    python_tools = [tool for tool in tools() if tool.endswith('.py')]
    everywhere = {option for tool in python_tools for option in option_strings(tool)}
    wrong, seen = [], 0
    for name, text in texts().items():
        for span in SPAN.findall(text):
            words = tuple(f'/{word.removeprefix("tools/")}' for word in TOOL.findall(span))
            named = [tool for tool in python_tools if words and tool.endswith(words)]
            # An option alone may be that of any tool.
            known = {option for tool in named for option in option_strings(tool)} if named else everywhere
            for option in OPTION.findall(span):
                seen += 1
                if option not in known | OTHERS:
                    wrong.append(f'{name}: {option} in `{span}`')
    assert not wrong, '\n'.join(wrong)
    assert seen > 20
