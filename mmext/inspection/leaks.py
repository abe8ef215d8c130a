"""Pictures that a split shares with another one, so that a score on the one is partly a score on what was trained.

Kinds of pairs, the strongest first; of two pictures only the strongest is reported:

- ``same-file`` (error): one file listed in two splits;
- ``same-bytes`` (error): files of the same SHA-256;
- ``same-pixels`` (error): other files of the same decoded pixels, such as a PNG that was saved anew;
- ``blank`` (warning): the same pixels, but all of one colour: nothing to learn from;
- ``same-id`` (error): the same VOC picture under two ids;
- ``neighbours``: frames next to each other in a video by their names. An error where the pictures are alike too. Where
  they are not, a warning: a split between the drives would be better, but nothing was seen twice;
- ``mirrored`` and ``near-duplicate`` (errors): a perceptual hash, and then structure, detail and colour agree.

Pairs within one split are a note: they weigh some pictures twice, but fool no score.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from .exact_copies import exact_pairs, groups_of, is_one_color
from .leak_report import MESSAGES, TRAIN, LeakReport, Pair
from .leak_rules import Frame, find_neighbours, read_frames, same_voc_pictures, shared_sequences
from .likeness import CELLS, SAME_PICTURE, SAME_SCENE, SIDE, SURE_PICTURE, Likeness
from .listing import Listing, Sample
from .passport import LEVELS, MAX_FILES
from .perceptual_hashes import DISTANCE, HASH_BITS, Candidates, Fingerprint, find_candidates, take_fingerprints

SPLIT_ORDER = ('train', 'val', 'test')
# Copies that were not cut differ in fewer bits; beyond, chance is so frequent that pictures must agree better.
SURE_ABOVE = 8
# Of more pairs the closest are compared: half a million take some minutes.
MAX_CANDIDATES = 500_000

Progress = Callable[[Iterable[Fingerprint], int], Iterable[Fingerprint]]


class LeakError(ValueError):
    """A search cannot be started; the message names the reason and the fix."""


def find_leaks(
    splits: Mapping[str, Sequence[Sample]],
    distance: int = DISTANCE,
    workers: int = 2,
    frames: re.Pattern | None = None,
    source: str = '',
    progress: Progress = lambda prints, total: prints,
) -> LeakReport:
    """Compare all pictures of all splits with each other.

    Args:
        splits: Split -> samples; one split is searched for duplicates only.
        distance: Largest distance, in bits, of two perceptual hashes that are looked at any closer, 0..64.
        workers: Threads that read files.
        frames: Expression for names of frames, in place of the known kinds; see `read_frames`.
        source: Where they come from, for the report.
        progress: Wraps the reading, such as a progress bar.

    Raises:
        LeakError: No picture at all, or ``distance`` out of range.
        LeakRuleError: See `read_frames`.
    """
    if not 0 <= distance <= HASH_BITS:
        raise LeakError(f'--distance {distance}: a hash has {HASH_BITS} bits; give 0 to {HASH_BITS}')
    if not any(splits.values()):
        raise LeakError(f'{source or "the data set"}: no split has a picture; correct data_root or the lists')
    return _Search(splits, frames, source).run(distance, workers, progress)


def choose_splits(listing: Listing, names: Sequence[str] | None = None) -> dict[str, list[Sample]]:
    """The splits of a listing that are to be compared.

    Args:
        listing: All splits.
        names: Those to compare; None for all.

    Raises:
        LeakError: An unknown split, one named twice, or one that cannot be listed.
    """
    names = list(listing.splits) if names is None else list(names)
    for name in names:
        if name not in listing.splits:
            there = ', '.join(listing.splits)
            raise LeakError(
                f'--splits {name}: {listing.source} has the splits {there}; a test split that is the validation split '
                f'counts once'
            )
        if names.count(name) > 1:
            raise LeakError(f'--splits: names {name} twice; name each split once')
    for fault in listing.faults:
        if fault.kind == 'unlistable' and fault.split in names:
            raise LeakError(f'{fault.split}: {fault.files[0]} cannot be listed: {fault.details[0]}')
    return {name: listing.splits[name] for name in names}


class _Search:
    """One search. Pictures have indices; those of an earlier split have smaller ones."""

    def __init__(self, splits: Mapping[str, Sequence[Sample]], frames: re.Pattern | None, source: str) -> None:
        order = [split for split in SPLIT_ORDER if split in splits]
        order += [split for split in splits if split not in order]
        self.samples: list[Sample] = []
        self.splits: list[str] = []
        repeated: dict[str, list[str]] = {}
        for split in order:
            seen: dict[str, Sample] = {}
            for sample in splits[split]:
                if sample.name in seen:
                    repeated.setdefault(split, []).append(sample.name)
                seen.setdefault(sample.name, sample)
            self.samples += seen.values()
            self.splits += [split] * len(seen)
        self.names = [sample.name for sample in self.samples]
        self.groups = np.array([order.index(split) for split in self.splits])
        self.files = {index: sample.image for index, sample in enumerate(self.samples) if sample.index is None}
        # Before anything is read: an unsuitable expression is an error.
        self.frames: list[Frame | None] = [None] * len(self.samples)
        for index, frame in zip(self.files, read_frames(list(self.files.values()), frames), strict=True):
            self.frames[index] = frame
        self.prints: list[Fingerprint] = []
        self.found: dict[tuple[int, int], Pair] = {}
        self.report = LeakReport(
            source, {split: self.splits.count(split) for split in order}, repeated=repeated, train=self._train_names()
        )

    def run(self, distance: int, workers: int, progress: Progress) -> LeakReport:
        self._read(workers, progress)
        for index, other in exact_pairs(self.names, self.prints, self.splits, across=True):
            self._add_exact(index, other)
        for index, other in same_voc_pictures(self.files, self.splits):
            self._add(index, other, 'same-id', 'error', 'the ids name one picture')
        self._add_neighbours()
        report = self.report
        report.distance = report.asked_distance = distance
        for candidates, structure, detail in self._alike(self.distinct, self.groups, distance):
            self._add_alike(candidates, structure, detail)
        report.pairs = self._sorted(self.found.values())
        self.found = {}
        self._find_within(distance)
        report.sequences = shared_sequences(self.frames, self.splits)
        report.flat = int(self.likeness.flat[self.readable].sum())
        shown = {name for pair in (*report.pairs, *report.within) for name in (pair.first, pair.second)}
        report.samples = {name: sample for name, sample in zip(self.names, self.samples, strict=True) if name in shown}
        report.copies = self._copies()
        return report

    def _read(self, workers: int, progress: Progress) -> None:
        """Fingerprints of all pictures; a file in two splits is read once."""
        unique = dict(zip(self.names, self.samples, strict=True))
        prints = progress(take_fingerprints(list(unique.values()), workers), len(unique))
        by_name = dict(zip(unique, prints, strict=True))
        self.prints = [by_name[name] for name in self.names]
        self.report.unreadable = {name: found.error for name, found in by_name.items() if found.error}

    @cached_property
    def readable(self) -> np.ndarray:
        """Indices of the pictures that could be read."""
        return np.array([index for index, found in enumerate(self.prints) if not found.error], dtype=np.int64)

    @cached_property
    def likeness(self) -> Likeness:
        """Of all pictures; those that could not be read are blank."""
        thumbs = np.zeros((len(self.prints), SIDE, SIDE), np.uint8)
        colors = np.zeros((len(self.prints), CELLS, CELLS, 2), np.int16)
        for index in self.readable:
            thumbs[index], colors[index] = self.prints[index].thumb, self.prints[index].color
        return Likeness(thumbs, colors)

    @cached_property
    def distinct(self) -> np.ndarray:
        """Pictures that show something, one of those of the same pixels in a split."""
        first = {(self.splits[i], self.prints[i].pixel_digest): i for i in reversed(self.readable.tolist())}
        return np.array(sorted(i for i in first.values() if not self.likeness.flat[i]), dtype=np.int64)

    def _add_exact(self, index: int, other: int) -> None:
        first, second = self.prints[index], self.prints[other]
        if self.names[index] == self.names[other]:
            self._add(index, other, 'same-file', 'error', 'one file in two lists')
        elif first.thumb is not None and first.pixel_digest == second.pixel_digest and is_one_color(first):
            self._add(index, other, 'blank', 'warning', 'one colour, the same in both')
        elif first.file_digest and first.file_digest == second.file_digest:
            self._add(index, other, 'same-bytes', 'error', f'SHA-256 {first.file_digest[:12]}...')
        else:
            self._add(index, other, 'same-pixels', 'error', 'the same pixels when decoded')

    def _add_neighbours(self) -> None:
        pairs = [
            (*sorted((found.first, found.second)), found.gap) for found in find_neighbours(self.frames, self.splits)
        ]
        pairs = [pair for pair in pairs if pair[:2] not in self.found]
        if not pairs:
            return
        first, second, gaps = np.array(sorted(pairs)).T
        structure, detail = self.likeness.compare(first, second, np.zeros(len(first), bool), SAME_SCENE)
        for pair in zip(first.tolist(), second.tolist(), gaps.tolist(), structure, detail, strict=True):
            index, other, gap, *scores = pair
            alike = SAME_SCENE.reached(*scores)
            reason = f'{_apart(gap)}, {"alike" if alike else "not alike"}'
            scores = dict(structure=_rounded(scores[0]), detail=_rounded(scores[1]), gap=gap)
            self._add(index, other, 'neighbours', 'error' if alike else 'warning', reason, **scores)

    def _alike(
        self, members: np.ndarray, groups: np.ndarray | None, distance: int
    ) -> Iterator[tuple[Candidates, np.ndarray, np.ndarray]]:
        """Candidates with structure and detail; indices are those of all pictures."""
        hashes = np.array([self.prints[index].phash for index in members], dtype=np.uint64)
        mirrored = np.array([self.prints[index].mirrored_phash for index in members], dtype=np.uint64)
        groups = None if groups is None else groups[members]
        found = find_candidates(hashes, mirrored, groups, distance, MAX_CANDIDATES)
        self.report.distance = min(self.report.distance, found.bound)
        found = Candidates(members[found.first], members[found.second], found.distance, found.mirrored, found.bound)
        yield found, *self.likeness.compare(found.first, found.second, found.mirrored, SURE_PICTURE)

    def _add_alike(self, found: Candidates, structure: np.ndarray, detail: np.ndarray, level: str = 'error') -> None:
        sure = SURE_PICTURE.reached(structure, detail)
        kept = sure | (SAME_PICTURE.reached(structure, detail) & (found.distance <= SURE_ABOVE))
        for pair in np.flatnonzero(kept):
            kind = 'mirrored' if found.mirrored[pair] else 'near-duplicate'
            scores = dict(
                distance=int(found.distance[pair]), structure=_rounded(structure[pair]), detail=_rounded(detail[pair])
            )
            reason = f'{scores["distance"]} of {HASH_BITS} bits differ'
            self._add(int(found.first[pair]), int(found.second[pair]), kind, level, reason, **scores)

    def _find_within(self, distance: int) -> None:
        for index, other in exact_pairs(self.names, self.prints, self.splits, across=False):
            same = self.prints[index].file_digest and self.prints[index].file_digest == self.prints[other].file_digest
            kind = 'same-bytes' if same else 'same-pixels'
            self._add(index, other, kind, 'note', 'twice in this split')
        for group in range(len(self.report.splits)):
            members = self.distinct[self.groups[self.distinct] == group]
            for candidates, structure, detail in self._alike(members, None, distance):
                self._add_alike(candidates, structure, detail, 'note')
        for pair in self.found.values():
            self.report.within_counts[pair.first_split] = self.report.within_counts.get(pair.first_split, 0) + 1
        self.report.within = self._sorted(self.found.values())[:MAX_FILES]

    def _add(self, index: int, other: int, kind: str, level: str, reason: str, **scores) -> None:
        """Keep a pair unless a stronger kind was found before."""
        index, other = sorted((index, other))
        names = (self.names[index], self.splits[index], self.names[other], self.splits[other])
        self.found.setdefault((index, other), Pair(kind, level, *names, reason, **scores))

    def _sorted(self, pairs: Iterable[Pair]) -> list[Pair]:
        kinds = list(MESSAGES)
        return sorted(
            pairs,
            key=lambda pair: (
                LEVELS.index(pair.level),
                kinds.index(pair.kind),
                pair.gap or 0,
                pair.distance or 0,
                -(pair.structure or 0),
            ),
        )

    def _train_names(self) -> list[str]:
        return [name for name, split in zip(self.names, self.splits, strict=True) if split == TRAIN]

    def _copies(self) -> dict[str, list[str]]:
        train = [index for index in self.readable.tolist() if self.splits[index] == TRAIN]
        copies = {}
        for group in groups_of(train, lambda index: self.prints[index].pixel_digest):
            names = [self.names[index] for index in group]
            copies.update(dict.fromkeys(names, names))
        return copies


def _apart(gap: int) -> str:
    return 'the same frame number' if gap == 0 else f'{gap} frame{"s" if gap > 1 else ""} apart'


def _rounded(value: float) -> float:
    return round(float(value), 3)
