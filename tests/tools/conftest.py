import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope='session')
def load_tool(root: Path) -> Callable[[str], ModuleType]:
    """Import a script of ``tools/`` by its path below that folder."""

    def load(path: str) -> ModuleType:
        source = root / 'tools' / path
        spec = importlib.util.spec_from_file_location(source.stem, source)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
