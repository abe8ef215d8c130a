"""Unpacking: the right bytes in the right place, nothing outside it, nothing half-written, nothing overwritten."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from mmext.common import archives
from mmext.common.archives import ArchiveError, Bounds, check_digest, extract, extract_tar

FILES = {'top/a.txt': b'first', 'top/deep/b.bin': bytes(range(256)) * 100, 'top/empty': b''}
# Of the bytes 'abc'.
MD5 = '900150983cd24fb0d6963f7d28e17f72'
SHA256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


def member(name: str, content: bytes = b'', **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def write_tar(path, members, fmt=tarfile.GNU_FORMAT):
    with tarfile.open(path, 'w:', format=fmt) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def good(tmp_path):
    folder = member('top', type=tarfile.DIRTYPE, mode=0o755)
    return write_tar(tmp_path / 'good.tar', [folder, *(member(*item) for item in FILES.items())])


def files_below(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('fmt', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_unpacks_all_files(tmp_path, fmt):
    files = FILES | {f'top/{"long" * 40}.txt': b'x'} if fmt != tarfile.USTAR_FORMAT else FILES
    archive = write_tar(tmp_path / 'a.tar', [member(*item) for item in files.items()], fmt)
    done = extract_tar(archive, tmp_path / 'new' / 'out')
    assert files_below(tmp_path / 'new' / 'out') == files
    assert [str(path) for path in done.written] == list(files)
    assert not done.same
    assert not done.kept


def test_top_becomes_the_target(tmp_path, good):
    extract_tar(good, tmp_path / 'out', top='top')
    assert files_below(tmp_path / 'out') == {name.removeprefix('top/'): data for name, data in FILES.items()}
    with pytest.raises(ArchiveError, match='is not in other/'):
        extract_tar(good, tmp_path / 'none', top='other')
    assert not (tmp_path / 'none').exists()


def test_leading_dot_is_no_other_folder(tmp_path):
    archive = write_tar(
        tmp_path / 'a.tar', [member('./', type=tarfile.DIRTYPE), member('./top/a', b'1'), member('top/./b', b'2')]
    )
    extract_tar(archive, tmp_path / 'out', top='top')
    assert files_below(tmp_path / 'out') == {'a': b'1', 'b': b'2'}


def test_nothing_in_the_archive(tmp_path):
    done = extract_tar(write_tar(tmp_path / 'a.tar', []), tmp_path / 'out')
    assert (done.written, done.same, done.kept) == ([], [], [])
    assert not files_below(tmp_path / 'out')


def test_again_writes_nothing_and_keeps_what_differs(tmp_path, good):
    out = tmp_path / 'out'
    extract_tar(good, out)
    (out / 'top/a.txt').write_bytes(b'mine!')
    (out / 'top/empty').unlink()
    before = (out / 'top/deep/b.bin').stat().st_mtime_ns
    done = extract_tar(good, out)
    assert [[str(path) for path in paths] for paths in (done.written, done.same, done.kept)] == [
        ['top/empty'],
        ['top/deep/b.bin'],
        ['top/a.txt'],
    ]
    assert (out / 'top/a.txt').read_bytes() == b'mine!'
    assert (out / 'top/deep/b.bin').stat().st_mtime_ns == before


def test_modes_of_the_archive_are_not_taken_over(tmp_path):
    extract_tar(write_tar(tmp_path / 'a.tar', [member('tool', b'#!', mode=0o4777)]), tmp_path / 'out')
    assert not os.access(tmp_path / 'out' / 'tool', os.X_OK)


BAD_MEMBERS = {
    'absolute': (member('/tmp/evil', b'x'), 'points outside'),
    'parent': (member('../evil', b'x'), 'points outside'),
    'parent inside': (member('top/../../evil', b'x'), 'points outside'),
    'parent folder': (member('..', type=tarfile.DIRTYPE), 'points outside'),
    'backslash': (member('top\\..\\evil', b'x'), 'points outside'),
    'drive': (member('C:evil', b'x'), 'points outside'),
    'symbolic link': (member('evil', type=tarfile.SYMTYPE, linkname='/etc'), 'is a link'),
    'hard link': (member('evil', type=tarfile.LNKTYPE, linkname='/etc/passwd'), 'is a link'),
    'fifo': (member('evil', type=tarfile.FIFOTYPE), 'neither a plain file'),
    'character device': (member('evil', type=tarfile.CHRTYPE), 'neither a plain file'),
    'block device': (member('evil', type=tarfile.BLKTYPE), 'neither a plain file'),
    'sparse file': (member('evil', type=tarfile.GNUTYPE_SPARSE), 'neither a plain file'),
    'twice': (member('good', b'other'), 'twice'),
    'twice spelled otherwise': (member('./good', b'other'), 'twice'),
    'below a file': (member('good/evil', b'x'), 'a file and a folder'),
    'no name': (member('.', b'x'), 'no name'),
}


@pytest.mark.parametrize(('bad', 'match'), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_bad_members_are_refused_before_anything_is_written(tmp_path, bad, match):
    folder = tmp_path / 'inner'
    folder.mkdir()
    archive = write_tar(folder / 'a.tar', [member('good', b'good'), bad])
    with pytest.raises(ArchiveError, match=match) as caught:
        extract_tar(archive, folder / 'out')
    assert str(archive) in str(caught.value)
    assert 'Fix: ' in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['a.tar', 'inner']


def test_link_and_file_through_it(tmp_path):
    """The classic way out: a link to a folder outside, then a file below the link."""
    outside = tmp_path / 'outside'
    outside.mkdir()
    link = member('door', type=tarfile.SYMTYPE, linkname=str(outside))
    archive = write_tar(tmp_path / 'a.tar', [link, member('door/evil', b'x')])
    with pytest.raises(ArchiveError, match='is a link'):
        extract_tar(archive, tmp_path / 'out')
    assert not list(outside.iterdir())


def test_sizes_and_numbers_are_bounded(tmp_path, good):
    total = sum(map(len, FILES.values()))
    extract_tar(good, tmp_path / 'fits', max_bytes=total, max_files=4)
    for bounds in (dict(max_bytes=total - 1), dict(max_files=3)):
        with pytest.raises(ArchiveError, match='holds more than'):
            extract_tar(good, tmp_path / 'out', **bounds)
    assert not (tmp_path / 'out').exists()


def test_claimed_size_beyond_the_file(tmp_path):
    info = tarfile.TarInfo('big')
    info.size = 1 << 40
    archive = tmp_path / 'a.tar'
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(ArchiveError, match='holds more than'):
        extract_tar(archive, tmp_path / 'out')
    with pytest.raises(ArchiveError, match='truncated or damaged'):
        extract_tar(archive, tmp_path / 'out', max_bytes=1 << 50)


def test_negative_size(tmp_path):
    headers = [tarfile.TarInfo(name) for name in 'abc']
    headers[2].size = -1024
    archive = tmp_path / 'a.tar'
    archive.write_bytes(b''.join(info.tobuf(tarfile.GNU_FORMAT) for info in headers) + bytes(2048))
    with pytest.raises(ArchiveError, match="member 'c' has a size of -1024"):
        extract_tar(archive, tmp_path / 'out')


def test_every_cut_is_noticed(tmp_path, good):
    """Python's reader takes a cut between two members for the end of the archive."""
    content = good.read_bytes()
    with tarfile.open(good) as tar:
        end = tar.getmembers()[-1].offset_data
    cut = tmp_path / 'cut.tar'
    for length in [0, 1, *range(512, end + 1, 512), 512 * 3 + 100]:
        cut.write_bytes(content[:length])
        with pytest.raises(ArchiveError, match='truncated or damaged'):
            extract_tar(cut, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_garbled_header_is_noticed(tmp_path, good):
    content = bytearray(good.read_bytes())
    with tarfile.open(good) as tar:
        content[tar.getmember('top/deep/b.bin').offset] ^= 1
    good.write_bytes(content)
    with pytest.raises(ArchiveError, match='no member and no end'):
        extract_tar(good, tmp_path / 'out')


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        (gzip.compress(b'x'), 'gunzip'),
        (b'PK\x03\x04', 'a zip file'),
        (b'<!DOCTYPE html>', 'web page'),
        (b'no archive' * 100, 'truncated or damaged'),
    ],
    ids=['gzip', 'zip', 'web page', 'text'],
)
def test_other_formats_are_named(tmp_path, content, match):
    archive = tmp_path / 'a.tar'
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=match):
        extract_tar(archive, tmp_path / 'out')


