"""Planted mistakes are found, each once; the project's own configs have none."""

from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict

from mmext.analysis.recipe_table import recipe_files
from mmext.common.preflight import config_facts, lint_model, lint_schedule
from mmext.common.preflight.finding import ERROR, NOT_RUN, PASS, WARNING
from mmext.common.preflight.lint import RULES, lint

ROOT = Path(__file__).resolve().parents[3]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in recipe_files(ROOT))
SEGMENTOR = 'configs/segmentation/context/ppm_r18-d8_1xb4-300i_sample-128x256.py'
DETECTOR = 'configs/detection/faster_rcnn/faster-rcnn_r18-fpn_1xb8-16e-b4-4e_sample-192x256.py'
CLASSIFIER = 'configs/classification/vit/vit-tiny-p4_1xb32-80e_sample-32x32.py'

pytestmark = pytest.mark.usefixtures('in_root')


def planted(leaf: str, **options) -> Config:
    cfg = Config.fromfile(leaf)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg


def kinds(cfg: Config, **facts) -> list[str]:
    return sorted(finding.check for finding in lint(cfg, **facts) if finding.status in (WARNING, ERROR))


def test_there_are_leaves():
    assert len(LEAVES) >= 70


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'classification'])
def test_own_configs_have_no_mistakes(task):
    leaves = [leaf for leaf in LEAVES if task in leaf or (task == 'segmentation' and leaf == 'configs/quickstart.py')]
    assert leaves
    found = {leaf: lint(Config.fromfile(leaf)) for leaf in leaves}
    assert {leaf: [finding.message for finding in each] for leaf, each in found.items()} == {
        leaf: [f'{len(RULES) + 2} rules, none broken'] for leaf in leaves
    }
    assert all(finding.status == PASS for each in found.values() for finding in each)


def test_five_mistakes_of_a_segmentor():
    head = 'model__decode_head__loss_decode__'
    cfg = planted(
        SEGMENTOR,
        model__backbone__norm_cfg__type='SyncBN',
        model__decode_head__norm_cfg__type='SyncBN',
        model__backbone__frozen_stages=1,
        **{f'{head}type': 'OhemBalancedLoss', f'{head}min_kept': 4 * 128 * 256, f'{head}loss_name': 'ohem'},
        **{f'{head}class_weight': [1.0] * 18},
    )
    assert kinds(cfg) == ['class-weight', 'frozen-random', 'loss-name', 'min-kept', 'sync-bn']
    messages = {finding.check: finding.message for finding in lint(cfg)}
    assert '18 weights for 19 classes' in messages['class-weight']
    assert '131,072 pixels of a batch of 4 of 128 x 256' in messages['min-kept']
    assert 'model.backbone' in messages['frozen-random']
    assert 'frozen_stages=1' in messages['frozen-random']
    assert all(finding.fix for finding in lint(cfg))


def test_five_mistakes_of_a_detector():
    cfg = planted(
        DETECTOR,
        model__backbone__norm_eval=True,
        model__roi_head__bbox_head__num_classes=19,
        model__roi_head__bbox_head__loss_cls__class_weight=[1.0] * 20,
        default_hooks__checkpoint__save_best='coco/bbox_mAP',
        train_cfg__val_interval=50,
    )
    # 19 classes and the background are 20 outputs: these weights are right for that head
    assert kinds(cfg) == ['frozen-random', 'num-classes', 'save-best', 'val-interval']
    cfg.model.roi_head.bbox_head.loss_cls.class_weight.pop()
    assert kinds(cfg) == ['class-weight', 'frozen-random', 'num-classes', 'save-best', 'val-interval']


def test_five_mistakes_of_a_classifier():
    cfg = planted(
        CLASSIFIER,
        model__head__num_classes=10,
        optim_wrapper__optimizer__lr=0.0,
        default_hooks__checkpoint__save_best='accuracy/top3',
        train_dataloader__batch_size=16,
        param_scheduler=[dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=90)],
    )
    assert kinds(cfg) == ['lr', 'name-batch', 'num-classes', 'save-best', 'warm-up']


