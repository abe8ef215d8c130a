"""Features that a classifier computes for one split of its config's data, in evaluation mode and in order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Subset

from mmext.common.config_files import building
from mmext.common.files import replacing
from mmext.common.prediction.predictor import classes_and_palette, load_weights
from mmext.common.running import drop_pretrained

SPLITS = ('train', 'val', 'test')
# They show pictures several times, and the nearest neighbour of a picture would be itself.
_REPEATERS = ('RepeatDataset', 'ClassBalancedDataset')


class SplitFeatures(NamedTuple):
    """What a network makes of the pictures of a split.

    Attributes:
        features: (N, D) float32.
        labels: (N,) int64.
        classes: Names by label; empty if neither data nor checkpoint have them.
        layer: Where the features are read.
        missing: Names of tensors that the checkpoint does not hold.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    layer: str
    missing: list[str]


def split_features(
    cfg: Config,
    checkpoint: str,
    split: str = 'val',
    layer: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> SplitFeatures:
    """Run a config's model over the pictures of a split, each once and as in testing.

    The training split is read with the pipeline of the test or validation split: without augmentation.

    Args:
        cfg: Changed in place: its settings of pretrained weights are dropped.
        checkpoint: Weights of the whole model.
        split: 'train', 'val' or 'test'.
        layer: See `reading_features`.
        limit: Take so many pictures, drawn at random with ``seed``; all by default.
        seed: Of the draw.
        device: By default the GPU if there is one.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: no such split, checkpoint of another model, no such layer, or pictures without one label each.
    """
    dataset_cfg, loader_cfg = _split_settings(cfg, split)
    drop_pretrained(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        with building(cfg.filename):
            model = revert_sync_batchnorm(MODELS.build(cfg.model))
        weights = load_weights(model, checkpoint)
        dataset = _build_dataset(dataset_cfg, split)
        classes, _ = classes_and_palette({}, getattr(dataset, 'metainfo', None) or {})
        if limit is not None and limit < len(dataset):
            drawn = np.random.default_rng(seed).choice(len(dataset), limit, replace=False)
            dataset = Subset(dataset, sorted(drawn.tolist()))
        loader = Runner.build_dataloader(dict(dataset=dataset, **loader_cfg), seed=seed)
    model = _to_device(model, device or get_device()).eval()
    features, labels = [], []
    with torch.inference_mode(), reading_features(model, layer) as (name, read):
        for batch in loader:
            labels.extend(_label(sample, split) for sample in batch['data_samples'])
            features.append(read(batch).float().cpu())
    if not labels:
        raise ValueError(f'{split}_dataloader: the data set has no picture')
    classes = classes or classes_and_palette(weights.meta, {})[0]
    return SplitFeatures(torch.cat(features).numpy(), np.array(labels, dtype=np.int64), classes, name, weights.missing)


def save_features(path: str | Path, found: SplitFeatures, points: np.ndarray) -> None:
    """Write npz: features (N, D) float32, labels (N,) int64, classes (C,) text, points (N, 2) float32."""
    # A file object keeps numpy from adding a suffix to the unfinished file's name.
    with replacing(path) as unfinished, unfinished.open('wb') as file:
        classes = np.array(found.classes, dtype=str)
        np.savez_compressed(file, features=found.features, labels=found.labels, classes=classes, points=points)


@contextmanager
def reading_features(model: nn.Module, layer: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield what is read and a function from a batch of the data loader to features (B, D).

    By default that is the input of the last linear layer of ``model.head`` (of the whole model if it has no head), or,
    where there is none, ``model.extract_feat(..., stage='pre_logits')``. With ``layer``, it is the output of that
    module, the last one of several; maps (B, D, H, W) are averaged over places, tokens (B, T, D) over tokens.

    Raises:
        ValueError: no such module, or one that does not run once a batch or gives something else.
    """
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        likely = [name for name in modules if name and name.count('.') < 2]
        raise ValueError(f'--layer {layer}: the model has no such module; it has {", ".join(likely[:20])}, ...')
    linear = None if layer is not None else _last_linear(model)
    if layer is None and linear is None:
        yield "extract_feat(stage='pre_logits')", lambda batch: _pooled(_pre_logits(model, batch), 'pre_logits')
        return
    name = layer if layer is not None else linear
    caught: list[Any] = []
    if layer is None:
        handle = modules[name].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    else:
        handle = modules[name].register_forward_hook(lambda _, __, output: caught.append(output))

    def read(batch: Mapping[str, Any]) -> Tensor:
        caught.clear()
        model.test_step(batch)
        if len(caught) != 1:
            raise ValueError(f'{name} runs {len(caught)} times for a batch; name another module with --layer')
        return _pooled(caught[0], name)

    try:
        yield (f'input of {name}' if layer is None else f'output of {name}'), read
    finally:
        handle.remove()


def _build_dataset(settings: dict, split: str) -> Any:
    # What data sets raise for files that are missing or damaged is theirs to choose; most assert.
    try:
        return DATASETS.build(settings)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'{split}_dataloader: {error}') from error


def _to_device(model: nn.Module, device: str) -> nn.Module:
    # torch raises AssertionError where it was built without CUDA.
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'--device {device}: not on this machine ({str(error).splitlines()[0]})') from error


def _last_linear(model: nn.Module) -> str | None:
    """Name of the last linear layer of the head, else of the model; None if it has none."""
    prefix = 'head.' if isinstance(getattr(model, 'head', None), nn.Module) else ''
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return next((name for name in reversed(names) if name.startswith(prefix)), None)


def _pre_logits(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    if not hasattr(model, 'extract_feat'):
        raise ValueError(f'{type(model).__name__} has no linear layer in its head; name a module with --layer')
    inputs = model.data_preprocessor(batch, False)['inputs']
    try:
        return model.extract_feat(inputs, stage='pre_logits')
    # mmpretrain asserts that the head has pre_logits; other models do not know the argument.
    except (TypeError, AssertionError) as error:
        raise ValueError(f'{type(model).__name__} has no pre_logits ({error}); name a module with --layer') from error


def _pooled(output: Any, name: str) -> Tensor:
    """(B, D) of a module's output; see `reading_features`."""
    while isinstance(output, (tuple, list)) and output:
        output = output[-1]
    if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
        what = f'shape {tuple(output.shape)}' if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f'{name} gives {what}, not (B, D), (B, T, D) or (B, D, H, W); name another with --layer')
    return output if output.ndim == 2 else output.mean(dim=1 if output.ndim == 3 else (2, 3))


def _label(sample: Any, split: str) -> int:
    label = getattr(sample, 'gt_label', None)
    if label is None or label.numel() != 1:
        count = 'no' if label is None else label.numel()
        raise ValueError(f'{split}_dataloader: a picture has {count} labels, one is needed; name a labelled --split')
    return int(label)


def _split_settings(cfg: Config, split: str) -> tuple[dict, dict]:
    """Settings of the data set with the pipeline of testing, and of a loader that gives each picture once in order."""
    loader = cfg.get(f'{split}_dataloader')
    if not loader or not loader.get('dataset') or 'model' not in cfg:
        has = [name for name in SPLITS if cfg.get(f'{name}_dataloader')]
        raise ValueError(
            f'{cfg.filename}: no {split}_dataloader or no model; the config has {", ".join(has) or "none"}'
        )
    dataset = loader.to_dict()['dataset'] if hasattr(loader, 'to_dict') else dict(loader)['dataset']
    while str(dataset['type']).rpartition('.')[2] in _REPEATERS:
        dataset = dataset['dataset']
    if split == 'train':
        pipelines = [_pipeline((cfg.get(f'{name}_dataloader') or {}).get('dataset')) for name in ('test', 'val')]
        tested = next((found for found in pipelines if found), None)
        if tested is None:
            raise ValueError(f'{cfg.filename}: no test or validation pipeline to read the training pictures with')
        _replace_pipeline(dataset, tested)
    kept = {key: loader[key] for key in ('num_workers', 'collate_fn', 'pin_memory') if key in loader}
    kept.setdefault('num_workers', 0)
    return dataset, dict(kept, batch_size=loader['batch_size'], sampler=dict(type='DefaultSampler', shuffle=False))


def _inner(dataset: Mapping[str, Any]) -> list[Any]:
    """Settings of the data sets that a wrapper holds."""
    return [*([dataset['dataset']] if dataset.get('dataset') else []), *(dataset.get('datasets') or [])]


def _pipeline(dataset: Mapping[str, Any] | None) -> list | None:
    """The first pipeline of a data set, through wrappers."""
    if not dataset:
        return None
    return dataset.get('pipeline') or next(filter(None, map(_pipeline, _inner(dataset))), None)


def _replace_pipeline(dataset: dict, pipeline: list) -> None:
    if dataset.get('pipeline'):
        dataset['pipeline'] = pipeline
    for inner in _inner(dataset):
        _replace_pipeline(inner, pipeline)
