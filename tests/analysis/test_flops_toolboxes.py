"""Models of the three toolboxes: published figures, closed forms, what runs at inference and what does not."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.analysis.flop_report import rows_at_depth
from mmext.analysis.flops import count_flops
from mmext.analysis.model_from_config import build_model

KITTI = (375, 1242)


def build(scope: str, **model):
    return build_model(Config({'default_scope': scope, 'model': model}))


def segformer(embed: int, layers: list[int], channels: int, **extra):
    backbone = {
        'type': 'MixVisionTransformer',
        'embed_dims': embed,
        'num_layers': layers,
        'num_heads': [1, 2, 5, 8],
        'patch_sizes': [7, 3, 3, 3],
        'sr_ratios': [8, 4, 2, 1],
        'mlp_ratio': 4,
        'qkv_bias': True,
        'init_cfg': {'type': 'Pretrained', 'checkpoint': 'https://nowhere.invalid/mit.pth'},
    }
    head = {
        'type': 'SegformerHead',
        'in_channels': [embed, 2 * embed, 5 * embed, 8 * embed],
        'in_index': [0, 1, 2, 3],
        'channels': channels,
        'num_classes': 19,
        'norm_cfg': {'type': 'SyncBN'},
    }
    return build('mmseg', type='EncoderDecoder', backbone=backbone, decode_head=head, **extra)


def fcn_head(embed: int):
    return {
        'type': 'FCNHead',
        'in_channels': 5 * embed,
        'in_index': 2,
        'channels': 16,
        'num_convs': 1,
        'num_classes': 19,
    }


def test_segformer_b0_is_the_published_figure():
    report = count_flops(segformer(32, [2, 2, 2, 2], 256), KITTI, toolbox='mmseg')
    assert f'{report.macs / 1e9:.3f}' == '15.579'
    assert not report.unknown
    upsampling = rows_at_depth(report, 1)[-1]
    assert upsampling.macs == 4 * 19 * KITTI[0] * KITTI[1]
    assert sum(row.macs for row in rows_at_depth(report, 3)) == report.macs


@pytest.mark.slow
def test_segformer_b2_is_the_published_figure():
    report = count_flops(segformer(64, [3, 4, 6, 3], 256), KITTI, toolbox='mmseg')
    assert f'{report.macs / 1e9:.3f}' == '50.633'


def test_auxiliary_head_adds_parameters_and_no_macs():
    plain = count_flops(segformer(8, [1, 1, 1, 1], 16), (64, 96), toolbox='mmseg')
    both = count_flops(segformer(8, [1, 1, 1, 1], 16, auxiliary_head=fcn_head(8)), (64, 96), toolbox='mmseg')
    assert both.macs == plain.macs
    assert both.params > both.params_inference == plain.params == plain.params_inference
    assert not both.not_called


@pytest.mark.parametrize(('context', 'needed'), [('PyramidPooling', False), ('ObjectContext', True)])
def test_classifier_within_the_head_counts_where_a_test_calls_it(context, needed):
    import mmext.segmentation  # noqa: F401

    head = {
        'type': 'ContextHead',
        'context': {'type': context},
        'auxiliary': {'in_channels': 40, 'in_index': 2},
        'in_channels': 64,
        'in_index': 3,
        'channels': 16,
        'num_classes': 19,
    }
    model = segformer(8, [1, 1, 1, 1], 16)
    model.decode_head = build('mmseg', **head).eval()
    report = count_flops(model, (64, 96), toolbox='mmseg')
    classifier = sum(value.numel() for value in model.decode_head.auxiliary.parameters())
    assert report.params - report.params_inference == (0 if needed else classifier)
    assert not report.not_called


def test_backbone_scope_is_the_backbone_row():
    model = segformer(8, [1, 1, 1, 1], 16)
    whole = count_flops(model, (64, 96), toolbox='mmseg')
    backbone = count_flops(model, (64, 96), toolbox='mmseg', scope='backbone')
    assert [backbone.macs, backbone.params] == next(
        [row.macs, row.params] for row in rows_at_depth(whole, 1) if row.name == 'backbone'
    )
    assert sum(row.macs for row in rows_at_depth(whole, 1) if row.name in ('backbone', 'decode_head')) < whole.macs


def test_mmpretrain_vit_closed_form():
    """Patch embedding, 12 blocks and the class token's score; torch's attention kernel is in use."""
    width, hidden, tokens = 192, 768, 4 * 4 + 1
    arch = {'embed_dims': width, 'num_layers': 12, 'num_heads': 3, 'feedforward_channels': hidden}
    backbone = {'type': 'VisionTransformer', 'arch': arch, 'img_size': 32, 'patch_size': 8}
    head = {'type': 'VisionTransformerClsHead', 'num_classes': 100, 'in_channels': width}
    report = count_flops(
        build('mmpretrain', type='ImageClassifier', backbone=backbone, head=head), (32, 32), toolbox='mmpretrain'
    )
    linear = tokens * width * (4 * width + 2 * hidden)
    attention = 2 * tokens * tokens * width
    norms = (2 * 12 + 1) * 5 * tokens * width
    assert report.by_operator['scaled_dot_product_attention'] == 12 * attention
    assert report.macs == 16 * width * 3 * 8 * 8 + 12 * (linear + attention) + norms + width * 100
    assert not report.unknown


def test_mmpretrain_resnet18():
    """1.814 G in convolutions and the classifier, 1.82 G with batch norm."""
    backbone = {'type': 'ResNet', 'depth': 18}
    head = {'type': 'LinearClsHead', 'num_classes': 1000, 'in_channels': 512}
    model = build(
        'mmpretrain', type='ImageClassifier', backbone=backbone, neck={'type': 'GlobalAveragePooling'}, head=head
    )
    report = count_flops(model, (224, 224), toolbox='mmpretrain')
    assert f'{report.macs / 1e9:.2f}' == '1.82'
    assert report.by_operator['conv'] + report.by_operator['linear'] == 1_814_073_344
    assert report.params == 11_689_512


@pytest.mark.slow
def test_mmdet_one_stage():
    """RetinaNet: the shared head runs on five levels, as its closed form says."""
    backbone = {
        'type': 'ResNet',
        'depth': 18,
        'init_cfg': {'type': 'Pretrained', 'checkpoint': 'torchvision://resnet18'},
    }
    neck = {'type': 'FPN', 'in_channels': [64, 128, 256, 512], 'out_channels': 32, 'start_level': 1, 'num_outs': 5}
    neck['add_extra_convs'] = 'on_input'
    head = {'type': 'RetinaHead', 'num_classes': 4, 'in_channels': 32, 'stacked_convs': 2, 'feat_channels': 32}
    model = build('mmdet', type='RetinaNet', backbone=backbone, neck=neck, bbox_head=head)
    report = count_flops(model, (128, 192), toolbox='mmdet')
    cells = 16 * 24 + 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    per_cell = 9 * 32 * (2 * 2 * 32 + 9 * 4 + 9 * 4)
    assert next(row.macs for row in rows_at_depth(report, 1) if row.name == 'bbox_head') == cells * per_cell
    assert not report.unknown


@pytest.mark.slow
def test_mmdet_two_stage_names_its_region_operators(monkeypatch):
    """Faster R-CNN R50-C4: the second stage costs the same for every proposal; no part asks for weights."""
    import mmdet
    from mmengine.runner.checkpoint import CheckpointLoader

    def no_weights(*args, **kwargs):
        raise AssertionError(f'weights were asked for: {args}')

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', no_weights)
    base = Path(mmdet.__file__).parent / '.mim/configs/_base_/models/faster-rcnn_r50-caffe-c4.py'
    config = Config.fromfile(base)
    config.default_scope = 'mmdet'
    stages = []
    for proposals in (2, 6):
        config.model.test_cfg.rpn.max_per_img = proposals
        model = build_model(config)
        model.init_weights()
        report = count_flops(model, (96, 128), toolbox='mmdet')
        assert report.notes[0].startswith(f'{proposals} proposals')
        assert {'prim::PythonOp.RoIAlignFunction', 'prim::PythonOp.NMSop'} <= report.unknown.keys()
        stages.append(next(row.macs for row in rows_at_depth(report, 1) if row.name == 'roi_head'))
    assert stages[1] == 3 * stages[0] > 0
