"""Where the input size comes from, and that a model is built without weights and without a process group."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmext.analysis.model_from_config import (
    AnalysisError,
    build_model,
    input_size,
    load_config,
    toolbox_of,
    without_weights,
)


def test_weights_are_stripped_at_every_depth():
    """The shape of a C4 detector: weights in the backbone, in the shared head and in a list of heads."""
    load = {'type': 'Pretrained', 'checkpoint': 'https://nowhere.invalid/r50.pth'}
    model = {
        'pretrained': 'torchvision://resnet50',
        'backbone': {'depth': 50, 'init_cfg': load, 'norm_cfg': {'type': 'SyncBN', 'requires_grad': True}},
        'roi_head': {'shared_head': {'depth': 50, 'pretrained': 'x.pth', 'init_cfg': load}},
        'decode_head': [{'init_cfg': load}, {'scales': (1, 2), 'norm_cfg': {'type': 'MMSyncBN'}}],
    }
    assert without_weights(model) == {
        'pretrained': None,
        'backbone': {'depth': 50, 'init_cfg': None, 'norm_cfg': {'type': 'BN', 'requires_grad': True}},
        'roi_head': {'shared_head': {'depth': 50, 'pretrained': None, 'init_cfg': None}},
        'decode_head': [{'init_cfg': None}, {'scales': (1, 2), 'norm_cfg': {'type': 'BN'}}],
    }
    assert model['backbone']['init_cfg'] is load


def test_build_is_reproducible_and_leaves_the_scope_alone():
    backbone = {'type': 'ResNet', 'depth': 18, 'norm_cfg': {'type': 'SyncBN'}, 'init_cfg': {'type': 'Pretrained'}}
    config = Config({'default_scope': 'mmpretrain', 'model': {'type': 'ImageClassifier', 'backbone': backbone}})
    with DefaultScope.overwrite_default_scope('mmdet'):
        first, second = build_model(config), build_model(config)
        assert DefaultScope.get_current_instance().scope_name == 'mmdet'
    assert all((a == b).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not first.training
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in first.modules())


def loader(*transforms, wrapped: bool = False):
    dataset = {'type': 'Any', 'pipeline': [{'type': 'LoadImageFromFile'}, *transforms]}
    return {'dataset': {'type': 'RepeatDataset', 'dataset': dataset} if wrapped else dataset}


RESIZE = {'type': 'Resize', 'scale': (1242, 375)}


@pytest.mark.parametrize(
    ('config', 'size', 'source'),
    [
        ({'test_dataloader': loader(RESIZE), 'crop_size': (368, 368)}, (375, 1242), 'test pipeline, Resize'),
        ({'test_dataloader': loader(RESIZE, wrapped=True)}, (375, 1242), 'test pipeline'),
        ({'test_pipeline': [{**RESIZE, 'keep_ratio': True}]}, (375, 1242), 'keep_ratio: the largest size'),
        ({'test_pipeline': [{'type': 'mmseg.Resize', 'scale': (64, 32)}]}, (32, 64), 'test pipeline, Resize'),
        (
            {'test_pipeline': [{'type': 'ResizeEdge', 'scale': 256}, {'type': 'CenterCrop', 'crop_size': 224}]},
            (224, 224),
            'CenterCrop 224',
        ),
        ({'val_dataloader': {'dataset': {'type': 'mmpretrain.CIFAR100'}}}, (32, 32), 'mmpretrain.CIFAR100'),
        (
            {'test_pipeline': [RESIZE], 'model': {'test_cfg': {'mode': 'slide', 'crop_size': (512, 1024)}}},
            (512, 1024),
            'sliding-window',
        ),
        (
            {'test_pipeline': [RESIZE], 'model': {'data_preprocessor': {'pad_size_divisor': 32}}},
            (384, 1248),
            'padded to multiples of 32',
        ),
        ({'model': {'data_preprocessor': {'size': (368, 320)}}}, (368, 320), 'data_preprocessor.size'),
        ({'data_preprocessor': {'size': (368, 320)}, 'model': {'data_preprocessor': None}}, (368, 320), 'data_prep'),
        ({'crop_size': (368, 320)}, (368, 320), 'crop_size'),
        ({'train_dataloader': loader({'type': 'RandomCrop', 'crop_size': 32})}, (32, 32), 'training pipeline'),
        ({'model': {'backbone': {'img_size': 224}}}, (224, 224), 'img_size'),
    ],
)
def test_input_size(config, size, source):
    found, where = input_size(Config({'model': {}, **config}))
    assert found == size
    assert source in where


def test_bad_configs_are_named(tmp_path):
    path = tmp_path / 'c.py'
    with pytest.raises(AnalysisError, match=r'c\.py: no such config file'):
        load_config(path)
    path.write_text('crop_size = [(1, 2), (3, 4)]\n')
    with pytest.raises(AnalysisError, match=r'c\.py: the config has no `model`'):
        load_config(path)
    config = load_config(path, {'model.type': 'X', 'default_scope': 'mmpose'})
    with pytest.raises(AnalysisError, match=r"c\.py: default_scope is 'mmpose'; expected one of mmseg"):
        toolbox_of(config)
    with pytest.raises(AnalysisError, match=r'c\.py: no input size .* pass --shape H W'):
        input_size(config)
