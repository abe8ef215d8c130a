"""VOC annotations: what is read, what is found, and what becomes of it."""

import random

import pytest
from PIL import Image

from mmext.detection.datasets.voc_annotation import CLASSES, VOCObject, nearest_class, read_annotation, read_image_size
from mmext.detection.datasets.voc_problems import DEFAULT_RULES, KINDS, ProblemList, VOCError, count_kinds

WIDTH, HEIGHT = 60, 40
SIZE = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>'


def an_object(name='dog', box=(11, 6, 30, 25), difficult='<difficult>0</difficult>', more='') -> str:
    corners = ''.join(
        f'<{key}>{value}</{key}>' for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
    )
    return f'<object><name>{name}</name>{difficult}<bndbox>{corners}</bndbox>{more}</object>'


@pytest.fixture
def read(tmp_path):
    """Write an annotation and its image, and read them: (annotation, problems)."""

    def run(*objects, size=SIZE, xml=None, rules=None, **kwargs):
        image, path = tmp_path / 'a.jpg', tmp_path / 'a.xml'
        if not image.exists():
            Image.new('RGB', (WIDTH, HEIGHT), 'green').save(image)
        content = f'<annotation><filename>a.jpg</filename>{size}{"".join(objects)}</annotation>' if xml is None else xml
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        problems = ProblemList(rules)
        return read_annotation(path, image, problems, **kwargs), problems

    return run


def found(problems) -> list[tuple]:
    return [(problem.kind, problem.rule, problem.object) for problem in problems]


def test_a_sound_file(read):
    annotation, problems = read(
        an_object('dog', (11, 6, 30, 25)),
        an_object(' person\n', (1, 1, WIDTH, HEIGHT), '<difficult>1</difficult>', '<truncated>1</truncated>'),
    )
    assert not problems
    assert (annotation.filename, annotation.size_hw) == ('a.jpg', (HEIGHT, WIDTH))
    assert annotation.objects == (
        VOCObject('dog', (10, 5, 29, 24)),
        VOCObject('person', (0, 0, WIDTH - 1, HEIGHT - 1), difficult=True, truncated=True),
    )


def test_boxes_equal_the_indices_less_one_for_all_boxes_inside(read):
    random.seed(0)
    boxes = []
    for _ in range(50):
        (x1, x2), (y1, y2) = (sorted(random.sample(range(1, end + 1), 2)) for end in (WIDTH, HEIGHT))
        boxes.append((x1, y1, x2, y2))
    annotation, problems = read(*(an_object(box=box) for box in boxes))
    assert not problems
    assert [item.box for item in annotation.objects] == [tuple(value - 1 for value in box) for box in boxes]


def test_fractions_are_kept(read):
    annotation, problems = read(an_object(box=('5.5', '6', '45.70000076293945', '3e1')))
    assert annotation.objects[0].box == pytest.approx((4.5, 5, 44.70000076293945, 29))
    assert not problems


def test_parts_of_a_person_are_no_objects(read):
    part = '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>'
    one = f'<object>{part}<name>person</name><difficult>0</difficult>' + an_object(more=part).removeprefix('<object>')
    annotation, problems = read(one.replace('<name>dog</name><difficult>0</difficult>', ''))
    assert [(item.name, item.box) for item in annotation.objects] == [('person', (10, 5, 29, 24))]
    assert not problems


def test_no_truncated_tag_is_no_problem(read):
    annotation, problems = read(an_object())
    assert not problems
    assert not annotation.objects[0].truncated


OUTSIDE = {
    'zero': ((0, 1, 30, 25), (0, 0, 29, 24)),
    'left and above': ((-9, -9, 30, 25), (0, 0, 29, 24)),
    'right': ((11, 6, WIDTH + 1, 25), (10, 5, WIDTH - 1, 24)),
    'below': ((11, 6, 30, HEIGHT + 99), (10, 5, 29, HEIGHT - 1)),
    'all round': ((-1, -1, 999, 999), (0, 0, WIDTH - 1, HEIGHT - 1)),
}


