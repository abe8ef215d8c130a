"""Builds what a training would train: model, data and one batch, without a Runner and without writing anything."""

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn
from torch.utils.data import Dataset

from mmext.common.checkpoints import use_safe_loading
from mmext.common.freezing import Freezer
from mmext.common.undisturbed import random_state_kept

from .config_facts import batch_size, scope_of, stages_of

LOADER_KEYS = ('prefetch_factor', 'persistent_workers', 'num_batch_per_epoch')


@dataclass
class Subject:
    """What is looked at.

    Attributes:
        cfg: The config.
        model: In training mode, with the weights that the training starts from, frozen as in its first stage.
        dataset: To train on.
        batch: The first one, as the loader gives it.
        pretrained: Whether a checkpoint of the whole model was loaded.
    """

    cfg: Config
    model: nn.Module
    dataset: Dataset
    batch: Any
    pretrained: bool = False


@contextmanager
def in_scope(cfg: Config, seed: int = 0) -> Iterator[None]:
    """The config's toolbox, a fixed seed, and a log of errors alone; all as before afterwards."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        with DefaultScope.overwrite_default_scope(scope_of(cfg)), random_state_kept():
            seed_all(seed)
            yield
    finally:
        logger.setLevel(level)


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (transforms draw from the global generator)
    torch.manual_seed(seed)


def build_model(cfg: Config) -> tuple[nn.Module, bool]:
    """The model at the start of the training, on the GPU if there is one; and whether a checkpoint filled all of it."""
    use_safe_loading()
    model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    if hasattr(model, 'init_weights'):
        model.init_weights()
    if cfg.get('load_from'):
        load_checkpoint(model, cfg.load_from, map_location='cpu')
    model = model.to(get_device())
    freezer = Freezer(model)  # puts it into training mode, in which models freeze themselves
    if (stage := (stages_of(cfg) or [{}])[0]) and stage.get('freeze'):
        freezer.freeze(stage['freeze'])
    return model, bool(cfg.get('load_from'))


def build_dataset(cfg: Config, part: str = 'train') -> Dataset:
    """The data set of a loader with all its wrappers."""
    dataset = DATASETS.build(copy.deepcopy(cfg[f'{part}_dataloader'].dataset))
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if len(dataset) == 0:
        raise ValueError(f'{part}_dataloader.dataset: holds no sample; check data_root, data_prefix and ann_file')
    return dataset


def draw_batch(cfg: Config, dataset: Dataset, size: int | None = None, part: str = 'train') -> Any:
    """The first batch that the loader gives, loaded in this process."""
    settings = {key: value for key, value in cfg[f'{part}_dataloader'].items() if key not in LOADER_KEYS}
    settings |= dict(
        batch_size=min(size or batch_size(cfg), len(dataset)), num_workers=0, dataset=dict(type=lambda: dataset)
    )
    return next(iter(Runner.build_dataloader(settings, seed=0)))


def images_of(batch: Any) -> int:
    """Number of images of a batch."""
    inputs = batch['inputs'] if isinstance(batch, Mapping) and 'inputs' in batch else batch
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)


def first_images(batch: Any, count: int) -> Any:
    """The first images of a batch."""
    if isinstance(batch, Mapping):
        return {key: first_images(value, count) for key, value in batch.items()}
    return batch[:count] if isinstance(batch, (list, tuple, torch.Tensor)) else batch


@contextmanager
def without_augmentation(model: nn.Module) -> Iterator[None]:
    """No mixing of the batch's images and no dropout or dropped paths inside; as before afterwards."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    mixing = getattr(preprocessor, 'batch_augments', None)
    dropping = [module for module in model.modules() if 'Drop' in type(module).__name__ and module.training]
    if mixing is not None:
        preprocessor.batch_augments = None
    for module in dropping:
        module.training = False
    try:
        yield
    finally:
        if mixing is not None:
            preprocessor.batch_augments = mixing
        for module in dropping:
            module.training = True


def losses_of(model: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss that a training step would follow, and what the model logs of it; the batch is left as it is."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    loss, terms = model.parse_losses(model._run_forward(data, mode='loss'))
    return loss, {name: float(torch.as_tensor(value).detach()) for name, value in terms.items()}
