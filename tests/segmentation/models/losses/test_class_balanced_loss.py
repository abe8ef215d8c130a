import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MessageHub
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmext.segmentation.models.losses  # noqa: F401  (registers the losses)
from mmext.common.class_balance import ClassStatistics, write_class_balance
from mmext.segmentation.models.losses.class_balanced_loss import ClassBalancedLoss, class_balanced_cross_entropy

IGNORE = 255


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@st.composite
def batches(draw, dtype=torch.float64):
    """Logits (B, C, H, W) with a gradient, labels (B, H, W) with ignored pixels, class weights (C,)."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    b, c, h, w = (draw(st.integers(low, high)) for low, high in ((1, 3), (1, 6), (1, 5), (1, 5)))
    logits = torch.randn(b, c, h, w, generator=generator, dtype=dtype) * draw(st.sampled_from([0.1, 1.0, 30.0]))
    labels = torch.randint(c, (b, h, w), generator=generator)
    labels[torch.rand(b, h, w, generator=generator) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = IGNORE
    return logits.requires_grad_(), labels, torch.rand(c, generator=generator, dtype=dtype) + 0.1


def value_and_grad(loss, logits):
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


def assert_same(actual, expected, **tolerance):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(batches(), st.booleans())
def test_equals_torch(batch, weighted):
    logits, labels, weight = batch
    weight = weight if weighted else None
    actual = value_and_grad(class_balanced_cross_entropy(logits, labels, weight, IGNORE), logits)
    if (labels == IGNORE).all():
        expected = torch.zeros((), dtype=torch.float64), torch.zeros_like(logits)
    else:
        expected = value_and_grad(F.cross_entropy(logits, labels, weight, ignore_index=IGNORE), logits)
    assert_same(actual, expected)


def test_by_hand():
    # Probabilities of the true class 1/2, 1/4 with class weights 1, 3: (ln 2 + 3 ln 4) / 4 = 7/4 ln 2.
    # The gradient is weight / 4 * (softmax - one-hot).
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], dtype=torch.float64).requires_grad_()
    loss, grad = value_and_grad(class_balanced_cross_entropy(logits, torch.tensor([0, 1]), [3.0, 1.0]), logits)
    assert loss.item() == pytest.approx(7 / 4 * math.log(2))
    expected = torch.tensor([[-9 / 16, 9 / 16], [1 / 8, -1 / 8]], dtype=torch.float64)
    torch.testing.assert_close(grad, expected)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(), st.integers(0, 2**31))
def test_pixels_and_classes_may_be_permuted(batch, seed):
    logits, labels, weight = batch
    generator = torch.Generator().manual_seed(seed)
    loss = class_balanced_cross_entropy(logits, labels, weight)
    flat_logits, flat_labels = logits.movedim(1, -1).reshape(-1, len(weight)), labels.flatten()
    pixels = torch.randperm(len(flat_labels), generator=generator)
    torch.testing.assert_close(class_balanced_cross_entropy(flat_logits[pixels], flat_labels[pixels], weight), loss)
    classes = torch.randperm(len(weight), generator=generator)
    rank = torch.cat([classes.argsort(), torch.full((IGNORE + 1 - len(weight),), IGNORE)])
    torch.testing.assert_close(class_balanced_cross_entropy(logits[:, classes], rank[labels], weight[classes]), loss)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches(), st.floats(0.001, 1000))
def test_scale_of_weights_is_irrelevant(batch, factor):
    logits, labels, weight = batch
    expected = class_balanced_cross_entropy(logits, labels, weight)
    torch.testing.assert_close(class_balanced_cross_entropy(logits, labels, weight * factor), expected)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batches())
def test_pixel_weight_of_0_or_1_is_like_ignoring(batch):
    logits, labels, weight = batch
    pixel_weight = (torch.arange(labels.numel()).view_as(labels) % 3 > 0).double()
    actual = class_balanced_cross_entropy(logits, labels, weight, pixel_weight=pixel_weight)
    masked = labels.masked_fill(pixel_weight == 0, IGNORE)
    expected = class_balanced_cross_entropy(logits, masked, weight)
    assert_same(value_and_grad(actual, logits), value_and_grad(expected, logits))


def test_pixel_weight_counts_in_both_sums():
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    weight, pixel_weight = torch.rand(3), torch.rand(2, 4, 5)
    w = weight[labels] * pixel_weight
    expected = (w * F.cross_entropy(logits, labels, reduction='none')).sum() / w.sum()
    actual = class_balanced_cross_entropy(logits, labels, weight, pixel_weight=pixel_weight)
    torch.testing.assert_close(actual, expected)


def test_scale_stays_when_three_quarters_are_ignored():
    logits = torch.randn(2, 5, 8, 8).repeat(1, 1, 2, 2)
    labels = torch.randint(5, (2, 8, 8)).repeat(1, 2, 2)
    expected = class_balanced_cross_entropy(logits, labels)
    labels[:, 8:], labels[:, :, 8:] = IGNORE, IGNORE
    torch.testing.assert_close(class_balanced_cross_entropy(logits, labels), expected)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf, 1.0])
def test_ignored_pixels_never_leak(bad):
    logits = torch.randn(1, 3, 4, 4)
    labels = torch.randint(3, (1, 4, 4))
    labels[:, :2] = IGNORE
    expected = value_and_grad(class_balanced_cross_entropy(logits.requires_grad_(), labels), logits)
    logits = logits.detach().clone()
    logits[:, 0, :2] = bad
    actual = value_and_grad(class_balanced_cross_entropy(logits.requires_grad_(), labels), logits)
    assert_same(actual, expected)
    assert (actual[1][:, :, :2] == 0).all()


def test_counted_nan_is_seen():
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, 0, 0] = math.nan
    loss = class_balanced_cross_entropy(logits.requires_grad_(), torch.zeros(1, 2, 2, dtype=torch.long))
    assert loss.isnan()
    assert torch.autograd.grad(loss, logits)[0].isnan().any()


@pytest.mark.parametrize('weight', [None, [0.0, 0.0, 0.0]])
def test_nothing_to_learn(weight):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORE) if weight is None else torch.randint(3, (2, 4, 4))
    loss = class_balanced_cross_entropy(logits, labels, weight)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_gradient_by_finite_differences():
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 1], [2, IGNORE]], [[1, 1], [IGNORE, 0]]])
    weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: 7 * class_balanced_cross_entropy(x, labels, weight), (logits,))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = (torch.randn(2, 5, 6, 6) * 8).to(dtype).requires_grad_()
    labels = torch.randint(5, (2, 6, 6))
    loss, grad = value_and_grad(class_balanced_cross_entropy(logits, labels), logits)
    expected = value_and_grad(F.cross_entropy(logits.float(), labels), logits)
    assert loss.dtype == torch.float32
    assert grad.dtype == dtype
    assert_same((loss, grad), expected)


def test_autocast_does_not_lower_the_precision():
    logits, labels = torch.randn(2, 5, 6, 6), torch.randint(5, (2, 6, 6))
    weight = torch.rand(5)
    expected = class_balanced_cross_entropy(logits, labels, weight)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = class_balanced_cross_entropy(logits, labels, weight)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32])
def test_labels_of_any_integer_type(dtype):
    logits, labels = torch.randn(2, 5, 6, 6), torch.randint(5, (2, 6, 6))
    labels[:, 0] = IGNORE
    expected = class_balanced_cross_entropy(logits, labels)
    torch.testing.assert_close(class_balanced_cross_entropy(logits, labels.to(dtype)), expected)


@pytest.mark.parametrize('ignore_index', [-100, 0, 3])
def test_any_ignore_index(ignore_index):
    logits, labels = torch.randn(2, 4, 6, 6), torch.randint(4, (2, 6, 6))
    labels[:, 0] = ignore_index
    expected = F.cross_entropy(logits, labels, ignore_index=ignore_index)
    torch.testing.assert_close(class_balanced_cross_entropy(logits, labels, None, ignore_index), expected)


@pytest.mark.parametrize('value', [4, 254, -1])
def test_labels_out_of_range(value):
    labels = torch.zeros(1, 2, 3, dtype=torch.long)
    labels[0, 1, :2] = value
    with pytest.raises(ValueError, match=rf'labels hold {value} at 2 pixels .* neither a class \(0\.\.3\)'):
        class_balanced_cross_entropy(torch.randn(1, 4, 2, 3), labels)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r'labels \(1, 1, 2, 3\) do not fit logits \(1, 4, 2, 3\)'):
        class_balanced_cross_entropy(torch.randn(1, 4, 2, 3), torch.zeros(1, 1, 2, 3))
    with pytest.raises(ValueError, match='one weight for 4 classes'):
        class_balanced_cross_entropy(torch.randn(1, 4, 2, 3), torch.zeros(1, 2, 3), [1.0, 2.0])


# The registered class


@pytest.fixture
def weight_file(tmp_path):
    statistics = ClassStatistics(('road', 'car', 'train'), (60, 30, 10), (3, 2, 1), (150, 100, 50))
    write_class_balance(tmp_path / 'w.json', statistics, 'inverse')
    return tmp_path / 'w.json'


def test_build_from_list_and_from_file(weight_file):
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    from_list = MODELS.build({'type': 'ClassBalancedLoss', 'class_weight': [1 / 3, 2 / 3, 2], 'loss_weight': 0.4})
    from_file = MODELS.build({'type': 'ClassBalancedLoss', 'class_weight': str(weight_file), 'loss_weight': 0.4})
    expected = 0.4 * F.cross_entropy(logits, labels, torch.tensor([1 / 3, 2 / 3, 2]))
    torch.testing.assert_close(from_list(logits, labels, weight=None, ignore_index=255), expected)
    torch.testing.assert_close(from_file(logits, labels), expected)
    assert not from_file.state_dict()


def test_number_of_weights_is_checked_at_the_first_batch(weight_file):
    loss = ClassBalancedLoss(str(weight_file))
    with pytest.raises(ValueError, match=r'w\.json: 3 weights for 5 classes'):
        loss(torch.randn(1, 5, 2, 2), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match='2 weights for 5 classes'):
        ClassBalancedLoss([1, 2])(torch.randn(1, 5, 2, 2), torch.zeros(1, 2, 2))


def test_names_are_those_of_the_training_set(weight_file):
    hub = MessageHub.get_instance('test_names_are_those_of_the_training_set')
    batch = torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2)
    hub.update_info('dataset_meta', {'classes': ('road', 'bus', 'train')})
    ClassBalancedLoss(str(weight_file))(*batch)  # left over from an earlier run: not compared
    hub.update_info('loop_stage', 'train')
    try:
        with pytest.raises(ValueError, match='"car" at position 1, this model has "bus"'):
            ClassBalancedLoss(str(weight_file))(*batch)
        hub.update_info('dataset_meta', {'classes': ('road', 'car', 'train')})
        ClassBalancedLoss(str(weight_file))(*batch)
    finally:
        hub.pop_info('loop_stage')


def test_loss_name_must_reach_the_optimiser():
    with pytest.raises(ValueError, match="use 'loss_cb'"):
        ClassBalancedLoss(loss_name='cb')
    assert ClassBalancedLoss(loss_name='loss_x').loss_name == 'loss_x'


def test_map_for_upstreams_sampler():
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    labels[:, 0] = IGNORE
    expected = F.cross_entropy(logits, labels, torch.tensor([1.0, 2, 3]), ignore_index=IGNORE, reduction='none')
    loss = ClassBalancedLoss([1, 2, 3])
    torch.testing.assert_close(loss(logits, labels, reduction_override='none'), expected)
    with pytest.raises(ValueError, match='reduction_override'):
        loss(logits, labels, reduction_override='sum')


@pytest.mark.parametrize('sampler', [None, {'type': 'OHEMPixelSampler', 'min_kept': 4}])
def test_inside_a_decode_head(sampler):
    head = FCNHead(
        in_channels=4,
        channels=4,
        num_convs=1,
        num_classes=3,
        norm_cfg={'type': 'BN'},
        sampler=sampler,
        loss_decode={'type': 'ClassBalancedLoss', 'class_weight': [1, 2, 3]},
    )
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 8, 8)))
    losses = head.loss_by_feat(head([torch.randn(1, 4, 4, 4)]), [sample])
    losses['loss_cb'].backward()
    assert losses['loss_cb'].item() > 0
    assert head.conv_seg.weight.grad.abs().sum() > 0
