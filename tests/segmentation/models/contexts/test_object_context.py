import math

import torch

from mmext.segmentation.models.contexts.object_context import attend_objects, gather_objects


def build(**kwargs):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(dict(type='ObjectContext', in_channels=6, channels=8, norm_cfg=dict(type='BN')) | kwargs)


def test_objects_by_hand():
    """Logits 0 and ln 3 weigh two pixels by 1/4 and 3/4; equal logits by 1/2 each."""
    pixels = torch.tensor([[[[4.0, 8.0]], [[0.0, -4.0]]]])
    logits = torch.tensor([[[[0.0, math.log(3)]], [[7.0, 7.0]]]])
    expected = torch.tensor([[[7.0, -3.0], [6.0, -2.0]]])
    torch.testing.assert_close(gather_objects(pixels, logits), expected)


def test_a_certain_region_is_its_pixel():
    pixels = torch.randn(2, 3, 4, 5)
    logits = torch.zeros(2, 2, 4, 5)
    logits[:, 1, 2, 3] = 1000
    objects = gather_objects(pixels, logits)
    torch.testing.assert_close(objects[:, 0], pixels.mean((2, 3)))
    torch.testing.assert_close(objects[:, 1], pixels[:, :, 2, 3])


def test_order_of_pixels_and_offsets_of_classes_do_not_matter():
    pixels, logits = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 4, 5)
    order = torch.randperm(20)
    shuffled = [part.flatten(2)[..., order].reshape(part.shape) for part in (pixels, logits)]
    expected = gather_objects(pixels, logits)
    torch.testing.assert_close(gather_objects(*shuffled), expected)
    torch.testing.assert_close(gather_objects(pixels, logits + torch.randn(2, 6, 1, 1)), expected)


def test_attention_by_hand():
    """Q = 4: products 0 and 2 ln 3, divided by 2, weigh two objects by 1/4 and 3/4."""
    query = torch.tensor([1.0, 0, 0, 0]).reshape(1, 4, 1, 1)
    key = torch.zeros(1, 4, 2, 1)
    key[0, 0, 1] = 2 * math.log(3)
    value = torch.tensor([[4.0, 8.0], [0.0, 4.0], [1.0, 1.0], [0.0, -4.0]]).reshape(1, 4, 2, 1)
    expected = torch.tensor([7.0, 3.0, 1.0, -3.0]).reshape(1, 4, 1, 1)
    torch.testing.assert_close(attend_objects(query, key, value), expected)


def test_attention_equals_its_formula():
    query, key, value = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 7, 1), torch.randn(2, 4, 7, 1)
    weights = torch.einsum('bqhw,bqk->bhwk', query, key[..., 0]).div(4**0.5).softmax(-1)
    expected = torch.einsum('bhwk,bqk->bqhw', weights, value[..., 0])
    torch.testing.assert_close(attend_objects(query, key, value), expected)
    order = torch.randperm(7)
    torch.testing.assert_close(attend_objects(query, key[:, :, order], value[:, :, order]), expected)


def test_equal_objects_are_averaged():
    query, value = torch.randn(1, 4, 3, 5), torch.randn(1, 4, 7, 1)
    mean = value.mean((2, 3), keepdim=True).expand(1, 4, 3, 5)
    torch.testing.assert_close(attend_objects(query, torch.zeros(1, 4, 7, 1), value), mean)


def test_shapes_and_gradients():
    context = build()
    x, logits = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 5, 7, requires_grad=True)
    y = context(x, logits)
    assert y.shape == (2, context.out_channels, 5, 7) == (2, 16, 5, 7)
    assert y[:, 8:].equal(context.pixel(x))
    assert context.query[0].out_channels == 4
    y.square().sum().backward()
    assert logits.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in context.parameters() if parameter.ndim > 1)


def test_region_logits_of_another_size_are_resized():
    context = build().eval()
    x, logits = torch.randn(1, 6, 6, 8), torch.randn(1, 3, 3, 4)
    larger = torch.nn.functional.interpolate(logits, (6, 8), mode='bilinear')
    torch.testing.assert_close(context(x, logits), context(x, larger))


def test_one_image_and_one_class_train():
    context = build(key_channels=5).train()
    context(torch.randn(1, 6, 5, 7), torch.randn(1, 1, 5, 7)).square().sum().backward()
    assert context.value.norm.num_batches_tracked == 0
    assert context.out.norm.num_batches_tracked == 1
    assert context.value.conv.weight.grad.isfinite().all()
    assert context.query[1].out_channels == 5
