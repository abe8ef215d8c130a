import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official

from mmext.common.samples.street_scene import LABEL_IDS
from mmext.segmentation.datasets import label_maps


def test_table_equals_cityscapes_scripts():
    ours = [(x.name, x.id, x.train_id, x.category, x.category_id, x.color) for x in label_maps.LABELS]
    theirs = [(x.name, x.id, x.trainId, x.category, x.categoryId, x.color) for x in official]
    assert ours == theirs


def test_classes_are_ordered_by_train_id():
    assert len(label_maps.CLASSES) == 19
    assert label_maps.CLASSES[0] == 'road'
    assert label_maps.CLASSES[-1] == 'bicycle'
    assert label_maps.PALETTE[10] == (70, 130, 180)
    assert label_maps.CATEGORIES[11] == 'human'


def test_ids_survive_the_way_there_and_back():
    train_ids = np.arange(19, dtype=np.uint8)
    label_ids = label_maps.to_label_ids(train_ids)
    assert label_ids[0] == 7
    assert label_ids[18] == 33
    np.testing.assert_array_equal(label_maps.LABEL_ID_TO_TRAIN_ID[label_ids], train_ids)


def test_everything_unevaluated_becomes_255_and_255_becomes_unlabeled():
    unevaluated = [x.id for x in label_maps.LABELS if not x.is_evaluated and x.id >= 0]
    assert set(label_maps.LABEL_ID_TO_TRAIN_ID[unevaluated]) == {255}
    assert label_maps.to_label_ids(np.array([255], np.uint8))[0] == 0


def test_values_that_are_no_train_ids_are_named():
    with pytest.raises(ValueError, match=r'\[19, 33\]'):
        label_maps.to_label_ids(np.array([[0, 19], [33, 255]], np.uint8))


def test_colours_come_back_as_the_class():
    train_ids = np.arange(19, dtype=np.uint8).reshape(1, 19)
    colors = label_maps.to_colors(train_ids)
    back = [label_maps.COLOR_TO_TRAIN_ID[label_maps.pack_color(tuple(color))] for color in colors[0]]
    assert back == list(range(19))


def test_colour_shared_with_license_plate_is_a_car():
    assert label_maps.COLOR_TO_TRAIN_ID[label_maps.pack_color((0, 0, 142))] == 13


def test_lookup_tables_are_read_only():
    with pytest.raises(ValueError, match='read-only'):
        label_maps.LABEL_ID_TO_TRAIN_ID[0] = 1


def test_sample_renderer_uses_the_same_ids():
    table = {label.name: label.id for label in label_maps.LABELS}
    assert {name: table[name] for name in LABEL_IDS} == LABEL_IDS
