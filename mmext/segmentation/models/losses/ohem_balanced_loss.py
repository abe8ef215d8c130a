"""Online hard example mining on a class-balanced cross entropy (arXiv:1604.03540).

Shapes: B images, C classes, "..." any further dimensions, for pictures H x W. Logits (B, C, ...) float; labels (B, ...)
integer, in [0, C) or the ignore index.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from .class_balanced_loss import ClassWeight, check_loss_name, pixel_terms, pixel_weights, weighted_mean


def mine_away(nll: Tensor, ignored: Tensor, thresh: float | None, min_kept: int | float) -> tuple[Tensor, float | None]:
    """The pixels that an OHEM loss leaves out.

    It keeps all candidates (pixels that are not ignored) whose true-class probability exp(-nll) is below ``thresh``
    or, if these are fewer than ``min_kept``, exactly the ``min_kept`` candidates of lowest probability (all, if there
    are not so many). Which of several pixels of equal probability enter at that border is not specified. Compared and
    ranked by nll, which still tells apart what underflows as a probability; NaN counts as hardest, so that a diverged
    network is seen in its loss.

    Args:
        nll: (B, ...), >= 0 or NaN.
        ignored: (B, ...) bool, pixels that must not be kept.
        thresh: Probability, > 0; above 1 keeps all; None keeps the ``min_kept`` hardest only.
        min_kept: int: number of pixels of the batch; float in (0, 1]: share of the candidates, rounded up.

    Returns:
        bool mask (B, ...), True where a pixel is left out, and the share of the candidates that is kept, None where
        there is no candidate.
    """
    limit = math.inf if thresh is None else -math.log(thresh)
    nll = torch.where(ignored, -math.inf, nll)
    easy = nll <= limit  # and not `nll > limit` for the hard ones, which drops NaN
    # The only values read back, both at once: a GPU is waited for a single time.
    num_ignored, num_easy = torch.stack([ignored.count_nonzero(), easy.count_nonzero()]).tolist()
    num_candidates, num_hard = nll.numel() - num_ignored, nll.numel() - num_easy
    if num_candidates == 0:
        return ignored, None
    if isinstance(min_kept, float):
        min_kept = math.ceil(round(min_kept * num_candidates, 6))  # 0.1 * 30 is a little above 3
    min_kept = min(min_kept, num_candidates)
    if num_hard >= min_kept:
        return easy, num_hard / num_candidates
    if min_kept == num_candidates:
        return ignored, 1.0
    # A selection of k, not a sort: linear in the number of pixels.
    hardest = nll.flatten().topk(min_kept, sorted=False).indices
    left_out = torch.ones_like(ignored).flatten().index_fill_(0, hardest, False)
    return left_out.view_as(ignored), min_kept / num_candidates


def mined_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | Sequence[float] | None = None,
    thresh: float | None = 0.5,
    min_kept: int | float = 10_000,
    ignore_index: int = 255,
    pixel_weight: Tensor | None = None,
) -> tuple[Tensor, float | None]:
    """`ohem_cross_entropy` together with the share of the candidates that was kept (None without candidates)."""
    check_mining(thresh, min_kept)
    terms = pixel_terms(logits, labels, ignore_index)
    ignored = terms.ignored if pixel_weight is None else terms.ignored | (pixel_weight == 0)
    left_out, share = mine_away(terms.nll, ignored, thresh, min_kept)
    return weighted_mean(terms, pixel_weights(terms, class_weight, pixel_weight, left_out)), share


def ohem_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | Sequence[float] | None = None,
    thresh: float | None = 0.5,
    min_kept: int | float = 10_000,
    ignore_index: int = 255,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """sum(w * ce) / sum(w) over the pixels that `mine_away` keeps, w = class weight x pixel weight.

    Pixels are chosen by the probability of their true class alone; class and pixel weights enter the mean, not the
    choice. Where nothing is mined away (``thresh`` above 1, or ``thresh=None, min_kept=1.0``) it equals
    ``F.cross_entropy(logits, labels, class_weight, ignore_index=...)``. A batch without a counted pixel gives 0, with
    a graph and gradients of 0.

    Args:
        logits: (B, C, ...), any float type.
        labels: (B, ...), any integer type.
        class_weight: (C,), >= 0.
        thresh: A pixel is hard if its true class has less than this probability; None: by rank only.
        min_kept: Pixels kept at least; int: number for the whole batch, float in (0, 1]: share of the candidates.
        ignore_index: Label of pixels that do not count.
        pixel_weight: (B, ...), >= 0; pixels of weight 0 are no candidates.

    Raises:
        ValueError: a setting out of range, shapes that do not fit, or (on CPU) a label out of range.
    """
    return mined_cross_entropy(logits, labels, class_weight, thresh, min_kept, ignore_index, pixel_weight)[0]


def check_mining(thresh: float | None, min_kept: int | float) -> None:
    """Raise `ValueError` for settings of OHEM that mean nothing."""
    if thresh is not None and not thresh > 0:
        raise ValueError(f'thresh={thresh}: expected a probability above 0, or None to keep the min_kept hardest')
    if isinstance(min_kept, float):
        if not 0 < min_kept <= 1:
            raise ValueError(f'min_kept={min_kept}: a float is a share of the pixels, in (0, 1]; give a count as int')
    elif isinstance(min_kept, bool) or not isinstance(min_kept, int) or min_kept < (1 if thresh is None else 0):
        raise ValueError(f'min_kept={min_kept!r}: expected a number of pixels >= 1, or a share as float in (0, 1]')


@MODELS.register_module()
class OhemBalancedLoss(nn.Module):
    """`ohem_cross_entropy` for any mmseg decode head; logs the kept share of the pixels.

    Differs from upstream's ``OHEMPixelSampler`` + ``CrossEntropyLoss`` in its mean, over the kept pixels and not over
    all pixels, so that the loss keeps its scale while the kept share falls; in ``min_kept``, which speaks of the batch
    and not of an image; and in speed, as it neither sorts nor computes the softmax twice. Upstream's
    ``OhemCrossEntropy`` cannot be used in a decode head.

    The share appears in every log of a training as ``kept_<loss_name without 'loss_'>``, the value of the last
    iteration. Two heads with the same ``loss_name`` write the same entry, and the log shows the one that came last, in
    mmseg the auxiliary head: give that one a name of its own, such as ``loss_ohem_aux``.

    Args:
        class_weight: One weight a class, or the path of a JSON file of ``tools/analysis/class_weights.py``.
        thresh: A pixel is hard if its true class has less than this probability; None: by rank only.
        min_kept: Pixels kept at least; int: number for the whole batch (of one process), float in (0, 1]: share of
            the pixels that are not ignored.
        loss_weight: Factor of the loss.
        loss_name: Key in the log, must start with ``loss_``.

    Raises:
        ValueError: a setting out of range; at the first batch also class weights of a wrong number, or counted for
            other classes than the training set has.
    """

    def __init__(
        self,
        class_weight: Sequence[float] | str | Path | None = None,
        thresh: float | None = 0.5,
        min_kept: int | float = 10_000,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ohem',
    ) -> None:
        super().__init__()
        check_mining(thresh, min_kept)
        self.class_weight = ClassWeight(class_weight)
        self.thresh = thresh
        self.min_kept = min_kept
        self.loss_weight = loss_weight
        self.loss_name = check_loss_name(loss_name)

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255) -> Tensor:
        """Logits (B, C, H, W), labels (B, H, W), sampler's ``weight`` (B, H, W) -> scalar."""
        class_weight = self.class_weight(logits.shape[1])
        loss, share = mined_cross_entropy(
            logits, labels, class_weight, self.thresh, self.min_kept, ignore_index, weight
        )
        if self.training and share is not None:
            # Heads hand on nothing but the loss itself; mmengine's log collects all scalars of the hub under train/.
            MessageHub.get_current_instance().update_scalar(f'train/kept_{self.loss_name[5:]}', share)
        return self.loss_weight * loss
