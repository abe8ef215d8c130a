"""A model as its config describes it, for analysis: on the CPU, untrained, nothing downloaded; and its input size.

Sizes are (height, width) everywhere in this file; where a toolbox writes (width, height) they are turned on reading.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmext.common.checkpoints import use_safe_loading
from mmext.common.config_files import read_config

TOOLBOXES = ('mmseg', 'mmdet', 'mmpretrain')
_WEIGHT_KEYS = frozenset({'init_cfg', 'pretrained', 'load_from', 'resume_from', 'teacher_ckpt'})
_CIFAR = (32, 32)
_SYNC_NORMS = frozenset({'SyncBN', 'MMSyncBN', 'NaiveSyncBN'})


class AnalysisError(ValueError):
    """A config or an argument that cannot be analysed; the message names file, value and fix."""


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Reads a config and merges ``--cfg-options`` into it."""
    if not Path(path).exists():
        raise AnalysisError(f'{path}: no such config file; give the path of a .py config')
    config = read_config(path, options)
    if not isinstance(config.get('model'), dict):
        raise AnalysisError(
            f'{path}: the config has no `model` dict; give a leaf config, not a dataset or schedule base'
        )
    return config


def toolbox_of(config: Config) -> str:
    """The toolbox whose registry builds the model: the config's `default_scope`."""
    scope = config.get('default_scope')
    if scope not in TOOLBOXES:
        raise AnalysisError(
            f'{config.filename}: default_scope is {scope!r}; expected one of {", ".join(TOOLBOXES)} '
            '(set it in the config or with --cfg-options default_scope=mmseg)'
        )
    return scope


def without_weights(node: Any) -> Any:
    """Copies a config node such that building from it reads no weights and needs no process group.

    Every `init_cfg`, `pretrained` and the like, at any depth (backbones, shared heads of C4 detectors, lists), becomes
    None, and synchronised batch norms become plain ones: the figures do not depend on either.
    """
    if isinstance(node, Mapping):
        return {
            key: None
            if key in _WEIGHT_KEYS
            else ('BN' if key == 'type' and value in _SYNC_NORMS else without_weights(value))
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return type(node)(without_weights(value) for value in node)
    return node


def build_model(config: Config, seed: int = 0) -> nn.Module:
    """Builds `config.model` in evaluation mode with random weights.

    The seed matters to two-stage detectors only: their number of proposals depends on the weights. The caller's random
    state and default scope are left as they were.
    """
    # No weights are read; should a module fetch some of its own, they are read as all others.
    use_safe_loading()
    model_config = ConfigDict(without_weights(config.model))
    with torch.random.fork_rng(devices=[]), DefaultScope.overwrite_default_scope(toolbox_of(config)):
        torch.manual_seed(seed)
        model = MODELS.build(model_config)
    return revert_sync_batchnorm(model).eval()


def input_size(config: Config) -> tuple[tuple[int, int], str]:
    """Derives the (height, width) that the network sees at test time, and says where it comes from.

    Sources, first one wins: one window of a sliding-window test; the test pipeline's last resize or centre crop (for a
    detector rounded up to the multiple to which its preprocessor pads); the preprocessor's `size`; the config's
    `crop_size`; the training pipeline's crop; the backbone's `img_size`; the 32 x 32 pixels of a CIFAR data set.
    """
    for size, source in _candidates(config):
        if size is not None:
            return size, source
    raise AnalysisError(
        f'{config.filename}: no input size in the test pipeline, data_preprocessor.size or crop_size; pass --shape H W'
    )


def _candidates(config: Config) -> Iterator[tuple[tuple[int, int] | None, str]]:
    model = config.model
    if (model.get('test_cfg') or {}).get('mode') == 'slide':
        yield _pair(model.test_cfg.get('crop_size')), 'model.test_cfg.crop_size, one window of a sliding-window test'
    size, source = _pipeline_size(_pipeline(config, 'test'), ('Resize', 'CenterCrop', 'EfficientNetCenterCrop'))
    if size is not None:
        divisor = (model.get('data_preprocessor') or {}).get('pad_size_divisor') or 1
        padded = tuple(-(-side // divisor) * divisor for side in size)
        yield padded, f'test pipeline, {source}' + (f', padded to multiples of {divisor}' if padded != size else '')
    preprocessor = model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    yield _pair(preprocessor.get('size')), 'data_preprocessor.size'
    yield _pair(config.get('crop_size')), 'crop_size'
    size, source = _pipeline_size(_pipeline(config, 'train'), ('RandomCrop', 'RandomResizedCrop'))
    yield size, f'training pipeline, {source}'
    yield _pair((model.get('backbone') or {}).get('img_size')), 'model.backbone.img_size'
    for dataset in (str(_dataset(config, split).get('type', '')) for split in ('test', 'val', 'train')):
        yield _CIFAR if 'CIFAR' in dataset else None, f'{dataset}, whose pictures have this size'


def _pipeline(config: Config, split: str) -> Sequence[Any]:
    """The transforms of a split, looked up through dataset wrappers; empty if the config has no data."""
    return _dataset(config, split).get('pipeline') or config.get(f'{split}_pipeline') or []


def _dataset(config: Config, split: str) -> Mapping[str, Any]:
    """The innermost data set of a split's wrappers, or the first with a pipeline; empty if the config has none."""
    loader = config.get(f'{split}_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, dict) else None
    while isinstance(dataset, dict) and dataset.get('pipeline') is None and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset if isinstance(dataset, dict) else {}


def _pipeline_size(pipeline: Sequence[Any], types: Sequence[str]) -> tuple[tuple[int, int] | None, str]:
    """The size after the last transform of the given types that fixes one."""
    size, source = None, ''
    for transform in pipeline:
        kind = str(transform.get('type', '')).rpartition('.')[2] if isinstance(transform, dict) else ''
        value = transform.get('crop_size', transform.get('scale')) if kind in types else None
        pair = _pair(value)
        if pair is None:
            continue
        # mmcv writes Resize and CenterCrop as (width, height), every random crop as (height, width)
        size = pair[::-1] if kind in ('Resize', 'CenterCrop') else pair
        source = f'{kind} {value}' + (
            ' keep_ratio: the largest size it can give' if transform.get('keep_ratio') else ''
        )
    return size, source


def _pair(value: Any) -> tuple[int, int] | None:
    """An int or a pair of ints as a pair; None for anything else (an absent key, a list of scales)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value, value
    if (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(side, int) and side > 0 for side in value)
    ):
        return int(value[0]), int(value[1])
    return None
