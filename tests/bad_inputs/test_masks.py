"""Label masks that are not what they should be, through the tool that prepares them, the data set and the counting."""

import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STEMS = [f'00000{number}_10' for number in range(4)]
SIZE_HW = (12, 16)
BAD = '000002_10.png'


def good_mask(seed: int, high: int = 19) -> np.ndarray:
    mask = np.random.default_rng(seed).integers(0, high, SIZE_HW, dtype=np.uint8)
    mask[0, 0] = 255
    return mask


def make_set(folder: Path) -> Path:
    """Four frames with trainIds in the raw layout of KITTI; returns the mask that cases spoil."""
    for kind in ('image_2', 'semantic'):
        (folder / 'raw/training' / kind).mkdir(parents=True)
    for seed, stem in enumerate(STEMS):
        Image.new('RGB', SIZE_HW[::-1], (seed, 50, 90)).save(folder / f'raw/training/image_2/{stem}.png')
        Image.fromarray(good_mask(seed)).save(folder / f'raw/training/semantic/{stem}.png')
    return folder / 'raw/training/semantic' / BAD


def rgb(path: Path) -> None:
    Image.fromarray(np.stack([good_mask(2)] * 3, axis=2)).save(path)


def rgba(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 4), dtype=np.uint8), 'RGBA').save(path)


def grey_with_alpha(path: Path) -> None:
    Image.fromarray(good_mask(2)).convert('LA').save(path)


def sixteen_bit(path: Path) -> None:
    Image.fromarray(good_mask(2).astype(np.uint16) * 256).save(path)


def one_bit(path: Path) -> None:
    Image.fromarray(good_mask(2) > 9).save(path)


def float_tiff(path: Path) -> None:
    Image.fromarray(good_mask(2).astype(np.float32)).save(path, format='TIFF')


def cmyk_tiff(path: Path) -> None:
    Image.new('CMYK', SIZE_HW[::-1]).save(path, format='TIFF')


def label_ids(path: Path) -> None:
    mask = good_mask(2, 34)
    mask[0, 0], mask[0, 1] = 33, 26
    Image.fromarray(mask).save(path)


def other_size(path: Path) -> None:
    Image.fromarray(good_mask(2)[:-2]).save(path)


def turned(path: Path) -> None:
    Image.fromarray(good_mask(2).T).save(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:33])


def empty(path: Path) -> None:
    path.write_bytes(b'')


def text(path: Path) -> None:
    path.write_text('0 0 0 1 1 1 2 2 2\n')


def web_page(path: Path) -> None:
    path.write_text('<!DOCTYPE html><html>404</html>')


def lfs_pointer(path: Path) -> None:
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n')


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to('gone.png')


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def removed(path: Path) -> None:
    path.unlink()


def out_of_range(path: Path) -> None:
    mask = good_mask(2)
    mask[3:5, 3:7] = 77
    Image.fromarray(mask).save(path)


