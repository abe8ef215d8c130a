"""Time of repeated calls: a warm-up that ends when the times agree, percentiles, and a clock for nested stages."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from mmext.analysis.speed.records import STAGES, Timing

# Passes in a row that must agree, how far apart the slowest and the fastest may be, and when waiting for it ends.
AGREEING, AGREEMENT = 3, 0.1
MOST_PASSES, MOST_SECONDS = 20, 30.0


class WarmUp(NamedTuple):
    """How many passes were made, and whether the last of them took the same time."""

    passes: int
    stable: bool


def waiter(device: torch.device) -> Callable[[], object]:
    """A function that returns when the device has nothing left to do; the CPU never has."""
    if device.type == 'cpu':
        return lambda: None
    module = getattr(torch, device.type)
    return lambda: module.synchronize(device)


def timing_of(seconds: Sequence[float], batch: int) -> Timing:
    """Percentiles and throughput of passes over ``batch`` images each."""
    p50, p95 = np.percentile(seconds, [50, 95])
    total = sum(seconds)
    # A stage may be too short for the clock: no rate can be told then.
    rate = batch * len(seconds) / total if total > 0 else 0.0
    return Timing(*(round(float(value), 4) for value in (1000 * p50, 1000 * p95, rate)), len(seconds))


def seconds_of(function: Callable[[], object], wait: Callable[[], object]) -> float:
    """Duration of one call, with the device idle before and after it."""
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


def warm_up(measure: Callable[[], float], most_passes: int = MOST_PASSES, most_seconds: float = MOST_SECONDS) -> WarmUp:
    """Call until the last three durations lie within 10 % of the fastest of them, or a bound is reached.

    The first pass counts for neither: it may compile, choose algorithms or read from disk.

    Args:
        measure: Makes one pass and returns its seconds.
        most_passes: The bound, the first pass included.
        most_seconds: The other bound, on the passes after the first.
    """
    measure()
    seconds: list[float] = []
    while len(seconds) + 1 < most_passes and sum(seconds) < most_seconds:
        seconds.append(measure())
        last = seconds[-AGREEING:]
        if len(last) == AGREEING and max(last) <= (1 + AGREEMENT) * min(last):
            return WarmUp(len(seconds) + 1, True)
    return WarmUp(len(seconds) + 1, False)


class StageClock:
    """Adds up the seconds of named stages; time in a stage within another one counts for the inner one only.

    Args:
        wait: Returns when the device is idle; called at both ends of a stage.
    """

    def __init__(self, wait: Callable[[], object]) -> None:
        self._wait = wait
        self._inner: list[float] = []
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def reset(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._wait()
        self._inner.append(0.0)
        start = time.perf_counter()
        try:
            yield
            self._wait()
        finally:
            seconds = time.perf_counter() - start
            self.seconds[name] += seconds - self._inner.pop()
            if self._inner:
                self._inner[-1] += seconds