def test_stage_that_freezes_random_weights():
    cfg = planted(DETECTOR)
    cfg.train_cfg.stages[0]['freeze'] = ['backbone']  # a dict has a method of that name
    assert kinds(cfg) == ['frozen-random']
    cfg.load_from = 'model.pth'
    assert kinds(cfg) == []
    cfg.load_from = None
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='x.pth')
    assert kinds(cfg) == []
    cfg.model.backbone.init_cfg = None
    cfg.default_hooks.initialisation.allow_frozen_random = ['backbone']
    assert kinds(cfg) == []


def test_default_of_a_class_counts_as_a_setting():
    """mmdet's ResNet keeps its statistics unless told otherwise."""
    cfg = planted(DETECTOR)
    cfg.model.backbone.pop('norm_eval')
    (finding,) = lint(cfg)
    assert finding.check == 'frozen-random'
    assert 'norm_eval=True' in finding.message


# From here on no toolbox is needed.
def small(filename: str = 'config.py', **settings) -> Config:
    cfg = Config(dict(model=dict(type='Net')) | settings)
    object.__setattr__(cfg, '_filename', filename)
    return cfg


@pytest.mark.parametrize(
    ('name', 'status'),
    [('loss_ce', None), ('ce', ERROR), ('ce_loss', WARNING), (None, None)],
)
def test_name_of_a_loss(name, status):
    found = list(lint_model.loss_name(small(model=dict(head=dict(loss_decode=[dict(type='L', loss_name=name)])))))
    assert [finding.status for finding in found] == ([status] if status else [])


def test_teacher_is_not_looked_at():
    cfg = small(
        model=dict(teacher=dict(loss_name='ce', norm_cfg=dict(type='SyncBN')), student=dict(loss_name='loss_a'))
    )
    assert not list(lint_model.loss_name(cfg))
    assert not list(lint_model.sync_bn(cfg))


def test_synchronised_norm_is_right_for_several_processes():
    model = dict(norm_cfg=dict(type='SyncBN'))
    assert list(lint_model.sync_bn(small(model=model)))
    assert not list(lint_model.sync_bn(small('a_r18_4xb2-40k_cityscapes-512x1024.py', model=model)))
    assert not list(lint_model.sync_bn(small(model=model, launcher='pytorch')))


@pytest.mark.parametrize(
    ('kind', 'kept', 'wrong'),
    [
        ('OhemBalancedLoss', 4 * 100 - 1, False),
        ('OhemBalancedLoss', 4 * 100, True),
        ('OHEMPixelSampler', 99, False),
        ('OHEMPixelSampler', 100, True),
        ('OhemBalancedLoss', 1.0, False),
        ('TopK', 10**9, False),
    ],
)
def test_pixels_that_are_kept(kind, kept, wrong):
    pipeline = [dict(type='RandomCrop', crop_size=(10, 10))]
    loader = dict(batch_size=4, dataset=dict(type='RepeatDataset', dataset=dict(type='D', pipeline=pipeline)))
    cfg = small(train_dataloader=loader, model=dict(head=dict(type=kind, min_kept=kept)))
    assert bool(list(lint_model.min_kept(cfg))) == wrong


def schedule(**settings) -> list[str]:
    cfg = small(**settings)
    return [finding.check for finding in lint_schedule.schedulers(cfg, settings.get('epoch_length'))]


ITERATIONS, EPOCHS = dict(type='IterBasedTrainLoop', max_iters=100), dict(type='EpochBasedTrainLoop', max_epochs=10)


@pytest.mark.parametrize(
    ('loop', 'scheduler', 'found'),
    [
        (ITERATIONS, dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=100), []),
        (ITERATIONS, dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=101), ['warm-up']),
        (ITERATIONS, dict(type='PolyLR', by_epoch=False, end=100), []),
        (ITERATIONS, dict(type='PolyLR', by_epoch=False, end=200), ['schedule-end']),
        (ITERATIONS, dict(type='PolyLR', by_epoch=False, end=50), ['schedule-end']),
        (ITERATIONS, dict(type='MultiStepLR', by_epoch=False, milestones=[5], end=50), []),
        (ITERATIONS, dict(type='PolyLR', end=100), ['scheduler-unit']),
        (EPOCHS, dict(type='PolyLR', end=10), []),
        (
            EPOCHS,
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10**6),
            [],
        ),  # an epoch's length is unknown
        (dict(stages=[dict(epochs=2), dict(epochs=3)]), dict(type='PolyLR', end=1), []),  # is not used
    ],
)
def test_schedulers_against_the_run(loop, scheduler, found):
    assert schedule(train_cfg=loop, param_scheduler=[scheduler]) == found


