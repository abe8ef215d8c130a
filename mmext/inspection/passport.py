"""The passport of a dataset: what its splits hold, what is wrong with them, and a hash of their content.

A passport is plain data - lists, numbers, texts - so that it survives JSON unchanged and a page can show it.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import mmext
from mmext.common.files import write_json

Level = Literal['error', 'warning', 'note']
LEVELS: tuple[Level, ...] = ('error', 'warning', 'note')
TASKS = ('segmentation', 'detection', 'classification')
FORMAT = 1
# More names in one finding help nobody, and would make the file huge; `Finding.count` counts all.
MAX_FILES = 500


class PassportError(ValueError):
    """A passport cannot be read, or a dataset cannot be listed."""


@dataclass
class Finding:
    """One kind of fault with all files that show it.

    Attributes:
        level: ``'error'``: training would crash or learn nonsense; ``'warning'``: it would run, but probably not as
            meant; ``'note'``: good to know.
        kind: Short slug such as ``'size-mismatch'``.
        message: What was found, for people.
        fix: What to do about it.
        files: Names of the files, worst first, at most `MAX_FILES`; ``'<path>#<index>'`` for one picture of many in a
            file. Empty where the fault belongs to no file.
        count: Number of all files (or classes, where it belongs to no file).
        details: About each of ``files``, in their order, such as ``'mask 90 x 100, image 100 x 100'``.
        reason: Why it has this level.
        split: The split, or ``''`` where it concerns several.
    """

    level: Level
    kind: str
    message: str
    fix: str
    files: list[str] = field(default_factory=list)
    count: int = 0
    details: list[str] = field(default_factory=list)
    reason: str = ''
    split: str = ''


@dataclass
class SplitSummary:
    """What one split holds.

    All lists by class follow `Passport.classes`; what does not apply to the task is 0 or empty.

    Attributes:
        samples: Listed samples, readable or not.
        unreadable: Samples whose image or annotation could not be read.
        unlabeled: Samples without an annotation of their own (a missing mask, no boxes).
        class_images: Images that show the class.
        class_objects: Boxes of the class (detection).
        class_pixels: Pixels of the class (segmentation).
        ignored_pixels: Pixels that are ignored (segmentation).
        modes: Mode of the images and bits of a channel, such as ``'RGB 8-bit'`` -> number.
        mask_modes: The same for the masks.
        sizes_hw: ``'<height>x<width>'`` -> number of images.
        box_sides: Square roots of the boxes' areas in pixels, `BOX_SIDE_EDGES` -> number (detection).
    """

    samples: int = 0
    unreadable: int = 0
    unlabeled: int = 0
    class_images: list[int] = field(default_factory=list)
    class_objects: list[int] = field(default_factory=list)
    class_pixels: list[int] = field(default_factory=list)
    ignored_pixels: int = 0
    modes: dict[str, int] = field(default_factory=dict)
    mask_modes: dict[str, int] = field(default_factory=dict)
    sizes_hw: dict[str, int] = field(default_factory=dict)
    box_sides: list[int] = field(default_factory=list)


# Bin i of `SplitSummary.box_sides` holds BOX_SIDE_EDGES[i] <= side < BOX_SIDE_EDGES[i + 1]; the last one is open.
BOX_SIDE_EDGES = (0, 4, 8, 16, 32, 64, 96, 128, 256, 512, 1024)


@dataclass
class Passport:
    """All about a dataset.

    Attributes:
        task: One of `TASKS`.
        source: The config or folder that was inspected, as it was given.
        splits: ``'train'``, ``'val'``, ``'test'`` - or ``'all'`` for a folder without splits.
        findings: Errors first, then warnings, then notes; the most frequent first within a level.
        content_hash: SHA-256 over the content of all files and their names relative to the dataset; neither the
            order nor the place of the dataset matters.
        classes: Names; empty where nothing says them.
        palette: RGB of each class, 0-255; may be empty.
        values: What the masks hold: ``encoding`` (what the values look like), ``expected`` (what the config says),
            ``counts`` (value -> pixels over all masks, as text keys; colours as ``'#rrggbb'``), ``distinct`` (number
            of distinct values, of which at most 256 are in ``counts``). Empty for other tasks.
        annotations: Image -> annotation for every image that a finding names (so that both can be shown).
        created: UTC, ISO 8601.
        version: Of mmext.
    """

    task: str
    source: str
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    content_hash: str = ''
    classes: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec='seconds'))
    version: str = mmext.__version__

    def of_level(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]

    @property
    def ok(self) -> bool:
        """No errors; warnings and notes may be there."""
        return not self.of_level('error')

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary that `from_json` takes."""
        return {'format': FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'Passport':
        """What `to_json` returned, after a trip through JSON.

        Raises:
            PassportError: it is no passport, or one of another format.
        """
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            found = content.get('format') if isinstance(content, dict) else type(content).__name__
            raise PassportError(f'format {found} instead of {FORMAT}: make it again with tools/inspect_data.py')
        content = {name: value for name, value in content.items() if name != 'format'}
        try:
            splits = {name: SplitSummary(**summary) for name, summary in content.pop('splits').items()}
            findings = [Finding(**finding) for finding in content.pop('findings')]
            return cls(splits=splits, findings=findings, **content)
        except (TypeError, KeyError, AttributeError) as error:
            raise PassportError(f'not a passport ({error}): make it again with tools/inspect_data.py') from error

    def write(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: str | Path) -> 'Passport':
        """Read what `write` wrote.

        Raises:
            PassportError: the file is missing, or holds something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise PassportError(f'{path}: no passport ({error}); make it with tools/inspect_data.py') from error
        try:
            return cls.from_json(content)
        except PassportError as error:
            raise PassportError(f'{path}: {error}') from error


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings before notes, the most frequent first, then by kind and split."""
    return sorted(findings, key=lambda found: (LEVELS.index(found.level), -found.count, found.kind, found.split))
