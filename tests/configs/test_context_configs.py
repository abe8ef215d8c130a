"""What the rows of the context report have in common, and what they differ in."""

from pathlib import Path

import pytest
import torch
import torchvision.models
import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'configs' / 'segmentation' / 'context'
CITYSCAPES = '-d8-in1k-pre_4xb2-40k_cityscapes-512x1024'
SAMPLE = '-d8_1xb4-300i_sample-128x256'
# backbone -> channels of the third and of the last map, width of the head, torchvision's function
BACKBONES = {
    'r18': (256, 512, 128, 'resnet18'),
    'r50': (1024, 2048, 512, 'resnet50'),
    'r101': (1024, 2048, 512, 'resnet101'),
    'mobilenet-v2': (96, 320, 128, 'mobilenet_v2'),
    'mobilenet-v3-large': (112, 160, 128, 'mobilenet_v3_large'),
}
CONTEXTS = {'ppm': 'PyramidPooling', 'aspp': 'AtrousPyramid', 'ocr': 'ObjectContext'}
PUBLISHED = {
    'ppm_r18': 62.89,
    'ppm_r50': 68.97,
    'ppm_r101': 71.07,
    'aspp_r18': 62.09,
    'ocr_r18': 61.86,
    'ppm_mobilenet-v2': 59.25,
    'ppm_mobilenet-v3-large': 56.82,
}

pytestmark = pytest.mark.usefixtures('in_root', 'mmseg_scope')


def load(stem: str) -> Config:
    return Config.fromfile(FOLDER / f'{stem}.py')


def settings(node, path: str = '') -> dict:
    """{'model.decode_head.context.type': 'PyramidPooling', ...}"""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    leaves = {}
    for key, value in items:
        leaves |= settings(value, f'{path}.{key}' if path else str(key))
    return leaves or {path: node}


def test_rows_of_the_report_and_of_the_sample():
    expected = {f'{row}{CITYSCAPES}' for row in PUBLISHED} | {f'{context}_r18{SAMPLE}' for context in CONTEXTS}
    assert {path.stem for path in FOLDER.glob('*.py')} == expected


@pytest.mark.parametrize('suffix', [CITYSCAPES, SAMPLE])
@pytest.mark.parametrize('context', ['aspp', 'ocr'])
def test_ablation_differs_in_nothing_but_the_context(context, suffix):
    ppm, other = (settings(load(f'{name}_r18{suffix}').to_dict()) for name in ('ppm', context))
    different = {key for key in ppm.keys() | other.keys() if ppm.get(key) != other.get(key)}
    assert different == {'model.decode_head.context.type'}
    assert other['model.decode_head.context.type'] == CONTEXTS[context]


@pytest.mark.parametrize('stem', [f'ppm_{name}{CITYSCAPES}' for name in BACKBONES] + [f'ppm_r18{SAMPLE}'])
def test_backbone_ends_at_stride_8_with_the_channels_of_the_head(stem):
    from mmseg.registry import MODELS

    from mmext.common.running import drop_pretrained

    cfg = load(stem)
    drop_pretrained(cfg)
    head = cfg.model.decode_head
    third, last, width, _ = BACKBONES[stem.split('_')[1].split('-d8')[0]]
    assert (head.auxiliary.in_channels, head.in_channels, head.channels) == (third, last, width)
    assert (head.auxiliary.in_index, head.in_index, head.aux_weight, head.num_classes) == (2, 3, 0.4, 19)
    assert head.auxiliary.channels == width // 2
    backbone = MODELS.build(cfg.model.backbone)
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(each.shape[2:]) for each in maps] == [(16, 24), (8, 12), (8, 12), (8, 12)]
    assert (maps[2].shape[1], maps[3].shape[1]) == (third, last)


@pytest.mark.parametrize(('name', 'conv'), [('r18', 'conv1'), ('r50', 'conv2')])
def test_resnet_is_dilated_where_the_report_says(name, conv):
    from mmseg.registry import MODELS

    backbone = MODELS.build(dict(load(f'ppm_{name}{CITYSCAPES}').model.backbone, init_cfg=None))
    for layer, rate in (('layer3', 2), ('layer4', 4)):
        for block in getattr(backbone, layer):
            chosen = getattr(block, conv)
            assert chosen.dilation == chosen.padding == (rate, rate)
            assert chosen.stride == (1, 1)
            others = [m for n, m in block.named_modules() if isinstance(m, torch.nn.Conv2d) and n != conv]
            assert {m.dilation for m in others} == {(1, 1)}
            assert {m.stride for m in others} == {(1, 1)}


@pytest.mark.parametrize('name', list(BACKBONES))
def test_torchvision_has_every_tensor_of_the_backbone(name):
    from mmseg.registry import MODELS

    function = BACKBONES[name][3]
    cfg = load(f'ppm_{name}{CITYSCAPES}').model.backbone
    assert Path(cfg.init_cfg.checkpoint).name.rsplit('-', 1)[0] == function
    with torch.device('meta'):
        ours = MODELS.build(dict(cfg, init_cfg=None)).state_dict()
        theirs = getattr(torchvision.models, function)(weights=None).state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()}.items() <= {
        key: tensor.shape for key, tensor in theirs.items()
    }.items()
    last = {'v2': 'features.18', 'v3-large': 'features.16'}.get(cfg.get('arch'), 'fc')
    assert all(key.startswith((last, 'classifier', 'fc')) for key in theirs.keys() - ours.keys())


def test_metafile_holds_the_published_scores_and_the_weights():
    models = {model['Name']: model for model in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']}
    for row, miou in PUBLISHED.items():
        model = models[f'{row}{CITYSCAPES}']
        assert model['Results'][0]['Published']['mIoU'] == miou
        assert model['Results'][0]['Trained Here'] is False
        (weights,) = model['Metadata']['Initial Weights']
        assert weights['File'] == load(f'{row}{CITYSCAPES}').model.backbone.init_cfg.checkpoint
        assert weights['URL'] == f'https://download.pytorch.org/models/{Path(weights["File"]).name}'
        assert Path(weights['File']).stem.endswith(f'-{weights["SHA256Prefix"]}')
        assert f'{miou:.2f}' in (FOLDER / 'README.md').read_text()
    for context in CONTEXTS:
        assert models[f'{context}_r18{SAMPLE}']['Metadata']['Initial Weights'] == []


@pytest.mark.parametrize('context', list(CONTEXTS))
def test_sample_recipe_follows_its_own_length(context):
    cfg = load(f'{context}_r18{SAMPLE}')
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == 300
    assert cfg.model.backbone.get('init_cfg') is None
    assert cfg.load_from is None
    assert Path(cfg.model.decode_head.loss_decode.class_weight).is_file()
    assert (Path(cfg.data_root) / cfg.train_dataloader.dataset.ann_file).is_file()
