"""Writes down what a run was started with: its command, the state of the code, the machine and its data."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

import mmext
from mmext.common.files import write_json
from mmext.common.toolbox_line import SUBSTITUTES, distribution_of, installed_line

NAME = 'run.json'
DATA_CHECK = 'data_check.json'
# A repository on a slow disk must not hold up a training.
GIT_SECONDS = 20


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes ``run.json`` beside the log of every training and test, once, in the main process.

    It holds: ``command``, ``config`` (its path), ``commit`` of the code and whether files differed from it (``dirty``),
    ``seed``, ``versions``, ``device``, ``threads``, ``processes``, and ``data_hash`` where the data were checked.
    What cannot be known is null.

    Args:
        repository: Folder whose commit is recorded: that of the config by default, or else that of mmext.
    """

    priority = 'VERY_LOW'

    def __init__(self, repository: str | None = None) -> None:
        self.repository = repository

    def before_run(self, runner) -> None:
        """Write the record; a disk that is full is told of, and stops nothing."""
        if not is_main_process():
            return
        config = runner.cfg.filename
        folders = [self.repository, config and Path(config).parent, Path(mmext.__file__).parent]
        record = dict(
            command=' '.join(sys.argv),
            config=str(config) if config else None,
            **code_state([folder for folder in folders if folder]),
            seed=runner.seed,
            versions=versions(),
            device=device_name(),
            threads=torch.get_num_threads(),
            processes=get_world_size(),
            data_hash=data_hash(runner.work_dir),
        )
        try:
            write_json(Path(runner.log_dir) / NAME, record)
        except OSError as error:
            runner.logger.warning(f'{NAME} was not written: {error}')


def code_state(folders: list[str | Path]) -> dict[str, Any]:
    """``commit`` and ``dirty`` of the first folder that lies in a repository of git; both None if none does.

    Installed packages are passed over: a repository around them is not theirs.
    """
    for folder in folders:
        if 'site-packages' in Path(folder).resolve().parts:
            continue
        commit = _git(folder, 'rev-parse', 'HEAD')
        if commit:
            changes = _git(folder, 'status', '--porcelain', '--untracked-files=no')
            return dict(commit=commit, dirty=None if changes is None else bool(changes))
    return dict(commit=None, dirty=None)


def versions() -> dict[str, str]:
    """Versions of Python, torch, mmext and the toolboxes that are installed."""
    line = installed_line()
    names = ['torch', 'torchvision', *(distribution_of(name, line) for name in SUBSTITUTES)]
    found = {'python': platform.python_version(), 'mmext': mmext.__version__}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_name() -> str:
    """Of the GPU, or else of the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()


def processor_name() -> str:
    """The name that the maker gave the processor, or else its kind."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(filter(None, names), '') or platform.processor() or platform.machine()


def data_hash(work_dir: str | Path) -> str | None:
    """The hash that the check of the data left in the work dir; None if there is none."""
    try:
        content = json.loads((Path(work_dir) / DATA_CHECK).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    found = content.get('data_hash') if isinstance(content, Mapping) else None
    return found or None


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What a command of git prints; None where it fails or there is no git."""
    command = ['git', '-C', str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
