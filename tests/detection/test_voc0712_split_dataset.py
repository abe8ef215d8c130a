"""The VOC07+12 split as mmdet sees it."""

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

import mmext.detection  # noqa: F401 registers
from mmext.detection.datasets import VOC0712SplitDataset, VOCError, voc0712_split_dataset
from mmext.detection.datasets.voc0712_split_dataset import make_instance
from mmext.detection.datasets.voc_annotation import CLASSES, VOCObject

SIZE_HW = (40, 60)
# List -> image -> objects (class, box as in the file, difficult, truncated).
Objects = list[tuple[str, tuple, int, int]]
DEVKIT: dict[tuple[str, str], dict[str, Objects]] = {
    ('VOC2007', 'trainval'): {
        '000005': [('dog', (11, 6, 30, 25), 0, 1), ('person', (1, 1, 60, 40), 1, 0)],
        '000007': [('tvmonitor', (5, 5, 9, 39), 0, 0)],
        '000009': [],
    },
    ('VOC2007', 'test'): {'000001': [('cat', (1, 1, 20, 20), 0, 0)], '000002': []},
    ('VOC2012', 'val'): {'2008_000002': [('sofa', (2, 3, 50, 40), 1, 0)]},
}


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def write_image(root: Path, year: str, stem: str, objects: Objects) -> None:
    height, width = SIZE_HW
    for kind in ('JPEGImages', 'Annotations'):
        (root / year / kind).mkdir(parents=True, exist_ok=True)
    color = np.random.default_rng(int(stem[-6:])).integers(0, 255, 3)
    Image.new('RGB', (width, height), tuple(color.tolist())).save(root / year / 'JPEGImages' / f'{stem}.jpg')
    xml = f'<annotation><size><width>{width}</width><height>{height}</height></size>'
    for name, (x1, y1, x2, y2), difficult, truncated in objects:
        xml += (
            f'<object><name>{name}</name><truncated>{truncated}</truncated><difficult>{difficult}</difficult><bndbox>'
        )
        xml += f'<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
    (root / year / 'Annotations' / f'{stem}.xml').write_text(f'{xml}</annotation>')


def write_list(root: Path, year: str, name: str, stems) -> None:
    path = root / year / 'ImageSets' / 'Main' / f'{name}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{stem}\n' for stem in stems))


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / 'VOCdevkit'
    for (year, name), images in DEVKIT.items():
        write_list(root, year, name, images)
        for stem, objects in images.items():
            write_image(root, year, stem, objects)
    return root


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(
        voc0712_split_dataset, 'print_log', lambda text, logger, level=logging.INFO: lines.append((level, text))
    )
    return lines


def build(root, **kwargs):
    return DATASETS.build(dict(type='VOC0712SplitDataset', data_root=str(root), **kwargs))


def test_classes_are_those_of_mmdet():
    assert VOC0712SplitDataset.METAINFO['classes'] == VOCDataset.METAINFO['classes'] == CLASSES
    assert len(VOC0712SplitDataset.METAINFO['palette']) == 20


@pytest.mark.parametrize(
    ('part', 'source'), [('train', ('VOC2007', 'trainval')), ('val', ('VOC2007', 'test')), ('test', ('VOC2012', 'val'))]
)
def test_parts(devkit, part, source):
    dataset = build(devkit, part=part)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['img_id'] for info in infos] == [f'{source[0]}/{stem}' for stem in DEVKIT[source]]
    assert {info['source'] for info in infos} == {source[0]}
    for info in infos:
        assert Path(info['img_path']).is_file()
        assert Path(info['xml_path']).is_file()
        assert (info['height'], info['width']) == SIZE_HW
    assert dataset.metainfo['dataset_type'] == source[0]


