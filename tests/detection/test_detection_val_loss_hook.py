import copy
import json
from types import SimpleNamespace

import mmdet.datasets
import mmdet.models  # noqa: F401
import numpy as np
import pytest
import torch
from mmdet.registry import HOOKS, MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from mmext.detection.evaluation import detection_val_loss_hook
from mmext.detection.evaluation.detection_val_loss_hook import (
    DetectionValLossHook,
    first,
    fixed_seed,
    training_sample,
)

SIZE = 64
PARTS = ['val/loss', 'val/roi_cls', 'val/roi_loc', 'val/rpn_cls', 'val/rpn_loc']


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def sampler(num, gts):
    return dict(type='RandomSampler', num=num, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=gts)


def assigner(positive, negative):
    return dict(type='MaxIoUAssigner', pos_iou_thr=positive, neg_iou_thr=negative, min_pos_iou=0.3, ignore_iof_thr=0.5)


ANCHORS = dict(type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[4, 8, 16, 32, 64])
CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
PROPOSALS = dict(nms_pre=40, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
BASE = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[128.0] * 3, std=[60.0] * 3, bgr_to_rgb=True, pad_size_divisor=32
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN')),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
)
LOSSES = dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True), loss_bbox=dict(type='L1Loss'), bbox_coder=CODER)
TWO_STAGE = dict(
    BASE,
    type='FasterRCNN',
    rpn_head=dict(type='RPNHead', in_channels=8, feat_channels=8, anchor_generator=ANCHORS, **LOSSES),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=0),
            out_channels=8,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=8,
            fc_out_channels=16,
            roi_feat_size=3,
            num_classes=3,
            reg_class_agnostic=False,
            **dict(LOSSES, loss_cls=dict(type='CrossEntropyLoss')),
        ),
    ),
    # samplers that have more to draw from than they draw
    train_cfg=dict(
        rpn=dict(assigner=assigner(0.5, 0.3), sampler=sampler(32, False), allowed_border=-1, pos_weight=-1),
        rpn_proposal=PROPOSALS,
        rcnn=dict(assigner=assigner(0.5, 0.5), sampler=sampler(8, True), pos_weight=-1),
    ),
    test_cfg=dict(rpn=PROPOSALS, rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)),
)
ONE_STAGE = dict(
    BASE,
    type='RetinaNet',
    bbox_head=dict(
        type='RetinaHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1, anchor_generator=ANCHORS,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True), loss_bbox=dict(type='L1Loss'), bbox_coder=CODER,
    ),
    train_cfg=dict(assigner=assigner(0.5, 0.4), sampler=dict(type='PseudoSampler'), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=40, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10),
)  # fmt: skip


def build(config=TWO_STAGE, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODELS.build(Config(copy.deepcopy(config)))
        for name, values in model.named_buffers():
            # Statistics that differ from a batch's own.
            if name.endswith('running_var'):
                values.mul_(1.5)
    return model.eval()


def instances(boxes, labels):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.long)
    )


def make_batch(scale=1.0, seed=0, number=2):
    """Images of 64 x 64 pixels from files ``scale`` times smaller, with boxes at the size of the files."""
    generator, made = torch.Generator().manual_seed(seed), dict(inputs=[], data_samples=[])
    for index in range(number):
        made['inputs'].append(torch.randint(256, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8))
        shape = (int(SIZE / scale),) * 2
        sample = DetDataSample(
            metainfo=dict(img_path=f'{index}.png', ori_shape=shape, img_shape=(SIZE,) * 2, scale_factor=(scale,) * 2)
        )
        boxes = np.array([[4.0, 6, 30, 40], [20, 20, 60, 52 + 2 * index], [2, 30, 18, 62]])
        sample.gt_instances = instances(boxes / scale, [0, 2, 1])
        sample.ignored_instances = instances(np.array([[40.0, 2, 62, 22]]) / scale, [1])
        made['data_samples'].append(sample)
    return made


def expected_loss(model, batch, seed=0):
    """The detector's loss on a batch whose boxes are at the size of the input: two passes, nothing of the hook."""
    data = model.data_preprocessor(copy.deepcopy(batch), False)
    torch.manual_seed(seed)
    with torch.no_grad():
        losses = model.loss(data['inputs'], data['data_samples'])
    return {key: sum(map(float, value)) if isinstance(value, list) else float(value) for key, value in losses.items()}


