"""Frames of a folder of pictures or of a camera, and which source an argument means."""

import hashlib
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mmext.common.image_files import why_damaged
from mmext.common.prediction.inputs import IMAGE_SUFFIXES, find_images
from mmext.segmentation.video.sources import Frame, FrameSource, Place, SourceInfo, UnreadableError
from mmext.segmentation.video.video_file import VideoFile, checksum

# Frames a second of pictures in a folder, and of a camera that does not say.
FOLDER_RATE = Fraction(10)
CAMERA_RATE = Fraction(30)


class ImageFolder:
    """The pictures in a folder and below, in the natural order of their names, all of one size.

    Args:
        path: The folder.
        rate: Frames a second that they stand for.

    Raises:
        ValueError: no picture in it, or the first cannot be read.
    """

    def __init__(self, path: str | Path, rate: Fraction = FOLDER_RATE) -> None:
        self.paths = find_images([path])
        self._name, self._rate = str(path), rate
        names = '\n'.join(f'{found} {found.stat().st_size}' for found in self.paths)
        self.info = SourceInfo(
            name=str(path),
            size_hw=self._picture(0).shape[:2],
            rate=rate,
            constant=True,
            frames=len(self.paths),
            live=False,
            identity={'pictures': len(self.paths), 'digest': hashlib.sha256(names.encode()).hexdigest()},
        )

    def read(self, every: int = 1, after: Place | None = None) -> Iterator[Frame]:
        """Pictures 0, ``every``, 2 ``every``, ...

        Raises:
            UnreadableError: a picture is damaged or of another size; or the place holds another picture than before.
        """
        if after and checksum(self._picture(after.number)) != after.checksum:
            self._stop(after.number, 'the picture is not the one that was used before')
        start = -(-(after.number + 1) // every) * every if after else 0
        for number in range(start, len(self.paths), every):
            picture = self._picture(number)
            if picture.shape[:2] != self.info.size_hw:
                size, expected = ('x'.join(map(str, hw[::-1])) for hw in (picture.shape[:2], self.info.size_hw))
                self._stop(number, f'{self.paths[number].name} has {size} pixels, the first picture {expected}')
            yield Frame(number, number / self._rate, picture)

    def _picture(self, number: int) -> np.ndarray:
        path = self.paths[number]
        reason = why_damaged(path)
        picture = None
        if not reason:
            try:
                picture = cv2.imread(str(path))
            except cv2.error as error:  # more pixels than it would read
                reason = error.err
        if picture is None:
            self._stop(number, f'{path.name}: {reason or "not a picture"}')
        return picture

    def _stop(self, number: int, reason: str) -> None:
        raise UnreadableError(self._name, number, number / self._rate, reason)


class Camera:
    """A camera; its frames carry the times at which they arrived.

    While the network is busy the camera's driver drops frames: none is shown at another time than its own.

    Args:
        index: As OpenCV counts cameras.

    Raises:
        ValueError: no such camera, or it gives no picture.
    """

    def __init__(self, index: int) -> None:
        self._name = f'camera {index}'
        self._capture = cv2.VideoCapture(index)
        found, picture = self._capture.read() if self._capture.isOpened() else (False, None)
        if not found:
            self._capture.release()
            raise ValueError(f'{index}: no camera of this number gives a picture; 0 is the first one')
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.info = SourceInfo(
            name=self._name,
            size_hw=picture.shape[:2],
            rate=Fraction(rate).limit_denominator(1001) if rate > 0 else CAMERA_RATE,
            constant=False,
            frames=None,
            live=True,
            identity={'camera': index},
        )

    def read(self, every: int = 1, after: Place | None = None) -> Iterator[Frame]:
        """Frames until the camera gives none any more.

        Raises:
            UnreadableError: always in the end, unless the caller stops before.
        """
        start = None
        number = 0
        try:
            while True:
                found, picture = self._capture.read()
                now = time.monotonic()
                start = now if start is None else start
                seconds = Fraction(now - start).limit_denominator(1_000_000)
                if not found:
                    raise UnreadableError(self._name, number, seconds, 'it gives no picture any more')
                if number % every == 0:
                    yield Frame(number, seconds, picture)
                number += 1
        finally:
            self._capture.release()


def open_source(text: str, rate: Fraction | None = None) -> FrameSource:
    """The number of a camera, a folder of pictures or a video file.

    Args:
        text: As on a command line.
        rate: Of the pictures in a folder; 10 if None. Videos and cameras know theirs.

    Raises:
        FileNotFoundError: nothing of this.
        ValueError: it cannot be read.
    """
    path = Path(text)
    if text.isdecimal() and not path.exists():
        return Camera(int(text))
    if path.is_dir():
        return ImageFolder(path, rate or FOLDER_RATE)
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES - {'.gif'}:
        raise ValueError(f'{text}: is a picture; give a video, a folder of pictures or the number of a camera')
    return VideoFile(path)
