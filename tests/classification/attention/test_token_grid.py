import pytest
import torch
from torch import nn

from mmext.classification.attention.token_grid import TokenGrid, nearest_grid, token_grid


def test_the_nearest_grid():
    assert nearest_grid(196, (224, 224)) == (14, 14)
    assert nearest_grid(24, (64, 96)) == (4, 6)
    assert nearest_grid(24, (96, 64)) == (6, 4)
    # 197 is prime.
    assert nearest_grid(197, (224, 224)) is None
    assert nearest_grid(0, (224, 224)) is None


def test_the_grid_that_the_model_tells_counts():
    backbone = nn.Module()
    embedded = [(torch.zeros(1, 24, 8), (3, 8))]
    grid = token_grid(backbone, 26, (64, 96), embedded)
    assert grid == TokenGrid((3, 8), 2, False, (64, 96))
    assert grid.patch_hw == (64 / 3, 12)
    assert [grid.token(0, 0), grid.token(2, 7)] == [2, 25]


def test_without_it_the_backbone_names_its_extra_tokens():
    backbone = nn.Module()
    assert token_grid(backbone, 17, (32, 32), []) == TokenGrid((4, 4), 1, False, (32, 32))
    backbone.num_extra_tokens = 0
    assert token_grid(backbone, 16, (32, 32), [torch.zeros(1)]) == TokenGrid((4, 4), 0, True, (32, 32))
    backbone.out_type, backbone.num_extra_tokens = 'avg_featmap', 1
    assert token_grid(backbone, 17, (32, 32), []).mean


def test_tokens_without_a_grid_are_refused():
    backbone = nn.Module()
    with pytest.raises(ValueError, match=r'Module: 14 tokens, 1 of them extra, are no grid .* 32 x 32'):
        token_grid(backbone, 14, (32, 32), [])
    with pytest.raises(ValueError, match='-1 of them extra'):
        token_grid(backbone, 15, (32, 32), [(None, (4, 4))])
