import contextlib
import io
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmext.common.average_precision import ELEVEN_POINTS, MODES, average_precision, precision_recall
from mmext.common.detection_scores import ALL, score_detections
from mmext.common.detection_set import ImageBoxes, detection_set, source_of
from mmext.common.detection_settings import PRESETS, ScoreSettings, score_settings

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('detection_cases.py'))))
IOU_THRS = (0.5, 0.55, 0.7, 0.75)


def score(images, classes=CASES.CLASSES, **settings):
    return score_detections(detection_set(classes, images), ScoreSettings(**settings))


def image(found=(), there=(), name='VOC2007/a', difficult=()):
    """Detections (label, score, box), objects (label, box)."""
    labels, scores, boxes = zip(*found, strict=True) if found else ((), (), np.empty((0, 4)))
    true_labels, true_boxes = zip(*there, strict=True) if there else ((), np.empty((0, 4)))
    flags = np.isin(np.arange(len(there)), difficult)
    columns = boxes, scores, labels, true_boxes, true_labels, flags
    return ImageBoxes(name, source_of(name), *map(np.asarray, columns))


@pytest.fixture
def eval_map(monkeypatch):
    """mmdet's, of one mode; its pool of processes works in this process."""
    from mmdet.evaluation.functional import mean_ap

    class InProcess:
        def __init__(self, processes):
            pass

        def starmap(self, function, arguments):
            return [function(*each) for each in arguments]

        def close(self):
            pass

    monkeypatch.setattr(mean_ap, 'Pool', InProcess)

    def call(images, mode, iou_thr, legacy, ordinary):
        found = [[np.c_[row.boxes, row.scores][row.labels == label] for label in range(4)] for row in images]
        truth = []
        for row in images:
            aside = np.zeros_like(row.difficult) if ordinary else row.difficult
            parts = {'': ~aside, '_ignore': aside}
            truth.append({f'bboxes{end}': row.true_boxes[which] for end, which in parts.items()})
            truth[-1] |= {f'labels{end}': row.true_labels[which] for end, which in parts.items()}
        settings = dict(iou_thr=iou_thr, eval_mode=mode, use_legacy_coordinate=legacy, logger='silent')
        return mean_ap.eval_map(found, truth, **settings)

    return call


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('legacy', [False, True])
def test_as_mmdet(eval_map, seed, legacy):
    images = CASES.random_images(seed)
    scores = score(images, iou_thrs=IOU_THRS, legacy_plus_one=legacy)
    for name, part in scores.sources.items():
        own = [row for row in images if name in (ALL, row.source)]
        for index, iou_thr in enumerate(IOU_THRS):
            for mode in MODES:
                for ordinary, ap in ((False, part.ap), (True, part.ap_with_difficult)):
                    mean, classes = eval_map(own, mode, iou_thr, legacy, ordinary)
                    assert np.nanmean(ap[mode][index]) == pytest.approx(mean, abs=1e-6)
                    for value, theirs in zip(ap[mode][index], classes, strict=True):
                        # mmdet calls the AP of a class without an object 0
                        assert value == pytest.approx(
                            theirs['ap'] if theirs['num_gts'] else np.nan, abs=1e-6, nan_ok=True
                        )


def test_a_class_without_an_object_is_in_no_mean(eval_map):
    images = [row for row in CASES.random_images(1) if 2 not in row.true_labels]
    assert any(2 in row.labels for row in images)
    ap = score(images).sources[ALL].ap['area'][0]
    assert np.isnan(ap[2])
    assert np.nanmean(ap) == pytest.approx(eval_map(images, 'area', 0.5, False, False)[0], abs=1e-6)


