import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmext.common.detection_files import read_detection_set
from mmext.common.detection_json import write_detections
from mmext.common.detection_scores import ALL, score_detections
from mmext.common.detection_set import detection_set

CASES = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('detection_cases.py'))))
TRUTH = """# image class x1 y1 x2 y2 [difficult]
2007/a cat 0 0 10 10
2007/a traffic light 1 1 5.5 9 0
2012/b cat 0 0 10 10 difficult

2012/b dog 2 2 8 8 1
"""
DETECTIONS = """2012/b cat 0.5 0 0 9 10
2007/a traffic light 1e-1 1 1 5 9
c dog 0.25 -3 0 9 10
"""


@pytest.fixture
def text(tmp_path):
    def write(detections=DETECTIONS, truth=TRUTH):
        paths = tmp_path / 'detections.txt', tmp_path / 'truth.txt'
        for path, content in zip(paths, (detections, truth), strict=True):
            path.write_text(content)
        return paths

    return write


def same(one, other):
    assert one.classes == other.classes
    assert one.images == other.images
    assert one.sources == other.sources
    for flat in ('detections', 'objects'):
        for a, b in zip(getattr(one, flat), getattr(other, flat), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


def test_text(text):
    data = read_detection_set(*text())
    assert data.classes == ('cat', 'dog', 'traffic light')
    assert data.images == ('2007/a', '2012/b', 'c')
    assert data.sources == ('VOC2007', 'VOC2012', None)
    assert data.objects.label.tolist() == [0, 2, 0, 1]
    assert data.objects.image.tolist() == [0, 0, 1, 1]
    assert data.objects.difficult.tolist() == [False, False, True, True]
    assert data.objects.box[1].tolist() == [1, 1, 5.5, 9]
    assert data.detections.image.tolist() == [0, 1, 2]
    assert data.detections.label.tolist() == [2, 0, 1]
    assert data.detections.score.tolist() == [0.1, 0.5, 0.25]
    assert data.detections.box[2].tolist() == [-3, 0, 9, 10]


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('a cat 0.5 0 0 10', r'detections.txt:2: .a cat 0.5 0 0 10.: expected: image class score x1 y1 x2 y2'),
        ('a cat high 0 0 9 9', "detections.txt:2: .*: score 'high' is no finite number"),
        ('a cat nan 0 0 9 9', "score 'nan' is no finite number"),
        ('a cat 0.5 0 0 9 inf', "corner 'inf' is no finite number"),
        ('a cat 0.5 9 0 0 9', 'expected x1 <= x2 and y1 <= y2'),
    ],
)
def test_bad_detections(text, line, message):
    with pytest.raises(ValueError, match=message):
        read_detection_set(*text(detections=f'a cat 0.5 0 0 9 9\n{line}\n'))


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('a 0 0 9 9', r'truth.txt:2: .a 0 0 9 9.: expected: image class x1 y1 x2 y2 \[difficult\]'),
        ('a cat 0 0 9 9 2', "difficult is '2'; expected 0, 1 or the word"),
        ('a cat 0 0 9 x', "corner 'x' is no finite number"),
        ('a cat 0 0 9 9 easy', "difficult is 'easy'"),
        ('a cat 0 0 difficult', r'expected: image class'),
        ('a cat 0 9 9 0', 'no size'),
    ],
)
def test_bad_truth(text, line, message):
    with pytest.raises(ValueError, match=message):
        read_detection_set(*text(truth=f'a cat 0 0 9 9\n{line}\n'))


def test_no_text(text):
    paths = text()
    paths[0].write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match=r'detections.txt: no UTF-8 text'):
        read_detection_set(*paths)


def test_text_without_a_truth(text):
    with pytest.raises(ValueError, match='holds no ground truth'):
        read_detection_set(text()[0])
    with pytest.raises(FileNotFoundError):
        read_detection_set(text()[0], 'nowhere.txt')


