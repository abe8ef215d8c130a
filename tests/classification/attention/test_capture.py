"""Captured weights against networks written out with explicit attention, and layers that must be refused."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.nn import functional as F

from mmext.classification.attention.capture import (
    AttentionCheckError,
    attention_layers,
    attention_weights,
    capture_attention,
)
from mmext.classification.attention.rollout import answer_map, rollout

ARCH = dict(embed_dims=24, num_layers=3, num_heads=4, feedforward_channels=48)


@pytest.fixture(autouse=True)
def _scope():
    import mmpretrain.models  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(kind: str = 'VisionTransformer', **settings) -> nn.Module:
    """A backbone of 4 x 4 patches with random numbers everywhere, large enough that attention is far from uniform."""
    torch.manual_seed(0)
    model = MODELS.build(dict(dict(type=kind, arch=ARCH, img_size=32, patch_size=8), **settings))
    for name, parameter in model.named_parameters():
        # Scales of norms lie around 1.
        centre = 1 if parameter.ndim == 1 and name.endswith('weight') else 0
        nn.init.normal_(parameter, centre, 0.6 if 'qkv' in name else 0.25)
    model.eval()
    return model


def classifier(backbone: nn.Module, classes: int = 5) -> nn.Module:
    """Scores from the class token."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = backbone, nn.Linear(24, classes)

        def forward(self, inputs):
            return self.head(self.backbone(inputs)[-1])

    return Classifier().eval()


