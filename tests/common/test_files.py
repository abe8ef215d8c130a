import json
import os

import pytest

from mmext.common.files import UNFINISHED, flush_to_disk, replacing, write_json, write_text


def test_folder_is_made_and_nothing_else_stays(tmp_path):
    write_json(tmp_path / 'a' / 'b.json', {'x': [1]})
    assert json.loads((tmp_path / 'a' / 'b.json').read_text()) == {'x': [1]}
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['b.json']


def test_old_content_survives_an_error(tmp_path):
    write_text(tmp_path / 'a.txt', 'old\n')

    def fail_halfway():
        with replacing(tmp_path / 'a.txt') as unfinished:
            unfinished.write_text('half')
            assert unfinished.match(UNFINISHED)
            raise RuntimeError('disk')

    with pytest.raises(RuntimeError, match='disk'):
        fail_halfway()
    assert (tmp_path / 'a.txt').read_text() == 'old\n'
    assert len(list(tmp_path.iterdir())) == 1


def test_line_ends_are_kept(tmp_path):
    write_text(tmp_path / 'a.txt', 'ä\r\n')
    assert (tmp_path / 'a.txt').read_bytes() == 'ä\r\n'.encode()


def test_flushing_reaches_the_disk_and_leaves_nothing_open(tmp_path, monkeypatch):
    write_text(tmp_path / 'a.txt', 'x')
    flushed = []
    monkeypatch.setattr(os, 'fsync', lambda descriptor: flushed.append((descriptor, os.fstat(descriptor).st_ino)))
    for path in (tmp_path / 'a.txt', tmp_path):
        flush_to_disk(path)
    assert [node for _, node in flushed] == [(tmp_path / 'a.txt').stat().st_ino, tmp_path.stat().st_ino]
    for descriptor, _ in flushed:
        with pytest.raises(OSError, match='Bad file descriptor'):
            os.fstat(descriptor)
    with pytest.raises(FileNotFoundError):
        flush_to_disk(tmp_path / 'gone')
