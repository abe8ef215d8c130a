"""Checkpoints are tested on data of their own classes only."""

import logging

import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmext.inspection import class_check
from mmext.inspection.class_check import (
    ClassMismatchError,
    check_classes,
    classes_of_dataset,
    classes_of_meta,
    compare_classes,
    innermost,
)


class ThreeAnimals(BaseDataset):
    """Never built: it would not find its files."""

    METAINFO = dict(classes=('cat', 'dog', 'bird'))  # noqa: RUF012


@pytest.fixture(autouse=True)
def registered():
    DATASETS.register_module(module=ThreeAnimals)
    yield
    DATASETS.module_dict.pop('ThreeAnimals')


def config(**dataset) -> Config:
    loader = dict(dataset=dict(type='ThreeAnimals', **dataset))
    return Config(dict(default_scope='mmengine', test_dataloader=loader, val_dataloader=loader, load_from='w/e_9.pth'))


def meta(*classes: str, **more) -> dict:
    return dict(dataset_meta=dict(classes=list(classes)), **more)


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(class_check, 'print_log', lambda text, logger, level: lines.append((level, text)))
    return lines


def test_equal_classes_pass_in_any_container(log):
    check_classes(config(), meta('cat', 'dog', 'bird'))
    check_classes(config(), dict(dataset_meta=dict(CLASSES=('cat', 'dog', 'bird'))))
    check_classes(config(), dict(CLASSES=['cat', 'dog', 'bird']))
    assert log == []


@pytest.mark.parametrize('nothing', [None, {}, dict(dataset_meta=None), dict(dataset_meta={}), dict(epoch=3)])
def test_checkpoints_that_say_nothing_pass(nothing):
    check_classes(config(), nothing)


def test_data_that_say_nothing_pass():
    check_classes(Config(dict(model={})), meta('cat'))
    check_classes(Config(dict(test_dataloader=dict(dataset=dict(type=BaseDataset)))), meta('cat'))


def test_another_order_is_an_error_with_positions_both_sides_and_a_fix():
    with pytest.raises(ClassMismatchError) as caught:
        check_classes(config(), meta('dog', 'cat', 'bird'))
    message = str(caught.value)
    assert 'e_9.pth' in message
    assert 'ThreeAnimals' in message
    assert (
        "the same 3 classes stand in another order (0: trained 'dog', data 'cat'; 1: trained 'cat', data 'dog')"
        in message
    )
    assert 'Fix: test with the config' in message


def test_other_names_and_another_number():
    assert (
        compare_classes(['a', 'b', 'c'], ['a', 'x', 'c'])
        == "1 of 3 classes have other names (1: trained 'b', data 'x')."
    )
    assert compare_classes(['a', 'b'], ['a']) == (
        "it was trained with 2 classes, the data have 1 (1: trained 'b', data none)."
    )
    many = compare_classes([f'c{n}' for n in range(10)], [f'd{n}' for n in range(10)])
    assert many.count('trained') == 3
    assert 'and 7 more' in many
    assert compare_classes([], []) == ''


def test_letter_case_is_a_warning(log):
    check_classes(config(), meta('Cat', 'dog', 'BIRD'))
    ((level, text),) = log
    assert level == logging.WARNING
    assert "2 classes differ from those of the test data in letter case only: 'Cat' / 'cat', 'BIRD' / 'bird'" in text
    with pytest.raises(ClassMismatchError, match=r"2: trained 'x', data 'bird'\)"):
        check_classes(config(), meta('Cat', 'dog', 'x'))


def test_settings_come_before_the_class_of_the_data_set(tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('a\nb\n')
    base = dict(type='ThreeAnimals')
    assert classes_of_dataset(base) == ('cat', 'dog', 'bird')
    assert classes_of_dataset(dict(type=ThreeAnimals)) == ('cat', 'dog', 'bird')
    assert classes_of_dataset(dict(**base, classes=['x'])) == ('x',)
    assert classes_of_dataset(dict(**base, classes=str(names))) == ('a', 'b')
    assert classes_of_dataset(dict(**base, classes=['x'], metainfo=dict(classes=('y', 'z')))) == ('y', 'z')
    assert classes_of_dataset(dict(type='NoSuchDataset')) is None


@pytest.mark.parametrize(
    'wrapped',
    [
        dict(type='RepeatDataset', times=2, dataset=dict(type='ThreeAnimals')),
        dict(type='ConcatDataset', datasets=[dict(type='ThreeAnimals'), dict(type='Other')]),
        dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[dict(type='ThreeAnimals')])),
    ],
)
def test_wrappers_have_the_classes_of_what_they_wrap(wrapped):
    assert innermost(wrapped)['type'] == 'ThreeAnimals'
    assert classes_of_dataset(wrapped) == ('cat', 'dog', 'bird')


def test_test_time_augmentation_changes_nothing():
    cfg = config()
    cfg.model = dict(type='SegTTAModel', module=dict(type='EncoderDecoder'))
    cfg.test_dataloader.dataset.pipeline = [dict(type='TestTimeAug')]
    with pytest.raises(ClassMismatchError):
        check_classes(cfg, meta('dog', 'cat', 'bird'))


def test_classes_of_meta_ignores_nonsense():
    assert classes_of_meta('text') is None
    assert classes_of_meta(dict(dataset_meta=dict(classes=[]))) is None
    assert classes_of_meta(dict(dataset_meta=dict(classes='names'))) is None


@pytest.mark.parametrize(
    ('stored', 'now', 'same_data', 'expected'),
    [
        (dict(train='t', val='v'), 'v', True, None),
        (dict(train='t', val='v'), 'x', True, 'have changed since the run validated on them'),
        (dict(train='t', val='v'), 't', True, 'those that it was trained on'),
        # Data of their own are expected to differ from those of the validation.
        (dict(train='t', val='v'), 'x', False, None),
        (dict(train='t', val='v'), '', True, None),
        (None, 'x', True, None),
    ],
)
def test_the_hash_of_the_data_is_noted(stored, now, same_data, expected, log, monkeypatch):
    monkeypatch.setattr(class_check, 'hash_split', lambda cfg, split: now)
    cfg = config()
    if not same_data:
        cfg.val_dataloader = dict(dataset=dict(type='ThreeAnimals', data_root='other'))
    check_classes(cfg, meta('cat', 'dog', 'bird', **({'data_hash': stored} if stored else {})))
    assert [expected in text for _, text in log] == ([True] if expected else [])


@pytest.mark.slow
def test_registered_data_sets_of_the_project(in_root):
    cfg = Config.fromfile('configs/quickstart.py')
    classes = list(classes_of_dataset(cfg.test_dataloader.dataset, 'mmseg'))
    assert classes[:2] == ['road', 'sidewalk']
    check_classes(cfg, meta(*classes))
    with pytest.raises(ClassMismatchError, match='another order'):
        check_classes(cfg, meta(*classes[::-1]))
