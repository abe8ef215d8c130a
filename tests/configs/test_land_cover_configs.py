"""What only the land-cover recipes promise: one recipe for all, six classes in the mean, a chain of two trainings."""

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*_landcover-*.py'))
FINE_TUNED = [leaf for leaf in LEAVES if 'lovasz' in leaf]
FIRST = [leaf for leaf in LEAVES if leaf not in FINE_TUNED]

pytestmark = pytest.mark.usefixtures('in_root')


def build_without_memory(cfg: Config):
    from mmseg.registry import MODELS

    from mmext.common.running import drop_pretrained

    drop_pretrained(cfg)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def test_every_row_of_the_report_has_a_config():
    assert [Path(leaf).stem.split('_')[0] for leaf in FIRST] == [
        *('deeplabv3', 'fcn16s', 'fcn2s', 'fcn32s', 'fcn4s', 'fcn8s', 'segnet', 'unet16')
    ]
    assert [Path(leaf).stem.split('_')[0] for leaf in FINE_TUNED] == ['deeplabv3-lovasz', 'fcn8s-lovasz']


@pytest.mark.parametrize('leaf', LEAVES)
def test_seven_classes_are_trained_and_six_are_in_the_mean(leaf):
    from mmext.segmentation.datasets.land_cover import CLASSES

    cfg = Config.fromfile(leaf)
    heads = [cfg.model.decode_head, *([cfg.model.auxiliary_head] if 'auxiliary_head' in cfg.model else [])]
    assert all(head.num_classes == len(CLASSES) == 7 for head in heads)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator == dict(type='SegmentationMetric', not_in_mean=['unknown'])


@pytest.mark.parametrize('leaf', FIRST)
def test_models_are_compared_under_one_recipe(leaf):
    first, cfg = Config.fromfile(FIRST[0]), Config.fromfile(leaf)
    for part in ('train_dataloader', 'val_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert cfg[part] == first[part]
    assert cfg.model.decode_head.loss_decode == dict(type='ClassBalancedLoss')
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == 15
    assert cfg.log_processor.by_epoch
    assert cfg.default_hooks.checkpoint.by_epoch
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'


@pytest.mark.parametrize('leaf', FINE_TUNED)
def test_fine_tuning_changes_loss_rate_and_length_alone(leaf):
    cfg = Config.fromfile(leaf)
    first_name = Path(cfg.load_from).stem
    assert cfg.load_from == f'checkpoints/{first_name}.pth'
    first = Config.fromfile(Path(leaf).with_name(f'{first_name}.py'))
    card = Path(leaf).read_text()
    assert f'cp work_dirs/{first_name}/best_mIoU_epoch_*.pth checkpoints/{first_name}.pth' in card
    assert cfg.model.backbone.init_cfg is None
    assert cfg.model.decode_head.loss_decode == dict(type='LovaszSoftmaxLoss')
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(first.optim_wrapper.optimizer.lr / 10)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == 5
    for settings in (cfg, first):
        settings.model.backbone.init_cfg = settings.model.decode_head.loss_decode = None
    assert cfg.model == first.model
    assert cfg.train_dataloader == first.train_dataloader


@pytest.mark.parametrize('leaf', [leaf for leaf in LEAVES if '/fcn/' in leaf])
def test_stride_is_the_named_one(leaf):
    stride = int(re.match(r'fcn(\d+)s', Path(leaf).stem)[1])
    assert Config.fromfile(leaf).model.decode_head.stride == stride


@pytest.mark.parametrize('leaf', LEAVES)
def test_metafile_counts_the_parameters(leaf, mmseg_scope):
    models = yaml.safe_load(Path(leaf).with_name('metafile.yml').read_text())['Models']
    (row,) = [model['Metadata'] for model in models if model['Config'] == leaf]
    model = build_without_memory(Config.fromfile(leaf))
    at_inference = [value for name, value in model.named_parameters() if not name.startswith('auxiliary_head')]
    assert round(sum(value.numel() for value in at_inference) / 1e6, 3) == row['Parameters (M)']
    (weights,) = row['Initial Weights']
    cfg = Config.fromfile(leaf)
    assert weights['File'] in (cfg.load_from, (cfg.model.backbone.init_cfg or {}).get('checkpoint'))


def test_deeplabv3_is_torchvisions_up_to_the_head(mmseg_scope):
    from torchvision.models.segmentation import deeplabv3_resnet101

    cfg = Config.fromfile('configs/segmentation/deeplabv3/deeplabv3_r101-d8-in1k-pre_1xb8-15e_landcover-512x512.py')
    ours = build_without_memory(cfg)
    with torch.device('meta'):
        theirs = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=7)

    def layout(module) -> dict:
        convs = {name: conv for name, conv in module.named_modules() if isinstance(conv, torch.nn.Conv2d)}
        return {name: (conv.weight.shape, conv.stride, conv.dilation, conv.padding) for name, conv in convs.items()}

    assert layout(ours.backbone) == layout(theirs.backbone)
    assert set(ours.backbone.state_dict()) == set(theirs.backbone.state_dict())
    rates = [conv.dilation[0] for conv in theirs.classifier[0].convs[1:4].modules() if hasattr(conv, 'dilation')]
    assert list(cfg.model.decode_head.dilations) == [1, *rates]


