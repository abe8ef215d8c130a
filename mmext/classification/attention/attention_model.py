"""A classifier whose attention is to be seen, and its pictures: built and read as its config's test run does."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from mmext.common.config_files import building
from mmext.common.prediction.predictor import UnreadableImageError, load_weights, to_rgb, unlabelled_pipeline
from mmext.common.running import drop_pretrained, load_config


class NetworkInput(NamedTuple):
    """A picture as the network sees it.

    Attributes:
        inputs: (1, C, H, W), normalised, on the model's device.
        picture: (H, W, 3) RGB uint8 of the same size, to draw on.
    """

    inputs: Tensor
    picture: np.ndarray


class AttentionModel:
    """A model of mmpretrain for files.

    Args:
        config: A leaf config whose ``default_scope`` is mmpretrain.
        checkpoint: Weights of the whole model; None leaves random ones, the same in every run.
        device: Where it runs; by default the GPU if there is one.
        cfg_options: Settings that override the config's.

    Attributes:
        model: In evaluation mode.
        classes: Their names by index if the checkpoint has them, else empty.
        weights: What the checkpoint brought; None without one.

    Raises:
        FileNotFoundError: no such config or checkpoint.
        ValueError: another toolbox's config, one without a test pipeline, a checkpoint that does not belong to it, or a
            device that is not there.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict | None = None,
    ) -> None:
        cfg = load_config(str(config), cfg_options)
        if cfg.get('default_scope') != 'mmpretrain' or 'model' not in cfg:
            what = f'default_scope is {cfg.get("default_scope")!r}' if 'model' in cfg else 'no model'
            raise ValueError(f'{config}: {what}; give a leaf config of a classifier, default_scope mmpretrain')
        try:
            self.device = torch.device(device or get_device())
            torch.empty(0, device=self.device)
        # AssertionError where torch was built without CUDA.
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f'--device {device}: not on this machine') from error
        drop_pretrained(cfg)
        if cfg.get('data_preprocessor') is not None:
            # As the Runner does it: many configs have it beside the model.
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with building(config):
                model = revert_sync_batchnorm(MODELS.build(cfg.model))
            steps, self._reads_rgb = reading_steps(unlabelled_pipeline(cfg, config), model, config)
            self._pipeline = Compose(steps)
            if checkpoint is None:
                _init_weights(model)
        self.weights = None
        if checkpoint is not None:
            self.weights = load_weights(model, checkpoint)
        self.classes = _classes(self.weights.meta if self.weights else {})
        # Not chained: eval() of some backbones returns nothing.
        self.model = model.to(self.device)
        self.model.eval()

    def read(self, path: Path) -> NetworkInput:
        """Read a file and bring it to the network's size.

        Raises:
            UnreadableImageError: says why the file cannot be used.
        """
        # What a decoder or a transform raises depends on where the file is damaged; none of it may stop the others.
        try:
            packed = self._pipeline(dict(img_path=str(path), img_id=0))
        except Exception as error:
            reason = (str(error).strip().splitlines() or ['damaged, cut off, or not a picture'])[0]
            raise UnreadableImageError(f'{type(error).__name__}: {reason}') from error
        data = self.model.data_preprocessor(
            dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), False
        )
        picture = to_rgb(packed['inputs'].permute(1, 2, 0).numpy())
        inputs = data['inputs'].to(self.device)
        if self._reads_rgb:
            picture = np.ascontiguousarray(picture[..., ::-1])
        # The preprocessor pads at the bottom and on the right.
        missing = [max(0, have - side) for have, side in zip(inputs.shape[-2:], picture.shape[:2], strict=True)]
        return NetworkInput(inputs, np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0))))


def reading_steps(steps: list[dict], model: torch.nn.Module, name: str | Path) -> tuple[list, bool]:
    """The steps from a file to the network, and whether they make RGB instead of OpenCV's BGR.

    A data set such as CIFAR-100 holds its pictures, RGB and all of one size, and its pipeline reads no file. A file is
    then read, turned to RGB and brought to the size that the backbone names.

    Raises:
        ValueError: a pipeline without reading for a backbone that names no ``img_size``.
    """
    kind = steps[0]['type']
    kind = (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]
    if kind.startswith('Load') and 'Image' in kind:
        return steps, False
    size = getattr(getattr(model, 'backbone', model), 'img_size', None)
    if size is None:
        raise ValueError(
            f'{name}: the test pipeline begins with {kind} and the backbone has no img_size; '
            'begin the pipeline with LoadImageFromFile and a Resize'
        )
    height, width = (size, size) if isinstance(size, int) else size
    read = [
        dict(type='LoadImageFromFile'),
        _turn_channels,
        dict(type='Resize', scale=(width, height), interpolation='area'),
    ]
    return read + steps, True


def _init_weights(model: torch.nn.Module) -> None:
    """mmengine tells how every tensor was made, in hundreds of lines."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        model.init_weights()
    finally:
        logging.disable(before)


def _turn_channels(results: dict[str, Any]) -> dict[str, Any]:
    return results | dict(img=np.ascontiguousarray(results['img'][..., ::-1]))


def _classes(meta: dict[str, Any]) -> list[str]:
    saved = meta.get('dataset_meta') or meta
    names = next((value for key, value in saved.items() if key.lower() == 'classes'), None) or ()
    return [] if isinstance(names, str) else list(map(str, names))
