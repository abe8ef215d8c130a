import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS, MODELS
from mmpretrain.structures import DataSample

from mmext.classification.batch_augments.pairwise_cut_mix import (
    PairwiseCutMix,
    box_mask,
    box_shares,
    centred_boxes,
    cut_mix,
    cut_out,
    mix_scores,
    mix_up,
)


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def batch(count=6, size_hw=(5, 7), num_classes=4, seed=0):
    """Images whose every value occurs once, and one-hot scores."""
    generator = torch.Generator().manual_seed(seed)
    pixels = count * 3 * size_hw[0] * size_hw[1]
    images = torch.randperm(pixels, generator=generator).float().reshape(count, 3, *size_hw)
    return images, F.one_hot(torch.randint(num_classes, (count,), generator=generator), num_classes)


def by_hand(images, scores, partners, kept, centres):
    """Pixel by pixel, in Python's numbers."""
    count, _, height, width = images.shape
    mixed, mixed_scores = images.clone(), scores.double()
    for index in range(count):
        partner, pasted = int(partners[index]), 0
        half = math.sqrt(1 - float(kept[index])) / 2
        middle_y, middle_x = (float(part) for part in centres[index])
        for y in range(height):
            for x in range(width):
                inside_y = (middle_y - half) * height <= y + 0.5 < (middle_y + half) * height
                inside_x = (middle_x - half) * width <= x + 0.5 < (middle_x + half) * width
                if inside_y and inside_x:
                    mixed[index, :, y, x] = images[partner, :, y, x]
                    pasted += 1
        share = pasted / (height * width)
        mixed_scores[index] = (1 - share) * scores[index] + share * scores[partner]
    return mixed, mixed_scores.float()


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize(('count', 'size_hw'), [(6, (5, 7)), (3, (8, 8)), (1, (9, 4)), (2, (1, 6))])
def test_as_a_loop_over_images_and_pixels(seed, count, size_hw):
    images, scores = batch(count, size_hw, seed=seed)
    torch.manual_seed(seed)
    partners, kept, centres = torch.randperm(count), torch.rand(count), torch.rand(count, 2)
    torch.manual_seed(seed)
    mixed, mixed_scores = PairwiseCutMix()(images, scores)
    expected, expected_scores = by_hand(images, scores, partners, kept, centres)
    assert torch.equal(mixed, expected)
    torch.testing.assert_close(mixed_scores, expected_scores)


def test_by_hand():
    # A quarter of 4 x 4 about the middle of the upper left quarter, then about the corner: one pixel of the four.
    kept, centres = torch.tensor([0.75, 0.75, 1.0]), torch.tensor([[0.25, 0.25], [0.0, 1.0], [0.5, 0.5]])
    boxes = centred_boxes(kept, centres, (4, 4))
    assert boxes[:2].tolist() == [[0, 0, 2, 2], [0, 3, 1, 4]]
    assert box_shares(boxes, (4, 4)).tolist() == [4 / 16, 1 / 16, 0]
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    mixed, scores = cut_mix(images, torch.eye(3), torch.tensor([1, 2, 0]), boxes)
    assert mixed[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]
    assert mixed[1, 0].tolist() == [[1, 1, 1, 2], [1] * 4, [1] * 4, [1] * 4]
    assert torch.equal(mixed[2], images[2])
    assert scores.tolist() == [[0.75, 0.25, 0], [0, 0.9375, 0.0625], [0, 0, 1]]


def test_limits_of_the_share():
    images, scores = batch()
    partners, middle = torch.tensor([1, 2, 3, 4, 5, 0]), torch.full((6, 2), 0.5)
    nothing = centred_boxes(torch.ones(6), torch.rand(6, 2), (5, 7))
    assert not box_mask(nothing, (5, 7)).any()
    same, same_scores = cut_mix(images, scores.float(), partners, nothing)
    assert torch.equal(same, images)
    assert torch.equal(same_scores, scores.float())
    all_of_it = centred_boxes(torch.zeros(6), middle, (5, 7))
    other, other_scores = cut_mix(images, scores.float(), partners, all_of_it)
    assert torch.equal(other, images[partners])
    assert torch.equal(other_scores, scores[partners].float())
    for kept, expected in ((1.0, images), (0.0, images[partners])):
        mixed, _ = mix_up(images, scores.float(), partners, torch.full((6,), kept))
        assert torch.equal(mixed, expected)


