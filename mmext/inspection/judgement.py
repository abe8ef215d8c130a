"""From the records of a scan to a passport: all checks, what each split holds, and the hash of the content."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from mmext.common.wording import counted

from .cache import absolute
from .classification_checks import check_labels, count_labels
from .detection_checks import check_boxes, count_boxes, settle_names
from .findings import FindingList
from .image_checks import annotation_digest, check_images
from .listing import Listing
from .passport import Passport, SplitSummary
from .scan import Scan
from .segmentation_checks import check_masks, count_masks, describe_values


def judge(scan: Scan) -> Passport:
    """The passport of a scanned listing."""
    listing, found = scan.listing, FindingList()
    passport = Passport(listing.task, listing.source, classes=list(listing.classes), palette=list(listing.palette))
    _take_faults(listing, found)
    check_images(scan, found)
    passport.splits = {split: _summary(scan, split) for split in listing.splits}
    if listing.task == 'segmentation':
        looks = check_masks(scan, found)
        passport.classes, passport.palette = looks.classes, looks.palette
        passport.values = describe_values(listing, looks)
        for split, summary in passport.splits.items():
            count_masks(scan, looks, split, summary, found)
    elif listing.task == 'detection':
        settle_names(scan)
        check_boxes(scan, found)
        passport.classes = list(listing.classes)
        for split, summary in passport.splits.items():
            count_boxes(scan, passport.classes, split, summary)
    else:
        check_labels(scan, found)
        for split, summary in passport.splits.items():
            count_labels(scan, split, summary)
    _check_classes(passport, found)
    passport.findings, scan.faults = found.findings(), found.kinds_of_files()
    passport.annotations = _annotations(scan, passport)
    passport.content_hash = content_hash(scan)
    return passport


def _take_faults(listing: Listing, found: FindingList) -> None:
    for fault in listing.faults:
        if not fault.files:
            for detail in fault.details:
                found.add_general(fault.kind, fault.split, detail)
            continue
        for file, detail in zip(fault.files, fault.details, strict=True):
            found.add(fault.kind, file, detail, split=fault.split)


def _summary(scan: Scan, split: str) -> SplitSummary:
    """What all tasks have in common."""
    samples = scan.listing.splits[split]
    summary = SplitSummary(samples=len(samples))
    modes, mask_modes, sizes = Counter(), Counter(), Counter()
    for sample in samples:
        image, annotation = scan.image(sample), scan.annotation(sample)
        readable = image['status'] == 'ok' and (annotation is None or annotation['status'] in ('ok', 'missing'))
        summary.unreadable += not readable
        missing = annotation is None or annotation['status'] == 'missing'
        summary.unlabeled += missing and sample.label is None and sample.boxes is None
        if image['status'] == 'ok':
            modes[f'{image["mode"]} {image["bits"]}-bit'] += 1
            sizes['{}x{}'.format(*image['size_hw'])] += 1
        if annotation and annotation['status'] == 'ok' and 'mode' in annotation:
            mask_modes[f'{annotation["mode"]} {annotation["bits"]}-bit'] += 1
    summary.modes, summary.mask_modes = dict(modes.most_common()), dict(mask_modes.most_common())
    summary.sizes_hw = dict(sizes.most_common())
    return summary


def _check_classes(passport: Passport, found: FindingList) -> None:
    """Classes that are evaluated and never trained, that occur nowhere, or that differ in spelling only."""
    counts = {split: summary.class_images for split, summary in passport.splits.items()}
    labelled = {split for split, images in counts.items() if sum(images)}
    never = [name for index, name in enumerate(passport.classes) if not any(counts[split][index] for split in labelled)]
    if labelled and passport.values.get('encoding') != 'continuous':
        for name in never:
            found.add_general('absent-class', '', name)
    for split in labelled & {'val', 'test'} if 'train' in labelled else ():
        for index, name in enumerate(passport.classes):
            if counts[split][index] and not counts['train'][index]:
                found.add_general(
                    'class-missing-in-train', split, f'{name} ({counted(counts[split][index], "picture")})'
                )
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in passport.classes:
        spellings[re.sub(r'[\s_.-]+', '', name.casefold()) or name].append(name)
    for names in spellings.values():
        if len(names) > 1:
            found.add_general('similar-class-names', '', ' / '.join(map(repr, names)))


def _annotations(scan: Scan, passport: Passport) -> dict[str, str]:
    named = {file for finding in passport.findings for file in finding.files}
    pairs = ((str(sample.image), str(sample.annotation)) for _, sample in scan.samples() if sample.annotation)
    return {image: annotation for image, annotation in pairs if {image, annotation} & named}


def root_of(listing: Listing) -> Path:
    """The folder that all files of a listing share, absolute."""
    files = [
        path for samples in listing.splits.values() for one in samples for path in (one.image, one.annotation) if path
    ]
    paths = {absolute(path.parent) for path in files} or {absolute(path) for path in listing.roots}
    return Path(os.path.commonpath(paths)) if paths else Path()


def content_hash(scan: Scan) -> str:
    """SHA-256 over what every sample holds: split, names below the common folder, and content of its files.

    Neither the order of the samples nor the place of the folder matters.
    """
    root = root_of(scan.listing)
    lines = []
    for split, sample in scan.samples():
        names = [os.path.relpath(absolute(path), root) for path in (sample.image, sample.annotation) if path]
        annotation = scan.annotation(sample)
        content = annotation['sha256'] if annotation else annotation_digest(scan, sample)
        parts = (split, *(Path(name).as_posix() for name in names), sample.index, scan.image(sample)['sha256'], content)
        lines.append(repr(parts))
    return hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest()
