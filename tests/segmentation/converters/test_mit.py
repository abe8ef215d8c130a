"""SegFormer weights in other layouts, proved by what mmseg's model computes from the converted ones.

Two independent implementations: Hugging Face's, whose outputs are stored (make_hf_golden.py wrote them), and the
authors' forward pass, written from the paper with bare functions in nvlabs_reference.py.
"""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import mmseg.models
import pytest
import torch
from mmseg.registry import MODELS
from safetensors import safe_open

from mmext.common.weight_conversion import WeightsError
from mmext.segmentation.converters.mit import convert_mit
from mmext.segmentation.converters.mit_layouts import LAYOUTS, MMSEG, NVLABS
from mmext.segmentation.converters.mit_sizes import ARCHS, NUM_HEADS, MitSizes

assert mmseg.models  # imported for the models it registers
HERE = Path(__file__).parent
GOLDEN = runpy.run_path(str(HERE / 'make_hf_golden.py'))
AUTHORS = SimpleNamespace(**runpy.run_path(str(HERE / 'nvlabs_reference.py')))
TINY = MitSizes(dims=(4, 8, 20, 32), depths=(1, 2, 1, 1))
CLASSES, HEAD_WIDTH = AUTHORS.CLASSES, AUTHORS.HEAD_WIDTH


def fill(shapes: dict[str, tuple]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(GOLDEN['weight'](name, shape)) for name, shape in shapes.items()}


def mmseg_backbone(sizes: MitSizes, eps: float = 1e-6):
    config = dict(type='MixVisionTransformer', embed_dims=sizes.dims[0], num_layers=sizes.depths, num_heads=NUM_HEADS)
    return MODELS.build(dict(config, norm_cfg=dict(type='LN', eps=eps))).eval()


def mmseg_head(sizes: MitSizes, **kwargs):
    config = dict(type='SegformerHead', in_channels=list(sizes.dims), in_index=[0, 1, 2, 3], channels=HEAD_WIDTH)
    return MODELS.build(dict(config, num_classes=CLASSES, norm_cfg=dict(type='BN'), **kwargs)).eval()


def with_epsilons_of_the_authors(model):
    """mmseg has one epsilon for all layer norms, the authors leave torch's default in two places."""
    for name, module in model.named_modules():
        if name.endswith(('.0.norm', 'attn.norm')):
            module.eps = 1e-5
    return model


def part(state_dict: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): tensor for name, tensor in state_dict.items() if name.startswith(prefix)}


@pytest.fixture(scope='module')
def image() -> torch.Tensor:
    return torch.from_numpy(GOLDEN['image']())


@pytest.fixture(scope='module')
def hugging_face() -> tuple[dict, dict]:
    """Weights under the published names, and what Hugging Face's model computes from them."""
    with safe_open(HERE / 'hf_segformer_tiny.safetensors', 'pt') as file:
        shapes = {name: tuple(shape) for name, shape in json.loads(file.metadata()['shapes']).items()}
        return fill(shapes), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture
def backbone() -> dict[str, torch.Tensor]:
    return fill(AUTHORS.backbone_shapes(TINY))


@pytest.fixture
def whole() -> dict[str, torch.Tensor]:
    shapes = {f'backbone.{name}': shape for name, shape in AUTHORS.backbone_shapes(TINY).items()}
    return fill(shapes | {f'decode_head.{name}': shape for name, shape in AUTHORS.head_shapes(TINY).items()})


def test_authors_backbone_gives_the_authors_features(backbone, image):
    converted, report = convert_mit(backbone)
    assert report.ok
    assert (report.layout, report.left_over, report.added) == ('NVlabs', [], [])
    model = with_epsilons_of_the_authors(mmseg_backbone(TINY))
    model.load_state_dict(converted, strict=True)
    with torch.no_grad():
        features = model(image)
    for ours, theirs in zip(features, AUTHORS.features(backbone, image, TINY), strict=True):
        assert theirs.std() > 0.5
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_authors_model_gives_the_authors_logits(whole, image):
    converted, report = convert_mit(whole)
    assert report.ok
    assert any('act_cfg=None' in note for note in report.notes)
    assert sorted(each.source for each in report.left_over) == [
        'decode_head.conv_seg.bias',
        'decode_head.conv_seg.weight',
    ]
    model, head = with_epsilons_of_the_authors(mmseg_backbone(TINY)), mmseg_head(TINY, act_cfg=None)
    model.load_state_dict(part(converted, 'backbone.'), strict=True)
    head.load_state_dict(part(converted, 'decode_head.'), strict=True)
    theirs = AUTHORS.logits(part(whole, 'decode_head.'), AUTHORS.features(part(whole, 'backbone.'), image, TINY))
    with torch.no_grad():
        ours = head(model(image))
        with_relu = mmseg_head(TINY)
        with_relu.load_state_dict(part(converted, 'decode_head.'), strict=True)
        others = with_relu(model(image))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    # The warning in the report is not idle: with mmseg's default activation the logits are others.
    assert (others - theirs).abs().max() > 0.05


