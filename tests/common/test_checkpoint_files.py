import errno
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mmengine.runner import save_checkpoint

from mmext.common import checkpoint_files
from mmext.common.checkpoint_files import (
    CheckpointWriteError,
    clean_unfinished,
    find_resumable,
    sidecar,
    verify,
    writing_checkpoint,
)


def content(iteration: int = 7, epoch: int = 0, **others) -> dict:
    state = dict(weight=torch.arange(6.0) + iteration, bias=torch.zeros(300))
    return dict(meta=dict(iter=iteration, epoch=epoch), state_dict=state, optimizer=dict(state={})) | others


def write(path: Path, *arguments, **others) -> Path:
    with writing_checkpoint(path) as unfinished:
        torch.save(content(*arguments, **others), unfinished)
    return path


def iteration_in(path: Path) -> int:
    return torch.load(path, weights_only=True)['meta']['iter']


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_older(path: Path, seconds: int = 10) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def in_a_child(work) -> int:
    """Exit code of a forked process that does the work."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f'{error!r}\n'.encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize('name', ['iter_7.pth', 'a checkpoint.pth'])
def test_digest_is_that_of_sha256sum(tmp_path, name):
    path = write(tmp_path / 'new' / name)
    assert names(path.parent) == [name, f'{name}.sha256']
    assert sidecar(path).read_text() == f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n'
    if shutil.which('sha256sum'):
        done = subprocess.run(['sha256sum', '-c', f'{name}.sha256'], cwd=path.parent, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f'{name}: OK\n')
    assert verify(path) is None


def test_nothing_changes_and_nothing_stays_after_an_error(tmp_path):
    path = write(tmp_path / 'iter_7.pth')
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(error):
        with writing_checkpoint(path) as unfinished:
            unfinished.write_bytes(b'half')
            raise error

    for error, expected in [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError('CUDA out of memory'), RuntimeError),
        (OSError(errno.EIO, 'input/output error'), CheckpointWriteError),
        (RuntimeError('PytorchStreamWriter failed writing file data/0: file write failed'), CheckpointWriteError),
    ]:
        with pytest.raises(expected) as caught:
            fail(error)
        assert type(caught.value) is expected
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize('exists', [False, True])
def test_a_writer_killed_before_any_of_its_steps_does_no_harm(tmp_path, exists):
    path = tmp_path / 'iter_7.pth'

    def write_and_die_before(step):
        def counted(function):
            def call(*arguments, **settings):
                nonlocal step
                step -= 1
                if step < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **settings)

            return call

        for owner, name in [(os, 'fsync'), (Path, 'replace'), (Path, 'unlink'), (Path, 'write_text'), (torch, 'save')]:
            setattr(owner, name, counted(getattr(owner, name)))
        write(path, 8)

    outcomes = []
    for step in range(100):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        if exists:
            write(path, 7)
        code = in_a_child(lambda step=step: write_and_die_before(step))
        assert len(clean_unfinished(tmp_path)) + len(list(tmp_path.glob('.*'))) <= 2
        found, skipped = find_resumable(tmp_path)
        assert skipped == []
        outcomes.append(iteration_in(found) if found else None)
        assert {name.removesuffix('.sha256') for name in names(tmp_path)} == ({path.name} if found else set())
        write(path, 9)
        assert (verify(path), iteration_in(path)) == (None, 9)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    first = 7 if exists else None
    assert outcomes == [first] * outcomes.count(first) + [8] * outcomes.count(8)
    assert outcomes.count(first) >= 5
    assert outcomes.count(8) >= 3


def save_by_torch(path):
    torch.save(dict(content(), big=torch.zeros(1 << 20)), path)


def save_by_mmengine(path):
    save_checkpoint(dict(content(), big=torch.zeros(1 << 20)), str(path))


@pytest.mark.parametrize('save', [save_by_torch, save_by_mmengine])
def test_limit_on_file_sizes(tmp_path, save):
    path = write(tmp_path / 'iter_7.pth')

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        with pytest.raises(CheckpointWriteError) as caught, writing_checkpoint(tmp_path / 'iter_8.pth') as unfinished:
            save(unfinished)
        message = str(caught.value)
        assert message.startswith(f'{tmp_path / "iter_8.pth"}: the checkpoint could not be written: '), message
        assert 'it needs more than 1048576 bytes (1.0 MiB), ' in message, message
        assert ' are free in ' in message, message
        assert 'Fix: make room' in message, message

    assert in_a_child(work) == 0
    assert names(tmp_path) == ['iter_7.pth', 'iter_7.pth.sha256']
    assert verify(path) is None


@pytest.mark.parametrize('save', [save_by_torch, save_by_mmengine])
def test_full_disk(tmp_path, save):
    small = tmp_path / 'small'
    small.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(small)]
    if not shutil.which('mount') or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('may not mount a small disk')
    try:
        path = write(small / 'iter_7.pth')
        expected = pytest.raises(CheckpointWriteError, match='the disk is full; it needs more than ')
        with expected as caught, writing_checkpoint(small / 'iter_8.pth') as unfinished:
            save(unfinished)
        free = shutil.disk_usage(small).free
        assert f'{free} bytes' in str(caught.value)
        assert free > 1 << 19  # what was written is gone
        assert names(small) == ['iter_7.pth', 'iter_7.pth.sha256']
        assert find_resumable(small) == (path, [])
    finally:
        subprocess.run(['umount', '-l', str(small)], check=True)


@pytest.mark.parametrize(
    ('number', 'reason'),
    [(errno.ENOSPC, 'the disk is full'), (errno.EDQUOT, 'the quota is used up'), (errno.EFBIG, r'ulimit -f')],
)
@pytest.mark.parametrize('step', ['write', 'fsync', 'sidecar'])
def test_reason_and_needed_bytes(tmp_path, monkeypatch, number, reason, step):
    before = write(tmp_path / 'iter_7.pth')

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    if step == 'fsync':
        monkeypatch.setattr(os, 'fsync', fail)
    elif step == 'sidecar':
        monkeypatch.setattr(Path, 'write_text', fail)

    def attempt():
        with writing_checkpoint(tmp_path / 'iter_8.pth') as unfinished:
            unfinished.write_bytes(b'123')
            if step == 'write':
                fail()

    with pytest.raises(CheckpointWriteError, match=reason) as caught:
        attempt()
    assert f'it needs about {before.stat().st_size} bytes' in str(caught.value)
    assert names(tmp_path) == ['iter_7.pth', 'iter_7.pth.sha256']


def test_disk_without_inodes(tmp_path, monkeypatch):
    state = os.statvfs(tmp_path)
    full = os.statvfs_result([*state[:5], 100, 0, 0, *state[8:]])
    monkeypatch.setattr(os, 'statvfs', lambda path: full)
    with pytest.raises(CheckpointWriteError, match='no free inodes'), writing_checkpoint(tmp_path / 'a.pth'):
        raise OSError(errno.ENOSPC, 'no space left')


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointWriteError, match=r'iter_1\.pth: the checkpoint could not be written: .*Fix: '):
        write(tmp_path / 'file' / 'iter_1.pth')


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(CheckpointWriteError, match='iter_1'), writing_checkpoint(tmp_path / 'iter_1.pth'):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize('digest', [True, False])
def test_damage_is_found(tmp_path, digest):
    path = write(tmp_path / 'iter_7.pth')
    whole = path.read_bytes()
    if not digest:
        sidecar(path).unlink()
    for length in (0, 1, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert ('is empty' if not length else 'is ') in verify(path)
        assert find_resumable(tmp_path) == (None, [(path, verify(path))])
    path.write_bytes(bytes(len(whole)))
    assert 'the machine went down before the disk had it' in verify(path)
    tensor = torch.zeros(300).numpy().tobytes()
    flipped = whole.replace(tensor, b'\x01' + tensor[1:])
    assert flipped != whole
    path.write_bytes(flipped)
    if digest:
        now = time.time() + 10
        os.utime(sidecar(path), (now, now))
        assert 'its SHA-256 is not the one in iter_7.pth.sha256' in verify(path)
    else:
        assert 'the CRC sum of ' in verify(path)
    path.write_bytes(whole)
    assert verify(path) is None


def test_outdated_digest_neither_condemns_a_good_file_nor_blesses_a_bad_one(tmp_path):
    path = write(tmp_path / 'iter_7.pth')
    make_older(sidecar(path))
    torch.save(content(8), path)  # by another program
    assert verify(path) is None
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(torch.zeros(300).numpy().tobytes())] ^= 1
    path.write_bytes(damaged)
    assert 'the CRC sum of ' in verify(path)
    sidecar(path).write_text('half a dig')
    assert 'the CRC sum of ' in verify(path)


@pytest.mark.parametrize(
    ('data', 'reason'),
    [(b'<html></html>', 'not in the format of torch.save'), (None, 'no such file'), ('folder', 'is no file')],
)
def test_what_is_no_checkpoint(tmp_path, data, reason):
    path = tmp_path / 'iter_1.pth'
    if data == 'folder':
        path.mkdir()
    elif data:
        path.write_bytes(data)
    assert reason in verify(path)


def test_latest_step_is_told_by_what_is_inside(tmp_path):
    write(tmp_path / 'iter_99.pth', 5)
    write(tmp_path / 'iter_3.pth', 30)
    write(tmp_path / 'epoch_2.pth', 20, 2)
    make_older(tmp_path / 'iter_3.pth', 1000)
    write(tmp_path / 'best_mIoU_iter_40.pth', 40)
    write(tmp_path / 'pretrained.pth', 90000)
    assert find_resumable(tmp_path) == (tmp_path / 'iter_3.pth', [])
    # The end of an epoch holds more than the middle of it.
    write(tmp_path / 'epoch_3.pth', 30, 3)
    make_older(tmp_path / 'epoch_3.pth', 2000)
    assert find_resumable(tmp_path) == (tmp_path / 'epoch_3.pth', [])


def test_what_is_passed_over_and_why(tmp_path):
    write(tmp_path / 'iter_1.pth', 1)
    for number in (2, 3, 4, 5, 6):
        write(tmp_path / f'iter_{number}.pth', number)
    (tmp_path / 'iter_6.pth').write_bytes((tmp_path / 'iter_6.pth').read_bytes()[:-50])
    sidecar(tmp_path / 'iter_5.pth').write_text('0' * 64 + '  iter_5.pth\n')
    without = content(4)
    del without['optimizer']
    torch.save(without, tmp_path / 'iter_4.pth')
    torch.save(dict(content(3), meta=dict(note='no step')), tmp_path / 'iter_3.pth')
    torch.save(dict(content(2), evil=Canary(tmp_path / 'canary')), tmp_path / 'iter_2.pth')
    found, skipped = find_resumable(tmp_path)
    assert found == tmp_path / 'iter_1.pth'
    reasons = {path.name: reason for path, reason in skipped}
    assert sorted(reasons) == [f'iter_{number}.pth' for number in (2, 3, 4, 5, 6)]
    assert 'refused, ' in reasons['iter_2.pth']
    assert 'iteration' in reasons['iter_3.pth']
    assert 'no state of an optimizer' in reasons['iter_4.pth']
    assert 'its SHA-256 is not the one in iter_5.pth.sha256' in reasons['iter_5.pth']
    assert 'is truncated' in reasons['iter_6.pth']
    assert not any(str(tmp_path) in reason for reason in reasons.values())
    assert not (tmp_path / 'canary').exists()


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    'note', [b'', b'/somewhere/gone/iter_9.pth', b'\xff\xfe\0', b'/work/ite', b'x' * 10000, b'iter_9.pth', b's3://a/b']
)
def test_note_of_the_last_checkpoint_is_only_a_hint(tmp_path, note):
    (tmp_path / 'last_checkpoint').write_bytes(note)
    assert find_resumable(tmp_path) == (None, [])
    path = write(tmp_path / 'iter_4.pth', 4)
    assert find_resumable(tmp_path) == (path, [])


def test_note_tells_other_names_and_another_folder(tmp_path):
    own, other = tmp_path / 'run', tmp_path / 'out' / 'run'
    own.mkdir()
    later = write(other / 'model-12.pth', 12)
    write(other / 'model-9.pth', 9)
    write(other / 'model-x.pth', 99)
    (own / 'last_checkpoint').write_text(str(other / 'model-9.pth'))
    assert find_resumable(own) == (later, [])
    # A copied work dir has a note that leads to the folder it was copied from.
    mine = write(own / 'model-3.pth', 3)
    assert find_resumable(own) == (mine, [])


def test_empty_folder_and_sound_but_not_resumable(tmp_path):
    assert find_resumable(tmp_path) == (None, [])
    write(tmp_path / 'best_acc_epoch_1.pth')
    assert find_resumable(tmp_path) == (None, [])


def test_many_checkpoints_are_not_read_whole(tmp_path, monkeypatch):
    for number in range(5):
        write(tmp_path / f'iter_{number}.pth', number)
    read = []
    monkeypatch.setattr(checkpoint_files, 'file_digest', lambda path: read.append(path) or 'x')
    monkeypatch.setattr(checkpoint_files, '_expected_digest', lambda path: 'x')
    assert find_resumable(tmp_path)[0] == tmp_path / 'iter_4.pth'
    assert read == [tmp_path / 'iter_4.pth']


def test_only_leftovers_of_dead_writers_are_removed(tmp_path):
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    gone = [tmp_path / f'.iter_1.pth.{process}.part' for process in (dead, os.getpid())]
    stay = [tmp_path / name for name in (f'.iter_1.pth.{os.getppid()}.part', '.part', '.a.x.part', 'a.1.part')]
    for path in gone + stay:
        path.write_bytes(b'half')
    assert sorted(clean_unfinished(tmp_path)) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted(stay)
    assert clean_unfinished(tmp_path / 'missing') == []
