"""Splits in which things that belong together - frames of a drive, pictures of an animal - stay in one part."""

import random
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import permutations

import numpy as np

# A part may become so many times as large as it is to be, where no group is smaller.
TOO_LARGE = 1.5
# Moves and exchanges after the first draw of a stratified split; it has settled long before.
MAX_STEPS = 500
# Groups of each of two parts of which all pairs are tried for an exchange.
MAX_TRIED = 60


class GroupSplitError(ValueError):
    """Groups that cannot be formed or split; the message names the value and the fix."""


def groups_of(names: Sequence[str], pattern: str, option: str = '--group-by') -> list[str]:
    """The group of each name: what the regular expression finds in it.

    The first match counts, anywhere in the name: its group called ``group`` if there is one, else all its groups
    together, else all of it.

    Args:
        names: File names without folder, or other ids.
        pattern: Such as ``'drive_\\d+'`` or ``'^(\\d{4})'``.
        option: What messages call the pattern.

    Raises:
        GroupSplitError: No regular expression, a name that it does not match, or an empty match.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise GroupSplitError(f"{option} {pattern!r}: {error}; give a regular expression such as '^[^_]+'") from error
    found = [compiled.search(name) for name in names]
    if missing := [name for name, match in zip(names, found, strict=True) if not match]:
        raise GroupSplitError(
            f'{option} {pattern!r}: does not match {missing[0]} ({len(missing)} of {len(names)} names); '
            f'every name needs a group, change the expression'
        )
    groups = [_text_of(match) for match in found]
    if '' in groups:
        name = names[groups.index('')]
        raise GroupSplitError(f'{option} {pattern!r}: matches nothing but empty text in {name}; change the expression')
    return groups


def split_groups(
    groups: Sequence[Hashable],
    sizes: Sequence[float],
    seed: int,
    labels: Sequence[Hashable] | None = None,
    names: Sequence[str] | None = None,
) -> list[list[int]]:
    """Divide things into parts so that no group is in two.

    Without labels, each part but the largest in turn gets the groups whose total is nearest to its size (an exact
    solution of the subset sum, among groups in random order); the largest one gets the rest. With labels, the shares of
    every label in every part, and the sizes, are brought as near to the wanted ones as moves of groups and exchanges of
    two groups can; that finds a good solution, not always the best.

    Args:
        groups: Group of each thing.
        sizes: Wanted size of each part, as numbers or as shares: only their ratios count.
        seed: The same seed, things and sizes give the same parts, in whatever order the things come.
        labels: Class of each thing.
        names: For messages, of the parts.

    Returns:
        Indices of each part, ascending. No part is empty.

    Raises:
        GroupSplitError: A size that is not positive, fewer groups than parts, a group larger than the largest part, or
            no group that is small enough for the smallest part.
    """
    names = list(names or (f'part {index}' for index in range(len(sizes))))
    members = _members(groups)
    wanted = _wanted_sizes(sizes, len(groups), names)
    _check_groups(members, wanted, names)
    order = sorted(members, key=lambda group: (str(type(group)), str(group)))
    random.Random(seed).shuffle(order)
    if labels is None:
        parts = _by_size({group: len(members[group]) for group in order}, wanted)
    else:
        counts = {group: Counter(labels[index] for index in members[group]) for group in order}
        parts = _by_labels(counts, wanted, np.random.default_rng(seed))
    return [sorted(index for group in part for index in members[group]) for part in parts]


def _text_of(match: re.Match) -> str:
    if 'group' in match.re.groupindex:
        return match['group'] or ''
    return '|'.join(text or '' for text in match.groups()).strip('|') if match.re.groups else match[0]


def _members(groups: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return members


def _wanted_sizes(sizes: Sequence[float], total: int, names: Sequence[str]) -> list[float]:
    for size, name in zip(sizes, names, strict=True):
        if not size > 0:
            raise GroupSplitError(f'{name}: size {size} is not positive; every part needs at least one group')
    return [size * total / sum(sizes) for size in sizes]


def _check_groups(members: dict[Hashable, list[int]], wanted: Sequence[float], names: Sequence[str]) -> None:
    total = sum(map(len, members.values()))
    if len(members) < len(wanted):
        shown = ', '.join(map(repr, list(members)[:3]))
        raise GroupSplitError(
            f'{len(members)} groups ({shown}) cannot be divided into {len(wanted)} parts ({", ".join(names)}); '
            f'an expression that tells more groups apart is needed'
        )
    largest = max(members, key=lambda group: len(members[group]))
    room, name = max(zip(wanted, names, strict=True))
    if len(members[largest]) > room + 0.5:
        raise GroupSplitError(
            f'group {largest!r} has {len(members[largest])} of {total} names, more than the largest part, {name}, '
            f'is to have ({room:.0f}); ask for other sizes, or for smaller groups'
        )
    smallest = min(members, key=lambda group: len(members[group]))
    room, name = min(zip(wanted, names, strict=True))
    if len(members[smallest]) > TOO_LARGE * room:
        raise GroupSplitError(
            f'group {smallest!r}, the smallest, has {len(members[smallest])} of {total} names, far more than {name} is '
            f'to have ({room:.0f}); ask for other sizes, or for smaller groups'
        )


def _by_size(counts: dict[Hashable, int], wanted: Sequence[float]) -> list[list[Hashable]]:
    """Groups of each part, totals as near as possible to what is wanted."""
    parts: list[list[Hashable]] = [[] for _ in wanted]
    left = list(counts)
    by_size = sorted(range(len(wanted)), key=lambda part: wanted[part])
    for place, part in enumerate(by_size[:-1]):
        # One group must remain for each part to come.
        to_come = len(wanted) - place - 1
        parts[part] = _nearest_subset(left, counts, wanted[part], len(left) - to_come)
        taken = set(parts[part])
        left = [group for group in left if group not in taken]
    parts[by_size[-1]] = left
    return parts


def _nearest_subset(
    groups: Sequence[Hashable], counts: dict[Hashable, int], target: float, most: int
) -> list[Hashable]:
    """Of at least one and at most so many groups those whose sizes add up to the number nearest to ``target``.

    ``reached[k]`` has bit s set if some of the first k groups have the total s.
    """
    reached = [1]
    for group in groups:
        reached.append(reached[-1] | reached[-1] << counts[group])
    total = sum(counts[group] for group in groups)
    by_nearness = sorted(range(1, total + 1), key=lambda size: abs(size - target))
    choices = (_trace(groups, counts, reached, size) for size in by_nearness if reached[-1] >> size & 1)
    # The size of the smallest group is always among them, and is that group alone.
    return next(chosen for chosen in choices if len(chosen) <= most)


def _trace(
    groups: Sequence[Hashable], counts: dict[Hashable, int], reached: Sequence[int], size: int
) -> list[Hashable]:
    """Groups with this total, found from the last one back."""
    chosen = []
    for place in range(len(groups) - 1, -1, -1):
        # Without this group if that goes; so the first ones, in random order, are preferred.
        if reached[place] >> size & 1:
            continue
        chosen.append(groups[place])
        size -= counts[groups[place]]
    return chosen


def _by_labels(
    counts: Mapping[Hashable, Counter], wanted: Sequence[float], rng: np.random.Generator
) -> list[list[Hashable]]:
    """Groups of each part, labels and sizes near to what is wanted."""
    groups = list(counts)
    labels = sorted({label for found in counts.values() for label in found}, key=str)
    # The last column is the size of the group; it weighs as much as all labels together.
    table = np.array([[*(counts[group][label] for label in labels), counts[group].total()] for group in groups], float)
    shares = np.array(wanted) / sum(wanted)
    goal = shares[:, None] * table.sum(axis=0)
    weight = np.append(np.ones(len(labels)), len(labels)) / goal

    part_of = _deal(table, goal, weight)
    for _ in range(MAX_STEPS):
        if not _improve(table, goal, weight, part_of, rng):
            break
    return [[group for group, own in zip(groups, part_of, strict=True) if own == part] for part in range(len(wanted))]


def _deal(table: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Part of each group: the large groups first, each to the part that needs it most; no part stays empty."""
    part_of = np.full(len(table), -1)
    filled = np.zeros_like(goal)
    for place, group in enumerate(np.argsort(-table[:, -1], kind='stable')):
        now, then = (_cost(values, goal, weight) for values in (filled, filled + table[group]))
        empty = ~np.isin(np.arange(len(goal)), part_of)
        allowed = empty if len(table) - place <= empty.sum() else np.ones_like(empty)
        part = int(np.argmin(np.where(allowed, then - now, np.inf)))
        part_of[group] = part
        filled[part] += table[group]
    return part_of


