"""The rendered cats and dogs: names, pictures, repeatability."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples import pets


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pets, 'COUNTS', {'train': 4, 'val': 2, 'test': 2})


def test_writes_every_file_and_the_same_bytes_twice(few, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        assert list(pets.write_pets(tmp_path / name, 3)) == [(k, 8) for k in range(1, 9)]
    written = {p.relative_to(tmp_path / 'a').as_posix() for p in (tmp_path / 'a').rglob('*') if p.is_file()}
    assert written == set(pets.file_names())
    assert written == {
        *('train/cat_1.jpg', 'train/cat_2.jpg', 'train/dog.1.jpg', 'train/dog.2.jpg'),
        *('val/cat_1.jpg', 'val/dog.1.jpg', 'test/1.jpg', 'test/2.jpg', 'README.md'),
    }
    for name in written:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    assert '--seed 3' in (tmp_path / 'a' / 'README.md').read_text()


def test_pictures_change_with_index_split_and_seed() -> None:
    keys = [(0, 'train', 0), (0, 'train', 2), (0, 'val', 0), (1, 'train', 0)]
    assert len({pets.render(*key)[0].tobytes() for key in keys}) == len(keys)


@pytest.mark.parametrize('index', range(6))
def test_the_animal_is_large_and_inside(index: int) -> None:
    picture, mask = pets.render(5, 'train', index)
    assert picture.dtype == np.uint8
    assert picture.shape[:2] == mask.shape
    assert all(pets.SIDE_PX[0] <= side <= pets.SIDE_PX[1] for side in mask.shape)
    assert 0.06 < mask.mean() < 0.5
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert edge.mean() < 0.1


@pytest.mark.parametrize('seed', range(3))
def test_half_of_every_split_are_cats(seed: int) -> None:
    for split, count in pets.COUNTS.items():
        labels = [pets.label_of(seed, split, k) for k in range(count)]
        assert labels.count('cat') == labels.count('dog') == count // 2
    assert len({tuple(pets.label_of(s, 'test', k) for k in range(10)) for s in range(5)}) > 1


def test_refuses_a_folder_with_other_files(few, tmp_path: Path) -> None:
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'holiday.jpg').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'holiday\.jpg does not belong to this sample'):
        next(pets.write_pets(tmp_path, 0))


def test_committed_sample_is_what_the_tool_renders(root: Path) -> None:
    sample = root / 'data' / 'samples' / 'pets'
    files = [p for p in sample.rglob('*') if p.is_file()]
    assert {p.relative_to(sample).as_posix() for p in files} == set(pets.file_names())
    assert sum(p.stat().st_size for p in files) < 300_000
    pixels = {path.read_bytes() for path in sample.rglob('*.jpg')}
    assert len(pixels) == sum(pets.COUNTS.values())
    for split, index in (('train', 0), ('train', 59), ('val', 1), ('test', 9)):
        stored = np.asarray(Image.open(sample / split / pets.name_of(split, index))).astype(int)
        picture, _ = pets.render(0, split, index)
        assert stored.shape == picture.shape
        assert np.abs(stored - picture).mean() < 6
