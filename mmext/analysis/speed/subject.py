"""A model of any toolbox, ready to be timed: its network alone, and the way from picture files to a result.

The network alone is one pass over a batch of H x W images that lies on the device: mmseg's `encode_decode` with its
final interpolation to H x W, mmdet's and mmpretrain's mode 'tensor'. The way from files is the config's own test
pipeline and the model's own prediction; every transform that changes the size is replaced by one resize to H x W, so
that the network does the same work in both.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmext.analysis.flops import CALLS
from mmext.analysis.speed.timing import StageClock

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}
# Transforms that decide the size of what the network sees.
SIZE_STEPS = frozenset(
    {'Resize', 'ResizeEdge', 'RandomResize', 'CenterCrop', 'EfficientNetCenterCrop', 'Pad', 'FixShapeResize'}
)
# Where a toolbox turns the network's output into a result; parts that a model lacks are passed over.
POSTPROCESS = {
    'mmseg': ('postprocess_result',),
    'mmdet': (
        'bbox_head.predict_by_feat',
        'mask_head.predict_by_feat',
        'roi_head.bbox_head.predict_by_feat',
        'roi_head.mask_head.predict_by_feat',
        'add_pred_to_datasample',
    ),
    'mmpretrain': ('head._get_predictions',),
}
# What torch.compile is given: toolboxes call these, not the modules themselves.
COMPILED = {
    'mmseg': ('encode_decode',),
    'mmdet': (
        'extract_feat',
        'rpn_head.forward',
        'bbox_head.forward',
        'roi_head.shared_head.forward',
        'roi_head.bbox_head.forward',
    ),
    'mmpretrain': ('extract_feat', 'head.forward'),
}
_RESULTS = ('pred_sem_seg', 'pred_instances', 'pred_label', 'pred_score')


class Subject:
    """What is timed.

    Args:
        model: Built by its toolbox, in evaluation mode, on its device.
        toolbox: 'mmseg', 'mmdet' or 'mmpretrain'; None for a module that is called on the images.
        load: Path of a picture -> what the first transform makes of it.
        prepare: What ``load`` gave -> inputs and data sample, as the test pipeline packs them.
        precision: Of ``PRECISIONS``; other than fp32 by autocast, postprocessing included as in a test.
        channels_last: Whether to lay out weights and images so.
        compiled: Whether to hand the network to torch.compile, which works at the first pass.
    """

    def __init__(
        self,
        model: nn.Module,
        toolbox: str | None,
        load: Callable[[str], Any],
        prepare: Callable[[Any], Mapping[str, Any]],
        precision: str = 'fp32',
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        self.device = next(model.parameters()).device
        self.model = model.to(memory_format=torch.channels_last) if channels_last else model
        self._call, self._load, self._prepare = CALLS[toolbox], load, prepare
        self._dtype, self._channels_last = PRECISIONS[precision], channels_last
        self._postprocess = POSTPROCESS.get(toolbox, ())
        if compiled:
            for name in COMPILED.get(toolbox, ('forward',)):
                _replace(model, name, torch.compile)

    def images(self, batch: int, size_hw: tuple[int, int]) -> Tensor:
        """(B, 3, H, W) float32 on the device, normally distributed as after normalisation."""
        images = torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(0)).to(self.device)
        return self._laid_out(images)

    def network(self, images: Tensor) -> None:
        """One pass of the network alone."""
        with torch.inference_mode(), self._autocast():
            self._call(self.model, images)

    def path(self, files: Sequence[str], clock: StageClock) -> list[Any]:
        """From files to results in the computer's memory, each stage on the clock."""
        with torch.inference_mode():
            with clock.stage('decode'):
                loaded = [self._load(file) for file in files]
            with clock.stage('preprocess'):
                packed = [self._prepare(picture) for picture in loaded]
                data = {key: [sample[key] for sample in packed] for key in ('inputs', 'data_samples')}
                data = self.model.data_preprocessor(data, False)
                data['inputs'] = self._laid_out(data['inputs'])
            with clock.stage('network'), self._autocast():
                results = self.model(**data, mode='predict')
            with clock.stage('postprocess'):
                return [_on_cpu(result) for result in results]

    def watch_postprocess(self, clock: StageClock) -> bool:
        """Put the model's own postprocessing on the clock, once; whether the model has a part that is known for it."""

        def timed(method: Callable) -> Callable:
            def on_the_clock(*args: Any, **kwargs: Any) -> Any:
                with clock.stage('postprocess'):
                    return method(*args, **kwargs)

            return on_the_clock

        found = [_replace(self.model, name, timed) for name in self._postprocess]
        return any(found)

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self._channels_last else images

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self._dtype) if self._dtype else nullcontext()


