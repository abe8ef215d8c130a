"""Test-time augmentation in constant memory: the views of an image are predicted one after the other.

Shapes: C channels (classes, or 1 for a foreground probability), H x W pixels of the original image. Logits and
probabilities (C, H, W) float, already flipped back and resized by the segmentor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

ACCUMULATORS = {'fp32': torch.float32, 'fp16': torch.float16}
MIRRORED = 'tta_mirrored'  # meta information of a view whose logits must still be flipped from left to right


def views_of(data: Mapping | Sequence) -> Iterator:
    """The batch of each view, from what ``TestTimeAug`` and the data loader make: lists of views in every field."""
    if isinstance(data, Mapping):
        for view in range(len(next(iter(data.values())))):
            yield {key: values[view] for key, values in data.items()}
    else:
        for view in range(len(data[0])):
            yield [values[view] for values in data]


def softmax_(logits: Tensor) -> Tensor:
    """Softmax over the first dimension, in place: no second array of this size."""
    logits.sub_(logits.amax(0, keepdim=True)).exp_()
    return logits.div_(logits.sum(0, keepdim=True))


class MeanProbabilities:
    """Running mean of arrays of probabilities, (C, H, W) in [0, 1], in one array of 32 or 16 bits a value.

    Halves are spaced by 0.0005 below 1 but finely around 0. Therefore a mean above 1/2 is kept as its distance to 1,
    with a negative sign, and the mean is updated instead of a sum, whose magnitude would grow: 12 views are then
    averaged with an error below 0.001. They are handled channel by channel, where the float32 values are needed.
    """

    def __init__(self, accumulate: str = 'fp32') -> None:
        self.dtype = ACCUMULATORS[accumulate]
        self.mean: Tensor | None = None
        self.count = 0

    def add(self, probs: Tensor) -> None:
        """Take one more view into account; float32 ``probs`` may be kept and changed."""
        self.count += 1
        if self.dtype == torch.float32:
            self.mean = probs if self.mean is None else self.mean.lerp_(probs, 1 / self.count)
            return
        if self.mean is None:
            self.mean = torch.zeros_like(probs, dtype=self.dtype)
        for mean, values in zip(self.mean, probs, strict=True):
            mean.copy_(fold(unfold(mean.float()).lerp_(values, 1 / self.count)))

    def result(self) -> Tensor:
        """The mean, (C, H, W), in the accumulator's own memory and type; nothing can be added any more."""
        if self.dtype == torch.float16:
            for mean in self.mean:
                mean.copy_(unfold(mean.float()))
        return self.mean


def fold(values: Tensor) -> Tensor:
    """[0, 1] -> [-1/2, 1/2]: what is above 1/2 becomes its distance to 1, negative; 1 itself the smallest half."""
    return torch.where(values > 0.5, (values - 1).clamp(max=-(2.0**-24)), values)


def unfold(values: Tensor) -> Tensor:
    """The inverse of `fold`."""
    return torch.where(values < 0, values + 1, values)


@torch.no_grad()
def merge_views(
    predictions: Iterable[Sequence[SegDataSample]], threshold: float | None = None, accumulate: str = 'fp32'
) -> list[SegDataSample]:
    """One prediction an image from those of its views, which are consumed one at a time.

    Each view's ``seg_logits`` are taken from its sample and overwritten, so that nothing of a view is left when the
    next one is asked for. The images of a batch may differ in size.

    Args:
        predictions: For each view the predicted samples of the batch, with ``seg_logits`` of the original size:
            logits of C > 1 classes, or for C = 1 the probability, as mmseg's segmentors give them.
        threshold: For C = 1: probability above which a pixel is foreground.
        accumulate: 'fp32' or 'fp16', see `MeanProbabilities`.

    Returns:
        The samples of the first view, with its meta information and ground truth; ``seg_logits`` holds the mean
        probabilities (C, H, W) and ``pred_sem_seg`` the prediction (1, H, W).
    """
    samples, means = [], []
    for view in predictions:
        if not samples:
            samples = list(view)
            means = [MeanProbabilities(accumulate) for _ in samples]
        for sample, mean in zip(view, means, strict=True):
            mean.add(_take_probabilities(sample))
        del view, sample  # the next view must find its memory free
    for sample, mean in zip(samples, means, strict=True):
        probs = mean.result()
        labels = probs.argmax(0, keepdim=True) if len(probs) > 1 else (probs > threshold).to(probs)
        sample.set_data({'seg_logits': PixelData(data=probs), 'pred_sem_seg': PixelData(data=labels)})
    return samples


def _take_probabilities(sample: SegDataSample) -> Tensor:
    logits = sample.seg_logits.data.float()
    del sample.seg_logits, sample.pred_sem_seg
    if sample.get(MIRRORED, False):
        logits = logits.flip(2)
    return softmax_(logits) if len(logits) > 1 else logits


def split_diagonal_flips(samples: Iterable[SegDataSample]) -> None:
    """Leave one half of a diagonal flip to upstream's segmentors, which refuse it, and the other to `merge_views`."""
    for sample in samples:
        if sample.get('flip') and sample.get('flip_direction') == 'diagonal':
            sample.set_metainfo({'flip_direction': 'vertical', MIRRORED: True})


@MODELS.register_module()
class StreamingTTA(BaseTTAModel):
    """`merge_views` around a segmentor: any scales, and flips of all three directions.

    Gives the labels that upstream's ``SegTTAModel`` gives, but keeps one array of probabilities instead of the logits
    of all views: at 1024 x 2048 with 19 classes 160 MB instead of 1.9 GB for 12 views. What grows with the number of
    views are the images, 3 bytes a pixel where probabilities have 76; they come together from the data loader, stay in
    its memory and are moved to the GPU one view at a time.

    Further differences from ``SegTTAModel``: ``seg_logits`` of the result are the mean probabilities and not the logits
    of the last view; meta information is that of the first view and not of the last; one-channel models are averaged as
    they should be (upstream applies the sigmoid twice, so that every probability exceeds 1/2); diagonal flips work.

    Args:
        module: The segmentor or its settings.
        accumulate: 'fp32', or 'fp16' for half the memory and an error of the mean below 0.001, see
            `MeanProbabilities`.
        data_preprocessor: Settings that replace those of the segmentor.

    Raises:
        ValueError: unknown ``accumulate``.
    """

    def __init__(
        self, module: dict | nn.Module, accumulate: str = 'fp32', data_preprocessor: dict | None = None
    ) -> None:
        if accumulate not in ACCUMULATORS:
            raise ValueError(f'accumulate={accumulate!r}: choose one of {", ".join(ACCUMULATORS)}')
        super().__init__(module, data_preprocessor)
        self.accumulate = accumulate

    def test_step(self, data: Mapping | Sequence) -> list[SegDataSample]:
        """Predict view after view; ``data`` as ``TestTimeAug`` and ``pseudo_collate`` make it."""
        return self._merge(self._predict(view) for view in views_of(data))

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """Merge the predictions of all views of each image; they are overwritten."""
        return self._merge(zip(*data_samples_list, strict=True))

    def _predict(self, view: Mapping | Sequence) -> list[SegDataSample]:
        samples = view['data_samples'] if isinstance(view, Mapping) else view[1]
        split_diagonal_flips(samples)
        return self.module.test_step(view)

    def _merge(self, predictions: Iterable[Sequence[SegDataSample]]) -> list[SegDataSample]:
        threshold = getattr(getattr(self.module, 'decode_head', None), 'threshold', None)
        return merge_views(predictions, threshold, self.accumulate)
