"""Cross entropy that weighs classes and averages over what counts.

Shapes: B images, C classes, "..." any further dimensions, for pictures H x W. Logits (B, C, ...) float; labels (B, ...)
integer, in [0, C) or the ignore index; weights (B, ...) float, 0 where a pixel does not count.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmext.common.class_balance import load_class_weight


class PixelTerms(NamedTuple):
    """What every weighting of the same pixels shares; computed once, without a graph except for `logits`."""

    logits: Tensor  # (B, C, ...) float32 or float64
    log_probs: Tensor  # (B, C, ...)
    nll: Tensor  # (B, ...), -log of the true class' probability, >= 0; meaningless where ignored
    targets: Tensor  # (B, ...) int64 in [0, C); 0 where ignored
    ignored: Tensor  # (B, ...) bool


def pixel_terms(logits: Tensor, labels: Tensor, ignore_index: int) -> PixelTerms:
    """Log-probabilities and per-pixel cross entropy in float32, also under autocast (float64 stays).

    Raises:
        ValueError: shapes do not fit; or, on CPU, a label is neither a class nor the ignore index. A GPU reports the
            latter through its own device assertion, because looking at the values would have to wait for it.
    """
    if logits.ndim < 2 or labels.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f'labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}: '
            f'expected (B, C, ...) logits and (B, ...) labels'
        )
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    labels = labels.long()
    ignored = labels == ignore_index
    targets = torch.where(ignored, 0, labels)
    with torch.no_grad():
        log_probs = F.log_softmax(logits, dim=1)
        try:
            nll = -log_probs.gather(1, targets.unsqueeze(1)).squeeze(1)
        except RuntimeError:
            if targets.device.type == 'cpu':
                _explain_labels(targets, logits.shape[1], ignore_index)
            raise
    return PixelTerms(logits, log_probs, nll, targets, ignored)


def _explain_labels(targets: Tensor, num_classes: int, ignore_index: int) -> None:
    values, counts = targets[(targets < 0) | (targets >= num_classes)].unique(return_counts=True)
    if len(values):
        raise ValueError(
            f'labels hold {int(values[0])} at {int(counts[0])} pixels ({len(values)} such values): neither a class '
            f'(0..{num_classes - 1}) nor ignore_index={ignore_index}; convert the masks to class indices, or correct '
            f'num_classes of the head'
        )


def pixel_weights(
    terms: PixelTerms,
    class_weight: Tensor | Sequence[float] | None = None,
    pixel_weight: Tensor | None = None,
    left_out: Tensor | None = None,
) -> Tensor:
    """Class weight x pixel weight for each pixel that counts, 0 for the others; shape (B, ...).

    Args:
        terms: Of the same pixels.
        class_weight: (C,).
        pixel_weight: (B, ...), >= 0; no gradient flows into it.
        left_out: (B, ...) bool, the pixels that do not count; the ignored ones by default.

    Raises:
        ValueError: there is not one class weight for each class.
    """
    left_out = terms.ignored if left_out is None else left_out
    if class_weight is None:
        weights = torch.ones_like(terms.nll)
    else:
        class_weight = torch.as_tensor(class_weight, dtype=terms.nll.dtype, device=terms.nll.device)
        num_classes = terms.logits.shape[1]
        if class_weight.shape != (num_classes,):
            raise ValueError(f'class_weight {tuple(class_weight.shape)}: expected one weight for {num_classes} classes')
        weights = class_weight.index_select(0, terms.targets.flatten()).view_as(terms.targets)
    weights.masked_fill_(left_out, 0)
    return weights if pixel_weight is None else weights * pixel_weight.detach().to(weights.dtype)


class _WeightedMean(torch.autograd.Function):
    """sum(weights * nll) / sum(weights) with the gradient of a cross entropy, written as one pass.

    The plain operators build the same number but walk three times over arrays of C values a pixel, most of the time
    of an OHEM loss. The gradient of a pixel is weight * (softmax - one-hot); it is exactly zero where the weight is 0,
    also for NaN logits, where 0 * NaN would poison the whole network. Differentiable once.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, terms: PixelTerms, weights: Tensor) -> Tensor:
        nll, poisoned = terms.nll, None
        weighted_sum = torch.dot(nll.flatten(), weights.flatten())
        # 0 * NaN and 0 * inf must be 0. On CPU the rare case is repaired; a GPU would have to be waited for to see it.
        if nll.is_cuda or weighted_sum.isnan():
            idle = weights == 0
            poisoned = idle & nll.isnan()
            weighted_sum = torch.dot(nll.masked_fill(idle, 0).flatten(), weights.flatten())
        total = weights.sum()
        total = torch.where(total > 0, total, 1)
        ctx.save_for_backward(terms.log_probs, terms.targets, weights, total, poisoned)
        return weighted_sum / total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, None, None]:
        log_probs, targets, weights, total, poisoned = ctx.saved_tensors
        targets = targets.unsqueeze(1)
        minus_one = weights.new_full((), -1).expand_as(targets)
        grad = log_probs.exp().scatter_add_(1, targets, minus_one)
        grad.mul_((weights * (grad_output / total)).unsqueeze(1))
        if poisoned is not None:
            grad.masked_fill_(poisoned.unsqueeze(1), 0)
        return grad, None, None


