"""Checkpoint files that survive crashes: written whole or not at all, with a digest, and checked before resuming.

Beside ``iter_100.pth`` stands ``iter_100.pth.sha256`` in the format of ``sha256sum``, which checks it with ``-c``. The
digest tells damage, not forgery: whoever can change the one file can change the other.

Wherever a writer is killed, what is on disk is the old file or the new one, never a mixture, and no digest stands
beside a file that it was not made from: an outdated digest is removed before the new file gets its name, and the new
digest comes last. A file without a digest is checked by the CRC sums inside it instead.
"""

import errno
import importlib.util
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmext.common.checkpoints import read_checkpoint
from mmext.common.digests import file_digest
from mmext.common.files import UNFINISHED, flush_to_disk, replacing

SIDECAR_SUFFIX = '.sha256'
SIDECAR_LINE = re.compile(r'([0-9a-fA-F]{64}) [ *]')
# mmengine's note of the checkpoint that it wrote last.
LAST_CHECKPOINT = 'last_checkpoint'
# Checkpoints that hold all that training needs; best_*.pth and published ones hold the weights alone.
RESUMABLE_NAME = re.compile(r'(iter|epoch)_\d+\.pth')
LEFTOVER_NAME = re.compile(r'\.(?P<name>.+)\.(?P<process>\d+)\.part')
# Of torch's writer, which does not tell the system's reason.
TORCH_WRITE_ERROR = re.compile(r'PytorchStreamWriter|inline_container|unexpected pos|file write failed')

REASONS = {
    errno.ENOSPC: 'the disk is full',
    errno.EDQUOT: 'the quota is used up',
    errno.EFBIG: 'it is larger than files may be here (ulimit -f)',
}
INTACT = 'The checkpoints before it are as they were.'


class CheckpointWriteError(OSError):
    """A checkpoint that could not be written; the message names the file, the reason and the fix."""


@dataclass(frozen=True)
class _Contents:
    """What the choice of a checkpoint needs to know of it."""

    iteration: int
    epoch: int
    has_optimizer: bool


def sidecar(path: str | Path) -> Path:
    """The file with the digest of a checkpoint."""
    path = Path(path)
    return path.with_name(path.name + SIDECAR_SUFFIX)


