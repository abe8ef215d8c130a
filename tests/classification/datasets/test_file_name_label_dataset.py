"""Labels from file names: which names match, how classes are numbered, and what is reported."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from mmext.classification.datasets import FileNameLabelDataset, FileNameLabelError, file_name_label_dataset
from mmext.classification.datasets.file_name_labels import (
    PATTERN,
    class_problems,
    compile_pattern,
    label_of,
    list_pictures,
    take_share,
    unreadable_pictures,
)

PACK = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture(autouse=True)
def _scope() -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged."""
    lines = []
    monkeypatch.setattr(file_name_label_dataset, 'print_log', lambda text, *_: lines.append(text))
    return lines


def make(folder: Path, *names: str) -> Path:
    """Pictures of 4 x 3 pixels under the names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (4, 3), (number % 256, 20, 30)).save(folder / name)
    return folder


def build(folder: Path, **settings) -> FileNameLabelDataset:
    return DATASETS.build(dict(type='FileNameLabelDataset', data_root=str(folder), **settings))


def names_of(dataset: FileNameLabelDataset) -> list[str]:
    return [Path(dataset.get_data_info(k)['img_path']).name for k in range(len(dataset))]


# ---- names


@pytest.mark.parametrize(
    ('name', 'label'),
    [
        ('cat_123.jpg', 'cat'),
        ('dog.123.jpg', 'dog'),
        ('pickup_truck_12.png', 'pickup_truck'),
        ('class_7_12.png', 'class_7'),
        ('class7_12.png', 'class7'),
        ('v1.5_3.png', 'v1.5'),
        ('St. Bernard_3.JPG', 'St. Bernard'),
        ('maine-coon_001.jpeg', 'maine-coon'),
        ('Käfer_1.png', 'Käfer'),
        (unicodedata.normalize('NFD', 'Käfer_1.png'), 'Käfer'),
        ('猫_9.png', '猫'),
        ('(a+b)_1.png', '(a+b)'),
        ('cat.jpg', None),
        ('123.jpg', None),
        ('_123.jpg', None),
        ('cat_123', None),
        ('cat_12a.jpg', None),
        ('cat_123.jpg.bak', None),
        ('cat 123.jpg', None),
    ],
)
def test_label_is_all_before_the_last_number(name: str, label: str | None) -> None:
    assert label_of(compile_pattern(PATTERN), name) == label


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    make(tmp_path, 'n01-shark-0.png', 'n02-whale-1.png')
    dataset = build(tmp_path, pattern=r'n\d+-(?P<label>\w+)-\d\.png')
    assert dataset.metainfo['classes'] == ('shark', 'whale')
    # the whole name must match, and an empty group is no class
    assert label_of(compile_pattern(r'(?P<label>cat)'), 'cat_1.png') is None
    assert label_of(compile_pattern(r'(?P<label>\w*)-1\.png'), '-1.png') is None
    assert label_of(compile_pattern(r'((?P<label>a)|b)\.png'), 'b.png') is None


@pytest.mark.parametrize(('pattern', 'message'), [('(cat', 'unterminated'), ('(.+)_1', r'has no group \(\?P<label>')])
def test_unusable_patterns(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(FileNameLabelError, match=message):
        build(tmp_path, pattern=pattern)


# ---- classes


def test_classes_and_files_are_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, *(f'c{k}_{n}.png' for k in (10, 2, 1) for n in (11, 2)))
    dataset = build(tmp_path)
    assert dataset.metainfo['classes'] == ('c1', 'c2', 'c10')
    assert names_of(dataset) == [f'c{k}_{n}.png' for k in (1, 2, 10) for n in (2, 11)]
    assert dataset.get_gt_labels().tolist() == [0, 0, 1, 1, 2, 2]


def test_fifty_classes(tmp_path: Path) -> None:
    make(tmp_path, *(f'{chr(97 + k % 26)}{k}_{n}.png' for k in range(50) for n in range(2)))
    dataset = build(tmp_path)
    assert len(dataset.metainfo['classes']) == 50
    assert np.bincount(dataset.get_gt_labels()).tolist() == [2] * 50
    for index in range(100):
        info = dataset.get_data_info(index)
        assert Path(info['img_path']).name.rsplit('_')[0] == dataset.metainfo['classes'][info['gt_label']]


def test_given_classes_keep_their_order(tmp_path: Path) -> None:
    make(tmp_path, 'cat_1.png', 'dog.1.png')
    assert build(tmp_path, classes=['dog', 'cat']).get_gt_labels().tolist() == [1, 0]
    (tmp_path / 'names').write_text('dog\ncat\n')
    assert build(tmp_path, classes=str(tmp_path / 'names')).get_gt_labels().tolist() == [1, 0]
    assert build(tmp_path, metainfo=dict(classes=('dog', 'cat'))).get_gt_labels().tolist() == [1, 0]


def test_subfolders_and_dotted_files(tmp_path: Path) -> None:
    make(tmp_path, 'a/cat_1.png', 'b/cat_1.png', '.cache/dog_1.png', '.cat_9.png')
    (tmp_path / 'a/again').symlink_to(tmp_path)
    assert len(build(tmp_path)) == 2


def test_items_go_through_the_pipeline(tmp_path: Path) -> None:
    make(tmp_path / 'train', 'cat_1.png', 'dog.1.png')
    item = build(tmp_path, data_prefix='train', pipeline=PACK)[1]
    assert item['inputs'].shape == (3, 3, 4)
    assert item['inputs'][:, 0, 0].tolist() == [30, 20, 1]  # cv2 reads blue first
    assert item['data_samples'].gt_label.tolist() == [1]


def test_unlabelled_folder(tmp_path: Path) -> None:
    make(tmp_path, '10.png', '9.png', 'whatever.png')
    dataset = build(tmp_path, labelled=False, classes=['cat', 'dog'], pipeline=PACK, test_mode=True)
    assert names_of(dataset) == ['9.png', '10.png', 'whatever.png']
    assert 'gt_label' not in dataset.get_data_info(0)
    assert 'gt_label' not in dataset[0]['data_samples']
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert len(build(tmp_path, labelled=False)) == 3


# ---- reports


def test_files_that_do_not_match_and_unreadable_ones_are_named_together(tmp_path: Path) -> None:
    make(tmp_path, 'cat_1.png', 'IMG 7.png', 'holiday.png')
    (tmp_path / 'cat_2.png').write_bytes(b'')
    (tmp_path / 'cat_3.jpg').write_text('<html>not found</html>')
    with pytest.raises(FileNameLabelError) as error:
        build(tmp_path)
    message = str(error.value)
    for part in ('2 names do not match', 'IMG 7.png', 'holiday.png', '2 pictures cannot be read', 'strict=False'):
        assert part in message
    assert 'cat_2.png (empty file)' in message
    assert 'cat_3.jpg (no picture)' in message
    assert 'cat_1.png' not in message
    assert '\n' not in message


def test_without_strict_they_are_left_out(tmp_path: Path, log: list[str]) -> None:
    make(tmp_path, 'cat_1.png', 'holiday.png')
    (tmp_path / 'cat_2.png').write_bytes(b'')
    assert names_of(build(tmp_path, strict=False)) == ['cat_1.png']
    assert [line for line in log if 'left out: 1 names' in line and 'holiday.png' in line]
    assert [line for line in log if 'left out: 1 pictures' in line and 'cat_2.png (empty file)' in line]
    assert names_of(build(tmp_path, strict=False, check_images=False)) == ['cat_1.png', 'cat_2.png']
    (tmp_path / 'cat_1.png').write_bytes(b'')
    with pytest.raises(FileNameLabelError, match='none of its 3 pictures can be used'):
        build(tmp_path, strict=False)


def test_only_the_first_of_many_are_named(tmp_path: Path) -> None:
    make(tmp_path, *(f'holiday{k}.png' for k in range(12)))
    with pytest.raises(FileNameLabelError, match=r'12 names .*holiday4\.png and 7 more'):
        build(tmp_path)


def test_a_header_alone_passes(tmp_path: Path) -> None:
    path = tmp_path / 'cat_1.png'
    Image.effect_noise((64, 64), 40).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert unreadable_pictures([path]) == {}
    assert set(unreadable_pictures([path, tmp_path / 'gone.png'])) == {tmp_path / 'gone.png'}
    assert unreadable_pictures([]) == {}


def test_other_files_are_listed_apart(tmp_path: Path, log: list[str]) -> None:
    make(tmp_path, 'cat_1.png')
    for name in ('Thumbs.db', 'cat_2.heic'):
        (tmp_path / name).write_text('x')
    pictures, others = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ['cat_1.png']
    assert [path.name for path in others] == ['Thumbs.db', 'cat_2.heic']
    assert len(build(tmp_path)) == 1
    assert 'Thumbs.db' in log[0]
    assert 'cat_2.heic' in log[0]


@pytest.mark.parametrize('here', [True, False])
def test_missing_and_empty_folders(tmp_path: Path, here: bool) -> None:
    folder = tmp_path / 'pets'
    if here:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match=f'{folder}: no {"picture in it" if here else "such folder"}'):
        build(folder)


def test_classes_in_one_split_only(tmp_path: Path) -> None:
    make(tmp_path / 'train', 'cat_1.png', 'dog_1.png', 'eel_1.png')
    make(tmp_path / 'val', 'cat_2.png', 'dog_2.png', 'emu_2.png', 'emu_3.png', 'holiday.png')
    with pytest.raises(FileNameLabelError) as error:
        build(tmp_path, data_prefix='train', compare_with='val')
    message = str(error.value)
    assert f"classes here only: 'eel' (1 files, {tmp_path / 'train/eel_1.png'})" in message
    assert f"classes in the other split only: 'emu' (2 files, {tmp_path / 'val/emu_2.png'})" in message
    (tmp_path / 'train/eel_1.png').unlink()
    make(tmp_path / 'train', 'emu_1.png')
    assert build(tmp_path, data_prefix='train', compare_with='val').metainfo['classes'] == ('cat', 'dog', 'emu')


def test_classes_outside_of_the_list(tmp_path: Path, log: list[str]) -> None:
    make(tmp_path, 'cat_1.png', 'dog_1.png', 'dgo_2.png')
    with pytest.raises(FileNameLabelError, match=r"does not have: 'dgo' \(.*dgo_2\.png\)"):
        build(tmp_path, classes=['cat', 'dog'])
    # one that the list has and the folder has not is allowed, and said
    assert build(tmp_path, classes=['cat', 'dgo', 'dog', 'emu']).get_gt_labels().tolist() == [0, 1, 2]
    assert log[-1].endswith('1 of 4 classes have no picture in this split: emu')


def test_classes_that_differ_in_letter_case_only(tmp_path: Path) -> None:
    files = {'cat': [Path('cat_1.png')], 'Cat': [Path('Cat_2.png')], 'dog': [Path('dog_1.png')]}
    (problem,) = class_problems(files, None, None)
    assert "'Cat' / 'cat'" in problem
    assert class_problems(files, ['Cat', 'cat', 'dog'], None) == []
    # across splits too
    assert len(class_problems({'cat': [Path('a')]}, None, {'Cat': [Path('b')]})) == 3
    assert class_problems({}, None, None) == class_problems({}, [], {}) == []


# ---- splits


def test_a_list_names_the_files_of_the_split(tmp_path: Path) -> None:
    make(tmp_path / 'all', 'cat_1.png', 'cat_2.png', 'sub/dog_1.png', 'holiday.png')
    (tmp_path / 'val.txt').write_text('sub/dog_1.png\n\ncat_2.png\n')
    dataset = build(tmp_path, data_prefix='all', ann_file='val.txt')
    assert names_of(dataset) == ['dog_1.png', 'cat_2.png']
    assert dataset.get_gt_labels().tolist() == [1, 0]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('cat_1.png\ncat_1.png\n', r'cat_1\.png more than once'),
        ('cat_7.png\n', r'cat_7\.png not there'),
        ('\n', 'is empty'),
    ],
)
def test_unusable_lists(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, 'cat_1.png')
    (tmp_path / 'val.lst').write_text(text)
    with pytest.raises(FileNameLabelError, match=message):
        build(tmp_path, ann_file='val.lst')
    with pytest.raises(FileNotFoundError, match=r'none\.lst: no such list'):
        build(tmp_path, ann_file='none.lst')


def test_shares_are_stratified_complementary_and_seeded() -> None:
    labels = ['cat'] * 50 + ['dog'] * 30 + ['eel'] * 7
    for seed in range(3):
        low, high = (take_share(labels, share, seed) for share in ((0, 0.8), (0.8, 1)))
        assert sorted(low + high) == list(range(len(labels)))
        assert [sum(labels[k] == name for k in low) for name in ('cat', 'dog', 'eel')] == [40, 24, 6]
        assert low == sorted(low) == take_share(labels, (0, 0.8), seed)
    assert take_share(labels, (0, 0.5), 0) != take_share(labels, (0, 0.5), 1)
    assert take_share(labels, (0, 1), 5) == list(range(len(labels)))
    # a class's files do not depend on the other classes
    alone = take_share(['dog'] * 30, (0, 0.8), 2)
    assert [k - 50 for k in take_share(labels, (0, 0.8), 2) if labels[k] == 'dog'] == alone
    assert take_share([], (0, 0.5), 0) == []


@pytest.mark.parametrize('share', [(0.8, 0.2), (0, 1.2), (-0.1, 1), (0.5, 0.5)])
def test_impossible_shares(share: tuple[float, float]) -> None:
    with pytest.raises(FileNameLabelError, match=r'give begin and end between 0 and 1'):
        take_share(['a'], share, 0)


def test_both_shares_of_a_folder_have_the_same_classes(tmp_path: Path) -> None:
    make(tmp_path, *(f'cat_{k}.png' for k in range(10)), *(f'dog_{k}.png' for k in range(10)), 'eel_1.png')
    train, val = (build(tmp_path, share=share, seed=3) for share in ((0, 0.8), (0.8, 1)))
    assert (len(train), len(val)) == (17, 4)
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('cat', 'dog', 'eel')
    assert not set(names_of(train)) & set(names_of(val))


# ---- the embedded pictures


def test_embedded_pets(root: Path) -> None:
    for part, other, count in (('train', 'val', 60), ('val', 'train', 20)):
        dataset = build(root / 'data/samples/pets', data_prefix=part, compare_with=other, pipeline=PACK)
        assert dataset.metainfo['classes'] == ('cat', 'dog')
        assert np.bincount(dataset.get_gt_labels()).tolist() == [count // 2, count // 2]
    test = build(root / 'data/samples/pets', data_prefix='test', labelled=False, pipeline=PACK)
    assert names_of(test) == [f'{k}.jpg' for k in range(1, 11)]
    with pytest.raises(FileNameLabelError, match='10 names do not match'):
        build(root / 'data/samples/pets', data_prefix='test')
