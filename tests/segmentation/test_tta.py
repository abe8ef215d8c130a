import copy
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmext.analysis.benchmark import peak_bytes
from mmext.segmentation.tta import MeanProbabilities, StreamingTTA, fold, merge_views, softmax_, unfold

SCALES = [(32, 24), (48, 40), (64, 48), (80, 56), (96, 64), (112, 80)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build_segmentor(out_channels=5, spread=1.0, **test_cfg):
    """Random weights; ``spread`` says how far the logits lie apart."""
    model = MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[120.0] * 3, std=[50.0] * 3, bgr_to_rgb=True, size=(24, 32)
            ),
            backbone=dict(
                type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='BN'), out_indices=(1,)
            ),
            decode_head=dict(
                type='FCNHead',
                in_channels=16,
                in_index=0,
                channels=16,
                num_convs=1,
                num_classes=2 if out_channels == 1 else out_channels,
                out_channels=out_channels,
                norm_cfg=dict(type='BN'),
                threshold=0.5 if out_channels == 1 else None,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=out_channels == 1),
            ),
            test_cfg=test_cfg or dict(mode='whole'),
        )
    ).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=spread)
    return model


def flips(*directions):
    return [dict(type='RandomFlip', prob=float(d is not None), direction=d or 'horizontal') for d in directions]


def make_batch(images, scales=SCALES, directions=(None, 'horizontal'), truth=True):
    """What a data loader hands on: views of a batch of images (H, W, 3)."""
    pipeline = Compose(
        [
            dict(
                type='TestTimeAug',
                transforms=[
                    [dict(type='Resize', scale=scale, keep_ratio=False) for scale in scales],
                    flips(*directions),
                    [dict(type='PackSegInputs')],
                ],
            )
        ]
    )
    batch = []
    for number, image in enumerate(images):
        shape = image.shape[:2]
        results = dict(img=image, img_shape=shape, ori_shape=shape, img_path=f'{number}.png', seg_fields=[])
        batch.append(pipeline(results))
        for sample in batch[-1]['data_samples'] if truth else ():
            sample.gt_sem_seg = PixelData(data=torch.full((1, *shape), number))
    return pseudo_collate(batch)


def random_images(*sizes):
    rng = np.random.default_rng(0)
    blocks = np.ones((16, 20, 1), np.uint8)
    return [np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), blocks)[:h, :w] for h, w in sizes]


def mean_by_hand(model, batch):
    """Mean probabilities (C, H, W) in float64 of every image, all views kept."""
    sums, views = None, len(batch['inputs'])
    for i in range(views):
        view = {key: copy.deepcopy(values[i]) for key, values in batch.items()}
        logits = [sample.seg_logits.data.double() for sample in model.test_step(view)]
        probs = [x.softmax(0) if len(x) > 1 else x for x in logits]
        sums = probs if sums is None else [a + b for a, b in zip(sums, probs, strict=True)]
    return [value / views for value in sums]


def gap(probs):
    """How far the best class is ahead, (H, W)."""
    best = probs.topk(2, dim=0).values
    return best[0] - best[1]


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), dict(mode='slide', crop_size=(24, 32), stride=(16, 24))])
@pytest.mark.parametrize('truth', [True, False])
@torch.no_grad()
def test_equals_mmseg(test_cfg, truth):
    model = build_segmentor(**test_cfg)
    batch = make_batch(random_images((40, 70), (50, 60)), truth=truth)
    assert len(batch['inputs']) == 12
    upstream = SegTTAModel(model).test_step(copy.deepcopy(batch))
    expected = mean_by_hand(model, batch)
    merged = StreamingTTA(model).test_step(copy.deepcopy(batch))
    assert len(merged) == 2
    for number, (ours, theirs, probs) in enumerate(zip(merged, upstream, expected, strict=True)):
        assert (ours.seg_logits.data - probs).abs().max() < 1e-5
        assert ours.pred_sem_seg.data.shape == theirs.pred_sem_seg.data.shape == (1, *ours.ori_shape)
        clear = gap(probs) > 1e-5
        assert clear.double().mean() > 0.99
        assert (ours.pred_sem_seg.data == theirs.pred_sem_seg.data)[0][clear].all()
        assert len(ours.pred_sem_seg.data.unique()) > 1
        assert ours.img_path == theirs.img_path == f'{number}.png'
        assert ('gt_sem_seg' in ours) == ('gt_sem_seg' in theirs) == truth
        if truth:
            assert (ours.gt_sem_seg.data == number).all()


