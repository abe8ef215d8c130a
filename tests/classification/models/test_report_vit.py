import math

import pytest
import torch
from mmengine.registry import DefaultScope
from torch.nn.functional import gelu, layer_norm

TINY = dict(type='ReportViT', img_size=8, embed_dims=12, feedforward_channels=20, num_heads=3, num_layers=2)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    import mmext.classification.models  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(**settings):
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    net = MODELS.build(dict(TINY, **settings))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)  # no norm is the identity, no embedding is zero
    net.eval()
    return net


def plain_vit(weights, images, heads, patch):
    """Class token of a pre-norm ViT with GELU: unfused attention, patches cut by hand."""

    def linear(name, x):
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], weights[f'{name}.weight'], weights[f'{name}.bias'], 1e-6)

    batch, channels = len(images), weights['cls_token'].shape[-1]
    tokens = [weights['cls_token'].expand(batch, 1, channels)]
    for top in range(0, images.shape[2], patch):
        for left in range(0, images.shape[3], patch):
            pixels = images[:, :, top : top + patch, left : left + patch].reshape(batch, 1, -1)
            kernel = weights['patch_embed.projection.weight'].reshape(channels, -1)
            tokens.append(pixels @ kernel.T + weights['patch_embed.projection.bias'])
    x = torch.cat(tokens, dim=1) + weights.get('pos_embed', 0)
    width = channels // heads
    for name in sorted({key.rsplit('.ln1', 1)[0] for key in weights if '.ln1.' in key}):
        q, k, v = linear(f'{name}.attn.qkv', norm(f'{name}.ln1', x)).split(channels, dim=-1)
        mixed = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width)
            mixed.append(scores.softmax(dim=-1) @ v[..., part])
        out = torch.cat(mixed, dim=-1)
        x = x + (linear(f'{name}.attn.proj', out) if f'{name}.attn.proj.weight' in weights else out)
        x = x + linear(f'{name}.ffn.layers.1', gelu(linear(f'{name}.ffn.layers.0.0', norm(f'{name}.ln2', x))))
    return norm('ln1', x)[:, 0]


@pytest.mark.parametrize('pos_embed', ['learned', None])
@pytest.mark.parametrize('out_proj', [False, True])
@pytest.mark.parametrize('patch_size', [4, 2])
def test_equals_a_plain_transformer(pos_embed, out_proj, patch_size):
    net = build(pos_embed=pos_embed, out_proj=out_proj, patch_size=patch_size)
    images = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        (token,) = net(images)
        expected = plain_vit(net.state_dict(), images, heads=3, patch=patch_size)
    assert token.shape == (3, 12)
    torch.testing.assert_close(token, expected, rtol=1e-5, atol=1e-5)


def test_equals_upstream_when_all_switches_are_on():
    from mmpretrain.registry import MODELS

    net = build(out_proj=True)
    arch = {name: TINY[name] for name in ('embed_dims', 'feedforward_channels', 'num_heads', 'num_layers')}
    upstream = MODELS.build(dict(type='VisionTransformer', arch=arch, img_size=8, patch_size=4))
    upstream.eval()
    upstream.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 16, 8)  # another size: position embeddings are resized
    with torch.no_grad():
        torch.testing.assert_close(net(images), upstream(images), rtol=0, atol=0)


def shuffled_patches(images, order, patch=4):
    """The same patches in other places."""
    rows = [images[..., top : top + patch, :] for top in range(0, images.shape[-2], patch)]
    patches = [row[..., left : left + patch] for row in rows for left in range(0, row.shape[-1], patch)]
    columns = images.shape[-1] // patch
    patches = [patches[index] for index in order]
    return torch.cat([torch.cat(patches[i : i + columns], dim=-1) for i in range(0, len(patches), columns)], dim=-2)


@pytest.mark.parametrize(('pos_embed', 'same'), [(None, True), ('learned', False)])
def test_only_the_position_embedding_knows_where_patches_are(pos_embed, same):
    net = build(pos_embed=pos_embed)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        (token,), (moved,) = net(images), net(shuffled_patches(images, [2, 0, 3, 1]))
    assert torch.allclose(token, moved, atol=1e-5) == same


@pytest.mark.parametrize('layer', [0, 1])
@pytest.mark.parametrize('norm', ['ln1', 'ln2'])
def test_both_norms_of_every_encoder_matter(layer, norm):
    net = build()
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        (before,) = net(images)
        getattr(net.layers[layer], norm).weight.mul_(2)
        (after,) = net(images)
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize('settings', [dict(), dict(pos_embed=None), dict(out_proj=True, patch_size=2)])
def test_gradients_reach_every_parameter(settings):
    net = build(**settings)
    net.train()
    net(torch.randn(2, 3, 8, 8))[0].pow(3).sum().backward()
    without = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize('rate', ['drop_rate', 'attn_drop_rate', 'drop_path_rate'])