def test_cross_entropy_then_lovasz(shrunk, tmp_path):
    from mmengine.runner import Runner

    leaf = 'configs/segmentation/fcn/fcn8s-lovasz_vgg16-ce-pre_1xb8-5e_landcover-512x512.py'
    first_name = Path(Config.fromfile(leaf).load_from).stem
    cfg = shrunk(str(Path(leaf).with_name(f'{first_name}.py')), tmp_path / 'ce')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=True, interval=1, save_best='mIoU')
    first = Runner.from_cfg(cfg)
    first.train()
    (best,) = (tmp_path / 'ce').glob('best_mIoU_epoch_*.pth')
    checkpoint = tmp_path / f'{first_name}.pth'
    shutil.copy(best, checkpoint)

    cfg = shrunk(leaf, tmp_path / 'lovasz')
    cfg.load_from = str(checkpoint)
    second = Runner.from_cfg(cfg)
    second.load_or_resume()
    start = first.model.state_dict()
    assert all(value.equal(start[name]) for name, value in second.model.state_dict().items())
    second.train()
    losses = second.message_hub.log_scalars
    assert 0 <= losses['train/decode.loss_lovasz'].current() <= 1
    scores = second.test()
    classes = second.test_dataloader.dataset.metainfo['classes']
    known = [scores[f'IoU.{name}'] for name in classes if name != 'unknown']
    assert len(known) == 6
    assert scores['mIoU'] == pytest.approx(sum(known) / 6, abs=0.01)


def test_mean_is_that_of_the_courses_evaluation(mmseg_scope):
    """Six classes; pixels of unknown truth stay in, as false positives of what is predicted there."""
    from mmseg.registry import METRICS

    from mmext.segmentation.datasets.land_cover import CLASSES

    settings = Config.fromfile(FIRST[0]).val_evaluator
    metric = METRICS.build(dict(settings, per_image_file=False, confusion_matrix=False))
    metric.dataset_meta = dict(classes=CLASSES)
    torch.manual_seed(0)
    truth, predicted = torch.randint(7, (2, 3, 20, 30))
    samples = [
        dict(gt_sem_seg=dict(data=label[None]), pred_sem_seg=dict(data=guess[None]), img_path=f'{i}.jpg')
        for i, (label, guess) in enumerate(zip(truth, predicted, strict=True))
    ]
    metric.process({}, samples)
    hits = [((truth == c) & (predicted == c)).sum() for c in range(6)]
    unions = [((truth == c) | (predicted == c)).sum() for c in range(6)]
    expected = sum(float(hit / union) for hit, union in zip(hits, unions, strict=True)) / 6
    assert metric.evaluate(3)['mIoU'] == pytest.approx(100 * expected, rel=1e-5)
