"""Every classification config builds, trains a step of each stage and tests images; its name is true."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.common.running import local_weights

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs/classification').rglob('*.py'))
NAME = re.compile(
    r'(?P<network>vit-(tiny|small|large|base)|resnet18|resnet18-half|resnet34|resnet-vit|resnext101|vgg16)(-p(?P<patch>\d+))?'
    r'(?P<cutmix>-cutmix)?(?P<jitter>-jitter)?(?P<nopos>-nopos)?(?P<modern>-modern)?'
    r'(-(?P<trained>head|all|head-then-all))?(-(?P<source>in21k|in1k)-pre)?'
    r'_1xb(?P<batch>\d+)-(?P<epochs>\d+)e_(?P<dataset>cifar100|sample|pets|dlcv50)-(?P<height>\d+)x(?P<width>\d+)'
)
DATASETS = {'cifar100': 'CheckedCIFAR100', 'sample': 'SampleCIFAR100', 'pets': 'FileNameLabelDataset'}
DATASETS['dlcv50'] = DATASETS['pets']
WEIGHTS = {
    'vit-base': 'checkpoints/vit-base-p16-in21k-in1k.pth',
    'resnet18': 'checkpoints/resnet18-f37072fd.pth',
    'resnet34': 'checkpoints/resnet34-b627a593.pth',
    'resnext101': 'checkpoints/resnext101_32x8d-8ba56ff5.pth',
    'vgg16': 'checkpoints/vgg16-mmpretrain.pth',
}
FREEZE = {'head': [['backbone']], 'all': [[]], 'head-then-all': [['backbone'], []]}

pytestmark = pytest.mark.usefixtures('in_root')


def parsed(leaf: str) -> re.Match:
    name = NAME.fullmatch(Path(leaf).stem)
    assert name, f'{leaf}: does not follow {{network}}_1xb{{batch}}-{{epochs}}e_{{dataset}}-{{size}}'
    return name


@pytest.mark.parametrize('leaf', LEAVES)
def test_trains_a_step_of_each_stage_and_tests_images(leaf, shrunk_classifier, tmp_path):
    from mmengine.runner import Runner

    runner = Runner.from_cfg(shrunk_classifier(leaf, tmp_path / Path(leaf).stem))
    runner.model.init_weights()
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()
    changed = {name for name, value in runner.model.named_parameters() if not value.equal(before[name])}
    assert any(name.startswith(('head', 'backbone.classifier')) for name in changed)  # the latter is VGG's head
    if parsed(leaf)['trained'] == 'head':
        assert not any(name.startswith('backbone') for name in changed)
    metrics = runner.test()
    assert 0 <= metrics['accuracy/top1'] <= 100


@pytest.mark.parametrize('leaf', LEAVES)
def test_name_is_true(leaf):
    cfg, name = Config.fromfile(leaf), parsed(leaf)
    assert cfg.train_dataloader.batch_size == int(name['batch']) == cfg.auto_scale_lr.base_batch_size
    stages = cfg.train_cfg.get('stages')
    epochs = sum(stage.epochs for stage in stages) if stages else cfg.train_cfg.max_epochs
    assert epochs == int(name['epochs'])
    assert cfg.train_dataloader.dataset.type == DATASETS[name['dataset']]
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    size = (int(name['height']), int(name['width']))
    if name['dataset'] in ('pets', 'dlcv50'):
        assert steps['RandomResizedCrop'].scale == 224
    else:
        assert tuple(steps['Resize'].scale if 'Resize' in steps else (32, 32)) == size
    assert ('torchvision/ColorJitter' in steps) == bool(name['jitter'])
    augments = (cfg.model.get('train_cfg') or {}).get('augments', [])
    kinds = [each.get('kind', 'cutmix') for each in ([augments] if isinstance(augments, dict) else augments)]
    assert kinds == (['cutmix', 'mixup'] if name['modern'] else ['cutmix'] * bool(name['cutmix']))
    if name['patch']:
        assert cfg.model.backbone.patch_size == int(name['patch'])
    assert (cfg.model.backbone.get('pos_embed', 'learned') is None) == bool(name['nopos'])
    if name['trained']:
        assert [list(stage['freeze']) for stage in stages] == FREEZE[name['trained']]


@pytest.mark.parametrize('leaf', LEAVES)
def test_initial_weights_are_those_of_the_name(leaf):
    name = parsed(leaf)
    expected = [WEIGHTS[name['network']]] if name['source'] else []
    assert list(local_weights(Config.fromfile(leaf))) == expected


def test_there_are_leaves():
    assert len(LEAVES) >= 22


def differing(first: str, second: str) -> set[str]:
    """Names of the top-level settings, and of the parts of the model, that differ."""

    def parts(leaf: str) -> dict:
        cfg = Config.fromfile(leaf).to_dict()
        return cfg | {f'model.{key}': value for key, value in cfg.pop('model').items()}

    ours, theirs = parts(first), parts(second)
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def test_rows_of_a_table_differ_in_what_the_row_says():
    rows = 'configs/classification/vit/vit-small-{}_1xb256-200e_cifar100-32x32.py'
    base = rows.format('p4')
    assert differing(base, rows.format('p4-cutmix')) == {'model.train_cfg'}
    assert differing(base, rows.format('p2')) == {'model.backbone'}
    assert differing(rows.format('p4-cutmix'), rows.format('p4-cutmix-nopos')) == {'model.backbone'}
    assert differing(base, rows.format('p4-jitter')) == {'train_dataloader', 'train_pipeline'}
