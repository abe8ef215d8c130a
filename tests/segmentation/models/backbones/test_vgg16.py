import pytest
import torch
import torch.nn.functional as F
from torchvision.models import vgg16
from torchvision.models.vgg import cfgs, make_layers

# input and output channels of the thirteen convolutions that the report prints
WIDTHS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
WIDTHS += [(256, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512)]


def build(**settings):
    from mmseg.registry import MODELS

    return MODELS.build(dict(type='VGG16', **settings))


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('size_hw', [(64, 96), (33, 50), (1, 1)])
@pytest.mark.parametrize('levels', ['pools', 'convs'])
def test_level_i_has_stride_2_to_the_i(levels, size_hw):
    with torch.no_grad():
        maps = build(levels=levels)(torch.randn(1, 3, *size_hw))
    channels = [3, 64, 128, 256, 512, 512] if levels == 'pools' else [64, 128, 256, 512, 512, 512]
    height, width = size_hw
    assert [tuple(level.shape) for level in maps] == [
        (1, channels[i], -(-height // 2**i), -(-width // 2**i)) for i in range(6)
    ]


def test_layers_and_parameters_are_the_printed_ones():
    from torch import nn

    with torch.device('meta'):
        net = build()
    convs = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == WIDTHS
    pools = [i for i, layer in enumerate(net.features) if isinstance(layer, nn.MaxPool2d)]
    assert pools == [4, 9, 16, 23, 30]
    by_hand = sum((9 * fan_in + 1) * fan_out for fan_in, fan_out in WIDTHS)
    assert count(net) == by_hand == 14_714_688
    with torch.device('meta'):
        normalised = build(with_bn=True)
    assert count(normalised) == by_hand + 2 * sum(fan_out for _, fan_out in WIDTHS)


def test_torchvisions_weights_load_and_give_its_features(tmp_path):
    with torch.device('meta'):
        official_names = set(vgg16(weights=None).state_dict())
    official = make_layers(cfgs['D'])
    weights = {f'features.{name}': value for name, value in official.state_dict().items()}
    assert {name for name in official_names if name.startswith('features.')} == set(weights)
    torch.save(weights | {'classifier.6.bias': torch.zeros(1000)}, tmp_path / 'vgg16.pth')

    net = build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16.pth')))
    net.init_weights()
    assert set(net.state_dict()) == set(weights)
    assert all(value.equal(weights[name]) for name, value in net.state_dict().items())
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(net(image)[5], official(image))


def test_names_with_normalisation_are_torchvisions_too():
    official = {f'features.{name}': value.shape for name, value in make_layers(cfgs['D'], True).state_dict().items()}
    assert {name: value.shape for name, value in build(with_bn=True).state_dict().items()} == official


def test_pools_are_the_maxima_of_the_groups_and_positions_find_them():
    torch.manual_seed(0)
    net = build(return_indices=True)
    image = torch.randn(1, 3, 37, 50)
    with torch.no_grad():
        outputs = net(image)
        net.levels = 'convs'
        convs = net(image)[:5]
    assert outputs[0] is image
    for group, pool, positions in zip(convs, outputs[1:6], outputs[6:], strict=True):
        torch.testing.assert_close(F.max_pool2d(group, 2, ceil_mode=True), pool)
        assert positions.dtype == torch.int64
        assert group.flatten(2).gather(2, positions.flatten(2)).equal(pool.flatten(2))


def test_signals_do_not_fade_without_pretrained_weights():
    torch.manual_seed(0)
    net = build()
    net.init_weights()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 64, 64))[5].std() > 0.1


def test_images_of_a_batch_do_not_meet():
    net = build().eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(images)[5][[2, 0, 1]], net(images[[2, 0, 1]])[5])


def test_unknown_levels_are_named():
    with pytest.raises(ValueError, match="levels='stages': expected 'pools' or 'convs'"):
        build(levels='stages')
