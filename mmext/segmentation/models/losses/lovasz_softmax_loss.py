"""Lovász-Softmax: a surrogate of 1 - mIoU that has gradients (arXiv:1705.08790).

Shapes: B images, C classes, "..." any further dimensions, for pictures H x W. Logits (B, C, ...) float; labels (B, ...)
integer, in [0, C) or the ignore index. Inside, P pixels stand together whose IoU is one number (those of the batch, or
of an image) and R is the number of such IoUs, one for each class and each group of pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .class_balanced_loss import ClassWeight, check_loss_name, pixel_terms

CLASSES = ('present', 'all')


def falling_order(errors: Tensor) -> Tensor:
    """Places in the flattened (R, P) ``errors`` that sort each row from the largest down; equal values in any order.

    On the CPU, NumPy's vectorised sort of integers takes a tenth of the time of `torch.sort`. It returns no indices,
    so they ride in the lower half of the numbers, below the bits of the error: those of a non-negative float32 are
    ordered as the float is. The one negative value that may occur is -1, which comes last; NaN comes first.

    Returns:
        (R, P) int64.
    """
    row_starts = torch.arange(0, errors.numel(), errors.shape[1], device=errors.device).unsqueeze(1)
    if errors.is_cuda or errors.dtype != torch.float32 or errors.shape[1] >= 1 << 32:
        return errors.sort(dim=1, descending=True).indices.add_(row_starts)
    keys = errors.view(torch.int32).long()
    torch.add(torch.arange(errors.shape[1]), keys, alpha=-(1 << 32), out=keys)
    keys.numpy().sort(axis=1)
    return keys.bitwise_and_((1 << 32) - 1).add_(row_starts)


def jaccard_steps(foreground: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """How much each pixel adds to the Jaccard loss when pixels turn wrong one after the other.

    With G foreground pixels, of which f stand among the first i, the union of truth and prediction has grown to
    i + G - f pixels and the Jaccard loss is 1 - (G - f) / (i + G - f). A foreground pixel therefore adds
    1 / (i + G - f), a background pixel (G - f) / ((i + G - f - 1) (i + G - f)); without foreground the first pixel
    adds 1 and the others nothing. Written so, no two nearly equal numbers are subtracted.

    Args:
        foreground: (R, P) bool, in the order of falling errors.
        dtype: Of the result.

    Returns:
        (R, P), >= 0; every row sums to 1.
    """
    # Counted in integers: a float32 cannot count beyond 2^24, and CUDA sums floats in an order that varies.
    hits = foreground.int().cumsum_(1)
    remaining = torch.sub(hits[:, -1:].clone(), hits, out=hits).to(dtype)
    del hits
    before = torch.arange(foreground.shape[1], dtype=dtype, device=foreground.device)
    steps = remaining + before
    torch.div(remaining, steps, out=steps)
    steps[:, 0] = 1  # 0 / 0 where there is no foreground
    return steps.masked_fill_(foreground, 1).div_(remaining.add_(before + 1))


def iou_weights(
    targets: Tensor,
    left_out: Tensor,
    num_classes: int,
    classes: str = 'present',
    class_weight: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weight of every IoU in the mean; they sum to 1, or are all 0 if no pixel counts.

    Args:
        targets: (N, P) int64 in [0, C), N groups of pixels.
        left_out: (N, P) bool.
        num_classes: C.
        classes: ``'present'``: those with a counted pixel in the group; ``'all'``.
        class_weight: (C,), >= 0.
        dtype: Of the result.

    Returns:
        (N, C).
    """
    counts = torch.zeros(len(targets), num_classes, dtype=dtype, device=targets.device)
    counted = counts.scatter_add_(1, targets, (~left_out).to(dtype)) > 0
    weights = (counted if classes == 'present' else counted.any(1, keepdim=True).expand_as(counted)).to(dtype)
    if class_weight is not None:
        weights = weights * class_weight.to(weights)
    totals = weights.sum(1, keepdim=True)
    return weights / torch.where(totals > 0, totals, 1) / (totals > 0).sum().clamp(min=1)


