"""Which hours are over while Kafka lags."""

from sensor_storage.clock import ManualClock
from sensor_storage.storage.settled import Settled


def test_live_the_watermark_counts_as_it_is() -> None:
    clock = ManualClock()
    settled = Settled(clock, 60)
    for _ in range(200):
        clock.advance(1)
        assert settled.take(clock.now() - 3) == clock.now() - 3


def test_while_it_lags_what_it_was_a_while_ago_counts_and_the_end_of_the_lag_ends_that() -> None:
    clock = ManualClock()
    settled, first = Settled(clock, 60), clock.now() - 86_400
    for second in range(1, 200):
        clock.advance(1)
        assert settled.take(first + 20 * second) == first + 20 * max(1, second - 60)
    assert settled.take(clock.now()) == clock.now()


def test_looks_that_are_far_apart_or_many_at_once_give_an_older_watermark_and_none_that_is_newer() -> None:
    clock = ManualClock()
    settled = Settled(clock, 60)
    assert settled.take(1000) == 1000
    clock.advance(59)
    assert settled.take(2000) == 1000
    clock.advance(59)
    assert settled.take(3000) == 1000
    clock.advance(1)
    assert [settled.take(3000 + n) for n in range(1000)] == [2000] * 1000
    clock.advance(1000)
    assert settled.take(9000) == 3000


def test_a_watermark_that_goes_back_counts_at_once() -> None:
    clock = ManualClock()
    settled = Settled(clock, 60)
    settled.take(5000)
    clock.advance(70)
    assert settled.take(100) == 100


def test_while_consumption_pauses_the_clock_counts() -> None:
    clock = ManualClock()
    settled, watermark = Settled(clock, 60), clock.now() - 86_400
    assert settled.take(watermark) == watermark
    assert settled.take(watermark, paused=True) == clock.now()
    assert settled.take(watermark) == watermark
