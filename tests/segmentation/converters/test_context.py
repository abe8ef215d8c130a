"""Weights of other decoders give the same logits in `ContextHead`.

mmseg's heads are run themselves; the other layouts are compared with the formulas of the papers, written down below for
state dicts that carry the published names.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.common.weight_conversion import WeightsError
from mmext.segmentation.converters.context import convert_context_head
from mmext.segmentation.converters.context_layouts import LAYOUTS

CLASSES, BEFORE, LAST, WIDTH = 5, 6, 8, 4
SIZES = [(1, 9, 13), (2, 12, 7), (2, 5, 5)]
ON_THE_MAP_BEFORE = dict(in_channels=BEFORE, in_index=0, channels=3)
COMMON = dict(in_channels=LAST, in_index=1, channels=WIDTH, num_classes=CLASSES, norm_cfg=dict(type='BN'))
UPSTREAM = {
    'PSPHead': dict(type='PSPHead', pool_scales=(1, 2, 5)),
    'ASPPHead': dict(type='ASPPHead', dilations=(1, 3, 4)),
    'OCRHead': dict(type='OCRHead', ocr_channels=3),
}
OURS = {
    'PSPHead': dict(type='PyramidPooling', bins=(1, 2, 5)),
    'ASPPHead': dict(type='AtrousPyramid', rates=(1, 3, 4), image_pooling=True),
    'OCRHead': dict(type='ObjectContext', key_channels=3),
}


def build(settings: dict, **kwargs) -> nn.Module:
    """A module of the registry in eval mode, every weight and statistic random."""
    from mmseg.registry import MODELS

    module = MODELS.build(COMMON | settings | kwargs).eval()
    torch.manual_seed(0)
    for name, tensor in module.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.3)
    return module


def context_head(context: dict, **kwargs) -> nn.Module:
    return build(dict(type='ContextHead', context=context, auxiliary=ON_THE_MAP_BEFORE), **kwargs)


def maps(batch: int, height: int, width: int) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, channels, height, width) for channels in (BEFORE, LAST)]


def fill(head: nn.Module, weights: dict[str, Tensor]):
    converted, report = convert_context_head(weights, head.state_dict())
    assert report.ok, report.error('weights')
    head.load_state_dict(converted, strict=True)
    return report


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('name', list(UPSTREAM))
def test_heads_of_mmseg(name, align_corners):
    head = build(UPSTREAM[name], align_corners=align_corners)
    classifier = build(dict(type='FCNHead', num_convs=1, concat_input=False), **ON_THE_MAP_BEFORE)
    roots = ('decode_head.1.', 'decode_head.0.') if name == 'OCRHead' else ('decode_head.', 'auxiliary_head.')
    weights = head.state_dict(prefix=roots[0]) | classifier.state_dict(prefix=roots[1]) | {'backbone.w': torch.ones(1)}
    ours = context_head(OURS[name], align_corners=align_corners)
    report = fill(ours, weights)
    assert report.layout == f'mmseg {name}'
    assert (report.added, report.matched) == ([], [])
    assert [(each.source, each.reason) for each in report.left_over] == [('backbone.w', 'outside the decoder')]
    for size in SIZES:
        inputs = maps(*size)
        aux_logits = classifier(inputs)
        theirs = head(inputs, aux_logits) if name == 'OCRHead' else head(inputs)
        assert theirs.std() > 0.1
        torch.testing.assert_close(ours(inputs), theirs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.auxiliary(inputs), aux_logits, atol=1e-5, rtol=1e-5)


def test_bare_head_of_mmseg_without_classifier():
    head = build(UPSTREAM['PSPHead'])
    ours = build(dict(type='ContextHead', context=OURS['PSPHead']))
    assert ours.auxiliary is None
    fill(ours, head.state_dict())
    inputs = maps(2, 9, 13)
    torch.testing.assert_close(ours(inputs), head(inputs), atol=1e-5, rtol=1e-5)


class Weights(dict):
    """Random tensors under the names of a published layout, and the layers that read them."""

    def conv(self, name: str, outputs: int, inputs: int, kernel_size: int = 1, bias: bool = True) -> None:
        self[f'{name}.weight'] = (
            torch.randn(outputs, inputs, kernel_size, kernel_size) / (inputs * kernel_size**2) ** 0.5
        )
        if bias:
            self[f'{name}.bias'] = torch.randn(outputs)

    def norm(self, name: str, channels: int) -> None:
        for part in ('weight', 'bias', 'running_mean'):
            self[f'{name}.{part}'] = torch.randn(channels)
        self[f'{name}.running_var'] = torch.rand(channels) + 0.5

    def layer(self, conv: str, norm: str, outputs: int, inputs: int, kernel_size: int = 1, bias: bool = True) -> None:
        self.conv(conv, outputs, inputs, kernel_size, bias)
        self.norm(norm, outputs)

    def linear(self, conv: str, x: Tensor) -> Tensor:
        weight = self[f'{conv}.weight']
        return F.conv2d(x, weight, self.get(f'{conv}.bias'), padding=weight.shape[-1] // 2)

    def apply(self, conv: str, norm: str, x: Tensor) -> Tensor:
        """Convolution, batch norm with running statistics by its definition, ReLU."""
        mean, var, scale, shift = (
            self[f'{norm}.{part}'][:, None, None] for part in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return ((self.linear(conv, x) - mean) / (var + 1e-5).sqrt() * scale + shift).relu()


def semseg_weights() -> Weights:
    torch.manual_seed(3)
    weights = Weights()
    for n in range(4):
        weights.layer(f'ppm.features.{n}.1', f'ppm.features.{n}.2', LAST // 4, LAST, bias=False)
    weights.layer('cls.0', 'cls.1', WIDTH, 2 * LAST, 3, bias=False)
    weights.conv('cls.4', CLASSES, WIDTH)
    weights.layer('aux.0', 'aux.1', 3, BEFORE, 3, bias=False)
    weights.conv('aux.4', CLASSES, 3)
    return weights


def semseg_logits(weights: Weights, before: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    parts = [last]
    for n, bins in enumerate((1, 2, 3, 6)):
        pooled = F.adaptive_avg_pool2d(last, bins)
        pooled = weights.apply(f'ppm.features.{n}.1', f'ppm.features.{n}.2', pooled)
        parts.append(F.interpolate(pooled, last.shape[2:], mode='bilinear', align_corners=True))
    logits = weights.linear('cls.4', weights.apply('cls.0', 'cls.1', torch.cat(parts, 1)))
    return logits, weights.linear('aux.4', weights.apply('aux.0', 'aux.1', before))


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_pspnet_of_semseg(prefix):
    weights = semseg_weights()
    head = context_head(dict(type='PyramidPooling', channels=LAST // 4), align_corners=True)
    report = fill(
        head, {prefix + name: tensor for name, tensor in weights.items()} | {'layer0.0.weight': torch.ones(1)}
    )
    assert report.layout == 'hszhao/semseg PSPNet'
    assert [each.source for each in report.left_over] == ['layer0.0.weight']
    for size in SIZES:
        inputs = maps(*size)
        logits, aux_logits = semseg_logits(weights, *inputs)
        torch.testing.assert_close(head(inputs), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(head.auxiliary(inputs), aux_logits, atol=1e-5, rtol=1e-5)


class Ocr:
    """Names of one of the two repositories of OCR's authors."""

    def __init__(self, pixel, pixel_norm, attention, last, aux, aux_norm, bias) -> None:
        self.pixel, self.pixel_norm, self.last = pixel, pixel_norm, last
        self.aux, self.aux_norm, self.bias = aux, aux_norm, bias
        self.block = f'{attention}.object_context_block.'
        self.fuse = f'{attention}.conv_bn_dropout'

    def weights(self, key_channels: int, aux_inputs: int, aux_channels: int, aux_kernel: int) -> Weights:
        torch.manual_seed(4)
        weights = Weights()
        weights.layer(f'{self.pixel}.0', self.pixel_norm, WIDTH, LAST, 3)
        for part in ('f_pixel', 'f_object'):
            for n, inputs in ((0, WIDTH), (2, key_channels)):
                name = self.block + part
                weights.layer(f'{name}.{n}', f'{name}.{n + 1}.0', key_channels, inputs, bias=self.bias)
        for part, outputs, inputs in (('f_down', key_channels, WIDTH), ('f_up', WIDTH, key_channels)):
            weights.layer(f'{self.block}{part}.0', f'{self.block}{part}.1.0', outputs, inputs, bias=self.bias)
        weights.layer(f'{self.fuse}.0', f'{self.fuse}.1.0', WIDTH, 2 * WIDTH, bias=self.bias)
        weights.conv(self.last, CLASSES, WIDTH)
        weights.layer(f'{self.aux}.0', self.aux_norm, aux_channels, aux_inputs, aux_kernel)
        weights.conv(f'{self.aux}.3', CLASSES, aux_channels)
        return weights

    def logits(self, weights: Weights, aux_input: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The paper's equations 8 to 12, region by region and pixel by pixel through einsum."""

        def transform(part: str, x: Tensor, numbers=(0, 2)) -> Tensor:
            for n in numbers:
                x = weights.apply(f'{self.block}{part}.{n}', f'{self.block}{part}.{n + 1}.0', x)
            return x

        aux_logits = weights.linear(f'{self.aux}.3', weights.apply(f'{self.aux}.0', self.aux_norm, aux_input))
        pixels = weights.apply(f'{self.pixel}.0', self.pixel_norm, last)
        shares = aux_logits.exp() / aux_logits.exp().sum((2, 3), keepdim=True)
        regions = torch.einsum('bkhw,bchw->bck', shares, pixels)[..., None]
        query, key = transform('f_pixel', pixels), transform('f_object', regions)[..., 0]
        similarity = (torch.einsum('bqhw,bqk->bkhw', query, key) / query.shape[1] ** 0.5).exp()
        value = transform('f_down', regions, numbers=(0,))[..., 0]
        context = torch.einsum('bkhw,bqk->bqhw', similarity / similarity.sum(1, keepdim=True), value)
        context = transform('f_up', context, numbers=(0,))
        fused = weights.apply(f'{self.fuse}.0', f'{self.fuse}.1.0', torch.cat([context, pixels], 1))
        return weights.linear(self.last, fused), aux_logits


OPENSEG = Ocr('conv_3x3', 'conv_3x3.1.0', 'spatial_ocr_head', 'head', 'dsn_head', 'dsn_head.1.0', bias=True)
HRNET = Ocr('conv3x3_ocr', 'conv3x3_ocr.1', 'ocr_distri_head', 'cls_head', 'aux_head', 'aux_head.1', bias=False)


def test_ocr_of_openseg():
    weights = OPENSEG.weights(3, aux_inputs=BEFORE, aux_channels=3, aux_kernel=3)
    head = context_head(dict(type='ObjectContext', key_channels=3))
    report = fill(head, {f'module.{name}': tensor for name, tensor in weights.items()})
    assert (report.layout, report.left_over) == ('openseg.pytorch SpatialOCRNet', [])
    # Nine biases in front of a batch norm, none of them lost; a counter for each norm.
    assert sum('minus the bias' in each.note for each in report.renamed) == len(report.added) == 9
    for size in SIZES:
        inputs = maps(*size)
        logits, aux_logits = OPENSEG.logits(weights, *inputs)
        torch.testing.assert_close(head(inputs), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(head.auxiliary(inputs), aux_logits, atol=1e-5, rtol=1e-5)


def test_ocr_of_hrnet():
    """Its classifier is a 1x1 convolution of full width on the same features."""
    weights = HRNET.weights(2, aux_inputs=LAST, aux_channels=LAST, aux_kernel=1)
    head = context_head(dict(type='ObjectContext'), auxiliary=dict(kernel_size=1, channels=LAST))
    report = fill(head, weights)
    assert (report.layout, report.left_over) == ('HRNet-Semantic-Segmentation OCR', [])
    for size in SIZES:
        inputs = maps(*size)
        logits, aux_logits = HRNET.logits(weights, inputs[1], inputs[1])
        torch.testing.assert_close(head(inputs), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(head.auxiliary(inputs), aux_logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('lost', ['ppm.features.2.1.weight', 'cls.1.running_var', 'aux.4.bias'])
def test_lost_tensor_is_named(lost):
    weights = semseg_weights()
    del weights[lost]
    head = context_head(dict(type='PyramidPooling', channels=LAST // 4))
    _, report = convert_context_head(weights, head.state_dict())
    assert [each.source for each in report.missing] == [lost]


def test_other_widths_are_named():
    head = context_head(dict(type='PyramidPooling', channels=WIDTH + 1))
    _, report = convert_context_head(semseg_weights(), head.state_dict())
    assert 'ppm.features.0.1.weight' in [each.source for each in report.mismatched]


def test_another_context_is_refused():
    head = context_head(dict(type='ObjectContext'))
    with pytest.raises(WeightsError, match=r"semseg PSPNet has no counterpart of 'context\.pixel.*PyramidPooling"):
        convert_context_head(semseg_weights(), head.state_dict())
    plain = context_head(dict(type='AtrousPyramid', rates=(1, 3, 4)))
    _, report = convert_context_head(build(UPSTREAM['ASPPHead']).state_dict(), plain.state_dict())
    assert not report.ok  # three input blocks of the fusing convolution instead of four


def test_other_networks_are_refused():
    with pytest.raises(WeightsError, match='named as in a known decoder'):
        convert_context_head({'layer1.0.conv1.weight': torch.ones(1)}, {})


def test_layouts_have_one_marker_each():
    assert len({layout.marker for layout in LAYOUTS}) == len(LAYOUTS) == 6
