"""Pictures that are the same by their names, bytes or pixels; no likeness is looked at."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np

from .perceptual_hashes import Fingerprint


def exact_pairs(
    names: Sequence[str], prints: Sequence[Fingerprint], splits: Sequence[str], across: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of the same name, bytes or pixels; a pair may come several times.

    Of a copies in one split and b in another a + b - 1 pairs: enough to name each of them.

    Args:
        names: Of the pictures, which have indices; those of an earlier split have smaller ones.
        prints: Of the same.
        splits: Of the same.
        across: Pairs of two splits; otherwise those within one.
    """
    for key in (
        lambda i: names[i],
        lambda i: prints[i].file_digest,
        lambda i: prints[i].pixel_digest,
    ):
        for group in groups_of(range(len(prints)), key):
            by_split = list(groups_of(group, lambda i: splits[i], smallest=1))
            if across:
                for place, members in enumerate(by_split):
                    for others in by_split[place + 1 :]:
                        yield from ((members[0], other) for other in others)
                        yield from ((member, others[0]) for member in members[1:])
            else:
                yield from ((members[0], other) for members in by_split for other in members[1:])


def groups_of(indices: Iterable[int], key: Callable[[int], Hashable], smallest: int = 2) -> Iterator[list[int]]:
    """Indices of the same key, which is not empty; only groups of some size."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index in indices:
        if value := key(index):
            groups[value].append(index)
    return (group for group in groups.values() if len(group) >= smallest)


def is_one_color(found: Fingerprint) -> bool:
    """Whether all pixels are the same, as far as the small copies of a fingerprint show it."""
    return int(np.ptp(found.thumb)) == 0 and int(np.abs(found.color - found.color[0, 0]).max()) == 0