def test_hugging_face_model_gives_the_same_features_and_logits(hugging_face, image):
    weights, expected = hugging_face
    converted, report = convert_mit(weights)
    assert report.ok
    assert (report.layout, report.left_over) == ('Hugging Face', [])
    model, head = mmseg_backbone(TINY, eps=1e-5), mmseg_head(TINY, act_cfg=None)
    model.load_state_dict(part(converted, 'backbone.'), strict=True)
    head.load_state_dict(part(converted, 'decode_head.'), strict=True)
    with torch.no_grad():
        features = model(image)
        logits = head(features)
    for n, feature in enumerate(features, 1):
        torch.testing.assert_close(feature, expected[f'stage{n}'], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, expected['logits'], atol=1e-5, rtol=1e-4)


def test_default_epsilon_of_mmseg_changes_little(hugging_face, image):
    """Only tokens of tiny variance notice, and with four channels there are many; under a thousandth on average."""
    weights, expected = hugging_face
    converted, _ = convert_mit(weights)
    model = mmseg_backbone(TINY)
    model.load_state_dict(part(converted, 'backbone.'), strict=True)
    with torch.no_grad():
        for n, feature in enumerate(model(image), 1):
            assert (feature - expected[f'stage{n}']).abs().mean() < 1e-3 * expected[f'stage{n}'].std()


def test_names_of_newer_transformers_give_the_same_weights(hugging_face):
    weights, _ = hugging_face
    renames = [
        (r'encoder.patch_embeddings.{i}.', 'stages.{i}.patch_embeddings.'),
        (r'encoder.block.{i}.', 'stages.{i}.blocks.'),
        (r'encoder.layer_norm.{i}.', 'stages.{i}.layer_norm.'),
        ('attention.self.query', 'attention.q_proj'),
        ('attention.self.key', 'attention.k_proj'),
        ('attention.self.value', 'attention.v_proj'),
        ('attention.self.sr', 'attention.sequence_reduction.sequence_reduction'),
        ('attention.self.layer_norm', 'attention.sequence_reduction.layer_norm'),
        ('attention.output.dense', 'attention.o_proj'),
        ('mlp.dense', 'mlp.fc'),
        ('layer_norm_1', 'layernorm_before'),
        ('layer_norm_2', 'layernorm_after'),
        ('decode_head.linear_c.', 'decode_head.linear_projections.'),
    ]
    renamed = {}
    for name, tensor in weights.items():
        for old, new in renames:
            for i in range(4):
                name = name.replace(old.format(i=i), new.format(i=i))
        renamed[name] = tensor
    converted, report = convert_mit(renamed)
    expected, _ = convert_mit(weights)
    assert (report.ok, report.layout, report.left_over) == (True, 'Hugging Face (in memory)', [])
    assert {name: tensor.sum() for name, tensor in converted.items()} == {k: v.sum() for k, v in expected.items()}


@pytest.mark.parametrize('arch', sorted(ARCHS))
def test_rules_ask_for_exactly_the_tensors_of_mmseg(arch):
    """mmseg's own state dict passes through unchanged, and its architecture is recognised."""
    weights = mmseg_backbone(MitSizes.of_arch(arch)).state_dict()
    converted, report = convert_mit(weights)
    assert (report.ok, report.layout, report.arch) == (True, 'mmseg', arch)
    assert sorted(report.matched) == sorted(weights)
    assert (report.renamed, report.left_over, report.added) == ([], [], [])
    assert all(converted[name] is tensor for name, tensor in weights.items())


def test_converting_twice_changes_nothing(whole):
    once, _ = convert_mit(whole)
    twice, report = convert_mit(once)
    assert report.ok
    assert (sorted(report.matched), report.notes) == (sorted(once), [])
    assert all(torch.equal(twice[name], once[name]) for name in once)