def validate(model, batches, hook=None, size=None):
    """What a ValLoop does with a hook; the metrics and the predictions."""
    size = sum(len(batch['inputs']) for batch in batches) if size is None else size
    hub = MessageHub.get_instance('detection_val_loss_hook')
    loader = SimpleNamespace(dataset=range(size))
    runner = SimpleNamespace(model=model, message_hub=hub, val_dataloader=loader)
    metrics, predictions = dict(mAP=0.5), []
    if hook is not None:
        hook.before_val_epoch(runner)
    with torch.no_grad():
        for batch in batches:
            predictions += model.val_step(copy.deepcopy(batch))
    if hook is not None:
        hook.after_val_epoch(runner, metrics)
    return metrics, predictions


def test_as_the_detector_computes_it():
    model, batch = build(), make_batch()
    terms = expected_loss(model, batch)
    metrics, _ = validate(model, [batch], DetectionValLossHook())
    assert sorted(metrics) == ['mAP', *PARTS]
    assert metrics['val/rpn_cls'] == pytest.approx(terms['loss_rpn_cls'], rel=1e-6)
    assert metrics['val/rpn_loc'] == pytest.approx(terms['loss_rpn_bbox'], rel=1e-6)
    assert metrics['val/roi_cls'] == pytest.approx(terms['loss_cls'], rel=1e-6)
    assert metrics['val/roi_loc'] == pytest.approx(terms['loss_bbox'], rel=1e-6)
    assert metrics['val/loss'] == pytest.approx(sum(terms[key] for key in terms if 'loss' in key), rel=1e-6)
    # the samplers had to draw, and the ignored boxes to be heeded
    assert expected_loss(model, batch, seed=1) != pytest.approx(terms, rel=1e-6)
    for sample in batch['data_samples']:
        sample.ignored_instances = sample.ignored_instances[:0]
    assert validate(model, [batch], DetectionValLossHook())[0] != pytest.approx(metrics, rel=1e-6)


def test_a_one_stage_detector():
    model, batch = build(ONE_STAGE), make_batch()
    metrics, _ = validate(model, [batch], DetectionValLossHook())
    terms = expected_loss(model, batch)
    expected = {'val/cls': terms['loss_cls'], 'val/bbox': terms['loss_bbox'], 'val/loss': sum(terms.values())}
    assert metrics == pytest.approx(dict(mAP=0.5, **expected), rel=1e-6)


def test_predictions_metrics_input_and_random_numbers_stay_as_they_are():
    model, batches = build(), [make_batch(seed=seed) for seed in range(2)]
    _, without = validate(model, batches)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    metrics, predicted = validate(model, batches, DetectionValLossHook())
    assert torch.equal(torch.get_rng_state(), before)
    assert metrics['mAP'] == 0.5
    for one, other, given in zip(predicted, without, [s for b in batches for s in b['data_samples']], strict=True):
        assert one.keys() == other.keys()
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(one.pred_instances[key], other.pred_instances[key])
        assert torch.equal(one.gt_instances.bboxes, given.gt_instances.bboxes)
    assert 'predict' not in vars(model)
    assert 'extract_feat' not in vars(model)


def test_one_pass_of_the_backbone_a_batch():
    model, passes = build(), []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    validate(model, [make_batch(seed=seed) for seed in range(3)], DetectionValLossHook())
    assert len(passes) == 3


def test_boxes_of_a_resized_image_are_those_of_its_input():
    model = build()
    plain, _ = validate(model, [make_batch()], DetectionValLossHook())
    for scale in (2.0, 0.5):
        assert validate(model, [make_batch(scale)], DetectionValLossHook())[0] == pytest.approx(plain, rel=1e-5)


def test_batches_count_with_their_images():
    model, batches = build(), [make_batch(seed=1, number=3), make_batch(seed=2, number=1)]
    one, other = (validate(model, [batch], DetectionValLossHook())[0]['val/loss'] for batch in batches)
    both = validate(model, batches, DetectionValLossHook())[0]['val/loss']
    assert both == pytest.approx((3 * one + other) / 4, rel=1e-6)
    # the second one is repeated by the sampler of a distributed run
    assert validate(model, batches, DetectionValLossHook(), size=3)[0]['val/loss'] == pytest.approx(one, rel=1e-6)
    # of two images the second: the first alone counts
    batch = make_batch(number=2)
    half = {key: values[:1] for key, values in batch.items()}
    alone = validate(model, [half], DetectionValLossHook())[0]
    assert validate(model, [batch], DetectionValLossHook(), size=1)[0] == pytest.approx(alone, rel=1e-5)