def animated(path: Path) -> None:
    frames = [Image.fromarray(good_mask(seed)) for seed in (2, 5)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def several_pages(path: Path) -> None:
    frames = [Image.fromarray(good_mask(seed)) for seed in (2, 5)]
    frames[0].save(path, format='TIFF', save_all=True, append_images=frames[1:])


def bomb(path: Path) -> None:
    """A PNG of a few bytes whose header promises 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 60000, 60000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b''))


# What any reader of masks must say.
FAULTS = [
    pytest.param(rgb, ['three channels|colors', 'mode L|convert them'], id='rgb'),
    pytest.param(rgba, ['mode RGBA', 'mode L'], id='rgba'),
    pytest.param(grey_with_alpha, ['mode LA', 'mode L'], id='grey-with-alpha'),
    pytest.param(sixteen_bit, ['mode I;16', '8-bit'], id='16-bit'),
    pytest.param(one_bit, ['mode 1', '8-bit'], id='1-bit'),
    pytest.param(float_tiff, ['mode F', '8-bit'], id='float-tiff'),
    pytest.param(cmyk_tiff, ['mode CMYK', '8-bit'], id='cmyk-tiff'),
    pytest.param(label_ids, ['value [123]\\d at|label_ids', 'label_encoding=|convert'], id='label-ids'),
    pytest.param(out_of_range, ['value 77 at 8 pixels', 'correct the mask'], id='out-of-range'),
    pytest.param(truncated, ['cannot be read', 'copy it again'], id='truncated'),
    pytest.param(header_only, ['cannot be read', 'copy it again'], id='header-only'),
    pytest.param(empty, ['cannot be read', 'copy it again'], id='empty-file'),
    pytest.param(text, ['cannot be read', 'copy it again'], id='text-as-png'),
    pytest.param(web_page, ['cannot be read', 'copy it again'], id='web-page-as-png'),
    pytest.param(lfs_pointer, ['cannot be read', 'copy it again'], id='lfs-pointer-as-png'),
    pytest.param(a_folder, ['cannot be read', 'directory', 'copy it again'], id='folder'),
    pytest.param(dangling_link, ['is missing', 'link'], id='dangling-link'),
    pytest.param(link_to_itself, ['cannot be read', 'symbolic links'], id='link-to-itself'),
    pytest.param(animated, ['2 frames', 'one'], id='animated-png'),
    pytest.param(several_pages, ['2 frames', 'one'], id='several-pages'),
    pytest.param(bomb, ['cannot be read', '3600000000 pixels', 'copy it again'], id='decompression-bomb'),
]
# What only they can notice who look at the picture too.
OF_PAIRS = [
    pytest.param(other_size, ['10 x 16', 'its image is 12 x 16', 'resize'], id='other-size'),
    pytest.param(turned, ['16 x 12', 'its image is 12 x 16'], id='turned'),
    pytest.param(removed, ['is missing'], id='no-mask'),
]


@pytest.mark.parametrize(('spoil', 'parts'), [*FAULTS, *OF_PAIRS])
def test_preparation(spoil, parts, work, refused):
    spoil(make_set(work))
    # Single masks decide about the encoding of the folder, so that ids and colours are told by the folder.
    refused('prepare/kitti.py', ['raw', 'out', '--val-count', 1], BAD.replace('.', r'\.'), *parts)


@pytest.mark.parametrize(('spoil', 'parts'), [*FAULTS, *OF_PAIRS])
def test_data_set(spoil, parts, work, unchanged):
    from mmext.segmentation.datasets.kitti_seg import KITTISegDataset
    from mmext.segmentation.datasets.label_encoding import MaskError

    spoil(make_set(work))
    prefix = dict(img_path='image_2', seg_map_path='semantic')
    (work / 'train.txt').write_text('\n'.join(STEMS))
    with unchanged(work), pytest.raises(MaskError) as error:
        KITTISegDataset(data_root='raw/training', data_prefix=prefix, ann_file='../../train.txt', pipeline=[])
    message = str(error.value)
    assert BAD in message
    assert len(message.splitlines()) == 1
    for part in parts:
        assert re.search(part, message), message


@pytest.mark.parametrize(('spoil', 'parts'), FAULTS)
def test_counting(spoil, parts, work, refused):
    spoil(make_set(work))
    refused('analysis/class_weights.py', ['raw/training/semantic', '--out', 'out'], BAD.replace('.', r'\.'), *parts)


def spoil_all(folder: Path, mask: np.ndarray) -> None:
    make_set(folder)
    for stem in STEMS:
        Image.fromarray(mask).save(folder / f'raw/training/semantic/{stem}.png')


# No single mask is at fault, all of them together are.
SETS = [
    pytest.param(np.full(SIZE_HW, 255, np.uint8), ['255', 'ignored', 'nothing'], id='all-ignored'),
    pytest.param(
        np.where(good_mask(1) > 9, 255, 0).astype(np.uint8), ['0 and 255', 'black and white'], id='black-and-white'
    ),
]


@pytest.mark.parametrize(('mask', 'parts'), SETS)
def test_whole_sets(mask, parts, work, refused):
    spoil_all(work, mask)
    refused('prepare/kitti.py', ['raw', 'out', '--val-count', 1], 'semantic', *parts)
    refused('analysis/class_weights.py', ['raw/training/semantic', '--out', 'out'], 'semantic', *parts)


def make_land_cover(folder: Path) -> Path:
    """Four pictures with colour-coded masks; returns the mask that cases spoil."""
    from mmext.segmentation.datasets.land_cover import PALETTE

    (folder / 'raw').mkdir()
    for number in range(4):
        colors = np.array(PALETTE, np.uint8)[np.random.default_rng(number).integers(0, 7, SIZE_HW)]
        Image.new('RGB', SIZE_HW[::-1]).save(folder / f'raw/{number}_sat.jpg')
        Image.fromarray(colors).save(folder / f'raw/{number}_mask.png')
    return folder / 'raw/2_mask.png'


def class_indices(path: Path) -> None:
    Image.fromarray(good_mask(0, 7)).save(path)


def jpeg_noise(path: Path) -> None:
    colors = np.asarray(Image.open(path)).copy()
    colors[2, 3] = (9, 250, 251)
    Image.fromarray(colors).save(path)


def grey_color(path: Path) -> None:
    colors = np.asarray(Image.open(path)).copy()
    colors[1] = 128
    Image.fromarray(colors).save(path)


LAND_COVER = [
    pytest.param(class_indices, ['one channel', 'colours were expected', 'RGB'], id='indices'),
    pytest.param(jpeg_noise, ['#09fafb at 1 pixels', 'nearest is urban', '--tolerance 9'], id='noise'),
    pytest.param(grey_color, ['#808080 at 16 pixels', '--others-unknown'], id='foreign-colour'),
    pytest.param(other_size, ['10 x 16', 'its image is 12 x 16'], id='other-size'),
    pytest.param(truncated, ['cannot be read', 'copy it again'], id='truncated'),
    pytest.param(bomb, ['cannot be read', '3600000000 pixels'], id='decompression-bomb'),
    pytest.param(removed, ['mask is missing', '1 of 4', 'unpack'], id='no-mask'),
]


@pytest.mark.parametrize(('spoil', 'parts'), LAND_COVER)
def test_land_cover(spoil, parts, work, refused):
    spoil(make_land_cover(work))
    refused('prepare/land_cover.py', ['raw', 'out', '--val-count', 1], r'2_mask\.png', *parts)


def test_broken_bytes_of_any_kind(work):
    """Whatever is cut off or garbled, a mask is read or refused by name: no other error comes through."""
    from mmext.segmentation.datasets.label_encoding import MaskError, read_mask

    path = make_set(work)
    rng = np.random.default_rng(0)
    messages = []
    for form in ('PNG', 'TIFF', 'GIF', 'BMP', 'WEBP'):
        Image.fromarray(good_mask(2)).save(path, format=form)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for trial in range(120):
            content = whole[: rng.integers(len(whole))].copy() if trial % 2 else whole.copy()
            content[rng.integers(0, max(len(content), 1), 3 if len(content) else 0)] = rng.integers(0, 256)
            path.write_bytes(content.tobytes())
            try:
                read_mask(path)
            except MaskError as error:
                messages.append(str(error))
    assert len(messages) > 300
    assert all(message.startswith(str(path)) for message in messages)


def test_nothing_of_an_older_result_is_lost(work, refused, load_tool):
    bad = make_set(work)
    assert load_tool('prepare/kitti.py').main(['raw', 'out', '--val-count', '1', '--copy']) == 0
    keep = work / 'keep'
    shutil.copytree(work / 'out', keep, symlinks=True)
    truncated(bad)
    refused('prepare/kitti.py', ['raw', 'out', '--val-count', 1, '--copy'], 'copy it again')
    assert not list(work.rglob('*.part'))
