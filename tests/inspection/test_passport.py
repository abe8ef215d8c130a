"""A passport survives JSON, and other files are refused by name."""

import json
from pathlib import Path

import pytest

from mmext.inspection.passport import BOX_SIDE_EDGES, Finding, Passport, PassportError, SplitSummary, sorted_findings


def example() -> Passport:
    return Passport(
        'segmentation',
        'data/x',
        {'train': SplitSummary(samples=3, class_pixels=[1, 2], modes={'RGB 8-bit': 3})},
        [Finding('error', 'truncated', 'm', 'f', ['a.png'], 1, ['cut'], 'r', 'train'), Finding('note', 'n', 'm', 'f')],
        'abc',
        ['road', 'car'],
        [[1, 2, 3], [4, 5, 6]],
        {'encoding': 'label_ids', 'counts': {'7': 5}},
        {'a.png': 'b.png'},
    )


def test_round_trip(tmp_path: Path) -> None:
    passport = example()
    passport.write(tmp_path / 'deep' / 'passport.json')
    assert Passport.read(tmp_path / 'deep' / 'passport.json') == passport
    assert Passport.from_json(json.loads(json.dumps(passport.to_json()))) == passport
    assert not passport.ok
    assert [found.kind for found in passport.of_level('error')] == ['truncated']
    assert Passport('detection', 'x').ok


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no passport'),
        ('{', 'no passport'),
        ('[]', 'format list'),
        ('{"format": 99}', 'format 99'),
        ('{"format": 1}', 'not a passport'),
        ('{"format": 1, "splits": {"train": {"colour": 3}}}', 'not a passport'),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'p.json'
    path.write_text(text)
    with pytest.raises(PassportError, match=message) as caught:
        Passport.read(path)
    assert str(path) in str(caught.value)
    assert 'tools/inspect_data.py' in str(caught.value)


def test_order_of_findings() -> None:
    made = [
        Finding(level, kind, '', '', count=count)
        for level, kind, count in (
            ('note', 'a', 9),
            ('warning', 'b', 1),
            ('error', 'c', 1),
            ('error', 'd', 5),
            ('warning', 'a', 1),
        )
    ]
    assert [found.kind for found in sorted_findings(made)] == ['d', 'c', 'a', 'b', 'a']


def test_edges_of_box_sides_rise() -> None:
    assert list(BOX_SIDE_EDGES) == sorted(set(BOX_SIDE_EDGES))
