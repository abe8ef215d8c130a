"""What masks look like, from their values alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.inspection.mask_encodings import look_at, mixed_with_label_ids
from mmext.inspection.records import Record, open_file
from mmext.inspection.scan import inspect_data

HW = (20, 30)


def records(folder: Path, *masks: np.ndarray) -> list[Record]:
    folder.mkdir(exist_ok=True)
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f'{number}.png')
    return [open_file('mask', folder / f'{number}.png') for number in range(len(masks))]


def filled(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """Rows of each value in turn."""
    return np.resize(np.array(values, dtype=dtype), HW[0])[:, None].repeat(HW[1], axis=1)


@pytest.mark.parametrize(
    ('masks', 'encoding'),
    [
        ([filled(7, 8, 11, 21, 23, 26, 0), filled(7, 11, 4)], 'label_ids'),
        ([filled(0, 1, 2, 13, 255), filled(0, 8)], 'train_ids'),
        ([filled(0, 1, 2)], 'class_indices'),
        # 21 classes of PASCAL VOC: high values and 255 in one mask
        ([filled(0, 20, 255), filled(0, 15, 255), filled(0, 20)], 'class_indices'),
        # 25 classes of a data set of its own, that are not where roads and cars are
        ([filled(*range(25)), filled(1, 2, 24)], 'class_indices'),
        ([filled(0, 150)], 'class_indices'),
        ([filled(0, 255)], 'binary'),
        ([np.arange(600, dtype=np.uint16).reshape(HW)], 'continuous'),
        ([np.stack([filled(128, 70), filled(64, 70), filled(128, 70)], axis=2)], 'colors'),
        ([], ''),
    ],
)
def test_encodings(tmp_path: Path, masks: list[np.ndarray], encoding: str) -> None:
    assert look_at(records(tmp_path, *masks)).encoding == encoding


def test_colours_get_the_names_of_their_table(tmp_path: Path) -> None:
    def color(*rows: tuple[int, int, int]) -> np.ndarray:
        return np.stack([filled(*channel) for channel in zip(*rows, strict=True)], axis=2)

    streets = look_at(records(tmp_path, color((128, 64, 128), (0, 0, 142), (0, 0, 0))))
    assert (streets.classes[0], streets.values[0x804080], streets.values[0x00008E], streets.values[0]) == (
        'road',
        0,
        13,
        255,
    )
    land = look_at(records(tmp_path, color((0, 255, 255), (0, 0, 0))))
    assert land.classes[0] == 'urban'
    unknown = look_at(records(tmp_path, color((1, 2, 3), (9, 9, 9))))
    assert (unknown.classes, unknown.palette) == (['#010203', '#090909'], [[1, 2, 3], [9, 9, 9]])


def test_the_minority_of_two_encodings_is_named() -> None:
    train_ids, label_ids, either = {0, 1, 255}, {7, 21, 23}, {7, 8}
    assert mixed_with_label_ids([train_ids, train_ids, label_ids, either], 'class_indices') == [2]
    assert mixed_with_label_ids([label_ids, label_ids, train_ids, either], 'label_ids') == [2]
    assert mixed_with_label_ids([train_ids, {0, 20, 255}, label_ids], 'class_indices') == []
    assert mixed_with_label_ids([either, either], 'class_indices') == []


@pytest.mark.parametrize(
    ('masks', 'kinds'),
    [
        ([filled(7, 8, 11, 21, 23, 26)] * 4 + [filled(0, 1, 8, 255)], {'mixed-encodings': 1}),
        ([filled(0, 1, 8, 255)] * 4 + [filled(7, 8, 11, 21, 23, 26)], {'mixed-encodings': 1}),
        ([filled(0, 255)] * 3, {'binary-255': 3}),
        ([np.random.default_rng(0).integers(0, 256, HW, dtype=np.uint8)] * 3, {'continuous-mask': 3}),
        ([filled(0, 1, 2)] * 3 + [filled(0, 1, 2, dtype=np.uint16)], {'mask-mode': 1}),
    ],
)
def test_findings_about_encodings(tmp_path: Path, masks: list[np.ndarray], kinds: dict[str, int]) -> None:
    """Without a list of classes, the masks are judged against each other."""
    records(tmp_path / 'masks', *masks)
    images = tmp_path / 'images'
    images.mkdir()
    for number in range(len(masks)):
        noise = np.random.default_rng(number).integers(0, 256, (*HW, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / f'{number}.png')
    found = inspect_data(tmp_path, workers=0).findings
    assert {finding.kind: finding.count for finding in found if finding.kind != 'absent-class'} == kinds
