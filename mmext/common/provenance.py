"""What something was made with: the state of the code, versions and the machine."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import mmext
from mmext.common.toolbox_line import distribution_of, installed_line, version_of

# A repository on a slow disk must not hold up a training.
GIT_SECONDS = 20
# Module -> distribution of the maintained line.
TOOLBOXES = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation',
    'mmdet': 'onedl-mmdetection',
    'mmpretrain': 'onedl-mmpretrain',
}


def code_state(folders: Sequence[str | Path]) -> dict[str, Any]:
    """``commit`` and ``dirty`` of the first folder that lies in a repository of git; both None if none does.

    Files that git does not know change nothing. Installed packages are passed over: a repository around them is not
    theirs.
    """
    for folder in folders:
        if 'site-packages' in Path(folder).resolve().parts:
            continue
        commit = _git(folder, 'rev-parse', 'HEAD')
        if commit:
            changes = _git(folder, 'status', '--porcelain', '--untracked-files=no')
            return dict(commit=commit, dirty=None if changes is None else bool(changes))
    return dict(commit=None, dirty=None)


def distributions() -> dict[str, str]:
    """Module -> the distribution that it comes from in the installed line of the toolboxes; torch is among them."""
    line = installed_line()
    found = {module: distribution_of(name, line) for module, name in TOOLBOXES.items()}
    return {'torch': 'torch', 'torchvision': 'torchvision', **found}


def versions() -> dict[str, str]:
    """Versions of Python, mmext, torch and the toolboxes that are installed, by distribution."""
    found = {name: version_of(name) for name in distributions().values()}
    installed = {name: version for name, version in found.items() if version}
    return {'python': platform.python_version(), 'mmext': mmext.__version__, **installed}


def device_name(device: torch.device | None = None) -> str:
    """The name that the maker gave a device: by default the GPU, or the processor where there is none."""
    kind = device.type if device is not None else 'cuda' if torch.cuda.is_available() else 'cpu'
    if kind == 'cuda':
        return torch.cuda.get_device_name(device)
    return processor_name() if kind == 'cpu' else kind


def processor_name() -> str:
    """The name that the maker gave the processor, or else its kind."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(filter(None, names), '') or platform.processor() or platform.machine()


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What a command of git prints; None where it fails or there is no git."""
    command = ['git', '--no-optional-locks', '-C', str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