def test_instances(devkit):
    dataset = build(devkit)
    assert dataset.get_data_info(0)['instances'] == [
        dict(bbox=[10, 5, 29, 24], bbox_label=CLASSES.index('dog'), ignore_flag=0, truncated=1),
        dict(bbox=[0, 0, 59, 39], bbox_label=CLASSES.index('person'), ignore_flag=1, truncated=0),
    ]
    assert all(isinstance(value, float) for value in dataset.get_data_info(0)['instances'][0]['bbox'])
    assert dataset.get_data_info(2)['instances'] == []
    assert dataset.get_cat_ids(0) == [CLASSES.index('dog'), CLASSES.index('person')]


def test_equal_to_mmdet_on_sound_files(devkit):
    theirs = VOCDataset(
        data_root=str(devkit), ann_file='VOC2007/ImageSets/Main/trainval.txt', data_prefix=dict(sub_data_root='VOC2007')
    )
    ours = build(devkit)
    assert len(ours) == len(theirs)
    for index in range(len(ours)):
        mine, other = ours.get_data_info(index), theirs.get_data_info(index)
        for instance in mine['instances']:
            instance.pop('truncated')
        assert mine['instances'] == other['instances']
        assert (mine['img_path'], mine['height'], mine['width']) == (other['img_path'], other['height'], other['width'])
        assert mine['img_id'] == f'VOC2007/{other["img_id"]}'


def test_pipeline_hands_on_the_source_and_keeps_difficult_ones_apart(devkit):
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'source')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=keys),
    ]
    dataset = build(devkit, pipeline=pipeline)
    sample = dataset[0]['data_samples']
    assert sample.source == 'VOC2007'
    assert sample.gt_instances.bboxes.tensor.tolist() == [[10, 5, 29, 24]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[0, 0, 59, 39]]
    assert dataset[2]['data_samples'].gt_instances.bboxes.tensor.shape == (0, 4)


def test_other_sources(devkit):
    dataset = build(devkit, part='test', sources=[['VOC2007', 'test'], ['VOC2012', 'val']])
    assert [dataset.get_data_info(index)['source'] for index in range(3)] == ['VOC2007', 'VOC2007', 'VOC2012']
    assert dataset.metainfo['dataset_type'] is None
    with pytest.raises(VOCError, match='000001 is also in another list'):
        build(devkit, sources=[('VOC2007', 'test'), ('VOC2007', 'test')])


def test_no_box_is_ignored_for_its_size_unless_asked(devkit):
    write_image(devkit, 'VOC2007', '000007', [('dog', (5, 5, 6, 6), 0, 0), ('dog', (1, 1, 11, 11), 0, 0)])

    def flags(**kwargs):
        return [instance['ignore_flag'] for instance in build(devkit, **kwargs).get_data_info(1)['instances']]

    assert flags() == [0, 0]
    assert flags(min_size=10) == [1, 0]
    assert flags(min_size=10.5) == [1, 1]
    with pytest.raises(ValueError, match='in the evaluation'):
        build(devkit, min_size=10, test_mode=True)


def test_min_size_asks_for_both_sides():
    wide = VOCObject('dog', (0, 0, 50, 9))
    assert [make_instance(wide, 3, size)['ignore_flag'] for size in (None, 9, 9.1)] == [0, 0, 1]
    assert make_instance(VOCObject('dog', (0, 0, 50, 50), difficult=True), 3)['ignore_flag'] == 1


def test_filters_log_what_they_leave_out(devkit, log):
    filter_cfg = dict(filter_empty_gt=True, min_size=32)
    assert len(build(devkit, filter_cfg=filter_cfg)) == 2
    assert any('leaves out 1 images' in text and level == logging.WARNING for level, text in log)
    assert len(build(devkit, filter_cfg=filter_cfg, test_mode=True)) == 3
    assert len(build(devkit, filter_cfg=dict(filter_empty_gt=False, min_size=40))) == 3
    with pytest.raises(VOCError, match='leaves out all 3 images'):
        build(devkit, filter_cfg=dict(filter_empty_gt=False, min_size=41))


