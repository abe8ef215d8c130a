"""Weights under semseg's names, proved by what the models of the configs compute from the converted ones."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mmext.common.weight_conversion import WeightsError
from mmext.segmentation.converters.semseg import DEPTHS, NO_AUXILIARY, convert_semseg

HERE = Path(__file__).parent
SEMSEG = SimpleNamespace(**runpy.run_path(str(HERE / 'semseg_reference.py')))
BASES = {'PSPNet': 'pspnet_r101-d8_semseg', 'PSANet': 'psanet_r101-d8'}

pytestmark = pytest.mark.usefixtures('in_root')


def build(network: str, mask_hw: tuple = (7, 7), **backbone):
    """The model of the config's base, a sixteenth as wide and of depth 50."""
    from mmseg.registry import MODELS

    cfg = Config.fromfile(f'configs/_base_/models/{BASES[network]}.py').model
    cfg.backbone.update(depth=50, base_channels=SEMSEG.BASE, stem_channels=SEMSEG.STEM, **backbone)
    cfg.decode_head.update(in_channels=SEMSEG.DEEP, channels=SEMSEG.HEAD, num_classes=SEMSEG.CLASSES)
    cfg.auxiliary_head.update(in_channels=SEMSEG.DEEP // 2, channels=SEMSEG.HEAD // 2, num_classes=SEMSEG.CLASSES)
    if network == 'PSANet':
        cfg.decode_head.mask_size = mask_hw
    return MODELS.build(cfg).eval()


def ours(model, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of both heads at the size of the image."""
    features = model.extract_feat(image)
    return tuple(SEMSEG.stretch(head(features), image.shape[2:]) for head in (model.decode_head, model.auxiliary_head))


@pytest.fixture(scope='module')
def image() -> torch.Tensor:
    return torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(('network', 'mask_hw'), [('PSPNet', (7, 7)), ('PSANet', (7, 7)), ('PSANet', (9, 13))])
@torch.no_grad()
def test_same_logits_as_the_original(network, mask_hw, image):
    """A map of 9 x 13 shrinks to 5 x 7: the first mask does not reach from end to end, the second does."""
    weights = SEMSEG.random_weights(SEMSEG.network_shapes(network, mask_hw))
    converted, report = convert_semseg(weights)
    assert (report.ok, report.layout, report.left_over, report.added) == (True, 'hszhao/semseg', [], [])
    model = build(network, mask_hw)
    model.load_state_dict(converted, strict=True)
    for got, expected in zip(ours(model, image), SEMSEG.logits(weights, image, mask_hw), strict=True):
        assert expected.std() > 0.5
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    main = SEMSEG.logits(weights, image, mask_hw)[0]
    torch.testing.assert_close(model.encode_decode(image, [dict(img_shape=(65, 97))]), main, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_customary_dilation_would_give_other_logits(image):
    """The setting of the base that is easily taken for a matter of taste."""
    weights = SEMSEG.random_weights(SEMSEG.network_shapes('PSPNet'))
    model = build('PSPNet', contract_dilation=True)
    model.load_state_dict(convert_semseg(weights)[0], strict=True)
    assert (ours(model, image)[0] - SEMSEG.logits(weights, image)[0]).abs().max() > 0.05


@torch.no_grad()
def test_upstream_head_would_give_other_logits(image):
    """The reason for a head of our own: upstream's takes the same weights."""
    from mmseg.registry import MODELS

    weights = SEMSEG.random_weights(SEMSEG.network_shapes('PSANet'))
    model = build('PSANet')
    settings = dict(type='PSAHead', mask_size=(7, 7), in_channels=SEMSEG.DEEP, channels=SEMSEG.HEAD)
    settings |= dict(num_classes=SEMSEG.CLASSES, in_index=3, norm_cfg=dict(type='BN'), align_corners=True)
    model.decode_head = MODELS.build(settings).eval()
    model.load_state_dict(convert_semseg(weights)[0], strict=True)
    assert (ours(model, image)[0] - SEMSEG.logits(weights, image)[0]).abs().max() > 0.05


@torch.no_grad()
def test_resnet_alone_fills_the_encoder(image):
    from mmseg.registry import MODELS

    weights = SEMSEG.random_weights(SEMSEG.resnet_shapes('alone') | {'fc.weight': (10, SEMSEG.DEEP), 'fc.bias': (10,)})
    converted, report = convert_semseg(weights)
    assert [(each.source, each.reason) for each in report.left_over] == [
        ('fc.weight', 'ImageNet classifier'),
        ('fc.bias', 'ImageNet classifier'),
    ]
    backbone = Config.fromfile('configs/_base_/models/pspnet_r101-d8_semseg.py').model.backbone
    backbone.update(depth=50, base_channels=SEMSEG.BASE, stem_channels=SEMSEG.STEM)
    model = MODELS.build(backbone)
    model.eval()  # returns None
    model.load_state_dict(converted, strict=True)
    expected = SEMSEG.resnet(weights, image, 'alone')
    for got, theirs in zip(model(image)[2:], expected, strict=True):
        torch.testing.assert_close(got, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('network', ['PSPNet', 'PSANet'])
def test_published_sizes_fit_the_config(network):
    """Every tensor of the published R101 finds its place of the same shape in the model of the config."""
    from mmseg.registry import MODELS

    cfg = Config.fromfile(f'configs/_base_/models/{BASES[network]}.py').model
    shapes = SEMSEG.network_shapes(network, (89, 89), base=64, blocks=DEPTHS[101], classes=19)
    with torch.device('meta'):
        target = MODELS.build(cfg).state_dict()
        converted, report = convert_semseg({name: torch.empty(shape) for name, shape in shapes.items()})
    assert (report.ok, report.arch, report.left_over) == (True, f'{network}-R101', [])
    assert {name: tensor.shape for name, tensor in converted.items()} == {k: v.shape for k, v in target.items()}
    assert [note for note in report.notes if '(89, 89)' in note] == (report.notes if network == 'PSANet' else [])


@pytest.mark.parametrize(('depth', 'blocks'), DEPTHS.items())
def test_published_depths_are_recognised(depth, blocks):
    shapes = SEMSEG.resnet_shapes('alone', base=64, blocks=blocks)
    _, report = convert_semseg({name: torch.empty(shape, device='meta') for name, shape in shapes.items()})
    assert (report.ok, report.arch) == (True, f'R{depth}')
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith('layer4.2.')}
    _, report = convert_semseg({name: torch.empty(shape, device='meta') for name, shape in shapes.items()})
    assert report.ok
    assert report.arch.startswith('custom')


@pytest.fixture
def psa() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in SEMSEG.network_shapes('PSANet').items()}


def test_every_source_tensor_is_listed_once(psa):
    psa['extra'] = torch.ones(1)
    _, report = convert_semseg(psa)
    listed = [name for each in report.renamed for name in each.sources] + report.matched
    assert sorted(listed + [each.source for each in report.left_over]) == sorted(psa)
    assert [each.source for each in report.left_over] == ['extra']


def test_file_without_auxiliary_head_says_so(psa):
    converted, report = convert_semseg({name: t for name, t in psa.items() if not name.startswith('aux.')})
    assert report.ok
    assert NO_AUXILIARY in report.notes
    assert not any(name.startswith('auxiliary_head.') for name in converted)


def test_counters_of_old_checkpoints_are_optional(psa):
    converted, report = convert_semseg({name: t for name, t in psa.items() if not name.endswith('tracked')})
    assert report.ok
    assert len(report.added) == sum(name.endswith('tracked') for name in converted) > 50
    assert converted['backbone.stem.1.num_batches_tracked'] == 0


@pytest.mark.parametrize(
    'lost', ['layer0.4.running_var', 'layer3.5.conv2.weight', 'psa.reduce_p.0.weight', 'cls.4.bias', 'aux.0.weight']
)
def test_any_lost_tensor_is_named(psa, lost):
    del psa[lost]
    _, report = convert_semseg(psa)
    assert [each.source for each in report.missing] == [lost]
    assert lost in report.error('f.pth')


@pytest.mark.parametrize(
    'wrong', ['layer1.0.conv1.weight', 'layer0.6.weight', 'cls.0.weight', 'psa.attention.3.weight']
)
def test_any_wrong_shape_is_named(psa, wrong):
    psa[wrong] = torch.ones(3, 3, 1, 1)
    _, report = convert_semseg(psa)
    assert wrong in [each.source for each in report.mismatched]


def test_lost_level_of_the_pyramid_does_not_pass():
    shapes = SEMSEG.network_shapes('PSPNet')
    weights = {name: torch.zeros(shape) for name, shape in shapes.items() if not name.startswith('ppm.features.3.')}
    _, report = convert_semseg(weights)
    assert not report.ok


@pytest.mark.parametrize(
    ('names', 'hint'),
    [
        (['conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight', 'layer4.0.conv1.weight'], '7x7'),
        (['backbone.stem.0.weight', 'decode_head.conv_seg.bias'], 'names of mmseg already'),
        (['layer0.0.weight', 'layer1.0.conv1.weight', 'cls.0.weight'], 'neither the pyramid'),
        (['features.0.0.weight', 'classifier.1.bias'], 'give a checkpoint of its PSPNet'),
    ],
)
def test_other_networks_are_refused_with_a_hint(names, hint):
    with pytest.raises(WeightsError, match=hint):
        convert_semseg({name: torch.ones(2) for name in names})
