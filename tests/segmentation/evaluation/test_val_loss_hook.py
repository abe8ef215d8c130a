import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmext.common.toolbox_line import ORIGINAL, installed_line
from mmext.segmentation.evaluation.val_loss_hook import ValLossHook, logits_loss, scoring_head

WEIGHT = [0.5, 2.0, 1.0, 1.5]


def fcn_head(num_classes=4, kind='FCNHead', **kwargs):
    from mmseg.registry import MODELS

    settings = dict(type=kind, in_channels=8, channels=8, num_classes=num_classes, align_corners=False)
    settings |= dict(num_convs=1) if kind == 'FCNHead' else {}
    return MODELS.build({**settings, **kwargs})


def maps(height=9, width=12, seed=0, num_classes=4):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (1, height, width), generator=generator)
    labels[:, :3] = 255
    return torch.randn(num_classes, height, width, generator=generator) * 3, labels


needs_maintained_line = pytest.mark.skipif(
    installed_line() == ORIGINAL, reason="mmseg 1.2.2's CrossEntropyLoss fails on class weights beside ignored pixels"
)
LOSSES = [
    dict(type='CrossEntropyLoss'),
    dict(type='CrossEntropyLoss', class_weight=WEIGHT, loss_weight=0.4),
    dict(type='ClassBalancedLoss', class_weight=WEIGHT),
    dict(type='OhemBalancedLoss', class_weight=WEIGHT, thresh=0.7, min_kept=0.3),
    [dict(type='CrossEntropyLoss'), dict(type='DiceLoss', loss_weight=3.0)],
]


# upstream's DiceLoss takes no weights of pixels
@pytest.mark.parametrize(
    ('loss_decode', 'sampler'),
    [
        pytest.param(loss, sampler, marks=[needs_maintained_line] if loss is LOSSES[1] else [])
        for sampler, losses in ((None, LOSSES), (dict(type='OHEMPixelSampler', thresh=0.7, min_kept=20), LOSSES[:-1]))
        for loss in losses
    ],
)
def test_as_the_head_computes_it(loss_decode, sampler):
    head = fcn_head(loss_decode=loss_decode, sampler=sampler).eval()
    logits, labels = maps()
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
    expected = sum(value for name, value in head.loss_by_feat(logits[None], [sample]).items() if 'loss' in name)
    torch.testing.assert_close(logits_loss(head, logits, labels), expected)


