"""A segmentation network for frames: what is done to a frame before, so that a thread can do it, and the network."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor

from mmext.common.digests import file_digest
from mmext.common.running import load_config
from mmext.segmentation.inference import Segmenter


class VideoModel(Protocol):
    """What a video is segmented with.

    Attributes:
        name: Part of the names of its files, and its title.
        classes: Names, by class index.
        palette: RGB colours, by class index.
        identity: What tells whether it is the same model as before; values that JSON can hold.
    """

    name: str
    classes: Sequence[str]
    palette: Sequence[tuple[int, int, int]]
    identity: dict[str, Any]

    def prepare(self, picture: np.ndarray) -> Any:
        """What the network takes of one frame, (H, W, 3) BGR uint8; called in another thread than the network."""
        ...

    def __call__(self, prepared: Sequence[Any]) -> list[np.ndarray]:
        """A class index a pixel for each frame of a batch, (H, W) uint8."""
        ...


class SegmenterModel:
    """A config's network with its weights.

    Args:
        name: Of the model.
        config: Config file.
        checkpoint: Weights; random ones without.
        device: Where it runs; by default the GPU if there is one.
        amp: Mixed precision: float16 on a GPU, bfloat16 on the CPU.
        cfg_options: Settings that override the config's.

    Raises:
        FileNotFoundError: no such config or checkpoint.
        ValueError: they cannot be used together, or the device is not there.
    """

    def __init__(
        self,
        name: str,
        config: str | Path,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        amp: bool = False,
        cfg_options: dict | None = None,
    ) -> None:
        if device:
            _check_device(device)
        self.name, self._amp = name, amp
        self._segmenter = Segmenter(config, checkpoint, device, cfg_options=cfg_options)
        self.classes, self.palette = self._segmenter.classes, self._segmenter.palette
        if len(self.classes) > 256:
            raise ValueError(f'{config}: {len(self.classes)} classes; a label map of a video holds at most 256')
        text = load_config(str(config), cfg_options).pretty_text
        self.identity = {
            'config': hashlib.sha256(text.encode()).hexdigest(),
            'checkpoint': file_digest(checkpoint) if checkpoint else None,
            'amp': amp,
            'device': self.device.type,
        }

    @property
    def device(self) -> torch.device:
        return next(self._segmenter.model.parameters()).device

    def prepare(self, picture: np.ndarray) -> dict[str, Any]:
        return self._segmenter.pipeline(dict(img=picture))

    def __call__(self, prepared: Sequence[dict[str, Any]]) -> list[np.ndarray]:
        dtype = torch.bfloat16 if self.device.type == 'cpu' else torch.float16
        with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=self._amp):
            maps = predict_labels(self._segmenter.model, pseudo_collate(list(prepared)))
            # Narrowed before they leave the device: an eighth of the bytes.
            return [labels.to(torch.uint8).cpu().numpy() for labels in maps]


def predict_labels(model: BaseSegmentor, batch: dict[str, Any]) -> list[Tensor]:
    """The class indices that ``model.test_step`` predicts, (H, W) a frame, at the frames' own sizes.

    mmseg takes ``argmax`` over the classes, for which torch needs five times as long as for ``max`` on a CPU: more than
    a small network itself. Both name the first of equal maxima. Models that predict in a way of their own do it here.
    """
    if type(model).predict is not EncoderDecoder.predict or model.out_channels == 1:
        return [sample.pred_sem_seg.data.squeeze(0) for sample in model.test_step(batch)]
    batch = model.data_preprocessor(batch, False)
    metas = [sample.metainfo for sample in batch['data_samples']]
    logits = model.inference(batch['inputs'], metas)
    return [largest(*entry, model.align_corners) for entry in zip(logits, metas, strict=True)]


def largest(logits: Tensor, meta: dict[str, Any], align_corners: bool) -> Tensor:
    """Class indices (H, W) of one frame's logits (C, h, w), without padding and at its own size."""
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0,) * 4))
    logits = logits[None, :, top : logits.shape[1] - bottom, left : logits.shape[2] - right]
    logits = resize(logits, size=meta['ori_shape'], mode='bilinear', align_corners=align_corners, warning=False)
    return logits.squeeze(0).max(dim=0).indices


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f'--device {device}: not on this machine ({reason})') from error
