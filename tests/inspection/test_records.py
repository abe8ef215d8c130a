"""Records of files against NumPy and Pillow, and of files that are broken in many ways."""

import os
import random
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mmext.inspection.records import MAX_VALUES, STATUSES, open_file, read_picture, read_xml, value_histogram

SIDES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=24)


def encoded(image: Image.Image, form: str = 'PNG', **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def picture(seed: int = 0, size_hw: tuple[int, int] = (30, 50)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8))


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(st.sampled_from([np.uint8, np.uint16, np.int32]), SIDES, elements=st.integers(0, 200)))
def test_histogram_agrees_with_numpy(values: np.ndarray) -> None:
    counts, distinct = value_histogram(values)
    found, numbers = np.unique(values, return_counts=True)
    assert dict(map(tuple, counts)) == dict(zip(found.tolist(), numbers.tolist(), strict=True))
    assert distinct == len(found)
    assert [count for _, count in counts] == sorted((count for _, count in counts), reverse=True)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, SIDES))
def test_a_mask_reads_the_same_in_every_form(values: np.ndarray) -> None:
    """One channel, palette, three equal channels and 16 bits hold the same labels."""
    plain = Image.fromarray(values)
    palette = plain.copy()
    palette.putpalette([number * 7 % 256 for number in range(768)])
    forms = [
        *(encoded(image) for image in (plain, palette, Image.merge('RGB', [plain] * 3), plain.convert('LA'))),
        encoded(Image.fromarray(values.astype(np.uint16))),
    ]
    records = [read_picture(content, is_mask=True) for content in forms]
    assert len({record['digest'] for record in records}) == 1
    for record in records:
        assert record['counts'] == value_histogram(values)[0]
        assert record['color'] is False
    assert [record['channels'] for record in records] == [1, 1, 3, 1, 1]
    assert [record['bits'] for record in records] == [8, 8, 8, 8, 16]


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)), elements=st.integers(0, 3)))
def test_colours_are_counted_as_packed_numbers(values: np.ndarray) -> None:
    record = read_picture(encoded(Image.fromarray(values)), is_mask=True)
    colors, numbers = np.unique(values.reshape(-1, 3), axis=0, return_counts=True)
    pairs = zip(colors, numbers, strict=True)
    if record['color']:
        packed = {int(red) << 16 | int(green) << 8 | int(blue): int(n) for (red, green, blue), n in pairs}
        assert dict(map(tuple, record['counts'])) == packed
    else:
        assert (values == values[..., :1]).all()


def test_only_the_most_frequent_values_are_kept() -> None:
    values = np.concatenate([np.arange(1000), [7, 7, 3]]).astype(np.int32)[None]
    counts, distinct = value_histogram(values)
    assert (len(counts), distinct) == (MAX_VALUES, 1000)
    assert counts[:3] == [[7, 3], [3, 2], [0, 1]]


def test_a_picture_is_the_same_in_every_lossless_format() -> None:
    grey = picture().convert('L')
    forms = [encoded(grey, form) for form in ('PNG', 'BMP', 'TIFF', 'GIF')]
    forms.append(encoded(grey.convert('RGB')))
    assert len({read_picture(content)['digest'] for content in forms}) == 1
    assert len({read_picture(content)['format'] for content in forms}) == 4
    assert read_picture(encoded(grey.rotate(90)))['digest'] != read_picture(forms[0])['digest']


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        (picture(), {'mode': 'RGB', 'bits': 8, 'alpha': False}),
        (picture().convert('1'), {'mode': '1', 'bits': 1}),
        (picture().convert('RGBA'), {'mode': 'RGBA', 'alpha': False}),
        (picture().convert('RGBA').rotate(45), {'mode': 'RGBA', 'alpha': True}),
        (picture().convert('LA'), {'mode': 'LA', 'alpha': False}),
        (Image.fromarray(np.full((3, 4), 40_000, dtype=np.uint16)), {'bits': 16, 'size_hw': [3, 4]}),
    ],
)
def test_mode_and_depth(image: Image.Image, expected: dict) -> None:
    record = read_picture(encoded(image))
    assert {name: record[name] for name in expected} == expected
    assert record['frames'] == record['orientation'] == 1