@pytest.mark.parametrize('size_hw', [(32, 32), (5, 7), (33, 31), (224, 224)])
def test_labels_are_exactly_what_was_pasted_and_sum_to_one(size_hw):
    count = 300
    torch.manual_seed(1)
    # Of image i all pixels are i, and its class is i.
    images = torch.arange(float(count)).reshape(-1, 1, 1, 1).expand(count, 1, *size_hw)
    mixed, scores = PairwiseCutMix()(images, torch.eye(count))
    pixels = size_hw[0] * size_hw[1]
    pasted = (mixed != images).sum((1, 2, 3)).float() / torch.tensor(float(pixels))
    assert torch.equal(scores.sum(1), torch.ones(count))
    assert torch.equal(scores.diag(), 1 - pasted)
    assert torch.equal(scores.fill_diagonal_(0).amax(1), pasted)
    assert (pasted > 0).sum() > count / 2


def test_every_share_keeps_the_sum():
    shares = torch.cat((torch.rand(100_000), torch.arange(1025) / 1024, torch.arange(225) / 225))
    scores = mix_scores(torch.tensor([[1.0, 0]]).expand(len(shares), 2), torch.zeros(len(shares)).long(), shares)
    assert torch.equal(scores.sum(1), torch.ones(len(shares)))


def test_every_image_is_a_partner_once():
    count = 64
    torch.manual_seed(0)
    images = torch.arange(float(count)).reshape(-1, 1, 1, 1).expand(count, 3, 8, 8)
    mixed, scores = PairwiseCutMix(kept_share=0.0)(images, torch.eye(count))
    # A box as large as the image holds at least the pixel of its centre.
    partners = [image.unique().tolist() for image in mixed]
    found = [other[-1] if other[0] == index else other[0] for index, other in enumerate(partners)]
    assert sorted(found) == list(range(count))
    for index, partner in enumerate(map(int, found)):
        assert set(scores[index].nonzero().flatten().tolist()) <= {index, partner}
    # Boxes differ from image to image.
    assert len({float(value) for value in scores.diag()}) > 10


def test_mirrored_centres_give_mirrored_boxes():
    torch.manual_seed(0)
    kept, centres = torch.rand(200), torch.rand(200, 2)
    mask = box_mask(centred_boxes(kept, centres, (9, 12)), (9, 12))
    mirrored = box_mask(centred_boxes(kept, 1 - centres, (9, 12)), (9, 12))
    assert torch.equal(mirrored, mask.flip(1, 2))
    turned = box_mask(centred_boxes(kept, centres.flip(1), (12, 9)), (12, 9))
    assert torch.equal(turned, mask.transpose(1, 2))


def test_rounding_does_not_change_the_mean_area():
    torch.manual_seed(0)
    kept = torch.full((50_000,), 0.9)
    # Away from the border; 0.1 * 14 * 18 pixels.
    boxes = centred_boxes(kept, 0.3 + 0.4 * torch.rand(50_000, 2), (14, 18))
    assert float(box_shares(boxes, (14, 18)).mean()) == pytest.approx(0.1, abs=2e-3)


@pytest.mark.parametrize(('alpha', 'variance'), [(1.0, 1 / 12), (0.2, 0.25 / 1.4), (5.0, 0.25 / 11)])
def test_distribution_of_the_kept_share(alpha, variance):
    torch.manual_seed(0)
    shares = PairwiseCutMix(alpha=alpha)._draw_kept_shares(40_000, torch.device('cpu'))
    assert 0 <= shares.min() <= shares.max() <= 1
    assert float(shares.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(variance / 40_000))
    assert float(shares.var()) == pytest.approx(variance, rel=0.05)
    if alpha == 1:
        counts = torch.histc(shares, 10, 0, 1)
        assert counts.min() > 3700
        assert counts.max() < 4300


def test_the_same_seed_gives_the_same_batch():
    images, scores = batch(32)
    for kind in ('cutmix', 'mixup', 'cutout'):
        augment = PairwiseCutMix(kind, alpha=0.5, prob=0.7, batch_share=0.8)
        results = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            np.random.seed(np.random.randint(1000))  # noqa: NPY002 - what NumPy draws must not matter
            results.append(augment(images, scores))
        assert all(torch.equal(*pair) for pair in zip(results[0], results[1], strict=True))
        assert not torch.equal(results[0][0], results[2][0])


def test_arguments_stay_as_they_are():
    images, scores = batch()
    before = images.clone(), scores.clone()
    for kind in ('cutmix', 'mixup', 'cutout'):
        mixed, _ = PairwiseCutMix(kind, kept_share=0.3)(images, scores)
        assert not torch.equal(mixed, images)
        assert torch.equal(images, before[0])
        assert torch.equal(scores, before[1])


