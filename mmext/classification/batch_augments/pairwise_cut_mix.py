"""CutMix with a box and a share of its own for every image, and its relatives MixUp and CutOut.

CutMix: arXiv:1905.04899, MixUp: arXiv:1710.09412, CutOut: arXiv:1708.04552. Both mixtures are between an image and its
partner, which a permutation of the batch gives.

Shapes: B images (B, C, H, W), K classes, scores (B, K), which are one-hot or sum to 1 in another way. The *kept share*
is the lambda of the papers: what remains of the image itself. The *pasted share* is 1 minus that.
"""

import torch
from mmpretrain.registry import BATCH_AUGMENTS
from torch import Tensor

KINDS = ('cutmix', 'mixup', 'cutout')
PER = ('image', 'batch')


@BATCH_AUGMENTS.register_module()
class PairwiseCutMix:
    """CutMix, MixUp or CutOut of a batch, drawn anew for every image.

    For each image: a partner by one permutation of the batch; a kept share lambda ~ Beta(alpha, alpha), by default
    U(0, 1); and for the boxes a centre, uniform over the image. The box has sqrt(1 - lambda) times the image's height
    and width and is cut off at its border. The label is mixed by the share of the pixels that were in fact pasted, so
    pixels and label always agree; since boxes are cut off, that share is smaller on average than 1 - lambda. Scores
    that were one-hot sum to exactly 1.

    Everything is drawn by torch, on the device of the batch and without waiting for it: the same seed gives the same
    batch on the same kind of device. Processes of a distributed run that start from one seed draw the same boxes;
    ``randomness=dict(diff_rank_seed=True)`` makes them differ.

    To be named in ``data_preprocessor.batch_augments``, or ``train_cfg`` of the classifier, which also make the labels
    one-hot: ``dict(augments=dict(type='PairwiseCutMix'))``. Its ``probs`` choose one augmentation for a whole batch.
    Label smoothing is the loss's part.

    Differs from upstream's ``CutMix`` and ``Mixup`` in that those draw one lambda and one box for the whole batch, from
    NumPy; round the box to even sizes, downwards; and ``CutMix`` writes into its input.

    Args:
        kind: ``'cutmix'``; ``'mixup'`` (image and label are both mixed with the kept share); ``'cutout'`` (the box is
            filled and the label kept).
        alpha: Of the Beta distribution of the kept share; 1 is uniform.
        kept_share: A constant in [0, 1] in place of the random share. With CutOut it makes the paper's box of one size:
            0.75 is 16 x 16 pixels of 32 x 32.
        per: ``'image'``: box, share and the decision by ``prob`` are drawn for every image; ``'batch'``: once for all,
            as the papers do. Partners differ either way.
        prob: Probability that an image is mixed (``per='image'``) or the batch (``per='batch'``).
        batch_share: Part of the batch, in [0, 1], that may be mixed at all: exactly that many images, rounded, drawn
            anew every time; the others stay as they are, but may be partners.
        fill: Value that CutOut puts in, in units of its input; after normalisation 0 is the mean.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(
        self,
        kind: str = 'cutmix',
        alpha: float = 1.0,
        kept_share: float | None = None,
        per: str = 'image',
        prob: float = 1.0,
        batch_share: float = 1.0,
        fill: float = 0.0,
    ) -> None:
        for name, value, known in (('kind', kind, KINDS), ('per', per, PER)):
            if value not in known:
                raise ValueError(f'PairwiseCutMix: {name}={value!r}; choose from {", ".join(known)}')
        if not alpha > 0:
            raise ValueError(f'PairwiseCutMix: alpha={alpha}; must be above 0, 1 for a uniform share')
        for name, value in (('kept_share', kept_share), ('prob', prob), ('batch_share', batch_share)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f'PairwiseCutMix: {name}={value}; must be in [0, 1]')
        self.kind, self.alpha, self.kept_share, self.per = kind, alpha, kept_share, per
        self.prob, self.batch_share, self.fill = prob, batch_share, fill

    def __call__(self, batch_inputs: Tensor, batch_score: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images and scores; the arguments stay as they are.

        Args:
            batch_inputs: (B, C, H, W), integers or floats. The type stays, but MixUp makes integers float32.
            batch_score: (B, K).

        Returns:
            (B, C, H, W), and scores (B, K) in float32.

        Raises:
            ValueError: the shapes are others.
        """
        check_batch(batch_inputs, batch_score)
        count, size_hw, device = len(batch_inputs), batch_inputs.shape[-2:], batch_inputs.device
        batch_score = batch_score.float()
        partners = torch.randperm(count, device=device)
        draws = count if self.per == 'image' else 1
        kept = self._draw_kept_shares(draws, device)
        # Those that stay keep all of themselves: their box is empty.
        kept = torch.where(self._draw_mixed(count, draws, device), kept, 1.0)
        if self.kind == 'mixup':
            return mix_up(batch_inputs, batch_score, partners, kept)
        boxes = centred_boxes(kept, torch.rand(draws, 2, device=device), size_hw)
        if self.kind == 'cutout':
            return cut_out(batch_inputs, boxes, self.fill), batch_score
        return cut_mix(batch_inputs, batch_score, partners, boxes)

    def _draw_kept_shares(self, draws: int, device: torch.device) -> Tensor:
        """(draws,) in [0, 1]."""
        if self.kept_share is not None:
            return torch.full((draws,), float(self.kept_share), device=device)
        if self.alpha == 1:
            return torch.rand(draws, device=device)
        alpha = torch.full((draws,), float(self.alpha), device=device)
        return torch.distributions.Beta(alpha, alpha).sample()

    def _draw_mixed(self, count: int, draws: int, device: torch.device) -> Tensor:
        """(count,), true where an image is mixed."""
        mixed = torch.ones(count, dtype=torch.bool, device=device)
        if self.prob < 1:
            mixed &= torch.rand(draws, device=device) < self.prob
        if self.batch_share < 1:
            # The places of a permutation below n are exactly n.
            mixed &= torch.randperm(count, device=device) < round(self.batch_share * count)
        return mixed