def test_known_length_of_an_epoch_compares_units():
    cfg = small(train_cfg=EPOCHS, param_scheduler=dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=51))
    assert not list(lint_schedule.schedulers(cfg))
    assert [finding.check for finding in lint_schedule.schedulers(cfg, 5)] == ['warm-up']
    assert not list(lint_schedule.schedulers(cfg, 6))


def test_schedulers_of_a_stage_have_its_time():
    stages = [
        dict(epochs=2, param_scheduler=[dict(type='PolyLR', end=2)]),
        dict(epochs=3, param_scheduler=dict(type='PolyLR', end=5)),
    ]
    (finding,) = lint_schedule.schedulers(small(train_cfg=dict(stages=stages)))
    assert 'train_cfg.stages[1].param_scheduler[0]' in finding.message


@pytest.mark.parametrize(
    ('settings', 'status'),
    [(dict(val_interval=100), None), (dict(val_interval=101), WARNING), (dict(val_begin=101), ERROR)],
)
def test_validation_within_the_run(settings, status):
    found = list(lint_schedule.validation(small(train_cfg=ITERATIONS | settings, val_cfg=dict(type='ValLoop'))))
    assert [finding.status for finding in found] == ([status] if status else [])


@pytest.mark.parametrize(
    ('evaluator', 'key', 'status'),
    [
        (dict(type='SegmentationMetric'), 'mIoU', None),
        (dict(type='SegmentationMetric'), 'IoU.person', None),
        (dict(type='SegmentationMetric'), 'miou', ERROR),
        (dict(type='SegmentationMetric', prefix='x'), 'mIoU', ERROR),
        (dict(type='SegmentationMetric', prefix='x'), 'x/mIoU', None),
        (dict(type='Accuracy', topk=(1, 5)), 'accuracy/top5', None),
        (dict(type='Accuracy'), 'accuracy/top5', ERROR),
        (dict(type='CocoMetric'), 'coco/bbox_mAP', None),
        ([dict(type='Accuracy'), dict(type='SingleLabelMetric')], 'single-label/f1-score', None),
        (dict(type='MyMetric'), 'mine', NOT_RUN),
        (dict(type='MyMetric'), 'auto', None),
    ],
)
def test_score_to_keep_the_best_by(evaluator, key, status):
    cfg = small(val_evaluator=evaluator, default_hooks=dict(checkpoint=dict(save_best=key)))
    assert [finding.status for finding in lint_schedule.save_best(cfg)] == ([status] if status else [])


def test_name_is_read():
    name = config_facts.parse_name('faster-rcnn_r50-c4-roipool_2xb4-30e-b2-40e_voc0712-600x800.py')
    assert (name.processes, name.stages, name.by_epoch, name.crop_hw) == (2, ((4, 30), (2, 40)), True, (600, 800))
    assert config_facts.parse_name('a_b_1xb8-20k_kitti-368x368.py').stages == ((8, 20_000),)
    assert config_facts.parse_name('quickstart.py') is None


def test_promises_of_a_name():
    loader = dict(batch_size=4, dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=(64, 96))]))
    settings = dict(train_dataloader=loader, train_cfg=dict(max_iters=300), auto_scale_lr=dict(base_batch_size=4))
    settings['default_scope'] = 'mmseg'
    kept = lint_schedule.file_name(small('a_b_1xb4-300i_x-64x96.py', **settings))
    assert not list(kept)
    broken = lint_schedule.file_name(small('a_b_2xb8-20k_x-96x64.py', **settings))
    assert [finding.check for finding in broken] == ['name-batch', 'name-total-batch', 'name-length', 'name-crop']


def test_walk_names_what_it_finds():
    found = dict(config_facts.walk(ConfigDict(a=[dict(b=1), dict(c=dict(d=2))]), 'model'))
    assert list(found) == ['model', 'model.a.0', 'model.a.1', 'model.a.1.c']