@contextmanager
def writing_checkpoint(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name to write a checkpoint to, which takes its place, with a digest, when the block ends.

    Both are on the disk when this returns. After any error both are as they were before, and nothing is left over.

    Raises:
        CheckpointWriteError: The disk or quota is full, a limit on the size of files is reached, or the folder cannot
            be written; names what is needed and what is free.
    """
    path = Path(path)
    written = 0
    try:
        # The inner file gets its name first.
        with replacing(sidecar(path)) as unfinished_sidecar, replacing(path) as unfinished:
            try:
                yield unfinished
                flush_to_disk(unfinished)
                written = unfinished.stat().st_size
            except BaseException:
                if unfinished.exists():
                    written = unfinished.stat().st_size
                    os.truncate(unfinished, 0)  # torch may still have it open, and then deleting it frees nothing
                raise
            unfinished_sidecar.write_text(f'{file_digest(unfinished)}  {path.name}\n')
            flush_to_disk(unfinished_sidecar)
            if sidecar(path).exists():
                sidecar(path).unlink()
                flush_to_disk(path.parent)
        flush_to_disk(path.parent)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not TORCH_WRITE_ERROR.search(str(error)):
            raise
        raise CheckpointWriteError(_why_not_written(path, written, error)) from error


def verify(path: str | Path) -> str | None:
    """Whether a checkpoint is what was written: None if it is sound, else the reason why not, for people to read.

    With a digest beside it, every byte counts. Without one, or with one that is older than the file, and so belongs to
    one that was overwritten, the CRC sums of its parts decide, and whether it can be read.
    """
    path = Path(path)
    try:
        if reason := _damaged_outside(path):
            return reason
        expected = _expected_digest(path)
        if expected == file_digest(path):
            return None
        if expected and sidecar(path).stat().st_mtime_ns >= path.stat().st_mtime_ns:
            return (
                f'its SHA-256 is not the one in {sidecar(path).name}: it was damaged or replaced '
                '(if you replaced it yourself, delete that file)'
            )
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                return f'damaged: the CRC sum of {broken} in it is wrong'
        _read(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        return _unreadable(path, error)
    return None


def find_resumable(work_dir: str | Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The sound checkpoint of the latest training step from which training can go on.

    The candidates are ``iter_*.pth`` and ``epoch_*.pth`` and what is named like the file in mmengine's note
    ``last_checkpoint``, which is followed to another folder only if this one has no candidate. The step is read from
    the files, not from their names or times.

    Returns:
        The checkpoint, or None if there is none; and what was passed over, with the reason for each.
    """
    skipped: list[tuple[Path, str]] = []
    found: list[tuple[_Contents, int, Path]] = []
    for path in _candidates(Path(work_dir)):
        try:
            reason = _damaged_outside(path)
            contents = None if reason else _contents(path)
        except (OSError, ValueError) as error:
            reason, contents = _unreadable(path, error), None
        if contents and not contents.has_optimizer:
            reason = 'holds no state of an optimizer (CheckpointHook had save_optimizer=False)'
        if reason:
            skipped.append((path, reason))
        else:
            found.append((contents, path.stat().st_mtime_ns, path))
    for _, _, path in sorted(found, key=lambda each: (each[0].iteration, each[0].epoch, each[1]), reverse=True):
        if reason := verify(path):
            skipped.append((path, reason))
        else:
            return path, skipped
    return None, skipped


def clean_unfinished(work_dir: str | Path) -> list[Path]:
    """Remove what killed writers of checkpoints have left in a folder; not what another process is writing.

    Returns:
        The files that were removed.
    """
    removed = []
    for path in Path(work_dir).glob(UNFINISHED):
        name = LEFTOVER_NAME.fullmatch(path.name)
        if name and not _runs(int(name['process'])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _candidates(folder: Path) -> list[Path]:
    """Files that may be checkpoints to go on from."""
    own = [path for path in folder.glob('*.pth') if RESUMABLE_NAME.fullmatch(path.name)]
    note = folder / LAST_CHECKPOINT
    hint = note.read_text(errors='replace').strip() if note.is_file() else ''
    if not hint or '\0' in hint or len(hint) > 4096:
        return own
    hinted = Path(hint)
    alike = _alike(hinted.name)
    own += [path for path in folder.iterdir() if alike.fullmatch(path.name) and path not in own]
    if own or not hinted.parent.is_dir():
        return own
    return [path for path in hinted.parent.iterdir() if alike.fullmatch(path.name)]


def _damaged_outside(path: Path) -> str | None:
    """Reasons against a file that show without reading it whole."""
    if not path.exists():
        return 'no such file'
    if not path.is_file():
        return 'is no file'
    with path.open('rb') as file:
        head = file.read(4)
    size = path.stat().st_size
    if not head:
        return 'is empty'
    if not any(head):
        return f'holds zeros ({size} bytes): the machine went down before the disk had it'
    if head[:2] != b'PK':
        return 'is not in the format of torch.save'
    if not zipfile.is_zipfile(path):
        return f'is truncated ({size} bytes)'
    return None


def _contents(path: Path) -> _Contents:
    """The step of a checkpoint of a training."""
    checkpoint = _read(path)
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict) or not all(type(meta.get(key)) is int for key in ('iter', 'epoch')):
        raise ValueError('it does not tell its iteration and epoch')
    return _Contents(meta['iter'], meta['epoch'], 'optimizer' in checkpoint)


def _read(path: Path) -> dict:
    """What a checkpoint holds; the tensors stay on the disk until they are used."""
    if importlib.util.find_spec('torch.utils.serialization') is None:  # before torch 2.6
        return read_checkpoint(path)
    from torch.utils.serialization import config

    with config.patch({'load.mmap': True}):
        return read_checkpoint(path)


def _unreadable(path: Path, error: Exception) -> str:
    return f'cannot be read: {str(error).removeprefix(f"{path}: ")}'


def _expected_digest(path: Path) -> str | None:
    """The digest beside a file; None if there is none or it is no digest."""
    if not sidecar(path).is_file():
        return None
    line = SIDECAR_LINE.match(sidecar(path).read_text(errors='replace'))
    return line[1].lower() if line else None


def _runs(process: int) -> bool:
    """Whether another process has this id. In containers a new run often has the id of the killed one."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _why_not_written(path: Path, written: int, error: Exception) -> str:
    """Names file, reason, needed and free bytes, and the fix. What was written of the file is deleted already."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    before = [each.stat().st_size for each in folder.iterdir() if _alike(path.name).fullmatch(each.name)]
    needed = f'about {_size(max(before))}' if before and max(before) > written else f'more than {_size(written)}'
    reason = REASONS.get(getattr(error, 'errno', None))
    if reason is None and isinstance(error, OSError):
        return f'{path}: the checkpoint could not be written: {error}. Fix: check the folder and its disk. {INTACT}'
    if reason is None:  # torch does not tell
        reason = 'the disk is full' if free < max([written, 1 << 20, *before]) else 'the disk took no more of it'
    if hasattr(os, 'statvfs') and os.statvfs(folder).f_files and not os.statvfs(folder).f_favail:
        reason = 'the disk has room for no more files, whatever their size (no free inodes)'
    return (
        f'{path}: the checkpoint could not be written: {reason}; it needs {needed}, {_size(free)} are free in '
        f'{folder}. Fix: make room (or set max_keep_ckpts of CheckpointHook), then go on with --resume. {INTACT}'
    )


def _alike(name: str) -> re.Pattern:
    """Matches names that differ in their numbers alone."""
    return re.compile(re.sub(r'\d+', lambda _: r'\d+', re.escape(name)))


def _size(count: int) -> str:
    return f'{count} bytes ({count / (1 << 20):.1f} MiB)'
