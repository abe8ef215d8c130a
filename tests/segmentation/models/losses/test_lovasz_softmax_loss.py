import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses import LovaszLoss
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmext.segmentation.models.losses  # noqa: F401  (registers the losses)
from mmext.common.class_balance import ClassStatistics, write_class_balance
from mmext.segmentation.models.losses.lovasz_softmax_loss import (
    LovaszSoftmaxLoss,
    falling_order,
    jaccard_steps,
    lovasz_softmax,
)

IGNORE = 255


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@st.composite
def batches(draw, dtype=torch.float64):
    """Logits (B, C, H, W) with a gradient, labels (B, H, W) with ignored pixels, class weights (C,)."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    b, c, h, w = (draw(st.integers(low, high)) for low, high in ((1, 3), (2, 6), (1, 5), (1, 5)))
    logits = torch.randn(b, c, h, w, generator=generator, dtype=dtype) * draw(st.sampled_from([0.1, 1.0, 10.0]))
    labels = torch.randint(c, (b, h, w), generator=generator)
    labels[torch.rand(b, h, w, generator=generator) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = IGNORE
    return logits.requires_grad_(), labels, torch.rand(c, generator=generator, dtype=dtype) + 0.1


def slow_lovasz(logits, labels, classes='present', per_image=False, class_weight=None):
    """Class by class, the set function itself at every prefix of the pixels in the order of their errors."""
    if per_image:
        losses = [
            slow_lovasz(one[None], truth[None], classes, False, class_weight)
            for one, truth in zip(logits, labels, strict=True)
            if (truth != IGNORE).any()
        ]
        return sum(losses) / len(losses) if losses else logits.sum() * 0
    probs = logits.softmax(1).movedim(1, -1)[labels != IGNORE]
    truth = labels[labels != IGNORE].tolist()
    total, weights = logits.sum() * 0, 0.0
    for c in range(logits.shape[1]):
        members = {i for i, label in enumerate(truth) if label == c}
        if not truth or (classes == 'present' and not members):
            continue
        errors = [1 - probs[i, c] if i in members else probs[i, c] for i in range(len(truth))]
        wrong, before, loss = set(), 0.0, 0.0
        for i in sorted(range(len(truth)), key=lambda i: -errors[i].item()):
            wrong.add(i)
            jaccard = len(wrong) / len(members | wrong)
            loss, before = loss + errors[i] * (jaccard - before), jaccard
        weight = 1.0 if class_weight is None else float(class_weight[c])
        total, weights = total + weight * loss, weights + weight
    return total / weights if weights else total


def value_and_grad(loss, logits):
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


def assert_same(actual, expected, **tolerance):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


SETTINGS = (st.sampled_from(['present', 'all']), st.booleans(), st.booleans())


@settings(derandomize=True, deadline=None, max_examples=80)
@given(batches(), *SETTINGS)
def test_equals_the_set_function(batch, classes, per_image, weighted):
    logits, labels, weight = batch
    arguments = classes, per_image, weight if weighted else None
    actual = value_and_grad(lovasz_softmax(logits, labels, *arguments), logits)
    assert_same(actual, value_and_grad(slow_lovasz(logits, labels, *arguments), logits))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(batches(torch.float32), *SETTINGS)
def test_float32_equals_the_set_function(batch, classes, per_image, weighted):
    logits, labels, weight = batch
    arguments = classes, per_image, weight if weighted else None
    actual = value_and_grad(lovasz_softmax(logits, labels, *arguments), logits)
    double = logits.detach().double().requires_grad_()
    loss, grad = value_and_grad(slow_lovasz(double, labels, *arguments), double)
    assert_same(actual, (loss.float(), grad.float()), rtol=1e-5, atol=3e-7)


def test_by_hand():
    # Three pixels of the classes 0, 1, 1, with probabilities 3/4, 1/2, 1/4 of class 0 and the rest of class 1.
    # Class 0: errors 1/4 (its own), 1/2, 1/4. The second pixel wrong gives J = 1/2, with the first 1, then nothing
    # more: 1/2 * 1/2 + 1/4 * 1/2 = 3/8; the third before the first would give 1/2 * 1/2 + 1/4 * (1/6 + 1/3), the same.
    # Class 1: errors 1/4, 1/2 (its own), 1/4 (its own): 1/2 * 1/2 + 1/4 * 1/2 = 3/8.
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, math.log(3)]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1])
    assert lovasz_softmax(logits, labels).item() == pytest.approx(3 / 8)
    assert lovasz_softmax(logits[1:], labels[1:]).item() == pytest.approx(3 / 8)  # class 0 is absent
    # 'all' adds its largest probability, 1/2.
    assert lovasz_softmax(logits[1:], labels[1:], 'all').item() == pytest.approx((3 / 8 + 1 / 2) / 2)
    assert lovasz_softmax(logits[1:], labels[1:], 'all', class_weight=[3.0, 1.0]).item() == pytest.approx(15 / 32)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(), st.booleans())
def test_hard_predictions_give_one_minus_iou(batch, weighted):
    logits, labels, weight = batch
    prediction = logits.argmax(1)
    hard = torch.zeros_like(logits).scatter_(1, prediction.unsqueeze(1), 1e4)
    valid = labels != IGNORE
    losses, weights = [0.0], [1e-9]
    for c in labels[valid].unique():
        mine, truth = (prediction == c) & valid, labels == c
        weights.append(weight[c].item() if weighted else 1.0)
        losses.append(weights[-1] * (1 - ((mine & truth).sum() / (mine | truth).sum()).item()))
    actual = lovasz_softmax(hard, labels, class_weight=weight if weighted else None)
    assert actual.item() == pytest.approx(sum(losses) / sum(weights), abs=1e-6)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31), st.sampled_from(['present', 'all']))
def test_pixels_and_classes_may_be_permuted(batch, seed, classes):
    logits, labels, weight = batch
    generator = torch.Generator().manual_seed(seed)
    loss = lovasz_softmax(logits, labels, classes, class_weight=weight)
    flat_logits, flat_labels = logits.movedim(1, -1).reshape(-1, len(weight)), labels.flatten()
    pixels = torch.randperm(len(flat_labels), generator=generator)
    shuffled = lovasz_softmax(flat_logits[pixels], flat_labels[pixels], classes, class_weight=weight)
    torch.testing.assert_close(shuffled, loss)
    order = torch.randperm(len(weight), generator=generator)
    rank = torch.cat([order.argsort(), torch.full((IGNORE + 1 - len(weight),), IGNORE)])
    relabelled = lovasz_softmax(logits[:, order], rank[labels], classes, class_weight=weight[order])
    torch.testing.assert_close(relabelled, loss)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(torch.float32), st.booleans())
def test_equals_mmseg(batch, per_image):
    logits, labels, _ = batch
    # Upstream fails for an image with fewer than two labelled pixels.
    more = torch.randn(*logits.shape[:3], 2)
    logits, labels = torch.cat([logits, more], -1).detach().requires_grad_(), F.pad(labels, (0, 2), value=0)
    upstream = LovaszLoss(per_image=per_image, reduction='mean' if per_image else 'none')
    expected = value_and_grad(upstream(logits, labels, ignore_index=IGNORE), logits)
    # Upstream subtracts nearly equal numbers.
    actual = value_and_grad(lovasz_softmax(logits, labels, per_image=per_image), logits)
    assert_same(actual, expected, rtol=1e-4, atol=1e-6)


def test_class_weights_of_mmseg_are_not_divided_by_their_sum():
    logits, labels, weight = torch.randn(2, 4, 6, 6), torch.randint(3, (2, 6, 6)), [0.5, 2.0, 3.0, 100.0]
    upstream = LovaszLoss(reduction='none', class_weight=weight)(logits, labels, ignore_index=IGNORE)
    torch.testing.assert_close(lovasz_softmax(logits, labels, class_weight=weight) * 5.5 / 3, upstream)


def test_order_of_a_cpu_is_that_of_torch():
    errors = torch.rand(5, 1000)
    errors[:, ::7], errors[:, 1::7], errors[2, 500] = -1, 0, math.nan
    errors[3, 2], errors[3, 9] = 1e-42, 2e-45  # denormal numbers are told apart as well
    order = falling_order(errors)
    assert (order.div(1000, rounding_mode='floor') == torch.arange(5).unsqueeze(1)).all()
    expected = errors.sort(dim=1, descending=True).values
    torch.testing.assert_close(errors.take(order), expected, equal_nan=True, rtol=0, atol=0)
    double = errors.double()
    torch.testing.assert_close(double.take(falling_order(double)), expected.double(), equal_nan=True, rtol=0, atol=0)
    assert (order.sort(1).values.flatten() == torch.arange(5000)).all()


def test_steps_by_hand():
    # 1 0 1 0: one of two wrong 1/2; union of three, both but one hit missing: 1 - 1/3; all missing: 1, 1.
    foreground = torch.tensor([[True, False, True, False], [False, False, True, False], [False] * 4, [True] * 4])
    expected = [[1 / 2, 1 / 6, 1 / 3, 0], [1 / 2, 1 / 6, 1 / 3, 0], [1, 0, 0, 0], [1 / 4] * 4]
    torch.testing.assert_close(jaccard_steps(foreground), torch.tensor(expected))


def test_ties_change_no_value():
    logits = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    labels = torch.randint(3, (1, 4, 4))
    # Every error of foreground is 2/3, of background 1/3: L_c = 2/3 * J(foreground wrong) + 1/3 * 0 = 2/3.
    assert lovasz_softmax(logits, labels).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize('per_image', [False, True])
def test_gradient_by_finite_differences(per_image):
    logits = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 1, 1], [2, IGNORE, 0], [0, 0, 0]], [[1, 1, 0], [IGNORE, 0, 1], [1, 0, 1]]])
    weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: 7 * lovasz_softmax(x, labels, per_image=per_image, class_weight=weight), (logits,)
    )


@pytest.mark.parametrize('per_image', [False, True])
@pytest.mark.parametrize('weight', [None, [0.0, 0.0, 0.0]])
@pytest.mark.parametrize('classes', ['present', 'all'])
def test_nothing_to_learn(per_image, weight, classes):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORE) if weight is None else torch.randint(3, (2, 4, 4))
    loss = lovasz_softmax(logits, labels, classes, per_image, weight)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_an_image_without_a_label_does_not_count():
    logits, labels = torch.randn(3, 4, 5, 5), torch.randint(4, (3, 5, 5))
    labels[1] = IGNORE
    expected = lovasz_softmax(logits[[0, 2]], labels[[0, 2]], per_image=True)
    torch.testing.assert_close(lovasz_softmax(logits, labels, per_image=True), expected)


def test_per_image_is_the_mean_over_images():
    logits, labels = torch.randn(3, 4, 5, 5), torch.randint(4, (3, 5, 5))
    single = [lovasz_softmax(logits[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(lovasz_softmax(logits, labels, per_image=True), torch.stack(single).mean())


def test_weight_of_0_is_like_ignoring():
    logits, labels = torch.randn(2, 4, 5, 5, requires_grad=True), torch.randint(4, (2, 5, 5))
    pixel_weight = torch.tensor([0.0, 1.0, 3.0])[torch.randint(3, (2, 5, 5))]
    actual = value_and_grad(lovasz_softmax(logits, labels, pixel_weight=pixel_weight), logits)
    masked = labels.masked_fill(pixel_weight == 0, IGNORE)
    assert_same(actual, value_and_grad(lovasz_softmax(logits, masked), logits))


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf, 1.0])
@pytest.mark.parametrize('classes', ['present', 'all'])
def test_ignored_pixels_never_leak(bad, classes):
    logits = torch.randn(1, 3, 4, 4)
    labels = torch.randint(2, (1, 4, 4))
    labels[:, :2] = IGNORE
    expected = value_and_grad(lovasz_softmax(logits.requires_grad_(), labels, classes), logits)
    logits = logits.detach().clone()
    logits[:, 0, :2] = bad
    actual = value_and_grad(lovasz_softmax(logits.requires_grad_(), labels, classes), logits)
    assert_same(actual, expected)
    assert (actual[1][:, :, :2] == 0).all()


def test_counted_nan_is_seen():
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, 0, 0] = math.nan
    loss = lovasz_softmax(logits.requires_grad_(), torch.zeros(1, 2, 2, dtype=torch.long))
    assert loss.isnan()
    assert torch.autograd.grad(loss, logits)[0].isnan().any()


def test_perfect_and_hopeless():
    labels = torch.randint(3, (2, 4, 4))
    right = F.one_hot(labels, 3).movedim(-1, 1) * 1e4
    assert lovasz_softmax(right.float(), labels).item() == 0
    assert lovasz_softmax(-right.float(), labels).item() == pytest.approx(1)


def test_a_backward_pass_may_be_repeated():
    logits, labels = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randint(3, (2, 4, 4))
    loss = lovasz_softmax(logits, labels)
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0].clone()
    torch.testing.assert_close(torch.autograd.grad(3 * loss, logits)[0], 3 * first)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = (torch.randn(2, 5, 6, 6) * 8).to(dtype).requires_grad_()
    labels = torch.randint(5, (2, 6, 6))
    loss, grad = value_and_grad(lovasz_softmax(logits, labels), logits)
    expected = value_and_grad(lovasz_softmax(logits.float(), labels), logits)
    assert loss.dtype == torch.float32
    assert grad.dtype == dtype
    assert_same((loss, grad), expected)


def test_autocast_does_not_lower_the_precision():
    logits, labels, weight = torch.randn(2, 5, 6, 6, requires_grad=True), torch.randint(5, (2, 6, 6)), torch.rand(5)
    expected = value_and_grad(lovasz_softmax(logits, labels, class_weight=weight), logits)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = lovasz_softmax(logits, labels, class_weight=weight)
    assert actual.dtype == torch.float32
    assert_same(value_and_grad(actual, logits), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32])
def test_labels_of_any_integer_type(dtype):
    logits, labels = torch.randn(2, 5, 6, 6), torch.randint(5, (2, 6, 6))
    labels[:, 0] = IGNORE
    torch.testing.assert_close(lovasz_softmax(logits, labels.to(dtype)), lovasz_softmax(logits, labels))


@pytest.mark.parametrize('ignore_index', [-100, 0, 3])
def test_any_ignore_index(ignore_index):
    logits, labels = torch.randn(2, 4, 6, 6), torch.randint(1, 3, (2, 6, 6))
    labels[:, 0] = IGNORE
    expected = lovasz_softmax(logits, labels)
    actual = lovasz_softmax(logits, labels.masked_fill(labels == IGNORE, ignore_index), ignore_index=ignore_index)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize('value', [4, 254, -1])
def test_labels_out_of_range(value):
    labels = torch.zeros(1, 2, 3, dtype=torch.long)
    labels[0, 1, :2] = value
    with pytest.raises(ValueError, match=rf'labels hold {value} at 2 pixels .* neither a class \(0\.\.3\)'):
        lovasz_softmax(torch.randn(1, 4, 2, 3), labels)


def test_what_does_not_fit():
    labels = torch.zeros(1, 2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r'labels \(1, 1, 2, 3\) do not fit logits \(1, 4, 2, 3\)'):
        lovasz_softmax(torch.randn(1, 4, 2, 3), labels[None])
    with pytest.raises(ValueError, match='one weight for 4 classes'):
        lovasz_softmax(torch.randn(1, 4, 2, 3), labels, class_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match='give it two channels'):
        lovasz_softmax(torch.randn(1, 1, 2, 3), labels)
    with pytest.raises(ValueError, match=r"classes='some': choose one of present, all"):
        LovaszSoftmaxLoss(classes='some')


# The registered class


def test_build_from_list_and_from_file(tmp_path):
    statistics = ClassStatistics(('road', 'car', 'train'), (60, 30, 10), (3, 2, 1), (150, 100, 50))
    write_class_balance(tmp_path / 'w.json', statistics, 'inverse')
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    expected = 0.4 * lovasz_softmax(logits, labels, 'all', True, class_weight=[1 / 3, 2 / 3, 2])
    shared = {'type': 'LovaszSoftmaxLoss', 'classes': 'all', 'per_image': True, 'loss_weight': 0.4}
    for weight in ([1 / 3, 2 / 3, 2], str(tmp_path / 'w.json')):
        loss = MODELS.build({**shared, 'class_weight': weight})
        torch.testing.assert_close(loss(logits, labels, weight=None, ignore_index=255), expected)
        assert not loss.state_dict()
    with pytest.raises(ValueError, match=r'w\.json: 3 weights for 5 classes'):
        LovaszSoftmaxLoss(class_weight=tmp_path / 'w.json')(torch.randn(1, 5, 2, 2), torch.zeros(1, 2, 2))


def test_loss_name_must_reach_the_optimiser():
    with pytest.raises(ValueError, match="use 'loss_lovasz'"):
        LovaszSoftmaxLoss(loss_name='lovasz')
    assert LovaszSoftmaxLoss().loss_name == 'loss_lovasz'


def test_no_map_for_upstreams_sampler():
    with pytest.raises(ValueError, match='give the sampler a thresh'):
        LovaszSoftmaxLoss()(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2), reduction_override='none')


@pytest.mark.parametrize('sampler', [None, {'type': 'OHEMPixelSampler', 'thresh': 0.7, 'min_kept': 4}])
def test_beside_a_cross_entropy_in_a_decode_head(sampler):
    head = FCNHead(
        in_channels=4,
        channels=4,
        num_convs=1,
        num_classes=3,
        norm_cfg={'type': 'BN'},
        sampler=sampler,
        loss_decode=[{'type': 'ClassBalancedLoss'}, {'type': 'LovaszSoftmaxLoss', 'loss_weight': 0.5}],
    )
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 8, 8)))
    logits = head([torch.randn(1, 4, 4, 4)])
    losses = head.loss_by_feat(logits, [sample])
    assert {'loss_cb', 'loss_lovasz'} <= losses.keys()
    (losses['loss_cb'] + losses['loss_lovasz']).backward()
    assert 0 < losses['loss_lovasz'].item() < 0.5
    assert head.conv_seg.weight.grad.abs().sum() > 0


def test_lowers_the_loss_it_stands_for():
    labels = torch.randint(4, (2, 12, 12))
    logits = torch.randn(2, 4, 12, 12, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    first = lovasz_softmax(logits, labels).item()
    for _ in range(60):
        optimizer.zero_grad()
        lovasz_softmax(logits, labels).backward()
        optimizer.step()
    assert lovasz_softmax(logits, labels).item() < 0.05 < first
    assert (logits.argmax(1) == labels).float().mean() > 0.95
