import pytest
import torch


@pytest.mark.parametrize('size_hw', [(375, 1242), (256, 864), (33, 50)])
def test_shape_follows_the_pools(size_hw):
    from mmext.segmentation.models import BasicNet

    net = BasicNet()
    height, width = size_hw
    for _ in range(4):
        height, width = -(-height // 2), -(-width // 2)
    with torch.no_grad():
        (features,) = net(torch.zeros(1, 3, *size_hw))
    assert features.shape == (1, 2048, height - 2, width - 2)


def test_encoder_and_head_have_the_published_parameters():
    from mmseg.registry import MODELS

    net, head = MODELS.build(dict(type='BasicNet')), MODELS.build(dict(type='BasicNetHead'))
    count = sum(parameter.numel() for module in (net, head) for parameter in module.parameters())
    # convolutions: (9 * in + 1) * out, 1x1: (in + 1) * out, transposed 4x4 without bias: 16 * 19 * 19
    widths = [(3, 64), (64, 64), (64, 128), (128, 256), (256, 512), (512, 2048)]
    by_hand = sum((9 * fan_in + 1) * fan_out for fan_in, fan_out in widths)
    by_hand += 2049 * 2048 + 2049 * 19 + 3 * 16 * 19 * 19
    assert count == by_hand
    assert round(count / 1e6, 2) == 15.28


def test_no_normalisation_and_all_parameters_learn():
    from mmext.segmentation.models import BasicNet, BasicNetHead

    net, head = BasicNet(), BasicNetHead(output_hw=(32, 48))
    names = {type(module).__name__ for module in net.modules()}
    assert not {name for name in names if 'Norm' in name}
    head(net(torch.randn(1, 3, 64, 64))).square().sum().backward()
    assert all(parameter.grad is not None for module in (net, head) for parameter in module.parameters())