@pytest.mark.parametrize(('box', 'clipped'), OUTSIDE.values(), ids=OUTSIDE)
def test_boxes_outside_are_clipped_with_a_warning(read, box, clipped):
    annotation, problems = read(an_object(box=box))
    assert annotation.objects[0].box == clipped
    assert found(problems) == [('box_outside', 'warn', 0)]
    assert str(box).replace("'", '') in problems[0].value


EMPTY = [(11, 6, 11, 25), (11, 6, 30, 6), (30, 6, 11, 25), (11, 25, 30, 6), (61, 6, 70, 25), (-5, 6, 1, 25)]


@pytest.mark.parametrize('box', EMPTY)
def test_boxes_without_area(read, box):
    annotation, problems = read(an_object(), an_object(box=box))
    assert found(problems) == [('empty_box', 'error', 1)]
    assert len(annotation.objects) == 1
    annotation, problems = read(an_object(), an_object(box=box), rules={'empty_box': 'drop'})
    assert found(problems) == [('empty_box', 'drop', 1)]
    assert not problems.errors


@pytest.mark.parametrize('value', ['', 'x', 'nan', 'inf', '-inf', '1,5', '0x1'])
def test_coordinates_that_are_no_numbers(read, value):
    _, problems = read(an_object(box=(1, value, 30, 25)))
    assert found(problems) == [('bad_coordinates', 'error', 0)]


def test_no_box(read):
    _, problems = read('<object><name>dog</name><difficult>0</difficult></object>')
    assert found(problems) == [('bad_coordinates', 'error', 0)]
    assert problems[0].value == 'no <bndbox>'


MEANT = {
    'Dog': 'dog',
    'persn': 'person',
    'potted plant': 'pottedplant',
    'Dining_Table': 'diningtable',
    'tv/monitor': 'tvmonitor',
    'airplane': 'aeroplane',
    'couch': 'sofa',
    'motorcycle': 'motorbike',
}


@pytest.mark.parametrize(('name', 'meant'), MEANT.items())
def test_unknown_classes_come_with_the_nearest_one(read, name, meant):
    annotation, problems = read(an_object(name))
    assert found(problems) == [('unknown_class', 'error', 0)]
    assert problems[0].value == f'{name!r}, nearest is {meant!r}'
    assert not annotation.objects


def test_every_class_is_nearest_to_itself():
    assert [nearest_class(name) for name in CLASSES] == list(CLASSES)
    assert nearest_class('') in CLASSES
    assert nearest_class('couch', ('cow', 'divan')) == 'cow'


def test_difficult(read):
    annotation, problems = read(
        *(an_object(difficult=tag) for tag in ('', '<difficult/>', '<difficult> 1 </difficult>'))
    )
    assert found(problems) == [('missing_difficult', 'warn', 0), ('missing_difficult', 'warn', 1)]
    assert [(item.difficult, item.missing_difficult) for item in annotation.objects] == [
        (False, True),
        (False, True),
        (True, False),
    ]
    annotation, problems = read(an_object(difficult='<difficult>yes</difficult>'))
    assert found(problems) == [('bad_difficult', 'error', 0)]
    annotation, problems = read(an_object(difficult='<difficult>2</difficult>'), rules={'bad_difficult': 'warn'})
    assert found(problems) == [('bad_difficult', 'warn', 0)]
    assert [item.difficult for item in annotation.objects] == [False]


def test_garbled_truncated(read):
    annotation, problems = read(an_object(more='<truncated>?</truncated>'))
    assert found(problems) == [('bad_truncated', 'warn', 0)]
    assert [item.truncated for item in annotation.objects] == [False]


def test_no_objects(read):
    annotation, problems = read()
    assert found(problems) == [('no_objects', 'warn', None)]
    assert annotation.objects == ()


@pytest.mark.parametrize('size', ['', '<size/>', '<size><width>60</width></size>', SIZE.replace('40', '0')])
def test_missing_size_is_taken_from_the_image(read, size):
    for check_image in (True, False):
        annotation, problems = read(an_object(), size=size, check_image=check_image)
        assert annotation.size_hw == (HEIGHT, WIDTH)
        assert found(problems) == [('missing_size', 'warn', None)]


