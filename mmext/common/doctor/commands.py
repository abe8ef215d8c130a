"""The one command that mends a thing, for the installer that the environment was made with."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TESTED_TORCH = '2.10.0'
MMCV = 'onedl-mmcv'


def torchvision_for(torch_version: str) -> str | None:
    """The torchvision built for a torch: 2.k.p goes with 0.(k + 15).p; None for a version outside that scheme."""
    found = re.match(r'2\.(\d+)\.(\d+)', torch_version)
    return f'0.{int(found[1]) + 15}.{found[2]}' if found else None


@dataclass(frozen=True)
class Commands:
    """Commands to show.

    Attributes:
        installer: `'uv'` in a project with a lock file, `'uv pip'` in another environment that uv made, else `'pip'`.
        mmcv: What mmcv's distribution is called in the line of the toolboxes that is installed.
    """

    installer: str = 'pip'
    mmcv: str = MMCV

    def install(self, *requirements: str, options: str = '') -> str:
        """Installs requirements; in a locked project the lock file knows them all."""
        if self.installer == 'uv':
            return 'uv sync'
        quoted = [f'"{each}"' if re.search(r'[<>\[ ;]', each) else each for each in requirements]
        return ' '.join(filter(None, [self.installer, 'install', options, *quoted]))

    def install_project(self) -> str:
        """Installs mmext from its source tree, building mmcv where it sees the torch that is there."""
        if self.installer == 'uv':
            return 'uv sync'
        return f'{self.install("setuptools>=77,<81")} && {self.install("-e", ".", options="--no-build-isolation")}'

    def reinstall(self, distribution: str, version: str | None) -> str:
        """Installs the same version of one package afresh."""
        if self.installer == 'uv':
            return f'uv sync --reinstall-package {distribution}'
        options = '--reinstall --no-deps' if self.installer == 'uv pip' else '--force-reinstall --no-deps'
        return self.install(f'{distribution}=={version}' if version else distribution, options=options)

    def build_mmcv(self, cuda: bool = False) -> str:
        """Builds mmcv again where it sees torch: a build that does not leaves out `mmcv._ext` without a word.

        Nothing cached: pip keeps the wheel that it built without the operators.
        """
        force = 'FORCE_CUDA=1 ' if cuda else ''
        if self.installer == 'uv':
            return f'{force}uv sync --reinstall-package {self.mmcv}'
        fresh = '--reinstall --no-cache' if self.installer == 'uv pip' else '--force-reinstall --no-cache-dir'
        options = f'--no-build-isolation --no-binary {self.mmcv} --no-deps {fresh}'
        return force + self.install(self.mmcv, options=options)

    def torch_pair(self, torch_version: str = TESTED_TORCH) -> str:
        """Installs a torch and the torchvision that was built for it, both from the same place."""
        version = torch_version.partition('+')[0]
        if torchvision_for(version) is None:
            version = TESTED_TORCH
        if self.installer == 'uv':
            return 'uv sync --reinstall-package torch --reinstall-package torchvision'
        options = '--reinstall' if self.installer == 'uv pip' else '--force-reinstall'
        return self.install(f'torch=={version}', f'torchvision=={torchvision_for(version)}', options=options)

    def torch_for_driver(self, torch_version: str = TESTED_TORCH) -> str:
        """Lets uv choose the build of torch that the GPU driver of this machine can run."""
        version = torch_version.partition('+')[0]
        vision = torchvision_for(version) or torchvision_for(TESTED_TORCH)
        return f'uv pip install --torch-backend=auto --reinstall torch=={version} torchvision=={vision}'

    def one_opencv(self, owners: Sequence[str] = ()) -> str:
        """Leaves one package that owns the module cv2, the one that needs no display libraries."""
        if self.installer == 'uv':
            return 'uv sync --reinstall-package opencv-python-headless'
        install = self.install('opencv-python-headless>=4.8,<5')
        if not owners:
            return install
        yes = ' -y' if self.installer == 'pip' else ''
        return f'{self.installer} uninstall{yes} {" ".join(owners)} && {install}'


def find_installer(prefix: Path | None = None, project: Path | None = None) -> str:
    """`'uv'`, `'uv pip'` or `'pip'`, told by the note that uv leaves in its environments and by the lock file.

    Args:
        prefix: Folder of the environment; the running interpreter's if None.
        project: Folder of the project; the working folder if None.
    """
    note = (prefix or Path(sys.prefix)) / 'pyvenv.cfg'
    by_uv = note.is_file() and re.search(r'^uv\s*=', note.read_text(), re.M)
    if not by_uv:
        return 'pip'
    return 'uv' if ((project or Path.cwd()) / 'uv.lock').is_file() else 'uv pip'