def pycocotools_scores(images):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        x, y, right, bottom = map(float, box)
        return [x, y, right - x, bottom - y]

    truth = dict(
        images=[dict(id=number) for number in range(1, len(images) + 1)],
        categories=[dict(id=number) for number in range(1, 5)],
        annotations=[],
    )
    found = []
    for number, row in enumerate(images, start=1):
        for box, label, crowd in zip(row.true_boxes, row.true_labels, row.difficult, strict=True):
            x, y, width, height = xywh(box)
            entry = dict(id=len(truth['annotations']) + 1, image_id=number, category_id=int(label) + 1)
            truth['annotations'].append(
                entry | dict(bbox=[x, y, width, height], area=width * height, iscrowd=int(crowd))
            )
        for box, label, value in zip(row.boxes, row.labels, row.scores, strict=True):
            found.append(dict(image_id=number, category_id=int(label) + 1, bbox=xywh(box), score=float(value)))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(('AP', 'AP50', 'AP75', 'AR100'), evaluation.stats[[0, 1, 2, 8]], strict=True))


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize(('most_found', 'tenths'), [(14, False), (14, True), (600, False)])
def test_as_pycocotools(seed, most_found, tenths):
    """Crowd regions, equal scores, and more than a hundred detections of an image and class."""
    images = CASES.random_images(seed, num=6 if most_found > 100 else 24, most_found=most_found, tenths=tenths)
    assert any(row.difficult.any() for row in images)
    coco = score(images).coco
    assert coco == pytest.approx(pycocotools_scores(images), abs=1e-9)
    assert 0 < coco['AP75'] < coco['AP50'] < 1


@pytest.mark.parametrize('seed', range(6))
def test_the_report_in_plain_loops(seed):
    images = CASES.random_images(seed)
    scores = score_detections(detection_set(CASES.CLASSES, images), PRESETS['report'])
    plain = [CASES.loop_ap(images, label, more=1.0, min_score=0.05) for label in range(4)]
    assert scores.sources[ALL].ap['area'][0] == pytest.approx(plain, abs=1e-12)
    miou, accuracy = CASES.loop_matched(images, 4, min_score=0.05)
    assert scores.matched['matched_class_miou'] == pytest.approx(miou, abs=1e-12)
    assert scores.matched['matched_accuracy'] == pytest.approx(accuracy, abs=1e-12)
    # the setting matters on these images
    assert score(images).sources[ALL].ap['area'][0] != pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('ordinary', [False, True])
def test_both_modes_and_ways_in_plain_loops(seed, ordinary):
    images = CASES.random_images(seed)
    part = score(images).sources[ALL]
    ap = part.ap_with_difficult if ordinary else part.ap
    for mode, points in {'area': None, '11points': ELEVEN_POINTS}.items():
        plain = [CASES.loop_ap(images, label, ordinary=ordinary, points=points) for label in range(4)]
        assert ap[mode][0] == pytest.approx(plain, abs=1e-12)


def case_by_hand():
    """Hit, ignored, miss, hit, duplicate; three objects."""
    square = [0, 0, 10, 10]
    aside = [40, 40, 50, 50]
    return [
        image([(0, 0.9, square), (0, 0.7, [60, 60, 70, 70])], [(0, square), (0, [20, 20, 30, 30])], 'VOC2007/a'),
        image(
            [(0, 0.8, aside), (0, 0.6, square), (0, 0.5, [1, 0, 10, 10])],
            [(0, square), (0, aside)],
            '2012/b',
            difficult=[1],
        ),
    ]


