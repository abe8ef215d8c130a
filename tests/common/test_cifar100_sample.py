"""The rendered CIFAR-100: pickle format, names, pictures, repeatability."""

import pickle
import pickletools
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmext.common.digests import file_digest
from mmext.common.samples import cifar100
from mmext.common.samples.cifar100_names import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES, PLACE_OF_FINE
from mmext.common.samples.cifar100_pickle import dumps
from mmext.common.samples.cifar100_scene import background, render_class
from mmext.common.samples.cifar100_shapes import COATS, SHAPES


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100, 'COUNTS', {'train': 1, 'test': 1})


# ---- pickles


@pytest.mark.parametrize('encoding', ['latin1', 'bytes'])
@pytest.mark.filterwarnings('error')
def test_strings_are_those_of_python_2(encoding: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 7)).astype(np.uint8)
    data = dumps({b'data': array, b'labels': [0, 255, 70_000], b'names': [b'', b'x' * 300, b'caf\xe9'], b'none': []})
    read = pickle.loads(data, encoding=encoding)

    def plain(text: bytes) -> str | bytes:
        return text.decode('latin1') if encoding == 'latin1' else text

    assert list(read) == [plain(key) for key in (b'data', b'labels', b'names', b'none')]
    np.testing.assert_array_equal(read[plain(b'data')], array)
    assert read[plain(b'data')].dtype == np.uint8
    assert read[plain(b'labels')] == [0, 255, 70_000]
    assert read[plain(b'names')] == [plain(b''), plain(b'x' * 300), plain(b'caf\xe9')]
    assert read[plain(b'none')] == []


def test_pickles_name_nothing_but_numpy_arrays(few, tmp_path: Path) -> None:
    list(cifar100.write_cifar100(tmp_path, 0))
    for name, expected in (('train', 3), ('test', 3), ('meta', 0)):
        content = (tmp_path / cifar100.FOLDER / name).read_bytes()
        operations = [(code.name, argument) for code, argument, _ in pickletools.genops(content)]
        assert operations[0] == ('PROTO', 2)
        named = {argument for code, argument in operations if code == 'GLOBAL'}
        assert named == set(['numpy.core.multiarray _reconstruct', 'numpy ndarray', 'numpy dtype'][:expected])


def test_arrays_of_any_order_are_written_row_by_row() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    np.testing.assert_array_equal(pickle.loads(dumps(array), encoding='bytes'), array)


@pytest.mark.parametrize('value', ['text', 1.5, True, None, np.zeros(2), {b'a': [('tuple',)]}])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match='cannot be written'):
        dumps(value)


# ---- names and pictures


def test_names_and_their_coarse_classes() -> None:
    assert (len(set(FINE_NAMES)), len(set(COARSE_NAMES))) == (100, 20)
    assert sorted(FINE_NAMES) == list(FINE_NAMES)
    assert set(Counter(COARSE_OF_FINE).values()) == {5}
    # of the published set: apple, aquarium_fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle
    assert COARSE_OF_FINE[:10] == (4, 1, 14, 8, 0, 6, 7, 7, 18, 3)
    assert len({*zip(COARSE_OF_FINE, PLACE_OF_FINE, strict=True)}) == 100
    assert (len(SHAPES), len(COATS)) == (20, 5)


@pytest.mark.parametrize('fine', range(0, 100, 3))
def test_the_mask_holds_what_the_object_changes(fine: int) -> None:
    for k in range(4):
        picture, mask = render_class([5, k], fine)
        assert (picture.shape, picture.dtype, mask.shape, mask.dtype) == ((32, 32, 3), np.uint8, (32, 32), bool)
        rng = np.random.Generator(np.random.PCG64([5, k]))
        rng.uniform(size=3)  # height, width and tilt are drawn before the background
        changed = np.abs(picture - background(rng).clip(0, 255)).max(axis=2) > 1
        assert changed[mask].mean() > 0.97
        # beyond it nothing but soft edges and lines thinner than a pixel
        far = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) == 0
        assert changed[far].mean() < 0.06
        assert 0.04 < mask.mean() < 0.6


def test_places_are_all_over_the_picture() -> None:
    seen = np.mean([render_class([9, k], k % 100)[1] for k in range(400)], axis=0)
    assert 0.04 < seen[6:-6, 6:-6].min() < seen.max() < 0.75
    # as often on the left as on the right
    assert abs(seen[:, :16].mean() - seen[:, 16:].mean()) < 0.05