def test_dropout_is_for_training_only(rate):
    net, still = build(**{rate: 0.5}), build()
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(net(images), still(images), rtol=0, atol=0)
        net.train()
        assert not torch.allclose(net(images)[0], net(images)[0])


def test_stochastic_depth_rises_to_the_given_rate():
    net = build(num_layers=3, drop_path_rate=0.4)
    assert [layer.attn.out_drop.drop_prob for layer in net.layers] == pytest.approx([0, 0.2, 0.4])


def test_activation_and_biases_are_switches():
    from torch import nn

    net = build(act_cfg=dict(type='ReLU'), qkv_bias=False)
    assert isinstance(net.layers[0].ffn.layers[0][1], nn.ReLU)
    assert net.layers[1].attn.qkv.bias is None


def test_a_hook_on_qkv_sees_what_attention_uses():
    net = build()
    seen = {}
    net.layers[0].attn.qkv.register_forward_hook(lambda module, args, output: seen.update(qkv=output))
    net.layers[0].attn.register_forward_hook(lambda module, args, output: seen.update(out=output))
    with torch.no_grad():
        net(torch.randn(2, 3, 8, 8))
    q, k, v = seen['qkv'].reshape(2, 5, 3, 3, 4).permute(2, 0, 3, 1, 4)
    out = (q @ k.transpose(-2, -1) / 2).softmax(dim=-1) @ v  # sqrt of 4 channels per head
    torch.testing.assert_close(seen['out'], out.transpose(1, 2).reshape(2, 5, 12), rtol=1e-5, atol=1e-5)


def test_initialisation_leaves_no_class_token_of_zeros_without_positions():
    from mmpretrain.registry import MODELS

    net = MODELS.build(dict(TINY, pos_embed=None))
    net.init_weights()
    assert net.cls_token.any()
    assert 'pos_embed' not in net.state_dict()


def test_weights_with_positions_are_resized_or_named_as_unexpected():
    source = build().state_dict()
    finer = build(img_size=16)
    finer.load_state_dict(source)
    assert finer.pos_embed.shape == (1, 17, 12)
    assert torch.equal(finer.pos_embed[:, 0], source['pos_embed'][:, 0])
    report = build(pos_embed=None).load_state_dict(build().state_dict(), strict=False)
    assert report.unexpected_keys == ['pos_embed']
    assert report.missing_keys == []


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_heads=5), 'num_heads 5 does not divide embed_dims 12'),
        (dict(patch_size=3), 'img_size 8 is no multiple of patch_size 3'),
        (dict(img_size=(8, 6)), r'img_size \(8, 6\) is no multiple of patch_size 4'),
        (dict(pos_embed='sine'), "pos_embed is 'sine': choose 'learned' or None"),
        (dict(drop_path_rate=1.0), 'drop_path_rate is 1.0'),
        (dict(attn_drop_rate=-0.1), 'attn_drop_rate is -0.1'),
        (dict(num_layers=0), 'num_layers is 0'),
        (dict(embed_dims=19.2), 'embed_dims is 19.2'),
    ],
)
def test_wrong_settings_are_named(settings, message):
    from mmext.classification.models import ReportViT

    with pytest.raises(ValueError, match=message):
        ReportViT(**{name: value for name, value in dict(TINY, **settings).items() if name != 'type'})


def test_a_classifier_takes_a_training_step():
    from mmengine.optim import OptimWrapper
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    torch.manual_seed(0)
    head = dict(type='VisionTransformerClsHead', num_classes=5, in_channels=12)
    data = dict(type='ClsDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3, num_classes=5)
    model = MODELS.build(dict(type='ImageClassifier', backbone=TINY, head=head, data_preprocessor=data))
    model.init_weights()
    model.train()
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-2))
    batch = dict(inputs=torch.randint(0, 256, (6, 3, 8, 8)), data_samples=[])
    batch['data_samples'] = [DataSample().set_gt_label(index % 5) for index in range(6)]
    losses = [model.train_step(batch, wrapper)['loss'].item() for _ in range(8)]
    assert losses[0] == pytest.approx(math.log(5), abs=1e-4)  # the head starts with zeros: every class alike
    assert losses[-1] < losses[0]
