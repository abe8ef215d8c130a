"""What has to hold for training to work, one small function per thing.

The functions judge findings that are handed to them and look at nothing themselves, so that a test can simulate any
fault. A finding about an import is what `probe.run` returns: `{'value': {...}}` or `{'error': 'ImportError: ...'}`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmext.common.doctor.commands import Commands, torchvision_for

OK, WARNING, ERROR = 'ok', 'warning', 'error'
# Package, what to import, distribution, extra of mmext.
TOOLBOXES = (
    ('mmseg', 'mmseg.models', 'onedl-mmsegmentation', 'segmentation'),
    ('mmdet', 'mmdet.models', 'onedl-mmdetection', 'detection'),
    ('mmpretrain', 'mmpretrain.models', 'onedl-mmpretrain', 'classification'),
)
GIB = 2**30
LOW_DISK, LOW_SHM = 5 * GIB, GIB


@dataclass(frozen=True)
class Check:
    """What was looked at, `'ok'`, `'warning'` or `'error'`, what was found, and the one command that mends it."""

    name: str
    status: str
    detail: str
    fix: str = ''


def check_python(version: Sequence[int], commands: Commands) -> Check:
    found = '.'.join(map(str, version[:3]))
    if (3, 10) <= tuple(version[:2]) < (3, 13):
        return Check('python', OK, found)
    fix = 'uv sync --python 3.11' if commands.installer == 'uv' else 'uv venv --python 3.11'
    return Check('python', ERROR, f'{found}, mmext needs 3.10 to 3.12', fix)


def check_torch(torch: Mapping, commands: Commands) -> Check:
    if 'error' in torch:
        return Check('torch', ERROR, torch['error'], commands.torch_pair())
    return Check('torch', OK, torch['value']['version'])


def check_pair(torch: Mapping, torchvision: Mapping, commands: Commands) -> Check:
    """torch and torchvision are built for each other, by version number and by running a compiled operator."""
    name = 'torch and torchvision'
    version = torch.get('value', {}).get('version', '')
    fix = commands.torch_pair(version)
    if 'error' in torchvision:
        return Check(name, ERROR, torchvision['error'], fix)
    found, broken = torchvision['value']['version'], torchvision['value']['nms_error']
    both, wanted = f'torch {version} with torchvision {found}', torchvision_for(version)
    if broken:
        return Check(name, ERROR, f'{both}: {broken}', fix)
    if wanted and re.match(r'[\d.]*\d', found)[0] != wanted:
        return Check(name, WARNING, f'{both}: nms runs, but this torch goes with torchvision {wanted}', fix)
    return Check(name, OK, f'{both}, torchvision.ops.nms runs')


def check_import(name: str, finding: Mapping, fix: str) -> Check:
    """Any other library that training needs."""
    if 'error' in finding or finding['value'].get('missing'):
        return Check(name, ERROR, finding.get('error', 'not installed'), fix)
    return Check(name, OK, finding['value']['version'] or 'importable')


def check_mmcv_ops(ops: Mapping, commands: Commands) -> Check:
    if 'error' in ops:
        detail = f'{ops["error"]} (mmcv was built without torch, or for another torch)'
        return Check('mmcv._ext', ERROR, detail, commands.build_mmcv())
    return Check('mmcv._ext', OK, f'built with {ops["value"]["compiler"]}, mmcv.ops.nms runs')


def check_cuda(torch: Mapping, gpus: Sequence[str], commands: Commands) -> Check:
    """A usable GPU, or clearly none; `gpus` is what the driver lists, whatever torch says."""
    value = torch.get('value')
    if value is None:
        return Check('CUDA', WARNING, 'not known without torch', commands.torch_pair())
    version, built = value['version'], value['cuda_built']
    if value['device_error']:
        detail = f'{", ".join(value["devices"])}: torch {version} cannot run on it: {value["device_error"]}'
        return Check('CUDA', ERROR, detail, commands.torch_for_driver(version))
    if value['available']:
        return Check('CUDA', OK, f'{built}, {len(value["devices"])} GPU: {"; ".join(value["devices"])}')
    if not gpus:
        return Check('CUDA', OK, 'CPU only: no GPU found, training runs on the processor')
    reason = 'the driver is too old for it or out of reach' if built else 'it was built without CUDA'
    detail = f'CPU only: torch {version} does not use {"; ".join(gpus)}: {reason} (built for CUDA {built})'
    return Check('CUDA', WARNING, detail, commands.torch_for_driver(version))


def check_mmcv_cuda(torch: Mapping, ops: Mapping, commands: Commands) -> Check | None:
    """GPU operators of mmcv; None where there is no GPU to need them or no mmcv to have them."""
    if not torch.get('value', {}).get('available') or 'value' not in ops:
        return None
    cuda = ops['value']['cuda']
    if re.match(r'\d', cuda):
        return Check('mmcv on the GPU', OK, f'compiled with CUDA {cuda}')
    detail = 'compiled for the CPU only: detection (nms, RoI align) fails on the GPU, the rest trains'
    return Check('mmcv on the GPU', WARNING, detail, commands.build_mmcv(cuda=True))


def check_opencv(providers: Iterable[str], cv2: Mapping, commands: Commands) -> Check:
    """Exactly one package owns the module cv2, and it imports."""
    owners = sorted(set(providers))
    if 'error' in cv2 or cv2['value'].get('missing'):
        detail = cv2.get('error', 'not installed')
        return Check(
            'opencv', ERROR, f'{detail} (from {", ".join(owners) or "no package"})', commands.one_opencv(owners)
        )
    if len(owners) > 1:
        detail = f'{" and ".join(owners)} both own the module cv2; which files are left is chance'
        return Check('opencv', WARNING, detail, commands.one_opencv(owners))
    return Check('opencv', OK, f'{cv2["value"]["version"]} from {", ".join(owners) or "an unknown package"}')


def check_toolboxes(
    modules: Mapping[str, Mapping], version_of: Callable[[str], str | None], commands: Commands, root_fix: str = ''
) -> list[Check]:
    """At least one toolbox, and those that are there import.

    Args:
        modules: Findings by what was imported, e.g. `'mmseg.models'`.
        version_of: Distribution -> installed version, None if absent.
        commands: Makes the fixes.
        root_fix: What mends torch or mmcv, if they are broken: then the toolboxes fail for that reason.
    """
    checks = []
    for package, module, distribution, extra in TOOLBOXES:
        finding = modules[module]
        install = commands.install(f'mmext[{extra}]')
        if finding.get('value', {}).get('missing'):
            checks.append(Check(package, WARNING, f'not installed, {extra} is not possible', install))
        elif 'error' in finding:
            fix = root_fix or commands.reinstall(distribution, version_of(distribution))
            checks.append(Check(package, ERROR, f'import {module}: {finding["error"]}', fix))
        else:
            checks.append(Check(package, OK, f'{finding["value"]["version"]}, import {module} works'))
    if all(modules[module].get('value', {}).get('missing') for _, module, _, _ in TOOLBOXES):
        detail = 'none of mmseg, mmdet and mmpretrain is installed: nothing to train with'
        checks.append(Check('toolboxes', ERROR, detail, commands.install('mmext[all]')))
    return checks


def check_transformers(version: str | None, mmpretrain: bool, commands: Commands) -> Check | None:
    """mmpretrain uses transformers if it is there, and does not import with version 5; mmdet and mmseg import it."""
    if version is None or not mmpretrain:
        return None
    if int(re.match(r'\d+', version)[0]) < 5:
        return Check('transformers', OK, version)
    detail = f'{version}: mmpretrain, and with it mmdet and mmseg, does not import beside transformers 5'
    return Check('transformers', ERROR, detail, commands.install('transformers<5'))


def check_requirements(
    requirements: Sequence[str], version_of: Callable[[str], str | None], commands: Commands
) -> list[Check]:
    """The version ranges in mmext's own metadata.

    Args:
        requirements: As `importlib.metadata.requires('mmext')` gives them; empty if mmext is not installed.
        version_of: Distribution -> installed version, None if absent.
        commands: Makes the fixes.
    """
    if not requirements:
        return [Check('mmext', ERROR, 'not installed: no metadata found', commands.install_project())]
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return [Check('version ranges', WARNING, 'not checked without packaging', commands.install('packaging'))]
    wrong = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name == 'mmext' or not _applies(requirement, version_of):
            continue
        version = version_of(requirement.name)
        if version is None and not (requirement.name == 'opencv-python-headless' and version_of('opencv-python')):
            wrong.append(Check(requirement.name, ERROR, 'not installed', _fix(requirement, commands)))
        elif version and not requirement.specifier.contains(version, prereleases=True):
            detail = f'{version}, mmext needs {requirement.specifier}'
            wrong.append(Check(requirement.name, ERROR, detail, _fix(requirement, commands)))
    return wrong or [Check('version ranges', OK, f'{len(requirements)} requirements of mmext hold')]


def _applies(requirement, version_of: Callable[[str], str | None]) -> bool:
    """Whether a requirement counts here: an extra's ones only if the toolbox of that extra is installed."""
    if requirement.marker is None or requirement.marker.evaluate({'extra': ''}):
        return True
    return any(
        requirement.marker.evaluate({'extra': extra}) and version_of(distribution) is not None
        for _, _, distribution, extra in TOOLBOXES
    )


