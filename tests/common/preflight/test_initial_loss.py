"""The loss of an untrained model against that of a uniform prediction."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmext.common.preflight.finding import ERROR, NOT_RUN, PASS, WARNING
from mmext.common.preflight.initial_loss import LossCall, add_calls, classifies, describe_call, judge, watching_losses


class WeightedLoss(nn.Module):
    def __init__(self, loss_weight=1.0, class_weight=None, use_sigmoid=False, over_all=False) -> None:
        super().__init__()
        self.loss_weight, self.class_weight, self.use_sigmoid = loss_weight, class_weight, use_sigmoid
        self.over_all = over_all

    def forward(self, logits, labels, avg_factor=None, **kwargs):
        if self.use_sigmoid:
            return self.loss_weight * F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
        weight = None if self.class_weight is None else torch.tensor(self.class_weight)
        terms = F.cross_entropy(logits, labels, weight, ignore_index=255, reduction='none')
        return self.loss_weight * terms.sum() / (terms.numel() if self.over_all else (labels != 255).sum())


def call_of(loss, logits, labels, **settings) -> LossCall:
    return describe_call('head.loss', loss, (logits, labels), settings, loss(logits, labels, **settings))


@pytest.mark.parametrize('classes', [2, 19, 100])
@pytest.mark.parametrize('factor', [1.0, 0.4])
def test_plain_cross_entropy_is_expected_to_be_ln_c(classes, factor):
    logits, labels = 0.01 * torch.randn(64, classes), torch.randint(0, classes, (64,))
    call = call_of(WeightedLoss(factor), logits, labels)
    assert call.uniform == pytest.approx(factor * math.log(classes), rel=1e-5)
    finding = judge(call, False)
    assert finding.status == PASS
    assert f'ln {classes} = ' in finding.message
    assert call.reason not in finding.message


def test_class_weights_and_ignored_pixels_are_taken_into_account():
    labels = torch.tensor([0, 0, 0, 1])
    call = call_of(WeightedLoss(class_weight=[2.0, 4.0]), torch.zeros(4, 2), labels)
    assert call.uniform == pytest.approx(2.5 * math.log(2))
    assert judge(call, False).status == PASS
    assert 'class weights' in judge(call, False).message
    labels = torch.tensor([0, 255, 255, 255])
    call = call_of(WeightedLoss(over_all=True), torch.zeros(4, 2), labels)
    assert call.uniform == pytest.approx(math.log(2) / 4)
    assert 'ignored pixels' in judge(call, False).message


def test_sigmoid_of_one_output_is_ln_2():
    call = call_of(WeightedLoss(use_sigmoid=True), torch.zeros(6, 1), torch.tensor([0, 1, 0, 0, 0, 0]))
    assert (call.classes, call.constant) == (2, True)
    assert call.uniform == pytest.approx(math.log(2))


def test_levels_that_share_a_mean_are_added():
    calls = [LossCall('rpn.loss_cls', 'L', 0.4, uniform=value, classes=2) for value in (0.5, 0.15, 0.043147)]
    (total,) = add_calls([*calls])
    assert total.value == pytest.approx(1.2)
    assert total.uniform == pytest.approx(math.log(2), abs=1e-4)
    assert calls[0].value == 0.4  # not changed
    assert 'sum of 3 calls' in judge(total, False).message


@pytest.mark.parametrize(
    ('value', 'pretrained', 'status'),
    [
        (3.0, False, PASS),
        (6.0, False, WARNING),
        (20.0, False, ERROR),
        (0.5, False, WARNING),
        (0.5, True, PASS),
        (math.nan, True, ERROR),
    ],
)
def test_verdict(value, pretrained, status):
    assert judge(LossCall('h', 'CrossEntropyLoss', value, math.log(19), 19), pretrained).status == status


def test_no_label_that_counts_is_said():
    assert judge(LossCall('h', 'L', 0.0, 0.0, 19), False).status == NOT_RUN


def test_large_logits_are_found_and_boxes_are_none_of_this():
    torch.manual_seed(0)
    call = call_of(WeightedLoss(), 30 * torch.randn(256, 10), torch.randint(0, 10, (256,)))
    assert judge(call, False).status == ERROR
    assert not classifies(torch.randn(5, 4), torch.randn(5, 4))
    assert classifies(torch.randn(5, 4), torch.softmax(torch.randn(5, 4), 1))
    assert classifies(torch.randn(2, 4, 3, 3), torch.zeros(2, 3, 3, dtype=torch.long))
    assert not classifies(torch.randn(0, 4), torch.zeros(0, dtype=torch.long))


def test_outer_loss_of_nested_ones_is_watched():
    class SmoothLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = WeightedLoss()

        def forward(self, logits, labels):
            return self.inner(logits, labels)

    model, calls = nn.ModuleDict(dict(loss=SmoothLoss(), layer=nn.Linear(3, 3))), []
    with watching_losses(model, calls):
        model['loss'](torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))
    assert [call.name for call in calls] == ['loss']
    model['loss'](torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))
    assert len(calls) == 1
