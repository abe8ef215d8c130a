"""Small videos, and networks that need no training: what they say can be worked out by hand."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mmext.segmentation.video.writer import VideoWriter

RATE = Fraction(30000, 1001)


class Threshold:
    """Class 1 where the blue channel is above a threshold, else class 0."""

    classes, palette = ('dark', 'bright'), [(200, 30, 40), (20, 120, 220)]

    def __init__(self, name: str = 'a', threshold: int = 128) -> None:
        self.name, self.threshold = name, threshold
        self.identity = {'threshold': threshold}
        self.batches = []

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        return picture[..., 0]

    def __call__(self, prepared: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.batches.append(len(prepared))
        return [(blue > self.threshold).astype(np.uint8) for blue in prepared]


def bar(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A bright bar that grows by four columns a frame; noise below, so that files have some size."""
    picture = np.full((height, width, 3), 20, np.uint8)
    picture[height // 2 :] = np.random.default_rng(number).integers(0, 100, (height - height // 2, width, 3))
    picture[:, : 4 * (number % (width // 4)) + 4] = 230
    return picture


@pytest.fixture
def make_video(tmp_path) -> Callable[..., Path]:
    """Writes frames of `bar`."""

    def make(frames: int = 12, name: str = 'v.mp4', rate: Fraction = RATE, size_hw: tuple = (48, 64)) -> Path:
        path = tmp_path / name
        writer = VideoWriter(path, size_hw, rate, 1 / rate)
        for number in range(frames):
            writer.write(bar(number, *size_hw), number, 1)
        writer.close()
        return path

    return make


@pytest.fixture
def make_stream(tmp_path) -> Callable[..., Path]:
    """Writes a video with PyAV alone, so that a reader does not only meet what our writer writes.

    ``change`` gets the stream before the first frame; ``ticks`` are the times of the frames in the time base.
    """

    def make(name: str, ticks: Sequence[int], time_base: Fraction, change=lambda stream: None, sound: bool = False):
        path = tmp_path / name
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=1 / time_base, options={'crf': '5', 'g': '4'})
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            stream.codec_context.time_base = time_base
            change(stream)
            audio = container.add_stream('aac', rate=16000) if sound else None
            for number, tick in enumerate(ticks):
                frame = av.VideoFrame.from_ndarray(bar(number), format='bgr24').reformat(format='yuv420p')
                frame.pts, frame.time_base = tick, time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if audio:
                length = int(16000 * (ticks[-1] + 1) * time_base)
                wave = np.sin(np.arange(length) * 0.2).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(wave, format='fltp', layout='mono')
                frame.sample_rate, frame.pts = 16000, 0
                container.mux(audio.encode(frame))
                container.mux(audio.encode())
        return path

    return make


class Probe:
    """What a file holds: ``size`` (width, height), ``frames`` decoded, ``rate``, ``seconds`` of each frame."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            decoded = list(container.decode(stream))
            self.size = stream.width, stream.height
            self.rate = stream.average_rate
            self.length = stream.duration * stream.time_base
            self.seconds = [frame.pts * frame.time_base for frame in decoded]
            self.pictures = [frame.to_ndarray(format='bgr24') for frame in decoded]
            self.frames = len(decoded)
            self.sounds = len(container.streams.audio)


@pytest.fixture
def probe() -> type[Probe]:
    return Probe
