"""The stages of a staged training: what a config may say about them, and what follows from it."""

import copy
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        epochs: Its length.
        freeze: Names of the modules that stand still, as in ``model.named_modules()``.
        lr: Learning rate at its start; groups of parameters keep their ``lr_mult``. None: that of the optimiser.
        batch_size: Images a process and iteration. None: that of the train dataloader.
        lr_decay: Factor of the learning rate after every epoch, in (0, 1].
        param_scheduler: Instead of ``lr_decay``: settings of mmengine's schedulers. Their time begins with the stage.
        optim_wrapper: Settings merged over those of the config's ``optim_wrapper``; see `merge_settings`.
    """

    epochs: int
    freeze: Sequence[str] = ()
    lr: float | None = None
    batch_size: int | None = None
    lr_decay: float | None = None
    param_scheduler: Sequence[dict] | None = None
    optim_wrapper: dict | None = None

    def schedulers(self) -> list[dict]:
        """Settings of the schedulers; the list is empty where the learning rate does not change."""
        if self.lr_decay not in (None, 1):
            return [dict(type='ExponentialLR', gamma=self.lr_decay, by_epoch=True)]
        return list(self.param_scheduler or ())


@dataclass(frozen=True)
class StagePlan:
    """Stages on the time axis of the whole run; stages, epochs and iterations are counted from 0.

    Attributes:
        stages: In order.
        epoch_lengths: Iterations an epoch, by stage.
    """

    stages: Sequence[Stage]
    epoch_lengths: Sequence[int]

    @property
    def ends(self) -> list[int]:
        """By stage, the number of epochs until its end."""
        return list(accumulate(stage.epochs for stage in self.stages))

    def stage_of(self, epoch: int) -> int:
        """Index of the stage that an epoch belongs to; that of the last one after the end."""
        return min(bisect_right(self.ends, epoch), len(self.stages) - 1)

    def iteration_at(self, epoch: int) -> int:
        """Number of iterations before an epoch."""
        before = 0
        for stage, length in zip(self.stages, self.epoch_lengths, strict=True):
            before += min(epoch, stage.epochs) * length
            epoch -= min(epoch, stage.epochs)
        return before

    def until(self, index: int) -> dict:
        """The stages up to one of them, as plain values that `changed_stage` compares."""
        return dict(
            stages=[asdict(stage) for stage in self.stages[: index + 1]],
            epoch_lengths=list(self.epoch_lengths[: index + 1]),
        )


def parse_stages(settings: Any) -> list[Stage]:
    """Read the stages of a config.

    Args:
        settings: The value of ``train_cfg.stages``: a list of dicts with the attributes of `Stage` as keys.

    Raises:
        ValueError: A value that cannot be used; names stage, key, value and fix.
    """
    if not isinstance(settings, (list, tuple)) or not settings:
        raise ValueError(f'train_cfg.stages={settings!r}: must be a list of one dict a stage: [dict(epochs=30, ...)]')
    return [_parse_stage(f'train_cfg.stages[{index}]', stage) for index, stage in enumerate(settings)]


def _parse_stage(place: str, settings: Any) -> Stage:
    keys = [field.name for field in fields(Stage)]
    if not isinstance(settings, Mapping):
        raise ValueError(f'{place}={settings!r}: must be a dict with the keys {", ".join(keys)}')
    for key in settings:
        if key not in keys:
            nearest = get_close_matches(key, keys, n=1, cutoff=0.0)[0]
            raise ValueError(f'{place}.{key}: no such key; did you mean {nearest}? All: {", ".join(keys)}')
    if 'epochs' not in settings:
        raise ValueError(f'{place}.epochs: is missing; give the number of epochs of the stage')
    # Without the classes of mmengine's Config, a stage can be compared and stored.
    settings = dict(freeze=[]) | {key: _plain(value) for key, value in settings.items() if value is not None}
    if isinstance(settings.get('param_scheduler'), dict):
        settings['param_scheduler'] = [settings['param_scheduler']]
    for key, value in settings.items():
        allowed, message = _RULES[key]
        if not allowed(value):
            raise ValueError(f'{place}.{key}={value!r}: must be {message}')
    if 'lr_decay' in settings and 'param_scheduler' in settings:
        raise ValueError(
            f'{place}.lr_decay={settings["lr_decay"]!r}: excludes param_scheduler; remove one, or add '
            f"dict(type='ExponentialLR', gamma={settings['lr_decay']!r}) to param_scheduler"
        )
    if 'lr' in settings.get('optim_wrapper', {}).get('optimizer', {}):
        lr = settings['optim_wrapper']['optimizer']['lr']
        raise ValueError(f'{place}.optim_wrapper.optimizer.lr={lr!r}: the learning rate of a stage is its key lr')
    return Stage(**settings)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _is_optim_wrapper(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get('optimizer', {}), dict)


# Of each key: whether a value may be used, and how to say what may.
_RULES = {
    'epochs': (_is_count, 'a whole number above 0'),
    'freeze': (
        lambda value: isinstance(value, list) and all(isinstance(name, str) and name for name in value),
        "a list of names of modules: ['backbone']; [] freezes nothing",
    ),
    'lr': (_is_positive, 'a number above 0'),
    'batch_size': (_is_count, 'a whole number above 0'),
    'lr_decay': (lambda value: _is_positive(value) and value <= 1, 'a number above 0 and at most 1'),
    'param_scheduler': (
        lambda value: isinstance(value, list) and all(isinstance(item, dict) and 'type' in item for item in value),
        "a list of settings of schedulers: [dict(type='CosineAnnealingLR')]",
    ),
    'optim_wrapper': (_is_optim_wrapper, 'a dict to be merged over optim_wrapper: dict(optimizer=dict(...))'),
}


def merge_settings(base: Mapping, override: Mapping) -> dict:
    """Settings with some of them replaced, at any depth. A dict whose ``type`` changes is replaced as a whole.

    Another optimiser so does not inherit the arguments of the first one.
    """
    merged = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in override.items():
        old = merged.get(key)
        same_kind = (
            isinstance(value, Mapping) and isinstance(old, Mapping) and value.get('type') in (None, old.get('type'))
        )
        merged[key] = merge_settings(old, value) if same_kind else copy.deepcopy(value)
    return merged


def changed_stage(before: Sequence[dict], stages: Sequence[Stage]) -> str | None:
    """What tells the first stages of two trainings apart.

    Args:
        before: Stages of the earlier training, as from ``dataclasses.asdict``.
        stages: Of the present one.

    Returns:
        Place, earlier and present value of the first difference; None if ``stages`` begin with ``before``.
    """
    for index, old in enumerate(before):
        if index >= len(stages):
            return f'train_cfg.stages[{index}]: was {old}, is missing'
        new = asdict(stages[index])
        for key in new:
            if new[key] != old.get(key):
                return f'train_cfg.stages[{index}].{key}: was {old.get(key)!r}, is {new[key]!r}'
    return None


def lr_scales(stages: Sequence[Stage], auto_scale_lr: Mapping | None, processes: int) -> list[float]:
    """Factor of the learning rate of each stage: its total batch size by the one that the rate was chosen for.

    Args:
        stages: With their ``batch_size``.
        auto_scale_lr: Of a config: ``enable``, and ``base_batch_size``: a number, or a list of one a stage.
        processes: Number of those that train together.

    Raises:
        ValueError: One base for stages of different batch sizes, or not one for each stage.
    """
    if not auto_scale_lr or not auto_scale_lr.get('enable', False):
        return [1.0] * len(stages)
    base = auto_scale_lr.get('base_batch_size')
    sizes = [stage.batch_size for stage in stages]
    bases = list(base) if isinstance(base, (list, tuple)) else [base] * len(stages) if len(set(sizes)) == 1 else []
    if len(bases) != len(stages) or not all(_is_count(item) for item in bases):
        raise ValueError(
            f'auto_scale_lr.base_batch_size={base!r}: the stages have batch sizes {sizes}; give a list: by stage, the '
            f'total batch size that its lr was chosen for; or set auto_scale_lr.enable=False'
        )
    return [processes * size / base for size, base in zip(sizes, bases, strict=True)]
