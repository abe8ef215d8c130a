import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples.cifar100 import render
from mmext.inspection.leak_page import build_page, join_pair, spread_over_kinds
from mmext.inspection.leak_report import LeakReport, Pair
from mmext.inspection.leak_rules import compile_frames
from mmext.inspection.leaks import LeakError, choose_splits, find_leaks
from mmext.inspection.listing import Fault, Listing, Sample

PICTURES = runpy.run_path(str(Path(__file__).with_name('pictures.py')))
COPIES, make_photo = PICTURES['COPIES'], PICTURES['make_photo']


def in_memory(pictures, start: int = 0) -> list[Sample]:
    return [Sample(Path('batch'), index=start + i, pixels=np.asarray(picture)) for i, picture in enumerate(pictures)]


def on_disk(folder: Path, names, first_seed: int) -> list[Sample]:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        make_photo(first_seed + number).save(folder / name)
    return [Sample(folder / name) for name in names]


def kinds(report: LeakReport) -> list[str]:
    return [pair.kind for pair in report.pairs]


@pytest.fixture
def train(tmp_path) -> list[Sample]:
    return on_disk(tmp_path / 'train', [f'{number}.png' for number in range(10)], 0)


@pytest.fixture
def val(tmp_path) -> list[Sample]:
    return on_disk(tmp_path / 'val', [f'{number}.png' for number in range(6)], 100)


def test_clean_splits_have_no_pair(train, val):
    report = find_leaks({'train': train, 'val': val})
    assert (report.pairs, report.within, report.findings(), report.leaks) == ([], [], [], False)
    assert report.splits == {'train': 10, 'val': 6}
    assert report.to_leave_out() == []


@pytest.mark.parametrize('name', COPIES)
def test_planted_copies_are_found_alone(train, val, tmp_path, name):
    copy, kind = COPIES[name]
    planted = Sample(tmp_path / 'val' / 'planted.png')
    copy(make_photo(3)).save(planted.image, compress_level=1)
    report = find_leaks({'val': [*val, planted], 'train': train})
    assert kinds(report) == [kind]
    pair = report.pairs[0]
    assert (pair.first, pair.second) == (train[3].name, planted.name)
    assert (pair.first_split, pair.second_split, pair.level) == ('train', 'val', 'error')
    assert report.to_leave_out() == [train[3].name]


def test_a_file_copied_or_listed_twice(train, val, tmp_path):
    shutil.copy(train[0].image, tmp_path / 'val' / 'copy.png')
    report = find_leaks({'train': train, 'val': [*val, Sample(tmp_path / 'val' / 'copy.png'), train[1]]})
    assert kinds(report) == ['same-file', 'same-bytes']
    assert report.to_leave_out() == [train[0].name, train[1].name]


def test_copies_of_what_leaks_are_left_out_too(train, val, tmp_path):
    for name in ('a', 'b'):
        shutil.copy(train[5].image, tmp_path / 'train' / f'{name}.png')
    train = [*train, Sample(tmp_path / 'train' / 'a.png'), Sample(tmp_path / 'train' / 'b.png')]
    COPIES['compressed'][0](make_photo(5)).save(tmp_path / 'val' / 'x.png')
    report = find_leaks({'train': train, 'val': [*val, Sample(tmp_path / 'val' / 'x.png')]})
    assert kinds(report) == ['near-duplicate']
    assert report.to_leave_out() == [train[5].name, train[10].name, train[11].name]
    assert report.within_counts == {'train': 2}


def test_groups_of_copies_name_every_member_but_not_every_pair():
    same = [make_photo(0)] * 5
    report = find_leaks({'train': in_memory(same), 'val': in_memory(same, 5), 'test': in_memory(same, 10)})
    assert len(report.pairs) == 3 * (5 + 5 - 1)
    assert len(report.to_leave_out()) == 5