def test_coats_and_outlines_tell_the_classes_apart() -> None:
    """Fine classes of one coarse class share the outline to the pixel, and no coarse class has that of another."""
    masks = {}
    for coarse in range(20):
        fines = [fine for fine in range(100) if COARSE_OF_FINE[fine] == coarse]
        rendered = [render_class([1, 2, 3], fine) for fine in fines]
        for picture, mask in rendered[1:]:
            np.testing.assert_array_equal(mask, rendered[0][1])
            assert np.abs(picture[mask].astype(int) - rendered[0][0][mask]).mean() > 20
        masks[coarse] = rendered[0][1]
    for a in range(20):
        for b in range(a):
            assert (masks[a] != masks[b]).sum() > 20


def test_background_says_nothing_about_the_class() -> None:
    """Pictures of two classes with one key differ where the objects are."""
    for k in range(5):
        (a, first), (b, second) = (render_class([4, k], fine) for fine in (0, 57))
        far = cv2.dilate((first | second).astype(np.uint8), np.ones((3, 3))) == 0
        assert (a[far] == b[far]).mean() > 0.95


# ---- files


def test_writes_every_file_and_the_same_bytes_twice(few, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        assert list(cifar100.write_cifar100(tmp_path / name, 3))[-1] == (200, 200)
    list(cifar100.write_cifar100(tmp_path / 'c', 4))
    written = {p.relative_to(tmp_path / 'a').as_posix() for p in (tmp_path / 'a').rglob('*') if p.is_file()}
    assert written == set(cifar100.file_names())
    for name in written:
        first, second, other = ((tmp_path / folder / name).read_bytes() for folder in 'abc')
        assert first == second
        assert (first == other) == name.endswith('meta')
    assert '--seed 3' in (tmp_path / 'a/README.md').read_text()


def test_refuses_a_folder_with_other_files(few, tmp_path: Path) -> None:
    (tmp_path / 'holiday.png').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'holiday\.png does not belong to this sample'):
        next(cifar100.write_cifar100(tmp_path, 0))


# ---- the committed files


@pytest.fixture(scope='module')
def sample(root: Path) -> Path:
    return root / 'data' / 'samples' / 'cifar100'


def test_committed_sample_is_whole_small_and_has_the_sums(sample: Path) -> None:
    files = [p for p in sample.rglob('*') if p.is_file()]
    assert {p.relative_to(sample).as_posix() for p in files} == set(cifar100.file_names())
    assert sum(p.stat().st_size for p in files) < 2_300_000
    assert {name: file_digest(sample / cifar100.FOLDER / name, 'md5') for name in cifar100.SUMS} == cifar100.SUMS


@pytest.mark.parametrize(('split', 'count'), [('train', 500), ('test', 200)])
def test_committed_batches_have_the_published_layout(sample: Path, split: str, count: int) -> None:
    # Read only after the sums were compared, as the loader does.
    path = sample / cifar100.FOLDER / split
    assert file_digest(path, 'md5') == cifar100.SUMS[split]
    read = pickle.loads(path.read_bytes(), encoding='bytes')
    assert list(read) == [b'filenames', b'batch_label', b'fine_labels', b'coarse_labels', b'data']
    assert read[b'data'].shape == (count, 3072)
    assert read[b'fine_labels'] == cifar100.classes_of(0, split)
    assert set(Counter(read[b'fine_labels']).values()) == {cifar100.COUNTS[split]}
    assert read[b'coarse_labels'] == [COARSE_OF_FINE[label] for label in read[b'fine_labels']]
    assert [name.decode().rsplit('_s_')[0] for name in read[b'filenames']] == [
        FINE_NAMES[label] for label in read[b'fine_labels']
    ]
    assert len(set(read[b'filenames'])) == len({row.tobytes() for row in read[b'data']}) == count
    # planes of red, green and blue, each row by row
    for index in (0, 1, count - 1):
        picture, _, fine = cifar100.render(0, split, index)
        assert fine == read[b'fine_labels'][index]
        stored = np.stack([plane.reshape(32, 32) for plane in np.split(read[b'data'][index], 3)], axis=2)
        assert np.abs(stored.astype(int) - picture).max() <= 1


def test_committed_names(sample: Path) -> None:
    assert pickle.loads((sample / cifar100.FOLDER / 'meta').read_bytes(), encoding='latin1') == {
        'fine_label_names': list(FINE_NAMES),
        'coarse_label_names': list(COARSE_NAMES),
    }