def explicit_vit(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The class token of a ViT of mmpretrain, and the weights of its layers, which stay parts of the graph."""
    patches = model.patch_embed.projection(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([model.cls_token.expand(len(images), -1, -1), patches], 1) + model.pos_embed
    found = []
    for layer in model.layers:
        attention = layer.attn
        projected = attention.qkv(layer.ln1(tokens))
        query, key, value = (torch.stack(part.split(6, dim=-1), 1) for part in projected.split(24, dim=-1))
        scores = torch.einsum('bhid,bhjd->bhij', query, key) / 6**0.5
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        found.append(weights)
        heads = torch.einsum('bhij,bhjd->bhid', weights, value)
        tokens = tokens + attention.proj(torch.cat(heads.unbind(1), -1))
        hidden = F.gelu(layer.ffn.layers[0][0](layer.ln2(tokens)))
        tokens = tokens + layer.ffn.layers[1](hidden)
    return model.ln1(tokens)[:, 0], found


def test_weights_by_hand():
    # q·k/√4 is 0 and log 3.
    query = torch.tensor([[[[2.0, 0, 0, 0]]]])
    key = torch.zeros(1, 1, 2, 4)
    key[0, 0, 1, 0] = torch.tensor(3.0).log()
    torch.testing.assert_close(attention_weights(query, key), torch.tensor([[[[0.25, 0.75]]]]))
    assert attention_weights(query.half(), key.half()).dtype == torch.float32


def test_capture_is_an_explicit_network():
    model, images = build(), torch.randn(2, 3, 32, 32)
    token, weights = explicit_vit(model, images)
    captured = capture_attention(model, images)
    torch.testing.assert_close(captured.output[-1], token)
    assert len(captured.weights) == 3
    for mine, explicit in zip(captured.weights, weights, strict=True):
        torch.testing.assert_close(mine, explicit)
        assert not mine.requires_grad
    torch.testing.assert_close(captured.weights[0].sum(-1), torch.ones(2, 4, 17))
    # The test would see nothing if attention were uniform.
    assert captured.weights[0].std() > 0.05
    assert [check.name for check in captured.checks] == [f'layers.{index}.attn' for index in range(3)]
    assert all(check.relative < 1e-5 for check in captured.checks)
    assert captured.grid == ((4, 4), 1, False, (32, 32))
    assert captured.gradients == []
    assert captured.target is None


def test_fused_or_not_makes_no_difference():
    model, images = build(), torch.randn(2, 3, 32, 32)
    fused = capture_attention(model, images)

    def unfused(query, key, value, dropout_p=0.0):
        return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1) @ value

    for layer in model.layers:
        layer.attn.scaled_dot_product_attention = unfused
    plain = capture_attention(model, images)
    for mine, other in zip(fused.weights, plain.weights, strict=True):
        torch.testing.assert_close(mine, other)


def test_gradients_are_those_of_autograd():
    model = classifier(build())
    images = torch.randn(2, 3, 32, 32)
    token, weights = explicit_vit(model.backbone, images)
    scores = model.head(token)
    best = scores.argmax(1)
    for target in (None, 3):
        chosen = scores[range(2), best if target is None else target].sum()
        expected = torch.autograd.grad(chosen, weights, retain_graph=True)
        captured = capture_attention(model, images, gradients=True, target=target)
        torch.testing.assert_close(captured.target, best if target is None else torch.tensor([3, 3]))
        for mine, slope in zip(captured.gradients, expected, strict=True):
            torch.testing.assert_close(mine, slope, rtol=1e-4, atol=1e-6)
            assert slope.abs().max() > 1e-4
        assert not captured.output.requires_grad


def test_gradients_of_frozen_models_and_under_no_grad():
    model, images = classifier(build()), torch.randn(1, 3, 32, 32)
    expected = capture_attention(model, images, gradients=True)
    model.requires_grad_(False)
    with torch.no_grad():
        found = capture_attention(model, images, gradients=True)
    for mine, other in zip(found.gradients, expected.gradients, strict=True):
        torch.testing.assert_close(mine, other)


def test_model_is_left_as_it_was():
    model, images = classifier(build()), torch.randn(1, 3, 32, 32)
    before = model(images)
    capture_attention(model, images, gradients=True)
    torch.testing.assert_close(model(images), before, rtol=0, atol=0)
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_distilled_tokens():
    model = build('DistilledVisionTransformer')
    captured = capture_attention(model, torch.randn(2, 3, 32, 32))
    assert captured.grid == ((4, 4), 2, False, (32, 32))
    assert captured.weights[0].shape == (2, 4, 18, 18)
    flow = rollout(captured.weights)
    torch.testing.assert_close(answer_map(flow, captured.grid).flatten(1), flow[:, 0, 2:])


@pytest.mark.parametrize(
    ('kind', 'settings', 'extra', 'mean'),
    [
        ('VisionTransformer', dict(with_cls_token=False, out_type='avg_featmap'), 0, True),
        ('VisionTransformer', dict(out_type='avg_featmap'), 1, True),
        ('VisionTransformer', dict(layer_scale_init_value=1e-5), 1, False),
        ('VisionTransformer', dict(qkv_bias=False, pre_norm=True), 1, False),
        ('DeiT3', {}, 1, False),
    ],
)
def test_other_networks(kind, settings, extra, mean):
    # Larger than the network was built for, and not square.
    captured = capture_attention(build(kind, **settings), torch.randn(1, 3, 40, 64))
    assert captured.grid == ((5, 8), extra, mean, (40, 64))
    assert rollout(captured.weights).shape == (1, 40 + extra, 40 + extra)


def test_layers_on_other_tokens_are_left_out():
    # Its tokeniser attends to 256 and 64 tokens, and its layers have a scale of their own.
    cfg = dict(token_dims=8, use_performer=False)
    layers = dict(num_heads=4, feedforward_channels=48)
    torch.manual_seed(0)
    model = MODELS.build(dict(type='T2T_ViT', img_size=64, t2t_cfg=cfg, num_layers=2, embed_dims=24, layer_cfgs=layers))
    model.eval()
    captured = capture_attention(model, torch.randn(1, 3, 64, 64))
    assert captured.grid == ((4, 4), 1, False, (64, 64))
    assert [check.name for check in captured.checks] == ['encoder.0.attn', 'encoder.1.attn']
    assert captured.skipped == ['tokens_to_token.attention1.attn', 'tokens_to_token.attention2.attn']


def test_a_layer_without_projection():
    model, images = classifier(build()), torch.randn(2, 3, 32, 32)
    for layer in model.backbone.layers:
        layer.attn.proj = nn.Identity()
    one = capture_attention(model, images, gradients=True)
    for layer in model.backbone.layers:
        layer.attn.proj = layer.attn.gamma1 = None
        layer.attn.forward = without_projection.__get__(layer.attn)
    two = capture_attention(model, images, gradients=True)
    for mine, other in zip(one.weights + one.gradients, two.weights + two.gradients, strict=True):
        torch.testing.assert_close(mine, other)


def without_projection(self, x):
    batch, tokens, channels = x.shape
    query, key, value = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, tokens, channels)


def test_half_precision_passes():
    captured = capture_attention(build().bfloat16(), torch.randn(1, 3, 32, 32).bfloat16())
    assert captured.weights[0].dtype == torch.float32
    assert all(0 < check.relative < 0.1 for check in captured.checks)


def other_scale(query, key, value, dropout_p=0.0):
    return F.scaled_dot_product_attention(query, key, value, scale=0.3)


def biased(query, key, value, dropout_p=0.0):
    return F.scaled_dot_product_attention(query, key, value, attn_mask=torch.eye(17))


def causal(query, key, value, dropout_p=0.0):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def not_a_number(query, key, value, dropout_p=0.0):
    return value * torch.nan


@pytest.mark.parametrize('function', [other_scale, biased, causal, not_a_number])
@pytest.mark.parametrize('scale', [0, 1e-5])
def test_a_layer_that_does_something_else_is_refused(function, scale):
    model = build(layer_scale_init_value=scale)
    if scale:
        # So near to zero that the layer's output hardly shows its attention.
        nn.init.constant_(model.layers[1].attn.gamma1.weight, scale)
    model.layers[1].attn.scaled_dot_product_attention = function
    with pytest.raises(AttentionCheckError, match=r'layers\.1\.attn \(MultiheadAttention\): .* differs from what'):
        capture_attention(model, torch.randn(1, 3, 32, 32))


def test_tolerance_decides():
    model, images = build(), torch.randn(1, 3, 32, 32)
    model.layers[1].attn.scaled_dot_product_attention = other_scale
    assert 1e-4 < capture_attention(model, images, tolerance=10).checks[1].relative < 10


@pytest.mark.parametrize(
    ('kind', 'settings', 'message'),
    [
        ('BEiTViT', {}, 'its qkv ran 0 times'),
        ('BEiTViT', dict(bias=True), 'a position bias'),
        ('ViTEVA02', dict(arch=ARCH | dict(embed_dims=32)), 'rotary embeddings'),
        ('SwinTransformer', dict(arch='tiny', patch_size=4, window_size=1), 'inside windows'),
    ],
)
def test_other_kinds_of_attention_are_refused(kind, settings, message):
    with pytest.raises(AttentionCheckError, match=message):
        capture_attention(build(kind, **settings), torch.randn(1, 3, 32, 32))


def test_what_cannot_be_shown_is_said():
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(ValueError, match='ResNet: no attention layer'):
        capture_attention(MODELS.build(dict(type='ResNet', depth=18)), images)
    model = build()
    assert len(attention_layers(model)) == 3
    model.train()
    with pytest.raises(ValueError, match='VisionTransformer: is in training mode'):
        capture_attention(model, images)
    model.eval()
    model.layers[2].train()
    with pytest.raises(ValueError, match='training mode'):
        capture_attention(model, images)
    model.eval()
    with pytest.raises(ValueError, match=r'need a classifier that returns \(B, C\) scores, not tuple'):
        capture_attention(model, images, gradients=True)
    with pytest.raises(ValueError, match='class 5: the model has 5 classes, 0 to 4'):
        capture_attention(classifier(model), images, gradients=True, target=5)


def test_hooks_go_when_the_model_fails():
    model = build()
    with pytest.raises(RuntimeError):
        capture_attention(model, torch.randn(1, 7, 32, 32))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