def test_images_without_objects_have_the_loss_of_their_background():
    model, batch = build(), make_batch(number=1)
    batch['data_samples'][0].gt_instances = instances([], [])
    metrics, _ = validate(model, [batch], DetectionValLossHook())
    assert metrics['val/rpn_loc'] == metrics['val/roi_loc'] == 0
    assert metrics['val/rpn_cls'] == pytest.approx(expected_loss(model, batch)['loss_rpn_cls'], rel=1e-6)
    assert metrics['val/rpn_cls'] > 0


def test_no_images_no_loss():
    assert validate(build(), [], DetectionValLossHook())[0] == dict(mAP=0.5)


@pytest.fixture
def told(monkeypatch):
    messages = []
    monkeypatch.setattr(detection_val_loss_hook, 'print_log', lambda message, *_: messages.append(message))
    return messages


def test_where_there_is_no_loss_it_says_so_once(told, monkeypatch):
    model, batch, hook = build(), make_batch(), DetectionValLossHook()
    for sample in batch['data_samples']:
        sample.gt_instances = InstanceData()
    for _ in range(2):
        metrics, predictions = validate(model, [batch, batch], hook)
        assert metrics == dict(mAP=0.5)
        assert len(predictions) == 4
    assert told == [
        'no val/loss: the data samples hold no boxes; put LoadAnnotations behind Resize in the test pipeline'
    ]
    told.clear()
    model.train_cfg = None
    assert validate(model, [make_batch()], DetectionValLossHook())[0] == dict(mAP=0.5)
    assert told[0].startswith('no val/loss: FasterRCNN.loss fails in evaluation mode: AttributeError')
    told.clear()
    monkeypatch.setattr(type(model), 'extract_feat', None)
    monkeypatch.setattr(type(model), 'predict', lambda self, inputs, samples: samples)
    validate(model, [make_batch()], DetectionValLossHook())
    assert told == ['no val/loss: FasterRCNN extracts features 0 times for one prediction']
    told.clear()
    runner = SimpleNamespace(
        model=torch.nn.Linear(1, 1),
        message_hub=SimpleNamespace(log_scalars={}),
        val_dataloader=SimpleNamespace(dataset=[]),
    )
    hook = DetectionValLossHook()
    hook.before_val_epoch(runner)
    hook.after_val_epoch(runner, {})
    assert told == ['no val/loss: Linear is no detector of one pass']


def test_ground_truth_as_in_training():
    sample = make_batch(scale=2.0)['data_samples'][0]
    sample.gt_instances.bboxes = HorizontalBoxes(torch.tensor([[1.0, 2, 10, 20], [5, 5, 40, 33], [0, 0, 1, 1]]))
    sample.gt_instances.masks = BitmapMasks(np.ones((3, 32, 32), np.uint8), 32, 32)
    sample.set_metainfo(dict(batch_input_shape=(64, 96), scale_factor=(2.0, 1.5), img_shape=(48, 64)))
    sample.pred_instances = instances([], [])
    before = copy.deepcopy(sample)
    made = training_sample(sample)
    expected = [[2.0, 3, 20, 30], [10, 7.5, 64, 48], [0, 0, 2, 1.5]]
    assert isinstance(made.gt_instances.bboxes, HorizontalBoxes)
    torch.testing.assert_close(made.gt_instances.bboxes.tensor, torch.tensor(expected))
    torch.testing.assert_close(made.ignored_instances.bboxes, torch.tensor([[40.0, 1.5, 62, 16.5]]))
    assert made.gt_instances.masks.masks.shape == (3, 64, 96)
    assert made.gt_instances.masks.masks.sum() == 3 * 48 * 64
    assert 'pred_instances' not in made
    assert made.metainfo == sample.metainfo
    assert torch.equal(sample.gt_instances.bboxes.tensor, before.gt_instances.bboxes.tensor)
    assert torch.equal(sample.ignored_instances.bboxes, before.ignored_instances.bboxes)
    del sample.scale_factor
    with pytest.raises(ValueError, match=r'0\.png: no scale_factor in the data sample; name it in the meta_keys'):
        training_sample(sample)


