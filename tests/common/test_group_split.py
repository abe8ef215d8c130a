import itertools
import random

import pytest

from mmext.common.group_split import GroupSplitError, groups_of, split_groups


def sizes_of(parts):
    return [len(part) for part in parts]


@pytest.mark.parametrize(
    ('pattern', 'expected'),
    [
        (r'drive_\d+', ['drive_1', 'drive_1', 'drive_22']),
        (r'drive_(\d+)', ['1', '1', '22']),
        (r'drive_(?P<group>\d)\d*_(\d)', ['1', '1', '2']),
        (r'drive_(\d+)_(\d)', ['1|0', '1|1', '22|0']),
    ],
)
def test_the_match_names_the_group(pattern, expected):
    assert groups_of(['drive_1_0', 'drive_1_1', 'x/drive_22_0'], pattern) == expected


@pytest.mark.parametrize(
    ('pattern', 'message'),
    [
        ('(', r"--group-by '\(': .*; give a regular expression"),
        (r'^\d+', r'does not match cat_1 \(1 of 2 names\)'),
        (r'\d*', 'matches nothing but empty text in cat_1'),
    ],
)
def test_unsuitable_expressions_are_named(pattern, message):
    with pytest.raises(GroupSplitError, match=message):
        groups_of(['12_a', 'cat_1'], pattern)


def test_hand_worked_sizes():
    # Of 4, 3, 2 and 1 the halves are 4 + 1 and 3 + 2.
    groups = ['a'] * 4 + ['b'] * 3 + ['c'] * 2 + ['d']
    parts = split_groups(groups, [5, 5], seed=0)
    assert sizes_of(parts) == [5, 5]
    assert sorted(itertools.chain(*parts)) == list(range(10))


def test_no_group_is_torn_and_sizes_are_the_nearest_there_are():
    rng = random.Random(0)
    for seed in range(30):
        counts = [rng.randint(1, 6) for _ in range(rng.randint(2, 9))]
        groups = [index for index, count in enumerate(counts) for _ in range(count)]
        total = len(groups)
        # Nothing that is refused: the largest group fits into the larger part, the smallest into the other.
        wanted = rng.randint(max(*counts, total // 2), total - min(counts)) if len(counts) > 2 else max(counts)
        parts = split_groups(groups, [wanted, total - wanted], seed)
        owners = [{groups[index] for index in part} for part in parts]
        assert not owners[0] & owners[1]
        assert sorted(itertools.chain(*parts)) == list(range(total))
        assert all(parts)
        subsets = itertools.chain.from_iterable(itertools.combinations(counts, k) for k in range(1, len(counts)))
        best = min(abs(sum(subset) - wanted) for subset in subsets)
        assert abs(len(parts[0]) - wanted) == best


def test_without_groups_it_is_a_plain_draw():
    parts = split_groups(range(200), [0.6, 0.3, 0.1], seed=3)
    assert sizes_of(parts) == [120, 60, 20]
    assert parts != split_groups(range(200), [0.6, 0.3, 0.1], seed=4)


def test_order_of_the_names_does_not_matter():
    groups = [f'g{index % 17}' for index in range(100)]
    mixed = list(enumerate(groups))
    random.Random(1).shuffle(mixed)
    first = [{groups[index] for index in part} for part in split_groups(groups, [80, 20], seed=5)]
    second = [{mixed[index][1] for index in part} for part in split_groups([g for _, g in mixed], [80, 20], seed=5)]
    assert first == second


def test_a_huge_group_goes_where_there_is_room():
    parts = split_groups(['big'] * 60 + list(range(40)), [80, 20], seed=0)
    assert sizes_of(parts) == [80, 20]
    assert set(range(60)) <= set(parts[0])


@pytest.mark.parametrize(
    ('groups', 'sizes', 'message'),
    [
        (['a'] * 90 + ['b'] * 10, [60, 40], r"group 'a' has 90 of 100 names, more than the largest part, train, is to"),
        (['a'] * 9, [8, 1], r"1 groups \('a'\) cannot be divided into 2 parts \(train, val\)"),
        (
            ['a'] * 40 + ['b'] * 60,
            [80, 20],
            r"group 'a', the smallest, has 40 of 100 names, far more than val is to have \(20\)",
        ),
        ([1, 2, 3], [3, 0], 'val: size 0 is not positive'),
    ],
)
def test_impossible_splits_are_named(groups, sizes, message):
    with pytest.raises(GroupSplitError, match=message):
        split_groups(groups, sizes, 0, names=('train', 'val'))


@pytest.mark.parametrize('stratified', [False, True])
def test_as_many_groups_as_parts_leave_none_empty(stratified):
    labels = list('xyxyx') if stratified else None
    assert sizes_of(split_groups([1, 1, 1, 2, 3], [0.6, 0.2, 0.2], 0, labels)) == [3, 1, 1]


def test_labels_keep_their_shares():
    rng = random.Random(2)
    # Drives of 5 to 15 frames with one main class each; a plain draw is off by far more.
    groups, labels = [], []
    for drive in range(40):
        main = 'rare' if drive % 8 == 0 else 'common'
        for _ in range(rng.randint(5, 15)):
            groups.append(drive)
            labels.append(main if rng.random() < 0.9 else 'common')
    parts = split_groups(groups, [0.75, 0.25], 1, labels)
    assert not {groups[index] for index in parts[0]} & {groups[index] for index in parts[1]}
    assert len(parts[1]) / len(groups) == pytest.approx(0.25, abs=0.02)
    rare = [sum(labels[index] == 'rare' for index in part) for part in parts]
    assert rare[1] / sum(rare) == pytest.approx(0.25, abs=0.06)
    assert parts == split_groups(groups, [0.75, 0.25], 1, labels)


def test_labels_of_single_things_are_shared_exactly():
    labels = ['a'] * 80 + ['b'] * 20
    train, val = split_groups(range(100), [3, 1], 0, labels)
    assert (len(train), len(val)) == (75, 25)
    assert sum(labels[index] == 'b' for index in val) == 5
