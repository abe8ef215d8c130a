"""What kind of file a checkpoint is, and whether its container is built as torch builds one. Nothing is unpickled here.

A checkpoint's members are listed by Python's zip reader before torch's own reads them, so that a bomb or a second
pickle is refused before a byte of it is unpacked.
"""

import zipfile
from pathlib import Path, PurePosixPath

MAX_MEMBERS = 200_000


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message names the file, the value and the fix."""


class CheckpointError(WeightsError):
    """A checkpoint that is refused, damaged or of another kind; the message names the file, the reason and the fix."""


def kind_of(path: Path) -> str:
    """Tells the format by the first bytes, not by the suffix: `.bin` and `.pth` are used for all.

    Returns:
        'safetensors', 'zip' (what `torch.save` writes) or 'pickle' (what it wrote before torch 1.6).

    Raises:
        CheckpointError: The file is missing or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file. Fix: check the path.')
    with path.open('rb') as file:
        head = file.read(16)
    if head[8:9] == b'{':
        return 'safetensors'
    if head[:2] == b'PK':
        return 'zip'
    if head[:1] == b'\x80':
        return 'pickle'
    raise CheckpointError(f'{path}: {_what_else(head)}. Fix: fetch the weights themselves (.pth, .bin, .safetensors).')


def check_zip(path: Path) -> None:
    """Checks that a zip file holds what `torch.save` puts into one, and no more bytes than the file has.

    torch stores its members uncompressed, each once, below one folder, with a single pickle.

    Raises:
        CheckpointError: The file is damaged, or a member is compressed, encrypted, there twice, outside the folder or
            larger than the file; no pickle or a TorchScript program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, LookupError, OSError, NotImplementedError) as error:
        raise damaged(path, error) from error
    seen, total, size = set(), 0, path.stat().st_size
    for count, member in enumerate(members, start=1):
        total += member.file_size
        if objection := _objection(member, members[0].filename, seen):
            raise refused(path, f'its member {member.filename!r} {objection}')
        if count > MAX_MEMBERS or total > size:
            raise refused(path, f'its members claim more than the {size} bytes of the file (at {member.filename!r})')
        seen.add(member.filename.casefold())
    top = members[0].filename.split('/')[0] if members else ''
    if f'{top}/constants.pkl' in seen:
        raise refused(path, 'it is a TorchScript program, not a checkpoint')
    if f'{top}/data.pkl'.casefold() not in seen:
        raise CheckpointError(f'{path}: a zip file, but no checkpoint of torch. Fix: name the checkpoint in it.')


def _objection(member: zipfile.ZipInfo, first: str, seen: set[str]) -> str:
    """What stands against a member, or ''."""
    parts = PurePosixPath(member.filename).parts
    if '..' in parts or member.filename.startswith('/') or '\\' in member.filename:
        return 'points outside the archive'
    if member.filename.casefold() in seen:
        return 'is in it twice'
    if member.filename.split('/')[0] != first.split('/')[0]:
        return 'lies outside the folder of the others'
    if member.flag_bits & 1:
        return 'is encrypted'
    # A compressed member may unpack to any size.
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        return f'is compressed ({member.compress_size} bytes that claim to be {member.file_size})'
    return ''


def refused(path: Path, reason: str) -> CheckpointError:
    """The error about a file that torch did not write so."""
    return CheckpointError(
        f'{path}: refused, {reason}; torch.save writes no such file. '
        'Fix: fetch the file again from where it was made, or save its weights as safetensors there.'
    )


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error about a file that cannot be read to its end."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return CheckpointError(
        f'{path}: truncated or damaged ({path.stat().st_size} bytes; {reason}). '
        'Fix: fetch the file again and compare its size and SHA-256 with the published ones.'
    )


def _what_else(head: bytes) -> str:
    """Names what people most often have instead of weights."""
    if not head:
        return 'the file is empty'
    if head.startswith(b'version https:/'):
        return 'a Git LFS pointer, not the weights (git lfs pull fetches them)'
    if head.lstrip()[:1] == b'<':
        return 'a web page, not weights (a download link that led to a log-in or error page)'
    return f'neither a torch checkpoint nor safetensors (first bytes {head[:8]!r})'
