"""Writes the rendered street scenes as a KITTI semantic segmentation set in the raw layout of the benchmark."""

from collections.abc import Iterator
from pathlib import Path

from mmext.common.files import UNFINISHED, write_text
from mmext.common.samples.palette_png import reduce_colours, write_png
from mmext.common.samples.street_scene import FRAME_COUNT, render_frame, split_of

COLOURS = 112

README = """\
# kitti_seg: embedded street scenes

32 procedural street scenes of 1242 x 375 pixels in the raw layout of KITTI's semantic segmentation benchmark:

    training/image_2/000000_10.png    picture (palette PNG, {colours} colours; cv2 and PIL expand it to RGB)
    training/semantic/000000_10.png   mask (8-bit grey, Cityscapes label ids 0-33, not trainIds)
    train.txt  val.txt                {train} and {val} file stems; every fourth frame validates

All 19 Cityscapes train classes occur in both splits, next to some regions that training ignores (unlabeled, static,
dynamic, ground, parking, rail track). Pixels are as unbalanced as on a real street, and picture and mask come from the
same polygons, so they agree to the pixel. The scenes are for trying tools and for tests: scores on them say nothing
about real streets.

Made by `python tools/prepare/make_samples.py --only kitti_seg --seed {seed}`; the same seed gives the same pixels.
Nothing in them is photographed or taken from another data set. Licence: Apache-2.0, as the project.
"""


def stem_of(index: int) -> str:
    """KITTI's file stem of a frame."""
    return f'{index:06d}_10'


def file_names() -> list[str]:
    """Every file of the set, relative to its folder, with '/' between folders."""
    pairs = [f'training/{kind}/{stem_of(k)}.png' for k in range(FRAME_COUNT) for kind in ('image_2', 'semantic')]
    return [*pairs, 'train.txt', 'val.txt', 'README.md']


def check_folder(out: Path, names: list[str]) -> None:
    """Raises FileExistsError when ``out`` holds anything else than the files it is to receive."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'{out} is a file: name a folder with --out')
    for path in sorted(out.rglob('*')) if out.exists() else []:
        if not path.is_dir() and path.relative_to(out).as_posix() not in names and not path.match(UNFINISHED):
            raise FileExistsError(f'{path} does not belong to this sample: move it away or choose another --out')


def write_kitti_seg(out: Path, seed: int) -> Iterator[tuple[int, int]]:
    """Renders the set into ``out``, over an earlier rendering if there is one.

    Yields:
        (frames written, frames in all) after each frame.

    Raises:
        FileExistsError: ``out`` holds files that are not part of the set.
    """
    names = file_names()
    check_folder(out, names)
    for folder in ('image_2', 'semantic'):
        (out / 'training' / folder).mkdir(parents=True, exist_ok=True)
    for index in range(FRAME_COUNT):
        image, ids = render_frame(seed, index)
        write_png(out / 'training/image_2' / f'{stem_of(index)}.png', *reduce_colours(image, COLOURS))
        write_png(out / 'training/semantic' / f'{stem_of(index)}.png', ids)
        yield index + 1, FRAME_COUNT
    stems = {split: [stem_of(k) for k in range(FRAME_COUNT) if split_of(k) == split] for split in ('train', 'val')}
    for split, lines in stems.items():
        write_text(out / f'{split}.txt', '\n'.join(lines) + '\n')
    counts = {split: len(lines) for split, lines in stems.items()}
    write_text(out / 'README.md', README.format(colours=COLOURS, seed=seed, **counts))
    for leftover in out.rglob(UNFINISHED):
        leftover.unlink()