def foreground_rows(targets: Tensor, left_out: Tensor, num_classes: int) -> Tensor:
    """(N * C, P) bool: whether a counted pixel of the group is of the class."""
    classes = torch.arange(num_classes, dtype=torch.int16, device=targets.device)
    foreground = targets.short().unsqueeze(1) == classes.unsqueeze(1)
    return foreground.logical_and_(~left_out.unsqueeze(1)).flatten(0, 1)


class _MeanJaccard(torch.autograd.Function):
    """Weighted mean of Lovász extensions, whose gradient is known once its value is.

    It is finished in the forward pass, so that nothing but one array of the logits' size outlives it: automatic
    differentiation would keep errors, order, steps and probabilities. Differentiable once.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, probs: Tensor, targets: Tensor, left_out: Tensor, weights: Tensor) -> Tensor:
        """``probs`` (N, C, P), 0 where left out; ``targets``, ``left_out`` (N, P); ``weights`` (N, C).

        Of ``logits`` only the shape matters here, which ``probs`` can be viewed in.
        """
        rows = weights.flatten().nonzero().squeeze(1)
        if len(rows) == 0:
            ctx.save_for_backward(torch.zeros_like(logits))
            return probs.new_zeros(())
        whole = len(rows) == weights.numel()
        foreground, wanted = foreground_rows(targets, left_out, probs.shape[1]), probs.flatten(0, 1)
        if not whole:
            foreground, wanted = foreground.index_select(0, rows), wanted.index_select(0, rows)
        # -1 puts the pixels that are left out behind all foreground, where the steps are 0. The errors are computed
        # twice and everything is dropped as soon as it can be: one array more than upstream's peak would be too many.
        errors = foreground.to(probs.dtype).sub_(wanted).abs_().masked_fill_(left_out[rows // probs.shape[1]], -1)
        order = falling_order(errors).flatten()
        del errors
        steps = jaccard_steps(foreground.flatten().index_select(0, order).view_as(foreground), probs.dtype)
        steps.mul_(weights.flatten().index_select(0, rows).unsqueeze(1))
        slopes = torch.empty_like(steps).flatten().index_copy_(0, order, steps.flatten()).view_as(steps)
        del order, steps
        missing = foreground.to(probs.dtype).sub_(wanted)
        slopes.copysign_(missing)
        loss = missing.mul_(slopes).sum()
        if ctx.needs_input_grad[0]:
            if not whole:
                slopes = torch.zeros_like(probs).flatten(0, 1).index_copy_(0, rows, slopes)
            # Down the slope, through the softmax: p_c (s_c - sum_k s_k p_k).
            downhill = slopes.view_as(probs).mul_(probs)
            downhill.addcmul_(probs, downhill.sum(1, keepdim=True), value=-1)
            ctx.save_for_backward(downhill.view(logits.shape))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, None, None, None, None]:
        (downhill,) = ctx.saved_tensors
        return downhill * -grad_output, None, None, None, None


def lovasz_softmax(
    logits: Tensor,
    labels: Tensor,
    classes: str = 'present',
    per_image: bool = False,
    class_weight: Tensor | Sequence[float] | None = None,
    ignore_index: int = 255,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """sum(w_c * L_c) / sum(w_c) over the classes, L_c the Lovász extension of 1 - IoU_c at the errors of class c.

    The error of a pixel is 1 - p_c if it is of class c, else p_c, with p the softmax. Where every p_c is 0 or 1, L_c
    is 1 - IoU_c. All classes are sorted in one call. Computed in float32, also under autocast (float64 stays).

    Args:
        logits: (B, C, ...), C >= 2, any float type.
        labels: (B, ...), any integer type.
        classes: ``'present'``: the mean over classes that have a counted pixel; ``'all'``: over all of them, where L_c
            of a class without a pixel is its largest probability.
        per_image: One IoU for each image, then the mean over images that have a counted pixel; otherwise one IoU for
            the batch (of one process).
        class_weight: (C,), >= 0; only their ratios matter.
        ignore_index: Label of pixels that do not count.
        pixel_weight: (B, ...); pixels of weight 0 do not count, as a sampler asks for; the others count alike.

    Returns:
        Scalar in [0, 1]; 0 with a graph and gradients of 0 if nothing counts.

    Raises:
        ValueError: a setting or shapes that do not fit, or (on CPU) a label out of range.
    """
    check_classes(classes)
    terms = pixel_terms(logits, labels, ignore_index)
    size, num_classes = logits.shape[:2]
    if num_classes < 2:
        raise ValueError(f'logits {tuple(logits.shape)}: the softmax of one class is constant; give it two channels')
    if class_weight is not None:
        class_weight = torch.as_tensor(class_weight, device=logits.device)
        if class_weight.shape != (num_classes,):
            raise ValueError(f'class_weight {tuple(class_weight.shape)}: expected one weight for {num_classes} classes')
    left_out = terms.ignored if pixel_weight is None else terms.ignored | (pixel_weight == 0)
    grouped, probs = (values.reshape(size, num_classes, -1) for values in (terms.logits, terms.log_probs.exp_()))
    if not per_image:
        grouped, probs = grouped.transpose(0, 1), probs.transpose(0, 1).flatten(1).unsqueeze(0)
    targets, left_out = (values.reshape(len(probs), -1) for values in (terms.targets, left_out))
    del terms  # and with it an array of the logits' size
    probs = probs.masked_fill_(left_out.unsqueeze(1), 0)  # and so NaN of an ignored pixel goes nowhere
    weights = iou_weights(targets, left_out, num_classes, classes, class_weight, probs.dtype)
    return _MeanJaccard.apply(grouped, probs, targets, left_out, weights)


def check_classes(classes: str) -> None:
    """Raise `ValueError` for an unknown choice of classes."""
    if classes not in CLASSES:
        raise ValueError(f'classes={classes!r}: choose one of {", ".join(CLASSES)}')


@MODELS.register_module()
class LovaszSoftmaxLoss(nn.Module):
    """`lovasz_softmax` for any mmseg decode head; usual for fine-tuning, after or beside a cross entropy.

    Differs from upstream's ``LovaszLoss`` in that its defaults work (there ``per_image=False`` raises unless
    ``reduction='none'``); in that class weights enter a weighted mean, so that the loss stays in [0, 1] (upstream
    divides by the number of classes); in images without a label, which do not count (upstream raises, also for a single
    labelled pixel); and in speed, as it neither loops over the classes nor keeps a graph for each of them. It heeds the
    weights of a pixel sampler that are 0, which upstream does not. A sampler that ranks pixels by their loss
    (``OHEMPixelSampler`` without ``thresh``) cannot be combined with it: it has no loss for each pixel.

    Args:
        classes: ``'present'`` or ``'all'``, see `lovasz_softmax`.
        per_image: One IoU for each image instead of one for the batch.
        class_weight: One weight a class, or the path of a JSON file of ``tools/analysis/class_weights.py``.
        loss_weight: Factor of the loss.
        loss_name: Key in the log, must start with ``loss_``.

    Raises:
        ValueError: a setting out of range; at the first batch also class weights of a wrong number, or counted for
            other classes than the training set has.
    """

    def __init__(
        self,
        classes: str = 'present',
        per_image: bool = False,
        class_weight: Sequence[float] | str | Path | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz',
    ) -> None:
        super().__init__()
        check_classes(classes)
        self.classes = classes
        self.per_image = per_image
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

        Raises:
            ValueError: ``reduction_override`` is given.
        """
        if reduction_override is not None:
            raise ValueError(
                f'reduction_override={reduction_override!r}: an IoU is no mean over pixels and cannot be reduced '
                f'otherwise; give the sampler a thresh, so that it need not rank pixels by this loss'
            )
        class_weight = self.class_weight(logits.shape[1])
        loss = lovasz_softmax(
            logits, labels, self.classes, self.per_image, class_weight, ignore_index, pixel_weight=weight
        )
        return self.loss_weight * loss
