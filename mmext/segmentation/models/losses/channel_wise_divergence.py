"""Channel-wise knowledge distillation for dense prediction (arXiv:2011.13256).

Shapes: B images, C channels, "..." spatial dimensions, for pictures H x W. Maps (B, C, ...) float.
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .class_balanced_loss import check_loss_name


def channel_wise_divergence(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    """tau^2 / C * sum over channels of KL(teacher || student), mean over the images.

    Each channel becomes a distribution over the positions by a softmax of value / tau; what is compared is *where* a
    channel is active, so a constant added to a channel changes nothing. Ignored pixels take part: no label is seen.
    Computed in float32, also under autocast (float64 stays). Equal maps give 0; so does an empty batch.

    Args:
        student: (B, C, ...), receives the gradient.
        teacher: Same shape; no gradient flows into it.
        tau: Temperature, > 0; the higher, the more positions count.

    Raises:
        ValueError: tau is not above 0, or the shapes differ.
    """
    _check_tau(tau)
    if student.shape != teacher.shape or student.ndim < 3:
        raise ValueError(
            f'student {tuple(student.shape)} and teacher {tuple(teacher.shape)}: expected two maps of one shape '
            f'(B, C, ...); the teacher must have the classes of the student, or the pair a projection'
        )
    if not student.numel():
        return student.sum()
    log_student, log_teacher = (_log_distribution(values, tau) for values in (student, teacher.detach()))
    divergence = F.kl_div(log_student, log_teacher, reduction='sum', log_target=True)
    return divergence * tau**2 / (student.shape[0] * student.shape[1])


def _log_distribution(values: Tensor, tau: float) -> Tensor:
    """Logarithm of each channel's softmax over its positions, (B, C, positions)."""
    if values.dtype != torch.float64:
        values = values.float()
    return F.log_softmax(values.flatten(2) / tau, dim=-1)


def _check_tau(tau: float) -> None:
    if not tau > 0:
        raise ValueError(f'tau={tau}: the temperature must be above 0')


@MODELS.register_module()
class ChannelWiseDivergence(nn.Module):
    """`channel_wise_divergence` as the loss of one pair of layers of a ``ChannelWiseDistiller``.

    Same formula, names and defaults as mmrazor's class of this name. mmseg has none.

    Args:
        tau: Temperature, > 0. The paper distils logits with 4 and a weight of 3, mmrazor's recipes with 1 and 5.
        loss_weight: Factor of the loss.
        loss_name: Key in the log, must start with ``loss_``.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_cwd') -> None:
        super().__init__()
        _check_tau(tau)
        self.tau = tau
        self.loss_weight = loss_weight
        self.loss_name = check_loss_name(loss_name)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Two maps (B, C, H, W) -> scalar."""
        return self.loss_weight * channel_wise_divergence(student, teacher, self.tau)