def test_other_size_than_the_image(read):
    turned = SIZE.replace('60', '0').replace('40', '60').replace('>0<', '>40<')
    _, problems = read(an_object(box=(1, 1, 60, 40)), size=turned)
    assert found(problems) == [('size_mismatch', 'error', None)]
    assert '40 x 60' in problems[0].value
    annotation, problems = read(an_object(box=(1, 1, 60, 40)), size=turned, rules={'size_mismatch': 'warn'})
    assert annotation.objects[0].box == (0, 0, 59, 39)
    annotation, problems = read(an_object(box=(1, 1, 60, 40)), size=turned, check_image=False)
    assert found(problems) == [('box_outside', 'warn', 0)]


MALFORMED = {
    'empty': b'',
    'cut': b'<annotation><object>',
    'web page': b'<html></html>',
    'no XML': b'\xff\xd8\xff',
    'unknown encoding': b'<?xml version="1.0" encoding="klingon"?><annotation/>',
    'undeclared entity': b'<annotation>&size;</annotation>',
}


@pytest.mark.parametrize('xml', MALFORMED.values(), ids=MALFORMED)
def test_malformed_files(read, xml):
    annotation, problems = read(xml=xml)
    assert annotation is None
    assert found(problems) == [('malformed_xml', 'error', None)]


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>'
REFUSED = {
    'multiplying entities': LAUGHS.encode(),
    'another encoding': LAUGHS.encode('utf-16'),
    'another file': b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>',
    'external type': b'<!DOCTYPE annotation SYSTEM "http://example.org/voc.dtd"><annotation/>',
}


@pytest.mark.parametrize('xml', REFUSED.values(), ids=REFUSED)
def test_document_types_are_refused(read, xml):
    annotation, problems = read(xml=xml)
    assert annotation is None
    assert found(problems) == [('refused_xml', 'error', None)]


def test_missing_files(tmp_path):
    problems = ProblemList()
    assert read_annotation(tmp_path / 'a.xml', tmp_path / 'a.jpg', problems) is None
    assert found(problems) == [('missing_image', 'error', None), ('missing_annotation', 'error', None)]
    assert str(tmp_path / 'a.jpg') in str(problems[0])


def test_unreadable_image(read, tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'<html>')
    annotation, problems = read(an_object())
    assert annotation is None
    assert found(problems) == [('unreadable_image', 'error', None)]
    annotation, problems = read(an_object(), check_image=False)
    assert len(annotation.objects) == 1
    assert not problems


def test_cut_image_is_noticed_when_decoded(read, tmp_path):
    image = tmp_path / 'a.jpg'
    Image.effect_noise((WIDTH, HEIGHT), 50).save(image)
    image.write_bytes(image.read_bytes()[:-400])
    assert read_image_size(image) == (HEIGHT, WIDTH)
    assert not read(an_object())[1]
    annotation, problems = read(an_object(), decode=True)
    assert annotation is None
    assert found(problems) == [('unreadable_image', 'error', None)]
    assert 'truncated' in problems[0].value


def test_rules():
    assert set(KINDS) == set(DEFAULT_RULES)
    assert 'drop' not in DEFAULT_RULES.values()
    assert ProblemList({'empty_box': 'drop'}).rules == DEFAULT_RULES | {'empty_box': 'drop'}
    with pytest.raises(ValueError, match="did you mean 'empty_box'"):
        ProblemList({'emptybox': 'drop'})
    with pytest.raises(ValueError, match=r"missing_image='drop' is not possible; one of \['error'\]"):
        ProblemList({'missing_image': 'drop'})


def test_errors_are_raised_together():
    problems = ProblemList()
    problems.raise_errors()
    problems.add('box_outside', 'a.xml', '(0, 1, 2, 3)', 4)
    problems.raise_errors()
    assert problems.add('empty_box', 'b.xml', '(1, 1, 1, 1)', 0) == 'error'
    with pytest.raises(VOCError, match=r'^b.xml, object 0: empty box: \(1, 1, 1, 1\); .*leaves the object out$'):
        problems.raise_errors()
    problems.add('empty_box', 'c.xml', '(1, 1, 1, 1)', 0)
    with pytest.raises(VOCError, match=r'^b.xml, .*\(2 errors in all; look there\)$'):
        problems.raise_errors('look there')
    assert count_kinds(problems) == {'empty_box': 2, 'box_outside': 1}