def weighted_mean(terms: PixelTerms, weights: Tensor) -> Tensor:
    """sum(weights * nll) / sum(weights), scalar; zero with a graph where no weight is above 0."""
    return _WeightedMean.apply(terms.logits, terms, weights)


def class_balanced_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | Sequence[float] | None = None,
    ignore_index: int = 255,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """Weighted mean of the cross entropy over the pixels that are not ignored.

    Without ``pixel_weight`` it equals ``F.cross_entropy(logits, labels, class_weight, ignore_index=...)``, except that
    a batch without a counted pixel gives 0 (with a graph, all gradients 0) and not NaN. In a distributed run it is the
    mean over the pixels of one process, as in torch.

    Args:
        logits: (B, C, ...), any float type.
        labels: (B, ...), any integer type.
        class_weight: (C,), >= 0.
        ignore_index: Label of pixels that do not count.
        pixel_weight: (B, ...), >= 0, multiplied onto the class weights, in the numerator and in the denominator.

    Raises:
        ValueError: shapes do not fit, or (on CPU) a label is out of range.
    """
    terms = pixel_terms(logits, labels, ignore_index)
    return weighted_mean(terms, pixel_weights(terms, class_weight, pixel_weight))


class ClassWeight(nn.Module):
    """Class weights of a loss: move with the model, stay out of its checkpoints, are checked when first used.

    Only the first batch tells how many classes the head has, and only a running training knows their names: those of
    the training set, which mmengine publishes.
    """

    def __init__(self, source: Sequence[float] | str | Path | None) -> None:
        super().__init__()
        self.source = source
        self.checked = False
        values = load_class_weight(source)
        self.register_buffer('values', None if values is None else torch.tensor(values), persistent=False)

    def forward(self, num_classes: int) -> Tensor | None:
        """The weights (C,), or None.

        Raises:
            ValueError: their number, or the class names in their file, are not those of the model.
        """
        if not self.checked:
            load_class_weight(self.source, num_classes, _names_in_training())
            self.checked = True
        return self.values


def _names_in_training() -> Sequence[str] | None:
    hub = MessageHub.get_current_instance()
    # The entry outlives the run that wrote it; the stage does not.
    if hub.get_info('loop_stage') != 'train':
        return None
    return (hub.get_info('dataset_meta') or {}).get('classes')


def check_loss_name(loss_name: str) -> str:
    """The name, if mmengine will add the loss to the total.

    Raises:
        ValueError: it does not start with ``loss_``; upstream then logs the loss but never back-propagates it.
    """
    if not loss_name.startswith('loss_'):
        raise ValueError(
            f"loss_name={loss_name!r}: losses without the prefix 'loss_' are never back-propagated; "
            f"use 'loss_{loss_name}'"
        )
    return loss_name


@MODELS.register_module()
class ClassBalancedLoss(nn.Module):
    """`class_balanced_cross_entropy` for any mmseg decode head.

    Differs from upstream's ``CrossEntropyLoss`` in its mean: over the pixels that count, weighted, so that the loss
    keeps its scale when most of a crop is ignored (upstream divides by all pixels, and class weights together with
    ``avg_non_ignore=True`` raise there).

    Args:
        class_weight: One weight a class, or the path of a JSON file of ``tools/analysis/class_weights.py``.
        loss_weight: Factor of the loss.
        loss_name: Key in the log, must start with ``loss_``.

    Raises:
        ValueError: a bad ``loss_name`` or bad weights; at the first batch also weights of a wrong number, or counted
            for other classes than the training set has.
    """

    def __init__(
        self,
        class_weight: Sequence[float] | str | Path | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_cb',
    ) -> None:
        super().__init__()
        self.class_weight = ClassWeight(class_weight)
        self.loss_weight = loss_weight
        self.loss_name = check_loss_name(loss_name)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Logits (B, C, H, W), labels (B, H, W), sampler's ``weight`` (B, H, W) -> scalar.

        ``reduction_override='none'`` gives the (B, H, W) map that upstream's pixel sampler without threshold ranks.
        """
        class_weight = self.class_weight(logits.shape[1])
        if reduction_override is None:
            loss = class_balanced_cross_entropy(logits, labels, class_weight, ignore_index, weight)
        elif reduction_override == 'none':
            terms = pixel_terms(logits, labels, ignore_index)
            weights = pixel_weights(terms, class_weight, weight)
            # The summands alone; a ranking needs no gradient.
            loss = (terms.nll * weights).masked_fill(weights == 0, 0)
        else:
            raise ValueError(f"reduction_override={reduction_override!r}: only None and 'none' are supported")
        return self.loss_weight * loss
