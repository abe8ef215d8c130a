"""Writes rendered cats and dogs as folders of pictures whose class stands in the file name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmext.common.files import UNFINISHED, replacing, write_text
from mmext.common.samples.kitti_seg import check_folder
from mmext.common.samples.voc_devkit_backgrounds import meadow, room, shore, street
from mmext.common.samples.voc_devkit_scene import Item, paint
from mmext.common.samples.voc_objects import OBJECTS
from mmext.common.samples.voc_objects_brush import Pose, one_of

CLASSES = ('cat', 'dog')
COUNTS = {'train': 60, 'val': 20, 'test': 10}
# The two ways in which collections of pets spell their names; those of test say nothing.
NAMES = {'cat': 'cat_{}.jpg', 'dog': 'dog.{}.jpg'}
SIDE_PX = (72, 96)
HEIGHT_SHARE = (0.46, 0.72)  # of the picture's height
WIDTH_SHARE = 0.92  # of its width, at most
SCENES = (meadow, room, shore, street)
QUALITY = 88

README = """\
# pets: embedded cats and dogs

{train} training, {val} validation and {test} test pictures of {low} to {high} pixels a side; half of each are cats:

    train/cat_1.jpg  train/dog.1.jpg    the class is the part of the name before the number
    val/cat_1.jpg    val/dog.1.jpg
    test/1.jpg                          not labelled

Place, size, direction, fur and background are random. The pictures are for trying tools and for tests: scores on them
say nothing about photographs.

Made by `python tools/prepare/make_samples.py --only pets --seed {seed}`; the same seed gives the same pixels (those of
the JPEG files as far as the JPEG library is the same). Nothing in them is photographed or taken from another data set.
Licence: Apache-2.0, as the project.
"""


def label_of(seed: int, split: str, index: int) -> str:
    """Class of a picture: by turns, except in ``test``, where half are cats in random order."""
    turns = np.arange(COUNTS[split]) % len(CLASSES)
    if split == 'test':
        turns = np.random.Generator(np.random.PCG64([seed, 7])).permutation(turns)
    return CLASSES[turns[index]]


def name_of(split: str, index: int) -> str:
    """File name of a picture, without its folder; the same for every seed."""
    if split == 'test':
        return f'{index + 1}.jpg'
    return NAMES[label_of(0, split, index)].format(index // len(CLASSES) + 1)


def render(seed: int, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) RGB uint8 and where its animal is, (H, W) bool."""
    rng = np.random.Generator(np.random.PCG64([seed, list(COUNTS).index(split), index]))
    name = label_of(seed, split, index)
    height, width = (int(side) for side in rng.integers(SIDE_PX[0], SIDE_PX[1] + 1, 2))
    image, zones = one_of(rng, SCENES)(rng, (height, width))
    tall = min(rng.uniform(*HEIGHT_SHARE) * height, WIDTH_SHARE * width / OBJECTS[name].aspect)
    half = 0.5 * OBJECTS[name].aspect * tall
    top, foot = zones['ground']
    pose = Pose(
        rng.uniform(half, width - half),
        rng.uniform(max(top, tall), foot),
        tall,
        rng.random() < 0.5,
        rng.uniform(-0.06, 0.06),
        rng.uniform(0.94, 1.06),
        rng.uniform(0.85, 1.1),
    )
    picture, (animal,) = paint(image, [Item(name, pose, 0.0, int(rng.integers(1 << 31)))])
    return picture, animal.mask


def file_names() -> list[str]:
    """Every file of the set, relative to its folder, with '/' between folders."""
    return [*(f'{split}/{name_of(split, k)}' for split, count in COUNTS.items() for k in range(count)), 'README.md']


def write_pets(out: Path, seed: int) -> Iterator[tuple[int, int]]:
    """Renders the set into ``out``, over an earlier rendering if there is one.

    Yields:
        (pictures written, pictures in all) after each picture.

    Raises:
        FileExistsError: ``out`` holds files that are not part of the set.
    """
    check_folder(out, file_names())
    done, total = 0, sum(COUNTS.values())
    for split, count in COUNTS.items():
        for index in range(count):
            picture, _ = render(seed, split, index)
            with replacing(out / split / name_of(split, index)) as unfinished:
                Image.fromarray(picture).save(unfinished, format='JPEG', quality=QUALITY, optimize=True)
            done += 1
            yield done, total
    write_text(out / 'README.md', README.format(seed=seed, low=SIDE_PX[0], high=SIDE_PX[1], **COUNTS))
    for leftover in out.rglob(UNFINISHED):
        leftover.unlink()
