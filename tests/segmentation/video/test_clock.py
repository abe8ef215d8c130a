from fractions import Fraction

import pytest

from mmext.segmentation.video.clock import OutputClock, parse_rate

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ('text', 'rate'),
    [
        ('10', 10),
        ('12.5', Fraction(25, 2)),
        ('30000/1001', NTSC),
        ('29.97', NTSC),
        ('23.976', Fraction(24000, 1001)),
        ('59.94', Fraction(60000, 1001)),
        ('30', 30),
        ('29.9', Fraction(299, 10)),
        ('.5', Fraction(1, 2)),
    ],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize('text', ['', 'fast', '-3', '0', '0/5', '5/0', 'nan', 'inf', '1e3', '1/2/3'])
def test_what_is_no_rate(text):
    with pytest.raises(ValueError, match='rate'):
        parse_rate(text)


def ticks(clock: OutputClock, seconds: list) -> list[int]:
    return [clock.next_tick(Fraction(second)) for second in seconds]


def test_a_regular_video_keeps_its_rate_exactly():
    clock = OutputClock(NTSC, constant=True)
    # Milliseconds, as Matroska stores them.
    assert ticks(clock, [Fraction(round(1000 * k / NTSC), 1000) for k in range(100)]) == list(range(100))
    assert (clock.rate, clock.time_base, clock.duration) == (NTSC, 1 / NTSC, 1)


def test_every_third_frame_lasts_three_times_as_long():
    clock = OutputClock(Fraction(25), constant=True, every=3)
    assert ticks(clock, [Fraction(k, 25) for k in range(0, 12, 3)]) == [0, 3, 6, 9]
    assert (clock.rate, clock.duration) == (Fraction(25, 3), 3)


def test_gaps_stay():
    assert ticks(OutputClock(Fraction(10), constant=True), [0, '0.1', '0.5', '0.6']) == [0, 1, 5, 6]


def test_irregular_times_stay():
    clock = OutputClock(Fraction(10), constant=False)
    seconds = [0, Fraction(1, 30), Fraction(1, 7), 2]
    assert [float(tick * clock.time_base) for tick in ticks(clock, seconds)] == pytest.approx(seconds, abs=1e-5)


def test_a_rate_of_its_own_counts_frames():
    clock = OutputClock(Fraction(25), True, 3, Fraction(10))
    assert ticks(clock, [0, '0.12', 7]) == [0, 1, 2]
    assert (clock.rate, clock.time_base) == (10, Fraction(1, 10))


def test_ticks_always_rise_and_go_on():
    clock = OutputClock(Fraction(10), constant=True)
    assert ticks(clock, ['0.3', '0.3', '0.1']) == [3, 4, 5]
    other = OutputClock(Fraction(10), constant=True)
    other.tick = clock.tick
    assert ticks(other, ['0.6', '0.8']) == [6, 8]
