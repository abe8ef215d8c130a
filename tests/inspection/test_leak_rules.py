from pathlib import Path, PurePosixPath

import pytest

from mmext.inspection.leak_rules import (
    Frame,
    LeakRuleError,
    compile_frames,
    find_neighbours,
    known_frame,
    read_frames,
    same_voc_pictures,
    shared_sequences,
    voc_picture_id,
)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('img_dir/train/000012_10.png', ('img_dir', 12, 1)),
        ('train/aachen/aachen_000003_000019_leftImg8bit.png', ('aachen_000003', 19, 10)),
        ('0001TP_006690.png', ('0001TP', 6690, 10)),
        ('drive_0001/image_02/data/0000000012.png', ('drive_0001/image_02/data/*', 12, 10)),
        ('val/2011_09_26_drive_0001_sync_0000000012.png', ('2011_09_26_drive_0001_sync_*', 12, 10)),
        ('2011_drive_0001_sync_image_0000000012_image_02.png', ('2011_drive_0001_sync_image_*_image_02', 12, 10)),
        ('frame_7.jpg', ('frame_*', 7, 10)),
        ('train/Seq05/f00030.png', ('Seq05/f*', 30, 10)),
    ],
)  # fmt: skip
def test_names_of_frames(name, expected):
    frame = known_frame(PurePosixPath(name))
    assert (frame.sequence, frame.number, frame.window) == expected


@pytest.mark.parametrize(
    'name',
    [
        '000012.jpg',
        '2008_000008.jpg',
        'cat_1.jpg',
        'dog.12.jpg',
        '0003_sat.jpg',
        'screwdriver_1.png',
        'drive/cover.png',
    ],
)
def test_other_names_are_no_frames(name):
    assert known_frame(PurePosixPath(name)) is None


def test_what_all_paths_share_is_not_looked_at():
    assert read_frames([Path('/my/videos/pets/train/cat_1.jpg'), Path('/my/videos/pets/val/cat_2.jpg')]) == [None, None]
    assert read_frames([]) == []


def test_own_expression():
    pattern = compile_frames(r'(?P<sequence>[^/]+)-(?P<frame>\d+)')
    frames = read_frames([Path('/d/train/a-3.png'), Path('/d/val/a-4.png'), Path('/d/val/b.png')], pattern)
    assert frames == [Frame('a', 3), Frame('a', 4), None]


@pytest.mark.parametrize(
    ('pattern', 'message'), [('(', r'--frames .*: .*; give a regular'), (r'\d+', r'has no group \(\?P<frame>')]
)
def test_unsuitable_expressions(pattern, message):
    with pytest.raises(LeakRuleError, match=message):
        compile_frames(pattern)


def test_frames_must_be_numbers():
    with pytest.raises(LeakRuleError, match=r"takes 'a' of a.png for the frame, which is no number"):
        read_frames([Path('/d/a.png')], compile_frames('(?P<frame>.)'))


def neighbours(numbers, splits, **settings):
    frames = [Frame('s', number, **settings) for number in numbers]
    return sorted((found.first, found.second, found.gap) for found in find_neighbours(frames, splits))


def test_hand_worked_neighbours():
    # 0, 5 and 40 in train, 8 in val: 8 is near 0 and 5; 40 is far, but the next one there is.
    assert neighbours([0, 5, 40, 8], ['train', 'train', 'train', 'val']) == [(0, 3, 8), (1, 3, 3), (3, 2, 32)]
    assert neighbours([0, 5, 40, 8], ['train', 'train', 'train', 'val'], ordered=False) == [(0, 3, 8), (1, 3, 3)]
    # KITTI: scenes that follow each other, or two ticks of one.
    kitti = dict(window=1, ordered=False)
    assert neighbours([12, 13, 15, 12], ['train', 'val', 'val', 'val'], **kitti) == [(0, 1, 1), (0, 3, 0)]
    assert neighbours([1, 2], ['train', 'train']) == []


def test_sequences_do_not_mix():
    frames = [Frame('a', 1), Frame('b', 2), None]
    assert list(find_neighbours(frames, ['train', 'val', 'val'])) == []
    assert shared_sequences(frames, ['train', 'val', 'val']) == {}
    assert shared_sequences([Frame('a', 1), Frame('a', 900)], ['train', 'val']) == {'a': {'train': 1, 'val': 1}}


def test_voc_ids():
    paths = {
        0: Path('/d/VOCdevkit/VOC2007/JPEGImages/000032.jpg'),
        1: Path('/d/VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg'),
        2: Path('/d/VOCdevkit/VOC2012/JPEGImages/2008_000032.jpg'),
        3: Path('/d/other/000032.jpg'),
    }
    assert [voc_picture_id(path) for path in paths.values()] == ['2007_000032', '2007_000032', '2008_000032', None]
    assert list(same_voc_pictures(paths, ['train', 'test', 'test', 'test'])) == [(0, 1)]
    assert list(same_voc_pictures(paths, ['train'] * 4)) == []
