import json
import logging
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.evaluation import VOCMetric
from mmdet.models import DetDataPreprocessor
from mmdet.registry import DATASETS, METRICS
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from mmext.common.detection_json import read_json
from mmext.common.detection_report import score_values
from mmext.common.detection_scores import score_detections
from mmext.common.detection_set import detection_set
from mmext.common.detection_settings import PRESETS
from mmext.detection.evaluation.voc_detection_metric import VOCDetectionMetric

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / 'common' / 'detection_cases.py')))


@pytest.fixture(autouse=True)
def mmdet_scope():
    """The scope is global to the process."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(autouse=True)
def hub(tmp_path):
    """A message hub and a log file of this test alone."""
    hub = MessageHub.get_instance(tmp_path.name + str(tmp_path.stat().st_ino))
    MMLogger.get_instance(hub.instance_name, log_file=str(tmp_path / 'run.log'))
    return hub


def sample(row):
    """What an evaluator makes of a data sample of mmdet."""
    found = InstanceData(
        bboxes=torch.tensor(row.boxes), scores=torch.tensor(row.scores), labels=torch.tensor(row.labels)
    )
    true = [
        InstanceData(bboxes=torch.tensor(row.true_boxes[which]), labels=torch.tensor(row.true_labels[which]))
        for which in (~row.difficult, row.difficult)
    ]
    made = DetDataSample(metainfo=dict(img_path=f'/data/VOCdevkit/{row.image}', ori_shape=(200, 200)))
    made.pred_instances, (made.gt_instances, made.ignored_instances) = found, true
    return made.to_dict()


def evaluate(metric, images, classes=CASES.CLASSES, size=None):
    metric.dataset_meta = dict(classes=classes)
    data = [sample(row) for row in images]
    for start in range(0, len(data), 3):
        metric.process({}, data[start : start + 3])
    return metric.evaluate(len(data) if size is None else size)


def test_as_the_boxes_say():
    images = CASES.random_images(0)
    found = evaluate(METRICS.build(dict(type='VOCDetectionMetric', iou_thrs=[0.5, 0.7])), images)
    # ordinary objects before difficult ones, as the samples hold them
    settings = VOCDetectionMetric(iou_thrs=[0.5, 0.7]).settings
    assert found == score_values(score_detections(detection_set(CASES.CLASSES, images), settings))
    assert {'mAP', 'mAP.VOC2007', 'mAP70_11points_with_difficult', 'AP.boat', 'F1_macro', 'COCO_AP'} <= found.keys()


@pytest.mark.parametrize(('mode', 'preset'), [('11points', 'voc2007'), ('area', 'voc2012')])
def test_as_upstream(mode, preset, monkeypatch):
    from mmdet.evaluation.functional import mean_ap

    # a pool of processes would take seconds
    pool = SimpleNamespace(starmap=lambda function, rows: [function(*row) for row in rows], close=lambda: None)
    monkeypatch.setattr(mean_ap, 'Pool', lambda processes: pool)
    images = CASES.random_images(3)
    theirs = evaluate(VOCMetric(iou_thrs=[0.5], eval_mode=mode), images)
    found = evaluate(VOCDetectionMetric(preset), images)
    assert found['mAP'] == pytest.approx(theirs['pascal_voc/mAP'], abs=1e-6)


def test_the_report_is_a_preset():
    images = CASES.random_images(5)
    found = evaluate(VOCDetectionMetric('report'), images)
    plain = [CASES.loop_ap(images, label, more=1.0, min_score=0.05) for label in range(4)]
    assert found['mAP'] == pytest.approx(np.mean(plain), abs=1e-12)
    miou, accuracy = CASES.loop_matched(images, 4, min_score=0.05)
    assert [found['matched_class_miou'], found['matched_accuracy']] == pytest.approx([miou, accuracy], abs=1e-12)


def test_settings_change_a_preset():
    metric = VOCDetectionMetric('report', iou_thrs=0.75, score_thr=0.3, legacy_plus_one=False)
    assert metric.settings.iou_thrs == (0.75,)
    assert metric.settings.min_score == PRESETS['report'].min_score
    assert not metric.settings.legacy_plus_one
    with pytest.raises(ValueError, match='choose from'):
        VOCDetectionMetric('voc')
    with pytest.raises(ValueError, match='iou_thrs'):
        VOCDetectionMetric(iou_thrs=50)


def test_source_of_the_sample_comes_before_that_of_the_path():
    images = CASES.random_images(1, num=6)
    metric = VOCDetectionMetric()
    metric.dataset_meta = dict(classes=CASES.CLASSES)
    metric.process({}, [sample(row) | dict(source=f'part {index % 2}') for index, row in enumerate(images)])
    assert {'mAP.part_0', 'mAP.part_1'} == {name for name in metric.evaluate(6) if name.startswith('mAP.')}


def test_kept_boxes_are_compact():
    metric = VOCDetectionMetric()
    metric.process({}, [sample(row) for row in CASES.random_images(1, num=2)])
    _, _, *columns = metric.results[1]
    assert [str(column.dtype) for column in columns] == ['float32', 'float32', 'int16', 'float32', 'int16', 'bool']


def test_a_class_of_no_object_is_none_and_forgotten(hub):
    row = CASES.random_images(1, num=9)[5]
    row = row._replace(true_labels=np.zeros_like(row.true_labels), difficult=np.zeros_like(row.difficult))
    hub.update_scalar('test/AP.bird', 0.7)
    found = evaluate(VOCDetectionMetric(), [row])
    assert found['AP.bird'] is None
    assert found['AP.aeroplane'] is not None
    assert 'test/AP.bird' not in hub.log_scalars
    json.dumps(found, allow_nan=False)


def test_values_can_choose_a_checkpoint():
    found = evaluate(VOCDetectionMetric(), CASES.random_images(0))
    for name in ('mAP', 'mAP.VOC2007', 'mAP50_11points', 'matched_accuracy', 'precision_micro'):
        assert name in found
        assert CheckpointHook(save_best=name).rules == ['greater']


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_an_evaluation_draws_and_a_test_writes_files(hub, tmp_path, stage):
    hub.update_info('loop_stage', stage)
    images = CASES.random_images(1)
    found = evaluate(VOCDetectionMetric(prefix='voc'), images)
    assert all(name.startswith('voc/') for name in found)
    written = {path.name for path in tmp_path.iterdir()} - {'run.log'}
    assert 'scores of detection' in (tmp_path / 'run.log').read_text()
    if stage == 'val':
        assert written == {'pr_curves.png'}
        return
    assert written == {'detections.json', 'detection_scores.json', 'pr_curves.png'}
    data = read_json(tmp_path / 'detections.json')
    assert data.images[1] == f'/data/VOCdevkit/{images[1].image}'
    assert {f'voc/{name}': value for name, value in score_values(score_detections(data)).items()} == found
    assert json.loads((tmp_path / 'detection_scores.json').read_text())['values'] == score_values(
        score_detections(data)
    )


def test_files_where_one_likes_or_nowhere(hub, tmp_path):
    hub.update_info('loop_stage', 'test')
    evaluate(VOCDetectionMetric(files=str(tmp_path / 'there')), CASES.random_images(1, num=3))
    evaluate(VOCDetectionMetric(files=False), CASES.random_images(1, num=3))
    assert (tmp_path / 'there' / 'pr_curves.png').exists()
    assert not (tmp_path / 'pr_curves.png').exists()


def test_without_a_truth_there_is_no_score(caplog):
    bare = sample(CASES.random_images(1)[1])
    bare['gt_instances'] = bare['ignored_instances'] = InstanceData().to_dict()
    metric = VOCDetectionMetric()
    metric.dataset_meta = dict(classes=CASES.CLASSES)
    metric.process({}, [bare])
    with caplog.at_level(logging.WARNING):
        assert metric.evaluate(1) == {}
    # and the next evaluation starts anew
    assert evaluate(metric, CASES.random_images(1))['mAP'] > 0


@pytest.mark.parametrize('order', [1, -1])
def test_some_images_with_a_truth_are_an_error(order):
    full = sample(CASES.random_images(1)[1])
    bare = full | dict(gt_instances={}, ignored_instances={})
    with pytest.raises(ValueError, match=r'1.jpg: of this data set only some images have a ground truth'):
        VOCDetectionMetric().process({}, [full, bare][::order])


def test_a_label_without_a_class_names_the_image():
    with pytest.raises(
        ValueError, match=r'VOC20\d\d/\d+.jpg: (object|detection) with label 3, but there are 3 classes'
    ):
        evaluate(VOCDetectionMetric(), CASES.random_images(1), classes=CASES.CLASSES[:3])


def evaluate_half(rank, images):
    # as a sampler deals them: in turn, the first again at the end
    return evaluate(VOCDetectionMetric(), [*images, images[0]][rank::2], size=len(images))


def test_two_processes_find_what_one_finds(in_two_processes):
    images = CASES.random_images(3, num=7, tenths=True)
    assert in_two_processes(evaluate_half, images) == [evaluate(VOCDetectionMetric(), images)] * 2


@pytest.fixture
def coco_folder(tmp_path):
    """One picture of 80 x 40 with a kite, a crowd of kites and a frisbee."""
    Image.new('RGB', (80, 40)).save(tmp_path / 'a.png')
    boxes = {1: [10, 5, 20, 30], 2: [40, 0, 39, 20], 3: [50, 22, 20, 18]}
    annotations = [
        dict(id=number, image_id=1, category_id=8 if number == 3 else 5, bbox=box, area=box[2] * box[3])
        | dict(iscrowd=int(number == 2))
        for number, box in boxes.items()
    ]
    content = dict(
        images=[dict(id=1, file_name='a.png', width=80, height=40)],
        categories=[dict(id=5, name='kite'), dict(id=8, name='frisbee')],
        annotations=annotations,
    )
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    return tmp_path


def scores_of_pipeline(folder, steps):
    """The truth as it lies in the file, given out as detections, through mmdet's own data set and evaluator."""
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            ann_file=str(folder / 'truth.json'),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=('kite', 'frisbee')),
            test_mode=True,
            pipeline=[dict(type='LoadImageFromFile'), *steps, dict(type='PackDetInputs')],
        )
    )
    made = DetDataPreprocessor()(pseudo_collate([dataset[0]]))['data_samples'][0]
    made.pred_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 5, 30, 35], [50, 22, 70, 40], [45, 0, 79, 20]]),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        labels=torch.tensor([0, 1, 0]),
    )
    evaluator = Evaluator(VOCDetectionMetric())
    evaluator.dataset_meta = dataset.metainfo
    evaluator.process([made], None)
    return evaluator.evaluate(1)


RESIZE, LOAD = dict(type='Resize', scale=(200, 100), keep_ratio=True), dict(type='LoadAnnotations', with_bbox=True)


def test_boxes_are_those_of_the_original_image(coco_folder, caplog):
    found = scores_of_pipeline(coco_folder, [RESIZE, LOAD])
    assert found['mAP'] == found['mean_matched_iou'] == 1
    assert found['AP.kite'] == found['AP.frisbee'] == 1
    assert found['mAP50_area_with_difficult'] == 1
    assert not any(name.startswith('mAP.') for name in found)


def test_resized_truth_is_told(coco_folder, tmp_path):
    assert scores_of_pipeline(coco_folder, [LOAD, RESIZE])['mAP'] == 0
    assert 'exchange the two' in (tmp_path / 'run.log').read_text()
