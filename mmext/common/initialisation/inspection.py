"""Proves which tensors of a model came out of which file of weights, by comparing their values.

mmengine loads what fits and only warns about the rest, so that a wrong prefix leaves a model random without an error.
What was loaded is therefore not asked for but measured: a tensor is loaded if it equals one in the file, bit for bit.
Counters of batch norm (``num_batches_tracked``) change nothing in a model and are left out, as in mmengine's warnings.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmext.common.digests import file_digest
from mmext.common.weight_files import WeightsError, read_state_dict

from .parts import FileProof, FileUse, TensorProof
from .proof import InitialisationProof
from .sources import TEACHER, WeightSource, local_file, teacher_of

COUNTER = 'num_batches_tracked'


@dataclass
class _Reading:
    """A source, what it offers to the model, and what became of that."""

    source: WeightSource
    file: FileProof
    offers: dict[str, str] = field(default_factory=dict)  # name in the model -> name in the file
    rest: list[str] = field(default_factory=list)  # names in the file that no tensor of the module has
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def covers(self, name: str) -> bool:
        return below(name, self.source.module)

    def offered(self, name: str) -> Tensor | None:
        return self.tensors[self.offers[name]] if name in self.offers else None


def inspect_initialisation(model: nn.Module, sources: Sequence[WeightSource]) -> InitialisationProof:
    """Compares every tensor of a model with those of the files that it should have been loaded from.

    A tensor is looked for under its own name first, in the last file that was loaded, then in the ones before. If it
    equals none of them, it is looked for by its values, so that weights count that a model renames, transposes or
    reshapes while it loads them.

    Args:
        model: Not wrapped, initialised, in the mode in which it is trained: what is frozen is read off as it is.
        sources: In the order of loading.

    Returns:
        One entry per tensor and one per file. A file that is missing or unreadable makes its tensors ``'unproven'``
        unless another file proves them.
    """
    tensors, flags = _tensors_of(model)
    readings = _read(sources, tensors)
    proofs = {name: _find_by_name(name, tensor, flags[name], readings) for name, tensor in tensors.items()}
    for reading in reversed(readings):
        _find_by_value(reading, tensors, proofs)
    for reading in reversed(readings):
        source = reading.source
        reading.file.uses.append(
            FileUse(source.module, source.prefix, source.origin, idle=_is_idle(reading, tensors, proofs, readings))
        )
        reading.file.expected.update(reading.offers.values())
        reading.file.unasked.update(reading.rest)
    files = {id(reading.file): reading.file for reading in readings}
    return InitialisationProof(list(proofs.values()), list(files.values()))


def below(name: str, module: str) -> bool:
    """Whether a dotted name is that of a module or of something within it; everything is within ''."""
    return not module or name == module or name.startswith(f'{module}.')


def _tensors_of(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, tuple[bool, bool]]]:
    """All tensors that a checkpoint would hold, a teacher's too, and whether each is a parameter, and frozen.

    The running statistics of a batch norm in evaluation mode are frozen; other buffers never are: nothing trains them.
    """
    parts = {'': model}
    for name, module in model.named_modules():
        if (teacher := teacher_of(module)) is not None:
            parts[f'{name}.{TEACHER}.' if name else f'{TEACHER}.'] = teacher
    tensors, flags = {}, {}
    for prefix, part in parts.items():
        parameters = dict(part.named_parameters(remove_duplicate=False))
        still = {
            f'{name}.{statistic}' if name else statistic
            for name, module in part.named_modules()
            if isinstance(module, _BatchNorm) and not module.training
            for statistic in ('running_mean', 'running_var')
        }
        for name, tensor in part.state_dict().items():
            if torch.is_tensor(tensor) and name.split('.')[-1] != COUNTER:
                is_parameter = name in parameters
                frozen = not parameters[name].requires_grad if is_parameter else name in still
                tensors[prefix + name], flags[prefix + name] = tensor.detach(), (is_parameter, frozen)
    return tensors, flags


def _read(sources: Sequence[WeightSource], tensors: Mapping[str, Tensor]) -> list[_Reading]:
    """Reads and digests each file once, and matches its names with those of the model."""
    files: dict[str, tuple[FileProof, dict[str, Tensor]]] = {}
    readings = []
    for source in sources:
        if source.address not in files:
            files[source.address] = _read_file(source.address)
        file, content = files[source.address]
        reading = _Reading(source, file, tensors=content)
        module = f'{source.module}.' if source.module else ''
        for name in content:
            plain = re.sub(r'^module\.', '', name)
            if not plain.startswith(source.prefix) or plain.split('.')[-1] == COUNTER:
                continue
            target = module + plain.removeprefix(source.prefix)
            if target in tensors:
                reading.offers[target] = name
            else:
                reading.rest.append(name)
        readings.append(reading)
    return readings


def _read_file(address: str) -> tuple[FileProof, dict[str, Tensor]]:
    file = FileProof(address)
    try:
        path = local_file(address)
        file.path = str(path)
        if path.is_file():
            file.sha256, file.size = file_digest(path), path.stat().st_size
        content = read_state_dict(Path(path))
    except (WeightsError, OSError) as error:
        file.error = str(error)
        return file, {}
    file.names = [name for name in content if name.split('.')[-1] != COUNTER]
    return file, content


def _find_by_name(name: str, tensor: Tensor, flags: tuple[bool, bool], readings: Sequence[_Reading]) -> TensorProof:
    """What the files say about a tensor under its own name."""
    proof = TensorProof(name, tuple(tensor.shape), *flags)
    covering = [reading for reading in reversed(readings) if reading.covers(name)]
    offers = [(reading, reading.offered(name)) for reading in covering if name in reading.offers]
    same_shape = [reading for reading, offer in offers if offer.shape == tensor.shape]
    for reading in same_shape:
        if _same(reading.offered(name), tensor):
            return proof.with_status('loaded', reading.file, reading.offers[name])
    if unreadable := next((reading for reading in covering if reading.file.error), None):
        return proof.with_status('unproven', unreadable.file)
    if same_shape:
        return proof.with_status('changed', same_shape[0].file, same_shape[0].offers[name])
    if offers:
        reading, offer = offers[0]
        return proof.with_status('shape', reading.file, reading.offers[name], tuple(offer.shape))
    return proof.with_status('missing', covering[0].file) if covering else proof


def _same(stored: Tensor, tensor: Tensor) -> bool:
    """Bit for bit, after the conversion to the model's type that loading does."""
    return torch.equal(_bytes(stored.to(tensor.dtype)), _bytes(tensor.cpu()))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _find_by_value(reading: _Reading, tensors: Mapping[str, Tensor], proofs: dict[str, TensorProof]) -> None:
    """Marks tensors as loaded whose values stand in the file in another order or under another name.

    Tensors of one value only, such as fresh biases and scales, prove nothing and are left out.
    """
    used = {proof.file_name for proof in proofs.values() if proof.status == 'loaded' and proof.file is reading.file}
    free = [name for name in reading.file.names if name not in used and not reading.tensors[name].is_complex()]
    wanted = [
        name
        for name, proof in proofs.items()
        if proof.status != 'loaded' and reading.covers(name) and not tensors[name].is_complex()
    ]
    sizes = {reading.tensors[name].numel() for name in free} & {tensors[name].numel() for name in wanted}
    found = defaultdict(list)
    for name in free:
        stored = reading.tensors[name]
        if stored.numel() in sizes and (ends := _ends(stored)):
            found[(stored.numel(), *ends)].append(name)
    for name in wanted:
        tensor = tensors[name].cpu()
        if tensor.numel() not in sizes or not (ends := _ends(tensor)):
            continue
        # Equal tensors in the file, such as tables of positions, are taken one after the other.
        for stored in sorted(found[(tensor.numel(), *ends)], key=used.__contains__):
            if torch.equal(_sorted(reading.tensors[stored].to(tensor.dtype)), _sorted(tensor)):
                proofs[name] = proofs[name].with_status('loaded', reading.file, stored)
                used.add(stored)
                break


def _ends(tensor: Tensor) -> tuple[float, float] | None:
    """Lowest and highest value, which no reordering changes; None where they are the same or not numbers."""
    if tensor.numel() < 2:
        return None
    low, high = (float(end) for end in torch.aminmax(tensor.float()))
    return (low, high) if low < high else None


def _sorted(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).sort().values


def _is_idle(
    reading: _Reading,
    tensors: Mapping[str, Tensor],
    proofs: Mapping[str, TensorProof],
    readings: Sequence[_Reading],
) -> bool:
    """Whether nothing came of a source, not because a later one overwrote its whole module.

    Tensors of one value only are no evidence, unless the file has no others.
    """
    later = readings[readings.index(reading) + 1 :]
    if reading.file.error or any(below(reading.source.module, other.source.module) for other in later):
        return False
    if not any(reading.covers(name) for name in proofs):
        return False  # a module without weights
    loaded = [
        name
        for name, proof in proofs.items()
        if proof.status == 'loaded' and proof.file is reading.file and reading.covers(name)
    ]
    if any(_ends(tensors[name]) for name in loaded):
        return False
    return not loaded or any(_ends(reading.tensors[name]) for name in reading.file.names)
