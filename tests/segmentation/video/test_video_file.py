from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from mmext.segmentation.video.sources import Place, UnreadableError
from mmext.segmentation.video.video_file import VideoFile, checksum

RATE = Fraction(30000, 1001)


def bars(frames) -> list[int]:
    """The number that each picture of `bar` shows: a sixteenth of its bright columns, less one."""
    return [round(np.count_nonzero(frame.picture[0, :, 0] > 150) / 4) - 1 for frame in frames]


def read_until_error(path, every: int = 1) -> tuple[list, UnreadableError | None]:
    frames = []
    try:
        for frame in VideoFile(path).read(every):
            frames.append(frame)
    except UnreadableError as error:
        return frames, error
    return frames, None


def test_all_frames_in_order_with_exact_times(make_video):
    video = VideoFile(make_video(14))
    frames = list(video.read())
    assert [frame.number for frame in frames] == list(range(14))
    assert bars(frames) == list(range(14))
    assert [frame.seconds for frame in frames] == [k / RATE for k in range(14)]
    info = video.info
    assert (info.size_hw, info.rate, info.constant, info.frames, info.sound) == ((48, 64), RATE, True, 14, None)
    assert info.identity['bytes'] > 0


def test_every_third(make_video):
    frames = list(VideoFile(make_video(14)).read(every=3))
    assert [frame.number for frame in frames] == bars(frames) == [0, 3, 6, 9, 12]


@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv', 'v.avi', 'v.ts', 'v.h264'])
@pytest.mark.parametrize('place', [0, 5, 11])
def test_going_on_gives_the_same_frames(make_stream, name, place):
    """Also where the file cannot be searched or has no times; it has B-frames and a key frame every four."""
    video = VideoFile(make_stream(name, range(12), Fraction(1, 25)))
    frames = list(video.read())
    assert len(frames) == 12
    last = frames[place]
    rest = list(video.read(after=Place(last.number, last.pts, checksum(last.picture))))
    assert [frame.number for frame in rest] == list(range(place + 1, 12))
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(rest, frames[place + 1 :], strict=True))
    assert [frame.seconds for frame in rest] == [frame.seconds for frame in frames[place + 1 :]]


def test_another_file_is_told_when_going_on(make_video):
    video = VideoFile(make_video(8))
    frame = list(video.read())[4]
    with pytest.raises(UnreadableError, match='not the one that was used before'):
        list(video.read(after=Place(4, frame.pts, checksum(frame.picture) + 1)))


def test_irregular_times(make_stream):
    video = VideoFile(make_stream('v.mkv', [0, 1, 5, 6, 20], Fraction(1, 10)))
    assert [frame.seconds for frame in video.read()] == [0, Fraction(1, 10), Fraction(1, 2), Fraction(3, 5), 2]


def test_pixels_that_are_not_square(make_stream):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    video = VideoFile(make_stream('v.mp4', range(3), Fraction(1, 25), wide))
    assert video.info.size_hw == (48, 96)
    assert next(video.read()).picture.shape == (48, 96, 3)


@pytest.mark.skipif(not hasattr(VideoStream, 'set_display_rotation'), reason='this PyAV writes no display matrix')
@pytest.mark.parametrize('angle', [90, 180, 270])
def test_rotation_is_applied(make_stream, angle):
    straight = next(VideoFile(make_stream('a.mp4', range(2), Fraction(1, 25))).read()).picture
    turned = VideoFile(make_stream('b.mp4', range(2), Fraction(1, 25), lambda s: s.set_display_rotation(angle)))
    picture = next(turned.read()).picture
    assert turned.info.size_hw == picture.shape[:2]
    np.testing.assert_array_equal(picture, np.rot90(straight, angle // 90))


@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv', 'v.avi'])
@pytest.mark.parametrize('share', [0.5, 0.7, 0.9])
def test_a_file_that_is_cut_off(make_stream, tmp_path, name, share):
    whole = make_stream(name, range(40), Fraction(1, 25), sound=name == 'v.mkv')
    if name == 'v.mp4':  # the index to the front, as players want it; without it nothing can be read
        with (
            av.open(str(whole)) as old,
            av.open(str(tmp_path / 'f.mp4'), 'w', options={'movflags': 'faststart'}) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(old.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
        whole = tmp_path / 'f.mp4'
    frames, error = read_until_error(whole)
    assert (len(frames), error) == (40, None)
    content = whole.read_bytes()
    cut = tmp_path / f'cut{whole.suffix}'
    cut.write_bytes(content[: int(share * len(content))])
    frames, error = read_until_error(cut)
    assert 0 < len(frames) < 40
    assert bars(frames[:16]) == list(range(min(16, len(frames))))
    assert error.number == len(frames)
    # Frames that refer to later ones are lost with them, and AVI has no times: a frame or two off.
    assert error.seconds == pytest.approx(len(frames) / 25, abs=0.09)
    assert f'reading stopped at frame {len(frames) + 1} (second {error.seconds:.2f}): ' in str(error)


def test_garbage_in_the_middle(make_stream, tmp_path):
    content = bytearray(make_stream('v.mp4', range(40), Fraction(1, 25)).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / 'd.mp4').write_bytes(content)
    frames, error = read_until_error(tmp_path / 'd.mp4')
    assert 0 < len(frames) < 40
    assert 'damaged or cut off' in str(error)


@pytest.mark.parametrize('content', [b'', b'no video', b'\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41', bytes(5000)])
def test_what_is_no_video(tmp_path, content):
    (tmp_path / 'v.mp4').write_bytes(content)
    with pytest.raises(ValueError, match=r'v\.mp4: .*no video that can be read'):
        VideoFile(tmp_path / 'v.mp4')


def test_sound_alone(tmp_path):
    with av.open(str(tmp_path / 's.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format='s16', layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match='has no pictures'):
        VideoFile(tmp_path / 's.wav')


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r'nothing\.mp4: no such video'):
        VideoFile('nothing.mp4')


def test_messages_of_ffmpeg_are_off(make_video):
    """A decoder's thread that logs would wait for the lock of the thread that waits for it."""
    path = make_video(4)
    av.logging.set_level(av.logging.ERROR)
    VideoFile(path)
    assert av.logging.get_level() is None
