"""ViT weights in other layouts, proved by what mmpretrain's model computes from the converted ones.

The other side is written out in vit_reference.py; torchvision's is the library's own.
"""

import ast
import runpy
from pathlib import Path
from types import SimpleNamespace

import mmpretrain.models
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from mmext.classification.converters.npz import read_weights
from mmext.classification.converters.vit import convert_vit
from mmext.classification.converters.vit_layouts import GOOGLE, HUGGING_FACE, IMAGENET, JAX
from mmext.classification.converters.vit_sizes import ARCHS, VitSizes
from mmext.common.weight_conversion import WeightsError

assert mmpretrain.models  # imported for the models it registers
REF = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / 'vit_reference.py')))
IMAGES = torch.rand(2, 3, REF.PX, REF.PX, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """Other toolboxes have a VisionTransformer too, and the default scope is one for the whole process."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def timm() -> dict[str, torch.Tensor]:
    return REF.fill(REF.timm_shapes())


def configs(report) -> dict:
    """The configs that the notes name."""
    found = [note.removeprefix('Config: ').partition('=') for note in report.notes if note.startswith('Config: ')]
    return {part: ast.literal_eval(value) for part, _, value in found}


def build(report, **backbone):
    """mmpretrain's classifier of the config in the notes."""
    config = configs(report)
    config['backbone'] |= backbone
    return MODELS.build(dict(type='ImageClassifier', **config)).eval()


def logits(converted, report, images=IMAGES, **backbone) -> torch.Tensor:
    model = build(report, **backbone)
    model.load_state_dict(converted, strict=True)
    with torch.no_grad():
        return model.head(model.extract_feat(images))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return theirs.std() > 0.1 and torch.allclose(ours, theirs, rtol=0, atol=1e-5 * max(1.0, float(theirs.abs().max())))


def jax_logits(weights: dict) -> torch.Tensor:
    arrays = {name.removeprefix('opt/target/'): tensor.numpy() for name, tensor in weights.items()}
    return torch.from_numpy(REF.jax_forward(arrays, IMAGES.permute(0, 2, 3, 1).numpy())).float()


@pytest.mark.parametrize('options', [{}, {'distilled': True}, {'representation': 7}], ids=str)
def test_timm(options):
    source = REF.fill(REF.timm_shapes(**options))
    converted, report = convert_vit(source, num_heads=REF.HEADS)
    assert (report.ok, report.layout) == (True, 'timm')
    assert close(logits(converted, report), REF.timm_forward(source, IMAGES))


@pytest.mark.parametrize(('prefix', 'distilled'), [('vit.', False), ('deit.', True)])
def test_hugging_face(prefix, distilled):
    source = REF.fill(REF.hugging_face_shapes(prefix, distilled))
    converted, report = convert_vit(source, num_heads=REF.HEADS)
    assert (report.ok, report.layout) == (True, 'Hugging Face')
    assert close(logits(converted, report, **HUGGING_FACE.exact), REF.hugging_face_forward(source, IMAGES))
    assert close(logits(converted, report), REF.hugging_face_forward(source, IMAGES, eps=1e-6))
    assert any(str(dict(HUGGING_FACE.exact)) in note for note in report.notes)


@pytest.mark.parametrize(('prefix', 'representation'), [('', 0), ('opt/target/', 0), ('', 7)])
def test_npz_of_the_authors(tmp_path, prefix, representation):
    shapes = REF.jax_shapes(prefix, representation)
    np.savez(tmp_path / 'B_16.npz', **{name: REF.random_array(name, shape) for name, shape in shapes.items()})
    source = read_weights(tmp_path / 'B_16.npz')
    converted, report = convert_vit(source)
    assert (report.ok, report.layout) == (True, 'google-research (npz)')
    assert configs(report)['backbone']['arch']['num_heads'] == REF.HEADS
    wanted = jax_logits(source)
    assert close(logits(converted, report, **JAX.exact), wanted)
    # With the exact GELU: other numbers, but near.
    difference = (logits(converted, report) - wanted).abs().max()
    assert 1e-5 < difference < 0.02
    assert any(GOOGLE in note for note in report.notes)


@pytest.mark.parametrize('published', [False, True])
def test_torchvision(published):
    """The published files have the names of an older version in the MLPs."""
    torch.manual_seed(0)
    sizes = dict(image_size=REF.PX, patch_size=REF.PATCH, num_layers=2, num_heads=REF.HEADS, hidden_dim=REF.WIDTH)
    model = VisionTransformer(**sizes, mlp_dim=REF.HIDDEN, num_classes=REF.CLASSES).eval()
    model.load_state_dict(REF.fill({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}))
    source = dict(model.state_dict())
    if published:
        source = {n.replace('mlp.0.', 'mlp.linear_1.').replace('mlp.3.', 'mlp.linear_2.'): t for n, t in source.items()}
    converted, report = convert_vit(source, num_heads=REF.HEADS)
    assert (report.ok, report.layout) == (True, 'torchvision')
    with torch.no_grad():
        assert close(logits(converted, report), model(IMAGES))
    assert any(IMAGENET in note for note in report.notes)


def test_every_tensor_is_accounted_for(timm):
    extra = {'mask_token': torch.ones(1, 1, 12), 'decoder_blocks.0.norm1.weight': torch.ones(4)}
    for source, renamed, left in [
        (timm | extra, len(timm), 2),
        # Query, key and value become one: twice 3 into 1 per block.
        (REF.fill(REF.hugging_face_shapes()) | {'vit.pooler.dense.bias': torch.ones(12)}, len(timm), 1),
        (REF.fill(REF.jax_shapes()), len(timm), 0),
    ]:
        converted, report = convert_vit(source)
        used = [name for entry in report.renamed for name in entry.sources] + report.matched
        rest = [entry.source for entry in report.left_over]
        assert sorted(used + rest) == sorted(source)
        assert (len(report.renamed), len(rest), report.added) == (renamed, left, [])
        assert sorted(converted) == sorted(entry.target for entry in report.renamed)
        assert all(entry.reason != 'the architecture has no such tensor' for entry in report.left_over)


def test_values_that_only_change_their_names_are_the_same_bits(timm):
    converted, _ = convert_vit(timm, img_size=REF.PX)
    for old, new in [('pos_embed', 'pos_embed'), ('blocks.1.mlp.fc2.bias', 'layers.1.ffn.layers.1.bias')]:
        assert torch.equal(converted[f'backbone.{new}'], timm[old])


@pytest.mark.parametrize('distilled', [False, True])
@pytest.mark.parametrize('grid', [2, 5])
def test_resized_positions(grid, distilled):
    source = REF.fill(REF.timm_shapes(distilled))
    extra = 2 if distilled else 1
    converted, report = convert_vit(source, img_size=grid * REF.PATCH, num_heads=REF.HEADS)
    theirs, ours = source['pos_embed'], converted['backbone.pos_embed']
    assert torch.equal(ours[:, :extra], theirs[:, :extra])
    picture = theirs[:, extra:].reshape(1, REF.GRID, REF.GRID, -1).permute(0, 3, 1, 2)
    wanted = F.interpolate(picture, size=(grid, grid), mode='bicubic', align_corners=False)
    assert torch.equal(ours[:, extra:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2), wanted)
    assert report.counts['left_over'] == 0
    assert [e.note for e in report.renamed + report.added if 'resize' in e.note] == [
        f'resize 3x3 positions to {grid}x{grid}, bicubic'
    ]
    model = build(report)
    model.load_state_dict(converted, strict=True)
    # mmpretrain does the same when it loads the small grid: nobody needs the option to train.
    unresized = convert_vit(source, num_heads=REF.HEADS)[0]
    other = build(report)
    other.load_state_dict(unresized, strict=True)
    assert torch.equal(model.backbone.pos_embed, other.backbone.pos_embed)


def test_constant_positions_stay_constant(timm):
    """Bicubic weights sum to 1."""
    source = timm | {'pos_embed': torch.full_like(timm['pos_embed'], 0.7)}
    converted, _ = convert_vit(source, img_size=7 * REF.PATCH)
    assert torch.allclose(converted['backbone.pos_embed'], torch.tensor(0.7), atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'reason', 'prefix'),
    [
        ({'drop_head': True}, 'classifier, left out on request', 'backbone.'),
        ({'num_classes': 2}, 'classifier of 5 classes, 2 are asked for', 'backbone.'),
        ({'backbone_only': True}, 'classifier, left out on request', ''),
    ],
)
def test_without_the_classifier(timm, options, reason, prefix):
    converted, report = convert_vit(timm, num_heads=REF.HEADS, **options)
    assert {entry.source: entry.reason for entry in report.left_over} == dict.fromkeys(
        ('head.weight', 'head.bias'), reason
    )
    assert any('starts from its own initialisation' in note for note in report.notes)
    backbone = MODELS.build(configs(report)['backbone'])
    backbone.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in converted.items()}, strict=True)
    assert all(name.startswith(prefix) for name in converted)


