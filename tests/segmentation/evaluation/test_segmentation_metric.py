import logging
import math

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from mmext.common.image_scores import read_image_scores
from mmext.segmentation.datasets.label_maps import CLASSES
from mmext.segmentation.evaluation.segmentation_metric import SegmentationMetric, drop_repeated

UPSTREAM = ('mIoU', 'mDice', 'mFscore')


@pytest.fixture(autouse=True)
def hub(tmp_path):
    """A message hub and a log file of this test alone."""
    hub = MessageHub.get_instance(tmp_path.name + str(tmp_path.stat().st_ino))
    MMLogger.get_instance(hub.instance_name, log_file=str(tmp_path / 'run.log'))
    return hub


def samples(num=5, num_classes=4, seed=0, absent=(), ignore_index=255):
    """Dictionaries as an evaluator hands them on."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.tensor([c for c in range(num_classes) if c not in absent])
    made = []
    for index in range(num):
        size = (1, 6 + index, 11)
        truth, prediction = classes[torch.randint(len(classes), (2, *size), generator=generator)]
        truth[torch.rand(size, generator=generator) < 0.2] = ignore_index
        maps = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth))
        made.append(dict(img_path=f'img/{index}.jpg', seg_map_path=f'ann/{index}.png', **maps))
    return made


def evaluate(metric, data, classes='abcd', size=None):
    metric.dataset_meta = dict(classes=tuple(classes))
    for start in range(0, len(data), 2):
        metric.process({}, data[start : start + 2])
    return metric.evaluate(len(data) if size is None else size)


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('absent', [(), (2,)])
def test_as_upstream(seed, absent):
    from mmseg.evaluation import IoUMetric

    data = samples(seed=seed, absent=absent, ignore_index=[255, 1][seed % 2])
    ignore_index = [255, 1][seed % 2]
    found = evaluate(SegmentationMetric(ignore_index, per_class=('IoU', 'Acc', 'Dice', 'Precision')), data)
    theirs = evaluate(IoUMetric(ignore_index, iou_metrics=list(UPSTREAM)), data)
    # what IoUMetric reports is rounded to two digits, so its formulas are compared on its areas in float64
    assert theirs.keys() <= found.keys()
    for name, value in theirs.items():
        assert found[name] == pytest.approx(float(value), abs=0.00501)
    areas = [
        IoUMetric.intersect_and_union(
            sample['pred_sem_seg']['data'][0], sample['gt_sem_seg']['data'][0], 4, ignore_index
        )
        for sample in data
    ]
    totals = [sum(part).double() for part in zip(*areas, strict=True)]
    exact = IoUMetric.total_area_to_metrics(*totals, list(UPSTREAM))
    assert found['aAcc'] == pytest.approx(100 * float(exact.pop('aAcc')), abs=1e-9)
    for name, values in exact.items():
        assert found[f'm{name}'] == pytest.approx(100 * np.nanmean(values), abs=1e-9)
    for name in ('IoU', 'Acc', 'Dice', 'Precision'):
        for c, value in zip('abcd', exact[name], strict=True):
            ours = found[f'{name}.{c}']
            assert (ours is None) if math.isnan(value) else (ours == pytest.approx(100 * value, abs=1e-9))


def test_order_of_the_images_does_not_matter():
    data = samples(9)
    assert evaluate(SegmentationMetric(), data) == evaluate(SegmentationMetric(), data[::-1])


def test_truth_as_prediction_scores_a_hundred():
    data = samples()
    for sample in data:
        sample['pred_sem_seg'] = sample['gt_sem_seg']
    found = evaluate(SegmentationMetric(per_class=('IoU', 'Fscore')), data)
    assert set(found.values()) == {100.0}
    assert len(found) == 8 + 2 * 4


def test_cityscapes_classes_have_categories():
    data = samples(num_classes=19)
    found = evaluate(SegmentationMetric(), data, CLASSES)
    assert [name for name in found if name.startswith('catIoU')] == [
        f'catIoU.{name}' for name in ('flat', 'construction', 'object', 'nature', 'sky', 'human', 'vehicle')
    ]
    assert found['mCatIoU'] == pytest.approx(np.mean([found[name] for name in found if name.startswith('catIoU')]))
    assert 'IoU.traffic_light' in found
    assert 'mCatIoU' not in evaluate(SegmentationMetric(categories=None), data, CLASSES)
    grouped = evaluate(SegmentationMetric(categories=['x', 'x', 'y', 'y']), samples())
    assert {'catIoU.x', 'catIoU.y'} < grouped.keys()


def test_left_out_of_the_means_only():
    data = samples()
    every, some = evaluate(SegmentationMetric(), data), evaluate(SegmentationMetric(not_in_mean=['d']), data)
    assert some['mIoU'] == pytest.approx(np.mean([every[f'IoU.{c}'] for c in 'abc']))
    assert [name for name in every if every[name] != some[name]] == [
        'mIoU', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall'
    ]  # fmt: skip


def test_files_of_a_test_run(tmp_path, hub):
    hub.update_info('loop_stage', 'test')
    data = samples(3)
    found = evaluate(SegmentationMetric(), data)
    scores = read_image_scores(tmp_path / 'image_scores_test.jsonl')
    assert scores.images == ('0.jpg', '1.jpg', '2.jpg')
    assert scores.counts.hits.sum() / scores.counts.truth.sum() == pytest.approx(found['aAcc'] / 100)
    assert (tmp_path / 'confusion_matrix.png').stat().st_size > 1000
    assert (tmp_path / 'confusion_matrix.csv').read_text().startswith('truth \\ predicted,a,b,c,d\n')
    log = (tmp_path / 'run.log').read_text()
    assert f'scores of 3 images are in {tmp_path / "image_scores_test.jsonl"}' in log
    assert f'|     c | {found["IoU.c"]:5.2f} |' in log


def test_validation_draws_nothing_unless_asked(tmp_path, hub):
    hub.update_info('loop_stage', 'val')
    evaluate(SegmentationMetric(), samples())
    assert {path.name for path in tmp_path.iterdir()} == {'run.log', 'image_scores_val.jsonl'}
    asked = SegmentationMetric(per_image_file=str(tmp_path / 'a.jsonl'), confusion_matrix=str(tmp_path / 'm.png'))
    evaluate(asked, samples())
    assert {path.name for path in tmp_path.iterdir()} > {'a.jsonl', 'm.png', 'm.csv'}


def test_files_can_be_switched_off(tmp_path, hub):
    hub.update_info('loop_stage', 'test')
    evaluate(SegmentationMetric(per_image_file=False, confusion_matrix=False), samples())
    assert {path.name for path in tmp_path.iterdir()} == {'run.log'}


def test_evaluations_do_not_mix():
    metric = SegmentationMetric()
    first = evaluate(metric, samples(seed=1))
    evaluate(metric, samples(seed=2))
    assert evaluate(metric, samples(seed=1)) == first


def test_undefined_scores_are_none_and_leave_no_stale_value(hub):
    from mmengine.hooks import RuntimeInfoHook

    def logged(data):
        metrics = evaluate(SegmentationMetric(), data)
        RuntimeInfoHook().after_val_epoch(type('Runner', (), dict(message_hub=hub)), metrics)
        return metrics['IoU.c'], 'val/IoU.c' in hub.log_scalars, 'val/IoU.c' in hub.runtime_info

    present, absent = samples(), samples(absent=(2,))
    assert logged(present)[1:] == (True, False)
    assert logged(absent) == (None, False, True)
    assert logged(present)[1:] == (True, False)


def test_all_ignored_is_undefined():
    data = samples()
    for sample in data:
        sample['gt_sem_seg'] = dict(data=torch.full_like(sample['gt_sem_seg']['data'], 255))
    assert set(evaluate(SegmentationMetric(), data).values()) == {None}


def test_without_ground_truth_there_is_a_warning_and_no_score(tmp_path):
    data = samples()
    for sample in data:
        del sample['gt_sem_seg']
    assert evaluate(SegmentationMetric(), data) == {}
    assert 'no image has a ground truth' in (tmp_path / 'run.log').read_text()
    with pytest.raises(ValueError, match=r'only some images have a ground truth'):
        evaluate(SegmentationMetric(), [*samples(1), *data])


def test_an_error_names_the_mask():
    data = samples()
    data[3]['gt_sem_seg']['data'][0, 0, 0] = 7
    with pytest.raises(ValueError, match=r'ann/3\.png: the ground truth holds 7 at 1 pixels'):
        evaluate(SegmentationMetric(), data)


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="per_class names 'mIoU': choose from IoU, Acc"):
        SegmentationMetric(per_class=['mIoU'])
    with pytest.raises(ValueError, match="not_in_mean names 'z'"):
        evaluate(SegmentationMetric(not_in_mean=['z']), samples())


def test_prefix():
    assert 'full/IoU.a' in evaluate(SegmentationMetric(prefix='full'), samples())


def test_registry_builds_it_without_a_warning(caplog):
    from mmseg.registry import METRICS

    with caplog.at_level(logging.WARNING):
        assert METRICS.build(dict(type='SegmentationMetric', ignore_index=0)).ignore_index == 0
    assert not caplog.records


def evaluate_half(rank, data, path):
    """One of two processes, with the images that upstream's sampler gives it."""
    places = [*range(len(data)), *range(len(data) % 2)]
    metric = SegmentationMetric(per_image_file=str(path))
    return evaluate(metric, [data[place] for place in places[rank::2]], size=len(data))


@pytest.mark.parametrize('num', [4, 5])
def test_two_processes_score_as_one(tmp_path, in_two_processes, num):
    data, one, two = samples(num), tmp_path / 'one.jsonl', tmp_path / 'two.jsonl'
    expected = evaluate(SegmentationMetric(per_image_file=str(one)), data)
    assert in_two_processes(evaluate_half, data, two) == [expected, expected]
    assert two.read_text() == one.read_text()
    assert len(one.read_text().splitlines()) == num


def test_repeated_images_are_dropped_by_their_place(monkeypatch):
    for rank, kept in ((0, 'abc'), (1, 'ab'), (2, 'ab')):
        monkeypatch.setattr(
            'mmext.segmentation.evaluation.segmentation_metric.get_dist_info', lambda rank=rank: (rank, 3)
        )
        assert drop_repeated(list('abc'), 7) == list(kept)
