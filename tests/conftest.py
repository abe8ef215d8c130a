import os
from pathlib import Path

# Two test processes share two cores: more threads than that only wait for each other.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope='session')
def sample(root: Path) -> Path:
    """The embedded KITTI-like sample in the raw layout."""
    return root / 'data' / 'samples' / 'kitti_seg'


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """Work in the project's folder, where the relative paths of the configs hold."""
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def mmseg_scope() -> None:
    """Registries answer for mmseg; the scope is global to the process."""
    from mmengine.registry import DefaultScope

    import mmext.segmentation  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmseg'):
        yield
