"""Order, batches, threads and interruptions of a run, with a network that is none."""

import json
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from mmext.common.prediction import prediction_run
from mmext.common.prediction.prediction_run import predict_files
from mmext.common.prediction.predictor import PreparedImage, UnreadableImageError


class FakePredictor:
    """Classifies a picture by the number in its name; ``bad`` names cannot be read, sizes are the number modulo 3."""

    task, classes, palette = 'classification', tuple(f'class {index}' for index in range(50)), []

    def __init__(self) -> None:
        self.batches, self.waiting, self.most_waiting = [], 0, 0
        self._lock = threading.Lock()

    def read(self, path: Path, keep_picture: bool = True) -> PreparedImage:
        if 'bad' in path.name:
            raise UnreadableImageError('spoilt')
        number = int(path.stem)
        time.sleep(0.002 * (number % 3))  # later files may be ready before earlier ones
        with self._lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        picture = np.zeros((8, 8, 3), np.uint8) if keep_picture else None
        return PreparedImage(torch.full((3, 8, 8 + number % 3), number), BaseDataElement(), (8, 8), picture)

    def batch_key(self, prepared: PreparedImage) -> tuple:
        return tuple(prepared.inputs.shape)

    def __call__(self, batch) -> list[BaseDataElement]:
        with self._lock:
            self.waiting -= len(batch)
        stacked = torch.stack([prepared.inputs for prepared in batch])  # raises for different sizes
        self.batches.append(len(stacked))
        return [BaseDataElement(pred_score=torch.eye(50)[int(inputs[0, 0, 0])]) for inputs in stacked]


def paths(*names) -> list[Path]:
    return [Path('in') / f'{name}.png' for name in names]


def document(out: Path) -> dict:
    return json.loads((out / 'predictions.json').read_text())


@pytest.mark.parametrize('batch_size', [1, 2, 3, 8])
@pytest.mark.parametrize('workers', [1, 4])
def test_order_and_results_do_not_depend_on_batches_and_threads(tmp_path, batch_size, workers):
    numbers = [int(number) for number in np.random.default_rng(0).permutation(40)]
    predictor = FakePredictor()
    names = [*numbers[:20], 'bad1', *numbers[20:], 'bad2']
    outcome = predict_files(
        predictor, paths(*names), tmp_path, {}, batch_size, pictures=False, table=tmp_path / 't.csv', workers=workers
    )
    images = document(tmp_path)['images']
    assert [entry['name'] for entry in images] == [str(number) for number in numbers]
    assert [entry['labels'][0] for entry in images] == numbers
    assert outcome.done == 40
    assert outcome.found == Counter({f'class {number}': 1 for number in numbers})
    assert outcome.unreadable == [{'image': f'in/bad{index}.png', 'reason': 'spoilt'} for index in (1, 2)]
    assert document(tmp_path)['unreadable'] == outcome.unreadable
    assert max(predictor.batches) <= batch_size
    assert sum(predictor.batches) == 40
    assert len((tmp_path / 't.csv').read_text().splitlines()) == 41
    assert not (tmp_path / 'pictures').exists()


def test_pictures_of_one_size_fill_their_batches(tmp_path):
    predictor = FakePredictor()
    predict_files(predictor, paths(*range(24)), tmp_path, {}, 3, pictures=False)  # three sizes in turn
    assert predictor.batches == [3] * 6 + [2] * 3
    predictor = FakePredictor()
    predict_files(predictor, paths(*range(0, 30, 3)), tmp_path, {}, 4, pictures=False)
    assert predictor.batches == [4, 4, 2]


def test_a_picture_of_a_rare_size_does_not_hold_up_the_others_for_long(tmp_path):
    """Number 1 alone has its size: it goes alone when four batches of two wait behind it."""
    predictor = FakePredictor()
    predict_files(predictor, paths(1, *range(0, 48, 3)), tmp_path, {}, 2, pictures=False)
    assert predictor.batches == [2, 2, 2, 2, 1, 2, 2, 2, 2]
    assert [entry['name'] for entry in document(tmp_path)['images']] == ['1', *map(str, range(0, 48, 3))]


def test_few_pictures_wait_at_a_time(tmp_path):
    """Memory stays bounded: reading does not run away from a slow network."""

    class Slow(FakePredictor):
        def __call__(self, batch):
            time.sleep(0.01)
            return super().__call__(batch)

    predictor = Slow()
    predict_files(predictor, paths(*range(49)), tmp_path, {}, 1, pictures=False, workers=2)
    # The batch, and what is read ahead for the next one and by the threads.
    assert 3 <= predictor.most_waiting <= 1 + (1 + 2 * 2) + 1


def test_pictures_and_header(tmp_path):
    outcome = predict_files(FakePredictor(), paths(1, 2), tmp_path, {'config': 'c.py'})
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == ['1.png', '2.png']
    whole = document(tmp_path)
    assert list(whole)[:3] == ['task', 'config', 'classes']
    assert (whole['task'], whole['config'], len(whole['classes']), whole['complete']) == (
        'classification',
        'c.py',
        50,
        True,
    )
    assert whole['images'][0]['picture'] == 'pictures/1.png'
    assert outcome.unreadable == []


def test_a_picture_of_a_file_that_is_broken_now_goes(tmp_path):
    for name in ('bad', 'other'):
        (tmp_path / 'pictures').mkdir(exist_ok=True)
        (tmp_path / 'pictures' / f'{name}.png').touch()
    predict_files(FakePredictor(), paths('bad', 1), tmp_path, {})
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == ['1.png', 'other.png']


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError('out of memory')])
def test_what_was_done_before_an_interruption_stays(tmp_path, error):
    class Interrupted(FakePredictor):
        def __call__(self, batch):
            if len(self.batches) == 5:
                raise error
            return super().__call__(batch)

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        predict_files(Interrupted(), paths(*range(40)), tmp_path, {}, 2)
    whole = document(tmp_path)
    assert whole['complete'] is False
    names = [entry['name'] for entry in whole['images']]
    # Three sizes in turn: the five batches were 0 3, 1 4, 2 5, 6 9, 7 10.
    assert names == [str(number) for number in range(8)]
    assert all((tmp_path / entry['picture']).is_file() for entry in whole['images'])
    assert not list(tmp_path.rglob('.*'))


def test_an_error_while_drawing_ends_the_run_with_the_rest_intact(tmp_path, monkeypatch):
    def fail(out_dir, name, *arguments):
        if name == '3':
            raise OSError('no space left')
        return {}

    monkeypatch.setattr(prediction_run, 'write_pictures', fail)
    with pytest.raises(OSError, match='no space left'):
        predict_files(FakePredictor(), paths(*range(10)), tmp_path, {})
    assert [entry['name'] for entry in document(tmp_path)['images']][:3] == ['0', '1', '2']


def test_foreign_predictions_name_the_file(tmp_path):
    class Foreign(FakePredictor):
        task = 'detection'

    with pytest.raises(ValueError, match=r'in/1\.png: the model returns pred_score'):
        predict_files(Foreign(), paths(1), tmp_path, {})


def test_all_unreadable(tmp_path):
    outcome = predict_files(FakePredictor(), paths('bad1', 'bad2'), tmp_path, {})
    assert (outcome.done, len(outcome.unreadable)) == (0, 2)
    assert document(tmp_path)['images'] == []
