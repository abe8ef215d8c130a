"""Numbers by hand, an independent implementation, limits and symmetries of the channel-wise divergence."""

import math

import pytest
import torch
from mmseg.registry import MODELS

from mmext.segmentation.models.losses.channel_wise_divergence import ChannelWiseDivergence, channel_wise_divergence

LN2, LN3 = math.log(2), math.log(3)


def maps(*channels: list[float]) -> torch.Tensor:
    """One image of 1 x 2 positions."""
    return torch.tensor(channels, dtype=torch.float64)[None, :, None]


def by_loops(student, teacher, tau):
    """The paper's formula position by position, without any log-softmax."""
    total = 0.0
    for image_s, image_t in zip(student.tolist(), teacher.tolist(), strict=True):
        for channel_s, channel_t in zip(image_s, image_t, strict=True):
            exp_s, exp_t = ([math.exp(v / tau) for row in channel for v in row] for channel in (channel_s, channel_t))
            for s, t in zip(exp_s, exp_t, strict=True):
                p_s, p_t = s / sum(exp_s), t / sum(exp_t)
                total += p_t * math.log(p_t / p_s)
    return total * tau**2 / (student.shape[0] * student.shape[1])


def test_hand_numbers():
    """Teacher (3/4, 1/4), student (1/2, 1/2): 3/4 ln 3/2 + 1/4 ln 1/2 = 3/4 ln 3 - ln 2 = 0.1308.

    A second channel that agrees halves the mean over channels.
    """
    teacher, student = maps([LN3, 0.0]), maps([0.0, 0.0])
    assert channel_wise_divergence(student, teacher).item() == pytest.approx(0.75 * LN3 - LN2, rel=1e-12)
    teacher, student = maps([LN3, 0.0], [1.0, 2.0]), maps([0.0, 0.0], [1.0, 2.0])
    assert channel_wise_divergence(student, teacher).item() == pytest.approx((0.75 * LN3 - LN2) / 2, rel=1e-12)


def test_hand_numbers_of_the_other_direction_and_of_tau():
    """Teacher (1/2, 1/2), student (3/4, 1/4): 1/2 ln 2/3 + 1/2 ln 2 = ln 2 - 1/2 ln 3 = 0.1438: the order matters.

    At tau = 2 the values 2 ln 3 and 0 give the same distributions, and tau^2 = 4 times the divergence.
    """
    expected = LN2 - 0.5 * LN3
    assert channel_wise_divergence(maps([LN3, 0.0]), maps([0.0, 0.0])).item() == pytest.approx(expected, rel=1e-12)
    assert channel_wise_divergence(maps([2 * LN3, 0.0]), maps([0.0, 0.0]), tau=2).item() == pytest.approx(4 * expected)


@pytest.mark.parametrize('tau', [0.5, 1.0, 4.0])
def test_agrees_with_loops(tau):
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    actual = channel_wise_divergence(student, teacher, tau).item()
    assert actual == pytest.approx(by_loops(student, teacher, tau), rel=1e-9)
    assert actual > 0


def test_high_temperature_is_half_the_squared_difference():
    """tau -> infinity: variance over the positions of (teacher - student) / 2, mean over channels and images."""
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    expected = (teacher - student).flatten(2).var(dim=-1, correction=0).mean() / 2
    torch.testing.assert_close(channel_wise_divergence(student, teacher, 1e4), expected, rtol=1e-3, atol=0)


def test_equal_maps_and_shifted_channels():
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    shift = torch.randn(2, 3, 1, 1, dtype=torch.float64) * 10
    assert channel_wise_divergence(teacher + shift, teacher).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(
        channel_wise_divergence(student + shift, teacher - shift), channel_wise_divergence(student, teacher)
    )


def test_order_of_channels_positions_and_images_does_not_matter():
    student, teacher = torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    expected = channel_wise_divergence(student, teacher)
    for dim in (0, 1, 2, 3):
        torch.testing.assert_close(channel_wise_divergence(student.flip(dim), teacher.flip(dim)), expected)


def test_batch_is_the_mean_of_its_images():
    student, teacher = torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    alone = [channel_wise_divergence(s[None], t[None]) for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(channel_wise_divergence(student, teacher), torch.stack(alone).mean())


def test_gradient_reaches_the_student_only():
    student, teacher = (torch.randn(2, 3, 4, 5, requires_grad=True) for _ in range(2))
    channel_wise_divergence(student, teacher, 2.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    # a constant added to a channel changes nothing
    torch.testing.assert_close(student.grad.sum((2, 3)), torch.zeros(2, 3), rtol=0, atol=1e-6)


def test_gradient_by_finite_differences():
    student, teacher = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: channel_wise_divergence(x, teacher, 1.5), (student.requires_grad_(),))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast(dtype):
    student, teacher = (torch.randn(2, 2, 3, 64, 64) * 20).to(dtype)
    expected = channel_wise_divergence(student.double(), teacher.double())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = channel_wise_divergence(student, teacher)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=0)


def test_extreme_values_stay_finite():
    student = torch.full((1, 1, 2, 2), -1e4).requires_grad_()
    teacher = torch.tensor([[[[1e4, -1e4], [0.0, 0.0]]]])
    loss = channel_wise_divergence(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4), rel=1e-5)
    assert student.grad.isfinite().all()


def test_empty_batch_is_zero_with_a_graph():
    student = torch.zeros(0, 3, 4, 5, requires_grad=True)
    loss = channel_wise_divergence(student, torch.zeros(0, 3, 4, 5))
    loss.backward()
    assert loss.item() == 0


def test_build_and_settings():
    student, teacher = torch.randn(2, 2, 3, 4, 5)
    loss = MODELS.build(dict(type='ChannelWiseDivergence', tau=4, loss_weight=3))
    torch.testing.assert_close(loss(student, teacher), 3 * channel_wise_divergence(student, teacher, 4))
    assert not loss.state_dict()
    assert loss.loss_name == 'loss_cwd'
    with pytest.raises(ValueError, match='tau=0'):
        ChannelWiseDivergence(tau=0)
    with pytest.raises(ValueError, match="use 'loss_cwd'"):
        ChannelWiseDivergence(loss_name='cwd')
    with pytest.raises(ValueError, match=r'student \(2, 3, 4, 5\) and teacher \(2, 3, 4\)'):
        loss(student, teacher[..., 0])
