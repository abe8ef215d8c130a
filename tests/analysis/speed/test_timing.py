from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmext.analysis.speed import timing
from mmext.analysis.speed.timing import StageClock, seconds_of, timing_of, waiter, warm_up


def test_percentiles_worked_out_by_hand() -> None:
    # Sorted 0.1 0.2 0.3 0.4: the median lies half-way between the middle ones, the 95th at place 0.95 x 3 = 2.85.
    found = timing_of([0.4, 0.1, 0.3, 0.2], batch=5)
    assert found.p50_ms == pytest.approx(250)
    assert found.p95_ms == pytest.approx(385)
    assert found.images_per_s == pytest.approx(20 / 1.0)
    assert found.repeats == 4


def test_percentiles_as_numpy_has_them() -> None:
    seconds = np.random.default_rng(0).random(37)
    found = timing_of(list(seconds), 1)
    assert [found.p50_ms, found.p95_ms] == pytest.approx([1000 * np.median(seconds), 1000 * np.quantile(seconds, 0.95)])


def test_one_repeat_and_one_too_short_for_the_clock() -> None:
    one = timing_of([0.5], 2)
    assert (one.p50_ms, one.p95_ms, one.images_per_s) == (500, 500, 4)
    assert timing_of([0.0], 2).images_per_s == 0


def test_warm_up_ends_when_three_passes_agree() -> None:
    durations = iter([9.0, 5.0, 1.0, 1.05, 1.08, 7.0])
    # The first does not count; 5, 1, 1.05 differ; 1, 1.05, 1.08 agree.
    assert warm_up(lambda: next(durations), most_seconds=100) == (5, True)


def test_warm_up_is_bounded_in_passes_and_in_seconds() -> None:
    swinging = iter([1.0, 2.0] * 20)
    assert warm_up(lambda: next(swinging), most_passes=6, most_seconds=1000) == (6, False)
    swinging = iter([1.0, 2.0] * 20)
    assert warm_up(lambda: next(swinging), most_passes=50, most_seconds=4.5) == (4, False)


def test_a_stage_within_another_counts_once(monkeypatch) -> None:
    now = [100.0]

    def work(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(timing, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    clock = StageClock(lambda: None)
    with clock.stage('network'):
        work(2)
        with clock.stage('postprocess'):
            work(5)
            with clock.stage('decode'):
                work(0.5)
        work(2)
        with clock.stage('postprocess'):
            work(1)
    with clock.stage('postprocess'):
        work(3)
    assert clock.seconds == {'decode': 0.5, 'preprocess': 0, 'network': 4, 'postprocess': 9}
    clock.reset()
    assert not any(clock.seconds.values())


def test_the_device_is_waited_for_at_both_ends() -> None:
    calls = []
    seconds_of(lambda: calls.append('work'), lambda: calls.append('wait'))
    assert calls == ['wait', 'work', 'wait']
    clock = StageClock(lambda: calls.append('wait'))
    with clock.stage('decode'):
        calls.append('work')
    assert calls[3:] == ['wait', 'work', 'wait']


def test_a_stage_that_fails_leaves_the_clock_usable() -> None:
    clock = StageClock(lambda: None)
    with pytest.raises(ValueError, match='no'), clock.stage('decode'):
        raise ValueError('no')
    with clock.stage('network'):
        pass
    assert not clock._inner


def test_the_cpu_never_has_to_be_waited_for() -> None:
    assert waiter(torch.device('cpu'))() is None
