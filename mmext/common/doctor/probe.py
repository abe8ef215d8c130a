"""Imports what training needs, in a process of its own, and writes down how each import went.

`python probe.py OUT SECTION...` appends one JSON line to OUT when a section starts and one when it ends. A library
built against another torch can end the interpreter instead of raising; then the last line says which section it was.
Standard library only, and outside the package: this file has to run where everything else is broken.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path


def probe_torch() -> dict:
    """Version, what it was built with and what the GPUs are; a GPU counts as usable once a kernel has run on it."""
    import torch

    found = {
        'version': torch.__version__,
        'cuda_built': torch.version.cuda or torch.version.hip,
        'cudnn': torch.backends.cudnn.version() if torch.version.cuda else None,
        'available': torch.cuda.is_available(),
        'devices': [],
        'device_error': '',
    }
    if found['available']:
        try:
            for index in range(torch.cuda.device_count()):
                properties = torch.cuda.get_device_properties(index)
                found['devices'].append(f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB')
                torch.ones(2, device=f'cuda:{index}').sum().item()
        except RuntimeError as error:
            found['device_error'] = _first_line(error)
    return found


def probe_torchvision() -> dict:
    """Version, and whether its compiled operators fit the torch that is installed."""
    import torch
    import torchvision

    found = {'version': torchvision.__version__, 'nms_error': ''}
    try:
        kept = torchvision.ops.nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.5, 0.9]), 0.5)
        if kept.tolist() != [1]:
            found['nms_error'] = f'torchvision.ops.nms kept boxes {kept.tolist()} instead of [1]'
    except (RuntimeError, NotImplementedError) as error:
        found['nms_error'] = _first_line(error)
    return found


def probe_mmcv_ops() -> dict:
    """The compiled operators, called once; `cuda` says what their GPU half was built with."""
    import torch
    from mmcv import _ext
    from mmcv.ops import nms

    _, kept = nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.5, 0.9]), 0.5)
    if kept.tolist() != [1]:
        raise RuntimeError(f'mmcv.ops.nms kept boxes {kept.tolist()} instead of [1]')
    return {'compiler': _ext.get_compiler_version(), 'cuda': _ext.get_compiling_cuda_version()}


def probe_module(name: str) -> dict:
    """Imports `name`; a package that is not there at all is told from one that does not import."""
    if importlib.util.find_spec(name.partition('.')[0]) is None:
        return {'missing': True}
    importlib.import_module(name)
    package = sys.modules[name.partition('.')[0]]
    return {'version': getattr(package, '__version__', '')}


SECTIONS: dict[str, Callable[[], dict]] = {
    'torch': probe_torch,
    'torchvision': probe_torchvision,
    'mmcv_ops': probe_mmcv_ops,
}


def _first_line(error: BaseException) -> str:
    """The message up to its first line break; torch adds a page of advice."""
    return (str(error).strip().splitlines() or [''])[0]


def run(name: str) -> dict:
    """One section: `{'value': ...}` or `{'error': 'ImportError: ...'}`."""
    try:
        return {'value': SECTIONS[name]() if name in SECTIONS else probe_module(name)}
    # Whatever an import raises is the finding.
    except Exception as error:
        return {'error': f'{type(error).__name__}: {_first_line(error)}'}


def main(argv: list[str]) -> None:
    """Runs sections up to the first that fails: a half-finished import can make the next one pass or fail wrongly."""
    out, *names = argv
    for name in names:
        _append(out, {'section': name, 'started': True})
        result = run(name)
        _append(out, {'section': name, **result})
        if 'error' in result:
            return


def _append(out: str, line: dict) -> None:
    with Path(out).open('a') as file:
        file.write(json.dumps(line) + '\n')


if __name__ == '__main__':
    # The folder of this file would come first on the path, and its modules could hide others of the same name.
    if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
        sys.path.pop(0)
    main(sys.argv[1:])
