import pytest
import torch
from mmengine.registry import DefaultScope

TINY = dict(
    type='ResNetViT',
    img_size=32,
    stage_blocks=(1, 2, 1),
    stage_channels=(4, 8, 8),
    embed_dims=12,
    feedforward_channels=20,
    num_heads=3,
    num_layers=2,
)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    import mmext.classification.models  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(**settings):
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    net = MODELS.build(dict(TINY, **settings))
    net.eval()
    return net


def test_224_pixels_become_196_tokens():
    net = build(stage_channels=(64, 128, 256), stage_blocks=(3, 4, 9), img_size=224)
    tokens = []
    net.layers[0].register_forward_hook(lambda module, args, output: tokens.append(output))
    with torch.no_grad():
        cells = net.residual(torch.randn(1, 3, 224, 224))
        (token,) = net(torch.randn(1, 3, 224, 224))
    assert cells.shape == (1, 256, 14, 14)
    assert tokens[0].shape == (1, 197, 12)
    assert net.pos_embed.shape == (1, 197, 12)
    assert token.shape == (1, 12)


def test_is_its_stages_and_then_a_transformer_on_cells():
    from mmpretrain.registry import MODELS

    net = build()
    settings = {name: TINY[name] for name in ('embed_dims', 'feedforward_channels', 'num_heads', 'num_layers')}
    transformer = MODELS.build(dict(settings, type='ReportViT', img_size=2, patch_size=1, in_channels=8))
    transformer.eval()
    weights = {name: value for name, value in net.state_dict().items() if not name.startswith('residual.')}
    transformer.load_state_dict(weights)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(images), transformer(net.residual(images)), rtol=0, atol=0)


def test_every_block_has_a_shortcut_and_a_quarter_of_the_width_inside():
    net = build()
    stages = [net.residual.stage1, net.residual.stage2, net.residual.stage3]
    assert [len(stage) for stage in stages] == [1, 2, 1]
    blocks = [block for stage in stages for block in stage]
    assert [block.downsample[0].stride for block in blocks] == [(1, 1), (2, 2), (1, 1), (2, 2)]
    assert [block.conv2.in_channels for block in blocks] == [1, 2, 2, 2]


def test_other_sizes_and_oblong_images():
    net = build(img_size=(32, 64))
    assert net.patch_resolution == (2, 4)
    with torch.no_grad():
        assert net(torch.randn(1, 3, 48, 64))[0].shape == (1, 12)


def test_gradients_reach_every_parameter():
    net = build()
    net.init_weights()
    net.train()
    net(torch.randn(2, 3, 32, 32))[0].pow(3).sum().backward()
    without = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


def test_stages_start_as_kaiming():
    from mmpretrain.registry import MODELS

    net = MODELS.build(dict(TINY, stage_channels=(64, 64, 64)))
    net.init_weights()
    weight = net.residual.stage1[0].downsample[0].weight  # 1x1, 64 outputs: variance 2 / 64
    assert weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)


def test_layer_wise_rates_take_the_stages_for_the_embedding():
    net = build()
    assert net.get_layer_depth('backbone.residual.stem.0.weight', 'backbone.') == (0, 4)
    assert net.get_layer_depth('backbone.layers.1.ln1.weight', 'backbone.') == (2, 4)
    assert net.get_layer_depth('head.layers.head.weight', 'backbone.') == (3, 4)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(img_size=40), r'img_size \(40, 40\): 3 stages need sides that are multiples of 16'),
        (dict(stage_blocks=(1, 2)), r'stage_blocks \(1, 2\) and stage_channels \(4, 8, 8\)'),
        (dict(stage_blocks=(1, 0, 1)), 'blocks from 1'),
        (dict(stage_channels=(4, 8, 10)), 'multiples of 4'),
        (dict(patch_size=2), 'ResNetViT has no patch_size'),
        (dict(frozen_stages=1), "freeze by name instead: 'backbone.residual'"),
        (dict(num_heads=5), 'num_heads 5 does not divide embed_dims 12'),
    ],
)
def test_wrong_settings_are_named(settings, message):
    from mmext.classification.models import ResNetViT

    with pytest.raises(ValueError, match=message):
        ResNetViT(**{name: value for name, value in dict(TINY, **settings).items() if name != 'type'})