def test_one_box_per_batch():
    count = 40
    torch.manual_seed(2)
    images = torch.arange(float(count)).reshape(-1, 1, 1, 1).expand(count, 1, 9, 9)
    mixed, scores = PairwiseCutMix(per='batch')(images, torch.eye(count))
    changed = mixed != images
    own = scores.diag() == 1  # its own partner
    assert own.sum() < 5
    assert (changed[~own] == changed[~own][0]).all()
    assert scores.diag()[~own].unique().numel() == 1


def test_one_box_is_that_of_the_papers_rule():
    """Upstream's box has even sizes; where ours are even too, both cut the same pixels."""
    boxes = centred_boxes(torch.tensor([0.75]), torch.tensor([[10 / 32, 30 / 32]]), (32, 32))
    cut = int(32 * math.sqrt(1 - 0.75))
    expected = [10 - cut // 2, 30 - cut // 2, 10 + cut // 2, min(30 + cut // 2, 32)]
    assert boxes.tolist() == [expected]


def test_cut_out():
    images, scores = batch(4, (32, 32))
    torch.manual_seed(0)
    cut, kept_scores = PairwiseCutMix('cutout', kept_share=0.75, fill=-1.0)(images, scores)
    assert torch.equal(kept_scores, scores.float())
    filled = cut == -1
    assert torch.equal(cut[~filled], images[~filled])
    assert (filled == filled[:, :1]).all()
    assert 0 < filled[:, 0].sum((1, 2)).min() <= filled[:, 0].sum((1, 2)).max() <= 16 * 16
    box = torch.tensor([[8, 8, 24, 24]])
    assert cut_out(images[:1], box, 7.0)[0, :, 8:24, 8:24].unique().tolist() == [7]


def test_mix_up_by_hand():
    images = torch.tensor([[[[0, 100]]], [[[200, 60]]]], dtype=torch.uint8)
    mixed, scores = mix_up(images, torch.eye(2), torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    assert mixed.dtype == torch.float32
    assert mixed.flatten(1).tolist() == [[50, 90], [200, 60]]
    assert scores.tolist() == [[0.75, 0.25], [0, 1]]
    half, _ = mix_up(images.half(), torch.eye(2), torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    assert half.dtype == torch.float16


@pytest.mark.parametrize('kind', ['cutmix', 'mixup', 'cutout'])
def test_nothing_to_mix(kind):
    images, scores = batch(8)
    for settings in (dict(prob=0.0), dict(batch_share=0.0), dict(kept_share=1.0)):
        mixed, same_scores = PairwiseCutMix(kind, **settings)(images, scores)
        assert torch.equal(mixed, images)
        assert same_scores.dtype == torch.float32
        assert torch.equal(same_scores, scores.float())
    if kind != 'cutout':
        mixed, same_scores = PairwiseCutMix(kind)(images[:1], scores[:1])
        torch.testing.assert_close(mixed, images[:1])
        assert torch.equal(same_scores, scores[:1].float())


def changed_images(augment, count=200):
    images = torch.arange(1.0, count + 1).reshape(-1, 1, 1, 1).expand(count, 1, 4, 4)
    mixed, _ = augment(images, torch.eye(count))
    return int((mixed != images).any(-1).any(-1).sum())


def test_probability_and_part_of_the_batch():
    torch.manual_seed(0)
    # A box as large as the image holds at least its centre.
    cut = dict(kind='cutout', kept_share=0.0)
    assert changed_images(PairwiseCutMix(**cut)) == 200
    assert [changed_images(PairwiseCutMix(batch_share=0.25, **cut)) for _ in range(3)] == [50] * 3
    counts = [changed_images(PairwiseCutMix(prob=0.25, **cut)) for _ in range(20)]
    assert sum(counts) / 20 == pytest.approx(50, abs=5 * math.sqrt(200 * 0.25 * 0.75 / 20))
    assert len(set(counts)) > 3
    per_batch = [changed_images(PairwiseCutMix(prob=0.5, per='batch', **cut)) for _ in range(40)]
    assert set(per_batch) == {0, 200}
    assert 8 <= per_batch.count(200) <= 32
    both = [changed_images(PairwiseCutMix(prob=0.5, batch_share=0.25, **cut)) for _ in range(20)]
    assert sum(both) / 20 == pytest.approx(25, abs=6)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_types_stay(dtype):
    images, scores = batch(5)
    images = (images % 200).to(dtype)
    results = []
    for given in (images, images.double()):
        torch.manual_seed(0)
        results.append(PairwiseCutMix()(given, scores))
    assert results[0][0].dtype == dtype
    assert torch.equal(results[0][0].double(), results[1][0])
    assert results[0][1].dtype == torch.float32
    assert torch.equal(results[0][1], results[1][1])


def test_gradient_goes_to_where_the_pixels_came_from():
    images, scores = batch(4)
    images.requires_grad_()
    boxes = torch.tensor([[0, 0, 2, 2], [0, 0, 0, 0], [1, 1, 5, 7], [0, 0, 5, 7]])
    partners = torch.tensor([1, 2, 3, 0])
    mixed, _ = cut_mix(images, scores.float(), partners, boxes)
    factors = torch.tensor([1.0, 10, 100, 1000])[:, None, None, None]
    (mixed * factors).sum().backward()
    mask, count = box_mask(boxes, (5, 7))[:, None], torch.zeros(4, 1, 5, 7)
    for index, partner in enumerate(partners.tolist()):
        count[index] += ~mask[index] * factors[index]
        count[partner] += mask[index] * factors[index]
    assert torch.equal(images.grad, count.expand_as(images))


def test_weights_learn_from_mixed_bytes():
    images, scores = batch(5)
    layer = torch.nn.Linear(3 * 5 * 7, 4)
    mixed, targets = PairwiseCutMix()(images.clamp(max=255).byte(), scores)
    F.cross_entropy(layer(mixed.float().flatten(1) / 255), targets).backward()
    assert layer.weight.grad.abs().sum() > 0


def test_wrong_settings_and_batches_are_told():
    for settings, match in (
        (dict(kind='cut'), "kind='cut'; choose from cutmix, mixup, cutout"),
        (dict(per='pair'), "per='pair'; choose from image, batch"),
        (dict(alpha=0), 'alpha=0; must be above 0'),
        (dict(prob=1.5), r'prob=1.5; must be in \[0, 1\]'),
        (dict(kept_share=-0.1), 'kept_share=-0.1'),
        (dict(batch_share=2), 'batch_share=2'),
    ):
        with pytest.raises(ValueError, match=match):
            PairwiseCutMix(**settings)
    images, scores = batch()
    with pytest.raises(ValueError, match=r'scores of shape \(6,\) for 6 images.*num_classes'):
        PairwiseCutMix()(images, scores.argmax(1))
    with pytest.raises(ValueError, match=r'images of shape \(3, 5, 7\)'):
        PairwiseCutMix()(images[0], scores)


def preprocessor(**augments):
    return MODELS.build(
        dict(
            type='ClsDataPreprocessor',
            mean=[0.0] * 3,
            std=[255.0] * 3,
            num_classes=4,
            batch_augments=dict(augments=dict(type='PairwiseCutMix'), **augments),
        )
    )


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_registry_builds_it():
    augment = BATCH_AUGMENTS.build(dict(type='PairwiseCutMix', alpha=0.5, per='batch'))
    assert isinstance(augment, PairwiseCutMix)
    assert (augment.alpha, augment.per) == (0.5, 'batch')


def test_in_the_data_preprocessor():
    images = (torch.arange(8.0) * 30)[:, None, None, None].expand(8, 3, 6, 6).byte()
    labels, model = [0, 1, 2, 3] * 2, preprocessor()
    torch.manual_seed(0)
    data = model(dict(inputs=list(images), data_samples=samples(labels)), training=True)
    assert data['inputs'].shape == (8, 3, 6, 6)
    assert not torch.equal(data['inputs'], images / 255)
    for pixels, sample, own in zip(data['inputs'], data['data_samples'], labels, strict=True):
        value, counts = (pixels[0] * 255 / 30).round().long().unique(return_counts=True)
        expected = torch.zeros(4).index_add(0, value % 4, counts / 36)
        torch.testing.assert_close(sample.gt_score, expected)
        assert sample.gt_score.sum() == 1
        assert int(sample.gt_label) == own
    plain = model(dict(inputs=list(images), data_samples=samples(labels)), training=False)
    assert torch.equal(plain['inputs'], images / 255)
    assert torch.equal(torch.stack([s.gt_score for s in plain['data_samples']]).argmax(1), torch.tensor(labels))


def test_a_classifier_trains_on_it():
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='LeNet5'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', in_channels=120, num_classes=4, loss=dict(type='LabelSmoothLoss',
                      label_smooth_val=0.1, mode='original', num_classes=4)),
            data_preprocessor=dict(num_classes=4),
            train_cfg=dict(augments=dict(type='PairwiseCutMix')),
        )
    )  # fmt: skip
    data = dict(inputs=torch.rand(6, 1, 32, 32), data_samples=samples([0, 1, 2, 3, 0, 1]))
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    losses['loss'].backward()
    assert math.isfinite(losses['loss'])
    assert all(parameter.grad is not None for parameter in model.head.parameters())