def test_fused_convolution_is_permuted_by_hand(whole):
    weight = torch.arange(4 * HEAD_WIDTH).expand(HEAD_WIDTH, -1)[:, :, None, None].float()
    whole['decode_head.linear_fuse.conv.weight'] = weight
    converted, _ = convert_mit(whole)
    row = converted['decode_head.fusion_conv.conv.weight'][0, :, 0, 0].int().tolist()
    assert row == [*range(18, 24), *range(12, 18), *range(6, 12), *range(6)]


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'model.encoder_q.'])
def test_prefixes_of_a_backbone_alone(backbone, prefix):
    converted, report = convert_mit({prefix + name: tensor for name, tensor in backbone.items()})
    expected, _ = convert_mit(backbone)
    assert report.ok
    assert sorted(converted) == sorted(expected)


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_name_the_same_parts(layout):
    projection = {'attention'} if layout is MMSEG else set(layout.in_proj)
    ours = set(layout.parts) - projection - {'project_norm'}
    assert ours == set(NVLABS.parts) - set(NVLABS.in_proj)
    assert sum(layout.in_proj.values()) in (0, 3)


def test_imagenet_head_is_left_over_by_name(backbone):
    backbone |= {'head.weight': torch.ones(1000, 32), 'head.bias': torch.ones(1000)}
    _, report = convert_mit(backbone)
    assert report.ok
    assert [(each.source, each.reason) for each in report.left_over] == [
        ('head.weight', 'ImageNet classifier'),
        ('head.bias', 'ImageNet classifier'),
    ]


def test_every_source_tensor_is_listed_once(whole):
    _, report = convert_mit(whole)
    listed = [name for each in report.renamed for name in each.sources] + report.matched
    assert sorted(listed + [each.source for each in report.left_over]) == sorted(whole)


@pytest.mark.parametrize(
    'lost',
    ['patch_embed1.proj.weight', 'block2.1.attn.kv.bias', 'block1.0.attn.sr.weight', 'norm4.bias', 'norm1.weight'],
)
def test_any_lost_tensor_is_named(backbone, lost):
    del backbone[lost]
    _, report = convert_mit(backbone)
    if lost == 'block1.0.attn.sr.weight':  # without a published size to hold it against, the stage has no reduction
        assert 'block1.0.attn.sr.bias' in [each.source for each in report.left_over]
    else:
        assert [each.source for each in report.missing] == [lost]
        assert lost in report.error('f.pth')


@pytest.mark.parametrize('lost', ['linear_pred.weight', 'linear_c3.proj.bias', 'linear_fuse.bn.running_var'])
def test_any_lost_tensor_of_the_head_is_named(whole, lost):
    del whole[f'decode_head.{lost}']
    _, report = convert_mit(whole)
    assert [each.source for each in report.missing] == [f'decode_head.{lost}']


def test_counter_of_old_checkpoints_is_optional(whole):
    del whole['decode_head.linear_fuse.bn.num_batches_tracked']
    converted, report = convert_mit(whole)
    assert report.ok
    assert converted['decode_head.fusion_conv.bn.num_batches_tracked'] == 0


def test_lost_tensor_of_a_published_architecture():
    weights = {name: torch.empty(shape) for name, shape in AUTHORS.backbone_shapes(MitSizes.of_arch('b0')).items()}
    del weights['block1.0.attn.sr.weight']
    _, report = convert_mit(weights)
    assert report.arch == 'b0'
    assert 'block1.0.attn.sr.weight' in report.error('f.pth')
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith('block4.1.')}
    _, report = convert_mit(weights, 'b0')
    assert sum(each.source.startswith('block4.1.') for each in report.missing) == 2 * 8  # stage 4 reduces nothing


@pytest.mark.parametrize('wrong', ['norm2.weight', 'block3.0.attn.q.weight', 'patch_embed4.proj.weight'])
def test_wrong_shape_is_named(backbone, wrong):
    backbone[wrong] = torch.ones(7, 7)
    _, report = convert_mit(backbone)
    assert [each.source for each in report.mismatched] == [wrong]
    assert f'{wrong!r} has shape (7, 7)' in report.error('f.pth')


def test_wrong_architecture_given(backbone):
    _, report = convert_mit(backbone, 'b2')
    assert not report.ok
    assert 'b2 needs' in report.error('f.pth')
    with pytest.raises(WeightsError, match="unknown architecture 'b9'"):
        convert_mit(backbone, 'b9')


@pytest.mark.parametrize('names', [['layer1.0.conv1.weight', 'fc.bias'], ['blocks.0.attn.qkv.weight', 'pos_embed']])
def test_other_networks_are_refused(names):
    with pytest.raises(WeightsError, match='is named as in a SegFormer'):
        convert_mit({name: torch.ones(2) for name in names})


def test_stage_that_is_gone_altogether(backbone):
    rest = {name: tensor for name, tensor in backbone.items() if '4' not in name.split('.')[0]}
    with pytest.raises(WeightsError, match='stage 4'):
        convert_mit(rest)
    _, report = convert_mit(rest, 'b0')
    assert any(each.source == 'patch_embed4.proj.weight' for each in report.missing)
