"""Unpacks archives from elsewhere so that nothing lands outside the folder and no file is left half-written.

An archive may name files outside the folder it is unpacked into, plant links that later members are written through,
or hold kilobytes that unpack to a full disk; and Python's reader takes a tar file that was cut or garbled between two
members for one that ends there. All of this is refused before the first file is written.

Python's own extraction filters (`tarfile.data_filter`) are not relied upon: they came with 3.10.12 and 3.11.4, and
they neither bound the size nor notice a cut archive. Nothing is extracted by `tarfile` or `zipfile` here: they list the
members, and the bytes of regular files are copied to names that were checked.
"""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from rich.progress import track

from mmext.common.digests import CHUNK, file_digest
from mmext.common.files import replacing

GIB = 1 << 30
BLOCK = tarfile.BLOCKSIZE
ZIP_MAGICS = (b'PK\x03\x04', b'PK\x05\x06')
# What a damaged member of a zip file raises while it is read.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
# First bytes of what people have instead of a plain tar or zip file, and how to get one.
OTHER_FORMATS = {
    b'\x1f\x8b': 'compressed with gzip; run gunzip first',
    b'BZh': 'compressed with bzip2; run bunzip2 first',
    b'\xfd7zXZ': 'compressed with xz; run unxz first',
    b'<': 'a web page (a download link that led to a log-in or error page); fetch the file again',
}


class ArchiveError(ValueError):
    """An archive that cannot be unpacked; the message names the archive, the member and the fix."""


class Bounds(NamedTuple):
    """What an archive may hold at most.

    Attributes:
        total: Bytes of all files together.
        file: Bytes of one file.
        files: Members.
        ratio: Bytes that one packed byte becomes; told for files of more than a MiB. Deflate reaches 1032.
    """

    total: int = 8 * GIB
    file: int = 4 * GIB
    files: int = 200_000
    ratio: float = 200


class _Entry(NamedTuple):
    """A member of an archive; ``objection`` says what else it is than a plain file or a folder."""

    name: str
    size: int
    packed: int
    is_folder: bool
    objection: str
    open: Callable[[], IO[bytes]]


@dataclass
class Extraction:
    """What became of an archive's regular files: paths below the target folder.

    Attributes:
        written: Files that were not there.
        same: Files that were there with the archive's content.
        kept: Files that were there with other content; they were left as they are.
    """

    written: list[Path] = field(default_factory=list)
    same: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def check_digest(path: str | Path, expected: str, algorithm: str = 'sha256') -> None:
    """Compares a file with its published sum.

    An MD5 sum tells a damaged download; it is no proof against someone who wants to deceive.

    Raises:
        ArchiveError: The sum is another one; names both.
    """
    found = file_digest(path, algorithm)
    if found != expected.lower():
        raise ArchiveError(
            f'{path}: its {algorithm.upper()} is {found}, published is {expected} '
            f'({Path(path).stat().st_size} bytes here). Fix: fetch the file again.'
        )


def extract(
    archive: str | Path, target: str | Path, top: str | None = None, bounds: Bounds | None = None
) -> Extraction:
    """Unpacks an uncompressed tar file or a zip file, with a progress bar.

    All names, kinds and sizes are checked before anything is written. Every file is written to a temporary name beside
    it and then renamed; a run that was cut off is completed by the next one. Only names and bytes are taken over: no
    owner, no mode, no time. Files that are there already are compared, never overwritten.

    Args:
        archive: The file; its format is told by its first bytes.
        target: Folder to unpack into; made if missing.
        top: Folder of the archive that becomes ``target``; all members must lie in it. None takes names as they are.
        bounds: On sizes and numbers.

    Returns:
        What was written and what was there.

    Raises:
        FileNotFoundError: There is no such archive.
        ArchiveError: Another format; cut or damaged; a member with an absolute path or ``..``, a link, a device, a
            sparse or encrypted file, one outside ``top``, or the same name twice; sizes or number out of bounds; disk
            too small; a file where a folder must be or the other way round.
    """
    archive, target, bounds = Path(archive), Path(target), bounds or Bounds()
    is_zip = _is_zip(archive)
    try:
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive, 'r:') as opened:
            files = _check_entries((_zip_entries if is_zip else _tar_entries)(opened, archive), archive, top, bounds)
            _check_target(archive, target, files)
            return _copy_files(archive, files, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise _damaged(archive, str(error)) from error


def extract_tar(
    archive: str | Path,
    target: str | Path,
    top: str | None = None,
    max_bytes: int = 8 * GIB,
    max_files: int = 200_000,
) -> Extraction:
    """Unpacks an uncompressed tar file, and no zip file; see `extract`."""
    if _is_zip(Path(archive)):
        raise ArchiveError(f'{archive}: no plain tar file but a zip file. Fix: name the tar file.')
    return extract(archive, target, top, Bounds(total=max_bytes, file=max_bytes, files=max_files))


def _is_zip(archive: Path) -> bool:
    if not archive.is_file():
        raise FileNotFoundError(f'{archive}: no such archive; check the path')
    with archive.open('rb') as file:
        head = file.read(BLOCK)
    for magic, what in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise ArchiveError(f'{archive}: no plain tar or zip file but {what}.')
    return head.startswith(ZIP_MAGICS)


def _damaged(archive: Path, reason: str, place: str = 'nothing was unpacked') -> ArchiveError:
    return ArchiveError(
        f'{archive}: truncated or damaged ({archive.stat().st_size} bytes; {reason}); {place}. '
        'Fix: fetch the file again.'
    )


def _tar_entries(tar: tarfile.TarFile, archive: Path) -> Iterator[_Entry]:
    for member in tar:
        # Possible in the format's binary notation, and would let the reader walk in circles.
        if member.size < 0:
            raise _damaged(archive, f'member {member.name!r} has a size of {member.size}')
        objection = ''
        if not member.isdir() and (not member.isreg() or member.issparse()):
            objection = 'a link' if member.issym() or member.islnk() else 'neither a plain file nor a folder'
        read = partial(tar.extractfile, member)
        yield _Entry(member.name, member.size, member.size, member.isdir(), objection, read)
    # The reader stops without a word at a header that is cut or garbled; a whole archive stops at a block of zeros.
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):
        raise _damaged(archive, f'no member and no end at byte {tar.offset}')


