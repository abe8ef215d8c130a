"""What can be wrong with masks, and what they hold: pixels and images per class and split."""

from mmext.common.wording import counted

from .findings import FindingList
from .image_checks import check_readable, check_suffix, upright_hw
from .listing import Listing, Sample
from .mask_encodings import (
    IGNORED,
    MaskValues,
    is_continuous,
    is_usual,
    look_at,
    mixed_with_label_ids,
    show_value,
)
from .passport import SplitSummary
from .records import Record
from .scan import Scan

DOMINANT = 0.999
Masks = dict[str, tuple[str, Record]]


def check_masks(scan: Scan, found: FindingList) -> MaskValues:
    """Note all faults of masks, and tell what their values look like.

    Returns:
        The values; `MaskValues.values` and `MaskValues.classes` are the listing's where it names them.
    """
    masks: Masks = {}
    for split, sample in scan.samples():
        record = check_pair(scan, split, sample, found)
        if record:
            masks.setdefault(str(sample.annotation), (split, record))
    _check_unlabelled(scan, found)
    for path in scan.listing.spare_annotations:
        found.add('spare-annotation', str(path), 'no picture of this name')
    looks = look_at([record for _, record in masks.values()])
    _check_encoding(scan.listing, looks, masks, found)
    _adopt_listing(scan.listing, looks)
    for name, (split, record) in masks.items():
        _check_values(scan.listing, name, record, looks, found, split)
    return looks


def check_pair(scan: Scan, split: str, sample: Sample, found: FindingList) -> Record | None:
    """The mask of a sample against its picture; its record if it can be read."""
    image, mask = scan.image(sample), scan.annotation(sample)
    if mask is None or mask['status'] == 'missing':
        # A picture that is not there needs no mask.
        if image['status'] != 'missing' and (mask is not None or not is_unlabelled(scan, split)):
            found.add('missing-annotation', sample.name, f'no {sample.annotation or "mask of its name"}', split=split)
        return None
    name = str(sample.annotation)
    if not check_readable(name, mask, found, split):
        return None
    check_suffix(name, mask, found, split)
    if image['status'] == 'ok':
        size, upright, stored = mask['size_hw'], upright_hw(image), image['size_hw']
        # A picture that EXIF turns is reported as such; its mask may have been drawn on either side.
        if size not in (upright, stored):
            ratio = max(abs(mine / its - 1) for mine, its in zip(size, stored, strict=True))
            detail = f'mask {size[1]} x {size[0]}, picture {stored[1]} x {stored[0]} (width x height)'
            found.add('size-mismatch', name, detail, ratio, split)
    return mask


def is_unlabelled(scan: Scan, split: str) -> bool:
    """Whether no sample of a split is said to have an annotation."""
    return all(sample.annotation is None and sample.boxes is None for sample in scan.listing.splits[split])


def _check_unlabelled(scan: Scan, found: FindingList) -> None:
    for split, samples in scan.listing.splits.items():
        if samples and is_unlabelled(scan, split):
            found.add_general('unlabelled', split, f'{counted(len(samples), "picture")} without masks')


def _adopt_listing(listing: Listing, looks: MaskValues) -> None:
    if listing.values is not None:
        looks.values, looks.classes = dict(listing.values), list(listing.classes)
        looks.palette = [list(color) for color in listing.palette]
    elif listing.classes:
        looks.classes = list(listing.classes)
        if looks.encoding in ('class_indices', 'train_ids', 'binary', 'label_ids'):
            looks.values = {**{index: index for index in range(len(looks.classes))}, IGNORED: IGNORED}
            looks.palette = []


def _check_encoding(listing: Listing, looks: MaskValues, masks: Masks, found: FindingList) -> None:
    """Faults of all masks together: an encoding other than the config says, two encodings, colours, 0 and 255."""
    plain = {name: (split, record) for name, (split, record) in masks.items() if not record['color']}
    own = [{int(value) for value, _ in record['counts']} for _, record in plain.values()]
    if listing.encoding == 'label_ids' and _is_no_label_ids(looks):
        _add_all(found, 'wrong-encoding', plain, 'looks like trainIds, the config says label_ids')
    elif listing.encoding in ('train_ids', 'class_indices') and looks.encoding == 'label_ids':
        if not looks.counts.keys() <= (listing.values or {}).keys():
            _add_all(found, 'wrong-encoding', plain, f'looks like label ids, the config says {listing.encoding}')
    elif looks.encoding == 'binary' and (listing.values is None or _loses_foreground(listing)):
        _add_all(found, 'binary-255', plain, 'the values are 0 and 255')
    elif looks.encoding in ('label_ids', 'train_ids', 'class_indices') and listing.encoding != 'class_indices':
        other = 'trainIds' if looks.encoding == 'label_ids' else 'label ids'
        names = list(plain)
        for index in mixed_with_label_ids(own, looks.encoding):
            name = names[index]
            found.add('mixed-encodings', name, f'looks like {other}, unlike the others', split=plain[name][0])
    elif looks.encoding == 'colors' and not listing.values:
        for split in dict.fromkeys(split for split, _ in masks.values()):
            count = sum(name == split for name, _ in masks.values())
            found.add_general('color-masks', split, f'{count} masks')


