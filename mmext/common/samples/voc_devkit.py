"""Writes rendered scenes of the twenty Pascal VOC classes in the layout of VOCdevkit (VOC2007 and VOC2012)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from mmext.common.files import UNFINISHED, replacing, write_text
from mmext.common.samples.kitti_seg import check_folder
from mmext.common.samples.voc_devkit_layout import Plan, plan_pictures, render_picture
from mmext.common.samples.voc_devkit_scene import SceneObject

# (year, list) -> pictures in it; 'trainval' of a year is 'train' and 'val' together
COUNTS = {
    ('2007', 'train'): 84,
    ('2007', 'val'): 84,
    ('2007', 'test'): 56,
    ('2012', 'train'): 10,
    ('2012', 'val'): 34,
}
SIZE_HW = (192, 256)
QUALITY = 85

README = """\
# VOCdevkit: embedded detection scenes

{total} procedural pictures of {width} x {height} pixels (some upright) with boxes, in the layout of Pascal VOC:

    VOC2007/JPEGImages/000001.jpg         picture
    VOC2007/Annotations/000001.xml        boxes: 1-based, inclusive pixels; pose, truncated, difficult
    VOC2007/ImageSets/Main/train.txt      image ids; also val.txt, trainval.txt and test.txt
    VOC2012/...                           the same, with train.txt, val.txt and trainval.txt

{table}

All twenty classes occur in every part, about equally often. A box holds the seen part of an object. Objects that leave
the picture are `truncated`; objects of less than 16 pixels and objects that are covered for the most part are
`difficult`. The scenes are for trying tools and for tests: scores on them say nothing about photographs.

Made by `python tools/prepare/make_samples.py --only VOCdevkit --seed {seed}`; the same seed gives the same boxes and
pixels (those of the JPEG files as far as the JPEG library is the same). Nothing in them is photographed or taken from
another data set. Licence: Apache-2.0, as the project.
"""

Counts = Mapping[tuple[str, str], int]


def image_ids(counts: Counts, seed: int) -> dict[tuple[str, str], list[str]]:
    """Ids of each list in ascending order; the lists of a year take turns at random, as in VOC."""
    ids: dict[tuple[str, str], list[str]] = {key: [] for key in counts}
    for year in sorted({year for year, _ in counts}):
        keys = [key for key in counts if key[0] == year for _ in range(counts[key])]
        rng = np.random.Generator(np.random.PCG64([seed, int(year)]))
        for number, k in enumerate(rng.permutation(len(keys)), start=1):
            ids[keys[k]].append(f'{number:06d}' if year == '2007' else f'{2008 + number % 4}_{number:06d}')
    return {key: sorted(names) for key, names in ids.items()}


def plans_of(counts: Counts, seed: int) -> dict[tuple[str, str], list[Plan]]:
    """Scene and classes of every picture of each list, in the order of the ids; each list is balanced on its own."""
    plans = {}
    for k, (key, count) in enumerate(sorted(counts.items())):
        plans[key] = plan_pictures(np.random.Generator(np.random.PCG64([seed, k, 1])), count)
    return plans


def render(
    seed: int, year: str, name: str, plan: Plan, size_hw: tuple[int, int] = SIZE_HW
) -> tuple[np.ndarray, list[SceneObject]]:
    """Picture (H, W, 3) RGB uint8 and its annotated objects; seeded by the id ``name``."""
    return render_picture([seed, int(year), int(name.replace('_', ''))], plan, size_hw)


def annotation_xml(year: str, name: str, size_hw: tuple[int, int], objects: Sequence[SceneObject]) -> str:
    """Text of an annotation file, tabs and tags as in VOC's own."""
    root = ET.Element('annotation')

    def add(parent: ET.Element, **texts: object) -> None:
        for tag, text in texts.items():
            ET.SubElement(parent, tag).text = str(text)

    add(root, folder=f'VOC{year}', filename=f'{name}.jpg')
    add(ET.SubElement(root, 'source'), database='Rendered scenes', annotation=f'VOC{year} layout')
    add(ET.SubElement(root, 'size'), width=size_hw[1], height=size_hw[0], depth=3)
    add(root, segmented=0)
    for found in objects:
        node = ET.SubElement(root, 'object')
        flags = {'truncated': int(found.truncated), 'difficult': int(found.difficult)}
        add(node, name=found.name, pose=found.pose, **flags)
        add(
            ET.SubElement(node, 'bndbox'),
            **dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), found.box, strict=True)),
        )
    ET.indent(root, '\t')
    return ET.tostring(root, encoding='unicode') + '\n'


def _lists(ids: Mapping[tuple[str, str], Sequence[str]]) -> dict[tuple[str, str], list[str]]:
    """The lists as files: ``trainval`` joins ``train`` and ``val`` of its year where both are there."""
    joined = {
        (year, 'trainval'): sorted([*ids[year, 'train'], *ids[year, 'val']])
        for year, part in ids
        if part == 'val' and (year, 'train') in ids
    }
    return {key: list(names) for key, names in ids.items()} | joined


def file_names(counts: Counts | None = None) -> list[str]:
    """Every file of the set, relative to its folder, with '/' between folders; they are the same for every seed."""
    ids = image_ids(COUNTS if counts is None else counts, seed=0)
    names = [
        f'VOC{year}/{kind}'
        for (year, _), stems in ids.items()
        for stem in stems
        for kind in (f'JPEGImages/{stem}.jpg', f'Annotations/{stem}.xml')
    ]
    return [*names, *(f'VOC{year}/ImageSets/Main/{part}.txt' for year, part in _lists(ids)), 'README.md']


def write_voc_devkit(
    out: Path, seed: int, counts: Counts | None = None, size_hw: tuple[int, int] = SIZE_HW
) -> Iterator[tuple[int, int]]:
    """Renders the set into ``out``, over an earlier rendering of the same size if there is one.

    Args:
        out: folder that holds ``VOC2007`` and ``VOC2012`` afterwards.
        seed: 0 or greater.
        counts: pictures of each (year, list), ``COUNTS`` when left out.
        size_hw: of a picture that is not upright.

    Yields:
        (pictures written, pictures in all) after each picture.

    Raises:
        FileExistsError: ``out`` holds files that are not part of the set.
    """
    counts = COUNTS if counts is None else counts
    check_folder(out, file_names(counts))
    ids, plans, total, done = image_ids(counts, seed), plans_of(counts, seed), sum(counts.values()), 0
    for (year, part), stems in ids.items():
        for stem, plan in zip(stems, plans[year, part], strict=True):
            picture, objects = render(seed, year, stem, plan, size_hw)
            with replacing(out / f'VOC{year}' / 'JPEGImages' / f'{stem}.jpg') as unfinished:
                Image.fromarray(picture).save(unfinished, format='JPEG', quality=QUALITY, optimize=True)
            xml = annotation_xml(year, stem, picture.shape[:2], objects)
            write_text(out / f'VOC{year}' / 'Annotations' / f'{stem}.xml', xml)
            done += 1
            yield done, total
    for (year, part), stems in _lists(ids).items():
        write_text(out / f'VOC{year}' / 'ImageSets' / 'Main' / f'{part}.txt', ''.join(f'{stem}\n' for stem in stems))
    table = '\n'.join(f'    VOC{year} {part:<6} {count:>4} pictures' for (year, part), count in counts.items())
    text = README.format(total=total, height=size_hw[0], width=size_hw[1], table=table, seed=seed)
    write_text(out / 'README.md', text)
    for leftover in out.rglob(UNFINISHED):
        leftover.unlink()