def test_first_images_of_features():
    part = first(([torch.arange(6).reshape(3, 2)], dict(a=torch.arange(3)), None), 2)
    assert part[0][0].tolist() == [[0, 1], [2, 3]]
    assert part[1]['a'].tolist() == [0, 1]
    assert part[2] is None


def test_random_numbers_of_a_seed():
    state = torch.get_rng_state()
    with fixed_seed(5, torch.device('cpu')):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)), rtol=0, atol=0)


def test_registry_builds_it():
    hook = HOOKS.build(dict(type='DetectionValLossHook', names=dict(loss_cls='x')))
    assert hook.priority == 'HIGHEST'
    metrics, _ = validate(build(ONE_STAGE), [make_batch()], hook)
    assert sorted(metrics) == ['mAP', 'val/bbox', 'val/loss', 'val/x']


def test_a_run_logs_it_everywhere(tmp_path):
    """Real loops, a real test pipeline: the losses of training and validation side by side."""
    from mmengine.runner import Runner
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rng = np.random.default_rng(0)
    (tmp_path / 'Annotations').mkdir()
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(tmp_path / f'{index}.png')
    record = dict(
        height=32,
        width=48,
        instances=[dict(bbox=[4, 4, 30, 28], bbox_label=index % 3, ignore_flag=0) for index in range(2)],
    )
    (tmp_path / 'list.json').write_text(
        json.dumps(
            dict(
                metainfo=dict(classes=['a', 'b', 'c']),
                data_list=[dict(record, img_path=f'{index}.png', img_id=str(index)) for index in range(3)],
            )
        )
    )
    resize = dict(type='Resize', scale=(96, 64), keep_ratio=True)
    load, annotations = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)
    dataset = dict(type='BaseDetDataset', data_root=str(tmp_path), ann_file='list.json', data_prefix=dict(img_path=''))
    work = tmp_path / 'work'
    runner = Runner.from_cfg(
        Config(
            dict(
                default_scope='mmdet',
                model=TWO_STAGE,
                work_dir=str(work),
                train_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=True),
                    dataset=dict(dataset, pipeline=[load, annotations, resize, dict(type='PackDetInputs')]),
                ),
                val_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    dataset=dict(
                        dataset, test_mode=True, pipeline=[load, resize, annotations, dict(type='PackDetInputs')]
                    ),
                ),
                val_evaluator=dict(type='VOCMetric'),
                train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=1),
                val_cfg=dict(type='ValLoop'),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.02)),
                default_hooks=dict(
                    checkpoint=dict(type='CheckpointHook', interval=-1, save_last=False, save_best='val/loss')
                ),
                custom_hooks=[dict(type='DetectionValLossHook')],
                visualizer=dict(
                    type='DetLocalVisualizer',
                    name=str(work),
                    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
                ),
                experiment_name=str(work).replace('/', '_'),
                randomness=dict(seed=0),
            )
        )
    )
    runner.train()
    # once more by another way: boxes loaded in front of Resize, as for training
    runner.model.eval()
    pipeline = [load, annotations, resize, dict(type='PackDetInputs')]
    loader = Runner.build_dataloader(
        dict(
            batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(dataset, test_mode=True, pipeline=pipeline),
        )
    )  # fmt: skip
    losses = [sum(v for k, v in expected_loss(runner.model, batch).items() if 'loss' in k) for batch in loader]
    (scalars,) = work.glob('*/vis_data/scalars.json')
    rows = [row for row in map(json.loads, scalars.read_text().splitlines()) if 'val/loss' in row]
    assert [row['step'] for row in rows] == [1, 2]
    assert rows[1]['val/loss'] == pytest.approx((2 * losses[0] + losses[1]) / 3, rel=1e-4)
    assert rows[1]['val/loss'] == pytest.approx(sum(rows[1][key] for key in PARTS[1:]), rel=1e-4)
    events = EventAccumulator(str(scalars.parent))
    events.Reload()
    for key in PARTS:
        assert [event.value for event in events.Scalars(key)] == pytest.approx([row[key] for row in rows], rel=1e-5)
    assert len(list(work.glob('best_val_loss_epoch_*.pth'))) == 1
