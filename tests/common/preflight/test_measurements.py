"""Overfitting, gradients, learning rates, padding and forecasts, on small things that need no toolbox."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import CosineAnnealingLR, LinearLR, PolyLR
from torch import nn

from mmext.common.preflight.finding import ERROR, NOT_RUN, PASS, WARNING
from mmext.common.preflight.forecast import duration, peak_memory, validations, view_scales
from mmext.common.preflight.gradient_flow import ModuleFlow, dead_parts, gradient_flow, judge_flow
from mmext.common.preflight.overfitting import check_overfit, overfit
from mmext.common.preflight.padding import check_padding, padded_share
from mmext.common.preflight.schedule_trace import Part, epoch_length, judge_trace, parts_of, trace_figure, trace_rates
from mmext.common.preflight.subject import Subject, first_images, images_of, without_augmentation


class Net(BaseModel):
    """Six numbers, three classes. ``flaw`` plants a mistake."""

    def __init__(self, flaw: str = '') -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.unused = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        self.head = nn.Linear(16, 3)
        self.flaw = flaw
        if flaw == 'zero head':
            nn.init.zeros_(self.head.weight)
        if flaw != 'unused':
            del self.unused

    def forward(self, inputs, label, mode='tensor'):
        features = self.backbone(inputs)
        if self.flaw == 'detached':
            features = features.detach()
        logits = self.head(features)
        if self.flaw == 'nan':
            logits = logits + (logits.sum() * 0).sqrt() / 0 * 0
        if self.flaw == 'constant':
            logits = logits * 0
        return dict(loss_cls=nn.functional.cross_entropy(logits, label))


@pytest.fixture
def batch() -> dict:
    torch.manual_seed(1)
    return dict(inputs=torch.randn(12, 6), label=torch.arange(12) % 3)


def settings(rate: float = 1e-2, **more) -> dict:
    return dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=rate), **more)


def test_batch_is_learnt_and_nothing_is_left_changed(batch):
    model, kept = Net(), copy.deepcopy(batch)
    before = copy.deepcopy(model.state_dict())
    course = overfit(model, batch, 400, 1e-2, 60)
    assert course.share <= 0.5
    assert course.losses[0] == pytest.approx(course.losses[0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(batch[key], kept[key]) for key in batch)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(('flaw', 'status'), [('', PASS), ('constant', ERROR), ('nan', ERROR)])
def test_verdict_on_overfitting(batch, flaw, status):
    subject = Subject(Config(), Net(flaw), None, batch)
    finding, courses = check_overfit(subject, 200 if status == PASS else 30, 60)
    assert finding.status == status
    assert len(courses) == (1 if status == PASS else 2)


def test_too_slow_to_tell_is_said(batch):
    finding, _ = check_overfit(Subject(Config(), Net(), None, batch), 50, 0.0)
    assert finding.status == NOT_RUN
    assert 'too slow' in finding.message


def test_gradient_reaches_everything(batch):
    flows = gradient_flow(Net(), batch, settings())
    assert [flow.name for flow in flows] == ['backbone.0', 'backbone.1', 'head']
    assert not dead_parts(flows)
    (finding,) = judge_flow(flows, 1e-2)
    assert finding.status == PASS
    head = flows[-1]
    # SGD moves a weight by rate times gradient
    assert 0 < head.update <= 1e-2 * head.gradient / float(Net().head.weight.detach().norm()) + 1e-6


def test_zero_start_is_not_taken_for_dead(batch):
    assert not dead_parts(gradient_flow(Net('zero head'), batch, settings()))


@pytest.mark.parametrize(('flaw', 'named'), [('detached', ['backbone']), ('unused', ['unused'])])
def test_dead_parts_are_named_as_a_whole(batch, flaw, named):
    model = Net(flaw)
    flows = gradient_flow(model, batch, settings())
    assert dead_parts(flows) == named
    assert [finding.status for finding in judge_flow(flows, None)] == [WARNING]
    model.get_submodule(named[0]).requires_grad_(False)  # frozen parts are not expected to have one
    assert dead_parts(gradient_flow(model, batch, settings())) == []


def test_gradient_that_is_not_finite_and_wild_steps(batch):
    assert judge_flow(gradient_flow(Net('nan'), batch, settings()), None)[0].status == ERROR
    (finding,) = judge_flow(gradient_flow(Net(), batch, settings(1e4)), 1e4)
    assert finding.status == WARNING
    assert 'head' in finding.message
    (finding,) = judge_flow(gradient_flow(Net(), batch, settings(1e-12)), 1e-12)
    assert 'too small for float32' in finding.message
    # clipping belongs to the step
    clipped = gradient_flow(Net(), batch, settings(1e4, clip_grad=dict(max_norm=1e-6)))
    assert judge_flow(clipped, 1e4)[0].status == PASS


def test_all_dead_and_nothing_trained():
    flows = [ModuleFlow(name, 0.0, 1.0, True) for name in ('a.b', 'a.c', 'd')]
    assert dead_parts(flows) == ['a', 'd']
    assert judge_flow(flows, None)[0].status == ERROR
    assert judge_flow([], None)[0].status == ERROR


def test_no_mixing_and_no_dropout_inside():
    model = Net()
    model.data_preprocessor.batch_augments = object()
    kept = model.data_preprocessor.batch_augments
    with without_augmentation(model):
        assert model.data_preprocessor.batch_augments is None
        assert [module.training for module in model.backbone] == [True, True, True, False]
    assert model.data_preprocessor.batch_augments is kept
    assert all(module.training for module in model.modules())


def test_images_of_a_batch():
    batch = dict(inputs=[torch.zeros(1)] * 5, data_samples=list('abcde'))
    assert images_of(batch) == 5
    assert first_images(batch, 2)['data_samples'] == ['a', 'b']


def rates_by_hand(kinds: list, rate: float, total: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    schedulers = [kind(optimizer, **arguments) for kind, arguments in kinds]
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_rates_are_those_of_mmengines_schedulers():
    warm = dict(start_factor=0.01, by_epoch=False, begin=0, end=40)
    poly = dict(eta_min=0.0, power=0.9, by_epoch=False, begin=40, end=500)
    part = Part(1, 7, 500, [dict(type='LinearLR', **warm), dict(type='PolyLR', **poly)], 1.0, counts_epochs=False)
    trace = trace_rates([part], {'all': 4e-3, 'heads': 4e-2})
    assert trace.rates['all'] == pytest.approx(rates_by_hand([(LinearLR, warm), (PolyLR, poly)], 4e-3, 500))
    assert trace.rates['heads'] == pytest.approx([10 * rate for rate in trace.rates['all']])
    assert trace.steps == list(range(500))
    assert judge_trace(trace)[0].status == PASS


def test_rates_by_epoch_and_by_stage():
    first = Part(3, 4, 12, [dict(type='ExponentialLR', gamma=0.5, by_epoch=True)], 1.0)
    cosine = dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)
    trace = trace_rates([first, Part(2, 5, 10, [cosine], 0.1)], {'all': 1.0})
    assert trace.total == 22
    assert trace.starts == [0, 12]
    assert trace.rates['all'][:12] == [1.0] * 4 + [0.5] * 4 + [0.25] * 4
    by_hand = rates_by_hand([(CosineAnnealingLR, dict(T_max=10, by_epoch=False, end=10))], 0.1, 10)
    assert trace.rates['all'][12:] == pytest.approx(by_hand)


def test_scheduler_by_epoch_never_steps_in_a_run_by_iteration():
    part = Part(1, 4, 12, [dict(type='ExponentialLR', gamma=0.5, by_epoch=True)], 1.0, counts_epochs=False)
    assert set(trace_rates([part], {'all': 1.0}).rates['all']) == {1.0}


@pytest.mark.parametrize(
    ('rate', 'schedulers', 'status', 'word'),
    [
        (0.0, [], ERROR, 'nothing is ever learnt'),
        (1.0, [], PASS, ''),
        (1.0, [dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=300)], WARNING, 'at most'),
        (1.0, [dict(type='PolyLR', by_epoch=False, end=50)], WARNING, 'the rate is 0 in 51%'),
        (1.0, [dict(type='ReduceOnPlateauLR', monitor='x')], PASS, 'plateau'),
    ],
)
def test_verdict_on_a_schedule(rate, schedulers, status, word):
    (finding,) = judge_trace(trace_rates([Part(1, 100, 100, schedulers, 1.0)], {'all': rate}))
    assert finding.status == status
    assert word in finding.message


def test_long_runs_keep_few_points_but_all_extremes():
    part = Part(1, 10, 9999, [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=9999)], 1.0)
    trace = trace_rates([part], {'all': 1.0})
    assert len(trace.steps) <= 2002
    assert trace.steps[-1] == 9998
    assert trace.highest['all'] == pytest.approx(1.0)
    assert trace_figure(trace, 'title').axes[0].get_xlabel() == 'iteration'


def run_config(**changes) -> Config:
    loader = dict(batch_size=4, dataset=dict(type='D', pipeline=[]))
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    return Config(dict(train_dataloader=loader, optim_wrapper=wrapper, val_cfg=dict()) | changes)


def test_parts_and_epochs():
    cfg = run_config(train_cfg=dict(max_epochs=3))
    assert epoch_length(cfg, 10) == 3
    cfg.train_dataloader.drop_last = True
    assert epoch_length(cfg, 10) == 2
    (part,) = parts_of(cfg, 10)
    assert (part.iterations, part.factor) == (6, 1.0)
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=16)
    assert parts_of(cfg, 10)[0].factor == 0.25
    staged = run_config(train_cfg=dict(stages=[dict(epochs=2, lr=0.5, batch_size=5), dict(epochs=1, lr=0.05)]))
    assert [(part.iterations, part.factor) for part in parts_of(staged, 10)] == [(4, 1.0), (3, pytest.approx(0.1))]


@pytest.mark.parametrize(
    ('loop', 'number'),
    [
        (dict(max_iters=500, val_interval=250), 2),
        (dict(max_iters=501, val_interval=250), 3),
        (dict(max_epochs=4), 4),
        (dict(max_epochs=4, val_begin=3), 2),
        (dict(max_epochs=4, val_interval=9), 1),
        (dict(max_epochs=4, val_begin=5), 0),
    ],
)
def test_number_of_validations(loop, number):
    assert validations(run_config(train_cfg=loop)) == number


def test_views_of_test_time_augmentation():
    resizes = [dict(type='Resize', scale=(64, 32)), dict(type='Resize', scale=(128, 64))]
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=[resizes, flips, [dict(type='Pack')]]),
    ]
    assert view_scales(pipeline) == [(64, 32), (64, 32), (128, 64), (128, 64)]
    assert view_scales([dict(type='Resize', scale=(1, 1))]) == []


def test_memory_is_measured():
    low, high = {}, {}
    with peak_memory(low):
        pass
    with peak_memory(high):
        values = torch.ones(200_000_000 // 4)
    assert high['bytes'] - low['bytes'] > 150e6
    del values


@pytest.mark.parametrize(
    ('seconds', 'text'), [(3.2, '3.2 s'), (120, '2.0 minutes'), (7200, '2.0 hours'), (3 * 86400, '3.0 days')]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


class Pictures:
    """Pictures of one size, padded or not."""

    def __init__(self, height: int, width: int, pad: tuple | None) -> None:
        self.size, self.pipeline = (height, width), SimpleNamespace(transforms=[Pad(pad)] * bool(pad) + [Pack()])

    def __len__(self):
        return 3

    def get_data_info(self, index):
        return dict(img=np.zeros((*self.size, 3)))


class Pad:
    def __init__(self, size):
        self.size = size

    def __call__(self, data):
        return dict(img=np.zeros((*self.size, 3)))


class Pack:
    def __call__(self, data):
        return dict(inputs=torch.zeros(3, *data['img'].shape[:2]))


@pytest.mark.parametrize(
    ('height', 'pad', 'share', 'status'),
    [(32, None, 0.0, PASS), (24, (32, 64), 0.25, PASS), (16, (32, 64), 0.5, WARNING), (16, None, 0.5, WARNING)],
)
def test_padded_share(height, pad, share, status):
    """In the pipeline, and by the preprocessor, to 32 x 64."""
    model = SimpleNamespace(data_preprocessor=lambda batch, training: dict(inputs=torch.zeros(2, 3, 32, 64)))
    finding = check_padding(Subject(Config(), model, Pictures(height, 64, pad), dict(inputs=[])))
    assert finding.values['share'] == pytest.approx(share)
    assert finding.status == status


def test_padding_limits():
    assert padded_share([], 10) == 0
    assert padded_share([20], 10) == 0
    assert padded_share([5, 10], 10) == 0.25
    model = SimpleNamespace(data_preprocessor=None)
    assert check_padding(Subject(Config(), model, [1, 2], None)).status == NOT_RUN


def test_nan_share_of_an_empty_course():
    from mmext.common.preflight.overfitting import Overfit

    assert math.isnan(Overfit(1e-3).share)
    assert math.isnan(Overfit(1e-3, [1.0, math.inf]).share)
