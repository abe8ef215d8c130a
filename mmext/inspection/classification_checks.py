"""What can be wrong with the classes of pictures, and how many there are of each."""

from mmext.common.wording import counted

from .findings import FindingList
from .passport import SplitSummary
from .scan import Scan


def check_labels(scan: Scan, found: FindingList) -> None:
    """Note labels that no class has, and splits without any label."""
    classes = scan.listing.classes
    for split, samples in scan.listing.splits.items():
        if samples and all(sample.label is None for sample in samples):
            if not any(fault.split == split for fault in scan.listing.faults):
                found.add_general('unlabelled', split, f'{counted(len(samples), "picture")} without classes')
            continue
        for sample in samples:
            if sample.label is not None and classes and not 0 <= sample.label < len(classes):
                found.add('unknown-class', sample.name, f'label {sample.label} of {len(classes)} classes', split=split)


def count_labels(scan: Scan, split: str, summary: SplitSummary) -> None:
    """Fill in the pictures per class of one split."""
    summary.class_images = [0] * len(scan.listing.classes)
    for sample in scan.listing.splits[split]:
        if sample.label is not None and 0 <= sample.label < len(summary.class_images):
            summary.class_images[sample.label] += 1
