"""make_samples: writes the listed files, over its own earlier output only."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.common.samples import cifar100, kitti_seg, pets, voc_devkit


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('prepare/make_samples.py')


@pytest.fixture
def quick_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny stand-ins for the scenes: here it is the files that count."""

    def frame(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.Generator(np.random.PCG64([seed, index]))
        return rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), rng.integers(7, 12, (6, 8)).astype(np.uint8)

    monkeypatch.setattr(kitti_seg, 'render_frame', frame)
    monkeypatch.setattr(voc_devkit, 'COUNTS', {('2007', 'train'): 2, ('2012', 'val'): 1})
    monkeypatch.setattr(cifar100, 'COUNTS', {'train': 1, 'test': 1})
    monkeypatch.setattr(pets, 'COUNTS', {'train': 2, 'val': 2, 'test': 2})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_writes_every_file_and_the_same_bytes_twice(tool, quick_frames, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        assert tool.main(['--out', str(tmp_path / name), '--only', 'kitti_seg', '--seed', '7']) == 0
    first = contents(tmp_path / 'a/kitti_seg')
    assert set(first) == set(kitti_seg.file_names())
    assert first == contents(tmp_path / 'b/kitti_seg')
    train, val = (first[f'{split}.txt'].decode().split() for split in ('train', 'val'))
    assert (len(train), len(val)) == (24, 8)
    assert sorted(train + val) == [kitti_seg.stem_of(k) for k in range(32)]
    assert Image.open(tmp_path / 'a/kitti_seg/training/semantic/000000_10.png').mode == 'L'
    assert '--seed 7' in first['README.md'].decode()


def test_rendered_frames_have_the_same_bytes_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kitti_seg, 'FRAME_COUNT', 1)
    for name in ('a', 'b'):
        assert list(kitti_seg.write_kitti_seg(tmp_path / name, 0)) == [(1, 1)]
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_replaces_its_own_output_and_sweeps_up_after_a_killed_run(tool, quick_frames, tmp_path: Path) -> None:
    assert tool.main(['--out', str(tmp_path), '--seed', '1']) == 0
    before = contents(tmp_path)
    part = tmp_path / 'kitti_seg/training/image_2/.000003_10.png.77.part'
    part.write_bytes(b'half')
    assert tool.main(['--out', str(tmp_path), '--seed', '2']) == 0
    after = contents(tmp_path)
    assert set(before) == set(after)
    assert before != after


def test_refuses_a_folder_with_other_files(tool, quick_frames, tmp_path: Path, capsys) -> None:
    foreign = tmp_path / 'kitti_seg/training/image_2/holiday.png'
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b'mine')
    assert tool.main(['--out', str(tmp_path)]) == 1
    message = capsys.readouterr().err.strip()
    assert str(foreign) in message
    assert '--out' in message
    assert '\n' not in message
    assert contents(tmp_path) == {'kitti_seg/training/image_2/holiday.png': b'mine'}


def test_refuses_a_file_in_place_of_the_folder(tool, quick_frames, tmp_path: Path, capsys) -> None:
    (tmp_path / 'kitti_seg').write_text('x')
    assert tool.main(['--out', str(tmp_path)]) == 1
    assert 'kitti_seg is a file' in capsys.readouterr().err


@pytest.mark.parametrize('argv', [['--only', 'nosuch'], ['--seed', '-1']])
def test_bad_arguments_end_with_usage(tool, argv: list[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        tool.main(argv)
