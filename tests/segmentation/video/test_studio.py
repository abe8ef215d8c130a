"""Whole runs, with networks that are thresholds."""

import csv
import gc
import json
import os
import signal
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.segmentation.video.other_sources import ImageFolder
from mmext.segmentation.video.sources import Frame, SourceInfo, UnreadableError
from mmext.segmentation.video.studio import StudioOptions, segment_video
from mmext.segmentation.video.video_file import VideoFile

from .conftest import RATE, Threshold, bar

NAMES = ['a_color.mp4', 'a_mix.mp4', 'b_color.mp4', 'b_mix.mp4', 'class_shares.csv', 'comparison.mp4']
NAMES += ['contact_sheet.png', 'summary.json', 'timeline.png']


def options(**changed) -> StudioOptions:
    return StudioOptions(**{'segment_frames': 4, **changed})


def two() -> list[Threshold]:
    return [Threshold('a', 128), Threshold('b', 250)]


def contents(folder: Path) -> dict[str, bytes]:
    """What a user sees; figures may hold dates."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in ('.mp4', '.csv')}


def rows(folder: Path) -> list[dict]:
    with (folder / 'class_shares.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_everything_is_written(make_video, tmp_path, probe):
    outcome = segment_video(VideoFile(make_video(14)), two(), tmp_path / 'out', options(batch=3, chosen=(1, 5)))
    assert (outcome.frames, outcome.complete, outcome.error, outcome.notes) == (14, True, None, [])
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == NAMES
    for name in NAMES:
        if name.endswith('.mp4'):
            found = probe(tmp_path / 'out' / name)
            assert (found.frames, found.rate, found.length) == (14, RATE, 14 / RATE)
            assert found.seconds == [k / RATE for k in range(14)]
    # Frame 6 has 24 bright columns of 64; b finds nothing bright.
    color = probe(tmp_path / 'out' / 'a_color.mp4').pictures[5][24].astype(int)
    assert np.abs(color[2:22, ::-1] - Threshold.palette[1]).max() < 8
    assert np.abs(color[27:, ::-1] - Threshold.palette[0]).max() < 8
    mixed = probe(tmp_path / 'out' / 'a_mix.mp4').pictures[5][2, 10].astype(int)
    np.testing.assert_allclose(mixed, 0.7 * np.array(Threshold.palette[1][::-1]) + 0.3 * 230, atol=8)
    with Image.open(tmp_path / 'out' / 'contact_sheet.png') as sheet:
        assert min(sheet.size) > 300


def test_the_table_by_hand(make_video, tmp_path):
    segment_video(VideoFile(make_video(6)), two(), tmp_path / 'out', options())
    table = rows(tmp_path / 'out')
    assert [row['model'] for row in table] == ['a', 'b'] * 6
    of_a = table[::2]
    assert [float(row['bright']) for row in of_a] == pytest.approx([(k + 1) / 16 for k in range(6)], abs=2e-3)
    assert [row['flicker'] for row in table[:2]] == ['', '']
    assert [float(row['flicker']) for row in of_a[1:]] == pytest.approx([1 / 16] * 5, abs=2e-3)
    assert [float(row['flicker']) for row in table[3::2]] == [0] * 5
    assert [float(row['second']) for row in of_a] == pytest.approx([float(k / RATE) for k in range(6)], abs=1e-6)
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert summary['models']['a']['flicker'] == pytest.approx(1 / 16, abs=1e-3)
    assert summary['models']['b'] == {'flicker': 0, 'class_shares': {'dark': 1.0}}
    assert (summary['frames'], summary['fps'], summary['complete']) == (6, '30000/1001', True)


@pytest.mark.parametrize(('fps', 'rate', 'length'), [(None, RATE / 3, 15 / RATE), (Fraction(10), 10, Fraction(1, 2))])
def test_every_third_frame(make_video, tmp_path, probe, fps, rate, length):
    outcome = segment_video(VideoFile(make_video(14)), two()[:1], tmp_path / 'out', options(every=3, fps=fps))
    assert outcome.frames == 5
    found = probe(tmp_path / 'out' / 'a_mix.mp4')
    assert (found.frames, found.rate, found.length) == (5, rate, length)
    assert [int(row['source_frame']) for row in rows(tmp_path / 'out')] == [1, 4, 7, 10, 13]


def test_sound_goes_into_the_mixes_alone(make_stream, tmp_path, probe):
    source = VideoFile(make_stream('s.mp4', range(25), Fraction(1, 25), sound=True))
    outcome = segment_video(source, two()[:1], tmp_path / 'out', options())
    assert outcome.notes == []
    sounds = {name: probe(tmp_path / 'out' / name).sounds for name in ('a_mix.mp4', 'a_color.mp4', 'comparison.mp4')}
    assert sounds == {'a_mix.mp4': 1, 'a_color.mp4': 0, 'comparison.mp4': 0}
    outcome = segment_video(source, two()[:1], tmp_path / 'fast', options(fps=Fraction(50)))
    assert outcome.notes == ['the mixes have no sound: with --fps they run faster than it (0.5 s apart)']
    assert probe(tmp_path / 'fast' / 'a_mix.mp4').sounds == 0


def test_odd_sizes_and_one_frame(tmp_path, probe):
    (tmp_path / 'in').mkdir()
    Image.fromarray(bar(3, 31, 45)).save(tmp_path / 'in' / '1.png')
    segment_video(ImageFolder(tmp_path / 'in'), two(), tmp_path / 'out', options())
    assert probe(tmp_path / 'out' / 'a_color.mp4').size == (46, 32)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == NAMES


class Counted:
    """A source of so many frames that notes how many of them exist at a time."""

    def __init__(self, frames: int) -> None:
        self.info = SourceInfo('counted', (64, 96), Fraction(25), True, frames, False, {'frames': frames})
        self.frames, self.alive, self.most = frames, 0, 0

    def read(self, every=1, after=None):
        for number in range(self.frames):
            picture = np.full((64, 96, 3), number % 200, np.uint8)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(picture, self._gone)
            yield Frame(number, Fraction(number, 25), picture)
            del picture

    def _gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize('frames', [60, 300])
def test_memory_does_not_depend_on_the_length(tmp_path, frames):
    source = Counted(frames)
    segment_video(source, [Threshold('a')], tmp_path / 'out', options(segment_frames=25))
    gc.collect()
    assert source.most <= 24
    assert source.alive <= 1


def test_a_stop_leaves_playable_files_and_resuming_makes_no_difference(make_video, tmp_path, probe):
    path = make_video(22)
    segment_video(VideoFile(path), two(), tmp_path / 'whole', options(batch=2))
    seen = []
    outcome = segment_video(
        VideoFile(path), two(), tmp_path / 'out', options(batch=2), lambda: sum(seen) >= 10, seen.append
    )
    assert (outcome.frames, outcome.complete) == (10, False)
    assert probe(tmp_path / 'out' / 'comparison.mp4').frames == probe(tmp_path / 'out' / 'b_mix.mp4').frames == 10
    assert len(rows(tmp_path / 'out')) == 20
    assert json.loads((tmp_path / 'out' / 'summary.json').read_text())['complete'] is False
    seen = []
    outcome = segment_video(
        VideoFile(path), two(), tmp_path / 'out', options(batch=2, resume=True), advance=seen.append
    )
    assert (outcome.frames, outcome.complete, outcome.resumed, sum(seen), seen[0]) == (22, True, 8, 22, 8)
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == NAMES
    again = segment_video(VideoFile(path), two(), tmp_path / 'out', options(batch=2, resume=True))
    assert (again.frames, again.notes) == (22, ['it was complete already'])


class Deadly(Threshold):
    """Kills its process at one of its calls."""

    def __init__(self, calls: int) -> None:
        super().__init__('a')
        self.calls = calls

    def __call__(self, prepared):
        self.calls -= 1
        if self.calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(prepared)


def killed_at(call: int, path: Path, out: Path) -> None:
    """Run in a process of its own that dies without a chance to finish anything."""
    child = os.fork()
    if child == 0:
        try:
            segment_video(VideoFile(path), [Deadly(call), Threshold('b', 250)], out, options(resume=True))
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_killed_again_and_again_gives_the_same_files(make_stream, tmp_path):
    path = make_stream('v.mp4', range(43), Fraction(1, 25), sound=True)
    segment_video(VideoFile(path), two(), tmp_path / 'whole', options())
    for call in (2, 24, 3, 22):
        killed_at(call, path, tmp_path / 'out')
        assert not list((tmp_path / 'out').glob('*.mp4'))
    outcome = segment_video(VideoFile(path), two(), tmp_path / 'out', options(resume=True))
    assert outcome.frames == 43
    assert outcome.resumed >= 8
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')


def test_without_resume_a_run_starts_anew(make_video, tmp_path):
    seen = []
    path = make_video(9)
    segment_video(VideoFile(path), two(), tmp_path / 'out', options(), lambda: sum(seen) > 5, seen.append)
    outcome = segment_video(VideoFile(path), two()[:1], tmp_path / 'out', options())
    assert (outcome.frames, outcome.resumed) == (9, 0)


@pytest.mark.parametrize(
    ('changed', 'told'),
    [
        ({'mix': 0.5}, 'mix: 0.7, now 0.5'),
        ({'every': 2}, 'every: 1, now 2'),
        ({'fps': Fraction(10)}, 'fps: kept, now 10'),
    ],
)
def test_other_settings_are_not_mixed(make_video, tmp_path, changed, told):
    path = make_video(9)
    segment_video(VideoFile(path), two(), tmp_path / 'out', options(), lambda: True)
    with pytest.raises(ValueError, match=rf'begun with other settings \({told}\)'):
        segment_video(VideoFile(path), two(), tmp_path / 'out', options(resume=True, **changed))
    segment_video(VideoFile(path), two(), tmp_path / 'out', options())
    with pytest.raises(ValueError, match=r'finished run with other settings \(models\.a\.threshold: 128, now 9\)'):
        segment_video(VideoFile(path), [Threshold('a', 9), two()[1]], tmp_path / 'out', options(resume=True))


def test_another_video_is_not_mixed(make_video, tmp_path):
    segment_video(VideoFile(make_video(9)), two(), tmp_path / 'out', options(), lambda: True)
    with pytest.raises(ValueError, match=r'input\.bytes'):
        segment_video(VideoFile(make_video(10)), two(), tmp_path / 'out', options(resume=True))


class Breaking(Counted):
    def read(self, every=1, after=None):
        for frame in super().read(every, after):
            if frame.number == 7:
                raise UnreadableError('v', 7, 0.28, 'cut off')
            yield frame


def test_what_could_be_read_is_written(tmp_path, probe):
    outcome = segment_video(Breaking(20), two(), tmp_path / 'out', options(batch=3))
    assert (outcome.frames, outcome.complete) == (7, False)
    assert str(outcome.error) == 'v: reading stopped at frame 8 (second 0.28): cut off'
    assert probe(tmp_path / 'out' / 'a_mix.mp4').frames == 7
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert summary['unreadable'] == {'frame': 8, 'second': 0.28, 'reason': 'cut off'}
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == NAMES


def test_no_frame_at_all(tmp_path):
    class Empty(Counted):
        def read(self, every=1, after=None):
            raise UnreadableError('v', 0, 0, 'cut off')
            yield

    with pytest.raises(UnreadableError, match='frame 1 '):
        segment_video(Empty(5), two(), tmp_path / 'out', options())
    assert list((tmp_path / 'out').iterdir()) == []


def test_a_live_source_ends_when_it_is_stopped(tmp_path):
    source = Counted(1000)
    source.info = source.info._replace(live=True, frames=None, constant=False)
    outcome = segment_video(source, two(), tmp_path / 'out', options(), lambda: True)
    assert (outcome.complete, outcome.frames) == (True, 1)
    with pytest.raises(ValueError, match='what it showed is gone'):
        segment_video(source, two(), tmp_path / 'out', options(resume=True))


def test_a_failing_network_leaves_the_old_files_and_what_can_be_resumed(make_video, tmp_path):
    class Failing(Threshold):
        def __call__(self, prepared):
            if len(self.batches) == 6:
                raise MemoryError('too large')
            return super().__call__(prepared)

    path = make_video(12)
    segment_video(VideoFile(path), two(), tmp_path / 'out', options())
    before = contents(tmp_path / 'out')
    with pytest.raises(MemoryError):
        segment_video(VideoFile(path), [Failing('a'), two()[1]], tmp_path / 'out', options())
    assert contents(tmp_path / 'out') == before
    assert segment_video(VideoFile(path), two(), tmp_path / 'out', options(resume=True)).resumed == 4
    assert contents(tmp_path / 'out') == before


def test_models_of_different_classes_and_equal_names(make_video, tmp_path):
    other = Threshold('b')
    other.classes = ('x', 'y')
    source = VideoFile(make_video(2))
    with pytest.raises(ValueError, match='b and a have different classes'):
        segment_video(source, [Threshold('a'), other], tmp_path / 'out')
    with pytest.raises(ValueError, match='a name of its own'):
        segment_video(source, [Threshold('a'), Threshold('A')], tmp_path / 'out')


def test_frames_beyond_the_end_are_told(make_video, tmp_path):
    outcome = segment_video(VideoFile(make_video(3)), two(), tmp_path / 'out', options(chosen=(2, 7)))
    assert outcome.notes == ['no frame 7 for the contact sheet: the last one is 3']
