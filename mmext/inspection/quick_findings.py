"""What is wrong with a listing, as far as names, headers and a sample of the annotations tell.

The kinds are those of the full inspection. Only their level differs, where the quick look cannot be sure that training
would fail: see `SOFTENED`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from .findings import FindingList
from .image_checks import TURNED
from .kinds import KINDS
from .listing import Listing, Sample
from .passport import Finding, sorted_findings
from .quick_files import FileFacts
from .records import open_file

# Annotations that are decoded, over all splits: under a second for street scenes of two megapixels.
SAMPLED = {'mask': 48, 'xml': 400}
# The data set decides whether it takes such files or leaves them out, and says so when it is built.
SOFTENED = ('no-label', 'unknown-class')
# A data set that could not be listed is no error if it may be the listing that failed: with these errors, or with these
# words, of data sets without files and of those that fetch their files when training starts.
UNSURE = re.compile(r'(Type|Attribute|Key|Index|Lookup)Error|.*(cannot be inspected|download|fetch http)', re.I | re.S)
# What helps most where it is not the file that is wrong.
FIXES = dict.fromkeys(
    ('unlistable', 'no-samples', 'missing-image'),
    'prepare the data as data/README.md says, or correct data_root and the other paths and suffixes',
)
# Which files are named first: those that stop a run at once. Other kinds follow in the order of `KINDS`.
WORST_FIRST = ('unlistable', 'no-samples', 'missing-image', 'missing-annotation', 'unreadable', 'truncated')


def find_faults(
    listing: Listing, facts: Mapping[Path, FileFacts], roots: Mapping[str, str] | None = None
) -> list[Finding]:
    """All findings of a listing whose files were looked at, errors first.

    Args:
        listing: The samples.
        facts: Of every file of the listing.
        roots: Where the data of a split were looked for, to be named if nothing is there.
    """
    found = FindingList()
    unlistable = {fault.split for fault in listing.faults if fault.kind == 'unlistable'}
    for split, samples in listing.splits.items():
        if not samples and split not in unlistable:
            found.add('no-samples', (roots or {}).get(split) or split, 'no sample in it', split=split)
        for sample in samples:
            if sample.pixels is None:
                _check_sample(found, split, sample, facts)
    for path in listing.spare_annotations:
        found.add('spare-annotation', str(path), 'no picture of this name')
    _check_content(found, listing, facts)
    soft = set(SOFTENED)
    for fault in listing.faults:
        if fault.kind == 'unlistable' and all(UNSURE.match(text) for text in fault.details):
            soft.add('unlistable')
        details = [*fault.details, *[''] * len(fault.files)]
        for file, detail in zip(fault.files, details, strict=False):
            found.add(fault.kind, file, detail, split=fault.split)
        for detail in fault.details if not fault.files else ():
            found.add_general(fault.kind, fault.split, detail)
    findings = [
        replace(one, level='warning' if one.kind in soft else one.level, fix=FIXES.get(one.kind, one.fix))
        for one in found.findings()
    ]
    return sorted_findings(findings)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stop a run at once first; see `WORST_FIRST`."""
    order = {kind: place for place, kind in enumerate(dict.fromkeys((*WORST_FIRST, *KINDS)))}
    return sorted(findings, key=lambda finding: order.get(finding.kind, len(order)))


def worst_files(findings: Iterable[Finding], number: int = 3) -> list[str]:
    """The worst files, each with what is wrong: one of each kind first, then more of the most frequent kind."""
    rows = [_lines(finding) for finding in by_severity(findings)]
    first = [row[0] for row in rows if row]
    more = [line for row in sorted(rows, key=len, reverse=True) for line in row[1:]]
    return [*first, *more][:number]


def _lines(finding: Finding) -> list[str]:
    what = f'{KINDS[finding.kind].title}' if finding.kind in KINDS else finding.kind
    if not finding.files:
        return [finding.message]
    details = [*finding.details, *[''] * len(finding.files)]
    return [f'{file}: {detail or what}' for file, detail in zip(finding.files, details, strict=False)]


def _check_sample(found: FindingList, split: str, sample: Sample, facts: Mapping[Path, FileFacts]) -> None:
    image = facts[sample.image]
    _check_file(found, split, sample.image, image, 'missing-image')
    if sample.annotation is None:
        return
    annotation = facts[sample.annotation]
    _check_file(found, split, sample.annotation, annotation, 'missing-annotation')
    if image.orientation != 1:
        text = f'orientation {image.orientation}: {TURNED[image.orientation]}'
        found.add('exif-rotation', str(sample.image), text, split=split)
    if image.shown_wh and annotation.size_wh and image.shown_wh != annotation.size_wh:
        mask, picture = (' x '.join(map(str, wh)) for wh in (annotation.size_wh, image.shown_wh))
        text = f'mask {mask}, image {picture} (width x height)'
        found.add('size-mismatch', str(sample.annotation), text, split=split)


def _check_file(found: FindingList, split: str, path: Path, facts: FileFacts, missing: str) -> None:
    if facts.kind:
        found.add(missing if facts.kind == 'missing' else facts.kind, str(path), facts.detail, split=split)


def _check_content(found: FindingList, listing: Listing, facts: Mapping[Path, FileFacts]) -> None:
    """Decode masks and XML files at equal distances, of every split as many; known damage is passed over."""
    kind = {'segmentation': 'mask', 'detection': 'xml'}.get(listing.task)
    for split, samples in listing.splits.items() if kind else ():
        paths = [sample.annotation for sample in samples if sample.annotation]
        paths = [path for path in paths if not facts[path].kind and (facts[path].size_wh is not None or kind == 'xml')]
        step = max(1, -(-len(paths) * len(listing.splits) // SAMPLED[kind]))
        for path in paths[::step]:
            record = open_file(kind, path)
            if record['status'] != 'ok':
                found.add(record['status'], str(path), record['reason'], split=split)
            elif kind == 'mask' and record['color']:
                text = f'a colour picture of {record["distinct"]} colours, class indices were expected'
                found.add('mask-mode', str(path), text, split=split)
            elif kind == 'mask' and listing.values is not None:
                _check_values(found, split, path, record['counts'], listing.values)


def _check_values(
    found: FindingList, split: str, path: Path, counts: list[list[float]], values: Mapping[int, int]
) -> None:
    wrong = [(count, value) for value, count in counts if value not in values]
    if wrong:
        count, value = max(wrong)
        text = f'value {value} at {count} pixels, expected {ranges(values)}'
        found.add('mask-values', str(path), text, sum(count for count, _ in wrong), split)


def ranges(values: Iterable[int]) -> str:
    """``'0-18, 255'`` for the values 0 to 18 and 255."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ', '.join(str(low) if low == high else f'{low}-{high}' for low, high in runs)
