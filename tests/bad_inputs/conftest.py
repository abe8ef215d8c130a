"""Tools run on bad input, in this process: what they say, how they end, and what they leave behind.

Every case is a function that makes the bad input in a folder of its own, with a readable id. `refused` and `misused`
run a tool on it and check all that must hold for any bad input: the exit status, one line that names the fault, no
traceback (`main` returns), and a folder that is afterwards what it was before.
"""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
COLLECTED = pytest.StashKey[list]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what was collected here, before anything is deselected."""
    config.stash[COLLECTED] = [item for item in items if item.path.parent == HERE]


@pytest.fixture
def collected_cases(request: pytest.FixtureRequest) -> list[pytest.Item]:
    """All cases of this folder that were collected."""
    return request.config.stash[COLLECTED]


@pytest.fixture(scope='session')
def load_tool(root: Path) -> Callable[[str], ModuleType]:
    """Import a script of ``tools/``, once, by its path below that folder."""
    loaded: dict[str, ModuleType] = {}

    def load(path: str) -> ModuleType:
        if path not in loaded:
            source = root / 'tools' / path
            spec = importlib.util.spec_from_file_location(source.stem, source)
            loaded[path] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded[path])
        return loaded[path]

    return load


@pytest.fixture(autouse=True)
def _runs_of_its_own(forget_runs: Callable[[], None]) -> Iterator[None]:
    """A run's logger and the like are kept by name, a time in seconds: the next test must not get those of this one."""
    yield
    forget_runs()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, str]:
    """Every entry below a folder -> digest of a file, target of a link, or what else it is."""

    def describe(path: Path) -> str:
        if path.is_symlink():
            return f'link to {path.readlink()}'
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return 'folder' if path.is_dir() else 'other'

    return {path.relative_to(folder).as_posix(): describe(path) for path in folder.rglob('*')}


@pytest.fixture
def unchanged() -> Callable:
    """``with unchanged(folder):`` checks that the block writes, changes and deletes nothing below the folder."""

    @contextmanager
    def check(folder: Path) -> Iterator[None]:
        before = tree(folder)
        yield
        after = tree(folder)
        assert after == before, f'written or lost: {sorted(set(before.items()) ^ set(after.items()))[:6]}'

    return check


@pytest.fixture
def refused(load_tool, work, capsys, unchanged) -> Callable[..., str]:
    """``refused(tool, argv, *parts)``: it ends with 1 and one error line; all ``parts`` (patterns) are in it."""

    def call(tool: str, argv: list, *parts: str, folder: Path = work) -> str:
        main = load_tool(tool).main
        capsys.readouterr()
        with unchanged(folder):
            status = main([str(argument) for argument in argv])
        shown = capsys.readouterr().err
        errors = [line for line in shown.splitlines() if line.startswith('error: ')]
        assert status == 1, shown
        assert len(errors) == 1, shown
        assert 'Traceback' not in shown
        for part in parts:
            assert re.search(part, errors[0]), f'{part!r} is not in: {errors[0]}'
        return errors[0]

    return call


@pytest.fixture
def misused(load_tool, work, capsys, unchanged) -> Callable[..., str]:
    """``misused(tool, argv, *parts)``: a command line that is none ends with 2 before anything else happens."""

    def call(tool: str, argv: list, *parts: str) -> str:
        main = load_tool(tool).main
        capsys.readouterr()
        with unchanged(work), pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in argv])
        shown = capsys.readouterr().err
        assert ended.value.code == 2
        last = shown.strip().splitlines()[-1]
        assert 'error: ' in last
        for part in parts:
            assert re.search(part, last), f'{part!r} is not in: {last}'
        return last

    return call