def build_pipeline(config: Config, size_hw: tuple[int, int]) -> tuple[Callable[[str], Any], Callable[[Any], Any]]:
    """The config's test pipeline at a fixed size, as the reading of a file and all that follows.

    Raises:
        ValueError: the config has no test pipeline, or one with several views of a picture.
    """
    from mmext.common.prediction.predictor import unlabelled_pipeline

    steps = fixed_size(unlabelled_pipeline(config, config.filename), size_hw)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        load, prepare = Compose(steps[:1]), Compose(steps[1:])
    return lambda file: load(dict(img_path=file, img_id=0)), prepare


def fixed_size(steps: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> list[Mapping[str, Any]]:
    """A test pipeline that reads files and brings them all to one size, whatever sizes it made before.

    Data sets that hold their pictures in memory have no reading step: they get one.
    """
    kinds = [_kind(step) for step in steps]
    reads = bool(kinds) and kinds[0].startswith('Load') and 'Image' in kinds[0]
    first = steps[0] if reads else dict(type='LoadImageFromFile')
    rest = [step for step, kind in list(zip(steps, kinds, strict=True))[reads:] if kind not in SIZE_STEPS]
    # mmcv writes (width, height)
    return [first, dict(type='Resize', scale=(size_hw[1], size_hw[0]), keep_ratio=False), *rest]


def picture_files(folder: str | Path) -> list[str]:
    """The pictures of a folder, sorted.

    Raises:
        FileNotFoundError: there is none, or no folder.
    """
    suffixes = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
    found = sorted(str(path) for path in Path(folder).glob('*') if path.suffix.lower() in suffixes)
    if not found:
        raise FileNotFoundError(f'--images {folder}: no pictures in it ({", ".join(suffixes)}); give another folder')
    return found


def render_noise(folder: str | Path, size_hw: tuple[int, int], count: int) -> list[str]:
    """JPEG files of smooth random colours, which decode about as photographs of their size do; the same every time."""
    import cv2
    import numpy as np

    generator, files = np.random.default_rng(0), []
    for index in range(count):
        coarse = generator.integers(0, 256, (size_hw[0] // 8 + 2, size_hw[1] // 8 + 2, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        files.append(str(Path(folder) / f'noise{index:03d}.jpg'))
        if not cv2.imwrite(files[-1], picture):
            raise OSError(f'{files[-1]}: cannot be written')
    return files


def _kind(step: Mapping[str, Any]) -> str:
    """The name of a transform without its scope; the type may also be a class."""
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _replace(model: nn.Module, name: str, wrap: Callable[[Callable], Callable]) -> bool:
    """Put ``wrap(method)`` in the place of a method, on this instance only; whether there is one."""
    *owners, method = name.split('.')
    owner: Any = model
    for part in owners:
        owner = getattr(owner, part, None)
    if not callable(getattr(owner, method, None)):
        return False
    setattr(owner, method, wrap(getattr(owner, method)))
    return True


def _on_cpu(result: Any) -> Any:
    """The predictions of a data sample in the computer's memory; other results as they are."""
    return [getattr(result, name).to('cpu') for name in _RESULTS if hasattr(result, name)] or result