def test_a_classifier_of_the_wanted_size_is_kept(timm):
    assert 'head.layers.head.weight' in convert_vit(timm, num_classes=REF.CLASSES)[0]


def test_a_backbone_alone_and_other_prefixes():
    """ViTModel has no prefix, training programs put their own in front, the order does not matter."""
    named = REF.fill(REF.hugging_face_shapes())
    model = {name.removeprefix('vit.'): tensor for name, tensor in named.items() if name.startswith('vit.')}
    model['pooler.dense.weight'] = torch.ones(12, 12)
    whole, _ = convert_vit(named)
    alone, report = convert_vit(model)
    assert report.ok
    assert 'The file has no classifier. The head starts from its own initialisation.' in report.notes
    assert list(alone) == [name for name in whole if name.startswith('backbone.')]
    wrapped, report = convert_vit({f'model.{name}': tensor for name, tensor in reversed(named.items())})
    assert report.ok
    assert list(wrapped) == list(whole)
    assert all(torch.equal(wrapped[name], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize('letter', ARCHS)
def test_published_sizes(letter):
    """The table agrees with mmpretrain's."""
    width, depth, heads, hidden, name = ARCHS[letter]
    sizes = VitSizes(width, depth, hidden, heads)
    assert sizes.arch == f'ViT-{letter}/16'
    ours = dict(embed_dims=width, num_layers=depth, num_heads=heads, feedforward_channels=hidden)
    assert mmpretrain.models.VisionTransformer.arch_zoo[name] == ours
    config = sizes.backbone_config(224)
    assert config == dict(type='VisionTransformer', arch=name, img_size=224, patch_size=16)


def test_vit_b_16_by_its_shapes():
    """No memory is used: names and shapes alone tell it, and mmpretrain's model has the same ones."""
    with torch.device('meta'):
        theirs = VisionTransformer(224, 16, 12, 12, 768, 3072).state_dict()
        ours = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='VisionTransformer', arch='base', img_size=384, patch_size=16),
                head=dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=768),
            )
        ).state_dict()
    converted, report = convert_vit(theirs, img_size=384)
    assert (report.ok, report.arch) == (True, 'ViT-B/16')
    assert configs(report)['backbone'] == dict(type='VisionTransformer', arch='base', img_size=384, patch_size=16)
    assert {name: tensor.shape for name, tensor in converted.items()} == {n: t.shape for n, t in ours.items()}


