"""Tells what the values of a folder's masks are: label ids, trainIds, class indices, colours, 0/255, or no labels.

Each mask alone says little - a frame without sky and cars fits several encodings - so the values of all are judged.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .records import MAX_VALUES, Record

# More distinct values in one channel than this are no classes, unless as many classes are named.
MAX_CLASSES = 192
IGNORED = 255
# Of label ids, at least this share of the pixels belongs to labels that are evaluated.
MIN_EVALUATED = 0.5


@dataclass
class MaskValues:
    """What the values of a dataset's masks look like.

    Attributes:
        encoding: ``'label_ids'`` and ``'train_ids'`` (of Cityscapes), ``'class_indices'``, ``'colors'``, ``'binary'``
            (0 and 255), ``'continuous'`` (no labels), or ``''`` (no mask could be read).
        counts: Value -> pixels; colours as 0xRRGGBB.
        values: Value -> class index or 255 (ignored), for all values that occur or are known to be right.
        classes: Names of the class indices, as far as the encoding says them, else the values as text.
        palette: RGB of each class where the masks are colours or the encoding says it, else empty.
    """

    encoding: str = ''
    counts: Counter[int] = field(default_factory=Counter)
    values: dict[int, int] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)


def total_counts(records: Iterable[Record]) -> Counter[int]:
    """Value -> pixels over all masks."""
    total: Counter[int] = Counter()
    for record in records:
        total.update(dict(map(tuple, record['counts'])))
    return total


def is_continuous(record: Record, classes: int = 0) -> bool:
    """Whether a mask has so many values that they are no classes."""
    return record['distinct'] > max(MAX_CLASSES, classes + 1) or record['mode'] == 'F'


def is_usual(record: Record, colors: bool) -> bool:
    """Whether a mask can be read as the others: three channels among colours, else one channel of at most 8 bits."""
    if record['alpha']:
        return False
    if colors:
        return record['channels'] == 3 or record['mode'] == 'P'
    return record['mode'] in ('1', 'L', 'P') and record['bits'] <= 8


def mostly_colors(records: list[Record]) -> bool:
    """Whether more than half of the masks are colour pictures."""
    return 2 * sum(record['color'] for record in records) > len(records)


def look_at(records: list[Record]) -> MaskValues:
    """What the masks look like, from the records of those that could be read."""
    if not records:
        return MaskValues()
    colors = mostly_colors(records)
    usual = [record for record in records if record['color'] == colors and is_usual(record, colors)]
    plain = [record for record in usual if not is_continuous(record)]
    if 2 * len(plain) < len(usual) or not plain:
        return MaskValues('continuous', total_counts(records))
    counts = total_counts(plain)
    return _colors(counts) if colors else _indices(plain, counts)


def _colors(counts: Counter[int]) -> MaskValues:
    from mmext.segmentation.datasets.label_maps import CLASSES, COLOR_TO_TRAIN_ID, PALETTE
    from mmext.segmentation.datasets.land_cover import COLORS

    if len(counts) > MAX_VALUES:
        return MaskValues('continuous', counts)
    land_cover = {(red << 16) | (green << 8) | blue: index for index, (red, green, blue) in enumerate(COLORS.values())}
    for known, names, palette in (
        (land_cover, list(COLORS), [list(color) for color in COLORS.values()]),
        (COLOR_TO_TRAIN_ID, list(CLASSES), [list(color) for color in PALETTE]),
    ):
        if counts.keys() <= known.keys():
            return MaskValues('colors', counts, dict(known), names, palette)
    values = {value: index for index, value in enumerate(sorted(counts))}
    palette = [[value >> 16, value >> 8 & 255, value & 255] for value in values]
    return MaskValues('colors', counts, values, [f'#{value:06x}' for value in values], palette)


def _indices(records: list[Record], counts: Counter[int]) -> MaskValues:
    if counts.keys() <= {0, IGNORED} and IGNORED in counts:
        return MaskValues('binary', counts, {0: 0, IGNORED: 1}, ['0', '255'])
    own = [{int(value) for value, _ in record['counts']} for record in records]
    encoding = encoding_of(own, counts)
    if encoding == 'label_ids':
        from mmext.segmentation.datasets.label_maps import CLASSES, LABEL_ID_TO_TRAIN_ID, MAX_LABEL_ID, PALETTE

        values = {value: int(LABEL_ID_TO_TRAIN_ID[value]) for value in range(MAX_LABEL_ID + 1)}
        return MaskValues(encoding, counts, values, list(CLASSES), [list(color) for color in PALETTE])
    present = sorted(value for value in counts if value != IGNORED)
    # Indices count from 0, whether or not all of them occur.
    classes = [str(value) for value in range(present[-1] + 1)] if present else []
    return MaskValues(encoding, counts, {**{value: value for value in present}, IGNORED: IGNORED}, classes)


def encoding_of(values: list[set[int]], counts: Mapping[int, int]) -> str:
    """The encoding of one-channel masks, from the values of each and the pixels of all.

    Masks are taken for label ids only if their pixels are where label ids have them (roads, buildings, vegetation,
    sky), as a data set of 20 to 34 classes of its own has the same range of values.
    """
    from mmext.segmentation.datasets.label_encoding import (
        LABEL_IDS,
        LABEL_IDS_ONLY,
        TRAIN_IDS,
        guess_encoding_of_values,
    )
    from mmext.segmentation.datasets.label_maps import LABEL_ID_TO_TRAIN_ID

    guesses = Counter(guess_encoding_of_values(found, is_color=False) for found in values)
    if guesses['label_ids'] > guesses['train_ids'] and counts.keys() - {IGNORED} <= LABEL_IDS:
        ids = {value: count for value, count in counts.items() if value in LABEL_IDS}
        evaluated = sum(count for value, count in ids.items() if LABEL_ID_TO_TRAIN_ID[value] != IGNORED)
        both = sum(IGNORED in found and not LABEL_IDS_ONLY.isdisjoint(found) for found in values)
        if not both and evaluated >= MIN_EVALUATED * sum(ids.values()) and 7 in ids and ids.keys() & {11, 21, 23, 26}:
            return 'label_ids'
    return 'train_ids' if guesses['train_ids'] and counts.keys() <= TRAIN_IDS else 'class_indices'


def mixed_with_label_ids(values: list[set[int]], encoding: str) -> list[int]:
    """Indices of the masks whose values tell another encoding than all together, where both are of Cityscapes."""
    from mmext.segmentation.datasets.label_encoding import LABEL_IDS, LABEL_IDS_ONLY, TRAIN_IDS

    if encoding == 'label_ids':
        return [index for index, found in enumerate(values) if IGNORED in found and found <= TRAIN_IDS]
    label_ids = [index for index, found in enumerate(values) if found & LABEL_IDS_ONLY and found <= LABEL_IDS]
    others = [index for index, found in enumerate(values) if index not in set(label_ids)]
    # Masks of a data set with more classes hold high values and 255 together somewhere.
    is_train_ids = others and all(values[index] <= TRAIN_IDS for index in others)
    decisive = sum(IGNORED in values[index] for index in others)
    return label_ids if is_train_ids and decisive > len(label_ids) else []


def show_value(value: float, color: bool) -> str:
    """A value for people: ``#rrggbb`` or the number."""
    return f'#{int(value):06x}' if color else f'{value:g}'
