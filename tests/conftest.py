import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
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


def _work(rank: int, port: int, function: Callable, arguments: tuple, results: multiprocessing.Queue) -> None:
    import torch

    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    results.put((rank, function(rank, *arguments)))
    torch.distributed.destroy_process_group()


@pytest.fixture
def in_two_processes() -> Callable[..., list]:
    """Call ``function(rank, *arguments)`` in two processes of one gloo group; what both return, by rank."""

    def call(function: Callable, *arguments) -> list:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        # Forked: a fresh interpreter would need seconds to import the toolbox.
        context = multiprocessing.get_context('fork')
        results = context.Queue()
        workers = [
            context.Process(target=_work, args=(rank, port, function, arguments, results), daemon=True)
            for rank in range(2)
        ]
        for worker in workers:
            worker.start()
        found = dict(results.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        return [found[rank] for rank in range(2)]

    return call


def _forget_runs() -> None:
    manager = sys.modules.get('mmengine.utils.manager')
    kinds = [manager.ManagerMixin] if manager else []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        for instance in kind._instance_dict.values():
            for handler in getattr(instance, 'handlers', ()):
                handler.close()
        kind._instance_dict.clear()


@pytest.fixture(scope='session')
def forget_runs() -> Callable[[], None]:
    """Call it to let go of a run's logger, visualizer and scope, which mmengine keeps by name and class."""
    return _forget_runs


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder under version control, with one file, ``config.py``, committed."""
    folder = tmp_path / 'repository'
    folder.mkdir()
    (folder / 'config.py').write_text('a = 1')
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'commit.gpgsign=false']
    for arguments in (['init'], ['add', '.'], ['commit', '-m', 'first']):
        subprocess.run(['git', '-C', str(folder), *identity, *arguments], check=True, capture_output=True)
    return folder


@pytest.fixture(autouse=True)
def _scope_of_its_own() -> None:
    """A Runner sets the default scope of the whole process; the next test must not see it."""
    registry = sys.modules.get('mmengine.registry')
    before = dict(registry.DefaultScope._instance_dict) if registry else {}
    yield
    if registry := sys.modules.get('mmengine.registry'):
        registry.DefaultScope._instance_dict.clear()
        registry.DefaultScope._instance_dict.update(before)


@pytest.fixture(autouse=True, scope='session')
def _checkpoints_of_the_original_line() -> None:
    """There mmengine cannot read its own checkpoints; tests that call it directly shall not depend on their order."""
    from mmext.common.toolbox_line import ORIGINAL, installed_line

    if installed_line() == ORIGINAL:
        from mmext.common.checkpoints import use_safe_loading

        use_safe_loading()
