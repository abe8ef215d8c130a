"""A model of any toolbox with its weights, applied to files: what its test run does, without annotations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from mmengine.structures import BaseDataElement

from mmext.common.checkpoints import CheckpointError, use_safe_loading
from mmext.common.running import drop_pretrained, load_config
from mmext.common.weight_fit import check_fit

# By the config's default_scope.
TASKS = {'mmseg': 'segmentation', 'mmdet': 'detection', 'mmpretrain': 'classification'}


class UnreadableImageError(Exception):
    """A file from which no input of the network can be made; the message is the reason, without the path."""


class LoadedWeights(NamedTuple):
    """What a checkpoint brought.

    Attributes:
        meta: The checkpoint's ``meta``, for example ``dataset_meta``; empty if it has none.
        share: Part of the model's parameters and statistics, counted in numbers, that the checkpoint held in the right
            shape, 0..1.
        missing: Names of the other tensors, which keep their initial values.
    """

    meta: dict[str, Any]
    share: float
    missing: list[str]


class PreparedImage(NamedTuple):
    """A picture on its way to the network.

    Attributes:
        inputs: (C, H, W) at the size that the test pipeline makes.
        sample: The toolbox's data sample without annotations.
        size_hw: Height and width as the pipeline reads the file, turned upright where its EXIF data say so.
        picture: The same as (H, W, 3) RGB uint8 to draw on; None if not asked for.
    """

    inputs: torch.Tensor
    sample: BaseDataElement
    size_hw: tuple[int, int]
    picture: np.ndarray | None


class Predictor:
    """Predicts for files as ``tools/test.py`` would for a data set: the same test pipeline and the same network.

    The pipeline is built once, without the steps that load annotations, and may be used by several threads.

    Args:
        config: A config file whose ``default_scope`` is one of the three toolboxes.
        checkpoint: Weights of the whole model.
        device: Where the network runs; by default the GPU if there is one.
        cfg_options: Settings that override the config's.

    Attributes:
        task: 'segmentation', 'detection' or 'classification'.
        classes: Their names by index, from the checkpoint, else from the config's data set; empty if none has them.
        palette: Their RGB colours, 0..255; empty if there are not as many as classes.
        weights: What the checkpoint brought.

    Raises:
        FileNotFoundError: no such config or checkpoint.
        ValueError: a config without one of the scopes or without a test pipeline that reads files, a checkpoint that
            does not belong to it, or a device that is not there.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        device: str | None = None,
        cfg_options: dict | None = None,
    ) -> None:
        use_safe_loading()
        cfg = load_config(str(config), cfg_options)
        _check_exists(checkpoint)
        scope = cfg.get('default_scope')
        if scope not in TASKS or 'model' not in cfg:
            what = f'default_scope is {scope!r}, not one of {", ".join(TASKS)}' if 'model' in cfg else 'no model'
            raise ValueError(f'{config}: {what}; give a leaf config')
        self.task = TASKS[scope]
        self.device = _available(device or get_device())
        load, prepare = _split_pipeline(unlabelled_pipeline(cfg, config), config)
        drop_pretrained(cfg)
        if cfg.get('data_preprocessor') is not None:  # a Runner hands it to the model in this way
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with DefaultScope.overwrite_default_scope(scope):
            model = revert_sync_batchnorm(MODELS.build(cfg.model))
            self._load, self._prepare = Compose([load]), Compose(prepare)
            described = _meta_of_config(cfg)
        try:
            self.weights = load_weights(model, checkpoint)
        except CheckpointError:
            raise
        except ValueError as error:
            raise ValueError(f'{error} (config {config})') from error
        self.classes, self.palette = classes_and_palette(self.weights.meta, described)
        self.model = model.to(self.device).eval()
        self._divisor = getattr(getattr(model, 'data_preprocessor', None), 'pad_size_divisor', 1)

    def read(self, path: Path, keep_picture: bool = True) -> PreparedImage:
        """Read a file and bring it to the network's size.

        Raises:
            UnreadableImageError: says why the file cannot be used.
        """
        # What a decoder or a transform raises depends on where the file is damaged; none of it may stop the others.
        try:
            loaded = self._load(dict(img_path=str(path), img_id=0))
        except Exception as error:
            raise UnreadableImageError(_why_unreadable(path, error)) from error
        size_hw = tuple(int(side) for side in loaded['img'].shape[:2])
        picture = to_rgb(loaded['img']) if keep_picture else None
        try:
            packed = self._prepare(loaded)
        except Exception as error:
            raise UnreadableImageError(
                f'the test pipeline fails: {type(error).__name__}: {_first_line(error)}'
            ) from error
        return PreparedImage(packed['inputs'], packed['data_samples'], size_hw, picture)

    def batch_key(self, prepared: PreparedImage) -> tuple[int, ...]:
        """Pictures of equal keys can share a batch and none is padded more than it would be alone."""
        channels, height, width = prepared.inputs.shape[-3:]
        key = channels, -(-height // self._divisor), -(-width // self._divisor)
        # mmseg warns of a batch whose pictures had different sizes before.
        return (*key, *prepared.size_hw) if self.task == 'segmentation' else key

    def __call__(self, batch: Sequence[PreparedImage]) -> list[BaseDataElement]:
        """Predict for pictures of equal :meth:`batch_key`: one data sample each, on the device."""
        # The toolbox writes its predictions into the data samples that it is given.
        samples = [prepared.sample.clone() for prepared in batch]
        data = dict(inputs=[prepared.inputs for prepared in batch], data_samples=samples)
        with torch.inference_mode():
            return self.model.test_step(data)


def load_weights(model: torch.nn.Module, path: str | Path) -> LoadedWeights:
    """Load a checkpoint into a model, whose other tensors stay as they are.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is no checkpoint, or holds more than data.
        ValueError: it fills less than half of the model, or its tensors cannot be loaded.
    """
    _check_exists(path)
    use_safe_loading()
    try:
        checkpoint = load_checkpoint(model, str(path), map_location='cpu', logger='silent')
    except CheckpointError:
        raise
    # A model may read its tensors in its own way, and raise anything when they are not what it expects.
    except Exception as error:
        raise ValueError(f'{path}: no checkpoint that can be read ({_first_line(error)})') from error
    fit = check_fit(model, checkpoint, path)
    meta = checkpoint.get('meta')
    return LoadedWeights(dict(meta) if isinstance(meta, Mapping) else {}, fit.share, fit.missing)


def unlabelled_pipeline(cfg: Config, name: str | Path) -> list[dict]:
    """The steps of a config's test pipeline, found through wrappers of data sets, without those for annotations.

    Raises:
        ValueError: there is none, or one with several views of a picture.
    """
    dataset = cfg.get('test_dataloader', {}).get('dataset')
    while isinstance(dataset, Mapping) and dataset.get('pipeline') is None:
        dataset = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
    steps = (dataset or {}).get('pipeline') or cfg.get('test_pipeline')
    if not steps:
        raise ValueError(f'{name}: no test pipeline (test_dataloader.dataset.pipeline); give a leaf config')
    if any(_kind(step) == 'TestTimeAug' for step in steps):
        raise ValueError(f'{name}: the test pipeline has TestTimeAug; give a config that tests one view of a picture')
    return [step for step in steps if not (_kind(step).startswith('Load') and 'Annotations' in _kind(step))]


def classes_and_palette(
    meta: Mapping[str, Any], described: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[tuple[int, int, int]]]:
    """Names and colours of the classes: those that a checkpoint's ``meta`` holds, else those of the config."""
    saved = meta.get('dataset_meta') or meta
    saved = {key.lower(): value for key, value in saved.items() if key.lower() in ('classes', 'palette')}
    for source in (saved, described):
        classes = source.get('classes')
        if classes and not isinstance(classes, str):
            palette = source.get('palette') or described.get('palette') or ()
            fits = not isinstance(palette, str) and len(palette) == len(classes)
            colors = [tuple(int(channel) for channel in color) for color in palette] if fits else []
            return tuple(map(str, classes)), colors
    return (), []


def to_rgb(image: np.ndarray) -> np.ndarray:
    """A picture as OpenCV reads it, with any number of channels and depth, as (H, W, 3) RGB uint8; a copy."""
    if image.dtype != np.uint8:
        # Deeper pictures are brought to 8 bits; floats from LoadImageFromFile(to_float32=True) hold 0..255.
        image = image // 257 if image.dtype == np.uint16 else image
        image = np.clip(image, 0, 255).astype(np.uint8)
    image = image.reshape(*image.shape[:2], -1)
    if image.shape[2] < 3:
        return np.repeat(image[..., :1], 3, axis=2)
    return np.ascontiguousarray(image[..., 2::-1])


def _check_exists(checkpoint: str | Path) -> None:
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'{checkpoint}: no such checkpoint')