def test_by_hand():
    logits = torch.tensor([[[0.0, 0, 5]], [[math.log(3), 0, 5]]])
    head = fcn_head(2, loss_decode=dict(type='ClassBalancedLoss', class_weight=[1.0, 3.0]))
    labels = torch.tensor([[[1, 0, 255]]])
    expected = (3 * math.log(4 / 3) + math.log(2)) / 4
    assert float(logits_loss(head, logits, labels)) == pytest.approx(expected)
    assert float(logits_loss(head, logits.half(), labels)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('loss_decode', LOSSES[2:4])
def test_constant_logits_give_the_log_of_the_number_of_classes(loss_decode):
    _, labels = maps()
    assert float(logits_loss(fcn_head(loss_decode=loss_decode), torch.ones(4, 9, 12), labels)) == pytest.approx(
        math.log(4)
    )


def test_mirrored_image_has_the_same_loss():
    head, (logits, labels) = fcn_head(loss_decode=LOSSES[3]), maps()
    torch.testing.assert_close(logits_loss(head, logits.flip(2), labels.flip(2)), logits_loss(head, logits, labels))


def test_an_image_without_labels_has_no_loss():
    logits, labels = maps()
    assert logits_loss(fcn_head(), logits, torch.full_like(labels, 255)) is None


def test_a_named_loss_takes_the_place_of_the_heads():
    from mmseg.registry import MODELS

    logits, labels = maps()
    loss = MODELS.build(LOSSES[2])
    head = fcn_head(sampler=dict(type='OHEMPixelSampler', thresh=0.1, min_kept=2))
    expected = F.cross_entropy(logits[None], labels, torch.tensor(WEIGHT), ignore_index=255)
    torch.testing.assert_close(logits_loss(head, logits, labels, loss), expected)


def test_the_last_stage_of_a_cascade_is_scored():
    first, last = fcn_head(), fcn_head()
    model = nn.Module()
    model.decode_head = nn.ModuleList([first, last])
    assert scoring_head(model) == (last, '')
    assert scoring_head(nn.DataParallel(model)) == (last, '')


def test_models_without_a_loss_on_their_logits_are_told():
    def reason(head, loss=None):
        model = nn.Module()
        model.decode_head = head
        found, why = scoring_head(model, loss)
        assert (found is None) == bool(why)
        return why

    several = [dict(type='CrossEntropyLoss', loss_name=f'loss_{name}') for name in ('a', 'b')]
    ddr = fcn_head(kind='DDRHead', loss_decode=several)
    assert 'DDRHead has several losses' in reason(ddr)
    assert reason(ddr, nn.CrossEntropyLoss()) == ''
    with pytest.warns(UserWarning, match='threshold'):
        assert 'FCNHead has one sigmoid channel' in reason(fcn_head(2, out_channels=1))
    assert 'Linear has no loss on logits; name one: ValLossHook(loss=' in reason(nn.Linear(1, 1))
    assert 'Module has no decode_head' in scoring_head(nn.Module())[1]


def run_hook(hook, samples, head, size=None):
    model = nn.Module()
    model.decode_head = head
    dataset = range(len(samples) if size is None else size)
    hub = MessageHub.get_instance('val_loss_hook')
    hub.update_scalar('val/val/loss', 77.0)
    runner = SimpleNamespace(model=model, message_hub=hub, val_dataloader=SimpleNamespace(dataset=dataset))
    hook.before_val_epoch(runner)
    assert 'val/val/loss' not in hub.log_scalars
    for start in range(0, len(samples), 2):
        hook.after_val_iter(runner, start, outputs=samples[start : start + 2])
    metrics = dict(mIoU=1.0)
    hook.after_val_epoch(runner, metrics)
    return metrics


def make_samples(num):
    made = []
    for seed in range(num):
        logits, labels = maps(height=6 + seed, seed=seed)
        made.append(SegDataSample(seg_logits=PixelData(data=logits), gt_sem_seg=PixelData(data=labels)))
    return made


def test_images_weigh_the_same_and_repeated_ones_nothing():
    samples, head, hook = make_samples(5), fcn_head(loss_decode=LOSSES[2]), ValLossHook()
    losses = [float(logits_loss(head, s.seg_logits.data, s.gt_sem_seg.data)) for s in samples]
    assert run_hook(hook, samples, head) == dict(mIoU=1.0, **{'val/loss': pytest.approx(np.mean(losses))})
    assert run_hook(hook, samples, head, size=3)['val/loss'] == pytest.approx(np.mean(losses[:3]))
    samples[0].gt_sem_seg.data.fill_(255)
    del samples[1].gt_sem_seg
    assert run_hook(hook, samples, head)['val/loss'] == pytest.approx(np.mean(losses[2:]))
    assert run_hook(hook, [], head) == dict(mIoU=1.0)


def test_a_head_without_a_loss_is_told_once(monkeypatch):
    told, hook = [], ValLossHook()
    monkeypatch.setattr(
        'mmext.segmentation.evaluation.val_loss_hook.print_log', lambda message, *_: told.append(message)
    )
    for _ in range(2):
        assert run_hook(hook, make_samples(2), nn.Linear(1, 1)) == dict(mIoU=1.0)
    assert len(told) == 1
    assert told[0].startswith('no val/loss: Linear has no loss on logits')


def run_half(rank, samples, head):
    places = [*range(len(samples)), *range(len(samples) % 2)]
    return run_hook(ValLossHook(), [samples[place] for place in places[rank::2]], head, size=len(samples))


@pytest.mark.parametrize('num', [4, 5])
def test_two_processes_average_as_one(in_two_processes, num):
    samples, head = make_samples(num), fcn_head(loss_decode=LOSSES[3])
    expected = pytest.approx(run_hook(ValLossHook(), samples, head)['val/loss'], rel=1e-6)
    assert [found['val/loss'] for found in in_two_processes(run_half, samples, head)] == [expected, expected]


def test_sizes_must_agree():
    (sample,) = make_samples(1)
    sample.set_metainfo(dict(img_path='x.png'))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 2, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r'x\.png: logits of \(6, 12\) pixels, ground truth of \(2, 2\)'):
        run_hook(ValLossHook(), [sample], fcn_head())


