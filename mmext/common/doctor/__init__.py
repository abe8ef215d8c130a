"""Looks over the environment and says, for each thing wrong, the one command that mends it.

Runs with the standard library alone: torch, mmcv and the toolboxes are imported in child processes, because a library
built for another torch can end the interpreter, and because a missing one is a finding and not a reason to stop.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmext.common.doctor import checks
from mmext.common.doctor.checks import ERROR, TOOLBOXES, WARNING, Check
from mmext.common.doctor.commands import MMCV, Commands, find_installer
from mmext.common.toolbox_line import (
    MAINTAINED,
    ORIGINAL,
    SUBSTITUTES,
    distribution_of,
    installed_line,
    requirement_of,
    version_of,
)

PROBE = Path(__file__).with_name('probe.py')
MMENGINE = 'onedl-mmengine>=0.10.12,<0.11'
CORE = ('torch', 'torchvision', 'mmcv_ops', 'numpy', 'cv2', 'mmengine', 'distutils')


def run_probes(groups: Sequence[Sequence[str]], timeout_s: float, python: str = sys.executable) -> dict[str, dict]:
    """Runs groups of sections of probe.py side by side.

    Args:
        groups: Names of sections; those of a group share a process until one of them fails.
        timeout_s: Seconds after which a process is ended.
        python: Interpreter of the environment to look at.

    Returns:
        Section -> `{'value': ...}` or `{'error': ...}`, also for sections that crashed or did not finish.
    """
    with ThreadPoolExecutor(len(groups)) as pool:
        parts = pool.map(lambda names: _run_group(names, timeout_s, python), groups)
        return {name: result for part in parts for name, result in part.items()}


def _run_group(names: Sequence[str], timeout_s: float, python: str) -> dict[str, dict]:
    """Sections in one process, and after each that fails the rest in a fresh one."""
    deadline = time.monotonic() + timeout_s
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'results.jsonl')
        while rest := [name for name in names if name not in found]:
            end = _run_child([python, str(PROBE), str(out), *rest], deadline, timeout_s)
            found = read_results(out.read_text() if out.exists() else '', end) | found
            # A child that cannot even begin, or begins too late, has its end as the only finding.
            found.setdefault(rest[0], {'error': end})
    return found


def _run_child(command: Sequence[str], deadline: float, timeout_s: float) -> str:
    """Runs a child in silence, ends it if need be, and says how it ended."""
    silent = subprocess.DEVNULL
    child = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
    try:
        status = child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return f'did not finish within {timeout_s:g} s'
    return f'the interpreter crashed ({signal.Signals(-status).name})' if status < 0 else f'exit status {status}'


def read_results(text: str, end: str) -> dict[str, dict]:
    """Results out of a probe's lines; a section that has begun and not ended took the process down with it."""
    found = {}
    for line in text.splitlines():
        result = json.loads(line)
        name = result.pop('section')
        found[name] = {'error': end} if result.get('started') else result
    return found


def list_gpus() -> list[str]:
    """GPUs that the NVIDIA driver lists, with its version; empty without a driver."""
    tool = shutil.which('nvidia-smi')
    if tool is None:
        return []
    query = [tool, '--query-gpu=name,driver_version', '--format=csv,noheader']
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def owners_of(module: str) -> list[str]:
    """Distributions that installed a module."""
    return list(importlib.metadata.packages_distributions().get(module, []))


def mmext_requirements(line: str = MAINTAINED) -> list[str]:
    """Requirements in mmext's own metadata, as they read for a line of the toolboxes; empty if it is not installed."""
    try:
        found = importlib.metadata.requires('mmext') or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [requirement_of(requirement, line) for requirement in found]


def find_commands(line: str) -> Commands:
    """The commands that suit this environment; the lock file of the project knows the maintained line alone."""
    installer = find_installer(project=PROBE.parents[3])
    if line == ORIGINAL and installer == 'uv':
        installer = 'uv pip'
    return Commands(installer, distribution_of(MMCV, line))


def probe_work_dir(path: Path) -> tuple[str, int]:
    """Why nothing can be written to `path` (empty if it can) and the free bytes there; creates and leaves nothing."""
    parent = path.absolute()
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    try:
        with tempfile.TemporaryFile(dir=parent):
            return '', free
    except OSError as error:
        return f'not writable ({error.strerror})', free