def _is_no_label_ids(looks: MaskValues) -> bool:
    """Whether masks are no label ids: 255 occurs, or read as such they would be ignored for the most part."""
    from mmext.segmentation.datasets.label_encoding import LABEL_IDS_ONLY
    from mmext.segmentation.datasets.label_maps import LABEL_ID_TO_TRAIN_ID

    if looks.encoding != 'class_indices' or looks.counts.keys() & LABEL_IDS_ONLY:
        return looks.encoding == 'train_ids'
    ignored = sum(count for value, count in looks.counts.items() if LABEL_ID_TO_TRAIN_ID[value] == IGNORED)
    return 2 * ignored > looks.counts.total()


def _loses_foreground(listing: Listing) -> bool:
    """Whether 255 is ignored although there are classes besides that of 0."""
    return listing.values.get(IGNORED) in (None, listing.ignore_index) and len(listing.classes) > 1


def _add_all(found: FindingList, kind: str, masks: Masks, detail: str) -> None:
    for name, (split, _) in masks.items():
        found.add(kind, name, detail, split=split)


def _check_values(
    listing: Listing, name: str, record: Record, looks: MaskValues, found: FindingList, split: str
) -> None:
    """Faults of one mask; the first that explains the others is noted alone."""
    known = listing.values is not None
    colors = looks.encoding == 'colors' and not known
    pixels = record['size_hw'][0] * record['size_hw'][1]
    if is_continuous(record, len(looks.classes)):
        found.add('continuous-mask', name, f'{record["distinct"]} values', record['distinct'], split)
        return
    if record['color'] != colors or not is_usual(record, colors):
        what = f'mode {record["mode"]}, {record["bits"]} bits' + (', transparent' if record['alpha'] else '')
        found.add('mask-mode', name, what, split=split)
        return
    if any(found.has(kind, name) for kind in ('wrong-encoding', 'mixed-encodings', 'binary-255')):
        return
    wrong = {value: count for value, count in record['counts'] if value not in looks.values}
    if wrong and looks.encoding != 'continuous':
        value, count = max(wrong.items(), key=lambda item: item[1])
        detail = f'value {show_value(value, colors)} at {count} pixels' + (f', {len(wrong)} values' * (len(wrong) > 1))
        found.add('mask-values', name, detail, sum(wrong.values()) / pixels, split)
    elif all(looks.values.get(value) == listing.ignore_index for value, _ in record['counts']):
        values = ', '.join(show_value(value, colors) for value, _ in record['counts'][:3])
        found.add('empty-mask', name, f'only {values}', pixels, split)


def count_masks(scan: Scan, looks: MaskValues, split: str, summary: SplitSummary, found: FindingList) -> None:
    """Fill in pixels and images per class of one split, and note a class that has nearly all of them."""
    classes = len(looks.classes)
    summary.class_pixels, summary.class_images = [0] * classes, [0] * classes
    for sample in scan.listing.splits[split]:
        record = scan.annotation(sample)
        if record is None or record['status'] != 'ok' or record['color'] != (looks.encoding == 'colors'):
            continue
        seen = set()
        for value, count in record['counts']:
            label = looks.values.get(value)
            if label is not None and 0 <= label < classes:
                summary.class_pixels[label] += count
                seen.add(label)
            elif label is not None:
                summary.ignored_pixels += count
        for label in seen:
            summary.class_images[label] += 1
    total = sum(summary.class_pixels)
    # Values that are misread make no statement about classes.
    misread = looks.encoding == 'binary' or found.has_kind('wrong-encoding')
    if total and classes > 1 and not misread:
        most = max(range(classes), key=summary.class_pixels.__getitem__)
        if summary.class_pixels[most] > DOMINANT * total:
            share = f'{summary.class_pixels[most] / total:.3%} of the pixels are {looks.classes[most]!r}'
            found.add_general('dominant-class', split, share)


def describe_values(listing: Listing, looks: MaskValues) -> dict:
    """`Passport.values`."""
    color = looks.encoding == 'colors'
    counts = looks.counts.most_common(256)
    return {
        'encoding': looks.encoding,
        'expected': listing.encoding,
        'counts': {show_value(value, color): count for value, count in counts},
        'distinct': len(looks.counts),
    }