def test_by_hand():
    # Probabilities (1/2, 1/2) and (1/4, 3/4) of two views: mean (3/8, 5/8).
    views = [[sample_of([[0.0, 0.0]])], [sample_of([[0.0, np.log(3)]])]]
    (merged,) = merge_views(views)
    torch.testing.assert_close(merged.seg_logits.data.flatten(), torch.tensor([3 / 8, 5 / 8]))
    assert merged.pred_sem_seg.data.item() == 1


def sample_of(pixels, **metainfo):
    """A predicted sample of one row; ``pixels`` are the logits of each."""
    data = torch.tensor(pixels, dtype=torch.float32).T.unsqueeze(1)
    sample = SegDataSample(metainfo=metainfo)
    return sample.set_data(dict(seg_logits=PixelData(data=data), pred_sem_seg=PixelData(data=data[:1]))) or sample


@torch.no_grad()
def test_one_view_is_the_plain_prediction():
    model = build_segmentor()
    batch = make_batch(random_images((40, 70)), scales=SCALES[2:3], directions=(None,))
    (plain,) = model.test_step({key: copy.deepcopy(values[0]) for key, values in batch.items()})
    (merged,) = StreamingTTA(model).test_step(batch)
    torch.testing.assert_close(merged.seg_logits.data, plain.seg_logits.data.softmax(0))
    assert merged.pred_sem_seg.data.equal(plain.pred_sem_seg.data)


@pytest.mark.parametrize(
    ('directions', 'axes'),
    [((None, 'horizontal'), (1,)), ((None, 'vertical'), (0,)), ((None, 'diagonal'), (0, 1))],
    ids=['horizontal', 'vertical', 'diagonal'],
)
@torch.no_grad()
def test_a_mirrored_image_gives_the_mirrored_prediction(directions, axes):
    model = build_segmentor()
    # 16 divides the sides, so that the network's grid is symmetric too.
    (image,) = random_images((48, 64))
    mirrored = np.ascontiguousarray(np.flip(image, axes))
    results = []
    for picture in (image, mirrored):
        batch = make_batch([picture], scales=[(64, 48), (96, 64)], directions=directions)
        results += StreamingTTA(model).test_step(batch)
    back = results[1].seg_logits.data.flip([axis + 1 for axis in axes])
    torch.testing.assert_close(back, results[0].seg_logits.data, rtol=0, atol=1e-4)
    assert (results[0].seg_logits.data - results[1].seg_logits.data).abs().max() > 0.01