def test_heads_that_nothing_tells(timm):
    report = convert_vit(timm)[1]
    assert report.arch == 'custom (ViT, width 12, 2 blocks, heads unknown, hidden 20)'
    assert any('do not tell the number of heads' in note for note in report.notes)
    # As wide as a ViT-B, but shallow: some that were published have 8 heads, not 12.
    with torch.device('meta'):
        shallow = VisionTransformer(224, 16, 2, 8, 768, 3072).state_dict()
    assert 'heads unknown' in convert_vit(shallow)[1].arch
    report = convert_vit(timm, num_heads=4)[1]
    assert configs(report)['backbone']['arch']['num_heads'] == 4


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_heads': 5}, '5 heads do not divide the width 12'),
        ({'img_size': 13}, '13 pixels are no whole number of patches of 4'),
        ({'img_size': 2}, '2 pixels are no whole number'),
        ({'img_size': 0}, '0 pixels are no whole number'),
    ],
)
def test_arguments_that_do_not_fit(timm, arguments, message):
    with pytest.raises(WeightsError, match=message):
        convert_vit(timm, **arguments)


def test_heads_of_a_npz_file_are_not_overruled():
    with pytest.raises(WeightsError, match='the file has 3 heads, not 4'):
        convert_vit(REF.fill(REF.jax_shapes()), num_heads=4)


