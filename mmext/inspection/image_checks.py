"""What can be wrong with the pictures of any task."""

from collections import Counter, defaultdict
from pathlib import Path

from .findings import FindingList
from .listing import Sample
from .records import Record
from .scan import Scan

MIN_SIDE, MAX_PIXELS, MAX_ASPECT = 8, 89_478_485, 10.0
# Suffixes of Pillow's formats; of others nothing is said.
SUFFIXES = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'PNG': ('.png',),
    'BMP': ('.bmp',),
    'GIF': ('.gif',),
    'TIFF': ('.tif', '.tiff'),
    'WEBP': ('.webp',),
    'PPM': ('.ppm', '.pgm', '.pbm'),
    'JPEG2000': ('.jp2', '.j2k'),
}
TURNED = {
    2: 'mirrored',
    3: 'turned by 180 degrees',
    4: 'flipped',
    5: 'turned by 90 degrees and mirrored',
    6: 'turned by 90 degrees',
    7: 'turned by 90 degrees and mirrored',
    8: 'turned by 90 degrees',
}
GREY_MODES = ('1', 'L', 'LA', 'I;16', 'I', 'F')


def upright_hw(record: Record) -> list[int]:
    """Height and width as training sees the picture: turned as EXIF says."""
    height, width = record['size_hw']
    return [width, height] if record['orientation'] >= 5 else [height, width]


def check_images(scan: Scan, found: FindingList) -> None:
    """All faults of single pictures, of their names, and between equal ones."""
    for split, samples in scan.listing.splits.items():
        if not samples and not any(fault.split == split for fault in scan.listing.faults):
            found.add_general('no-samples', split, 'no sample')
        for sample in samples:
            check_file(str(sample.image) if sample.index is None else sample.name, scan.image(sample), found, split)
        _check_grey(scan, split, samples, found)
        _check_names(split, samples, found)
    _check_equal(scan, found)


def check_readable(name: str, record: Record, found: FindingList, split: str) -> bool:
    """Whether a file could be read to its end; otherwise its fault is noted."""
    if record['status'] in ('unreadable', 'truncated'):
        found.add(record['status'], name, record['reason'], split=split)
    return record['status'] == 'ok'


def check_file(name: str, record: Record, found: FindingList, split: str) -> None:
    """Faults of one picture."""
    if record['status'] == 'missing':
        found.add('missing-image', name, record['reason'], split=split)
        return
    if not check_readable(name, record, found, split):
        return
    height, width = record['size_hw']
    if record['orientation'] != 1:
        number = record['orientation']
        found.add('exif-rotation', name, f'orientation {number}: {TURNED[number]}', number >= 5, split)
    deep = record['bits'] > 8
    if record['alpha'] or deep or record['mode'] in ('CMYK', 'F', 'LAB', 'HSV'):
        parts = [record['mode'], f'{record["bits"]} bits' if deep else '', 'transparent' if record['alpha'] else '']
        found.add('image-mode', name, ', '.join(filter(None, parts)), deep, split)
    if record['frames'] > 1:
        found.add('animated', name, f'{record["frames"]} frames', record['frames'], split)
    check_suffix(name, record, found, split)
    if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
        severity = max(MIN_SIDE / max(min(height, width), 1), height * width / MAX_PIXELS)
        found.add('extreme-size', name, f'{width} x {height} (width x height)', severity, split)
    aspect = max(height, width) / max(min(height, width), 1)
    if aspect > MAX_ASPECT:
        found.add('extreme-aspect', name, f'{width} x {height} (width x height)', aspect, split)


def check_suffix(name: str, record: Record, found: FindingList, split: str) -> None:
    """The format of a picture or mask against the suffix of its name."""
    suffix = Path(name).suffix.lower()
    known = SUFFIXES.get(record['format'])
    if known and suffix not in known and any(suffix in suffixes for suffixes in SUFFIXES.values()):
        found.add('wrong-suffix', name, f'is {record["format"]}', split=split)


def _check_grey(scan: Scan, split: str, samples: list[Sample], found: FindingList) -> None:
    read = [sample for sample in samples if scan.image(sample)['status'] == 'ok']
    grey = [sample for sample in read if scan.image(sample)['mode'] in GREY_MODES]
    if 2 * len(grey) < len(read):
        for sample in grey:
            found.add('grey-image', sample.name, scan.image(sample)['mode'], split=split)


def _check_names(split: str, samples: list[Sample], found: FindingList) -> None:
    """Names in one folder that are equal but for suffix and letter case."""
    alike: dict[tuple[Path, str], set[Path]] = defaultdict(set)
    for sample in samples:
        if sample.index is None:
            alike[sample.image.parent, sample.image.stem.casefold()].add(sample.image)
    for paths in alike.values():
        first, *others = sorted(paths)
        for path in others:
            found.add('duplicate-name', str(path), f'beside {first.name}', len(paths), split)


def _check_equal(scan: Scan, found: FindingList) -> None:
    """Pictures with equal pixels: with other annotations a conflict (in all splits), else repeated (within one)."""
    groups: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for split, sample in scan.samples():
        record = scan.image(sample)
        if record['status'] == 'ok':
            groups[record['digest']].append((split, sample))
    for members in groups.values():
        if len(members) < 2:
            continue
        notes = {sample.name: annotation_digest(scan, sample) for _, sample in members}
        different = Counter(note for note in notes.values() if note is not None)
        if len(different) > 1:
            usual = different.most_common(1)[0][0]
            example = next(sample for _, sample in members if notes[sample.name] == usual)
            for split, sample in members:
                if notes[sample.name] not in (None, usual):
                    found.add('label-conflict', sample.name, _conflict(scan, sample, example), len(notes), split)
            continue
        for split in dict.fromkeys(split for split, _ in members):
            first, *others = dict.fromkeys(sample.name for name, sample in members if name == split)
            for name in others:
                found.add('identical-images', name, f'the same as {first}', len(members), split)


def annotation_digest(scan: Scan, sample: Sample) -> str | None:
    """Text that is equal for equal annotations; None where there is none, or it cannot be read."""
    record = scan.annotation(sample)
    if record is not None:
        return record.get('digest') if record['status'] == 'ok' else None
    if sample.boxes is not None:
        return repr(sorted((box.name, box.text) for box in sample.boxes))
    return None if sample.label is None else str(sample.label)


def _conflict(scan: Scan, sample: Sample, other: Sample) -> str:
    if sample.label is None or other.label is None:
        return f'the same picture as {other.name}, with another annotation'
    classes = scan.listing.classes
    mine, theirs = (classes[one.label] if one.label < len(classes) else one.label for one in (sample, other))
    return f'{mine!r}; the same picture as {other.name}, {theirs!r}'
