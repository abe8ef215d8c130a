"""Frames of a video file, as PyAV decodes them."""

import hashlib
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from mmext.segmentation.video.geometry import Orientation, orientation_of, square_pixel_size, upright
from mmext.segmentation.video.media import open_media
from mmext.segmentation.video.sources import Frame, Place, SourceInfo, UnreadableError

# Containers whose header says how long the video is; others guess, or measure what is there.
_WITH_LENGTH = ('matroska', 'avi', 'flv')
# The rate of a stream that says nothing at all.
_RATE = Fraction(25)
_SAMPLE_BYTES = 1 << 20


class VideoFile:
    """A video file.

    Args:
        path: Any container and codec that FFmpeg knows.

    Attributes:
        info: What is known of it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a video, or not even its first frame can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'{path}: no such video, folder of pictures or number of a camera')
        with self._open() as container:
            stream = container.streams.video[0]
            try:
                first = next(self._frames(container), None)
            except _BrokenError as error:
                raise UnreadableError(str(path), 0, 0, str(error)) from error
            if first is None:
                raise UnreadableError(str(path), 0, 0, 'it holds no frame')
            self._rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or _RATE)
            self._orientation = _orientation(first)
            self._stored_size = square_pixel_size(first.width, first.height, stream.sample_aspect_ratio)
            self._first_pts, self._time_base = first.pts, Fraction(first.time_base or stream.time_base)
            self._length = _length_seconds(container)
            width, height = self._stored_size
            self.info = SourceInfo(
                name=str(path),
                size_hw=(width, height) if self._orientation.transpose else (height, width),
                rate=self._rate,
                constant=stream.base_rate in (None, self._rate),
                frames=stream.frames or (round(self._length * self._rate) if self._length else None),
                live=False,
                identity=_identity(self.path),
                start=(first.pts or 0) * self._time_base,
                sound=self.path if container.streams.audio else None,
            )

    def read(self, every: int = 1, after: Place | None = None) -> Iterator[Frame]:
        """Frames 0, ``every``, 2 ``every``, ...; frames between them are decoded, but not converted.

        Going on behind a place jumps to it and checks that its pixels are the same; if they are not, as in files that
        cannot be searched, the file is decoded from the start.

        Raises:
            UnreadableError: the file is cut off or damaged; or the place is not found again in it.
        """
        if after is None:
            yield from self._convert(0, every)
            return
        for jump in (True, False):
            container = self._open()
            frames = self._frames(container, whole=not jump)
            if jump and not self._jump(container, after):
                container.close()
                continue
            found = self._skip(frames, after, jump)
            if found:
                yield from self._convert(after.number + 1, every, container, frames)
                return
            container.close()
        raise UnreadableError(str(self.path), after.number, 0, 'the frame is not the one that was used before')

    def _open(self) -> Any:
        try:
            container = open_media(self.path)
        except (av.error.FFmpegError, ValueError) as error:
            raise UnreadableError(str(self.path), 0, 0, f'no video that can be read ({_reason(error)})') from error
        if not container.streams.video:
            container.close()
            raise ValueError(f'{self.path}: has no pictures; give a video, a folder of pictures or a camera')
        container.streams.video[0].thread_type = 'AUTO'
        return container

    def _frames(self, container: Any, whole: bool = True) -> Iterator[Any]:
        """Decoded frames; what the decoder holds back when the file breaks off comes too, before the error.

        Args:
            container: Open.
            whole: It is at its start, so that all that it announces can be expected.
        """
        stream = container.streams.video[0]
        packets, cut = 0, False
        try:
            for packet in container.demux(stream):
                cut = packet.is_corrupt if packet.size else cut
                # The last packet is none: it has the decoder give what it holds back.
                packets += packet.size > 0 or packet.dts is not None
                yield from packet.decode()
        except av.error.FFmpegError as error:
            yield from _held_back(stream)
            raise _BrokenError(f'damaged or cut off ({_reason(error)})') from error
        if cut or (whole and 0 < packets < stream.frames):
            announced = f': it announces {stream.frames} frames' if stream.frames else ''
            raise _BrokenError(f'cut off{announced}')

    def _convert(
        self, number: int, every: int, container: Any | None = None, frames: Iterator[Any] | None = None
    ) -> Iterator[Frame]:
        converter = VideoReformatter()
        container = container or self._open()
        seconds = number / self._rate
        with container:
            try:
                for raw in frames or self._frames(container):
                    seconds = self._seconds(raw, number)
                    if number % every == 0:
                        yield Frame(number, seconds, self._picture(raw, converter), raw.pts)
                    number += 1
                    seconds += 1 / self._rate
            except _BrokenError as error:
                raise UnreadableError(str(self.path), number, seconds, str(error)) from error
        # Irregular frames: the last one may be shown for long.
        slack = Fraction(3, 2) / self._rate if self.info.constant else max(2 / self._rate, Fraction(1, 4))
        if self._length and self._length - seconds > slack:
            reason = f'cut off: it announces {float(self._length):.2f} s'
            raise UnreadableError(str(self.path), number, seconds, reason)

    def _seconds(self, raw: Any, number: int) -> Fraction:
        if raw.pts is None or self._first_pts is None:
            return number / self._rate
        return (raw.pts - self._first_pts) * self._time_base

    def _picture(self, raw: Any, converter: VideoReformatter) -> np.ndarray:
        # One converter for all frames keeps its tables; it also brings later frames of another size to the first's.
        width, height = self._stored_size
        picture = converter.reformat(raw, width=width, height=height, format='bgr24').to_ndarray()
        return upright(picture, self._orientation)

    def _jump(self, container: Any, after: Place) -> bool:
        if after.pts is None:
            return False
        try:
            container.seek(after.pts, stream=container.streams.video[0])
        except av.error.FFmpegError:
            return False
        return True

    def _skip(self, frames: Iterator[Any], after: Place, jumped: bool) -> bool:
        """Read up to the frame that was used before; False if it is not there or looks different."""
        converter = VideoReformatter()
        try:
            for number, raw in enumerate(frames):
                if raw.pts == after.pts if jumped else number == after.number:
                    return checksum(self._picture(raw, converter)) == after.checksum
                if jumped and (raw.pts is None or raw.pts > after.pts):
                    return False
        except _BrokenError:
            return False
        return False


class _BrokenError(Exception):
    """The message is the reason."""


def checksum(picture: np.ndarray) -> int:
    """CRC-32 of the pixels."""
    return zlib.crc32(np.ascontiguousarray(picture))


def _held_back(stream: Any) -> Iterator[Any]:
    try:
        yield from stream.codec_context.decode(None)
    except (av.error.FFmpegError, EOFError):
        return


def _orientation(frame: Any) -> Orientation:
    for data in frame.side_data.keys():  # noqa: SIM118 - iterating over the container itself fails
        if getattr(data.type, 'name', '') == 'DISPLAYMATRIX':
            return orientation_of(np.frombuffer(bytes(data), np.int32).tolist())
    return Orientation()


def _length_seconds(container: Any) -> Fraction | None:
    """How long the header says that the video is; None if it does not, or cannot be wrong."""
    if not container.format.name.startswith(_WITH_LENGTH):
        return None
    stream = container.streams.video[0]
    if stream.duration:
        return stream.duration * stream.time_base
    tag = stream.metadata.get('DURATION', '')
    hours, _, rest = tag.partition(':')
    minutes, _, seconds = rest.partition(':')
    try:
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        # The length of the whole file: sound may be longer than the pictures.
        alone = len(container.streams) == 1 and container.duration
        return Fraction(container.duration, av.time_base) if alone else None


def _identity(path: Path) -> dict[str, Any]:
    """Size and digest of both ends: the time stamp of a file changes when it is copied."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open('rb') as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(size - _SAMPLE_BYTES, 0))
        digest.update(file.read())
    return {'bytes': size, 'digest': digest.hexdigest()}


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)