def shared_memory() -> int | None:
    return shutil.disk_usage('/dev/shm').total if Path('/dev/shm').is_dir() else None


def cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def collect_versions(probes: Mapping[str, Mapping], gpus: Sequence[str], shm: int | None) -> dict[str, str]:
    """What to quote in a bug report."""
    torch = probes['torch'].get('value', {})
    versions = {'python': platform.python_version(), 'platform': platform.platform()}
    versions['mmext'] = version_of('mmext') or 'not installed'
    versions |= {name: probes[name].get('value', {}).get('version') for name in ('torch', 'torchvision')}
    line = installed_line(version_of)
    versions['line of the toolboxes'] = line
    versions |= {name: version_of(name) for name in (*(distribution_of(each, line) for each in SUBSTITUTES), 'numpy')}
    versions['opencv'] = probes['cv2'].get('value', {}).get('version')
    versions['CUDA runtime'] = torch.get('cuda_built')
    versions['cuDNN'] = torch.get('cudnn')
    versions['GPU, driver'] = '; '.join(gpus)
    versions['CPU cores'] = cores()
    versions['/dev/shm'] = None if shm is None else f'{shm / checks.GIB:.1f} GiB'
    return {name: str(value) if value else '-' for name, value in versions.items()}


def examine(work_dir: str | Path = 'work_dirs', timeout_s: float = 120.0) -> tuple[dict[str, str], list[Check]]:
    """Looks at everything.

    Args:
        work_dir: Where training writes.
        timeout_s: Seconds after which an import counts as hanging; an idle machine needs about 15.

    Returns:
        Versions by name, and the checks in the order in which to mend what they find.
    """
    line = installed_line(version_of)
    commands = find_commands(line)

    def version_in_line(name: str) -> str | None:
        return version_of(distribution_of(name, line))

    modules = [module for _, module, _, _ in TOOLBOXES]
    probes = run_probes([CORE, modules], timeout_s)
    gpus, shm = list_gpus(), shared_memory()
    torch, ops = probes['torch'], probes['mmcv_ops']
    base = [
        checks.check_python(sys.version_info, commands),
        checks.check_torch(torch, commands),
        checks.check_pair(torch, probes['torchvision'], commands),
        *checks.check_requirements(mmext_requirements(line), version_in_line, commands),
        checks.check_transformers(version_of('transformers'), bool(version_in_line('onedl-mmpretrain')), commands),
        checks.check_import('numpy', probes['numpy'], commands.install('numpy>=1.26')),
        checks.check_import(
            'mmengine', probes['mmengine'], commands.install(requirement_of('onedl-mmengine>=0.10.12,<0.11', line))
        ),
        # The Runner imports distutils, which Python 3.12 has only through setuptools.
        checks.check_import('distutils', probes['distutils'], commands.install('setuptools<81')),
        checks.check_mmcv_ops(ops, commands),
    ]
    base = [check for check in base if check]
    root_fix = next((check.fix for check in base if check.status == ERROR), '')
    rest = [
        checks.check_cuda(torch, gpus, commands),
        checks.check_mmcv_cuda(torch, ops, commands),
        checks.check_opencv(owners_of('cv2'), probes['cv2'], commands),
        *checks.check_toolboxes(probes, version_in_line, commands, root_fix),
        checks.check_work_dir(str(work_dir), *probe_work_dir(Path(work_dir))),
        checks.check_shared_memory(shm),
    ]
    return collect_versions(probes, gpus, shm), base + [check for check in rest if check]


def verdict(found: Sequence[Check]) -> str:
    """One closing line."""
    errors, warnings = (sum(check.status == status for check in found) for status in (ERROR, WARNING))
    if errors:
        return f'{errors} errors, {warnings} warnings: training cannot work until the errors are mended, from the top.'
    return f'0 errors, {warnings} warnings: training can work.'


def render(versions: Mapping[str, str], found: Sequence[Check]) -> str:
    """The report as plain text: rich may be among the things that are missing."""
    width = max(len(name) for name in [*versions, *(check.name for check in found)])
    lines = [f'{name:{width}}  {value}' for name, value in versions.items()] + ['']
    for check in found:
        lines.append(f'{check.status:7}  {check.name:{width}}  {check.detail}')
        if check.fix and check.status != checks.OK:
            lines.append(f'{"":7}  {"":{width}}  fix: {check.fix}')
    return '\n'.join([*lines, '', verdict(found)])