def test_empty_files(text):
    data = read_detection_set(*text('', ''))
    assert data.classes == data.images == ()


def test_own_json_gives_back_what_was_written(tmp_path):
    data = detection_set(CASES.CLASSES, [*CASES.random_images(1), *CASES.random_images(2, most_found=0, most_there=0)])
    write_detections(tmp_path / 'new' / 'detections.json', data)
    same(read_detection_set(tmp_path / 'new' / 'detections.json'), data)
    content = json.loads((tmp_path / 'new' / 'detections.json').read_text())
    assert content['classes'] == list(CASES.CLASSES)
    # short enough to read
    assert len(str(content['images'][1]['scores'][0])) < 12
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['detections.json']


def test_own_json_without_an_image(tmp_path):
    write_detections(tmp_path / 'detections.json', detection_set(['cat'], []))
    assert read_detection_set(tmp_path / 'detections.json').images == ()


def test_own_json_holds_its_truth(tmp_path):
    write_detections(tmp_path / 'detections.json', detection_set(['cat'], []))
    with pytest.raises(ValueError, match=r'holds its own ground truth; leave truth.json away'):
        read_detection_set(tmp_path / 'detections.json', 'truth.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(colour='red'), r'detections.json: images\[0\]: .*colour'),
        (dict(scores=['high']), r'images\[0\]'),
        (dict(labels=[3]), r'detections.json: a: detection with label 3'),
    ],
)
def test_bad_own_json(tmp_path, change, message):
    row = dict(image='a', source=None, boxes=[[0, 0, 5, 5]], scores=[0.5], labels=[0])
    row |= dict(true_boxes=[], true_labels=[], difficult=[]) | change
    path = tmp_path / 'detections.json'
    path.write_text(json.dumps(dict(classes=['cat'], images=[row])))
    with pytest.raises(ValueError, match=message):
        read_detection_set(path)


def coco(tmp_path, annotation=(), result=()):
    truth = dict(
        images=[dict(id=9, file_name='VOC2007/b.jpg'), dict(id=3, file_name='VOC2012/a.jpg')],
        categories=[dict(id=7, name='dog'), dict(id=2, name='cat')],
        annotations=[
            dict(image_id=9, category_id=7, bbox=[1, 2, 10, 20], iscrowd=1),
            dict(image_id=3, category_id=2, bbox=[0, 0, 4, 4]) | dict(annotation),
        ],
    )
    found = [dict(image_id=3, category_id=7, bbox=[1, 2, 3, 4], score=0.5) | dict(result)]
    paths = tmp_path / 'results.json', tmp_path / 'instances.json'
    for path, content in zip(paths, (found, truth), strict=True):
        path.write_text(json.dumps(content))
    return paths


def test_coco(tmp_path):
    data = read_detection_set(*coco(tmp_path))
    # by id, as pycocotools sorts them
    assert data.classes == ('cat', 'dog')
    assert data.images == ('VOC2012/a.jpg', 'VOC2007/b.jpg')
    assert data.sources == ('VOC2012', 'VOC2007')
    assert data.objects.box.tolist() == [[0, 0, 4, 4], [1, 2, 11, 22]]
    assert data.objects.difficult.tolist() == [False, True]
    assert data.detections.label.tolist() == [1]
    assert data.detections.box.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(image_id=5), r'instances.json: annotations\[1\]: .*image_id 5 is not in the annotations'),
        (dict(category_id=1), 'category_id 1 is not'),
        (dict(bbox=[0, 0, 5]), 'not enough values'),
        (dict(bbox=[0, 0, -5, 5]), 'no size'),
    ],
)
def test_bad_coco_annotations(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_detection_set(*coco(tmp_path, annotation=change))


def test_bad_coco_results(tmp_path):
    with pytest.raises(ValueError, match=r"results.json: \[0\]: .*score 'x' is no finite number"):
        read_detection_set(*coco(tmp_path, result=dict(score='x')))
    paths = coco(tmp_path)
    with pytest.raises(ValueError, match='name the file of the annotations too'):
        read_detection_set(paths[0])
    paths[0].write_text('[{}]')
    with pytest.raises(ValueError, match=r"results.json: \[0\]: .*'(score|image_id)' is missing"):
        read_detection_set(*paths)
    paths[0].write_text('{"a": 1')
    with pytest.raises(ValueError, match=r'results.json: no JSON'):
        read_detection_set(*paths)
    paths[0].write_text('{}')
    with pytest.raises(ValueError, match='no COCO results'):
        read_detection_set(*paths)


def xml(*objects):
    parts = []
    for name, corners, difficult in objects:
        tags = ''.join(
            f'<{tag}>{value}</{tag}>' for tag, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners, strict=True)
        )
        flag = '' if difficult is None else f'<difficult>{difficult}</difficult>'
        parts.append(f'<object><name>{name}</name>{flag}<bndbox>{tags}</bndbox></object>')
    return f'<annotation>{"".join(parts)}</annotation>'