def test_pairs_within_a_split_are_a_note(train):
    twice = in_memory([make_photo(50), make_photo(50), COPIES['compressed'][0](make_photo(50))])
    report = find_leaks({'train': [*twice, train[0], train[0]]})
    assert not report.leaks
    assert report.within_counts == {'train': 2}
    assert [pair.kind for pair in report.within] == ['same-pixels', 'near-duplicate']
    assert report.repeated == {'train': [train[0].name]}
    assert {finding.level for finding in report.findings()} == {'note'}
    assert report.splits == {'train': 4}


def test_pictures_of_one_colour_are_a_warning():
    black, grey = (Image.new('RGB', (30, 30), (level,) * 3) for level in (0, 90))
    report = find_leaks({'train': in_memory([black, make_photo(1)]), 'val': in_memory([grey, black], 2)})
    assert [(pair.kind, pair.level, pair.second) for pair in report.pairs] == [('blank', 'warning', 'batch#3')]
    assert not report.leaks
    assert report.flat == 3


def test_unreadable_files_are_compared_byte_for_byte(tmp_path, train, val):
    for folder in ('train', 'val'):
        (tmp_path / folder / 'broken.png').write_bytes(b'no picture')
    broken = [Sample(tmp_path / folder / 'broken.png') for folder in ('train', 'val')]
    missing = Sample(tmp_path / 'missing.png')
    report = find_leaks({'train': [*train, broken[0], missing], 'val': [*val, broken[1]]})
    assert kinds(report) == ['same-bytes']
    assert set(report.unreadable) == {missing.name, *(sample.name for sample in broken)}
    assert [finding.kind for finding in report.findings()] == ['same-bytes', 'unreadable']