def _improve(
    table: np.ndarray, goal: np.ndarray, weight: np.ndarray, part_of: np.ndarray, rng: np.random.Generator
) -> bool:
    """Make the best move of a group or exchange of two; False if none makes the parts better."""
    filled = np.stack([table[part_of == part].sum(axis=0) for part in range(len(goal))])
    costs = _cost(filled, goal, weight)
    # Change of the cost, the group that leaves its part, the one that comes back (-1: none), and the other part.
    best: tuple[float, int, int, int] = (-1e-9, -1, -1, -1)
    for source, target in permutations(range(len(goal)), 2):
        own, others = np.flatnonzero(part_of == source), np.flatnonzero(part_of == target)
        own, others = (
            rng.choice(found, MAX_TRIED, replace=False) if len(found) > MAX_TRIED else found for found in (own, others)
        )
        # "No group" comes back for it in a move, which may not empty the source.
        back = np.concatenate([np.zeros((1, table.shape[1])), table[others]])
        flow = table[own][:, None] - back[None]
        change = _cost(filled[source] - flow, goal[source], weight[source]) - costs[source]
        change = change + _cost(filled[target] + flow, goal[target], weight[target]) - costs[target]
        if (part_of == source).sum() == 1:
            change[:, 0] = np.inf
        given, taken = np.unravel_index(np.argmin(change), change.shape)
        if change[given, taken] < best[0]:
            best = (float(change[given, taken]), int(own[given]), int(others[taken - 1]) if taken else -1, target)
    _, given, taken, target = best
    if given < 0:
        return False
    source = part_of[given]
    part_of[given] = target
    if taken >= 0:
        part_of[taken] = source
    return True


def _cost(filled: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (weight * (filled - goal) ** 2).sum(axis=-1)
