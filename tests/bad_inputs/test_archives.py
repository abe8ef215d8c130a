"""Archives that are damaged, hostile or not what their name says: nothing lands outside, nothing is half unpacked."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, content: bytes = b'x', kind: bytes = tarfile.REGTYPE, link: str = '') -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
    return info, content


GOOD = [member('VOCdevkit', kind=tarfile.DIRTYPE), member('VOCdevkit/VOC2007/a.txt', b'good' * 400)]


def tar(*members: tuple, name: str = 'a.tar') -> Callable[[Path], str]:
    """Makes a tar file of two good members and others behind them."""

    def make(folder: Path) -> str:
        with tarfile.open(folder / name, 'w') as archive:
            for info, content in (*GOOD, *members):
                archive.addfile(info, io.BytesIO(content))
        return name

    return make


def spoilt(change: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        name = tar()(folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        return name

    return make


def claims(size: int) -> tuple:
    """A member whose header promises more bytes than there are."""
    info, _ = member('VOCdevkit/big.bin')
    info.size = size
    return info


def too_large(folder: Path) -> str:
    with (folder / 'a.tar').open('wb') as file:
        file.write(claims(1 << 50).tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    return 'a.tar'


def negative_size(folder: Path) -> str:
    header = bytearray(claims(0).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b'\xff' * 12
    header[148:156] = b' ' * 8
    header[148:156] = f'{sum(header):06o}\0 '.encode()
    (folder / 'a.tar').write_bytes(bytes(header) + bytes(1024))
    return 'a.tar'


def gzip_bomb(folder: Path) -> str:
    """A few kB that unpack to 64 MB."""
    with gzip.open(folder / 'a.tar', 'wb', compresslevel=9) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    return 'a.tar'


def zip_file(folder: Path) -> str:
    with zipfile.ZipFile(folder / 'a.tar', 'w') as archive:
        archive.writestr('VOCdevkit/../../evil.txt', 'x')
    return 'a.tar'


def content(data: bytes, name: str = 'a.tar') -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(data)
        return name

    return make


def a_folder(folder: Path) -> str:
    (folder / 'a.tar').mkdir()
    return 'a.tar'


def missing(folder: Path) -> str:
    return 'a.tar'


OUTSIDE = ['refused', 'points outside', 'do not trust']
LINK = ['refused', 'is a link']
SPECIAL = ['refused', 'neither a plain file nor a folder']
CASES = [
    pytest.param(tar(member('VOCdevkit/../../evil.txt')), OUTSIDE, id='path-traversal'),
    pytest.param(tar(member('../evil.txt')), OUTSIDE, id='parent'),
    pytest.param(tar(member('/tmp/mmext_evil.txt')), OUTSIDE, id='absolute'),
    pytest.param(tar(member('VOCdevkit\\..\\..\\evil.txt')), OUTSIDE, id='backslashes'),
    pytest.param(tar(member('C:/evil.txt')), OUTSIDE, id='drive-letter'),
    pytest.param(tar(member('VOCdevkit/l', kind=tarfile.SYMTYPE, link='/etc')), LINK, id='symlink'),
    pytest.param(
        tar(member('VOCdevkit/l', kind=tarfile.SYMTYPE, link='..'), member('VOCdevkit/l/evil.txt')),
        LINK,
        id='write-through-symlink',
    ),
    pytest.param(tar(member('VOCdevkit/l', kind=tarfile.LNKTYPE, link='/etc/passwd')), LINK, id='hardlink'),
    pytest.param(tar(member('VOCdevkit/d', kind=tarfile.CHRTYPE)), SPECIAL, id='character-device'),
    pytest.param(tar(member('VOCdevkit/d', kind=tarfile.BLKTYPE)), SPECIAL, id='block-device'),
    pytest.param(tar(member('VOCdevkit/d', kind=tarfile.FIFOTYPE)), SPECIAL, id='fifo'),
    pytest.param(tar(member('VOCdevkit/VOC2007/a.txt', b'other')), ['a.txt', 'is in it twice'], id='duplicate-name'),
    pytest.param(
        tar(member('VOCdevkit/b'), member('VOCdevkit/b/c')), ['b is a file and a folder'], id='file-and-folder'
    ),
    pytest.param(tar(member('other/a.txt')), ['other/a.txt', 'not in VOCdevkit/', 'official'], id='other-top'),
    pytest.param(spoilt(lambda data: data[:1500]), ['truncated or damaged', 'fetch'], id='cut-in-a-member'),
    pytest.param(spoilt(lambda data: data[:700]), ['truncated or damaged', 'fetch'], id='cut-in-a-header'),
    pytest.param(
        spoilt(lambda data: data[:512] + b'\xaa' * 512 + data[1024:]), ['damaged', 'fetch'], id='garbled-header'
    ),
    pytest.param(too_large, ['refused', 'holds more than', 'GiB'], id='claims-a-petabyte'),
    pytest.param(negative_size, ['size of -', 'nothing was unpacked'], id='negative-size'),
    pytest.param(gzip_bomb, ['gzip'], id='gzip-bomb'),
    pytest.param(zip_file, ['zip|points outside'], id='zip-with-path-traversal'),
    pytest.param(content(b''), ['empty|truncated|damaged'], id='empty'),
    pytest.param(content(b'this is no archive ' * 60), ['damaged|no .*archive'], id='text'),
    pytest.param(content(b'<html>404</html>'), ['web page', 'fetch'], id='web-page'),
    pytest.param(content(b'BZh91AY&SY'), ['bzip2', 'bunzip2'], id='bzip2'),
    pytest.param(content(b'Rar!\x1a\x07\x00' + bytes(600)), ['damaged|no .*archive'], id='rar'),
    pytest.param(
        tar(name='VOCtest_06-Nov-2007.tar'),
        ['its MD5 is', 'published is b6e924de25625d8de591ea690078ad9f', 'fetch'],
        id='wrong-checksum',
    ),
    pytest.param(missing, ['no such archive', 'check the path'], id='missing'),
    pytest.param(a_folder, ['no such archive', 'check the path'], id='folder'),
]


@pytest.mark.parametrize(('make', 'parts'), CASES)
def test_refused(make, parts, work, refused):
    inside = work / 'inside'
    inside.mkdir()
    name = make(work)
    # The folder to unpack into is there with a file in it, which must survive.
    (inside / 'out').mkdir()
    (inside / 'out/keep.txt').write_text('mine')
    refused('prepare/voc.py', [name, '--out', 'inside/out'], name.replace('.', r'\.'), *parts)
    assert not Path('/tmp/mmext_evil.txt').exists()
    assert not (work / 'evil.txt').exists()


def test_a_file_in_the_place_of_a_folder(work, refused):
    (work / 'out').mkdir()
    (work / 'out/VOC2007').write_text('mine')
    refused('prepare/voc.py', [tar()(work), '--out', 'out'], r'out/VOC2007: is a file', 'name another folder')


def test_a_folder_in_the_place_of_a_file(work, refused):
    (work / 'out/VOC2007/a.txt').mkdir(parents=True)
    refused('prepare/voc.py', [tar()(work), '--out', 'out'], r'a\.txt: is a folder', 'name another folder')


def test_other_content_is_kept(work, load_tool, capsys):
    """An archive never replaces what is there, and says so."""
    (work / 'out/VOC2007').mkdir(parents=True)
    (work / 'out/VOC2007/a.txt').write_text('mine')
    load_tool('prepare/voc.py').main([tar()(work), '--out', 'out'])
    assert (work / 'out/VOC2007/a.txt').read_text() == 'mine'
    assert '1 files of other content were there and kept' in capsys.readouterr().out
    assert not list(work.rglob('*.part'))
