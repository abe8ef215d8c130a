import io
import runpy
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from mmext.inspection.listing import Sample
from mmext.inspection.perceptual_hashes import (
    DISTANCE,
    count_bits,
    find_candidates,
    fingerprint_pixels,
    perceptual_hash,
    take_fingerprint,
    take_fingerprints,
)

PICTURES = runpy.run_path(str(Path(__file__).with_name('pictures.py')))
COPIES, make_photo = PICTURES['COPIES'], PICTURES['make_photo']


def pixels_of(seed: int) -> np.ndarray:
    return np.asarray(make_photo(seed))


def bits_between(first: int, second: int) -> int:
    return bin(first ^ second).count('1')


def test_the_hash_is_imagehashs():
    thumb = make_photo(0).convert('L').resize((32, 32))
    assert f'{perceptual_hash(thumb):016x}' == str(imagehash.phash(thumb))


@pytest.mark.parametrize('name', COPIES)
def test_copies_have_near_hashes(name):
    copy, kind = COPIES[name]
    near = []
    for seed in range(30):
        picture = make_photo(seed)
        original, found = (fingerprint_pixels(np.asarray(image)) for image in (picture, copy(picture)))
        near.append(bits_between(original.phash, found.mirrored_phash if kind == 'mirrored' else found.phash))
    assert np.mean(np.array(near) <= DISTANCE) >= 0.95


def test_hashes_of_different_pictures_are_far():
    hashes = np.array([fingerprint_pixels(pixels_of(seed)).phash for seed in range(80)], np.uint64)
    first, second = np.triu_indices(80, 1)
    distances = count_bits(hashes[first] ^ hashes[second])
    assert (distances <= DISTANCE).mean() < 0.005
    assert np.median(distances) == pytest.approx(32, abs=2)


@pytest.mark.parametrize('newer', [True, False])
def test_bits_are_counted(newer, monkeypatch):
    if not newer:
        monkeypatch.delattr(np, 'bitwise_count', raising=False)
    values = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    values[:3] = 0, 2**64 - 1, 2**63
    assert count_bits(values).tolist() == [bin(int(value)).count('1') for value in values]


def brute_force(hashes, mirrored, groups, distance):
    found = set()
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            if groups is None or groups[i] != groups[j]:
                for flag, other in ((False, hashes[j]), (True, mirrored[j])):
                    if (bits := bits_between(int(hashes[i]), int(other))) <= distance:
                        found.add((i, j, bits, flag))
    return found


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('block', [50, 4_000_000])
def test_candidates_are_those_of_brute_force(grouped, block, monkeypatch):
    monkeypatch.setattr('mmext.inspection.perceptual_hashes.BLOCK', block)
    rng = np.random.default_rng(3)
    hashes, mirrored = (rng.integers(0, 2**10, 40, dtype=np.uint64) for _ in range(2))
    groups = rng.integers(0, 3, 40) if grouped else None
    found = find_candidates(hashes, mirrored, groups, 2)
    columns = (found.first.tolist(), found.second.tolist(), found.distance.tolist(), found.mirrored.tolist())
    listed = list(zip(*columns, strict=True))
    assert len(listed) == len(set(listed)) > 10
    assert set(listed) == brute_force(hashes, mirrored, groups, 2)
    assert found.bound == 2


def test_too_many_candidates_make_the_bound_smaller():
    hashes = np.random.default_rng(3).integers(0, 2**10, 40, dtype=np.uint64)
    every = find_candidates(hashes, hashes, None, 4)
    some = find_candidates(hashes, hashes, None, 4, limit=len(every) // 2)
    assert some.bound < 4
    assert len(some) == (every.distance <= some.bound).sum() <= len(every) // 2
    same = np.zeros(50, np.uint64)
    assert len(find_candidates(same, same, None, 4, limit=100)) == 100


@pytest.mark.parametrize('count', [0, 1])
def test_nothing_to_compare(count):
    hashes = np.zeros(count, np.uint64)
    assert len(find_candidates(hashes, hashes)) == 0


def test_digests_are_of_what_is_trained_on(tmp_path):
    pixels = pixels_of(1)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    Image.fromarray(pixels).save(tmp_path / 'b.png', compress_level=0)
    Image.fromarray(pixels).save(tmp_path / 'c.bmp')
    Image.fromarray(pixels[:, ::-1].swapaxes(0, 1).copy()).save(tmp_path / 'turned.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    # What turns into `pixels` when it is turned clockwise.
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / 'exif.png', exif=exif)
    found = {path.name: take_fingerprint(Sample(path)) for path in tmp_path.iterdir()}
    assert len({print_.file_digest for print_ in found.values()}) == 5
    same = {name for name, print_ in found.items() if print_.pixel_digest == found['a.png'].pixel_digest}
    assert same == {'a.png', 'b.png', 'c.bmp', 'exif.png'}
    assert fingerprint_pixels(pixels).pixel_digest == found['a.png'].pixel_digest


def test_shape_counts_even_if_the_bytes_are_the_same():
    blank = np.zeros((4, 9, 3), np.uint8)
    assert fingerprint_pixels(blank).pixel_digest != fingerprint_pixels(blank.reshape(9, 4, 3)).pixel_digest


def test_pictures_of_16_bits_keep_their_values(tmp_path):
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for name, stored in (('a', values), ('b', values * 2), ('c', values)):
        Image.fromarray(stored).save(tmp_path / f'{name}.png')
    a, b, c = (take_fingerprint(Sample(tmp_path / f'{name}.png')) for name in 'abc')
    # Stretched to 8 bits both are the same ramp.
    assert a.phash == b.phash
    assert a.pixel_digest == c.pixel_digest != b.pixel_digest


@pytest.mark.parametrize('content', [None, b'', b'no picture', 'cut'])
def test_unreadable_files_are_named_and_not_raised(tmp_path, content):
    path = tmp_path / 'a.png'
    if content == 'cut':
        buffer = io.BytesIO()
        make_photo(0).save(buffer, 'PNG')
        content = buffer.getvalue()[:2000]
    if content is not None:
        path.write_bytes(content)
    found = take_fingerprint(Sample(path))
    assert found.error
    assert '\n' not in found.error
    assert found.thumb is None
    assert bool(found.file_digest) == (content is not None)


def test_threads_keep_the_order():
    samples = [Sample(Path('batch'), index=index, pixels=pixels_of(index)) for index in range(12)]
    found = list(take_fingerprints(samples, 3))
    assert [print_.phash for print_ in found] == [fingerprint_pixels(sample.pixels).phash for sample in samples]
    assert all(print_.file_digest == '' for print_ in found)
