"""Which files of weights a model is initialised from, and what is in them.

The files are those that mmengine reads: by ``init_cfg`` when the weights are initialised, then by ``load_from`` or
``resume``. A distiller's teacher counts as a source of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.model import PretrainedInit
from torch import nn

from mmext.common.checkpoint_schemes import NETWORK, cached, resolve
from mmext.common.weight_files import WeightsError

TEACHER = 'teacher'


@dataclass(frozen=True)
class WeightSource:
    """A file that is loaded into a module.

    Attributes:
        address: As the config names it: a path, a URL or ``torchvision://resnet50``.
        module: Name of the module, as in ``model.named_modules()``; '' for the whole model.
        prefix: What the names in the file begin with, before those of the module; others are not loaded.
        origin: The setting that names the file.
    """

    address: str
    module: str = ''
    prefix: str = ''
    origin: str = 'init_cfg'


def find_sources(model: nn.Module, load_from: str | None = None, resume: bool = False) -> list[WeightSource]:
    """All files that a run loads, in the order of loading: a later one overwrites an earlier one.

    Weights that a module fetches by itself, without an ``init_cfg`` that names them, are not found.

    Args:
        model: Built by mmengine, not wrapped.
        load_from: Checkpoint that is loaded after the initialisation.
        resume: Whether a training goes on from it.
    """
    sources = []
    for name, module in model.named_modules():
        sources += [_from_settings(name, settings) for name, settings in _pretrained(name, module)]
        teacher = teacher_of(module)
        if teacher is not None and module.teacher_checkpoint:
            path = f'{name}.{TEACHER}' if name else TEACHER
            sources.append(WeightSource(module.teacher_checkpoint, path, origin='teacher_checkpoint'))
    sources.reverse()  # a module is initialised after its children
    if load_from:
        sources.append(WeightSource(str(load_from), origin='resume' if resume else 'load_from'))
    return sources


def teacher_of(module: nn.Module) -> nn.Module | None:
    """The teacher that a distiller keeps outside its submodules."""
    teacher = getattr(module, TEACHER, None) if hasattr(module, 'teacher_checkpoint') else None
    return teacher if isinstance(teacher, nn.Module) else None


def _pretrained(name: str, module: nn.Module) -> Iterator[tuple[str, dict]]:
    """Settings of type Pretrained in a module's ``init_cfg``, each with the name of the module that it fills."""
    init_cfg = getattr(module, 'init_cfg', None)
    for settings in [init_cfg] if isinstance(init_cfg, dict) else reversed(init_cfg or []):
        if settings.get('type') in ('Pretrained', PretrainedInit):
            yield name, settings
        override = settings.get('override') or []
        for part in [override] if isinstance(override, dict) else override:
            if part.get('type') in ('Pretrained', PretrainedInit):
                yield f'{name}.{part["name"]}' if name else part['name'], part


def _from_settings(module: str, settings: dict[str, Any]) -> WeightSource:
    prefix = settings.get('prefix') or ''
    if prefix and not prefix.endswith('.'):
        prefix += '.'
    address = str(settings['checkpoint'])
    if address.startswith('mmcls://'):
        prefix = f'backbone.{prefix}'  # mmengine cuts it off while it reads the file
    return WeightSource(address, module, prefix)


def local_file(address: str) -> Path:
    """The file behind an address, downloads where mmengine keeps them; whether it exists is not looked at.

    Raises:
        WeightsError: The address is of another kind, or names no known model.
    """
    address = resolve(address)
    if address.startswith(NETWORK):
        return cached(address)
    if '://' in address:
        scheme = address.partition('://')[0]
        raise WeightsError(f'{address}: no local file of a {scheme} address is known. Fix: fetch it, name its path.')
    return Path(address).expanduser()
