"""The wheel and the sdist, built through the PEP 517 hooks that pip and uv call; no network, no installer."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'mmext', 'configs', 'tools')


def call_hook(project: Path, hook: str, out: Path) -> Path:
    """Runs one PEP 517 hook in `project` and returns the file it wrote into `out`."""
    code = f'import sys; from setuptools import build_meta; print(build_meta.{hook}(sys.argv[1]))'
    out.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, '-c', code, str(out)], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A copy of what a release is built from, plus things that must not be shipped."""
    target = tmp_path_factory.mktemp('tree') / 'mmext'
    target.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy2(source, target / name)
    (target / 'configs' / '_shipped_').mkdir()
    (target / 'configs' / '_shipped_' / 'recipe.py').write_text('x = 1\n')
    script = target / 'tools' / 'shipped.sh'
    script.write_text('#!/bin/sh\n')
    script.chmod(0o755)
    for junk in ('configs/__pycache__/recipe.cpython-311.pyc', 'tools/.cache/notes.txt', 'configs/_shipped_/old.pyc'):
        (target / junk).parent.mkdir(parents=True, exist_ok=True)
        (target / junk).write_bytes(b'junk')
    return target


@pytest.fixture(scope='module')
def sdist(project, tmp_path_factory) -> Path:
    return call_hook(project, 'build_sdist', tmp_path_factory.mktemp('sdist'))


@pytest.fixture(scope='module')
def unpacked_wheel(sdist, tmp_path_factory) -> Path:
    """The wheel is built from the sdist: that proves the sdist complete at the same time."""
    folder = tmp_path_factory.mktemp('from_sdist')
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter='data')
    wheel = call_hook(next(folder.iterdir()), 'build_wheel', folder / 'dist')
    unpacked = tmp_path_factory.mktemp('unpacked')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def shipped(root: Path) -> set[str]:
    """What should be in the wheel, found in another way than setup.py finds it."""
    found = set()
    for top in ('configs', 'tools'):
        for folder, folders, files in os.walk(root / top):
            folders[:] = [name for name in folders if name != '__pycache__' and not name.startswith('.')]
            names = [name for name in files if not name.startswith('.') and not name.endswith('.pyc')]
            found |= {str(Path(folder, name).relative_to(root)) for name in names}
    return found


def test_wheel_from_sdist_ships_every_recipe_and_tool(project, unpacked_wheel):
    mim = unpacked_wheel / 'mmext' / '.mim'
    expected = shipped(project)
    assert {'configs/_shipped_/recipe.py', 'tools/shipped.sh'} <= expected
    assert {str(path.relative_to(mim)) for path in mim.rglob('*') if path.is_file()} == expected


def test_wheel_ships_every_module_and_the_licence(project, unpacked_wheel):
    """Modules, and the data that modules read."""
    files = [path for path in (project / 'mmext').rglob('*') if path.suffix in ('.py', '.yml')]
    assert {'.py', '.yml'} == {path.suffix for path in files}
    missing = [path for path in files if not (unpacked_wheel / path.relative_to(project)).is_file()]
    assert not missing
    licences = list(unpacked_wheel.glob('mmext-*.dist-info/licenses/LICENSE'))
    assert [path.read_text() for path in licences] == [(ROOT / 'LICENSE').read_text()]


def test_building_leaves_no_copy_in_the_source_tree(project, sdist, unpacked_wheel):
    assert not (project / 'mmext' / '.mim').exists()


def test_rebuild_forgets_deleted_recipes(project, tmp_path):
    tree = tmp_path / 'tree'
    shutil.copytree(project, tree)
    call_hook(tree, 'build_wheel', tmp_path / 'first')
    (tree / 'configs' / '_shipped_' / 'recipe.py').unlink()
    with zipfile.ZipFile(call_hook(tree, 'build_wheel', tmp_path / 'second')) as archive:
        names = archive.namelist()
    assert 'mmext/.mim/tools/shipped.sh' in names
    assert 'mmext/.mim/configs/_shipped_/recipe.py' not in names


def test_editable_install_needs_no_copy(project, tmp_path):
    with zipfile.ZipFile(call_hook(project, 'build_editable', tmp_path)) as archive:
        assert not [name for name in archive.namelist() if '.mim' in name]
    assert not (project / 'mmext' / '.mim').exists()


def test_import_from_the_wheel_alone_is_light(unpacked_wheel, tmp_path):
    """`-I -S`: no site-packages, so an import of torch or a toolbox at package level would fail outright."""
    code = 'import sys; sys.path.insert(0, sys.argv[1]); import mmext; print(mmext.__version__, mmext.__file__)'
    command = [sys.executable, '-I', '-S', '-c', code, str(unpacked_wheel)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(unpacked_wheel) in done.stdout


def test_import_does_not_load_torch_or_a_toolbox_that_is_installed(unpacked_wheel, tmp_path):
    code = (
        'import sys; sys.path.insert(0, sys.argv[1]); import mmext\n'
        "print([m for m in ('torch', 'mmengine', 'mmcv', 'mmseg', 'mmdet', 'mmpretrain', 'numpy') if m in sys.modules])"
    )
    command = [sys.executable, '-c', code, str(unpacked_wheel)]
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, '[]'), done.stderr