def test_no_such_archive(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such archive'):
        extract_tar(tmp_path / 'a.tar', tmp_path / 'out')


def test_files_and_folders_in_the_way(tmp_path, good):
    (tmp_path / 'one' / 'top' / 'a.txt').mkdir(parents=True)
    with pytest.raises(ArchiveError, match='is a folder'):
        extract_tar(good, tmp_path / 'one')
    (tmp_path / 'two').mkdir()
    (tmp_path / 'two' / 'top').write_text('')
    with pytest.raises(ArchiveError, match='is a file'):
        extract_tar(good, tmp_path / 'two')


def test_full_disk_is_noticed_first(tmp_path, good, monkeypatch):
    monkeypatch.setattr(archives.shutil, 'disk_usage', lambda path: SimpleNamespace(free=9))
    with pytest.raises(ArchiveError, match='are free'):
        extract_tar(good, tmp_path / 'out')
    assert not files_below(tmp_path / 'out')


def test_failing_write_leaves_no_half_file(tmp_path, good, monkeypatch):
    def fail(source, target, length):
        target.write(source.read(2))
        raise OSError('no space left on device')

    monkeypatch.setattr(archives.shutil, 'copyfileobj', fail)
    with pytest.raises(OSError, match='no space'):
        extract_tar(good, tmp_path / 'out')
    assert not files_below(tmp_path / 'out')
    monkeypatch.undo()
    extract_tar(good, tmp_path / 'out')
    assert files_below(tmp_path / 'out') == FILES


def test_published_sums(tmp_path):
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    check_digest(path, MD5.upper(), 'md5')
    check_digest(path, SHA256)
    with pytest.raises(ArchiveError, match=rf'abc: its MD5 is {MD5}, published is 0+ \(3 bytes here\)'):
        check_digest(path, '0' * 32, 'md5')


# ---- zip files


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    """Members are names or `ZipInfo`s, each with its content."""
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def zip_member(name: str, mode: int = stat.S_IFREG | 0o644, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_unpacks_as_tar_does(tmp_path, good, method):
    archive = write_zip(tmp_path / 'a.zip', [('top/', b''), *FILES.items()], method)
    done = extract(archive, tmp_path / 'zip')
    assert done == extract(good, tmp_path / 'tar')
    assert files_below(tmp_path / 'zip') == files_below(tmp_path / 'tar') == FILES
    (tmp_path / 'zip' / 'top/a.txt').write_bytes(b'mine!')
    again = extract(archive, tmp_path / 'zip')
    assert ([*map(str, again.kept)], len(again.same), again.written) == (['top/a.txt'], 2, [])
    extract(archive, tmp_path / 'inner', top='top')
    assert files_below(tmp_path / 'inner') == {name.removeprefix('top/'): data for name, data in FILES.items()}


def test_nothing_in_the_zip(tmp_path):
    assert not extract(write_zip(tmp_path / 'a.zip', []), tmp_path / 'out').written


def test_a_tar_is_asked_for(tmp_path):
    with pytest.raises(ArchiveError, match='no plain tar file but a zip file'):
        extract_tar(write_zip(tmp_path / 'a.zip', FILES.items()), tmp_path / 'out')


BAD_ZIP_MEMBERS = {
    'absolute': ('/tmp/evil', 'points outside'),
    'parent': ('../evil', 'points outside'),
    'parent inside': ('top/../../evil', 'points outside'),
    'backslash': ('top\\..\\evil', 'points outside'),
    'drive': ('C:evil', 'points outside'),
    'link': (zip_member('evil', stat.S_IFLNK | 0o777), 'is a link'),
    'fifo': (zip_member('evil', stat.S_IFIFO), 'neither a plain file'),
    'twice': ('good', 'twice'),
    'twice spelled otherwise': ('./good', 'twice'),
    'below a file': ('good/evil', 'a file and a folder'),
}


@pytest.mark.parametrize(('name', 'match'), BAD_ZIP_MEMBERS.values(), ids=BAD_ZIP_MEMBERS)
@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_bad_members_of_a_zip_are_refused_before_anything_is_written(tmp_path, name, match):
    folder = tmp_path / 'inner'
    folder.mkdir()
    archive = write_zip(folder / 'a.zip', [('good', b'good'), (name, b'/etc/passwd')])
    with pytest.raises(ArchiveError, match=match) as caught:
        extract(archive, folder / 'out')
    assert str(archive) in str(caught.value)
    assert 'Fix: ' in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['a.zip', 'inner']


def test_encrypted_and_oddly_packed_members(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', [('a', b'x' * 9)], zipfile.ZIP_STORED)
    content = archive.read_bytes()
    entry = content.index(b'PK\x01\x02')
    for offset, value, match in ((8, 1, 'encrypted'), (10, 14, 'packed by method 14')):
        changed = bytearray(content)
        changed[entry + offset] = value
        archive.write_bytes(changed)
        with pytest.raises(ArchiveError, match=match):
            extract(archive, tmp_path / 'out')


def test_sizes_in_a_zip_are_bounded(tmp_path):
    total = sum(map(len, FILES.values()))
    archive = write_zip(tmp_path / 'a.zip', FILES.items())
    extract(archive, tmp_path / 'fits', bounds=Bounds(total=total, file=25_600, files=3))
    for bounds in (Bounds(total=total - 1), Bounds(files=2)):
        with pytest.raises(ArchiveError, match='holds more than'):
            extract(archive, tmp_path / 'out', bounds=bounds)
    with pytest.raises(ArchiveError, match=r"holds a file of .*at member 'top/deep/b\.bin'"):
        extract(archive, tmp_path / 'out', bounds=Bounds(file=25_599))
    assert not (tmp_path / 'out').exists()


def test_zip_bomb(tmp_path):
    """Deflate packs zeros about 1000 times; pictures and annotations stay far below 200."""
    archive = write_zip(tmp_path / 'a.zip', [('zeros', bytes(4 << 20))])
    assert archive.stat().st_size < 10_000
    with pytest.raises(ArchiveError, match='packed bytes claim to be 4194304, more than 200 times'):
        extract(archive, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    extract(archive, tmp_path / 'out', bounds=Bounds(ratio=1100))
    assert files_below(tmp_path / 'out') == {'zeros': bytes(4 << 20)}
    # Small files may be as empty as they like.
    extract(write_zip(tmp_path / 'b.zip', [('zeros', bytes(1 << 20))]), tmp_path / 'small')


def test_zip_that_lies_about_a_size(tmp_path):
    """A member is never read beyond the size that was checked."""
    archive = write_zip(tmp_path / 'a.zip', [('a', b'x' * 500)])
    content = bytearray(archive.read_bytes())
    entry = content.index(b'PK\x01\x02')
    content[entry + 24 : entry + 28] = (100).to_bytes(4, 'little')
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"member 'a'.* 0 files were unpacked before"):
        extract(archive, tmp_path / 'out')
    assert not files_below(tmp_path / 'out')


def test_cut_or_garbled_zip(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', [('a', b'first'), ('b', bytes(range(256)) * 10)], zipfile.ZIP_STORED)
    content = archive.read_bytes()
    for length in (4, 30, len(content) // 2, len(content) - 1):
        archive.write_bytes(content[:length])
        with pytest.raises(ArchiveError, match='truncated or damaged'):
            extract(archive, tmp_path / 'out')
    assert not files_below(tmp_path / 'out')
    archive.write_bytes(content.replace(bytes(range(9, 99)), bytes(90), 1))
    with pytest.raises(ArchiveError, match=r"member 'b': Bad CRC-32.* 1 files were unpacked before, all whole"):
        extract(archive, tmp_path / 'out')
    assert files_below(tmp_path / 'out') == {'a': b'first'}
    archive.write_bytes(content)
    assert [str(path) for path in extract(archive, tmp_path / 'out').written] == ['b']
