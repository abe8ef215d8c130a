from fractions import Fraction

import av
import numpy as np
import pytest

from mmext.segmentation.video.joining import Piece, Sound, join_pieces
from mmext.segmentation.video.writer import VideoWriter

NTSC = Fraction(30000, 1001)


def write(path, pictures, rate=NTSC, duration: int = 1) -> Piece:
    writer = VideoWriter(path, pictures[0].shape[:2], rate / duration, 1 / rate)
    for number, picture in enumerate(pictures):
        writer.write(picture, number * duration, duration)
    writer.close()
    return Piece(path, Fraction(0))


def flat(*color, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize('rate', [NTSC, Fraction(25), Fraction(25, 3), Fraction(24000, 1001)])
def test_the_rate_is_kept_exactly(tmp_path, probe, rate):
    write(tmp_path / 'v.mp4', [flat(9, 9, 9)] * 7, rate)
    found = probe(tmp_path / 'v.mp4')
    assert (found.rate, found.frames, found.length) == (rate, 7, 7 / rate)
    assert found.seconds == [k / rate for k in range(7)]


def test_frames_that_last_longer(tmp_path, probe):
    write(tmp_path / 'v.mp4', [flat(9, 9, 9)] * 4, Fraction(25), duration=3)
    found = probe(tmp_path / 'v.mp4')
    assert (found.rate, found.length) == (Fraction(25, 3), Fraction(12, 25))


@pytest.mark.parametrize('size', [(32, 48), (33, 48), (32, 49), (33, 49), (1, 1)])
def test_odd_sides_grow_by_one(tmp_path, probe, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 1), dtype=np.uint8).repeat(3, axis=2)
    write(tmp_path / 'v.mp4', [picture] * 2)
    found = probe(tmp_path / 'v.mp4')
    assert found.size == (size[1] + size[1] % 2, size[0] + size[0] % 2)
    shown = found.pictures[0][: size[0], : size[1]].astype(int)
    assert np.abs(shown - picture).mean() < 12


@pytest.mark.parametrize(
    'color', [(0, 0, 0), (255, 255, 255), (128, 64, 128), (232, 35, 244), (142, 0, 0), (0, 220, 220)]
)
def test_colors_come_back(tmp_path, probe, color):
    write(tmp_path / 'v.mp4', [flat(*color)] * 3)
    assert np.abs(probe(tmp_path / 'v.mp4').pictures[1].astype(int) - color).max() <= 6
    with av.open(str(tmp_path / 'v.mp4')) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)


def test_a_picture_of_another_size_is_refused(tmp_path):
    writer = VideoWriter(tmp_path / 'v.mp4', (32, 48), NTSC, 1 / NTSC)
    with pytest.raises(ValueError, match='in a video of'):
        writer.write(flat(1, 2, 3, height=30), 0, 1)


def test_pieces_in_a_row_are_their_frames_in_a_row(tmp_path, probe):
    shades = [flat(shade, shade, shade) for shade in range(20, 220, 20)]
    pieces = [
        write(tmp_path / f'{start}.mp4', shades[start : start + 4])._replace(seconds=start / NTSC)
        for start in range(0, 10, 4)
    ]
    assert join_pieces(pieces, tmp_path / 'v.mp4') == ''
    found = probe(tmp_path / 'v.mp4')
    parts = [picture for piece in pieces for picture in probe(piece.path).pictures]
    assert all(np.array_equal(a, b) for a, b in zip(found.pictures, parts, strict=True))
    assert found.seconds == [k / NTSC for k in range(10)]
    assert (found.rate, found.length, found.sounds) == (NTSC, 10 / NTSC, 0)


def sound_packets(path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(float(p.dts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]


def test_sound_is_copied_up_to_the_end_of_the_pictures(tmp_path, make_stream):
    source = make_stream('s.mp4', range(50), Fraction(1, 25), sound=True)
    piece = write(tmp_path / 'p.mp4', [flat(9, 9, 9)] * 25, Fraction(25))
    assert join_pieces([piece], tmp_path / 'v.mp4', Sound(source, Fraction(0))) == ''
    original, copied = sound_packets(source), sound_packets(tmp_path / 'v.mp4')
    expected = [packet for packet in original if 0 <= packet[0] < 1]
    assert [content for _, content in copied] == [content for _, content in expected]
    assert [second for second, _ in copied] == pytest.approx([second for second, _ in expected], abs=1e-3)


def test_sound_begins_with_the_pictures(tmp_path, make_stream):
    source = make_stream('s.mp4', range(50), Fraction(1, 25), sound=True)
    piece = write(tmp_path / 'p.mp4', [flat(9, 9, 9)] * 10, Fraction(25))
    join_pieces([piece], tmp_path / 'v.mp4', Sound(source, Fraction(1)))
    first = sound_packets(tmp_path / 'v.mp4')[0]
    later = next(packet for packet in sound_packets(source) if packet[0] >= 1)
    assert first[1] == later[1]
    assert first[0] == pytest.approx(later[0] - 1, abs=1e-3)


def test_sound_that_is_not_there_is_told(tmp_path, make_stream, probe):
    silent = make_stream('s.mp4', range(5), Fraction(1, 25))
    piece = write(tmp_path / 'p.mp4', [flat(9, 9, 9)] * 3)
    assert join_pieces([piece], tmp_path / 'v.mp4', Sound(silent, Fraction(0)))
    assert probe(tmp_path / 'v.mp4').frames == 3


def test_a_failure_leaves_the_old_file(tmp_path):
    piece = write(tmp_path / 'p.mp4', [flat(9, 9, 9)] * 3)
    (tmp_path / 'v.mp4').write_bytes(b'old')
    with pytest.raises(FileNotFoundError):
        join_pieces([piece, Piece(tmp_path / 'gone.mp4', 3 / NTSC)], tmp_path / 'v.mp4')
    assert (tmp_path / 'v.mp4').read_bytes() == b'old'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['p.mp4', 'v.mp4']
