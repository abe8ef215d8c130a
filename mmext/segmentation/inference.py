"""A config's network with its weights, applied to single frames, without a data set on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from mmext.common.checkpoints import use_safe_loading
from mmext.common.prediction.predictor import load_weights
from mmext.common.running import drop_pretrained, load_config

# What a test pipeline does for the evaluation only.
_OF_THE_TRUTH = ('LoadAnnotations',)


class Segmenter:
    """Segments frames as ``tools/test.py`` would: the same test pipeline, the same network, the same final size.

    Unlike upstream's ``inference_model`` the pipeline is built once, and the config is left as it was.

    Args:
        config: A config file of this project.
        checkpoint: Weights of the whole model; without them the weights are random, drawn with ``seed``.
        device: Where the network runs; by default the GPU if there is one.
        seed: Of the random weights.
        cfg_options: Settings that override the config's.

    Attributes:
        classes: Names of the classes, by index.
        palette: Their RGB colours, 0..255.

    Raises:
        FileNotFoundError: no such config or checkpoint.
        ValueError: a config of another toolbox, or without a test pipeline; a checkpoint of another model.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        seed: int = 0,
        cfg_options: dict | None = None,
    ) -> None:
        cfg = load_config(str(config), cfg_options)
        if cfg.get('default_scope') != 'mmseg':
            raise ValueError(f'{config}: default_scope is {cfg.get("default_scope")!r}; a Segmenter needs mmseg')
        if 'test_dataloader' not in cfg:
            raise ValueError(f'{config}: no test_dataloader, whose pipeline prepares the frames; give a leaf config')
        if checkpoint and not Path(checkpoint).is_file():
            raise FileNotFoundError(f'{checkpoint}: no such checkpoint')
        init_default_scope('mmseg')
        use_safe_loading()
        drop_pretrained(cfg)
        dataset = cfg.test_dataloader.dataset
        meta = {**DATASETS.get(dataset.type).METAINFO, **dataset.get('metainfo', {})}
        self.classes, self.palette = tuple(meta['classes']), [tuple(color) for color in meta['palette']]
        self.pipeline = Compose(frame_pipeline(dataset.pipeline))
        self.model = _build(cfg, seed)
        if checkpoint:
            load_weights(self.model, checkpoint)
        self.model.to(device or get_device()).eval()

    def __call__(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Segment frames, which go through the network as one batch and must therefore have one size.

        Args:
            frames: (H, W, 3) BGR, uint8.

        Returns:
            A class index a pixel for each frame, (H, W) uint8.
        """
        batch = pseudo_collate([self.pipeline(dict(img=frame)) for frame in frames])
        with torch.inference_mode():
            samples = self.model.test_step(batch)
        return [sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8) for sample in samples]


def frame_pipeline(pipeline: Sequence[dict]) -> list[dict]:
    """A test pipeline that starts with a frame in memory and loads no annotations."""
    steps = [step for step in pipeline if step['type'] not in _OF_THE_TRUTH]
    return [dict(type='LoadImageFromNDArray') if step['type'] == 'LoadImageFromFile' else step for step in steps]


def _build(cfg: Config, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return revert_sync_batchnorm(MODELS.build(cfg.model))
