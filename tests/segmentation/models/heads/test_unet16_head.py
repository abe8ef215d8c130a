import pytest
import torch
from torch import nn

CHANNELS = (64, 128, 256, 512, 512, 512)


def build(**settings):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(dict(type='UNet16Head', **dict(dict(num_classes=7), **settings)))


def backbone():
    from mmext.segmentation.models import VGG16

    net = VGG16(levels='convs')
    net.init_weights()
    return net


def doubling(fan_in: int, middle: int, fan_out: int) -> int:
    """A 3x3 convolution and a transposed 4x4 one, both with biases."""
    return (9 * fan_in + 1) * middle + (16 * middle + 1) * fan_out


def test_parameters_by_hand():
    n = 32
    by_hand = doubling(512, 16 * n, 8 * n) + 2 * doubling(512 + 8 * n, 16 * n, 8 * n)
    by_hand += doubling(256 + 8 * n, 8 * n, 2 * n) + doubling(128 + 2 * n, 4 * n, n)
    by_hand += (9 * (64 + n) + 1) * n + (n + 1) * 7
    assert sum(parameter.numel() for parameter in build().parameters()) == by_hand


@pytest.mark.parametrize('size_hw', [(64, 96), (45, 70), (1, 1)])
def test_scores_have_the_size_of_the_image(size_hw):
    with torch.no_grad():
        scores = build()(backbone()(torch.randn(1, 3, *size_hw)))
    assert scores.shape == (1, 7, *size_hw)


def test_every_skip_and_the_last_pool_reach_the_scores():
    head = build(channels=4)
    levels = [torch.rand(1, width, 64 // 2**i, 64 // 2**i) for i, width in enumerate(CHANNELS)]
    scores = head(levels)
    for i in range(6):
        changed = [level + (index == i) for index, level in enumerate(levels)]
        assert not torch.allclose(head(changed), scores), f'level {i}'


def test_zeros_in_give_zeros_where_the_biases_are_zero():
    head = build(channels=4)
    for name, parameter in head.named_parameters():
        if name.endswith('bias'):
            nn.init.zeros_(parameter)
    levels = [torch.zeros(1, width, 32 // 2**i, 32 // 2**i) for i, width in enumerate(CHANNELS)]
    assert head(levels).abs().max() == 0


def test_a_shift_of_the_image_by_32_pixels_shifts_the_scores():
    net, head = backbone(), build(channels=4)
    strip = torch.randn(1, 3, 32, 1056)
    with torch.no_grad():
        left, right = (head(net(part)) for part in (strip[..., :1024], strip[..., 32:]))
    torch.testing.assert_close(left[..., 416:608], right[..., 384:576], rtol=1e-4, atol=1e-5)
    assert left[..., 416:608].std() > 0


def test_one_step_reaches_every_parameter():
    net, head = backbone(), build(channels=4)
    head(net(torch.randn(2, 3, 40, 72))).square().sum().backward()
    assert all(parameter.grad is not None for module in (net, head) for parameter in module.parameters())
