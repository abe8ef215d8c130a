"""Keeps batches that made a training non-finite, and replays them: ``tools/analysis/replay_batch.py``."""

import pickle
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmext.common.files import replacing, write_json
from mmext.common.undisturbed import random_state_kept

from .non_finite_diagnosis import Diagnosis, diagnose
from .plain_batches import from_plain, image_paths, to_plain

FORMAT = 'mmext.non_finite.1'


def generator_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, of every visible GPU too, as plain values."""
    version, keys, gauss = random.getstate()
    name, array, *rest = np.random.get_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return dict(
        python=(version, keys, gauss),
        numpy=(name, torch.from_numpy(array.astype(np.int64)), *rest),
        torch=torch.get_rng_state(),
        cuda=list(cuda),
    )


def set_generator_states(states: dict[str, Any]) -> None:
    """Let the generators go on from `generator_states`; those of GPUs that are not here are passed over."""
    random.setstate(states['python'])
    name, array, *rest = states['numpy']
    np.random.set_state((name, array.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states['torch'])
    for index, state in enumerate(states['cuda'][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, index)


@dataclass
class Incident:
    """A batch that made a training non-finite, with what its replay needs.

    Attributes:
        batch: As the loader gave it.
        generators: `generator_states` right before the step.
        iteration: From 0.
        seed: Of the run.
        rank: Of the process.
        fault: ``'loss'`` or ``'gradient'``.
        frozen: Names of the modules that were in evaluation mode.
        autocast: Type of mixed precision, such as ``'float16'``; '' without.
        scale: Of the loss in the backward pass.
        weights: File of the weights before the step; ''.
        diagnosis: What the replay within the run found.
    """

    batch: Any
    generators: dict
    iteration: int
    seed: int | None
    rank: int
    fault: str
    frozen: list[str]
    autocast: str = ''
    scale: float = 1.0
    weights: str = ''
    diagnosis: Diagnosis | None = None


def write_incident(path: Path, incident: Incident, command: str) -> None:
    """Writes ``<path>`` (tensors and plain values) and beside it a ``.json`` for people, each whole or not at all."""
    about = {key: value for key, value in vars(incident).items() if key not in ('batch', 'generators')}
    about['diagnosis'] = asdict(incident.diagnosis) if incident.diagnosis else None
    content = dict(format=FORMAT, batch=to_plain(incident.batch), generators=incident.generators, **about)
    with replacing(path) as unfinished:
        torch.save(content, unfinished)
    advice = incident.diagnosis.advice if incident.diagnosis else ''
    frozen = dict(frozen=len(incident.frozen))
    extra = dict(advice=advice, images=image_paths(incident.batch), batch=path.name, replay=command)
    write_json(path.with_suffix('.json'), _json(about | frozen | extra))


def _json(value: Any) -> Any:
    """JSON has no NaN: numbers that are not finite become text."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def read_incident(path: str | Path) -> Incident:
    """Reads what `write_incident` wrote, without running any code.

    Raises:
        ValueError: No such file, damaged, or not of this format; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'{path}: no such file; batches are kept in work_dirs/<run>/non_finite/')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f'{path}: damaged, or not a batch that NonFiniteGuard kept ({error})') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ValueError(f'{path}: not a batch that NonFiniteGuard kept; give iter_*_rank*.pt of non_finite/')
    content.pop('format')
    try:
        content['batch'] = from_plain(content['batch'])
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    content['diagnosis'] = Diagnosis(**content['diagnosis']) if content['diagnosis'] else None
    return Incident(**content)


def replay(model: nn.Module, incident: Incident) -> Diagnosis:
    """Passes the batch through the model again, with the same random numbers and modes.

    Args:
        model: mmengine's, not wrapped, with the weights of that moment. Its buffers and modes change.
        incident: Of `read_incident`.
    """
    model.train()
    for name in incident.frozen:
        model.get_submodule(name).training = False
    device = next(model.parameters()).device.type
    context = torch.autocast(device, getattr(torch, incident.autocast)) if incident.autocast else None
    with random_state_kept():
        set_generator_states(incident.generators)
        return diagnose(model, incident.batch, context, incident.scale)