def _fix(requirement, commands: Commands) -> str:
    if requirement.name == commands.mmcv:
        return commands.build_mmcv()
    if requirement.name in {'torch', 'torchvision'}:
        return commands.torch_pair()
    return commands.install(f'{requirement.name}{requirement.specifier}')


def check_work_dir(path: str, problem: str, free: int) -> Check:
    """Logs and checkpoints can be written; `problem` is why not, `free` the free bytes."""
    if problem:
        return Check('work dir', ERROR, f'{path}: {problem}', f'sudo chown -R "$USER" {path}')
    if free < LOW_DISK:
        detail = f'{path}: {free / GIB:.1f} GiB free, a long training writes more'
        return Check('work dir', WARNING, detail, f'du -xh --max-depth=2 {path} | sort -h | tail')
    return Check('work dir', OK, f'{path} is writable, {free / GIB:.0f} GiB free')


def check_shared_memory(size: int | None) -> Check | None:
    """Workers of a data loader hand batches over through /dev/shm; None where the system has none."""
    if size is None:
        return None
    if size < LOW_SHM:
        detail = f'{size / 2**20:.0f} MiB in /dev/shm: data loading with workers can die of a bus error'
        return Check('shared memory', WARNING, detail, 'sudo mount -o remount,size=8G /dev/shm')
    return Check('shared memory', OK, f'{size / GIB:.0f} GiB')