def test_by_hand():
    scores = score(case_by_hand(), ['cat'], score_thr=0.55)
    part = scores.sources[ALL]
    assert part.ap['area'] == [[pytest.approx(1 / 3 + 2 / 9)]]
    assert part.ap['11points'] == [[pytest.approx(6 / 11)]]
    # hit, hit, miss, hit, miss of four
    assert part.ap_with_difficult['area'] == [[pytest.approx(1 / 2 + 1 / 4 * 3 / 4)]]
    assert [part.images, part.objects, part.difficult, part.detections] == [[2], [3], [1], [5]]
    assert part.counts.tolist() == [[2], [1], [3]]
    assert {name: value.tolist() for name, value in part.at_threshold().items()} == {
        'precision': [2 / 3], 'recall': [2 / 3], 'F1': [2 / 3],
    }  # fmt: skip
    curve = scores.curves[0]
    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3, 1 / 2]
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 2 / 3, 2 / 3]
    assert curve.score.tolist() == [0.9, 0.7, 0.6, 0.5]
    assert scores.sources['VOC2007'].ap['area'] == [[1 / 2]]
    assert scores.sources['VOC2012'].ap['area'] == [[1]]


def test_overlap_of_hits_is_the_mean_of_their_iou():
    row = image(
        [(0, 0.9, [0, 0, 10, 8]), (0, 0.8, [20, 0, 30, 6]), (0, 0.7, [20, 0, 30, 10]), (0, 0.6, [40, 0, 50, 9])],
        [(0, [0, 0, 10, 10]), (0, [20, 0, 30, 10]), (0, [40, 0, 50, 10])],
        difficult=[2],
    )
    matched = score([row], ['cat']).matched
    # the third is a duplicate, the fourth has a difficult object
    assert matched['mean_matched_iou'] == pytest.approx((0.8 + 0.6) / 2)
    assert matched['matched_accuracy'] == 1


def test_matched_scores_by_hand():
    """Two cats found, one of them as a dog; a dog found as a dog; nothing is said of the object that was missed."""
    squares = [[20 * n, 0, 20 * n + 10, 10] for n in range(4)]
    found = [(label, 0.9, square) for label, square in zip((0, 1, 1), squares, strict=False)]
    row = image(found, list(zip((0, 0, 1, 0), squares, strict=True)))
    matched = score([row], ['cat', 'dog', 'cow']).matched
    assert matched['matched_accuracy'] == pytest.approx(2 / 3)
    assert matched['matched_class_miou'] == pytest.approx((1 / 2 + 1 / 2) / 2)


@pytest.mark.parametrize('preset', PRESETS)
def test_the_truth_as_detections_scores_one(preset):
    images = []
    for row in CASES.random_images(5):
        count = len(row.true_labels)
        images.append(row._replace(boxes=row.true_boxes, labels=row.true_labels, scores=np.linspace(0.9, 0.6, count)))
    scores = score_detections(detection_set(CASES.CLASSES, images), PRESETS[preset])
    for part in scores.sources.values():
        for ap in (part.ap, part.ap_with_difficult):
            assert ap['area'] == pytest.approx(np.ones((1, 4)))
            assert ap['11points'] == pytest.approx(np.ones((1, 4)))
        assert part.micro() == part.macro() == dict(precision=1, recall=1, F1=1)
    assert scores.matched == pytest.approx(dict.fromkeys(scores.matched, 1))
    assert scores.coco == pytest.approx(dict.fromkeys(scores.coco, 1))


def every_number(scores):
    numbers = [*scores.matched.values(), *scores.coco.values()]
    for part in scores.sources.values():
        numbers += [*part.counts.ravel(), *part.micro().values()]
        numbers += [value for ap in (part.ap, part.ap_with_difficult) for mode in MODES for value in ap[mode].ravel()]
    return numbers


def test_the_order_of_images_and_boxes_does_not_matter():
    images = CASES.random_images(7)
    rng = np.random.default_rng(0)
    shuffled = []
    for place in rng.permutation(len(images)):
        row = images[place]
        found, there = rng.permutation(len(row.labels)), rng.permutation(len(row.true_labels))
        columns = [values[found] for values in row[2:5]] + [values[there] for values in row[5:]]
        shuffled.append(ImageBoxes(row.image, row.source, *columns))
    assert every_number(score(shuffled)) == pytest.approx(every_number(score(images)), abs=1e-12)