@pytest.fixture
def devkit(tmp_path):
    year, results = tmp_path / 'VOCdevkit' / 'VOC2007', tmp_path / 'results'
    for folder in (year / 'Annotations', year / 'ImageSets' / 'Main', results):
        folder.mkdir(parents=True)
    (year / 'ImageSets' / 'Main' / 'test.txt').write_text('000001\n000002\n')
    (year / 'Annotations' / '000001.xml').write_text(xml(('cat', (1, 1, 10, 10), None), ('dog', (5, 5, 9, 9), 1)))
    (year / 'Annotations' / '000002.xml').write_text(xml())
    (results / 'comp4_det_test_cat.txt').write_text('000002 0.25 1 1 5 5\n000001 0.5 1 1 10 9\n')
    (results / 'comp4_det_test_dog.txt').write_text('')
    (results / 'notes.txt').write_text('of another kind')
    return results, year


def test_devkit(devkit):
    data = read_detection_set(*devkit)
    assert data.classes == ('cat', 'dog')
    assert data.images == ('VOC2007/000001', 'VOC2007/000002')
    assert data.sources == ('VOC2007', 'VOC2007')
    assert data.objects.difficult.tolist() == [False, True]
    assert data.detections.score.tolist() == [0.5, 0.25]
    assert score_detections(data).sources[ALL].ap['area'][0, 0] == 1


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('000003 0.5 1 1 5 5', r'comp4_det_test_dog.txt:1: .*: image 000003 is not in the set test'),
        ('000001 0.5 1 1 5', 'expected: id score x1 y1 x2 y2'),
        ('000001 0.5 1 1 5 -5', 'no size'),
    ],
)
def test_bad_devkit_results(devkit, line, message):
    (devkit[0] / 'comp4_det_test_dog.txt').write_text(line)
    with pytest.raises(ValueError, match=message):
        read_detection_set(*devkit)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('<annotation>', r'000002.xml: no XML'),
        (xml(('cat', (1, 1, 10, 'x'), 0)), r"000002.xml: object 1: corner 'x' is no finite number"),
        (xml(('cat', (1, 1, 9, 9), 0), ('', (1, 1, 9, 9), 0)), r'000002.xml: object 2: no name'),
        ('<annotation><object><name>cat</name></object></annotation>', 'corner None is no finite number'),
    ],
)
def test_bad_devkit_annotations(devkit, content, message):
    (devkit[1] / 'Annotations' / '000002.xml').write_text(content)
    with pytest.raises(ValueError, match=message):
        read_detection_set(*devkit)


def test_devkit_of_no_or_two_sets(devkit):
    (devkit[0] / 'comp4_det_val_cat.txt').write_text('')
    with pytest.raises(ValueError, match=r"results of the sets \['test', 'val'\]; expected files"):
        read_detection_set(*devkit)
    with pytest.raises(ValueError, match=r'results of the sets \[\]'):
        read_detection_set(devkit[1], devkit[1])
