"""Packaging only: puts `configs/` and `tools/` into the wheel as `mmext/.mim/`; all metadata lives in pyproject.toml.

OpenMMLab packages carry their recipes and scripts in a hidden folder `.mim` of the package, where `mim` and people who
installed a wheel look for them. The files are copied straight into the build folder, so the source tree never holds
a second copy, and an editable install, which reads the source tree itself, needs none.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = 'mmext'
SHIPPED_FOLDERS = ('configs', 'tools')


def shipped_files(root: Path) -> list[Path]:
    """Files of the shipped folders, relative to `root`, sorted; caches and hidden files are left out."""
    found = []
    for folder in SHIPPED_FOLDERS:
        for path in (root / folder).rglob('*'):
            relative = path.relative_to(root)
            hidden = any(part.startswith('.') or part == '__pycache__' for part in relative.parts)
            if path.is_file() and not hidden and path.suffix not in {'.pyc', '.pyo'}:
                found.append(relative)
    return sorted(found)


class BuildWithMim(build_py):
    """`build_py` that also ships the recipes and scripts.

    setuptools asks every build command for `get_source_files` when it writes an sdist, so the same list serves the
    sdist too and a wheel built from the sdist is complete without a MANIFEST.in.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        # A build folder left by an earlier build may hold recipes that have been renamed or deleted since.
        shutil.rmtree(Path(self.build_lib, PACKAGE, '.mim'), ignore_errors=True)
        for target, source in self._mim_mapping().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        return super().get_source_files() + list(self._mim_mapping().values())

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else outputs + list(self._mim_mapping())

    def get_output_mapping(self) -> dict[str, str]:
        mapping = super().get_output_mapping()
        return mapping if self.editable_mode else mapping | self._mim_mapping()

    def _mim_mapping(self) -> dict[str, str]:
        """Target in the build folder -> file in the source tree, both as setuptools wants them: relative strings."""
        mim = Path(self.build_lib, PACKAGE, '.mim')
        # Build backends run setup.py with the project's root as the working folder; sdist rejects absolute paths.
        return {str(mim / path): str(path) for path in shipped_files(Path())}


setup(cmdclass={'build_py': BuildWithMim})