def _zip_entries(opened: zipfile.ZipFile, archive: Path) -> Iterator[_Entry]:
    for member in opened.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        objection = 'encrypted' if member.flag_bits & 1 else ''
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            objection = f'packed by method {member.compress_type}, which is not read here'
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            objection = 'a link' if kind == stat.S_IFLNK else 'neither a plain file nor a folder'
        read = partial(opened.open, member)
        yield _Entry(member.filename, member.file_size, member.compress_size, member.is_dir(), objection, read)


def _check_entries(
    entries: Iterable[_Entry], archive: Path, top: str | None, bounds: Bounds
) -> dict[PurePosixPath, _Entry]:
    """Path below the target -> member, for all regular files; raises `ArchiveError` about the first bad member."""
    files, total = {}, 0
    for count, entry in enumerate(entries, start=1):
        path = _safe_path(archive, entry.name, top)
        if entry.objection:
            raise ArchiveError(
                f'{archive}: refused, member {entry.name!r} is {entry.objection}. Fix: unpack it by hand.'
            )
        total += entry.size
        if too_much := _excess(entry, count, total, bounds):
            raise ArchiveError(
                f'{archive}: refused, {too_much} (at member {entry.name!r}). '
                'Fix: make sure that it is the archive you mean.'
            )
        if entry.is_folder:
            continue
        if path in files or path == PurePosixPath():
            what = 'has no name' if path == PurePosixPath() else 'is in it twice'
            raise ArchiveError(f'{archive}: refused, the file {entry.name!r} {what}. Fix: unpack it by hand.')
        files[path] = entry
    for path in files:
        if inside := files.keys() & set(path.parents):
            raise ArchiveError(f'{archive}: refused, {inside.pop()} is a file and a folder. Fix: unpack it by hand.')
    return files


def _excess(entry: _Entry, count: int, total: int, bounds: Bounds) -> str:
    if count > bounds.files or total > bounds.total:
        return f'holds more than {bounds.files} members or {bounds.total / GIB:.3g} GiB'
    if entry.size > bounds.file:
        return f'holds a file of {entry.size / GIB:.3g} GiB, more than {bounds.file / GIB:.3g}'
    if entry.size > max(CHUNK, bounds.ratio * entry.packed):
        return f'{entry.packed} packed bytes claim to be {entry.size}, more than {bounds.ratio:g} times as many'
    return ''


def _safe_path(archive: Path, name: str, top: str | None) -> PurePosixPath:
    """The path below the target that a member's name means."""
    path = PurePosixPath(name)
    # A backslash or a drive letter is part of a name here and a way out of the folder on Windows.
    if path.is_absolute() or '..' in path.parts or '\\' in name or ':' in name or '\0' in name:
        raise ArchiveError(f'{archive}: refused, member {name!r} points outside the folder. Fix: do not trust it.')
    if top is None or path == PurePosixPath():
        return path
    if path.parts[0] != top:
        raise ArchiveError(f'{archive}: member {name!r} is not in {top}/. Fix: name the official archive.')
    return path.relative_to(top)


def _check_target(archive: Path, target: Path, files: dict[PurePosixPath, _Entry]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    needed = 0
    for path, entry in files.items():
        place = target / path
        if place.is_dir():
            raise ArchiveError(f'{place}: is a folder, {archive.name} holds a file there. Fix: name another folder.')
        needed += 0 if place.exists() else entry.size
    for folder in {parent for path in files for parent in path.parents}:
        if (target / folder).exists() and not (target / folder).is_dir():
            raise ArchiveError(
                f'{target / folder}: is a file, {archive.name} holds a folder there. Fix: name another folder.'
            )
    free = shutil.disk_usage(target).free
    if needed > free:
        raise ArchiveError(
            f'{target}: {needed / GIB:.2f} GiB are needed for {archive.name}, {free / GIB:.2f} GiB are free. '
            'Fix: make room or name a folder on another disk.'
        )


def _copy_files(archive: Path, files: dict[PurePosixPath, _Entry], target: Path) -> Extraction:
    done = Extraction()
    for path, entry in track(files.items(), description=f'Unpacking {archive.name}', total=len(files)):
        place = target / path
        try:
            with entry.open() as source:
                if place.exists():
                    (done.same if _same_content(source, place, entry.size) else done.kept).append(Path(path))
                    continue
                with replacing(place) as unfinished, unfinished.open('wb') as file:
                    shutil.copyfileobj(source, file, CHUNK)
        except UNREADABLE as error:
            reason = f'member {entry.name!r}: {error}'
            raise _damaged(archive, reason, f'{len(done.written)} files were unpacked before, all whole') from error
        done.written.append(Path(path))
    return done


def _same_content(source: IO[bytes], place: Path, size: int) -> bool:
    if place.stat().st_size != size:
        return False
    with place.open('rb') as file:
        return all(one == other for one, other in zip(_chunks(source), _chunks(file), strict=True))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
