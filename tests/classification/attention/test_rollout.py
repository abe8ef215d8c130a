"""Maps from attention weights, against NumPy written from the report's equation and values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from mmext.classification.attention.rollout import (
    HEADS,
    answer_map,
    gradient_rollout,
    layer_flow,
    mean_distance,
    query_maps,
    resized,
    rollout,
    scaled,
)
from mmext.classification.attention.token_grid import TokenGrid

GRID = TokenGrid((2, 3), 1, False, (32, 48))


def random_weights(layers: int = 3, batch: int = 2, heads: int = 4, tokens: int = 7, seed: int = 0) -> list:
    generator = torch.Generator().manual_seed(seed)
    shape = (layers, batch, heads, tokens, tokens)
    return list((4 * torch.randn(shape, generator=generator, dtype=torch.float64)).softmax(-1))


def numpy_rollout(weights: np.ndarray, fuse) -> np.ndarray:
    """One picture, (L, H, N, N), token by token."""
    tokens = weights.shape[-1]
    total = np.eye(tokens)
    for layer in weights:
        flow = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                flow[i, j] = fuse([head[i, j] for head in layer]) + (i == j)
            flow[i] /= flow[i].sum()
        total = flow.dot(total)
    return total


@pytest.mark.parametrize('heads', HEADS)
def test_rollout_is_that_of_numpy(heads):
    weights = random_weights()
    fuse = dict(mean=np.mean, max=max, min=min)[heads]
    found = rollout(weights, heads)
    stacked = torch.stack(weights).numpy()
    for picture in range(2):
        np.testing.assert_allclose(found[picture], numpy_rollout(stacked[:, picture], fuse), atol=1e-12)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 7, dtype=torch.float64))


def test_two_tokens_by_hand():
    # Heads [[1, 0], [0, 1]] and [[0, 1], [1, 0]] have the mean 1/2, with the identity [[3/4, 1/4], [1/4, 3/4]].
    layer = torch.stack([torch.eye(2), torch.eye(2).flip(0)])[None]
    expected = torch.tensor([[[0.75, 0.25], [0.25, 0.75]]])
    torch.testing.assert_close(layer_flow(layer), expected)
    torch.testing.assert_close(rollout([layer, layer]), torch.tensor([[[0.625, 0.375], [0.375, 0.625]]]))


@pytest.mark.parametrize('heads', HEADS)
def test_identity_attention_stays_the_identity(heads):
    identity = torch.eye(5).expand(1, 3, 5, 5)
    torch.testing.assert_close(rollout([identity] * 6, heads), torch.eye(5)[None], rtol=0, atol=0)


def test_later_layers_are_left_factors():
    first, second = random_weights(2)
    torch.testing.assert_close(rollout([first, second]), layer_flow(second) @ layer_flow(first))
    assert not torch.allclose(rollout([first, second]), rollout([second, first]))


def test_order_of_heads_does_not_matter_and_order_of_tokens_moves_along():
    weights = random_weights()
    turned = [layer.flip(1) for layer in weights]
    torch.testing.assert_close(rollout(turned), rollout(weights))
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    moved = [layer[..., order, :][..., order] for layer in weights]
    torch.testing.assert_close(rollout(moved), rollout(weights)[:, order][..., order])


def test_gradient_rollout_is_that_of_numpy():
    weights = random_weights()
    gradients = [torch.randn_like(layer) for layer in weights]
    found = gradient_rollout(weights, gradients)
    for picture in range(2):
        total = np.eye(7)
        for layer, slope in zip(weights, gradients, strict=True):
            product = (layer * slope)[picture].numpy()
            total = total + np.maximum(product, 0).mean(0).dot(total)
        np.testing.assert_allclose(found[picture], total, atol=1e-12)


def test_gradient_rollout_without_a_rising_score_is_the_identity():
    weights = random_weights()
    found = gradient_rollout(weights, [-torch.ones_like(layer) for layer in weights])
    torch.testing.assert_close(found, torch.eye(7, dtype=torch.float64).expand(2, 7, 7))
    with pytest.raises(ValueError, match='3 layers of weights and 2 of gradients'):
        gradient_rollout(weights, weights[:2])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='no layer'):
        rollout([])
    with pytest.raises(ValueError, match="heads 'median': not one of mean, max, min"):
        rollout(random_weights(), 'median')


def test_answer_map_takes_the_class_row_without_extra_columns():
    flow = torch.arange(49.0).reshape(1, 7, 7)
    torch.testing.assert_close(answer_map(flow, GRID), torch.tensor([[[1.0, 2, 3], [4, 5, 6]]]))
    distilled = TokenGrid((1, 5), 2, False, (16, 80))
    torch.testing.assert_close(answer_map(flow, distilled), torch.tensor([[[2.0, 3, 4, 5, 6]]]))
    # The mean over rows 1 to 6 is row 3.5.
    averaged = answer_map(flow, GRID._replace(mean=True))
    torch.testing.assert_close(averaged, torch.tensor([[[25.5, 26.5, 27.5], [28.5, 29.5, 30.5]]]))
    patches = TokenGrid((1, 7), 0, True, (16, 112))
    torch.testing.assert_close(answer_map(flow, patches)[0, 0], flow[0].mean(0))


def test_query_maps_pick_the_row_of_the_patch():
    weights = random_weights()[0]
    maps = query_maps(weights, GRID, 1, 2)
    assert maps.shape == (2, 4, 2, 3)
    torch.testing.assert_close(maps.flatten(2), weights[:, :, 6, 1:])
    torch.testing.assert_close(query_maps(weights, GRID, 0, 1).flatten(2), weights[:, :, 2, 1:])
    with pytest.raises(ValueError, match='patch 2 0: outside the grid, rows are 0 to 1 and columns 0 to 2'):
        query_maps(weights, GRID, 2, 0)
    with pytest.raises(ValueError, match='patch 0 -1'):
        query_maps(weights, GRID, 0, -1)


def test_logarithms_are_scores_up_to_a_constant():
    scores = torch.randn(1, 2, 7, 7)
    maps = query_maps(scores.softmax(-1), GRID, 1, 0, log=True)
    rest = maps.flatten(2) - scores[:, :, 4, 1:]
    torch.testing.assert_close(rest, rest[..., :1].expand_as(rest), rtol=0, atol=1e-5)
    assert query_maps(torch.zeros(1, 1, 7, 7), GRID, 0, 0, log=True).isfinite().all()


def test_distance_on_a_grid_of_two_by_two():
    grid = TokenGrid((2, 2), 1, False, (32, 32))
    uniform = torch.full((1, 1, 5, 5), 0.2)
    # From each patch: itself, two neighbours at 16 px, one across the corner at 16 √2 px.
    torch.testing.assert_close(mean_distance(uniform, grid), torch.tensor([[(32 + 16 * math.sqrt(2)) / 4]]))
    torch.testing.assert_close(mean_distance(torch.eye(5)[None, None], grid), torch.zeros(1, 1))
    # Every patch looks at the one below or above it; half of what it has goes to the class token, which does not count.
    swap = torch.zeros(5, 5)
    swap[:, 0] = 0.5
    swap[[1, 2, 3, 4], [3, 4, 1, 2]] = 0.5
    torch.testing.assert_close(mean_distance(swap[None, None], grid), torch.tensor([[16.0]]))
    tall = grid._replace(input_hw=(64, 32))
    torch.testing.assert_close(mean_distance(swap[None, None], tall), torch.tensor([[32.0]]))


def test_distance_is_that_of_loops():
    weights = random_weights()[0]
    found = mean_distance(weights, GRID)
    places = [(16 * row, 16 * column) for row in range(2) for column in range(3)]
    for head in range(4):
        patches = weights[1, head, 1:, 1:].numpy()
        means = [
            sum(share * math.dist(here, there) for share, there in zip(row, places, strict=True)) / row.sum()
            for here, row in zip(places, patches, strict=True)
        ]
        assert found[1, head] == pytest.approx(np.mean(means))


def test_scaled_maps_fill_the_range():
    maps = torch.tensor([[[2.0, 4.0], [3.0, 6.0]], [[5.0, 5.0], [5.0, 5.0]]])
    torch.testing.assert_close(scaled(maps), torch.tensor([[[0, 0.5], [0.25, 1]], [[0, 0], [0, 0]]]))
    torch.testing.assert_close(scaled(3 * maps - 7), scaled(maps))
    # Rounding errors are no map.
    assert not scaled(torch.full((1, 4, 4), 1 / 3) + 1e-8 * torch.randn(1, 4, 4)).any()
    assert not scaled(torch.zeros(1, 2, 2)).any()


def test_resized_maps_keep_place_and_range():
    maps = torch.tensor([[[0.0, 1.0], [0.5, 0.25]]])
    blocks = resized(maps, (4, 6), smooth=False)
    torch.testing.assert_close(blocks, maps.repeat_interleave(2, 1).repeat_interleave(3, 2))
    smooth = resized(maps, (40, 60))
    assert smooth.shape == (1, 40, 60)
    assert smooth.min() >= 0
    assert smooth.max() <= 1
    assert (smooth[0, 0, -1], smooth[0, 0, 0]) == (1, 0)
