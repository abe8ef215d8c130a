"""Weights under VainF's names, proved by what the model of the config computes from the converted ones."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from mmext.common.weight_conversion import WeightsError
from mmext.segmentation.converters.deep_lab_v3_plus import convert_deep_lab_v3_plus

VAINF = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / 'deep_lab_reference.py')))

pytestmark = pytest.mark.usefixtures('in_root')


@pytest.fixture(scope='module')
def weights() -> dict[str, torch.Tensor]:
    return VAINF.random_weights(VAINF.network_shapes())


def build():
    from mmseg.registry import MODELS

    return MODELS.build(Config.fromfile('configs/_base_/models/deeplabv3plus_mobilenet-v2.py').model).eval()


def in_double(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


@pytest.mark.parametrize('size', [(97, 129), (96, 128)])
@torch.no_grad()
def test_same_logits_as_the_original(weights, size):
    """In double precision: 50 layers of random weights amplify rounding to 1e-4 in single."""
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()
    weights = in_double(weights)
    converted, report = convert_deep_lab_v3_plus(weights)
    assert (report.ok, report.layout, report.left_over) == (True, 'VainF/DeepLabV3Plus-Pytorch', [])
    model = build().double()
    model.load_state_dict(converted, strict=True)
    expected = VAINF.logits(weights, image)
    assert expected.std() > 0.3
    got = model.encode_decode(image, [dict(img_shape=size)])
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-9)
    for ours, theirs in zip(model.extract_feat(image), VAINF.features(weights, image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_upstream_backbone_differs_along_the_borders_and_in_dilation(weights):
    """The reason for a backbone of our own; upstream's takes the same weights, and the image padded by one pixel gives
    maps of the same size."""
    from mmseg.registry import MODELS

    settings = dict(strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2), out_indices=(1, 6))
    upstream = MODELS.build(dict(type='MobileNetV2', **settings)).double()
    ours = build().backbone.double()
    converted, _ = convert_deep_lab_v3_plus(in_double(weights))
    ours.load_state_dict({name.removeprefix('backbone.'): t for name, t in converted.items() if 'backbone.' in name})
    # Both list their tensors in the order of the forward pass.
    upstream.load_state_dict(dict(zip(upstream.state_dict(), ours.state_dict().values(), strict=True)))
    ours.eval(), upstream.eval()
    image = torch.randn(1, 3, 97, 129, generator=torch.Generator().manual_seed(1)).double()
    low, high = ours(F.pad(image, (1, 1, 1, 1)))
    other_low, other_high = upstream(image)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(low[inner], other_low[inner], atol=1e-9, rtol=1e-9)
    assert (low - other_low).abs().max() > 0.05
    assert (high - other_high).abs().max() > 0.05


def test_any_number_of_classes():
    shapes = VAINF.network_shapes(classes=21)
    converted, report = convert_deep_lab_v3_plus({name: torch.zeros(shape) for name, shape in shapes.items()})
    assert report.ok
    assert converted['decode_head.conv_seg.weight'].shape == (21, 256, 1, 1)


def test_output_stride_is_noted(weights):
    _, report = convert_deep_lab_v3_plus(weights)
    assert 'os16 or os8' in report.notes[0]


def test_every_source_tensor_is_listed_once(weights):
    source = weights | {'extra': torch.ones(1)}
    converted, report = convert_deep_lab_v3_plus(source)
    listed = [name for each in report.renamed for name in each.sources] + report.matched
    assert sorted(listed + [each.source for each in report.left_over]) == sorted(source)
    assert len(converted) == len(weights)


@pytest.mark.parametrize(
    'lost',
    [
        'backbone.low_level_features.0.0.weight',
        'backbone.high_level_features.17.conv.3.bias',
        'classifier.aspp.convs.4.1.weight',
        'classifier.project.1.running_mean',
        'classifier.classifier.3.bias',
    ],
)
def test_any_lost_tensor_is_named(weights, lost):
    _, report = convert_deep_lab_v3_plus({name: tensor for name, tensor in weights.items() if name != lost})
    assert [each.source for each in report.missing] == [lost]
    assert lost in report.error('f.pth')


@pytest.mark.parametrize('wrong', ['backbone.high_level_features.9.conv.1.0.weight', 'classifier.classifier.0.weight'])
def test_any_wrong_shape_is_named(weights, wrong):
    _, report = convert_deep_lab_v3_plus(weights | {wrong: torch.ones(3, 3)})
    assert [each.source for each in report.mismatched] == [wrong]


@pytest.mark.parametrize(
    ('names', 'hint'),
    [
        (['backbone.low_level_features.0.0.weight', 'classifier.classifier.0.convs.0.0.weight'], 'other networks'),
        (['backbone.low_level_features.0.0.weight', 'classifier.aspp.convs.1.0.body.0.weight'], 'other networks'),
        (['backbone.conv1.weight', 'backbone.layer4.0.conv1.weight'], 'a ResNet or HRNet'),
        (['backbone.features.0.0.weight', 'decode_head.conv_seg.bias'], 'names of this package already'),
        (['features.0.0.weight', 'classifier.1.bias'], 'give a checkpoint of its deeplabv3plus_mobilenet'),
    ],
)
def test_other_networks_are_refused_with_a_hint(names, hint):
    with pytest.raises(WeightsError, match=hint):
        convert_deep_lab_v3_plus({name: torch.ones(2) for name in names})
