import pytest
import torch
from torch import nn

from mmext.segmentation.models.contexts import pooled_branch
from mmext.segmentation.models.contexts.pooled_branch import PooledBranch, lacks_variance


def branch(bins=1, norm='BN', **kwargs):
    torch.manual_seed(0)
    settings = dict(conv_cfg=None, norm_cfg=norm and dict(type=norm), act_cfg=None, align_corners=False)
    return PooledBranch(bins, 3, 4, **(settings | kwargs))


@pytest.mark.parametrize('align_corners', [False, True])
def test_one_cell_is_the_mean_everywhere(align_corners):
    pooled = branch(norm=None, align_corners=align_corners)
    x = torch.randn(2, 3, 5, 7)
    expected = torch.einsum('oi,bi->bo', pooled.conv.conv.weight[..., 0, 0], x.mean((2, 3)))
    expected = (expected + pooled.conv.conv.bias)[..., None, None].expand(2, 4, 5, 7)
    torch.testing.assert_close(pooled(x), expected)


def test_two_cells_by_hand():
    """Quadrant means 0, 1, 2, 3; between their centres, which lie half a cell from the border, a straight line."""
    pooled = branch(2, norm=None)
    with torch.no_grad():
        pooled.conv.conv.weight.copy_(torch.tensor([1.0, 0, 0])[None, :, None, None].expand(4, 3, 1, 1))
        pooled.conv.conv.bias.zero_()
    x = torch.zeros(1, 3, 4, 4)
    x[0, 0] = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    row = torch.tensor([0.0, 0.25, 0.75, 1.0])
    torch.testing.assert_close(pooled(x)[0, 0], row[None] + 2 * row[:, None])


def test_single_image_is_normalised_with_the_running_statistics():
    pooled = branch().train()
    norm = pooled.conv.norm
    norm.running_mean.copy_(torch.arange(4.0))
    norm.running_var.fill_(4.0)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(1, 3, 5, 7)
    y = pooled(x)
    assert all(value.equal(before[name]) for name, value in norm.state_dict().items())
    assert norm.training
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pooled.parameters())
    assert pooled.conv.conv.weight.grad.abs().sum() > 0
    torch.testing.assert_close(pooled.eval()(x), y)


def test_two_images_are_normalised_with_their_own_statistics():
    pooled = branch().train()
    y = pooled(torch.randn(2, 3, 5, 7))
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    assert pooled.conv.norm.num_batches_tracked == 1
    assert pooled.conv.norm.running_mean.abs().sum() > 0


def test_plain_torch_refuses_a_single_value():
    """Why the rule is there."""
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        nn.BatchNorm2d(4).train()(torch.randn(1, 4, 1, 1))


def test_error_inside_leaves_the_norm_in_training_mode():
    pooled = branch().train()
    with pytest.raises(RuntimeError):
        pooled(torch.randn(1, 5, 5, 7))
    assert pooled.conv.norm.training


def test_who_lacks_a_variance(monkeypatch):
    one, two = torch.randn(1, 4, 1, 1), torch.randn(2, 4, 1, 1)
    assert lacks_variance(nn.BatchNorm2d(4), one)
    assert not lacks_variance(nn.BatchNorm2d(4), two)
    assert not lacks_variance(nn.BatchNorm2d(4).eval(), one)
    assert not lacks_variance(nn.GroupNorm(2, 4), one)
    assert lacks_variance(nn.SyncBatchNorm(4), one)
    monkeypatch.setattr(pooled_branch, 'get_world_size', lambda: 2)
    assert not lacks_variance(nn.SyncBatchNorm(4), one)
    assert lacks_variance(nn.BatchNorm2d(4), one)
