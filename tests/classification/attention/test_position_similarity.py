import math

import pytest
import torch
from torch import nn

from mmext.classification.attention.position_similarity import (
    position_embedding,
    position_similarity,
    similarity_picture,
)


def backbone(embedding: torch.Tensor, **attributes) -> nn.Module:
    module = nn.Module()
    module.pos_embed = nn.Parameter(embedding)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def test_class_token_is_left_out_and_the_grid_kept():
    embedding = torch.arange(14.0).reshape(1, 7, 2)
    found = position_embedding(backbone(embedding, patch_resolution=(2, 3), num_extra_tokens=1))
    torch.testing.assert_close(found, embedding[0, 1:].reshape(2, 3, 2))
    assert not found.requires_grad
    distilled = torch.randn(1, 18, 8)
    for attributes in (dict(patch_resolution=(4, 4)), dict(num_extra_tokens=2)):
        found = position_embedding(backbone(distilled, **attributes))
        torch.testing.assert_close(found.flatten(0, 1), distilled[0, 2:])
    # DeiT III gives its class token no position.
    found = position_embedding(backbone(distilled[:, :16], num_extra_tokens=1))
    torch.testing.assert_close(found.flatten(0, 1), distilled[0, :16])
    classifier = nn.Module()
    classifier.backbone = backbone(embedding, patch_resolution=(2, 3))
    assert position_embedding(classifier).shape == (2, 3, 2)


def test_networks_without_positions_are_refused():
    for embedding in (None, 'sine'):
        module = nn.Module()
        module.pos_embed = embedding
        with pytest.raises(ValueError, match='Module: has no position embedding'):
            position_embedding(module)
    with pytest.raises(ValueError, match='8 position embeddings are no square'):
        position_embedding(backbone(torch.randn(1, 8, 4), num_extra_tokens=1))
    with pytest.raises(ValueError, match='no grid'):
        position_embedding(backbone(torch.randn(1, 8, 4), patch_resolution=(3, 3)))


def test_similarity_by_hand():
    embedding = torch.tensor([[[1.0, 0], [0, 2]], [[3, 3], [-5, 0]]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1, 0, half, -1], [0, 1, half, 0], [half, half, 1, -half], [-1, 0, -half, 1]])
    torch.testing.assert_close(position_similarity(embedding), expected.reshape(2, 2, 2, 2))


def test_similarity_has_ones_on_the_diagonal_and_is_symmetric():
    similarity = position_similarity(torch.randn(3, 5, 16))
    flat = similarity.reshape(15, 15)
    torch.testing.assert_close(flat.diagonal(), torch.ones(15))
    torch.testing.assert_close(flat, flat.T)
    assert flat.abs().max() <= 1
    assert similarity.shape == (3, 5, 3, 5)


def test_zero_embeddings_have_no_direction():
    embedding = torch.ones(2, 2, 4)
    embedding[1, 0] = 0
    with pytest.raises(ValueError, match='1 of 4 are zero'):
        position_similarity(embedding)


def test_maps_lie_in_the_places_of_their_patches():
    similarity = position_similarity(torch.randn(2, 3, 8))
    picture = similarity_picture(similarity)
    assert picture.shape == (2 * 3 - 1, 3 * 4 - 1)
    torch.testing.assert_close(picture[3:5, 4:7], similarity[1, 1])
    torch.testing.assert_close(picture[:2, 8:], similarity[0, 2])
    assert picture[2].isnan().all()
    assert picture[:, 3].isnan().all()
    assert picture.isnan().sum() == picture.numel() - similarity.numel()
    assert not similarity_picture(similarity, gap=0).isnan().any()
