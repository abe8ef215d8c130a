import pytest
import torch


def build(**kwargs):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(
        dict(type='PyramidPooling', in_channels=6, channels=4, norm_cfg=dict(type='BN')) | kwargs
    ).eval()


def test_input_comes_first_then_one_branch_a_bin():
    pyramid = build()
    x = torch.randn(2, 6, 7, 9)
    y = pyramid(x)
    assert y.shape == (2, 6 + 4 * 4, 7, 9)
    assert pyramid.out_channels == y.shape[1]
    assert y[:, :6].equal(x)
    for n, branch in enumerate(pyramid.branches):
        assert branch.bins == (1, 2, 3, 6)[n]
        assert y[:, 6 + 4 * n : 10 + 4 * n].equal(branch(x))


def test_constant_features_stay_constant():
    y = build()(torch.ones(1, 6, 7, 9))
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))


def test_as_many_bins_as_pixels_pool_nothing():
    pyramid = build(bins=(5,))
    x = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(pyramid(x)[:, 6:], pyramid.branches[0].conv(x))


@pytest.mark.parametrize('align_corners', [False, True])
def test_mirrored_features_give_the_mirrored_result(align_corners):
    pyramid = build(align_corners=align_corners)
    x = torch.randn(1, 6, 11, 14)
    torch.testing.assert_close(pyramid(x.flip(3)), pyramid(x).flip(3), atol=1e-5, rtol=1e-5)


def test_map_smaller_than_the_bins():
    assert build()(torch.randn(1, 6, 2, 3)).isfinite().all()


def test_only_the_branch_of_one_cell_is_special_with_one_image():
    """The other bins normalise with the batch, as if that branch were not there."""
    pyramid = build().train()
    x = torch.randn(1, 6, 12, 12)
    y = pyramid(x)
    y.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pyramid.parameters())
    tracked = [int(branch.conv.norm.num_batches_tracked) for branch in pyramid.branches]
    assert tracked == [0, 1, 1, 1]
    for n, bins in enumerate((2, 3, 6), 1):
        branch = build().branches[n].train()
        pooled = branch.conv.conv(torch.nn.functional.adaptive_avg_pool2d(x, bins))
        var, mean = torch.var_mean(pooled, (0, 2, 3), correction=0, keepdim=True)
        expected = ((pooled - mean) / (var + 1e-5).sqrt()).relu()
        expected = torch.nn.functional.interpolate(expected, (12, 12), mode='bilinear')
        torch.testing.assert_close(y[:, 6 + 4 * n : 10 + 4 * n], expected, atol=1e-5, rtol=1e-4)