def check_batch(inputs: Tensor, scores: Tensor) -> None:
    """Raises ValueError where images and scores are no batch (B, C, H, W) and (B, K)."""
    if inputs.ndim != 4:
        raise ValueError(f'PairwiseCutMix: images of shape {tuple(inputs.shape)}; give a batch (B, C, H, W)')
    if scores.ndim != 2 or len(scores) != len(inputs):
        raise ValueError(
            f'PairwiseCutMix: scores of shape {tuple(scores.shape)} for {len(inputs)} images; give one-hot labels '
            '(B, K): to_onehot=True and num_classes of the data preprocessor make them'
        )


def centred_boxes(kept_shares: Tensor, centres: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Boxes of 1 - kept share of the image's area and of its shape, cut off at its border and rounded to pixels.

    A pixel belongs to a box if its centre does, so that a box away from the border has the exact height and width on
    average over all centres. A kept share of 1 gives an empty box; one of 0 about the middle, the whole image.

    Args:
        kept_shares: (B,), in [0, 1].
        centres: (B, 2) or (1, 2), y and x as parts of the height and width, in [0, 1].
        size_hw: Height and width in pixels.

    Returns:
        (B, 4) int64: y1, x1, y2, x2; the pixels y1 <= y < y2, x1 <= x < x2.
    """
    half = (1 - kept_shares).sqrt() / 2
    corners = []
    for part in (-half, half):
        for centre, side in zip(centres.unbind(1), size_hw, strict=True):
            # Pixel i has its centre at i + 0.5.
            corners.append((centre * side + part * side - 0.5).ceil().clamp(0, side))
    return torch.stack(corners, dim=1).long()


def box_mask(boxes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(B, H, W), true inside the boxes (B, 4) of `centred_boxes`."""
    y, x = (torch.arange(side, device=boxes.device) for side in size_hw)
    y1, x1, y2, x2 = boxes[:, :, None].unbind(1)
    rows, columns = (y >= y1) & (y < y2), (x >= x1) & (x < x2)
    # A product of bytes takes a third of the time of & on the CPU.
    return (rows.view(torch.uint8)[:, :, None] * columns.view(torch.uint8)[:, None, :]).view(torch.bool)


def box_shares(boxes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Part of the image that each box (B, 4) covers: (B,) float32, its pixels / (H * W), correctly rounded."""
    y1, x1, y2, x2 = boxes.unbind(1)
    pixels = ((y2 - y1).clamp(min=0) * (x2 - x1).clamp(min=0)).float()
    # By a tensor of the same device: by a number, a GPU would multiply with the rounded reciprocal.
    return pixels / torch.full_like(pixels, size_hw[0] * size_hw[1])


def mix_scores(scores: Tensor, partners: Tensor, pasted_shares: Tensor) -> Tensor:
    """(1 - p) times the own scores (B, K) plus p times the partner's; p: (B,).

    In binary floating point (1 - p) + p is exactly 1 for every p in [0, 1], so one-hot scores keep their sum.
    """
    pasted = pasted_shares[:, None]
    return scores * (1 - pasted) + scores.index_select(0, partners) * pasted


def cut_mix(inputs: Tensor, scores: Tensor, partners: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Pastes the pixels of a box from the same place of the partner, and mixes the scores by the pasted area.

    Args:
        inputs: (B, C, H, W) of any type.
        scores: (B, K) float.
        partners: (B,) int64, whose pixels are pasted.
        boxes: (B, 4) as of `centred_boxes`.

    Returns:
        New images and scores of the same shapes and types.
    """
    size_hw = inputs.shape[-2:]
    pasted = inputs.index_select(0, partners)
    # Into the copy that was just made, which autograd allows where no gradient flows to the images: without a second
    # buffer it takes half the time on the CPU.
    out = None if pasted.requires_grad else pasted
    mixed = torch.where(box_mask(boxes, size_hw)[:, None], pasted, inputs, out=out)
    return mixed, mix_scores(scores, partners, box_shares(boxes, size_hw))


def mix_up(inputs: Tensor, scores: Tensor, partners: Tensor, kept_shares: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of images and of scores, kept share : pasted share; arguments as of `cut_mix`.

    Integer images become float32.
    """
    inputs = inputs if inputs.is_floating_point() else inputs.float()
    pasted = 1 - kept_shares
    weight = pasted[:, None, None, None].to(inputs.dtype)
    return inputs * (1 - weight) + inputs.index_select(0, partners) * weight, mix_scores(scores, partners, pasted)


def cut_out(inputs: Tensor, boxes: Tensor, fill: float = 0.0) -> Tensor:
    """Images with their boxes filled; of the type of the input. Arguments as of `cut_mix`."""
    mask = box_mask(boxes, inputs.shape[-2:])[:, None]
    return inputs.masked_fill(mask, fill)