@torch.no_grad()
def test_four_flips_are_those_of_turned_images():
    model = build_segmentor()
    (image,) = random_images((48, 64))
    directions = [None, 'horizontal', 'vertical', 'diagonal']
    (merged,) = StreamingTTA(model).test_step(make_batch([image], [(64, 48)], directions))
    expected = 0
    for axes in ((), (1,), (0,), (0, 1)):
        turned = np.ascontiguousarray(np.flip(image, axes))
        (probs,) = mean_by_hand(model, make_batch([turned], [(64, 48)], (None,)))
        expected = expected + probs.flip([axis + 1 for axis in axes]) / 4
    torch.testing.assert_close(merged.seg_logits.data.double(), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_one_channel():
    model = build_segmentor(out_channels=1)
    batch = make_batch(random_images((40, 70)))
    (expected,) = mean_by_hand(model, batch)
    model.decode_head.threshold = expected.median().item()
    (merged,) = StreamingTTA(model).test_step(copy.deepcopy(batch))
    torch.testing.assert_close(merged.seg_logits.data.double(), expected, rtol=0, atol=1e-5)
    clear = (expected - expected.median()).abs() > 1e-5
    assert (merged.pred_sem_seg.data == (expected > expected.median()))[clear].all()
    assert merged.pred_sem_seg.data.unique().tolist() == [0, 1]
    # The sigmoid of a probability is at least 1/2: upstream finds nothing but foreground.
    model.decode_head.threshold = 0.5
    (upstream,) = SegTTAModel(model).test_step(batch)
    assert (upstream.pred_sem_seg.data == 1).all()


@torch.no_grad()
def test_half_precision_accumulator():
    model = build_segmentor(out_channels=19, spread=20.0)
    batch = make_batch(random_images((90, 150)))
    (full,) = StreamingTTA(model).test_step(copy.deepcopy(batch))
    (half,) = StreamingTTA(model, accumulate='fp16').test_step(batch)
    assert half.seg_logits.data.dtype == torch.float16
    assert (half.seg_logits.data.float() - full.seg_logits.data).abs().max() < 1e-3
    assert (half.pred_sem_seg.data == full.pred_sem_seg.data).float().mean() >= 0.999
    assert full.seg_logits.data.max() > 0.9


def test_error_of_the_half_precision_mean():
    generator = torch.Generator().manual_seed(0)
    center = torch.rand(1, 200, 500, generator=generator)
    views = [(center + 0.1 * torch.randn(center.shape, generator=generator)).clamp(0, 1) for _ in range(12)]
    mean = MeanProbabilities('fp16')
    for view in views:
        mean.add(view)
    assert (mean.result().double() - torch.stack(views).double().mean(0)).abs().max() < 1e-3


def test_fold_is_undone():
    values = torch.tensor([0.0, 1e-6, 0.25, 0.5, 0.75, 1 - 1e-6, 1.0])
    torch.testing.assert_close(unfold(fold(values).half().float()), values, rtol=1e-3, atol=1e-7)
    assert (fold(values).abs() <= 0.5).all()


def test_softmax_in_place():
    logits = torch.randn(5, 3, 4) * 100
    expected, place = logits.softmax(0), logits.data_ptr()
    actual = softmax_(logits)
    torch.testing.assert_close(actual, expected)
    assert actual.data_ptr() == place


class Counting(torch.nn.Module):
    """Gives random logits and counts those of earlier views that are still alive."""

    def __init__(self):
        super().__init__()
        self.born, self.alive = [], []

    def test_step(self, view):
        self.alive.append(sum(ref() is not None for ref in self.born))
        logits = torch.randn(4, 256, 256)
        self.born.append(weakref.ref(logits.untyped_storage()))
        sample = SegDataSample(metainfo={'view': view['inputs'][0]})
        sample.set_data(dict(seg_logits=PixelData(data=logits), pred_sem_seg=PixelData(data=logits.argmax(0))))
        return [sample]


@pytest.mark.parametrize('accumulate', ['fp32', 'fp16'])
def test_views_do_not_pile_up(accumulate):
    peaks = []
    for views in (2, 12):
        batch = {'inputs': [[i] for i in range(views)], 'data_samples': [[SegDataSample()] for _ in range(views)]}
        model = StreamingTTA(Counting(), accumulate=accumulate)
        peak, (result,) = peak_bytes(partial(model.test_step, batch))
        peaks.append(peak)
        assert result.view == 0
    logits = 4 * 4 * 256 * 256
    assert peaks[1] <= 1.02 * peaks[0] < 4 * logits


@torch.no_grad()
def test_peak_of_a_network_is_that_of_two_views():
    model = build_segmentor(out_channels=19)
    images = random_images((90, 150))
    few, many = make_batch(images, SCALES[-1:]), make_batch(images)
    peaks = [peak_bytes(partial(StreamingTTA(model).test_step, b))[0] for b in (few, many)]
    assert peaks[1] <= 1.05 * peaks[0]
    upstream = [peak_bytes(partial(SegTTAModel(model).test_step, b))[0] for b in (few, many)]
    assert upstream[1] > 1.5 * upstream[0]


def test_merging_what_was_predicted_before():
    views = [[sample_of([[0.0, 0.0]], img_path='a')], [sample_of([[0.0, np.log(3)]], img_path='a')]]
    model = StreamingTTA(Counting())
    (merged,) = model.merge_preds([[view[0] for view in views]])
    torch.testing.assert_close(merged.seg_logits.data.flatten(), torch.tensor([3 / 8, 5 / 8]))
    assert merged.img_path == 'a'


def test_build():
    segmentor = build_segmentor()
    model = MODELS.build(dict(type='StreamingTTA', module=segmentor, accumulate='fp16'))
    assert model.module is segmentor
    assert model.accumulate == 'fp16'
    with pytest.raises(ValueError, match=r"accumulate='int8': choose one of fp32, fp16"):
        StreamingTTA(segmentor, accumulate='int8')
