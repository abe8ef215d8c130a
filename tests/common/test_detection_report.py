import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmext.common.detection_report import percent_name, score_report, score_tables, score_values
from mmext.common.detection_scores import ALL, score_detections
from mmext.common.detection_set import ImageBoxes, detection_set
from mmext.common.detection_settings import ScoreSettings

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('detection_cases.py'))))
CLASSES = (*CASES.CLASSES, 'traffic light')


@pytest.fixture(scope='module')
def scores():
    """The last class has no object."""
    data = detection_set(CLASSES, CASES.random_images(2))
    return score_detections(data, ScoreSettings(iou_thrs=(0.75, 0.5), mode='11points'))


def test_values(scores):
    values = score_values(scores)
    whole, part = scores.sources[ALL], scores.sources['VOC2012']
    # the first IoU and the mode of the settings
    assert values['mAP'] == values['mAP75_11points'] == pytest.approx(np.nanmean(whole.ap['11points'][0]))
    assert values['mAP50_area'] == pytest.approx(np.nanmean(whole.ap['area'][1]))
    assert values['mAP50_area_with_difficult'] == pytest.approx(np.nanmean(whole.ap_with_difficult['area'][1]))
    assert (
        values['mAP.VOC2012'] == values['mAP75_11points.VOC2012'] == pytest.approx(np.nanmean(part.ap['11points'][0]))
    )
    assert values['AP.bicycle'] == whole.ap['11points'][0, 1]
    assert values['AP.traffic_light'] is None
    assert values['precision_micro'] == pytest.approx(whole.counts[0].sum() / whole.counts[:2].sum())
    assert values['recall_macro'] == pytest.approx(np.nanmean(whole.at_threshold()['recall']))
    assert values['COCO_AP50'] == scores.coco['AP50']
    assert values['mean_matched_iou'] == scores.matched['mean_matched_iou']
    # 3 mAP, and 2 IoU x 2 modes x 2 ways x 3 sources; 6 at the threshold; 3 of pairs; 4 of COCO; 5 classes
    assert len(values) == 3 + 24 + 6 + 3 + 4 + 5


def test_values_are_fit_for_loggers(scores):
    values = score_values(scores)
    assert all(set(name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._') for name in values)
    assert not any('loss' in name for name in values)
    assert all(value is None or (type(value) is float and 0 <= value <= 1) for value in values.values())
    json.dumps(values, allow_nan=False)


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(ValueError, match='have one name in the logs'):
        score_values(score_detections(detection_set(['a b', 'a_b'], [])))


def test_nothing_is_none():
    values = score_values(score_detections(detection_set(['cat'], [])))
    assert set(values.values()) == {None}


def test_report_holds_every_class_of_every_source(scores):
    report = json.loads(json.dumps(score_report(scores), allow_nan=False))
    assert report['settings'] == {
        'iou_thrs': [0.75, 0.5],
        'mode': '11points',
        'score_thr': 0.5,
        'min_score': None,
        'legacy_plus_one': False,
    }
    assert report['values'] == score_values(scores)
    assert list(report['sources']) == [ALL, 'VOC2007', 'VOC2012']
    boat = report['sources']['VOC2007']['boat']
    part = scores.sources['VOC2007']
    assert boat['objects'] == part.objects[3]
    assert boat['AP50_area'] == part.ap['area'][1, 3]
    assert boat['AP75_11points_with_difficult'] == part.ap_with_difficult['11points'][0, 3]
    assert boat['F1'] == part.at_threshold()['F1'][3]
    assert report['sources'][ALL]['traffic light']['AP50_area'] is None


def test_tables(scores):
    text = score_tables(scores)
    assert 'IoU >= 0.75; precision, recall and F1 of scores > 0.5' in text
    line = next(line for line in text.splitlines() if 'traffic light' in line)
    assert line.split()[-2] == '-'
    whole = scores.sources[ALL]
    mean = next(line for line in text.splitlines() if ' mean ' in line)
    assert [str(whole.objects.sum()), f'{np.nanmean(whole.ap["11points"][0]):.3f}'] == [
        mean.split()[i] for i in (4, 10)
    ]
    assert sum(' VOC2012 ' in line for line in text.splitlines()) == 2
    assert all(ord(character) < 0x2600 for character in text), 'no colour codes'
    assert '\x1b' not in text


def test_percent_names():
    assert [percent_name(value) for value in (0.5, 0.55, 0.525, 0.95, 1)] == ['50', '55', '52.5', '95', '100']


def test_plus_one_is_told():
    row = ImageBoxes('a', None, *map(np.array, ([[0, 0, 5, 5]], [0.9], [0], [[0, 0, 5, 5]], [0], [False])))
    scores = score_detections(detection_set(['cat'], [row]), ScoreSettings(legacy_plus_one=True))
    assert 'boxes x2 - x1 + 1 wide' in score_tables(scores)