def make_video(folder: Path, numbers, step: float, name='drive_0001_{:06d}.png', seed: int = 7) -> list[Sample]:
    """A window that moves over a wide picture by so many pixels a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = make_photo(seed, (120, 4000), largest=100)
    samples = []
    for number in numbers:
        left = round(number * step)
        path = folder / name.format(number)
        wide.crop((left, 0, left + 200, 120)).save(path)
        samples.append(Sample(path))
    return samples


def test_neighbours_that_look_alike_are_errors(tmp_path):
    train = make_video(tmp_path / 'train', range(0, 40, 4), step=1.5)
    val = make_video(tmp_path / 'val', [17], step=1.5)
    report = find_leaks({'train': train, 'val': val})
    near = {pair.gap: pair.level for pair in report.pairs if pair.kind == 'neighbours'}
    assert near[1] == near[3] == 'error'
    assert set(near) == {1, 3, 5, 7, 9}
    assert train[4].name in report.to_leave_out()
    assert report.sequences == {'drive_0001_*': {'train': 10, 'val': 1}}


def test_neighbours_that_do_not_are_warnings(tmp_path):
    train, val = (make_video(tmp_path / split, numbers, 300) for split, numbers in (('train', [0, 2, 4]), ('val', [3])))
    report = find_leaks({'train': train, 'val': val})
    assert {(pair.kind, pair.level) for pair in report.pairs} == {('neighbours', 'warning')}
    assert sorted(pair.gap for pair in report.pairs) == [1, 1, 3]
    assert not report.leaks
    assert report.to_leave_out() == []


def test_kitti_scenes_by_rule_and_by_looks(tmp_path):
    train = make_video(tmp_path / 'train', [0, 1, 5], 300, '{:06d}_10.png')
    val = make_video(tmp_path / 'val', [2, 7], 300, '{:06d}_10.png')
    report = find_leaks({'train': train, 'val': val})
    assert [(pair.kind, pair.level, pair.gap) for pair in report.pairs] == [('neighbours', 'warning', 1)]
    # The tick after, of a scene that is in the training.
    train[0].image.with_name('000000_11.png').write_bytes(b'')
    alike = make_video(tmp_path / 'other', [0], 300, '{:06d}_11.png')[0].image
    shifted = Image.open(alike).transform((200, 120), Image.Transform.AFFINE, (1, 0, 3, 0, 1, 1))
    shifted.save(tmp_path / 'val' / '000000_11.png')
    report = find_leaks({'train': train, 'val': [*val, Sample(tmp_path / 'val' / '000000_11.png')]})
    assert [(pair.kind, pair.level, pair.gap) for pair in report.of_level('error')] == [('neighbours', 'error', 0)]


def test_own_names_of_frames(tmp_path):
    train = make_video(tmp_path / 'train', [0, 3], 1.5, 'k{:03d}.png')
    val = make_video(tmp_path / 'val', [1], 1.5, 'k{:03d}.png')
    splits = {'train': train, 'val': val}
    assert set(kinds(find_leaks(splits))) == {'near-duplicate'}
    assert set(kinds(find_leaks(splits, frames=compile_frames(r'k(?P<frame>\d+)')))) == {'neighbours'}


def test_the_same_voc_picture_under_two_ids(tmp_path):
    old = on_disk(tmp_path / 'VOC2007' / 'JPEGImages', ['000032.jpg', '000033.jpg'], 0)
    new = on_disk(tmp_path / 'VOC2012' / 'JPEGImages', ['2007_000032.jpg', '2008_000033.jpg'], 10)
    report = find_leaks({'train': old, 'test': new})
    assert [(pair.kind, pair.first, pair.second) for pair in report.pairs] == [('same-id', old[0].name, new[0].name)]


def test_distance_bounds_the_search(tmp_path):
    train = in_memory([make_photo(seed) for seed in range(8)])
    copies = in_memory([PICTURES['crop'](make_photo(seed), 0.95) for seed in range(8)], 8)
    found = [len(find_leaks({'train': train, 'val': copies}, distance=distance).pairs) for distance in (0, 16)]
    assert found[0] < found[1]
    assert found[1] >= 7


def test_too_many_pairs_are_cut_short(monkeypatch):
    monkeypatch.setattr('mmext.inspection.leaks.MAX_CANDIDATES', 30)
    frames = [make_photo(1, (60, 400), largest=60).crop((left, 0, left + 80, 60)) for left in range(30)]
    report = find_leaks({'train': in_memory(frames[::2]), 'val': in_memory(frames[1::2], 50)})
    assert report.distance < report.asked_distance
    assert report.leaks
    assert 'cut-short' in [finding.kind for finding in report.findings()]


def test_order_of_splits_and_samples_does_not_matter(train, val, tmp_path):
    COPIES['compressed'][0](make_photo(3)).save(tmp_path / 'val' / 'x.png')
    shutil.copy(train[0].image, tmp_path / 'val' / 'y.png')
    val = [*val, Sample(tmp_path / 'val' / 'x.png'), Sample(tmp_path / 'val' / 'y.png')]
    first = find_leaks({'train': train, 'val': val}, workers=1)
    second = find_leaks({'val': val[::-1], 'train': train[::-1]}, workers=3)
    assert first.pairs == second.pairs
    assert len(first.pairs) == 2


def test_500_small_pictures_with_planted_copies():
    pictures = [make_photo(seed, (32, 32)) for seed in range(500)]
    copies = [
        COPIES[name][0](pictures[seed]) for seed, name in enumerate(('compressed', 'cropped', 'mirrored', 'resaved'))
    ]
    report = find_leaks({'train': in_memory(pictures[:400]), 'test': in_memory([*pictures[400:], *copies], 400)})
    assert sorted(pair.first for pair in report.pairs) == [f'batch#{index}' for index in range(4)]
    assert sorted(pair.second for pair in report.pairs) == [f'batch#{index}' for index in range(500, 504)]


@pytest.mark.parametrize(
    ('patterns', 'by_name'),
    [
        (('kitti_seg/training/image_2/*.png', None), True),
        (('land_cover/train/*_sat.jpg', 'land_cover/validation/*_sat.jpg'), False),
        (('VOCdevkit/VOC2007/JPEGImages/*.jpg', 'VOCdevkit/VOC2012/JPEGImages/*.jpg'), False),
        (('pets/train/*.jpg', 'pets/val/*.jpg', 'pets/test/*.jpg'), False),
    ],
)
def test_the_samples_are_clean(root, patterns, by_name):
    folder = root / 'data' / 'samples'
    parts = [[Sample(path) for path in sorted(folder.glob(pattern))] for pattern in patterns if pattern]
    if len(parts) == 1:
        parts = [parts[0][::2], parts[0][1::2]]
    report = find_leaks(dict(zip(('train', 'val', 'test'), parts, strict=False)))
    assert min(report.splits.values()) >= 4
    assert not report.leaks
    assert report.within_counts == {}
    assert set(kinds(report)) == ({'neighbours'} if by_name else set())


def test_the_sample_of_cifar_is_clean():
    counts = {'train': 500, 'test': 200}
    train, test = ([render(0, split, index)[0] for index in range(count)] for split, count in counts.items())
    report = find_leaks({'train': in_memory(train), 'test': in_memory(test, 500)})
    assert (report.pairs, report.within) == ([], [])


@pytest.mark.parametrize(
    ('splits', 'settings', 'message'),
    [
        ({'train': []}, {}, 'no split has a picture'),
        ({'train': []}, {'distance': 65}, '--distance 65: a hash has 64 bits; give 0 to 64'),
    ],
)
def test_unsuitable_searches(splits, settings, message):
    with pytest.raises(LeakError, match=message):
        find_leaks(splits, **settings)


def test_splits_are_chosen():
    samples = in_memory([make_photo(0)])
    listing = Listing('segmentation', 'cfg.py', {'train': samples, 'val': samples})
    assert list(choose_splits(listing)) == ['train', 'val']
    assert list(choose_splits(listing, ['val'])) == ['val']
    with pytest.raises(LeakError, match=r'--splits test: cfg.py has the splits train, val'):
        choose_splits(listing, ['test'])
    with pytest.raises(LeakError, match='names val twice'):
        choose_splits(listing, ['val', 'val'])
    broken = replace(listing, faults=[Fault('unlistable', 'val', ['data/x'], ['no such list'])])
    with pytest.raises(LeakError, match='val: data/x cannot be listed: no such list'):
        choose_splits(broken)


def test_report_survives_json_and_page_escapes_names(tmp_path):
    folder = tmp_path / 'a<b>'
    train = on_disk(folder, ['x.png'], 0)
    val = [Sample(folder / '<script>.png')]
    shutil.copy(train[0].image, val[0].image)
    report = find_leaks({'train': train, 'val': val}, source='<cfg>')
    report.write(tmp_path / 'leaks.json')
    content = json.loads((tmp_path / 'leaks.json').read_text())
    assert content['leaks'] is True
    assert content['to_leave_out'] == [train[0].name]
    assert content['pairs'][0]['kind'] == 'same-bytes'
    source = build_page(report).render()
    assert '<script>.png' not in source
    assert source.count('<li class="error">') == 1
    train[0].image.unlink()
    assert source.count('data:image') == build_page(report).render().count('data:image') == 1


def test_pairs_shown_are_spread_over_the_kinds():
    def pairs(kind, count):
        return [Pair(kind, 'error', f'{kind}{i}', 'train', 'v', 'val', '') for i in range(count)]

    found = spread_over_kinds([*pairs('same-bytes', 100), *pairs('mirrored', 3), *pairs('near-duplicate', 100)], 13)
    assert [pair.kind for pair in found] == ['same-bytes'] * 5 + ['mirrored'] * 3 + ['near-duplicate'] * 5
    assert found[0].first == 'same-bytes0'
    assert spread_over_kinds([], 5) == []


@pytest.mark.parametrize(('size_hw', 'left_or_top'), [((60, 80), (120, 110)), ((40, 200), (60, 220))])
def test_wide_pictures_stand_above_each_other(size_hw, left_or_top):
    red, blue = (np.full((*size_hw, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    picture = np.asarray(join_pair(red, blue))
    y, x = left_or_top
    assert picture[y, x].tolist() == [255, 0, 0]
    assert picture[-y, -x].tolist() == [0, 0, 255]
    assert np.asarray(join_pair(None, None)).std() == 0
