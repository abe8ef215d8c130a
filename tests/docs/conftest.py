"""A copy of the project's folder in which the documents' shell lines are run."""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # the modules of this folder that are no tests

from workshop import Workshop  # noqa: E402


@pytest.fixture(scope='session')
def workshop(root: Path, tmp_path_factory: pytest.TempPathFactory, forget_runs: Callable[[], None]) -> Workshop:
    return Workshop(root, tmp_path_factory.mktemp('docs') / 'mmext', forget_runs)


@pytest.fixture(scope='session')
def option_strings(root: Path, workshop: Workshop) -> Callable[[str], set[str]]:
    """Tool -> the options that its ``--help`` shows."""
    found: dict[str, set[str]] = {}

    def of(tool: str) -> set[str]:
        if tool not in found:
            shown = io.StringIO()
            module = workshop.tool(root / tool)
            parse = getattr(module, 'parse_args', module.main)
            with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
                parse(['--help'])
            found[tool] = set(re.findall(r'--[a-z][\w-]*', shown.getvalue()))
        return found[tool]

    return of
