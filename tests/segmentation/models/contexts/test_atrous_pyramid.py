import torch
import torch.nn.functional as F


def build(**kwargs):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(dict(type='AtrousPyramid', in_channels=6, channels=4) | kwargs).eval()


def test_branches_are_dilated_convolutions_side_by_side():
    pyramid = build(norm_cfg=dict(type='BN'))
    x = torch.randn(2, 6, 9, 11)
    expected = []
    for branch, rate in zip(pyramid.branches, (1, 2, 3, 6), strict=True):
        y = F.conv2d(x, branch.conv.weight, padding=rate, dilation=rate)
        expected.append((y / (1 + branch.norm.eps) ** 0.5).relu())  # statistics of a new batch norm: mean 0, variance 1
    y = pyramid(x)
    torch.testing.assert_close(y, torch.cat(expected, 1), atol=1e-5, rtol=1e-5)
    assert pyramid.out_channels == y.shape[1] == 16


def test_a_point_spreads_as_far_as_the_rate():
    pyramid = build()
    for branch in pyramid.branches:
        torch.nn.init.ones_(branch.conv.weight)
        torch.nn.init.zeros_(branch.conv.bias)
    x = torch.zeros(1, 6, 15, 15)
    x[0, 0, 7, 7] = 1
    y = pyramid(x)
    for n, rate in enumerate((1, 2, 3, 6)):
        rows = y[0, 4 * n].nonzero()[:, 0].unique().tolist()
        assert rows == [7 - rate, 7, 7 + rate]


def test_deeplab_variant_has_image_pooling_and_a_pointwise_branch():
    plain, pyramid = build(), build(image_pooling=True)
    assert [branch.conv.kernel_size for branch in pyramid.branches] == [(1, 1), (3, 3), (3, 3), (3, 3)]
    assert [branch.conv.kernel_size for branch in plain.branches] == [(3, 3)] * 4
    x = torch.randn(2, 6, 9, 11)
    y = pyramid(x)
    assert pyramid.out_channels == y.shape[1] == plain.out_channels + 4
    torch.testing.assert_close(y[:, :4], y[:, :4, :1, :1].expand(2, 4, 9, 11))
    torch.testing.assert_close(y[:, 4:8], pyramid.branches[0](x))


def test_moved_features_give_the_moved_result():
    """Away from the border."""
    pyramid = build()
    x = torch.zeros(1, 6, 30, 30)
    x[..., 12:17, 12:17] = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(pyramid(x.roll((2, -3), (2, 3))), pyramid(x).roll((2, -3), (2, 3)))


def test_no_features_no_context():
    pyramid = build(image_pooling=True, norm_cfg=dict(type='BN'))
    assert pyramid(torch.zeros(1, 6, 9, 11)).abs().max() == 0


def test_one_image_trains_with_image_pooling():
    pyramid = build(image_pooling=True, norm_cfg=dict(type='BN')).train()
    pyramid(torch.randn(1, 6, 9, 11)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pyramid.parameters())
    assert pyramid.image_pooling.conv.norm.num_batches_tracked == 0
    assert all(branch.norm.num_batches_tracked == 1 for branch in pyramid.branches)
