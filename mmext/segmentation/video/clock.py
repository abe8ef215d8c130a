"""When the frames of a video are shown: rates as exact fractions, and the ticks of the output's time base."""

import math
import re
from fractions import Fraction

# Rates of television, which are usually written with two or three digits.
_NTSC = tuple(Fraction(1000 * whole, 1001) for whole in (12, 15, 24, 30, 48, 60, 120))
# Ticks a second of videos whose frames do not follow each other regularly.
FREE_TICKS = 90_000


def parse_rate(text: str) -> Fraction:
    """Frames a second: ``10``, ``12.5`` or ``30000/1001``; ``29.97`` and its like mean the exact rates of television.

    Raises:
        ValueError: not a rate, or not above 0.
    """
    if not re.fullmatch(r'\d+(\.\d*)?|\.\d+|\d+/\d+', text.strip()) or re.search(r'/0+$', text.strip()):
        raise ValueError(f'{text!r} is not a frame rate; write 25, 12.5 or 30000/1001')
    rate = Fraction(text.strip())
    if not rate:
        raise ValueError(f'{text}: a frame rate must be above 0')
    if '/' not in text and rate.denominator != 1:
        rate = next((exact for exact in _NTSC if abs(rate - exact) < Fraction(5, 1000)), rate)
    return rate


class OutputClock:
    """Gives each kept frame its tick in the output.

    Without a rate of its own the output keeps the input's times, and so its duration: the time of a frame is rounded to
    the input's regular grid, or to 1/90000 s where the input has none. With a rate the frames follow each other
    regularly, whatever their times were: the video then runs faster or slower than its input.

    Args:
        rate: Frames a second of the input, average if they vary.
        constant: Whether its frames follow each other regularly.
        every: One of so many frames is kept.
        fps: Rate of the output.

    Attributes:
        time_base: Seconds a tick.
        duration: Ticks that a frame is shown, where the next one does not say otherwise.
        rate: Frames a second of the output, nominal.
        tick: The latest that was given, -1 before the first.
    """

    def __init__(self, rate: Fraction, constant: bool, every: int = 1, fps: Fraction | None = None) -> None:
        self._follows_input = fps is None
        self.rate = fps or rate / every
        if fps:
            self.time_base, self.duration = 1 / fps, 1
        elif constant:
            self.time_base, self.duration = 1 / rate, every
        else:
            self.time_base, self.duration = Fraction(1, FREE_TICKS), round(FREE_TICKS * every / rate)
        self.tick = -1

    def next_tick(self, seconds: Fraction) -> int:
        """The tick of the next frame, which was shown at ``seconds`` in the input; ticks always rise."""
        nearest = math.floor(seconds / self.time_base + Fraction(1, 2)) if self._follows_input else 0
        self.tick = max(nearest, self.tick + 1)
        return self.tick
