"""Whole and damaged pictures, told apart at every length."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from mmext.common.image_files import read_whole_size, why_damaged


def picture() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC)


def encoded(form: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, form, **options)
    return buffer.getvalue()


def with_preview() -> bytes:
    """A JPEG whose header holds a small JPEG, as cameras write it."""
    inner = b'Exif\0\0' + encoded('JPEG', quality=5)
    whole = encoded('JPEG')
    return whole[:2] + b'\xff\xe1' + struct.pack('>H', len(inner) + 2) + inner + whole[2:]


WHOLE = {
    'jpeg': lambda: encoded('JPEG'),
    'progressive': lambda: encoded('JPEG', progressive=True),
    'preview': with_preview,
    'padded marker': lambda: encoded('JPEG')[:2] + b'\xff' + encoded('JPEG')[2:],
    'bytes behind the end': lambda: encoded('JPEG') + b'behind the end' * 9,
    'png': lambda: encoded('PNG'),
    'webp': lambda: encoded('WEBP'),
    'bmp': lambda: encoded('BMP'),
}


@pytest.mark.parametrize('kind', WHOLE)
def test_whole(kind, tmp_path):
    (tmp_path / 'a').write_bytes(WHOLE[kind]())
    assert why_damaged(tmp_path / 'a') == ''
    assert read_whole_size(tmp_path / 'a') == (50, 60)


def seen(path) -> bool:
    """With a broken header it is no picture any more, which every decoder notices."""
    return bool(why_damaged(path)) or cv2.imread(str(path)) is None


@pytest.mark.parametrize('kind', ['jpeg', 'progressive', 'preview', 'png'])
@pytest.mark.parametrize('zeros', [False, True], ids=['cut', 'zeros'])
def test_damaged(kind, zeros, tmp_path):
    """Cut at any place behind the header, or zeros from there on; the last bytes of a PNG are its end mark's sum."""
    whole = WHOLE[kind]()
    for share in (0.3, 0.5, 0.7, 0.9, 0.97):
        length = int(share * len(whole))
        (tmp_path / 'a').write_bytes(whole[:length].ljust(len(whole) if zeros else 0, b'\0'))
        assert seen(tmp_path / 'a'), f'{length} of {len(whole)} bytes'


def test_one_wrong_byte_of_a_png(tmp_path):
    whole = encoded('PNG')
    for place in range(40, len(whole) - 20, 97):
        (tmp_path / 'a').write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert seen(tmp_path / 'a')


def test_what_is_for_others_to_say(tmp_path):
    """No picture, or one that is too large for Pillow only: the decoder decides."""
    (tmp_path / 'a').write_bytes(b'no picture')
    assert why_damaged(tmp_path / 'a') == ''
    assert why_damaged(tmp_path / 'gone') == 'No such file or directory'
    with pytest.raises(FileNotFoundError):
        read_whole_size(tmp_path / 'gone')
