"""What a measurement was made on: names, versions and the state of the project."""

import importlib
import os
import platform
from pathlib import Path

import torch

import mmext
from mmext.common.provenance import code_state, distributions
from mmext.common.toolbox_line import installed_line, version_of

# How a note of a record begins whose times are too long.
BUSY = 'the machine was busy'
PROJECT = Path(mmext.__file__).resolve().parent.parent


def versions(toolbox: str) -> dict[str, str]:
    """Of everything whose speed counts; the line of the toolboxes is told by their numbers and under 'line'."""
    found = {'python': platform.python_version(), 'mmext': mmext.__version__, 'line': installed_line()}
    names = distributions()
    for module in ('torch', 'torchvision', 'mmengine', 'mmcv', toolbox):
        found[module] = version_of(names[module]) or str(importlib.import_module(module).__version__)
    if torch.version.cuda:
        found['cuda'] = torch.version.cuda
    return found


def busy_note() -> str:
    """Says so where more processes want to run than the machine has cores: times are then worth little; '' else."""
    if not hasattr(os, 'getloadavg'):
        return ''
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f'{BUSY}: load {load:.0f} on {cores} cores at the beginning' if load > cores + 0.5 else ''


def commit_of(folder: str | Path = PROJECT) -> str:
    """Commit that the files of a checkout are at, with '+' if some differ from it; '' outside of a checkout."""
    state = code_state([folder])
    return (state['commit'] or '') + ('+' if state['dirty'] else '')


def name_of(config: str | Path, project: Path = PROJECT) -> str:
    """A config's path relative to the project if it lies in it, else to the current folder, else as it is."""
    path = Path(config).resolve()
    for folder in (project, Path.cwd()):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.as_posix()
