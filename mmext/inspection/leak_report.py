"""What a search for leaks found: pairs of pictures, findings about them, and what to leave out of the training."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mmext
from mmext.common.files import write_json
from mmext.common.wording import counted

from .listing import Sample
from .passport import MAX_FILES, Finding, Level, sorted_findings

FORMAT = 1
TRAIN = 'train'
# Kind -> what it says about pictures of two splits, the strongest first.
MESSAGES = {
    'same-file': 'files listed in two splits',
    'same-bytes': 'files that lie in another split too, byte for byte',
    'same-pixels': 'pictures that are in another split too, saved anew with the same pixels',
    'blank': 'pictures of a single colour in two splits',
    'same-id': 'pictures that are in another split under another id, by the numbering of the data set',
    'neighbours': 'frames with a neighbour in another split',
    'mirrored': 'pictures that are in another split mirrored',
    'near-duplicate': 'pictures that show nearly the same as one of another split',
}
LEAVE_OUT = 'leave the pictures out of the training (--exclude-list writes them), or split anew'
DRAW_BY_GROUPS = 'split by drives or scenes, so that neighbours stay together (--group-by of the prepare tools)'


@dataclass(frozen=True)
class Pair:
    """Two pictures of two splits, or of one.

    Attributes:
        kind: A key of `MESSAGES`.
        level: ``'error'``, ``'warning'``, or ``'note'`` for two pictures of one split.
        first: Name of the sample; of the split that comes first (train, val, test).
        first_split: Its split.
        second: Name of the other sample.
        second_split: Its split.
        reason: Why they are a pair, in words.
        distance: Bits in which the perceptual hashes differ, 0..64; None where they were not compared.
        structure: -1..1; see `mmext.inspection.likeness`.
        detail: -1..1.
        gap: Difference of the frames' numbers.
    """

    kind: str
    level: Level
    first: str
    first_split: str
    second: str
    second_split: str
    reason: str
    distance: int | None = None
    structure: float | None = None
    detail: float | None = None
    gap: int | None = None


@dataclass
class LeakReport:
    """All that was found.

    Attributes:
        source: The config or folder, as given.
        splits: Split -> pictures that were compared, each file once.
        pairs: Pictures in two splits: errors first, then by kind.
        within: Pictures of one split that are the same, at most `MAX_FILES`.
        within_counts: Split -> number of such pairs.
        repeated: Split -> files that it lists more than once.
        unreadable: Name -> why.
        flat: Pictures that show too little to be compared by more than their pixels.
        sequences: Videos with frames in several splits -> split -> frames.
        distance: Largest distance of two hashes that were compared; smaller than asked for where there were too many.
        asked_distance: The one that was asked for.
        samples: Name -> sample, of all pictures in a pair.
        copies: Name -> training pictures of the same pixels.
        train: Names of the training pictures, in their order.
    """

    source: str
    splits: dict[str, int]
    pairs: list[Pair] = field(default_factory=list)
    within: list[Pair] = field(default_factory=list)
    within_counts: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    flat: int = 0
    sequences: dict[str, dict[str, int]] = field(default_factory=dict)
    distance: int = 0
    asked_distance: int = 0
    samples: dict[str, Sample] = field(default_factory=dict, repr=False)
    copies: dict[str, list[str]] = field(default_factory=dict, repr=False)
    train: list[str] = field(default_factory=list, repr=False)

    def of_level(self, level: Level) -> list[Pair]:
        """Pairs of two splits."""
        return [pair for pair in self.pairs if pair.level == level]

    @property
    def leaks(self) -> bool:
        """Whether any pair is an error."""
        return any(pair.level == 'error' for pair in self.pairs)

    def to_leave_out(self) -> list[str]:
        """Training pictures to leave out so that no error between the training and another split is left.

        Copies of such a picture go too. Pairs of validation and test cannot be cured here.
        """
        leaked = {pair.first for pair in self.of_level('error') if pair.first_split == TRAIN}
        leaked |= {copy for name in leaked for copy in self.copies.get(name, ())}
        return [name for name in self.train if name in leaked]

    def findings(self) -> list[Finding]:
        """Errors, warnings and notes, one for each kind."""
        return sorted_findings(self._findings())

    def _findings(self) -> Iterator[Finding]:
        for (level, kind), count in Counter((pair.level, pair.kind) for pair in self.pairs).items():
            pairs = [pair for pair in self.pairs if (pair.level, pair.kind) == (level, kind)]
            fix = LEAVE_OUT if level == 'error' else DRAW_BY_GROUPS
            if kind == 'blank':
                fix = 'look whether such pictures belong into the data set'
            what = MESSAGES[kind]
            if kind == 'neighbours':
                what += ' that looks alike' if level == 'error' else ', by the name alone: they do not look alike'
            message = f'{what}: {len({pair.first for pair in pairs})} ({counted(count, "pair")})'
            yield _finding(level, kind, message, fix, pairs)
        for split, count in self.within_counts.items():
            pairs = [pair for pair in self.within if pair.first_split == split]
            message = f'pairs of pictures of {split} that are the same or nearly the same: {count}'
            yield _finding('note', 'duplicates', message, 'no score is wrong for it; keep one of each', pairs, count)
        yield from self._notes()

    def _notes(self) -> Iterator[Finding]:
        for split, names in self.repeated.items():
            message = f'files that {split} lists more than once: {len(names)}'
            yield Finding('note', 'repeated', message, 'list each once', names[:MAX_FILES], len(names), split=split)
        if self.unreadable:
            names, reasons = list(self.unreadable)[:MAX_FILES], list(self.unreadable.values())[:MAX_FILES]
            message = f'pictures that cannot be read, compared byte for byte at most: {len(self.unreadable)}'
            fix = 'replace them; tools/inspect_data.py says more'
            yield Finding('warning', 'unreadable', message, fix, names, len(self.unreadable), reasons)
        if self.sequences:
            details = [
                ', '.join(f'{count} in {split}' for split, count in found.items()) for found in self.sequences.values()
            ]
            message = f'videos with frames in more than one split: {len(self.sequences)}'
            names = list(self.sequences)[:MAX_FILES]
            yield Finding('note', 'shared-video', message, DRAW_BY_GROUPS, names, len(self.sequences), details)
        if self.flat:
            message = f'pictures too plain (sky, night, blank) to compare more than their pixels: {self.flat}'
            yield Finding('note', 'flat', message, 'nothing to do', count=self.flat)
        if self.distance < self.asked_distance:
            message = (
                f'too many pictures are alike: hashes that differ by more than {self.distance} bits were passed over'
            )
            yield Finding('note', 'cut-short', message, 'leave out what was found, then search again')

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary."""
        return {
            'format': FORMAT,
            'version': mmext.__version__,
            'source': self.source,
            'leaks': self.leaks,
            'splits': self.splits,
            'distance': self.distance,
            'to_leave_out': self.to_leave_out(),
            'findings': [asdict(finding) for finding in self.findings()],
            'pairs': [asdict(pair) for pair in self.pairs],
            'within': [asdict(pair) for pair in self.within],
        }

    def write(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_json(path, self.to_json())


def _finding(
    level: Level, kind: str, message: str, fix: str, pairs: Sequence[Pair], count: int | None = None
) -> Finding:
    shown = pairs[:MAX_FILES]
    details = [f'{pair.second_split}: {pair.second}; {pair.reason}' for pair in shown]
    files = [pair.first for pair in shown]
    split = pairs[0].first_split if kind == 'duplicates' else ''
    return Finding(level, kind, message, fix, files, len(pairs) if count is None else count, details, split=split)
