"""FixedPaddingMobileNetV2; its numbers are proved in tests/segmentation/converters/test_deep_lab_v3_plus.py."""

import pytest
import torch

from mmext.segmentation.models.backbones.fixed_padding_mobile_net_v2 import FixedPaddingMobileNetV2, block_settings


@pytest.mark.parametrize(
    ('output_stride', 'strides', 'dilations'),
    [
        (32, [2, 2, 2, 2], [1] * 17),
        (16, [2, 2, 2], [1] * 14 + [2] * 3),
        # stage 4 gives its stride up first: its first block keeps dilation 1
        (8, [2, 2], [1] * 7 + [2] * 7 + [4] * 3),
    ],
)
def test_blocks_by_hand(output_stride, strides, dilations):
    settings = block_settings(output_stride)
    assert [width for _, width, _, _ in settings] == (
        [16] + 2 * [24] + 3 * [32] + 4 * [64] + 3 * [96] + 3 * [160] + [320]
    )
    assert [stride for _, _, stride, _ in settings if stride > 1] == strides
    assert [dilation for _, _, _, dilation in settings] == dilations


@pytest.mark.parametrize(('output_stride', 'size'), [(8, (12, 16)), (16, (6, 8)), (32, (3, 4))])
@torch.no_grad()
def test_sizes_of_the_maps(output_stride, size):
    """The stem does not pad: 97 and 129 give 48 and 64, so the map of a quarter is 24 x 32."""
    low, high = FixedPaddingMobileNetV2(output_stride).eval()(torch.rand(1, 3, 97, 129))
    assert low.shape == (1, 24, 24, 32)
    assert high.shape == (1, 320, *size)


def test_imagenet_file_of_torchvision_fits(tmp_path):
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    published = mobilenet_v2(weights=None).state_dict()
    torch.save(published, tmp_path / 'mobilenet_v2.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'mobilenet_v2.pth'))
    model = FixedPaddingMobileNetV2(init_cfg=init_cfg)
    model.init_weights()
    own = model.state_dict()
    assert all(torch.equal(tensor, published[name]) for name, tensor in own.items())
    left = {name.split('.')[0] + '.' + name.split('.')[1] for name in published if name not in own}
    assert left == {'features.18', 'classifier.1'}


def test_batch_norm_follows_its_setting():
    model = FixedPaddingMobileNetV2(norm_cfg=dict(type='BN', momentum=0.01))
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.01}


def test_every_parameter_learns():
    model = FixedPaddingMobileNetV2().train()
    sum(out.square().mean() for out in model(torch.rand(2, 3, 65, 65))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_unknown_stride_is_refused():
    with pytest.raises(ValueError, match='output_stride=4'):
        FixedPaddingMobileNetV2(output_stride=4)


def test_registry_builds_it():
    from mmseg.registry import MODELS

    assert isinstance(MODELS.build(dict(type='FixedPaddingMobileNetV2', output_stride=8)), FixedPaddingMobileNetV2)
