"""The two lines of the toolboxes that mmext runs on, and where they differ.

The original line (mmengine, mmcv, mmsegmentation, ...) is dormant; the maintained line publishes the same import names
as ``onedl-mmengine``, ``onedl-mmcv`` and so on. mmext's own requirements name the maintained line. Standard library
only: the doctor reads this where nothing else can be imported.
"""

import importlib.metadata
import re
from collections.abc import Callable

MAINTAINED, ORIGINAL = 'maintained', 'original'
# Distribution of the maintained line -> that of the original line, and its versions that work together.
SUBSTITUTES = {
    'onedl-mmengine': ('mmengine', '>=0.10.7,<0.11'),
    'onedl-mmcv': ('mmcv', '>=2.1,<2.2'),
    'onedl-mmsegmentation': ('mmsegmentation', '>=1.2.2,<1.3'),
    'onedl-mmdetection': ('mmdet', '>=3.3,<3.4'),
    'onedl-mmpretrain': ('mmpretrain', '>=1.2,<1.3'),
}


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, None if absent."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_line(version_of: Callable[[str], str | None] = version_of) -> str:
    """``'original'`` where mmengine comes from the original line, else ``'maintained'``.

    Args:
        version_of: Distribution -> installed version, None if absent.
    """
    original = version_of('mmengine') is not None and version_of('onedl-mmengine') is None
    return ORIGINAL if original else MAINTAINED


def distribution_of(name: str, line: str) -> str:
    """What a distribution of the maintained line is called in a line; other names stay."""
    return SUBSTITUTES[name][0] if line == ORIGINAL and name in SUBSTITUTES else name


def requirement_of(requirement: str, line: str) -> str:
    """A requirement of mmext's metadata, such as ``onedl-mmcv<2.4,>=2.3.6; extra == "all"``, as it reads for a line."""
    name = re.match(r'[\w.-]*', requirement)[0]
    if line != ORIGINAL or name not in SUBSTITUTES:
        return requirement
    _, semicolon, marker = requirement.partition(';')
    return ''.join(SUBSTITUTES[name]) + semicolon + marker
