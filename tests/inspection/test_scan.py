"""A scan opens every file once, goes on after an interruption, and does not believe what has changed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.inspection import scan as scan_module
from mmext.inspection.cache import HEADER, ScanCache, file_state
from mmext.inspection.listing import Listing, Sample, open_image, read_listing
from mmext.inspection.records import open_file
from mmext.inspection.scan import files_of, inspect, pixels_of, scan

Clean = Callable[[str], Path]


def test_the_second_scan_opens_nothing(clean: Clean, tmp_path: Path) -> None:
    listing, cache = read_listing(clean('segmentation')), tmp_path / 'cache.jsonl'
    first = scan(listing, cache)
    assert first.opened == len(files_of(listing)) == 32
    again = scan(listing, cache)
    assert again.opened == 0
    for _, sample in first.samples():
        assert again.image(sample) == first.image(sample)
        assert again.annotation(sample) == first.annotation(sample)
    assert inspect(listing, cache).content_hash == inspect(listing).content_hash


def test_changed_and_new_files_are_opened(clean: Clean, tmp_path: Path) -> None:
    root, cache = clean('classification'), tmp_path / 'cache.jsonl'
    scan(read_listing(root), cache)
    changed = root / 'train' / 'dog' / 'dog0.png'
    Image.new('RGB', (9, 8)).save(changed)
    os.utime(changed, ns=(0, 12345))
    Image.new('RGB', (9, 9)).save(root / 'val' / 'cat' / 'new.png')
    listing = read_listing(root)
    again = scan(listing, cache)
    assert again.opened == 2
    assert again.image(Sample(changed))['size_hw'] == [8, 9]
    (root / 'val' / 'cat' / 'new.png').unlink()
    assert scan(listing, cache).image(Sample(root / 'val' / 'cat' / 'new.png'))['status'] == 'missing'


def test_processes_read_the_same(clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clean('detection')
    (root / 'images' / 'train' / '00.jpg').write_bytes(b'nothing')
    alone = inspect(read_listing(root), workers=0).to_json()
    monkeypatch.setattr(scan_module, 'MIN_PARALLEL', 1)
    together = inspect(read_listing(root), tmp_path / 'cache.jsonl', workers=2).to_json()
    assert {**alone, 'created': ''} == {**together, 'created': ''}


SLOW_SCAN = """
import sys, time
from mmext.inspection import scan as module
from mmext.inspection.listing import read_listing
slow = module.open_file
module.open_file = lambda kind, path: (time.sleep(0.05), slow(kind, path))[1]
module.scan(read_listing(sys.argv[1]), sys.argv[2], workers=0)
"""


def test_a_killed_scan_goes_on_where_it_was(clean: Clean, tmp_path: Path) -> None:
    root, cache = clean('segmentation'), tmp_path / 'cache.jsonl'
    process = subprocess.Popen([sys.executable, '-c', SLOW_SCAN, str(root), str(cache)])
    wait_for(lambda: cache.is_file() and cache.read_bytes().count(b'\n') >= 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(ScanCache(cache))
    assert 5 <= kept < 32
    # A line that was being written is lost, and nothing else.
    with cache.open('ab') as file:
        file.write(b'["image", "/half a li')
    assert scan(read_listing(root), cache).opened == 32 - kept
    assert scan(read_listing(root), cache).opened == 0
    assert len(ScanCache(cache)) == 32


PARALLEL_SCAN = """
import sys, time
from mmext.inspection import scan as module
from mmext.inspection.listing import read_listing
module.MIN_PARALLEL, module.open_file = 1, lambda kind, path: time.sleep(60)
module.scan(read_listing(sys.argv[1]), workers=2)
"""


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks for processes in /proc')
def test_no_worker_outlives_a_killed_scan(clean: Clean) -> None:
    process = subprocess.Popen([sys.executable, '-c', PARALLEL_SCAN, str(clean('classification'))])

    def children() -> list[int]:
        tasks = Path(f'/proc/{process.pid}/task/{process.pid}/children')
        return [int(pid) for pid in tasks.read_text().split()]

    wait_for(lambda: len(children()) == 2)
    workers = children()
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_running, workers)))


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_foreign_cache_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / 'cache.jsonl'
    for content in (b'', b'{"scan cache": 0}\n["image", "x", [1, 2], {}]\n', b'\xff\xfe\x00', HEADER.encode()[:5]):
        path.write_bytes(content)
        assert len(ScanCache(path)) == 0
        assert path.read_text() == HEADER + '\n'


def test_odd_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / 'cache.jsonl'
    path.write_text('\n'.join([HEADER, '[]', '3', '["image", "a", [1, 2], {"status": "ok"}]', 'x']) + '\n')
    with ScanCache(path) as cache:
        assert cache.get('image', 'a', (1, 2)) == {'status': 'ok'}
        assert cache.get('image', 'a', (1, 3)) is None
        assert cache.get('mask', 'a', (1, 2)) is None
        assert cache.get('image', 'a', None) is None


def test_a_cache_full_of_old_lines_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / 'cache.jsonl'
    with ScanCache(path) as cache:
        for number in range(20):
            cache.put('image', 'a', (number, 0), {'number': number})
    cache.compact()
    assert len(path.read_text().splitlines()) == 2
    assert ScanCache(path).get('image', 'a', (19, 0)) == {'number': 19}


def test_records_survive_json(clean: Clean) -> None:
    root = clean('segmentation')
    for kind, path in files_of(read_listing(root)):
        record = open_file(kind, path)
        assert json.loads(json.dumps(record)) == record


def test_state_of_a_missing_file(tmp_path: Path) -> None:
    assert file_state(tmp_path / 'nothing') is None


def test_pictures_inside_a_common_file() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    pixels[3] = pixels[1]
    samples = [Sample(Path('batch'), label=index % 2, index=index, pixels=pixels[index]) for index in range(5)]
    samples[3].label = 0
    listing = Listing('classification', 'x', {'train': samples}, ['a', 'b'])
    scanned = scan(listing)
    assert scanned.opened == 0
    passport = inspect(listing)
    (finding,) = passport.findings
    assert finding.kind == 'label-conflict'
    (name,) = finding.files
    assert name in ('batch#1', 'batch#3')
    assert list(pixels_of(scanned, passport)) == [name]
    assert np.array_equal(np.asarray(open_image(samples[2])), pixels[2])


def test_a_process_that_dies_is_told(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, 'MIN_PARALLEL', 1)
    monkeypatch.setattr(scan_module, 'open_file', lambda *_: os._exit(9))
    with pytest.raises(ValueError, match='--workers 1'):
        scan(read_listing(clean('classification')), workers=2)
