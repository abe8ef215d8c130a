"""What can be wrong with boxes, and what annotations hold: boxes and images per class and split."""

from bisect import bisect_right
from collections import Counter

from mmext.common.wording import counted

from .findings import FindingList
from .image_checks import check_readable, upright_hw
from .listing import Box, Sample
from .passport import BOX_SIDE_EDGES, SplitSummary
from .scan import Scan
from .segmentation_checks import is_unlabelled

TINY = 4.0


def boxes_of(scan: Scan, sample: Sample) -> list[Box] | None:
    """The boxes of a sample, from its XML file or as listed; None where there are none to be read."""
    if sample.boxes is not None:
        return sample.boxes
    record = scan.annotation(sample)
    if record is None or record['status'] != 'ok':
        return None
    return [Box(name, corners and tuple(corners), text, flag) for name, corners, text, flag in record['boxes']]


def check_boxes(scan: Scan, found: FindingList) -> None:
    """Note all faults of annotations; boxes of the same file count as one fault of each kind."""
    for split, samples in scan.listing.splits.items():
        if samples and is_unlabelled(scan, split):
            found.add_general('unlabelled', split, f'{counted(len(samples), "picture")} without boxes')
            continue
        for sample in samples:
            _check_sample(scan, split, sample, found)
    for path in scan.listing.spare_annotations:
        found.add('spare-annotation', str(path), 'no picture of this name')


def _check_sample(scan: Scan, split: str, sample: Sample, found: FindingList) -> None:
    image, record = scan.image(sample), scan.annotation(sample)
    if sample.boxes is None and (record is None or record['status'] == 'missing'):
        if image['status'] != 'missing':
            found.add(
                'missing-annotation', sample.name, f'no {sample.annotation or "XML file of its name"}', split=split
            )
        return
    name = str(sample.annotation or sample.name)
    if record is not None and not check_readable(name, record, found, split):
        return
    size_hw = image.get('size_hw')
    stated = record and record['size_hw']
    if size_hw and stated and stated not in (size_hw, upright_hw(image)):
        detail = f'says {stated[1]} x {stated[0]}, the picture is {size_hw[1]} x {size_hw[0]} (width x height)'
        found.add('size-mismatch', name, detail, split=split)
        return
    # Of a picture that EXIF turns, boxes fit the size that the annotation states.
    size_hw = stated or size_hw
    boxes = boxes_of(scan, sample)
    if not boxes:
        found.add('no-objects', name, 'no box', split=split)
    # Corners of VOC are pixels, of COCO the lines between them.
    bounds = None if size_hw is None else (size_hw[1] - (record is not None), size_hw[0] - (record is not None))
    for box in boxes:
        _check_box(name, box, bounds, scan.listing.classes, found, split)
    repeated = {(box.name, box.corners) for box in boxes if box.corners and boxes.count(box) > 1}
    for label, corners in repeated:
        found.add('box-twice', name, f'{label} {corners}', split=split)


def _check_box(
    name: str, box: Box, bounds: tuple[int, int] | None, classes: list[str], found: FindingList, split: str
) -> None:
    if classes and box.name not in classes:
        from mmext.detection.datasets.voc_annotation import nearest_class

        found.add('unknown-class', name, f'{box.name!r}, nearest is {nearest_class(box.name, classes)!r}', split=split)
    if box.flag not in ('', '0', '1'):
        found.add('box-flag', name, f'{box.name} {box.text}: difficult is {box.flag!r}', split=split)
    if box.corners is None:
        found.add('box-coordinates', name, f'{box.name} {box.text}', split=split)
        return
    x1, y1, x2, y2 = box.corners
    if x2 <= x1 or y2 <= y1:
        found.add('box-empty', name, f'{box.name} {box.text}', split=split)
        return
    if bounds:
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, bounds[0]), min(y2, bounds[1]))
        if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            found.add('box-empty', name, f'{box.name} {box.text} lies outside the picture', split=split)
            return
        if clipped != box.corners:
            beyond = max(abs(mine - its) for mine, its in zip(clipped, box.corners, strict=True))
            found.add('box-outside', name, f'{box.name} {box.text}: {beyond:g} pixels outside', beyond, split)
    if min(x2 - x1, y2 - y1) < TINY:
        detail = f'{box.name} {box.text}: {x2 - x1:g} x {y2 - y1:g} pixels'
        found.add('box-tiny', name, detail, -min(x2 - x1, y2 - y1), split)


def settle_names(scan: Scan) -> None:
    """Where a folder does not say its classes, or most boxes are of none that it was taken for: all names, sorted."""
    listing = scan.listing
    counts = Counter(box.name for _, sample in scan.samples() for box in boxes_of(scan, sample) or ())
    known = sum(counts[name] for name in listing.classes)
    if not listing.classes or (listing.classes_assumed and 2 * known < counts.total()):
        listing.classes, listing.palette = sorted(name for name in counts if name), []


def count_boxes(scan: Scan, classes: list[str], split: str, summary: SplitSummary) -> None:
    """Fill in boxes and images per class of one split, and the sides of the boxes."""
    summary.class_objects, summary.class_images = [0] * len(classes), [0] * len(classes)
    summary.box_sides = [0] * len(BOX_SIDE_EDGES)
    index_of = {name: index for index, name in enumerate(classes)}
    for sample in scan.listing.splits[split]:
        labels = set()
        for box in boxes_of(scan, sample) or ():
            if box.name not in index_of:
                continue
            labels.add(index_of[box.name])
            summary.class_objects[index_of[box.name]] += 1
            if box.corners:
                x1, y1, x2, y2 = box.corners
                side = (max(x2 - x1, 0.0) * max(y2 - y1, 0.0)) ** 0.5
                summary.box_sides[bisect_right(BOX_SIDE_EDGES, side) - 1] += 1
        for label in labels:
            summary.class_images[label] += 1
