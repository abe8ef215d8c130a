"""What a config says about its training, for whoever looks at it without building anything."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, Registry

# {algorithm}_{backbone}_{gpus}xb{batch}-{length}_{dataset}-{height}x{width}; later stages: -b{batch}-{epochs}e
NAME = re.compile(
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<length>\d+)(?P<unit>k|e|i)(?P<later>(-b\d+-\d+e)*)_'
    r'[a-z0-9]+-(?P<height>\d+)x(?P<width>\d+)$'
)


@dataclass(frozen=True)
class NamePromise:
    """What the name of a config file promises.

    Attributes:
        processes: Number of GPUs.
        stages: (images a process and iteration, length) by stage; the length is in epochs or iterations.
        by_epoch: Whether lengths are in epochs.
        crop_hw: Height and width of the training crop.
    """

    processes: int
    stages: tuple[tuple[int, int], ...]
    by_epoch: bool
    crop_hw: tuple[int, int]


def parse_name(path: str | Path) -> NamePromise | None:
    """The promise of a file name; None if it does not follow the pattern."""
    found = NAME.search(Path(path).stem)
    if not found:
        return None
    length = int(found['length']) * (1000 if found['unit'] == 'k' else 1)
    later = [(int(batch), int(epochs)) for batch, epochs in re.findall(r'-b(\d+)-(\d+)e', found['later'])]
    return NamePromise(
        int(found['gpus']),
        ((int(found['batch']), length), *later),
        found['unit'] == 'e',
        (int(found['height']), int(found['width'])),
    )


def walk(node: Any, path: str = '') -> Iterator[tuple[str, Mapping]]:
    """All dicts below a node with their dotted names, outer ones first; a teacher of a distiller is left out."""
    if isinstance(node, Mapping):
        yield path, node
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        if key != 'teacher':
            yield from walk(value, f'{path}.{key}' if path else str(key))


def type_name(node: Mapping) -> str:
    """The type of a component without its scope; '' if it has none."""
    kind = node.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')


def inner_dataset(loader: Mapping | None) -> Mapping:
    """The settings of a loader's data set inside of wrappers; of several, the first. Empty without one."""
    node = (loader or {}).get('dataset') or {}
    while isinstance(node, Mapping) and not node.get('pipeline'):
        inner = node.get('dataset') or node.get('datasets')
        inner = inner[0] if isinstance(inner, (list, tuple)) and inner else inner
        if not isinstance(inner, Mapping):
            break
        node = inner
    return node if isinstance(node, Mapping) else {}


def transforms(pipeline: Sequence | None) -> Iterator[Mapping]:
    """The steps of a pipeline with those inside of others, in order."""
    for step in pipeline or ():
        if isinstance(step, (list, tuple)):
            yield from transforms(step)
        elif isinstance(step, Mapping):
            yield step
            yield from transforms(step.get('transforms'))


def pair(value: Any) -> tuple[int, int] | None:
    """One or two whole numbers as two; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return value[0], value[1]
    return None


def crop_hw(cfg: Config) -> tuple[int, int] | None:
    """Height and width of the training crop; None where no crop of fixed size is taken."""
    found = None
    for step in transforms(inner_dataset(cfg.get('train_dataloader')).get('pipeline')):
        kind = type_name(step)
        if kind in ('RandomCrop', 'RandomResizedCrop') and step.get('crop_type', 'absolute') == 'absolute':
            found = pair(step.get('crop_size', step.get('scale')))
            if found and scope_of(cfg) == 'mmdet':
                found = found[::-1]  # mmdet writes (width, height)
    return found


def scope_of(cfg: Config) -> str:
    """The toolbox that builds the config."""
    return cfg.get('default_scope') or 'mmengine'


def stages_of(cfg: Config) -> list[Mapping] | None:
    """The settings of the stages of a `StagedTrainLoop`; None for other loops."""
    stages = (cfg.get('train_cfg') or {}).get('stages')
    return list(stages) if isinstance(stages, (list, tuple)) and stages else None


def batch_sizes(cfg: Config) -> list[int]:
    """Images a process and iteration by stage; one number without stages."""
    default = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    return [int(stage.get('batch_size') or default) for stage in stages_of(cfg) or [{}]]


def batch_size(cfg: Config) -> int:
    """Images a process and iteration, of the first stage."""
    return batch_sizes(cfg)[0]


def run_length(cfg: Config) -> tuple[int, bool] | None:
    """Length of the training and whether it is in epochs; None if the config does not say."""
    settings = cfg.get('train_cfg') or {}
    if stages := stages_of(cfg):
        return sum(int(stage.get('epochs', 0)) for stage in stages), True
    if settings.get('max_iters'):
        return int(settings.max_iters), False
    return (int(settings.max_epochs), True) if settings.get('max_epochs') else None


def registered(registry: Registry, cfg: Config, kind: Any) -> type | None:
    """The class behind a type name, in the scope of the config; None if there is none."""
    if isinstance(kind, type):
        return kind
    if not isinstance(kind, str):
        return None
    with registry.switch_scope_and_registry(scope_of(cfg)) as scoped:
        return scoped.get(kind)


def model_class(cfg: Config, node: Mapping) -> type | None:
    return registered(MODELS, cfg, node.get('type'))


def class_names(cfg: Config, part: str = 'train') -> list[str] | None:
    """Classes of a data set by its settings or its class, nothing built; None where only its files tell them."""
    settings = inner_dataset(cfg.get(f'{part}_dataloader'))
    named = (settings.get('metainfo') or {}).get('classes') or settings.get('classes')
    if named is None and settings.get('type'):
        kind = registered(DATASETS, cfg, settings.get('type'))
        named = (getattr(kind, 'METAINFO', None) or {}).get('classes')
    return list(named) if isinstance(named, (list, tuple)) else None
