"""The files of a run: whole, readable by others, and kept when a run is cut short."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.prediction.output import PredictionWriter, table_rows, write_pictures
from mmext.common.prediction.results import Result

RED, BLUE = (200, 0, 0), (0, 0, 200)
NOTHING = {'boxes': [], 'scores': [], 'labels': [], 'label_names': []}
TWO = {'boxes': [[1.5, 2, 3, 4]] * 2, 'scores': [0.5, 0.25], 'labels': [0, 0], 'label_names': ['cät, "big"'] * 2}


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((300, 400, 3), 100, dtype=np.uint8)


def record(name: str, **more) -> dict:
    return {'image': f'in/{name}.jpg', 'name': name, 'size_hw': [300, 400], **more}


def test_document_and_table(tmp_path):
    writer = PredictionWriter(tmp_path / 'out', 'detection', {'task': 'detection'}, tmp_path / 'tables' / 't.csv')
    with writer.open():
        writer.add(record('a/1', **TWO))
        writer.add(record('b', **NOTHING))
        writer.add_unreadable(Path('in/c.jpg'), 'the file is empty')
        assert not (tmp_path / 'out' / 'predictions.json').exists()
    assert writer.count == 2
    document = json.loads((tmp_path / 'out' / 'predictions.json').read_text(encoding='utf-8'))
    assert document == {
        'task': 'detection',
        'complete': True,
        'unreadable': [{'image': 'in/c.jpg', 'reason': 'the file is empty'}],
        'images': [record('a/1', **TWO), record('b', **NOTHING)],
    }
    with (tmp_path / 'tables' / 't.csv').open(newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file))
    assert rows == [
        ['image', 'class', 'score', 'x1', 'y1', 'x2', 'y2'],
        ['a/1', 'cät, "big"', '0.5', '1.5', '2', '3', '4'],
        ['a/1', 'cät, "big"', '0.25', '1.5', '2', '3', '4'],
    ]
    assert sorted(path.name for path in tmp_path.rglob('*.*')) == ['predictions.json', 't.csv']


def test_nothing_predicted_is_a_document_too(tmp_path):
    with PredictionWriter(tmp_path, 'segmentation', {}, tmp_path / 't.csv').open():
        pass
    assert json.loads((tmp_path / 'predictions.json').read_text())['images'] == []
    assert (tmp_path / 't.csv').read_text() == 'image,class,share\n'


def test_table_of_each_task():
    top = {'labels': [3, 5], 'label_names': ['cat', 'dog'], 'probabilities': [0.7, 0.3]}
    shares = {'labels': [0, 1], 'label_names': ['road', 'sky'], 'shares': [0.9, 0.1]}
    assert list(table_rows('classification', record('a', **top))) == [('a', 'cat', 0.7)]
    assert list(table_rows('segmentation', record('a', **shares))) == [('a', 'road', 0.9), ('a', 'sky', 0.1)]
    assert list(table_rows('detection', record('a', **NOTHING))) == []


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_a_run_that_is_cut_short_keeps_what_was_added(tmp_path, error):
    writer = PredictionWriter(tmp_path, 'detection', {}, tmp_path / 't.csv')

    def run():
        with writer.open():
            writer.add(record('a', **TWO))
            raise error

    with pytest.raises(error):
        run()
    document = json.loads((tmp_path / 'predictions.json').read_text(encoding='utf-8'))
    assert document['complete'] is False
    assert [entry['name'] for entry in document['images']] == ['a']
    assert len((tmp_path / 't.csv').read_text(encoding='utf-8').splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ['predictions.json', 't.csv']


def test_a_second_run_replaces_the_first(tmp_path):
    for names in (('a', 'b'), ('c',)):
        writer = PredictionWriter(tmp_path, 'detection', {})
        with writer.open():
            for name in names:
                writer.add(record(name, **NOTHING))
    assert [entry['name'] for entry in json.loads((tmp_path / 'predictions.json').read_text())['images']] == ['c']


def test_numbers_that_are_none_do_not_spoil_the_document(tmp_path):
    writer = PredictionWriter(tmp_path, 'detection', {})

    def run():
        with writer.open():
            writer.add(record('a', **NOTHING))
            writer.add(record('b', **{**TWO, 'scores': [float('nan'), 0]}))

    with pytest.raises(ValueError, match='JSON'):
        run()
    assert len(json.loads((tmp_path / 'predictions.json').read_text())['images']) == 1


def test_detections_are_drawn(tmp_path, picture):
    result = Result(record('a', **{**TWO, 'boxes': [[50, 100, 150, 200]] * 2}))
    assert write_pictures(tmp_path, 'a/1', Path('in/a/1.png'), result, picture, [RED]) == {
        'picture': 'pictures/a/1.png'
    }
    with Image.open(tmp_path / 'pictures/a/1.png') as image:
        assert image.getpixel((50, 150)) == RED
    files = write_pictures(tmp_path, 'x.v2', Path('in/x.v2.JPEG'), result, picture, [RED])
    assert files == {'picture': 'pictures/x.v2.jpg'}
    with Image.open(tmp_path / files['picture']) as image:
        assert (image.format, image.size) == ('JPEG', (400, 300))
    assert write_pictures(tmp_path / 'none', 'a', Path('in/a.png'), result, None, [RED]) == {}
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize(('kind', 'mode'), [(np.uint8, 'P'), (np.uint16, 'I;16')])
def test_label_images_hold_class_indices(tmp_path, picture, kind, mode):
    labels = np.zeros((300, 400), dtype=kind)
    labels[:, 200:] = 1
    labels[0, 0] = np.iinfo(kind).max
    present = np.unique(labels).tolist()
    result = Result(record('a', labels=present, label_names=['x'] * 3, shares=[0.3] * 3), labels)
    files = write_pictures(tmp_path, 'a', Path('in/a.jpg'), result, picture, [RED, BLUE])
    assert files == {'label_map': 'labels/a.png', 'picture': 'pictures/a.jpg'}
    with Image.open(tmp_path / 'labels/a.png') as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), labels)
        if mode == 'P':
            assert image.convert('RGB').getpixel((300, 5)) == BLUE


def test_classification_is_drawn_below(tmp_path, picture):
    result = Result(record('a', labels=[3], label_names=['cat'], probabilities=[0.7]))
    write_pictures(tmp_path, 'a', Path('in/a.png'), result, picture, [])
    with Image.open(tmp_path / 'pictures/a.png') as image:
        assert image.size[0] == 400
        assert image.size[1] > 300
