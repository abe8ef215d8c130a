"""DeepLabV3PlusHead; its numbers are proved in tests/segmentation/converters/test_deep_lab_v3_plus.py."""

import pytest
import torch

from mmext.segmentation.models.heads.deep_lab_v3_plus_head import DeepLabV3PlusHead


def head(**kwargs) -> DeepLabV3PlusHead:
    settings = dict(in_channels=(4, 6), channels=5, low_level_channels=3, num_classes=7, norm_cfg=dict(type='BN'))
    return DeepLabV3PlusHead(**(settings | kwargs))


def maps(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 4, 16, 24), torch.rand(batch, 6, 4, 6)


def test_parameters_by_hand():
    published = head(in_channels=(24, 320), channels=256, low_level_channels=48, num_classes=19)
    norms = 2 * (48 + 5 * 256 + 256 + 256)
    pyramid = 2 * 320 * 256 + 3 * 320 * 256 * 9 + 5 * 256 * 256
    convolutions = 24 * 48 + pyramid + (48 + 256) * 256 * 9 + 256 * 19 + 19
    assert sum(parameter.numel() for parameter in published.parameters()) == norms + convolutions


def test_logits_have_the_size_of_the_early_map():
    assert head().eval()(maps()).shape == (2, 7, 16, 24)


def test_pooled_branch_sees_the_whole_map():
    """Far from the change and out of reach of the small dilations, the output changes through the mean alone."""
    torch.manual_seed(0)
    model = head(dilations=(1, 1, 1), channels=32).eval()
    low, high = torch.rand(1, 4, 40, 40), torch.rand(1, 6, 40, 40)
    changed = high.clone()
    changed[..., 0, 0] += 10
    before, after = model((low, high)), model((low, changed))
    assert (before - after)[..., 20:, 20:].abs().max() > 0


def test_dropout_acts_in_training_only_and_once():
    model = head(dropout_ratio=0.5).eval()
    inputs = maps()
    torch.testing.assert_close(model(inputs), model(inputs), atol=0, rtol=0)
    assert model.dropout is None
    model.aspp_dropout.train()
    assert not torch.equal(model(inputs), model(inputs))


def test_every_parameter_learns():
    model = head().train()
    model(maps()).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_single_training_image_is_refused_by_batch_norm():
    with pytest.raises(ValueError, match='more than 1 value'):
        head().train()(maps(batch=1))


def test_registry_builds_it():
    from mmseg.registry import MODELS

    assert isinstance(
        MODELS.build(dict(type='DeepLabV3PlusHead', in_channels=(4, 6), channels=5, num_classes=3)), DeepLabV3PlusHead
    )