def test_equal_scores_take_their_turn_in_the_order_of_the_data():
    square = [0, 0, 10, 10]
    miss, hit = (0, 0.5, [50, 50, 60, 60]), (0, 0.5, square)
    there = [(0, square)]
    assert score([image([miss, hit], there)], ['cat']).sources[ALL].ap['area'] == [[1 / 2]]
    assert score([image([hit, miss], there)], ['cat']).sources[ALL].ap['area'] == [[1]]
    assert score([image([miss], [], 'a'), image([hit], there, 'b')], ['cat']).sources[ALL].ap['area'] == [[1 / 2]]
    assert score([image([hit], there, 'b'), image([miss], [], 'a')], ['cat']).sources[ALL].ap['area'] == [[1]]


def test_detections_of_difficult_objects_change_nothing():
    images = CASES.random_images(9)
    more = []
    for row in images:
        boxes = row.true_boxes[row.difficult]
        extra = [np.r_[row.boxes, boxes], np.r_[row.scores, np.full(len(boxes), 2.0)]]
        more.append(
            ImageBoxes(row.image, row.source, *extra, np.r_[row.labels, row.true_labels[row.difficult]], *row[5:])
        )
    before, after = (score(rows).sources[ALL] for rows in (images, more))
    assert after.detections.sum() > before.detections.sum()
    for mode in MODES:
        assert after.ap[mode] == pytest.approx(before.ap[mode])
        assert (after.ap_with_difficult[mode] >= before.ap_with_difficult[mode]).all()
    assert (after.counts == before.counts).all()


def test_a_source_is_scored_as_if_it_were_alone():
    images = CASES.random_images(3)
    together = score(images)
    assert list(together.sources) == [ALL, 'VOC2007', 'VOC2012']
    for name in ('VOC2007', 'VOC2012'):
        alone = score([row for row in images if row.source == name]).sources[ALL]
        for mode in MODES:
            np.testing.assert_array_equal(together.sources[name].ap[mode], alone.ap[mode])
        np.testing.assert_array_equal(together.sources[name].counts, alone.counts)
        np.testing.assert_array_equal(together.sources[name].images, alone.images)


def test_images_without_a_source_are_in_no_part():
    rows = [image([(0, 0.9, [0, 0, 5, 5])], [(0, [0, 0, 5, 5])], 'a'), image([], [(0, [0, 0, 5, 5])], '2012/b')]
    sources = score(rows, ['cat']).sources
    assert {name: part.objects.tolist() for name, part in sources.items()} == {ALL: [2], 'VOC2012': [1]}


@pytest.mark.parametrize('found', [[], [(0, 0.9, [0, 0, 5, 5])]])
def test_nothing_there(found):
    scores = score([image(found)], ['cat'])
    part = scores.sources[ALL]
    assert np.isnan(part.ap['area']).all()
    assert np.isnan(list(scores.matched.values()) + list(scores.coco.values())).all()
    # a miss of a class that is not there is a miss all the same
    precision = 0 if found else np.nan
    assert part.micro() == pytest.approx(dict(precision=precision, recall=np.nan, F1=precision), nan_ok=True)
    assert np.isnan(list(part.macro().values())).all()


def test_nothing_found():
    scores = score([image([], [(0, [0, 0, 5, 5])])], ['cat', 'dog'])
    part = scores.sources[ALL]
    assert part.ap['area'].tolist()[0] == pytest.approx([0, np.nan], nan_ok=True)
    assert scores.coco == dict(AP=0, AP50=0, AP75=0, AR100=0)
    assert part.macro() == pytest.approx(dict(precision=np.nan, recall=0, F1=0), nan_ok=True)
    assert np.isnan(list(scores.matched.values())).all()


def test_no_image_at_all():
    assert np.isnan(score([], ['cat']).sources[ALL].ap['area']).all()


