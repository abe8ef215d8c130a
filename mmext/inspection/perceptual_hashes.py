"""Fingerprints of pictures - of the file, of the pixels, of what they show - and the pairs whose hashes are alike.

The perceptual hash is `imagehash.phash` of 8 x 8 bits on a thumbnail of 32 x 32. It was chosen among phash, dhash and
whash with 64 to 256 bits on photos, on tiles of photos reduced to 32 x 32, and on copies of both: phash finds a copy
that was compressed, resized, made brighter or cut by 5 % at a distance of at most 16 bits nearly always, a crop in a
corner in about 85 % of all cases, and lets 0.04 to 0.08 % of all pairs of different pictures through. dhash and whash
let ten times as many through at equal recall (smooth pictures share most of their bits); more bits lose the crops.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from mmext.common.digests import file_digest as digest_of_file

from .likeness import CELLS, SIDE
from .listing import Sample, open_image
from .records import DECODE_ERRORS
from .thumbnails import to_rgb

HASH_BITS = 64
# Largest distance, in bits, of two hashes that are looked at any closer.
DISTANCE = 16
# Pairs of hashes that are compared at once: 4 million take 40 MB.
BLOCK = 4_000_000
GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Fingerprint:
    """What is remembered of one picture.

    Attributes:
        file_digest: SHA-256 of the file; '' where the picture is one of many in a file.
        pixel_digest: SHA-256 of size and pixels as they are trained on: decoded, turned as EXIF says, 8-bit RGB.
        phash: Perceptual hash, 64 bits.
        mirrored_phash: The same of the picture mirrored from left to right.
        thumb: (32, 32) uint8, grey.
        color: (8, 8, 2) int16, red and blue minus grey.
        size_hw: Height and width in pixels.
        error: Why it could not be read, or ''; then nothing else is set but perhaps ``file_digest``.
    """

    file_digest: str = ''
    pixel_digest: str = ''
    phash: int = 0
    mirrored_phash: int = 0
    thumb: np.ndarray | None = None
    color: np.ndarray | None = None
    size_hw: tuple[int, int] = (0, 0)
    error: str = ''


def take_fingerprint(sample: Sample) -> Fingerprint:
    """Fingerprint of a sample; a file that cannot be read is said to be so, never raised."""
    file_digest = ''
    try:
        if sample.pixels is None:
            file_digest = digest_of_file(sample.image)
        with open_image(sample) as image:
            stored = np.asarray(image) if image.mode.startswith(('I', 'F')) else None
            pixels = to_rgb(image)
    except DECODE_ERRORS as error:
        reason = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        return Fingerprint(file_digest, error=reason.splitlines()[0])
    return fingerprint_pixels(pixels, file_digest, stored)


def fingerprint_pixels(pixels: np.ndarray, file_digest: str = '', stored: np.ndarray | None = None) -> Fingerprint:
    """Fingerprint of a picture in memory.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        file_digest: SHA-256 of its file.
        stored: The values that the file holds, where they have more than 8 bits.
    """
    picture = Image.fromarray(pixels)
    thumb = picture.convert('L').resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    cells = np.asarray(picture.resize((CELLS, CELLS), Image.Resampling.BOX), np.float32)
    color = (cells - (cells @ GREY)[..., None])[..., [0, 2]]
    values = np.ascontiguousarray(pixels if stored is None else stored)
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    digest.update(values)
    return Fingerprint(
        file_digest,
        digest.hexdigest(),
        perceptual_hash(thumb),
        perceptual_hash(thumb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        np.asarray(thumb),
        color.round().astype(np.int16),
        pixels.shape[:2],
    )


def perceptual_hash(thumb: Image.Image) -> int:
    """The 64 bits of `imagehash.phash`."""
    bits = imagehash.phash(thumb, hash_size=8, highfreq_factor=SIDE // 8).hash
    return struct.unpack('>Q', np.packbits(bits).tobytes())[0]


def take_fingerprints(samples: Sequence[Sample], workers: int) -> Iterator[Fingerprint]:
    """Fingerprints in the order of the samples, read by so many threads."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(take_fingerprint, samples)


@dataclass(frozen=True)
class Candidates:
    """Pairs of pictures whose hashes are alike; arrays (P,).

    Attributes:
        first: Indices, each smaller than its ``second``.
        second: Indices.
        distance: Bits that differ.
        mirrored: The second picture is to be mirrored.
        bound: Largest distance that was looked for.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    mirrored: np.ndarray
    bound: int

    def __len__(self) -> int:
        return len(self.first)


def find_candidates(
    hashes: np.ndarray,
    mirrored_hashes: np.ndarray,
    groups: np.ndarray | None = None,
    distance: int = DISTANCE,
    limit: int | None = None,
) -> Candidates:
    """All pairs whose hashes differ in at most so many bits, as they are or with one picture mirrored.

    Every pair is compared, about 3 ns each: 10 000 pictures take half a second, 100 000 a minute.

    Args:
        hashes: (N,) uint64.
        mirrored_hashes: (N,) uint64, of the mirrored pictures.
        groups: (N,) integers; pairs of one group are left out.
        distance: 0 to 64.
        limit: Where there are more pairs, the distance is made smaller until there are not (or it is 0).
    """
    pairs: list[tuple[np.ndarray, ...]] = []
    bound = distance
    for mirrored, first, second, distances in _close_pairs(hashes, mirrored_hashes, distance):
        kept = distances <= bound
        if groups is not None:
            kept &= groups[first] != groups[second]
        first, second, distances = first[kept], second[kept], distances[kept]
        pairs.append((first, second, distances, np.full(len(first), mirrored)))
        while limit is not None and bound > 0 and sum(len(found[0]) for found in pairs) > limit:
            bound -= 1
            pairs = [tuple(values[found[2] <= bound] for values in found) for found in pairs]
    if not pairs:
        pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, bool))]
    return Candidates(*(np.concatenate(column)[:limit] for column in zip(*pairs, strict=True)), bound)


def count_bits(values: np.ndarray) -> np.ndarray:
    """Set bits of each uint64."""
    if hasattr(np, 'bitwise_count'):
        return np.bitwise_count(values)
    # NumPy 1: sums of neighbouring groups of 1, 2 and 4 bits, then of all bytes.
    values = values - (values >> np.uint64(1) & np.uint64(0x5555555555555555))
    values = (values & np.uint64(0x3333333333333333)) + (values >> np.uint64(2) & np.uint64(0x3333333333333333))
    values = values + (values >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (values * np.uint64(0x0101010101010101) >> np.uint64(56)).astype(np.uint8)


def _close_pairs(
    hashes: np.ndarray, mirrored_hashes: np.ndarray, distance: int
) -> Iterator[tuple[bool, np.ndarray, np.ndarray, np.ndarray]]:
    """Whether the second one is mirrored, indices of both, and distances; block by block."""
    rows = max(1, BLOCK // max(1, len(hashes)))
    for mirrored, targets in ((False, hashes), (True, mirrored_hashes)):
        for start in range(0, len(hashes), rows):
            # Each pair once: only what is right of the diagonal.
            differing = count_bits(hashes[start : start + rows, None] ^ targets[None, start:])
            first, second = np.nonzero(differing <= distance)
            kept = first < second
            first, second = first[kept], second[kept]
            yield mirrored, first + start, second + start, differing[first, second]
