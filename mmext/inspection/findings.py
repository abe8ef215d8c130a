"""Collects faults file by file, and makes one finding of each kind."""

from collections import defaultdict

from mmext.common.prediction.inputs import natural_key

from .kinds import KINDS
from .passport import MAX_FILES, Finding, sorted_findings


class FindingList:
    """Faults as they come; `findings` groups them.

    A file counts once per kind: of several faults, the worst gives the detail and the others are counted in it.
    """

    def __init__(self) -> None:
        self._files: dict[str, dict[str, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
        self._splits: dict[str, set[str]] = defaultdict(set)
        self._general: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def add(self, kind: str, file: str, detail: str = '', severity: float = 0.0, split: str = '') -> None:
        """Note a fault of a file; of the same kind, the most severe comes first."""
        found = self._files[kind][file]
        # The same file in two splits has one fault, not two.
        if (severity, detail) not in found:
            found.append((severity, detail))
        self._splits[kind].add(split)

    def add_general(self, kind: str, split: str, detail: str) -> None:
        """Note a fault that belongs to no file."""
        self._general[kind].append((split, detail))

    def has(self, kind: str, file: str) -> bool:
        """Whether the file has such a fault."""
        return file in self._files.get(kind, ())

    def has_kind(self, kind: str) -> bool:
        """Whether any file has such a fault."""
        return kind in self._files

    def kinds_of_files(self) -> dict[str, set[str]]:
        """File -> kinds of its faults; unlike the findings, not cut off at a number of files."""
        kinds: dict[str, set[str]] = defaultdict(set)
        for kind, files in self._files.items():
            for file in files:
                kinds[file].add(kind)
        return dict(kinds)

    def findings(self) -> list[Finding]:
        """One per kind and, where it belongs to no file, one per split."""
        found = [self._finding(kind, files) for kind, files in self._files.items()]
        for kind, faults in self._general.items():
            for split in dict.fromkeys(split for split, _ in faults):
                details = [detail for name, detail in faults if name == split]
                found.append(_make(kind, [], details, len(details), split))
        return sorted_findings(found)

    def _finding(self, kind: str, files: dict[str, list[tuple[float, str]]]) -> Finding:
        worst = {file: max(faults, key=lambda fault: fault[0]) for file, faults in files.items()}
        ordered = sorted(files, key=lambda file: (-worst[file][0], natural_key(file)))
        details = []
        for file in ordered:
            more = f' (and {len(files[file]) - 1} more)' if len(files[file]) > 1 else ''
            details.append(worst[file][1] + more)
        splits = self._splits[kind]
        return _make(kind, ordered, details, len(ordered), splits.pop() if len(splits) == 1 else '')


def _make(kind: str, files: list[str], details: list[str], count: int, split: str) -> Finding:
    level, title, reason, fix = KINDS[kind]
    where = f' in {split}' if split else ''
    first = f'{files[0]}: {details[0]}' if files and details[0] else (files or details or [''])[0]
    if not files and len(details) > 1:
        first = '; '.join(details[:5]) + (f' and {len(details) - 5} more' if len(details) > 5 else '')
    message = f'{title}{where}: {count}' + (f' ({first})' if first else '')
    return Finding(level, kind, message, fix, files[:MAX_FILES], count, details[:MAX_FILES], reason, split)