def test_eleven_points_are_those_of_the_devkit():
    """Three of ten objects found do not reach the fourth point, 0.30000000000000004."""
    precision, recall = precision_recall(np.ones((1, 3)), 10)
    assert recall[0, 2] == 0.3
    assert average_precision(precision, recall, '11points') == [pytest.approx(3 / 11)]


def test_thresholds_of_scores_are_not_reached_by_equality():
    row = image([(0, 0.5, [0, 0, 5, 5])], [(0, [0, 0, 5, 5])])
    assert score([row], ['cat'], score_thr=0.5).sources[ALL].micro()['recall'] == 0
    assert score([row], ['cat'], score_thr=0.49).sources[ALL].micro()['recall'] == 1
    assert score([row], ['cat'], min_score=0.5).sources[ALL].ap['area'] == [[0]]


def test_presets():
    assert score_settings('report', iou_thrs=None, mode='11points') == ScoreSettings(
        mode='11points', min_score=0.05, legacy_plus_one=True
    )
    assert score_settings('report', legacy_plus_one=False, min_score=0).min_score == 0
    assert score_settings('eval_map', iou_thrs=[0.5, 0.75]).iou_thrs == (0.5, 0.75)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(iou_thrs=()), 'expected one or more numbers'),
        (dict(iou_thrs=(50,)), 'above 0 and at most 1'),
        (dict(iou_thrs=(0.5, 0.5)), 'twice'),
        (dict(mode='coco'), "mode 'coco': choose from area, 11points"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        ScoreSettings(**settings)


def test_unknown_names():
    with pytest.raises(ValueError, match="preset 'voc': choose from eval_map"):
        score_settings('voc')
    with pytest.raises(ValueError, match="mode 'sum'"):
        average_precision(np.ones((1, 1)), np.ones((1, 1)), 'sum')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(labels=np.array([4])), 'VOC2007/a: detection with label 4, but there are 4 classes'),
        (dict(true_labels=np.array([-1])), 'VOC2007/a: object with label -1'),
        (dict(true_boxes=np.array([[5, 0, 0, 5]])), r'VOC2007/a: object with box \[5.0, 0.0, 0.0, 5.0\]'),
        (dict(boxes=np.array([[0, 0, np.nan, 5]])), 'VOC2007/a: detection with box'),
        (dict(true_boxes=np.array([[0, 0, np.inf, 5]])), 'VOC2007/a: object with box'),
        (dict(scores=np.array([np.nan])), 'VOC2007/a: score nan is no finite number'),
        (dict(labels=np.array([0, 0])), 'VOC2007/a: labels holds 2 numbers; 1 belong to its scores'),
        (dict(boxes=np.array([[0, 0, 5]])), 'VOC2007/a: boxes holds 3 numbers; 4 belong to its scores'),
        (dict(difficult=np.array([], bool)), 'VOC2007/a: difficult holds 0 numbers; 1 belong'),
    ],
)
def test_boxes_that_cannot_be(change, message):
    good = image([(0, 0.9, [0, 0, 5, 5])], [(0, [0, 0, 5, 5])])
    with pytest.raises(ValueError, match=message):
        detection_set(CASES.CLASSES, [good._replace(image='VOC2007/first'), good._replace(**change)])


@pytest.mark.parametrize('legacy', [False, True])
def test_a_detection_inside_out_is_a_miss(legacy):
    row = image([(0, 0.9, [5, 5, 0, 0]), (0, 0.8, [0, 0, 5, 5])], [(0, [0, 0, 5, 5])])
    assert score([row], ['cat'], legacy_plus_one=legacy).sources[ALL].ap['area'] == [[1 / 2]]


def test_sources_of_paths():
    assert source_of('/data/VOCdevkit/VOC2012/JPEGImages/2008_000001.jpg') == 'VOC2012'
    assert source_of('2007/000001') == 'VOC2007'
    assert source_of('/photos/2019/cat.jpg') is None
    assert source_of('VOC2007') is None
