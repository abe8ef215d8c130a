"""The rendered satellite tiles: layout, classes, colours, repeatability."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples import land_cover


def test_writes_every_file_and_the_same_pixels_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(land_cover, 'TILE_COUNT', 4)
    for name in ('a', 'b'):
        assert list(land_cover.write_land_cover(tmp_path / name, 3))[-1] == (4, 4)
    written = {p.relative_to(tmp_path / 'a').as_posix() for p in (tmp_path / 'a').rglob('*') if p.is_file()}
    assert written == set(land_cover.file_names())
    assert 'validation/0003_sat.jpg' in written
    for name in written:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    assert '--seed 3' in (tmp_path / 'a' / 'README.md').read_text()


@pytest.mark.parametrize('size_hw', [(256, 256), (64, 96)])
def test_every_class_occurs_in_every_tile(size_hw) -> None:
    for index in range(4):
        picture, labels = land_cover.render_tile(0, index, size_hw)
        assert (picture.shape, labels.shape) == ((*size_hw, 3), size_hw)
        assert set(np.unique(labels)) == set(range(7))


def test_tiles_differ_with_index_and_seed() -> None:
    tiles = [land_cover.render_tile(*key)[1] for key in ((0, 0), (0, 1), (1, 0))]
    assert not any(np.array_equal(tiles[i], tiles[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_masks_hold_the_colours_of_the_classes(tmp_path: Path) -> None:
    (labels,) = land_cover.write_tiles(tmp_path, [5], (64, 96))
    mask = np.asarray(Image.open(tmp_path / '0005_mask.png'))
    assert mask[labels == land_cover.WATER].tolist() == [[0, 0, 255]] * int((labels == land_cover.WATER).sum())
    assert Image.open(tmp_path / '0005_sat.jpg').size == (96, 64)


def test_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train' / 'holiday_sat.jpg').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'holiday_sat\.jpg does not belong to this sample'):
        next(land_cover.write_land_cover(tmp_path, 0))


def test_committed_sample_is_what_the_tool_renders(root: Path) -> None:
    sample = root / 'data' / 'samples' / 'land_cover'
    assert {p.relative_to(sample).as_posix() for p in sample.rglob('*') if p.is_file()} == set(land_cover.file_names())
    colours = np.array([colour for colour, _ in land_cover.COLOURS.values()], dtype=np.uint8)
    picture, labels = land_cover.render_tile(0, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(sample / 'validation' / '0003_mask.png')), colours[labels])
    stored = np.asarray(Image.open(sample / 'validation' / '0003_sat.jpg')).astype(int)
    assert np.abs(stored - picture).mean() < 10
