import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.ops import SqueezeExcitation

from mmext.segmentation.models.backbones.dilated_mobile_net import DilatedMobileNet, dilate

TORCHVISION = {'v2': torchvision.models.mobilenet_v2, 'v3-large': torchvision.models.mobilenet_v3_large}
ARCHS = pytest.mark.parametrize('arch', TORCHVISION)


def randomised(arch):
    """torchvision's network with statistics that are not the initial ones."""
    torch.manual_seed(0)
    network = TORCHVISION[arch](weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@ARCHS
def test_file_of_torchvision_fills_every_tensor(arch, tmp_path):
    """As a config does it: the whole file, read by the initialisation of the backbone."""
    from mmseg.registry import MODELS

    network = randomised(arch)
    torch.save(network.state_dict(), tmp_path / 'theirs.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'theirs.pth'))
    backbone = MODELS.build(dict(type='DilatedMobileNet', arch=arch, init_cfg=init_cfg))
    backbone.init_weights()
    theirs = network.state_dict()
    assert all(tensor.equal(theirs[name]) for name, tensor in backbone.state_dict().items())
    left_over = {name.split('.')[0] + '.' + name.split('.')[1] for name in theirs.keys() - backbone.state_dict().keys()}
    last = {'v2': 'features.18', 'v3-large': 'features.16'}[arch]
    assert {name for name in left_over if not name.startswith('classifier')} == {last}


@ARCHS
def test_without_dilation_it_is_torchvision(arch):
    network = randomised(arch)
    backbone = DilatedMobileNet(arch, output_stride=32, out_indices=(1, len(network.features) - 1)).eval()
    backbone.load_state_dict(network.features.state_dict(prefix='features.'))
    x = torch.randn(1, 3, 64, 96)
    early, last = backbone(x)
    assert last.equal(network.features(x))
    assert early.equal(network.features[:2](x))


@ARCHS
@pytest.mark.parametrize('output_stride', [8, 16])
def test_dilated_features_are_the_strided_ones_with_more_in_between(arch, output_stride):
    """What dilation is for, on a map without a border: the network of stride 32 sees every so-manieth value."""
    weights = randomised(arch).state_dict()
    maps = []
    x = torch.randn(1, 3, 256, 384)
    for stride in (output_stride, 32):
        backbone = DilatedMobileNet(arch, output_stride=stride).eval()
        backbone.load_state_dict(weights, strict=False)
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                module.padding_mode = 'circular'
                module._reversed_padding_repeated_twice = [side for side in module.padding for _ in range(2)]
            elif isinstance(module, SqueezeExcitation):  # takes the mean of the map, which is another one
                module.forward = lambda x: x
        with torch.no_grad():
            maps.append(backbone(x))
    for stride, dense, sparse in zip((4, 8, 16, 32), *maps, strict=True):
        step = max(stride // output_stride, 1)
        assert dense.shape[2] == sparse.shape[2] * step
        torch.testing.assert_close(dense[..., ::step, ::step], sparse, atol=1e-5, rtol=1e-4)


@ARCHS
def test_strides_channels_and_rates(arch):
    backbone = DilatedMobileNet(arch).eval()
    maps = backbone(torch.randn(1, 3, 65, 97))
    channels = {'v2': [24, 32, 96, 320], 'v3-large': [24, 40, 112, 160]}[arch]
    assert [tuple(each.shape[1:]) for each in maps] == [
        (c, *size) for c, size in zip(channels, [(17, 25), (9, 13), (9, 13), (9, 13)], strict=True)
    ]
    rates = [max(m.dilation[0] for m in layer.modules() if isinstance(m, nn.Conv2d)) for layer in backbone.features]
    first = {'v2': (7, 14), 'v3-large': (7, 13)}[arch]  # where torchvision goes to stride 16 and 32
    assert rates == [1 if n <= first[0] else 2 if n <= first[1] else 4 for n in range(len(rates))]


def test_dilate_by_hand():
    """Strides 2, 2, 2, 2 and kernels 3, 5, 3, 3 at output stride 4."""
    convs = nn.Sequential(*(nn.Conv2d(1, 1, k, stride=2, padding=k // 2) for k in (3, 5, 3, 3)), nn.Conv2d(1, 1, 5))
    dilate(convs, 4)
    assert [conv.stride[0] for conv in convs] == [2, 2, 1, 1, 1]
    assert [conv.dilation[0] for conv in convs] == [1, 1, 1, 2, 4]
    assert [conv.padding[0] for conv in convs] == [1, 2, 1, 2, 8]


def test_upstream_dilates_only_the_first_block_of_a_stage():
    """Why upstream's namesake is not used; drop this class when this fails."""
    from mmseg.models.backbones import MobileNetV2

    upstream = MobileNetV2(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4))
    blocks = [
        [m.dilation[0] for m in block.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        for block in upstream.layer4
    ]
    assert blocks == [[2], [1], [1], [1]]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='v4'), "arch='v4'"),
        (dict(output_stride=4), 'output_stride=4'),
        (dict(out_indices=(3, 19)), 'layers 0 to 18'),
        (dict(out_indices=()), 'out_indices'),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DilatedMobileNet(**settings)