def _split_pipeline(steps: Sequence[dict], name: str | Path) -> tuple[dict, list[dict]]:
    first = _kind(steps[0]) if steps else 'nothing'
    if not (first.startswith('Load') and 'Image' in first):
        raise ValueError(f'{name}: the test pipeline begins with {first}, not with LoadImageFromFile')
    return steps[0], list(steps[1:])


def _kind(step: Mapping[str, Any]) -> str:
    """The name of a transform without its scope; the type may also be a class."""
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _meta_of_config(cfg: Config) -> dict[str, Any]:
    """What the config and its data set's class say about the classes, without looking for data."""
    dataset = cfg.get('test_dataloader', {}).get('dataset') or {}
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    kind = dataset.get('type')
    with DATASETS.switch_scope_and_registry(None) as registry:
        kind = registry.get(kind) if isinstance(kind, str) else kind
    meta = {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
    if dataset.get('classes'):
        meta['classes'] = dataset['classes']
    return {key.lower(): value for key, value in meta.items()}


def _available(device: str) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    # torch raises AssertionError where it was built without CUDA, and RuntimeError for a number that is not there.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'--device {device}: not on this machine ({_first_line(error)})') from error
    return found


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if path.stat().st_size == 0:
        return 'the file is empty'
    # mmcv's loader asserts that the decoder, which returns None without a reason, returned a picture.
    if isinstance(error, AssertionError):
        return 'damaged, cut off, or not a picture'
    return f'{type(error).__name__}: {_first_line(error)}'


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
