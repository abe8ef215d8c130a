import math

import pytest
import torch
from mmengine.registry import DefaultScope

from mmext.detection.models.roi_extractors import RoIPoolExtractor


def extractor(output_size=2, strides=(1,), channels=1) -> RoIPoolExtractor:
    layer = dict(type='RoIPool', output_size=output_size)
    return RoIPoolExtractor(roi_layer=layer, out_channels=channels, featmap_strides=list(strides))


def pool_by_loops(features, region, stride, size):
    """Fast R-CNN's pooling in words: round the corners, which are inclusive, split into bins that may overlap."""
    left, top, right, bottom = (math.floor(float(side) / stride + 0.5) for side in region)
    width, height = max(right - left + 1, 1), max(bottom - top + 1, 1)
    pooled = torch.zeros(features.shape[0], size, size)
    for row in range(size):
        for column in range(size):
            rows = range(top + math.floor(row * height / size), top + math.ceil((row + 1) * height / size))
            columns = range(left + math.floor(column * width / size), left + math.ceil((column + 1) * width / size))
            rows = [y for y in rows if 0 <= y < features.shape[1]]
            columns = [x for x in columns if 0 <= x < features.shape[2]]
            if rows and columns:
                pooled[:, row, column] = features[:, rows][:, :, columns].amax((1, 2))
    return pooled


def test_hand_worked_region():
    # Cells 0..15 row by row; the region spans rows and columns 1 to 2 of the 4 x 4 map: 5 6 / 9 10.
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled = extractor()((features,), torch.tensor([[0.0, 1, 1, 2, 2]]))
    assert pooled.tolist() == [[[[5, 6], [9, 10]]]]


def test_corners_are_rounded_to_whole_cells():
    features = torch.randn(1, 3, 6, 6)
    pool = extractor(strides=(16,), channels=3)
    exact = pool((features,), torch.tensor([[0.0, 16, 16, 48, 48]]))
    near = pool((features,), torch.tensor([[0.0, 16 + 7, 16 - 7, 48 - 7, 48 + 7]]))
    assert exact.equal(near)


@pytest.mark.parametrize('seed', range(10))
def test_agrees_with_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 11, 13, generator=generator)
    corners = torch.rand(8, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([12 * 16.0, 10 * 16.0])
    # Halves of a cell round up here and to the even number there.
    corners = corners.round() + 0.25
    images = torch.randint(2, (8, 1), generator=generator)
    pooled = extractor(4, (16,), 3)((features,), torch.cat([images, corners.flatten(1)], dim=1))
    for got, image, region in zip(pooled, images[:, 0], corners.flatten(1), strict=True):
        torch.testing.assert_close(got, pool_by_loops(features[image], region, 16, 4))


def test_regions_are_pooled_one_by_one():
    features = torch.randn(1, 2, 9, 9)
    regions = torch.tensor([[0.0, 0, 0, 5, 5], [0.0, 2, 3, 8, 8], [0.0, 1, 1, 1, 1]])
    pool = extractor(3, channels=2)
    assert pool((features,), regions).flip(0).equal(pool((features,), regions.flip(0)))


def test_gradient_goes_to_the_maximum_only():
    features = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    extractor(1)((features,), torch.tensor([[0.0, 0, 0, 3, 3]])).sum().backward()
    assert features.grad.flatten().tolist() == [0.0] * 15 + [1.0]


def test_without_regions_it_is_empty():
    assert extractor(channels=2)((torch.randn(1, 2, 4, 4),), torch.zeros(0, 5)).shape == (0, 2, 2, 2)


def test_builds_through_the_registry():
    from mmdet.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmdet'):
        layer = dict(type='RoIPool', output_size=14)
        built = MODELS.build(dict(type='RoIPoolExtractor', roi_layer=layer, out_channels=1024, featmap_strides=[16]))
    assert isinstance(built, RoIPoolExtractor)
    assert built.roi_layers[0].spatial_scale == 1 / 16


def test_another_layer_is_refused():
    with pytest.raises(ValueError, match=r"roi_layer.type is 'RoIAlign': .*use SingleRoIExtractor"):
        RoIPoolExtractor(roi_layer=dict(type='RoIAlign', output_size=7), out_channels=1, featmap_strides=[4])
