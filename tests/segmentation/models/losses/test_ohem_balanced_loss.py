import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.structures.sampler import OHEMPixelSampler

import mmext.segmentation.models.losses  # noqa: F401  (registers the losses)
from mmext.segmentation.models.losses.ohem_balanced_loss import (
    OhemBalancedLoss,
    mine_away,
    mined_cross_entropy,
    ohem_cross_entropy,
)

IGNORE = 255


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


THRESHOLDS = st.sampled_from([None, 0.05, 0.3, 0.7, 0.95])
MIN_KEPT = st.one_of(st.integers(1, 80), st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 1.0]))


@st.composite
def batches(draw):
    """Logits (B, C, H, W) with a gradient, labels (B, H, W) with ignored pixels, class weights (C,)."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    b, c, h, w = (draw(st.integers(low, high)) for low, high in ((1, 3), (2, 6), (1, 5), (1, 5)))
    logits = torch.randn(b, c, h, w, generator=generator, dtype=torch.float64) * draw(st.sampled_from([0.1, 1.0, 10.0]))
    labels = torch.randint(c, (b, h, w), generator=generator)
    labels[torch.rand(b, h, w, generator=generator) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = IGNORE
    return logits.requires_grad_(), labels, torch.rand(c, generator=generator, dtype=torch.float64) + 0.1


def slow_ohem(logits, labels, class_weight, thresh, min_kept):
    """Loss, gradient and kept mask by a sort of every pixel, in NumPy, with the gradient written out."""
    logits, labels, class_weight = logits.detach().numpy(), labels.numpy(), class_weight.numpy()
    grad, kept = np.zeros_like(logits), np.zeros(labels.shape, bool)
    pixels = []
    for b, i, j in np.argwhere(labels != IGNORE):
        scores = np.exp(logits[b, :, i, j] - logits[b, :, i, j].max())
        pixels.append((scores[labels[b, i, j]] / scores.sum(), b, i, j, scores / scores.sum()))
    pixels.sort(key=lambda pixel: pixel[0])
    count = math.ceil(round(min_kept * len(pixels), 6)) if isinstance(min_kept, float) else min_kept
    chosen = [pixel for n, pixel in enumerate(pixels) if n < count or (thresh is not None and pixel[0] < thresh)]
    total = sum(class_weight[labels[b, i, j]] for _, b, i, j, _ in chosen)
    loss = 0.0
    for probability, b, i, j, softmax in chosen:
        share = class_weight[labels[b, i, j]] / total
        loss -= share * math.log(probability)
        grad[b, :, i, j] = share * (softmax - np.eye(len(softmax))[labels[b, i, j]])
        kept[b, i, j] = True
    return loss, torch.from_numpy(grad), torch.from_numpy(kept)


def value_and_grad(loss, logits):
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


def assert_same(actual, expected, **tolerance):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def true_nll(logits, labels):
    return F.cross_entropy(logits.detach(), labels, ignore_index=IGNORE, reduction='none')


@settings(derandomize=True, deadline=None, max_examples=150)
@given(batches(), THRESHOLDS, MIN_KEPT)
def test_equals_a_sort_of_every_pixel(batch, thresh, min_kept):
    logits, labels, weight = batch
    expected_loss, expected_grad, expected_kept = slow_ohem(logits, labels, weight, thresh, min_kept)
    valid = labels != IGNORE
    left_out, share = mine_away(true_nll(logits, labels), ~valid, thresh, min_kept)
    assert torch.equal(~left_out, expected_kept)
    assert share == (expected_kept.sum() / valid.sum() if valid.any() else None)
    loss, grad = value_and_grad(ohem_cross_entropy(logits, labels, weight, thresh, min_kept), logits)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-9)
    torch.testing.assert_close(grad, expected_grad)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(batches(), st.sampled_from([(None, 1.0), (1.001, 1), (1.001, 0.1), (0.5, 10**9), (100.0, 0)]))
def test_equals_torch_when_nothing_is_mined_away(batch, mining):
    logits, labels, weight = batch
    actual = value_and_grad(ohem_cross_entropy(logits, labels, weight, *mining), logits)
    if (labels == IGNORE).all():
        expected = torch.zeros((), dtype=torch.float64), torch.zeros_like(logits)
    else:
        expected = value_and_grad(F.cross_entropy(logits, labels, weight, ignore_index=IGNORE), logits)
    assert_same(actual, expected)


def test_by_hand():
    # Two classes; true-class probabilities 1/4, 1/2, 4/5, 9/10. Strictly below 1/2 is only the first.
    logits = torch.tensor([[0.0, -math.log(3)], [0.0, 0.0], [math.log(4), 0.0], [0.0, math.log(9)]])
    logits[0] = torch.tensor([0.0, math.log(3)])
    labels, weight = torch.tensor([0, 1, 0, 1]), torch.tensor([1.0, 3.0])
    nll = [math.log(4), math.log(2), math.log(5 / 4), math.log(10 / 9)]
    cases = {
        (0.5, 1): nll[0],
        (0.6, 1): (nll[0] + 3 * nll[1]) / 4,
        (0.5, 3): (nll[0] + 3 * nll[1] + nll[2]) / 5,
        (None, 2): (nll[0] + 3 * nll[1]) / 4,
        (None, 0.3): (nll[0] + 3 * nll[1]) / 4,  # 1.2 pixels: rounded up
        (0.01, 0.25): nll[0],
    }
    for (thresh, min_kept), expected in cases.items():
        assert ohem_cross_entropy(logits, labels, weight, thresh, min_kept).item() == pytest.approx(expected, rel=1e-6)
    assert mined_cross_entropy(logits, labels, weight, 0.6, 1)[1] == 0.5


def test_pure_thresholding_may_keep_nothing():
    logits = torch.tensor([[9.0, 0.0]], requires_grad=True)
    loss, share = mined_cross_entropy(logits, torch.tensor([0]), thresh=0.5, min_kept=0)
    loss.backward()
    assert (loss.item(), share) == (0, 0)
    assert (logits.grad == 0).all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(batches(), THRESHOLDS, MIN_KEPT, st.integers(0, 2**31))
def test_pixels_and_classes_may_be_permuted(batch, thresh, min_kept, seed):
    logits, labels, weight = batch
    generator = torch.Generator().manual_seed(seed)
    loss = ohem_cross_entropy(logits, labels, weight, thresh, min_kept)
    flat_logits, flat_labels = logits.movedim(1, -1).reshape(-1, len(weight)), labels.flatten()
    pixels = torch.randperm(len(flat_labels), generator=generator)
    actual = ohem_cross_entropy(flat_logits[pixels], flat_labels[pixels], weight, thresh, min_kept)
    torch.testing.assert_close(actual, loss)
    classes = torch.randperm(len(weight), generator=generator)
    rank = torch.cat([classes.argsort(), torch.full((IGNORE + 1 - len(weight),), IGNORE)])
    actual = ohem_cross_entropy(logits[:, classes], rank[labels], weight[classes], thresh, min_kept)
    torch.testing.assert_close(actual, loss)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(batches(), st.floats(0.01, 1.5), st.floats(0.01, 1.5), MIN_KEPT)
def test_a_higher_threshold_keeps_a_superset_of_lower_loss(batch, one, other, min_kept):
    logits, labels, _ = batch
    low, high = sorted((one, other))
    nll = true_nll(logits, labels)
    more_left_out, fewer_left_out = (mine_away(nll, labels == IGNORE, limit, min_kept)[0] for limit in (low, high))
    assert not (fewer_left_out & ~more_left_out).any()
    few = ohem_cross_entropy(logits, labels, None, low, min_kept)
    many = ohem_cross_entropy(logits, labels, None, high, min_kept)
    assert few >= many - 1e-9


@settings(derandomize=True, deadline=None, max_examples=40)
@given(batches(), THRESHOLDS, st.sampled_from([0.1, 0.5, 1.0]))
def test_scale_stays_when_three_quarters_are_ignored(batch, thresh, min_kept):
    logits, labels, weight = batch
    padded_logits = F.pad(logits, (0, logits.shape[3], 0, logits.shape[2]))
    padded_labels = F.pad(labels, (0, labels.shape[2], 0, labels.shape[1]), value=IGNORE)
    loss = ohem_cross_entropy(logits, labels, weight, thresh, min_kept)
    torch.testing.assert_close(ohem_cross_entropy(padded_logits, padded_labels, weight, thresh, min_kept), loss)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(), THRESHOLDS, MIN_KEPT)
def test_pixel_weight_of_0_or_1_is_like_ignoring(batch, thresh, min_kept):
    logits, labels, weight = batch
    pixel_weight = (torch.arange(labels.numel()).view_as(labels) % 3 > 0).double()
    actual = ohem_cross_entropy(logits, labels, weight, thresh, min_kept, pixel_weight=pixel_weight)
    masked = labels.masked_fill(pixel_weight == 0, IGNORE)
    expected = ohem_cross_entropy(logits, masked, weight, thresh, min_kept)
    assert_same(value_and_grad(actual, logits), value_and_grad(expected, logits))


def test_pixel_weight_enters_the_mean_but_not_the_choice():
    logits, labels, pixel_weight = torch.randn(2, 3, 6, 6), torch.randint(3, (2, 6, 6)), torch.rand(2, 6, 6) + 0.1
    nll = F.cross_entropy(logits, labels, reduction='none')
    w = pixel_weight * (nll > -math.log(0.4))
    actual = ohem_cross_entropy(logits, labels, None, 0.4, 1, pixel_weight=pixel_weight)
    torch.testing.assert_close(actual, (w * nll).sum() / w.sum())


@pytest.mark.parametrize('min_kept', [1, 7, 0.5, 24])
@pytest.mark.parametrize('probability_below', [True, False])
def test_exactly_min_kept_among_equals(min_kept, probability_below):
    # Zero logits: every pixel has probability 1/3, on one side of the threshold or the other.
    left_out, share = mine_away(
        torch.full((2, 4, 4), math.log(3)),
        torch.arange(32).view(2, 4, 4) >= 24,
        0.34 if probability_below else 0.33,
        min_kept,
    )
    expected = 24 if probability_below else {0.5: 12}.get(min_kept, min_kept)
    assert (~left_out).sum() == expected
    assert left_out.flatten()[24:].all()
    assert share == expected / 24


def test_ranks_what_underflows_as_a_probability():
    nll = torch.tensor([[200.0, 900.0, 300.0, 1.0]])
    left_out, _ = mine_away(nll, torch.zeros_like(nll, dtype=torch.bool), None, 2)
    assert left_out.tolist() == [[True, False, False, True]]


@pytest.mark.parametrize('mining', [(None, 1), (0.5, 1), (0.5, 4)])
def test_a_diverged_pixel_is_never_mined_away(mining):
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 0] = 9
    logits[0, 1, 1, 1] = math.nan
    assert ohem_cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.long), None, *mining).isnan()


@pytest.mark.parametrize('mining', [(None, 5), (0.5, 1), (0.9, 0.5), (2.0, 1)])
@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_ignored_pixels_never_leak(bad, mining):
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(3, (1, 4, 4))
    labels[:, :2] = IGNORE
    expected = value_and_grad(ohem_cross_entropy(logits.requires_grad_(), labels, None, *mining), logits)
    logits = logits.detach().clone()
    logits[:, 1, :2] = bad
    assert_same(value_and_grad(ohem_cross_entropy(logits.requires_grad_(), labels, None, *mining), logits), expected)


@pytest.mark.parametrize('mining', [(None, 5), (0.5, 1), (0.5, 0.5), (2.0, 1.0)])
def test_nothing_to_learn(mining):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss, share = mined_cross_entropy(logits, torch.full((2, 4, 4), IGNORE), None, *mining)
    loss.backward()
    assert share is None
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_gradient_by_finite_differences():
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 1], [2, IGNORE]], [[1, 1], [IGNORE, 0]]])
    weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    for mining in ((0.3, 1), (None, 3), (0.01, 0.6)):
        assert torch.autograd.gradcheck(lambda x, m=mining: ohem_cross_entropy(x, labels, weight, *m), (logits,))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast(dtype):
    logits = (torch.randn(2, 5, 16, 16) * 4).to(dtype).requires_grad_()
    labels = torch.randint(5, (2, 16, 16), dtype=torch.uint8)
    expected = value_and_grad(ohem_cross_entropy(logits.float(), labels.long(), None, 0.5, 100), logits)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = ohem_cross_entropy(logits, labels, None, 0.5, 100)
    assert loss.dtype == torch.float32
    assert_same(value_and_grad(loss, logits), expected)


@pytest.mark.parametrize('confidence', [0.0, 6.0])
def test_agrees_with_upstream_up_to_its_scale(confidence):
    # Upstream averages over all pixels, ignored ones included; min_kept counts per image there.
    labels = torch.randint(5, (2, 32, 32))
    logits = torch.randn(2, 5, 32, 32).scatter_add(1, labels[:, None], torch.full((2, 1, 32, 32), confidence))
    labels[:, :5] = IGNORE
    sampler = OHEMPixelSampler(SimpleNamespace(ignore_index=IGNORE), thresh=0.5, min_kept=200)
    upstream = CrossEntropyLoss()(logits, labels, weight=sampler.sample(logits, labels[:, None]), ignore_index=IGNORE)
    loss, share = mined_cross_entropy(logits, labels, None, 0.5, 400)
    torch.testing.assert_close(loss * share * (labels != IGNORE).float().mean(), upstream)


@pytest.mark.parametrize(
    ('thresh', 'min_kept', 'message'),
    [
        (0.0, 1, 'thresh=0.0'),
        (-1, 1, 'thresh=-1'),
        (math.nan, 1, 'thresh=nan'),
        (0.5, 1e4, 'give a count as int'),
        (0.5, 0.0, 'min_kept=0.0'),
        (0.5, -1, 'min_kept=-1'),
        (None, 0, 'min_kept=0'),
        (0.5, True, 'min_kept=True'),
        (0.5, '10', "min_kept='10'"),
    ],
)
def test_settings_that_mean_nothing(thresh, min_kept, message):
    with pytest.raises(ValueError, match=message):
        OhemBalancedLoss(thresh=thresh, min_kept=min_kept)
    with pytest.raises(ValueError, match=message):
        ohem_cross_entropy(torch.zeros(1, 2), torch.zeros(1), None, thresh, min_kept)


def test_labels_out_of_range():
    with pytest.raises(ValueError, match='labels hold 7 at 3 pixels'):
        ohem_cross_entropy(torch.zeros(3, 4), torch.full((3,), 7))


# The registered class


def test_build_and_settings():
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
    cfg = {'type': 'OhemBalancedLoss', 'class_weight': [1, 2, 3], 'thresh': 0.3, 'min_kept': 9, 'loss_weight': 0.4}
    loss = MODELS.build(cfg)
    expected = 0.4 * ohem_cross_entropy(logits, labels, torch.tensor([1.0, 2, 3]), 0.3, 9)
    torch.testing.assert_close(loss(logits, labels, weight=None, ignore_index=255), expected)
    assert loss.loss_name == 'loss_ohem'
    assert not loss.state_dict()
    with pytest.raises(ValueError, match="use 'loss_ohem'"):
        OhemBalancedLoss(loss_name='ohem')
    with pytest.raises(ValueError, match='2 weights for 3 classes'):
        OhemBalancedLoss([1, 2])(logits, labels)


def test_kept_share_reaches_the_log_of_a_training_only():
    hub = MessageHub.get_instance('test_kept_share_reaches_the_log')
    logits, labels = torch.randn(1, 3, 8, 8), torch.randint(3, (1, 8, 8))
    main, aux = OhemBalancedLoss(thresh=None, min_kept=16), OhemBalancedLoss(None, None, 32, loss_name='loss_ohem_aux')
    main.eval()(logits, labels)
    assert not hub.log_scalars
    main.train()(logits, labels)
    aux(logits, labels)
    main(logits, torch.full_like(labels, IGNORE))
    assert {key: buffer.data[0].tolist() for key, buffer in hub.log_scalars.items()} == {
        'train/kept_ohem': [0.25],
        'train/kept_ohem_aux': [0.5],
    }


def head(loss_name):
    return {
        'type': 'FCNHead',
        'in_channels': 4,
        'channels': 4,
        'num_convs': 1,
        'num_classes': 3,
        'norm_cfg': {'type': 'BN'},
        'loss_decode': {
            'type': 'OhemBalancedLoss',
            'class_weight': [1, 2, 3],
            'min_kept': 0.25,
            'loss_weight': 0.4,
            'loss_name': loss_name,
        },
    }


@pytest.mark.parametrize('all_ignored', [False, True])
def test_in_main_and_auxiliary_head(all_ignored):
    main, aux = MODELS.build(head('loss_ohem')), MODELS.build(head('loss_ohem_aux'))
    sample = SegDataSample()
    labels = torch.full((1, 8, 8), IGNORE) if all_ignored else torch.randint(3, (1, 8, 8))
    sample.gt_sem_seg = PixelData(data=labels)
    features = torch.randn(1, 4, 4, 4, requires_grad=True)
    losses = main.loss_by_feat(main([features]), [sample])
    losses.update(aux.loss_by_feat(aux([features]), [sample]))
    (losses['loss_ohem'] + losses['loss_ohem_aux']).backward()
    total_gradient = sum(p.grad.abs().sum() for part in (main, aux) for p in part.parameters() if p.grad is not None)
    assert features.grad.isfinite().all()
    assert (total_gradient == 0) == all_ignored


class ToyModel(BaseModel):
    """One linear layer under the loss; `forward` as the Runner calls it."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 3, 1)
        self.loss_decode = OhemBalancedLoss(thresh=None, min_kept=0.25)

    def forward(self, image, label, mode):
        return {'loss_ohem': self.loss_decode(self.layer(image), label)}


def test_kept_share_in_the_log_of_a_runner(tmp_path):
    runner = Runner(
        ToyModel(),
        str(tmp_path),
        train_dataloader={
            'batch_size': 1,
            'num_workers': 0,
            'dataset': [{'image': torch.randn(2, 4, 4), 'label': torch.randint(3, (4, 4))}] * 2,
            'sampler': {'type': 'InfiniteSampler'},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': False, 'max_iters': 2},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}, 'checkpoint': None},
        log_processor={'by_epoch': False},
        visualizer={'type': 'Visualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]},
        default_scope='mmengine',
        experiment_name='test_kept_share_in_the_log_of_a_runner',
    )
    runner.train()
    (scalars,) = tmp_path.rglob('scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [line['kept_ohem'] for line in lines] == [0.25, 0.25]
    # The share is shown, not learnt from.
    assert all(line['loss'] == line['loss_ohem'] for line in lines)
    assert 'kept_ohem: 0.2500' in next(tmp_path.rglob('*.log')).read_text()
