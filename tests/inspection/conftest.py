"""Small data sets on disk, one for each task, without any fault; tests plant theirs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HW = (40, 60)
NAMES = ('dog', 'cat', 'bird')


def noise(seed: int, size_hw: tuple[int, int] = HW) -> Image.Image:
    """A picture like no other."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8))


def labels(seed: int, size_hw: tuple[int, int] = HW) -> np.ndarray:
    """A mask of the classes 0..2 in bands, some pixels of it ignored."""
    mask = np.repeat(np.arange(size_hw[0])[:, None] * 3 // size_hw[0], size_hw[1], axis=1)
    mask = np.roll(mask, seed, axis=0).astype(np.uint8)
    mask[:2] = 255
    return mask


def voc_xml(boxes: list[tuple], size_hw: tuple[int, int] = HW) -> str:
    """An annotation; boxes are (name, xmin, ymin, xmax, ymax) as VOC writes them."""
    objects = ''.join(
        f'<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>'
        f'<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
        for name, x1, y1, x2, y2 in boxes
    )
    height, width = size_hw
    size = f'<size><width>{width}</width><height>{height}</height><depth>3</depth></size>'
    return f'<annotation>{size}{objects}</annotation>'


def make_segmentation(root: Path) -> Path:
    """``images/{train,val}`` and ``labels/{train,val}``, 12 and 4 pairs, three classes by ``classes.txt``."""
    for split, numbers in (('train', range(12)), ('val', range(12, 16))):
        for kind in ('images', 'labels'):
            (root / kind / split).mkdir(parents=True)
        for number in numbers:
            noise(number).save(root / 'images' / split / f'{number:02}.png')
            Image.fromarray(labels(number)).save(root / 'labels' / split / f'{number:02}.png')
    (root / 'classes.txt').write_text('road\ncar\nsky\n')
    return root


def make_detection(root: Path) -> Path:
    """``images/{train,val}/*.jpg`` and ``annotations/{train,val}/*.xml``, 12 and 4 pairs, classes `NAMES`."""
    for split, numbers in (('train', range(12)), ('val', range(12, 16))):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for number in numbers:
            noise(number).save(root / 'images' / split / f'{number:02}.jpg')
            boxes = [(NAMES[number % 3], 1, 1, 20, 30), (NAMES[(number + 1) % 3], 10 + number, 5, 60, 40)]
            (root / 'annotations' / split / f'{number:02}.xml').write_text(voc_xml(boxes))
    (root / 'classes.txt').write_text('\n'.join(NAMES))
    return root


def make_classification(root: Path) -> Path:
    """``{train,val}/<class>/*.png``, four and two pictures of each class."""
    for split, numbers in (('train', range(4)), ('val', range(4, 6))):
        for index, name in enumerate(NAMES):
            (root / split / name).mkdir(parents=True)
            for number in numbers:
                noise(100 * index + number).save(root / split / name / f'{name}{number}.png')
    return root


@pytest.fixture
def clean(tmp_path: Path) -> Callable[[str], Path]:
    """Make the clean data set of a task in a folder of its own."""
    makers = {
        'segmentation': make_segmentation,
        'detection': make_detection,
        'classification': make_classification,
    }
    return lambda task: makers[task](tmp_path / task)