def test_counts_and_problems_are_logged_and_kept(devkit, log):
    write_image(devkit, 'VOC2007', '000009', [('dog', (0, 0, 30, 25), 0, 0)] * 5)
    dataset = build(devkit)
    (_, counts), (level, problems) = log
    assert counts == 'VOC2007 trainval: 3 images, 8 objects, 1 of them ignored as difficult'
    assert level == logging.WARNING
    assert '5 x box_outside' in problems
    assert problems.count('the box is clipped') == 3
    assert [problem.object for problem in dataset.problems] == [0, 1, 2, 3, 4]
    assert dataset.get_data_info(2)['instances'][0]['bbox'] == [0, 0, 29, 24]


def test_no_objects_is_worth_a_line(devkit):
    assert [problem.kind for problem in build(devkit).problems] == ['no_objects']


def test_errors_name_the_first_and_the_number(devkit):
    write_image(devkit, 'VOC2007', '000007', [('dgo', (1, 1, 9, 9), 0, 0), ('cat', (9, 9, 9, 9), 0, 0)])
    with pytest.raises(
        VOCError, match=r"000007.xml, object 0: .*'dgo', nearest is 'dog'.*2 errors.*voc.py --check-only"
    ):
        build(devkit)
    dataset = build(devkit, rules=dict(unknown_class='drop', empty_box='drop'))
    assert [problem.kind for problem in dataset.problems] == ['unknown_class', 'empty_box', 'no_objects']
    assert dataset.get_data_info(1)['instances'] == []


@pytest.mark.parametrize('kind', ['JPEGImages', 'Annotations'])
def test_missing_files(devkit, kind):
    path = next((devkit / 'VOC2007' / kind).glob('000007.*'))
    path.unlink()
    for check_images in (True, False):
        with pytest.raises(VOCError, match=f'{path}: missing'):
            build(devkit, check_images=check_images)


def test_missing_folder_and_list(devkit, tmp_path):
    with pytest.raises(VOCError, match=r'trainval.txt: the folder is missing; .*tools/prepare/voc.py TAR... --out'):
        build(tmp_path / 'nowhere')
    (devkit / 'VOC2012/ImageSets/Main/val.txt').unlink()
    with pytest.raises(VOCError, match=r'val.txt: the list is missing; .*tools/prepare/voc.py'):
        build(devkit, part='test')


@pytest.mark.parametrize(
    ('lines', 'match'),
    [
        ([], 'the list is empty'),
        (['000001', '000001'], 'lists 000001 2 times'),
        (['000001 -1'], "'000001 -1' is no id"),
        (['../../000001'], 'is no id'),
    ],
)
def test_bad_lists(devkit, lines, match):
    write_list(devkit, 'VOC2007', 'test', lines)
    with pytest.raises(VOCError, match=match):
        build(devkit, part='val')


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(part='trainval'), "part='trainval': must be one of train, val, test"),
        (dict(rules=dict(box_outside='drop')), "box_outside='drop' is not possible"),
        (dict(ann_file='a.txt'), 'ann_file.*has no effect'),
        (dict(data_prefix=dict(sub_data_root='VOC2007')), 'data_prefix.*has no effect'),
        (dict(filter_cfg=dict(bbox_min_size=32)), 'name the bound on boxes with min_size'),
    ],
)
def test_settings_without_effect_are_refused(devkit, kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(devkit, **kwargs)


def test_some_of_the_classes(devkit, log):
    dataset = build(devkit, metainfo=dict(classes=('person', 'tvmonitor')))
    labels = [[item['bbox_label'] for item in dataset.get_data_info(index)['instances']] for index in range(3)]
    assert labels == [[0], [1], []]
    assert '1 objects of classes that metainfo does not name are left out' in log[0][1]
    assert [problem.kind for problem in dataset.problems] == ['no_objects']


def test_workers_get_the_same_dataset(devkit):
    dataset = build(devkit)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.get_data_info(0) == dataset.get_data_info(0)
    assert copy.problems == dataset.problems
    assert copy.problems.rules == dataset.problems.rules
    lazy = build(devkit, lazy_init=True, indices=2)
    lazy.full_init()
    assert len(lazy) == 2