def test_sixteen_bit_colours_are_told_from_the_file() -> None:
    """Pillow opens them as 8 bits; the header says more."""
    rows = b''.join(b'\0' + os.urandom(6 * 5) for _ in range(4))

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))

    header = struct.pack('>IIBBBBB', 5, 4, 16, 2, 0, 0, 0)
    png = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    record = read_picture(png)
    assert (record['status'], record['mode'], record['bits'], record['size_hw']) == ('ok', 'RGB', 16, [4, 5])


def test_orientation_and_frames() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_picture(encoded(picture(), 'JPEG', exif=exif.tobytes()))['orientation'] == 6
    exif[0x0112] = 77
    assert read_picture(encoded(picture(), 'JPEG', exif=exif.tobytes()))['orientation'] == 1
    frames = [picture(seed).convert('P') for seed in range(3)]
    assert read_picture(encoded(frames[0], 'GIF', save_all=True, append_images=frames[1:]))['frames'] == 3
    assert read_picture(encoded(picture(), 'TIFF', save_all=True, append_images=[picture(1)]))['frames'] == 2


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM'])
def test_cut_files_are_never_ok(form: str) -> None:
    """Cut anywhere from the first byte to nine tenths; the end of some formats holds nothing that counts."""
    content = encoded(picture(), form)
    for share in (0.001, 0.02, 0.1, 0.3, 0.6, 0.9):
        record = read_picture(content[: max(1, int(len(content) * share))], is_mask=True)
        assert record['status'] in ('unreadable', 'truncated'), (form, share)
        assert record['reason']


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM'])
def test_garbled_files_raise_nothing(form: str) -> None:
    rng, content = random.Random(0), encoded(picture(), form)
    for _ in range(40):
        garbled = bytearray(content)
        for _ in range(rng.randint(1, 20)):
            garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        record = read_picture(bytes(garbled), is_mask=rng.random() < 0.5)
        assert record['status'] in STATUSES


def test_a_png_that_was_overwritten_inside_is_noticed() -> None:
    content = bytearray(encoded(picture(), compress_level=0))
    content[len(content) // 2] ^= 255
    assert read_picture(bytes(content))['status'] == 'truncated'


@pytest.mark.parametrize(
    'content', [b'', b'\0', b'GIF89a', b'\x89PNG\r\n\x1a\n', b'<html>not found</html>', b'\xff' * 999]
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'x.png'
    path.write_bytes(content)
    for kind in ('image', 'mask', 'xml'):
        record = open_file(kind, path)
        assert record['status'] == 'unreadable'
        assert record['reason']
        assert len(record['sha256']) == 64


def test_a_picture_too_large_to_decode_is_not_decoded() -> None:
    content = bytearray(encoded(picture()))
    content[16:24] = struct.pack('>II', 60_000, 60_000)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    record = read_picture(bytes(content))
    assert record['status'] == 'unreadable'
    assert 'exceeds limit' in record['reason']


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert open_file('image', tmp_path / 'nothing.png')['status'] == 'missing'
    assert open_file('mask', tmp_path)['status'] == 'unreadable'


def test_xml_is_read_as_it_stands() -> None:
    record = read_xml(
        b'<annotation><size><width>60</width><height>40</height></size>'
        b'<object><name> dog </name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>70.5</xmax>'
        b'<ymax>3</ymax></bndbox><part><name>head</name></part></object>'
        b'<object><name>cat</name><bndbox><xmin>a</xmin></bndbox></object></annotation>'
    )
    assert record['size_hw'] == [40, 60]
    assert record['boxes'] == [
        ['dog', [0.0, 1.0, 69.5, 2.0], '(1, 2, 70.5, 3)', '1'],
        ['cat', None, '(a, , , )', ''],
    ]


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'<annotation>', 'no well-formed XML'),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', 'document type'),
        (b'<svg/>', 'root is <svg>'),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', 'no well-formed XML'),
    ],
)
def test_xml_that_cannot_be_used(content: bytes, reason: str) -> None:
    record = read_xml(content)
    assert record['status'] == 'unreadable'
    assert reason in record['reason']
