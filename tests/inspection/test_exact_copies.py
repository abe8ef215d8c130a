import numpy as np

from mmext.inspection.exact_copies import exact_pairs, groups_of, is_one_color
from mmext.inspection.perceptual_hashes import Fingerprint


def pairs(names: str, files: str, pixels: str, splits: str, across: bool) -> list[tuple[int, int]]:
    """One letter a picture; a space is a digest that is missing."""
    prints = [Fingerprint(one.strip(), other.strip()) for one, other in zip(files, pixels, strict=True)]
    return list(exact_pairs(list(names), prints, list(splits), across))


def test_each_picture_is_in_a_pair_and_most_pairs_are_left_out():
    # Two copies in one split and three in another: 2 + 3 - 1 pairs, of the bytes and of the pixels.
    found = pairs('abcde', 'xxxxx', 'yyyyy', 'ttvvv', across=True)
    assert found == [(0, 2), (0, 3), (0, 4), (1, 2)] * 2
    assert pairs('abcde', 'xxxxx', 'yyyyy', 'ttvvv', across=False) == [(0, 1), (2, 3), (2, 4)] * 2


def test_what_is_missing_equals_nothing():
    assert pairs('abc', '   ', '   ', 'tvv', across=True) == []
    assert pairs('aab', '   ', '   ', 'tvv', across=True) == [(0, 1)]
    assert pairs('abc', 'xy ', 'zz ', 'tvv', across=True) == [(0, 1)]


def test_groups_have_a_smallest_size():
    assert list(groups_of(range(5), lambda i: 'abab '[i].strip())) == [[0, 2], [1, 3]]
    assert list(groups_of([4, 1], 'xxxxy'.__getitem__, smallest=1)) == [[4], [1]]


def test_one_colour_has_no_tint_that_changes():
    grey, color = np.full((32, 32), 7, np.uint8), np.full((8, 8, 2), -3, np.int16)
    assert is_one_color(Fingerprint(thumb=grey, color=color))
    tinted, dotted = color.copy(), grey.copy()
    tinted[0, 1, 1] = 5
    dotted[3, 3] = 8
    assert not is_one_color(Fingerprint(thumb=grey, color=tinted))
    assert not is_one_color(Fingerprint(thumb=dotted, color=color))
