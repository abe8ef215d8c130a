"""Unpacks archives from elsewhere so that nothing lands outside the folder and no file is left half-written.

An archive may name files outside the folder it is unpacked into, plant links that later members are written through,
or claim sizes that fill the disk; and Python's reader takes a tar file that was cut or garbled between two members for
one that ends there. All of this is refused before the first file is written.

Python's own extraction filters (`tarfile.data_filter`) are not relied upon: they came with 3.10.12 and 3.11.4, and
they neither bound the size nor notice a cut archive. Nothing is extracted by `tarfile` here: it lists the members, and
the bytes of regular files are copied to names that were checked. An entry is a name, a size and a kind, so that other
formats can join.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from rich.progress import track

from mmext.common.files import replacing

CHUNK = 1 << 20
GIB = 1 << 30
BLOCK = tarfile.BLOCKSIZE
# First bytes of what people have instead of a plain tar file, and how to get one.
OTHER_FORMATS = {
    b'\x1f\x8b': 'compressed with gzip; run gunzip first',
    b'BZh': 'compressed with bzip2; run bunzip2 first',
    b'\xfd7zXZ': 'compressed with xz; run unxz first',
    b'PK': 'a zip file; unzip it and name the tar file in it',
    b'<': 'a web page (a download link that led to a log-in or error page); fetch the file again',
}


class ArchiveError(ValueError):
    """An archive that cannot be unpacked; the message names the archive, the member and the fix."""


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


def file_digest(path: str | Path, algorithm: str = 'sha256') -> str:
    """Hexadecimal digest of a file's bytes, read in pieces. (`hashlib.file_digest` needs Python 3.11.)

    Args:
        path: The file.
        algorithm: A name that `hashlib.new` knows.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open('rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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


def extract_tar(
    archive: str | Path,
    target: str | Path,
    top: str | None = None,
    max_bytes: int = 8 * GIB,
    max_files: int = 200_000,
) -> Extraction:
    """Unpacks an uncompressed tar file, with a progress bar.

    The whole archive is checked before anything is written. Every file is written to a temporary name beside it and
    then renamed; a run that was cut off is completed by the next one. Only names and bytes are taken over: no owner,
    no mode, no time. Files that are there already are compared, never overwritten.

    Args:
        archive: The tar file.
        target: Folder to unpack into; made if missing.
        top: Folder of the archive that becomes ``target``; all members must lie in it. None takes names as they are.
        max_bytes: Bound on the sum of all sizes.
        max_files: Bound on the number of members.

    Returns:
        What was written and what was there.

    Raises:
        FileNotFoundError: There is no such archive.
        ArchiveError: Another format; cut or damaged; a member with an absolute path or ``..``, a link, a device or a
            sparse file, one outside ``top``, or the same name twice; sizes or number out of bounds; disk too small;
            a file where a folder must be or the other way round.
    """
    archive, target = Path(archive), Path(target)
    _check_format(archive)
    try:
        with tarfile.open(archive, 'r:') as tar:
            files = _check_members(tar, archive, top, max_bytes, max_files)
            _check_target(archive, target, files)
            return _copy_files(tar, files, target, archive.name)
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(archive, str(error)) from error


def _check_format(archive: Path) -> None:
    if not archive.is_file():
        raise FileNotFoundError(f'{archive}: no such archive; check the path')
    with archive.open('rb') as file:
        head = file.read(BLOCK)
    for magic, what in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise ArchiveError(f'{archive}: no plain tar file but {what}.')


def _damaged(archive: Path, reason: str) -> ArchiveError:
    return ArchiveError(
        f'{archive}: truncated or damaged ({archive.stat().st_size} bytes; {reason}); nothing was unpacked. '
        'Fix: fetch the file again.'
    )


def _check_members(
    tar: tarfile.TarFile, archive: Path, top: str | None, max_bytes: int, max_files: int
) -> dict[PurePosixPath, tarfile.TarInfo]:
    """Path below the target -> member, for all regular files; raises `ArchiveError` about the first bad member."""
    names, files, total = set(), {}, 0
    for count, member in enumerate(tar, start=1):
        # Possible in the format's binary notation, and would let the reader walk in circles.
        if member.size < 0:
            raise _damaged(archive, f'member {member.name!r} has a size of {member.size}')
        path = _safe_path(archive, member.name, top)
        if not member.isdir() and (not member.isreg() or member.issparse()):
            kind = 'a link' if member.issym() or member.islnk() else 'neither a plain file nor a folder'
            raise ArchiveError(f'{archive}: refused, member {member.name!r} is {kind}. Fix: unpack it by hand.')
        total += member.size
        if count > max_files or total > max_bytes:
            raise ArchiveError(
                f'{archive}: refused, holds more than {max_files} members or {max_bytes / GIB:.3g} GiB '
                f'(at member {member.name!r}). Fix: make sure that it is the archive you mean.'
            )
        if member.isdir():
            continue
        if path in names or path == PurePosixPath():
            what = 'has no name' if path == PurePosixPath() else 'is in it twice'
            raise ArchiveError(f'{archive}: refused, the file {member.name!r} {what}. Fix: unpack it by hand.')
        names.add(path)
        files[path] = member
    _check_end(tar, archive)
    for path in files:
        if inside := names.intersection(path.parents):
            raise ArchiveError(f'{archive}: refused, {inside.pop()} is a file and a folder. Fix: unpack it by hand.')
    return files


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


def _check_end(tar: tarfile.TarFile, archive: Path) -> None:
    """The reader stops without a word at a header that is cut or garbled; a whole archive stops at a block of zeros."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):
        raise _damaged(archive, f'no member and no end at byte {tar.offset}')


def _check_target(archive: Path, target: Path, files: dict[PurePosixPath, tarfile.TarInfo]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    needed = 0
    for path, member in files.items():
        place = target / path
        if place.is_dir():
            raise ArchiveError(f'{place}: is a folder, {archive.name} holds a file there. Fix: name another folder.')
        needed += 0 if place.exists() else member.size
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


def _copy_files(
    tar: tarfile.TarFile, files: dict[PurePosixPath, tarfile.TarInfo], target: Path, description: str
) -> Extraction:
    done = Extraction()
    for path, member in track(files.items(), description=f'Unpacking {description}', total=len(files)):
        source, place = tar.extractfile(member), target / path
        if place.exists():
            (done.same if _same_content(source, place, member.size) else done.kept).append(Path(path))
            continue
        with replacing(place) as unfinished, unfinished.open('wb') as file:
            shutil.copyfileobj(source, file, CHUNK)
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
