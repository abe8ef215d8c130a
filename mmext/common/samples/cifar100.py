"""Writes rendered pictures in the files and the format of CIFAR-100's Python version."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmext.common.files import UNFINISHED, replacing, write_text
from mmext.common.samples.cifar100_names import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES
from mmext.common.samples.cifar100_pickle import dumps
from mmext.common.samples.cifar100_scene import SIZE, render_class
from mmext.common.samples.kitti_seg import check_folder

FOLDER = 'cifar-100-python'
# split -> pictures of each class
COUNTS = {'train': 5, 'test': 2}
BATCH_LABELS = {'train': b'training batch 1 of 1', 'test': b'testing batch 1 of 1'}
# MD5 sums of the committed files, those of seed 0; the data set class unpickles no others
SUMS = {
    'train': '2acfe1269c116fcc7e5878bfc75f9ea3',
    'test': '4a2d4be53b0d54ad1fa9bc0ac8bb9e91',
    'meta': '03a7d2f1ff1542f66b23d219e2d9f708',
}

README = """\
# cifar100: embedded pictures in CIFAR-100's format

{train} training and {test} test pictures of 32 x 32 pixels in the files of CIFAR-100's Python version:

    cifar-100-python/train    pickle: data ({train}, 3072) uint8, rows of red, green and blue planes;
                              fine_labels, coarse_labels, filenames, batch_label
    cifar-100-python/test     the same with {test} rows
    cifar-100-python/meta     pickle: fine_label_names (100), coarse_label_names (20)

Every class occurs {per_train} times in train and {per_test} times in test. A coarse class has an outline of its own
(fish, tree, ...), and its five fine classes wear five coats: plain yellow, hoops of red and white, green stripes, white
dots on blue, pink over purple. An outline stands only roughly for its class, a coat not at all; place, size, tilt,
light and background are random. The pictures are for trying tools and for tests: scores on them say nothing about
CIFAR-100.

Made by `python tools/prepare/make_samples.py --only cifar100 --seed {seed}`; the same seed gives the same bytes.
`SampleCIFAR100` reads the files of seed 0 alone, after a check of their MD5 sums. Nothing in them is photographed or
taken from another data set; the names of the classes are CIFAR-100's. Licence: Apache-2.0, as the project.
"""


def classes_of(seed: int, split: str) -> list[int]:
    """Fine class of each picture of a split, mixed as in the original."""
    fine = np.repeat(np.arange(len(FINE_NAMES)), COUNTS[split])
    rng = np.random.Generator(np.random.PCG64([seed, list(COUNTS).index(split)]))
    return rng.permutation(fine).tolist()


def render(seed: int, split: str, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Picture ``index`` of a split: (32, 32, 3) RGB uint8, where its object is (32, 32) bool, and its fine class."""
    fine = classes_of(seed, split)[index]
    return *render_class([seed, list(COUNTS).index(split), index], fine), fine


def batch(split: str, data: np.ndarray, fine: Sequence[int]) -> bytes:
    """A file of the set.

    Args:
        split: ``'train'`` or ``'test'``.
        data: Pictures (N, 32, 32, 3), RGB uint8.
        fine: Fine class of each.
    """
    names = [f'{FINE_NAMES[label]}_s_{number:06d}.png'.encode() for number, label in enumerate(fine)]
    return dumps(
        {
            b'filenames': names,
            b'batch_label': BATCH_LABELS[split],
            b'fine_labels': list(fine),
            b'coarse_labels': [COARSE_OF_FINE[label] for label in fine],
            b'data': data.transpose(0, 3, 1, 2).reshape(len(fine), 3 * SIZE * SIZE),
        }
    )


def meta() -> bytes:
    """The file of names."""
    kinds = {b'fine_label_names': FINE_NAMES, b'coarse_label_names': COARSE_NAMES}
    return dumps({kind: [name.encode() for name in names] for kind, names in kinds.items()})


def file_names() -> list[str]:
    """Every file of the set, relative to its folder, with '/' between folders."""
    return [*(f'{FOLDER}/{name}' for name in (*COUNTS, 'meta')), 'README.md']


def write_cifar100(out: Path, seed: int) -> Iterator[tuple[int, int]]:
    """Renders the set into ``out``, over an earlier rendering if there is one.

    Yields:
        (pictures rendered, pictures in all) after each picture.

    Raises:
        FileExistsError: ``out`` holds files that are not part of the set.
    """
    check_folder(out, file_names())
    sizes = {split: count * len(FINE_NAMES) for split, count in COUNTS.items()}
    files, done = {'meta': meta()}, 0
    for number, split in enumerate(COUNTS):
        fine = classes_of(seed, split)
        data = np.empty((sizes[split], SIZE, SIZE, 3), dtype=np.uint8)
        for index, label in enumerate(fine):
            data[index], _ = render_class([seed, number, index], label)
            done += 1
            yield done, sum(sizes.values())
        files[split] = batch(split, data, fine)
    for name, content in files.items():
        with replacing(out / FOLDER / name) as unfinished:
            unfinished.write_bytes(content)
    per_class = {f'per_{split}': count for split, count in COUNTS.items()}
    write_text(out / 'README.md', README.format(seed=seed, **sizes, **per_class))
    for leftover in out.rglob(UNFINISHED):
        leftover.unlink()
