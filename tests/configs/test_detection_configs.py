"""Every detection config builds, trains a step of each stage and tests an image; its name is true."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmext.common.running import local_weights

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs/detection').rglob('*.py'))
NAME = re.compile(
    r'faster-rcnn_(?P<backbone>r18|r50)-(?P<map>c4|fpn)(-(?P<pooling>roipool|roialign))?(-(?P<source>in1k|coco)-pre)?'
    r'_1x(?P<stages>b\d+-\d+e(-b\d+-\d+e)?)_(?P<dataset>voc0712|sample)-(?P<height>\d+)x(?P<width>\d+)'
)
C4 = 'configs/detection/faster_rcnn/faster-rcnn_r50-c4-roipool{}_1xb4-30e-b2-40e_voc0712-600x600.py'
IMAGENET, COCO, RANDOM = (C4.format(source) for source in ('-in1k-pre', '-coco-pre', ''))

pytestmark = pytest.mark.usefixtures('in_root')


@pytest.mark.parametrize('leaf', LEAVES)
def test_trains_a_step_of_each_stage_and_tests_an_image(leaf, shrunk_detector, tmp_path):
    from mmengine.runner import Runner

    cfg = shrunk_detector(leaf, tmp_path / Path(leaf).stem)
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()
    changed = {name.split('.')[0] for name, value in runner.model.named_parameters() if not value.equal(before[name])}
    assert runner.iter == len(cfg.train_cfg.stages)
    assert {'backbone', 'rpn_head', 'roi_head'} <= changed
    metrics = runner.test()
    assert metrics['mAP'] is None or 0 <= metrics['mAP'] <= 1


@pytest.mark.parametrize('leaf', LEAVES)
def test_name_is_true(leaf):
    cfg = Config.fromfile(leaf)
    name = NAME.fullmatch(Path(leaf).stem)
    assert name, f'{leaf}: does not follow {{algorithm}}_{{backbone}}_1xb{{batch}}-{{schedule}}_{{dataset}}-{{crop}}'
    assert cfg.model.type == 'FasterRCNN'
    assert cfg.model.backbone.depth == int(name['backbone'][1:])
    assert ('neck' in cfg.model) == (name['map'] == 'fpn')
    layer = cfg.model.roi_head.bbox_roi_extractor.roi_layer.type
    assert layer.lower() == (name['pooling'] or 'roialign')
    stages = [(int(batch), int(epochs)) for batch, epochs in re.findall(r'b(\d+)-(\d+)e', name['stages'])]
    found = [(stage.batch_size, stage.epochs) for stage in cfg.train_cfg.stages]
    if len(stages) == 1:
        assert {batch for batch, _ in found} == {stages[0][0]}
        assert sum(epochs for _, epochs in found) == stages[0][1]
    else:
        assert found == stages
    assert cfg.train_dataloader.batch_size == found[0][0]
    sizes = [batch for batch, _ in found]
    assert cfg.auto_scale_lr.base_batch_size in (sizes, sizes[0] if len(set(sizes)) == 1 else sizes)
    assert cfg.train_dataloader.dataset.type == 'VOC0712SplitDataset'
    assert ('samples' in cfg.train_dataloader.dataset.data_root) == (name['dataset'] == 'sample')
    (crop,) = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop']
    assert tuple(crop.crop_size) == (int(name['width']), int(name['height']))
    assert [cfg[f'{part}_dataloader'].dataset.part for part in ('train', 'val', 'test')] == ['train', 'val', 'test']


@pytest.mark.parametrize('leaf', LEAVES)
def test_initial_weights_are_those_of_the_name(leaf):
    cfg = Config.fromfile(leaf)
    source = NAME.fullmatch(Path(leaf).stem)['source']
    files = {
        None: [],
        'in1k': ['checkpoints/resnet50-0676ba61.pth'],
        'coco': ['checkpoints/maskrcnn-r50-coco-backbone.pth'],
    }
    assert list(local_weights(cfg)) == files[source]


def test_there_are_leaves():
    assert len(LEAVES) >= 7


def settings(leaf: str) -> dict:
    """All settings of a config as flat names and values."""

    def walk(node, name):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from walk(value, f'{name}.{key}')
        elif isinstance(node, (list, tuple)):
            for index, value in enumerate(node):
                yield from walk(value, f'{name}.{index}')
        else:
            yield name, node

    return dict(walk(Config.fromfile(leaf).to_dict(), ''))


def difference(first: str, second: str) -> set[str]:
    """Names of settings that differ, without what only names a file of weights."""
    ours, theirs = settings(first), settings(second)
    differ = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    return {name for name in differ if 'init_cfg' not in name and name != '.checkpoint'}


def test_the_initialisations_differ_by_their_weights_only():
    assert difference(IMAGENET, COCO) == set()
    assert settings(IMAGENET)['.checkpoint'] != settings(COCO)['.checkpoint']


def test_random_weights_differ_in_what_is_frozen_too():
    norm = {'.model.backbone.norm_eval', '.model.roi_head.shared_head.norm_eval'}
    asked = {f'.default_hooks.initialisation.min_loaded.{part}' for part in ('backbone', 'roi_head.shared_head')}
    assert difference(IMAGENET, RANDOM) == {'.train_cfg.stages.0.freeze.0', *norm, *asked}


@pytest.mark.parametrize('leaf', [RANDOM, C4.format('').replace('1xb4-30e-b2-40e', '1xb4-260e')])
def test_random_weights_never_stand_still(leaf):
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    cfg = Config.fromfile(leaf)
    assert all(stage['freeze'] == [] for stage in cfg.train_cfg.stages)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.train()
    assert [name for name, value in model.named_parameters() if not value.requires_grad] == []
    norms = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    assert len(norms) == 53
    assert [name for name, layer in norms.items() if not layer.training] == []


def test_anchors_are_those_of_the_report():
    import mmdet.models  # noqa: F401
    from mmdet.registry import TASK_UTILS
    from mmengine.registry import DefaultScope

    cfg = Config.fromfile(IMAGENET)
    with DefaultScope.overwrite_default_scope('mmdet'):
        (boxes,) = TASK_UTILS.build(cfg.model.rpn_head.anchor_generator).base_anchors
    sizes = boxes[:, 2:] - boxes[:, :2]
    # Stride 16 times 8, 16 and 32: areas of 128, 256 and 512 pixels squared in three shapes.
    assert sorted(sizes.prod(dim=1).sqrt().round().int().tolist()) == sorted([128, 256, 512] * 3)
    assert sorted({round(ratio, 2) for ratio in (sizes[:, 1] / sizes[:, 0]).tolist()}) == [0.5, 1.0, 2.0]