TINY = """
default_scope = 'mmseg'
custom_imports = dict(imports=['mmext.segmentation'])
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
loader = dict(num_workers=0, dataset=dict(type='KITTISegDataset', data_root={root!r}, pipeline=pipeline,
    data_prefix=dict(img_path='img', seg_map_path='ann')))
train_dataloader = dict(batch_size=2, sampler=dict(type='InfiniteSampler', shuffle=False), **loader)
val_dataloader = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), **loader)
val_evaluator = dict(type={metric!r}, ignore_index=255)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=1)
val_cfg = dict(type='ValLoop')
model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 48)),
    backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN')),
    decode_head=dict(type='FCNHead', in_channels=64, channels=8, num_convs=1, num_classes=19, dropout_ratio=0.0,
        norm_cfg=dict(type='BN'), align_corners=False, loss_decode=dict(type='OhemBalancedLoss', min_kept=0.5)),
    test_cfg=dict({mode}), train_cfg=dict())
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=-1, save_last=False, save_best={save_best!r},
        rule='greater'))
custom_hooks = [dict(type='ValLossHook')]
visualizer = dict(type='SegLocalVisualizer', name={work!r},
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
log_processor = dict(by_epoch=False)
work_dir = {work!r}
experiment_name = {work!r}
"""


@pytest.mark.parametrize(
    ('metric', 'mode', 'save_best'),
    [
        ('SegmentationMetric', "mode='whole'", 'IoU.sky'),
        ('IoUMetric', "mode='slide', crop_size=(32, 32), stride=(16, 16)", 'mIoU'),
    ],
)
def test_a_run_logs_loss_and_scores_of_the_classes_everywhere(tmp_path, metric, mode, save_best):
    from mmengine.runner import Runner
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rng = np.random.default_rng(0)
    for kind in ('img', 'ann'):
        (tmp_path / kind).mkdir()
    for name in 'abc':
        image = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / 'img' / f'{name}.png')
        Image.fromarray(image[..., 0] % 19).save(tmp_path / 'ann' / f'{name}.png')
    work = tmp_path / 'work'
    settings = dict(root=str(tmp_path), metric=metric, mode=mode, save_best=save_best, work=str(work))
    runner = Runner.from_cfg(Config.fromstring(TINY.format(**settings), '.py'))
    runner.train()

    # the loss of the last validation again, by another way: the head's own method on the predicted logits
    runner.model.eval()
    losses = []
    for batch in runner.val_dataloader:
        with torch.no_grad():
            (sample,) = runner.model.val_step(batch)
            terms = runner.model.decode_head.loss_by_feat(sample.seg_logits.data[None], [sample])
        losses.append(float(terms['loss_ohem']))

    (scalars,) = work.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    train, val = ([row for row in rows if name in row] for name in ('loss', 'mIoU'))
    assert [row['step'] for row in val] == [1, 2]
    assert val[-1]['val/loss'] == pytest.approx(np.mean(losses), rel=1e-5)
    assert val[0]['val/loss'] != val[1]['val/loss']
    assert all('val/loss' not in row for row in train)
    events = EventAccumulator(str(scalars.parent))
    events.Reload()
    expected = ['val/loss', 'mIoU', *(['IoU.road', 'IoU.traffic_light'] if metric == 'SegmentationMetric' else [])]
    for name in expected:
        logged = events.Scalars(name)
        assert [event.step for event in logged] == [1, 2]
        assert [event.value for event in logged] == pytest.approx([row[name] for row in val], rel=1e-6)
    assert events.Scalars('loss')[-1].value == pytest.approx(train[-1]['loss'], rel=1e-6)
    assert len(list(work.glob(f'best_{save_best}_iter_*.pth'))) == 1


def test_registry_builds_it():
    from mmseg.registry import HOOKS

    hook = HOOKS.build(dict(type='ValLossHook', loss=dict(type='CrossEntropyLoss')))
    assert hook.priority == 'HIGHEST'
    assert type(hook.loss).__name__ == 'CrossEntropyLoss'
