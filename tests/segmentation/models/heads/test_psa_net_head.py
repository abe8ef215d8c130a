"""PSANetHead; that it computes what the authors' does is proved in tests/segmentation/converters/test_semseg.py."""

import pytest
import torch
from mmcv.ops import PSAMask

from mmext.segmentation.models.heads.psa_net_head import PSANetHead, attend, between_positions, shrunk_size


def head(mask_size=(5, 7), **kwargs) -> PSANetHead:
    settings = dict(in_channels=8, channels=4, num_classes=3, in_index=0, norm_cfg=dict(type='BN'), align_corners=True)
    return PSANetHead(mask_size, **(settings | kwargs))


@pytest.mark.parametrize(
    ('size', 'factor', 'shrunk'), [((89, 45), 2, (45, 23)), ((90, 1), 2, (45, 1)), ((7, 6), 1, (7, 6))]
)
def test_shrunk_sizes_by_hand(size, factor, shrunk):
    assert shrunk_size(size, factor) == shrunk


def test_equal_scores_give_the_mean_of_all_positions():
    features = torch.rand(2, 4, 3, 5)
    got = attend(features, torch.zeros(2, 45, 3, 5), (5, 9), 'collect')
    torch.testing.assert_close(got, features.mean((2, 3), keepdim=True).expand_as(features))


def test_one_overwhelming_score_by_hand():
    """Everyone collects from the left neighbour, or gives to it; the first column has none and keeps equal weights."""
    features = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    scores = torch.zeros(1, 3, 1, 3)
    scores[:, 0] = 100  # relative column -1
    collected = attend(features, scores, (1, 3), 'collect')
    torch.testing.assert_close(collected, torch.tensor([[[[7 / 3, 1.0, 2.0]]]]))
    given = attend(features, scores, (1, 3), 'distribute')
    torch.testing.assert_close(given, torch.tensor([[[[2.0, 4.0, 7 / 3]]]]))


@pytest.mark.parametrize('mask_size', [(5, 7), (7, 11), (1, 3)])
@pytest.mark.parametrize('direction', ['collect', 'distribute'])
def test_as_the_operator_of_mmcv(mask_size, direction):
    """Values and gradients; masks that reach everywhere, and masks that do not."""
    scores = torch.randn(2, mask_size[0] * mask_size[1], 4, 6, requires_grad=True)
    ours, theirs = between_positions(scores, mask_size, direction), PSAMask(direction, mask_size)(scores).flatten(2)
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    weights = torch.randn(ours.shape)
    gradients = [torch.autograd.grad((each * weights).sum(), scores)[0] for each in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_the_two_directions_are_transposes_of_each_other():
    scores = torch.randn(2, 35, 4, 6)
    collect, distribute = (between_positions(scores, (5, 7), kind) for kind in ('collect', 'distribute'))
    assert collect.abs().sum() > 0
    torch.testing.assert_close(collect, distribute.transpose(1, 2), atol=0, rtol=0)


@pytest.mark.parametrize('size', [(9, 13), (8, 12), (9, 12), (1, 1)])
@pytest.mark.parametrize('shrink_factor', [1, 2, 3])
def test_any_size_of_map(size, shrink_factor):
    model = head(shrink_factor=shrink_factor).eval()
    logits = model((torch.rand(1, 8, *size),))
    assert logits.shape == (1, 3, *size)
    assert logits.isfinite().all()


def test_every_parameter_learns():
    model = head().train()
    model((torch.rand(2, 8, 9, 13),)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert model.attention[1].weight.grad.abs().sum() > 0


def test_low_precision_runs():
    """mmcv's operator takes no half precision; mixed precision must not meet it."""
    with torch.autocast('cpu', torch.bfloat16):
        assert head().eval()((torch.rand(1, 8, 9, 13),)).isfinite().all()


@pytest.mark.parametrize('mask_size', [(4, 5), (5, 0), (5, -1)])
def test_mask_must_have_a_middle(mask_size):
    with pytest.raises(ValueError, match='must be odd'):
        head(mask_size)


def test_map_cannot_grow():
    with pytest.raises(ValueError, match='shrink_factor=0'):
        head(shrink_factor=0)


def test_registry_builds_it():
    from mmseg.registry import MODELS

    built = MODELS.build(dict(type='PSANetHead', mask_size=(3, 3), in_channels=8, channels=4, num_classes=3))
    assert isinstance(built, PSANetHead)
