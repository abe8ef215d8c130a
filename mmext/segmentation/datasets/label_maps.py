"""The Cityscapes label table: id, trainId, colour, name and category of every label (arXiv:1604.01685).

The single source for everything that maps labels: KITTI-seg uses the same policy. Three encodings of a mask occur in
the wild, and all of them derive from `LABELS`:

- *label ids* 0..33: what annotators store and what the KITTI and Cityscapes servers expect;
- *trainIds* 0..18 and 255 for everything that is not evaluated: what a network is trained on;
- *colours*: RGB, uint8, one colour a label (several void labels share black).
"""

from typing import NamedTuple

import numpy as np

IGNORE_INDEX = 255


class Label(NamedTuple):
    """One row of the table. `color` is RGB in 0..255; `train_id` is 255 (or -1) where a label is not evaluated."""

    name: str
    id: int
    train_id: int
    category: str
    category_id: int
    color: tuple[int, int, int]

    @property
    def is_evaluated(self) -> bool:
        return 0 <= self.train_id < IGNORE_INDEX


LABELS = (
    Label('unlabeled', 0, 255, 'void', 0, (0, 0, 0)),
    Label('ego vehicle', 1, 255, 'void', 0, (0, 0, 0)),
    Label('rectification border', 2, 255, 'void', 0, (0, 0, 0)),
    Label('out of roi', 3, 255, 'void', 0, (0, 0, 0)),
    Label('static', 4, 255, 'void', 0, (0, 0, 0)),
    Label('dynamic', 5, 255, 'void', 0, (111, 74, 0)),
    Label('ground', 6, 255, 'void', 0, (81, 0, 81)),
    Label('road', 7, 0, 'flat', 1, (128, 64, 128)),
    Label('sidewalk', 8, 1, 'flat', 1, (244, 35, 232)),
    Label('parking', 9, 255, 'flat', 1, (250, 170, 160)),
    Label('rail track', 10, 255, 'flat', 1, (230, 150, 140)),
    Label('building', 11, 2, 'construction', 2, (70, 70, 70)),
    Label('wall', 12, 3, 'construction', 2, (102, 102, 156)),
    Label('fence', 13, 4, 'construction', 2, (190, 153, 153)),
    Label('guard rail', 14, 255, 'construction', 2, (180, 165, 180)),
    Label('bridge', 15, 255, 'construction', 2, (150, 100, 100)),
    Label('tunnel', 16, 255, 'construction', 2, (150, 120, 90)),
    Label('pole', 17, 5, 'object', 3, (153, 153, 153)),
    Label('polegroup', 18, 255, 'object', 3, (153, 153, 153)),
    Label('traffic light', 19, 6, 'object', 3, (250, 170, 30)),
    Label('traffic sign', 20, 7, 'object', 3, (220, 220, 0)),
    Label('vegetation', 21, 8, 'nature', 4, (107, 142, 35)),
    Label('terrain', 22, 9, 'nature', 4, (152, 251, 152)),
    Label('sky', 23, 10, 'sky', 5, (70, 130, 180)),
    Label('person', 24, 11, 'human', 6, (220, 20, 60)),
    Label('rider', 25, 12, 'human', 6, (255, 0, 0)),
    Label('car', 26, 13, 'vehicle', 7, (0, 0, 142)),
    Label('truck', 27, 14, 'vehicle', 7, (0, 0, 70)),
    Label('bus', 28, 15, 'vehicle', 7, (0, 60, 100)),
    Label('caravan', 29, 255, 'vehicle', 7, (0, 0, 90)),
    Label('trailer', 30, 255, 'vehicle', 7, (0, 0, 110)),
    Label('train', 31, 16, 'vehicle', 7, (0, 80, 100)),
    Label('motorcycle', 32, 17, 'vehicle', 7, (0, 0, 230)),
    Label('bicycle', 33, 18, 'vehicle', 7, (119, 11, 32)),
    Label('license plate', -1, -1, 'vehicle', 7, (0, 0, 142)),
)

EVALUATED = tuple(sorted((label for label in LABELS if label.is_evaluated), key=lambda label: label.train_id))
CLASSES = tuple(label.name for label in EVALUATED)
PALETTE = tuple(label.color for label in EVALUATED)
CATEGORIES = tuple(label.category for label in EVALUATED)

MAX_LABEL_ID = max(label.id for label in LABELS)


def _lookup(pairs: list[tuple[int, int]]) -> np.ndarray:
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    for source, target in pairs:
        table[source] = target
    table.setflags(write=False)
    return table


# Lookup tables of shape (256,), uint8: `TABLE[mask]` maps a whole mask in one pass.
LABEL_ID_TO_TRAIN_ID = _lookup([(label.id, label.train_id) for label in EVALUATED])
# Ignored pixels become `unlabeled`, the id that the servers expect where nothing is predicted.
TRAIN_ID_TO_LABEL_ID = _lookup([(label.train_id, label.id) for label in EVALUATED] + [(IGNORE_INDEX, 0)])


def _color_table() -> dict[int, int]:
    # Evaluated labels are entered last: `license plate` shares the colour of `car` and must not win over it.
    ordered = sorted(LABELS, key=lambda label: label.is_evaluated)
    return {pack_color(label.color): label.train_id if label.is_evaluated else IGNORE_INDEX for label in ordered}


def pack_color(color: tuple[int, int, int]) -> int:
    """One integer for an RGB triple: 0xRRGGBB."""
    red, green, blue = color
    return (int(red) << 16) | (int(green) << 8) | int(blue)


# 0xRRGGBB -> trainId; `polegroup` has the colour of `pole`, so colour masks cannot tell the two apart.
COLOR_TO_TRAIN_ID = _color_table()


def to_label_ids(train_ids: np.ndarray) -> np.ndarray:
    """TrainIds (any shape, 0..18 or 255) -> label ids of the same shape, uint8; 255 becomes 0, `unlabeled`.

    Raises:
        ValueError: a value is neither an evaluated trainId nor 255.
    """
    wrong = sorted(set(np.unique(train_ids).tolist()) - {*range(len(CLASSES)), IGNORE_INDEX})
    if wrong:
        raise ValueError(f'values {wrong} are no trainIds: expected 0..{len(CLASSES) - 1} or {IGNORE_INDEX}')
    return TRAIN_ID_TO_LABEL_ID[train_ids]


def to_colors(train_ids: np.ndarray) -> np.ndarray:
    """TrainIds (H, W) -> RGB picture (H, W, 3), uint8; everything outside 0..18 is black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(PALETTE)] = PALETTE
    return table[train_ids]
