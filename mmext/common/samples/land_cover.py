"""Renders small satellite tiles of fields, woods, water and towns, in the file layout of the dlcv report's data."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmext.common.files import UNFINISHED, replacing, write_text
from mmext.common.samples.kitti_seg import check_folder

# Class -> RGB in the mask, and the ground's RGB in the picture.
COLOURS = {
    'urban': ((0, 255, 255), (128, 124, 122)),
    'agriculture': ((255, 255, 0), (134, 138, 84)),
    'rangeland': ((255, 0, 255), (126, 122, 78)),
    'forest': ((0, 255, 0), (44, 66, 40)),
    'water': ((0, 0, 255), (36, 54, 68)),
    'barren': ((255, 255, 255), (186, 168, 138)),
    'unknown': ((0, 0, 0), (236, 238, 240)),
}
URBAN, AGRICULTURE, RANGELAND, FOREST, WATER, BARREN, UNKNOWN = range(len(COLOURS))
TILE_COUNT, TILE_HW = 16, (256, 256)
FOLDERS = ('train', 'validation')
QUALITY = 80

README = """\
# land_cover: embedded satellite tiles

{count} procedural tiles of {width} x {height} pixels in the layout of a land-cover set with colour-coded masks:

    train/0000_sat.jpg     picture
    train/0000_mask.png    mask (RGB, one colour a class)
    validation/...         every fourth tile

All seven classes occur in both parts; clouds are `unknown`. The tiles are for trying tools and for tests: scores on
them say nothing about real land.

Made by `python tools/prepare/make_samples.py --only land_cover --seed {seed}`; the same seed gives the same pixels
(those of the JPEG files as far as the JPEG library is the same). Nothing in them is photographed or taken from another
data set. Licence: Apache-2.0, as the project.

Prepare it with `python tools/prepare/land_cover.py data/samples/land_cover/train work_dirs/land_cover --val
data/samples/land_cover/validation`.
"""


def smooth_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: int) -> np.ndarray:
    """Random values (H, W) in 0..1 that change over 1 / ``cells`` of a side."""
    grid = rng.random((cells + 2, cells + 2))
    places = [np.linspace(0, cells, side, endpoint=False) for side in size_hw]
    corners = [place.astype(int) for place in places]
    (v, u) = (np.square(place % 1) * (3 - 2 * (place % 1)) for place in places)
    rows = [
        grid[np.ix_(corners[0] + i, corners[1])] * (1 - u) + grid[np.ix_(corners[0] + i, corners[1] + 1)] * u
        for i in (0, 1)
    ]
    return rows[0] * (1 - v[:, None]) + rows[1] * v[:, None]


def _parcels(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A turned grid of fields: number of the field (H, W), and the place across it in 0..1."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width] / max(size_hw)
    angle = rng.uniform(0, np.pi)
    along, across = (x * np.cos(angle) + y * np.sin(angle)) * 5, (y * np.cos(angle) - x * np.sin(angle)) * 7
    return (np.floor(along) * 31 + np.floor(across)).astype(int) % 97, across % 1


def render_tile(seed: int, index: int, size_hw: tuple[int, int] = TILE_HW) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) RGB and class indices (H, W), both uint8.

    Each class but rangeland covers the places where a noise of its own is highest, a share of the tile that is fixed;
    later ones cover earlier ones. Fields fill most of what is left.
    """
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    fields, across = _parcels(rng, size_hw)
    farmed = rng.random(97) < 0.7
    labels = np.where(farmed[fields], AGRICULTURE, RANGELAND).astype(np.uint8)
    for label, share in ((FOREST, 0.2), (BARREN, 0.08), (URBAN, 0.22), (WATER, 0.12), (UNKNOWN, 0.03)):
        place = smooth_noise(rng, size_hw, 3) + 0.3 * smooth_noise(rng, size_hw, 9)
        labels[place > np.quantile(place, 1 - share)] = label

    height, width = size_hw
    colours = np.array([ground for _, ground in COLOURS.values()], dtype=float)[labels]
    tint, rough = rng.uniform(-26, 26, (97, 3))[fields], rng.normal(0, 1, size_hw)
    stripes = 9 * np.sin(across * 2 * np.pi * 6)
    streets = (np.arange(height)[:, None] % 16 < 3) | (np.arange(width) % 20 < 3)
    roofs = np.repeat(np.repeat(rng.uniform(-50, 60, (height // 8 + 1, width // 10 + 1)), 8, 0), 10, 1)[:height, :width]
    detail = {
        URBAN: np.where(streets, -30, roofs)[..., None],
        AGRICULTURE: tint + stripes[..., None],
        RANGELAND: 10 * rough[..., None] + 20 * smooth_noise(rng, size_hw, 12)[..., None],
        FOREST: 14 * rough[..., None],
        BARREN: 24 * smooth_noise(rng, size_hw, 16)[..., None],
    }
    for label, change in detail.items():
        colours += np.where((labels == label)[..., None], change, 0)
    colours += 3 * rough[..., None] + 16 * (smooth_noise(rng, size_hw, 2)[..., None] - 0.5)
    return colours.clip(0, 255).astype(np.uint8), labels


def write_tiles(
    folder: Path, indices: Sequence[int], size_hw: tuple[int, int] = TILE_HW, seed: int = 0
) -> list[np.ndarray]:
    """Write ``<index>_sat.jpg`` and the colour-coded ``<index>_mask.png`` of each tile; returns their class indices."""
    colours = np.array([colour for colour, _ in COLOURS.values()], dtype=np.uint8)
    written = []
    for index in indices:
        picture, labels = render_tile(seed, index, size_hw)
        _save(folder / f'{index:04d}_sat.jpg', picture, format='JPEG', quality=QUALITY)
        _save(folder / f'{index:04d}_mask.png', colours[labels], format='PNG', optimize=True)
        written.append(labels)
    return written


def _save(path: Path, pixels: np.ndarray, **settings) -> None:
    with replacing(path) as unfinished:
        Image.fromarray(pixels).save(unfinished, **settings)


def folder_of(index: int) -> str:
    """Every fourth tile validates."""
    return FOLDERS[index % 4 == 3]


def file_names() -> list[str]:
    """Every file of the set, relative to its folder, with '/' between folders."""
    kinds = ('sat.jpg', 'mask.png')
    return [*(f'{folder_of(k)}/{k:04d}_{kind}' for k in range(TILE_COUNT) for kind in kinds), 'README.md']


def write_land_cover(out: Path, seed: int) -> Iterator[tuple[int, int]]:
    """Renders the set into ``out``, over an earlier rendering if there is one.

    Yields:
        (tiles written, tiles in all) after each tile.

    Raises:
        FileExistsError: ``out`` holds files that are not part of the set.
    """
    check_folder(out, file_names())
    for index in range(TILE_COUNT):
        write_tiles(out / folder_of(index), [index], seed=seed)
        yield index + 1, TILE_COUNT
    height, width = TILE_HW
    write_text(out / 'README.md', README.format(count=TILE_COUNT, width=width, height=height, seed=seed))
    for leftover in out.rglob(UNFINISHED):
        leftover.unlink()
