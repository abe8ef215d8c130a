"""What frames come from, and where reading stopped."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np


class Frame(NamedTuple):
    """One picture of a source.

    Attributes:
        number: Place in the source, from 0.
        seconds: Time since its first frame.
        picture: (H, W, 3) BGR, uint8; upright, with square pixels.
        pts: Presentation time in the file's own ticks; None if it has none.
    """

    number: int
    seconds: Fraction
    picture: np.ndarray
    pts: int | None = None


class Place(NamedTuple):
    """A frame that was used already, known again by its pixels (CRC-32).

    Attributes:
        number: As of `Frame`.
        pts: As of `Frame`.
        checksum: Of the picture.
    """

    number: int
    pts: int | None
    checksum: int


class SourceInfo(NamedTuple):
    """What is known of a source before its frames are read.

    Attributes:
        name: As the user gave it.
        size_hw: Height and width of its pictures.
        rate: Frames a second; average if they vary.
        constant: Whether they follow each other regularly.
        frames: How many there seem to be; None if the file does not say.
        live: It ends when the user says so, and cannot be read again.
        identity: What tells whether it is the same input as before; values that JSON can hold.
        start: Time stamp of the first frame in seconds, which the sound of the file refers to.
        sound: The file whose sound belongs to the frames; None if there cannot be any.
    """

    name: str
    size_hw: tuple[int, int]
    rate: Fraction
    constant: bool
    frames: int | None
    live: bool
    identity: dict[str, Any]
    start: Fraction = Fraction(0)
    sound: Path | None = None


class FrameSource(Protocol):
    """A video file, a folder of pictures or a camera."""

    info: SourceInfo

    def read(self, every: int = 1, after: Place | None = None) -> Iterator[Frame]:
        """Every so manieth frame, from the first or from the one behind a place on.

        Raises:
            UnreadableError: in the place of the frame that cannot be read.
        """
        ...


class UnreadableError(ValueError):
    """Reading stopped before the end.

    Args:
        name: The source.
        number: Of the frame that could not be read, from 0.
        seconds: Where it lies, since the first frame.
        reason: What was wrong.
    """

    def __init__(self, name: str, number: int, seconds: Fraction | float, reason: str) -> None:
        super().__init__(f'{name}: reading stopped at frame {number + 1} (second {float(seconds):.2f}): {reason}')
        self.number, self.seconds, self.reason = number, float(seconds), reason
