import pytest
import torch
import torch.nn.functional as F


def build(**settings):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='VGG16', with_bn=True, return_indices=True))
    return backbone, MODELS.build(dict(type='SegNetHead', num_classes=7, **settings))


def test_values_go_back_to_where_the_maximum_was():
    from mmext.segmentation.models.heads.seg_net_head import max_unpool

    x = torch.tensor([[1.0, 5, 2, 0], [3, 4, 9, 1], [0, 0, -1, -2], [7, 0, -3, -4]]).view(1, 1, 4, 4)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    assert indices.flatten().tolist() == [1, 6, 12, 10]
    expected = torch.tensor([[0.0, 5, 0, 0], [0, 0, 9, 0], [0, 0, -1, 0], [7, 0, 0, 0]])
    assert max_unpool(pooled, indices, (4, 4))[0, 0].equal(expected)


@pytest.mark.parametrize('size_hw', [(6, 8), (7, 5), (1, 1)])
def test_unpooling_equals_torchs(size_hw):
    from mmext.segmentation.models.heads.seg_net_head import max_unpool

    x = torch.randn(2, 3, *size_hw)
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    assert max_unpool(pooled, indices, size_hw).equal(F.max_unpool2d(pooled, indices, 2, 2, output_size=size_hw))


def test_unpooling_runs_where_only_deterministic_algorithms_may():
    from mmext.segmentation.models.heads.seg_net_head import max_unpool

    pooled, indices = F.max_pool2d(torch.randn(1, 1, 4, 4, requires_grad=True), 2, return_indices=True)
    torch.use_deterministic_algorithms(True)
    try:
        max_unpool(pooled, indices, (4, 4)).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_parameters_are_those_of_the_mirrored_encoder():
    with torch.device('meta'):
        backbone, head = build()
    # 3x3 convolutions without biases: the thirteen of VGG16 but for its first one, read backwards
    widths = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    decoder = sum(9 * fan_in * fan_out + 2 * fan_out for fan_in, fan_out in widths)
    classifier = (9 * 64 + 1) * 7
    assert sum(parameter.numel() for parameter in head.parameters()) == decoder + classifier
    encoder = 14_714_688 + 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)
    total = sum(parameter.numel() for module in (backbone, head) for parameter in module.parameters())
    assert total == encoder + decoder + classifier == 29_443_335


@pytest.mark.parametrize('size_hw', [(64, 96), (45, 70), (2, 2)])
def test_scores_have_the_size_of_the_image(size_hw):
    backbone, head = build()
    with torch.no_grad():
        scores = head.eval()(backbone.eval()(torch.randn(2, 3, *size_hw)))
    assert scores.shape == (2, 7, *size_hw)


def test_indices_matter():
    backbone, head = (module.eval() for module in build())
    features = backbone(torch.randn(1, 3, 32, 32))
    moved = (*features[:6], *(positions.flip(-1) for positions in features[6:]))
    assert not torch.allclose(head(features), head(moved))


def test_constant_maps_of_zeros_give_one_score_a_class_inside():
    backbone, head = (module.eval() for module in build())
    features = backbone(torch.randn(1, 3, 32, 32))
    scores = head([torch.zeros_like(level) for level in features[:6]] + list(features[6:]))
    inner = scores[..., 16:18, 16:18]
    torch.testing.assert_close(inner, inner[..., :1, :1].expand_as(inner))


def test_images_of_a_batch_do_not_meet():
    backbone, head = (module.eval() for module in build())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(head(backbone(images)).flip(0), head(backbone(images.flip(0))))


def test_one_step_reaches_every_parameter():
    backbone, head = build()
    head(backbone(torch.randn(2, 3, 40, 72))).square().sum().backward()
    assert all(parameter.grad is not None for module in (backbone, head) for parameter in module.parameters())


def test_auxiliary_heads_may_use_the_levels():
    from mmseg.registry import MODELS

    backbone, _ = build()
    aux = MODELS.build(
        dict(type='FCNHead', in_channels=512, in_index=4, channels=8, num_convs=1, concat_input=False, num_classes=7)
    )
    assert aux.eval()(backbone.eval()(torch.randn(1, 3, 64, 64))).shape == (1, 7, 4, 4)
