"""Which files of weights a model is initialised from, and what is in them.

The files are those that mmengine reads: by ``init_cfg`` when the weights are initialised, then by ``load_from`` or
``resume``. A distiller's teacher counts as a source of its own.
"""

import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.model import PretrainedInit
from mmengine.runner.checkpoint import (
    _get_mmengine_home,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import Tensor, nn

from mmext.common.weight_files import WRAPPERS, WeightsError, read_state_dict

TEACHER = 'teacher'
# What a garbled file raises, depending on where it is garbled, or a stand-in that is used as a list or dict.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError)
NETWORK = ('http://', 'https://')


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
    scheme, _, name = address.partition('://')
    if not name:
        return Path(address).expanduser()
    try:
        if scheme in ('torchvision', 'modelzoo'):
            address = get_torchvision_models()[name]
        elif scheme in ('open-mmlab', 'openmmlab'):
            address = get_external_models()[get_deprecated_model_names().get(name, name)]
            if not address.startswith(NETWORK):
                return Path(_get_mmengine_home()) / address
        elif scheme == 'mmcls':
            address = get_mmcls_models()[name]
    except KeyError as error:
        raise WeightsError(f'{scheme}://{name}: no such model is known. Fix: check the name.') from error
    if not address.startswith(NETWORK):
        raise WeightsError(f'{address}: no local file of a {scheme} address is known. Fix: fetch it, name its path.')
    return Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(address).path).name


class _StandIn:
    """Takes the place of every object that is no tensor: whatever is done to it has no effect."""

    def __init__(self, *args: Any) -> None:
        pass

    def __new__(cls, *args: Any) -> '_StandIn':
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a file as `read_state_dict` does, also where a checkpoint holds more than tensors.

    mmengine's checkpoints hold its log beside the weights. Whatever the restricted unpickler does not know is replaced
    by an empty stand-in, so that nothing in the file is run.

    Raises:
        WeightsError: As `read_state_dict`.
    """
    unknown = _unknown_objects(path)
    if not unknown:
        return read_state_dict(path)
    try:
        with torch.serialization.safe_globals([(_StandIn, name) for name in unknown]):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f'{path}: cannot be read without running what it holds ({", ".join(sorted(unknown)[:3])}; {reason}). '
            'Fix: save its state dict alone.'
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    items = content.items() if isinstance(content, dict) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and torch.is_tensor(value)}
    if not tensors:
        raise WeightsError(f'{path}: holds no tensors. Fix: give a file that holds a state dict.')
    return tensors


def _unknown_objects(path: Path) -> list[str]:
    """Names of the classes and functions in a zipped checkpoint that are no tensors' and no plain values'."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return []
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except UNREADABLE:
        return []  # no checkpoint of torch's: `read_state_dict` says what is wrong