@pytest.mark.parametrize('shapes', [REF.timm_shapes(), REF.hugging_face_shapes(), REF.jax_shapes()])
def test_any_lost_or_misshapen_tensor_is_named(shapes):
    """Of every tensor in turn: gone, then of another shape. Nothing passes, nothing else is blamed."""
    source = REF.fill(shapes)
    for name, tensor in source.items():
        report = convert_vit({other: t for other, t in source.items() if other != name})[1]
        assert [lost.source for lost in report.missing] == [name]
        assert name in report.error('w.pth')
        if 'pos' not in name:
            report = convert_vit(source | {name: torch.ones(*tensor.shape, 1)})[1]
            assert name in [wrong.source for wrong in report.mismatched]
            assert not report.missing


@pytest.mark.parametrize(
    ('length', 'reason'),
    [(9, 'they leave out the class token'), (12, 'the patches form no square'), (1, 'they leave out')],
)
def test_positions_of_other_kinds(timm, length, reason):
    with pytest.raises(WeightsError, match=f"'pos_embed' holds {length} positions: {reason}"):
        convert_vit(timm | {'pos_embed': torch.ones(1, length, 12)})


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('blocks.0.ls1.gamma', 'layer scale'),
        ('norm_pre.weight', 'a norm in front of the first block'),
        ('fc_norm.weight', 'a classifier on the mean of the patches'),
        ('reg_token', 'register tokens'),
        ('blocks.1.attn.q_norm.weight', 'norms of query and key'),
        ('attn_pool.latent', 'attention pooling'),
        ('blocks.0.attn.relative_position_bias_table', 'relative positions'),
        ('patch_embed.backbone.stem.conv.weight', 'a convolutional stem'),
        ('head_dist.weight', 'parts'),
        ('anything.else', 'parts'),
    ],
)
def test_networks_that_compute_something_else(timm, name, kind):
    with pytest.raises(WeightsError, match=f'no plain Vision Transformer of timm: it has {kind} that those lack'):
        convert_vit(timm | {name: torch.ones(1)})


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'the 0 tensors'),
        (['conv1.weight', 'layer1.0.conv1.weight'], 'not named as in a known Vision Transformer'),
        (['layers.0.blocks.0.attn.qkv.weight'], 'not named as in a known Vision Transformer'),
        (['backbone.cls_token', 'backbone.layers.0.ln1.weight'], 'names of mmpretrain already'),
        (['Transformer/encoderblock_0/MultiHeadDotProductAttention_0/out/bias'], "big_vision's names"),
        (['params/Transformer/encoderblock/LayerNorm_0/bias'], "big_vision's names"),
    ],
)
def test_other_layouts(names, message):
    with pytest.raises(WeightsError, match=message):
        convert_vit({name: torch.ones(1) for name in names})
