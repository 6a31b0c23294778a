"""The publisher: paced by the clock it is given, and exact about what the broker has."""

from collections.abc import Callable, Sequence

import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.demo.messages import Faults, MessageSource, PlantMessage
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import KafkaUnreachable, Pace, Publisher, simulate

NOW = 1_704_067_260.0
START = int(NOW) * SECOND
NOBODY = "127.0.0.1:1"
MOCK = {"test.mock.num.brokers": 1}


class Basket:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[PlantMessage] = []

    def publish(self, messages: Sequence[PlantMessage], stopped: Callable[[], bool]) -> None:
        assert not stopped()
        self.messages += messages


def run(pace: Pace, *, seconds: float = 1e9, faults: Faults | None = None) -> tuple[Basket, ManualClock, int]:
    """Simulate two machines with three sensors until the clock has moved on by `seconds`."""
    basket, clock = Basket(), ManualClock(NOW)
    source = MessageSource(Plant(2, 3, text_share=0), faults=faults)
    reached = simulate(
        source, basket, pace, clock, wait=clock.advance, stopped=lambda: clock.now() >= NOW + seconds
    )
    return basket, clock, reached


def test_a_live_plant_gives_each_sensor_one_reading_a_second() -> None:
    basket, clock, _ = run(Pace(START, START + 10 * SECOND))
    assert len(basket.messages) == 2 * 3 * 10
    assert clock.now() - NOW == pytest.approx(10, abs=0.3)


def test_event_time_runs_faster_when_asked() -> None:
    basket, clock, _ = run(Pace(START - 600 * SECOND, START, speed=60))
    assert len(basket.messages) == pytest.approx(2 * 3 * 600, rel=0.2)
    assert clock.now() - NOW == pytest.approx(10, abs=0.3)


def test_as_fast_as_possible_does_not_wait() -> None:
    _, clock, reached = run(Pace(START - 600 * SECOND, START, speed=None))
    assert clock.now() == NOW
    assert reached == START


def test_a_backlog_goes_over_into_live_readings() -> None:
    _, _, reached = run(Pace(START - 600 * SECOND, speed=None), seconds=5)
    assert reached == pytest.approx(START + 5 * SECOND, abs=0.2 * SECOND)


def test_a_number_of_messages_is_kept_to_the_message() -> None:
    basket, _, _ = run(
        Pace(START - 600 * SECOND, messages=101, speed=None), faults=Faults(duplicate=0.1, malformed=0.1)
    )
    assert len(basket.messages) == 101


def test_what_was_held_back_comes_at_the_end() -> None:
    plain, _, _ = run(Pace(START - 60 * SECOND, START, speed=None))
    late, _, _ = run(Pace(START - 60 * SECOND, START, speed=None), faults=Faults(late=0.5))
    assert sorted(m.value or b"" for m in late.messages) == sorted(m.value or b"" for m in plain.messages)


def messages(count: int) -> list[PlantMessage]:
    kinds = (
        PlantMessage("sensor-data-a", b"press-1", b'{"value":1}', 1, "narrow"),
        PlantMessage("sensor-data-b", b"press-2", b'{"values":{}}', 7, "batch", "late"),
        PlantMessage("sensor-data-a", b"press-3", b"{}", 0, "dead-letter", "malformed"),
        PlantMessage("sensor-data-a", b"press-3", None, 0, "empty", "malformed"),
    )
    return [kinds[i % len(kinds)] for i in range(count)]


@pytest.mark.parametrize("room", [100_000, 50])
def test_every_acknowledged_message_counts_once_also_when_the_queue_is_full(room: int) -> None:
    config = MOCK | {"queue.buffering.max.messages": room, "batch.num.messages": 20, "linger.ms": 0}
    publisher = Publisher("", config=config)
    publisher.publish(messages(400))
    report = publisher.flush()
    assert (report.messages_acknowledged, report.readings_acknowledged) == (400, 100 + 700)
    assert (report.dead_letters_expected, report.empty_messages_expected) == (100, 100)
    assert (report.messages_failed, report.readings_failed) == (0, 0)
    assert report.by_kind["batch"] == {"messages": 100, "readings": 700}
    assert report.by_fault == {"none": 100, "late": 100, "malformed": 200}
    for count, last in report.partitions.values():
        assert last == count - 1
    assert sum(count for count, _ in report.partitions.values()) == 400


def test_what_nobody_acknowledged_is_failed_and_not_counted() -> None:
    publisher = Publisher(NOBODY)
    publisher.publish(messages(8))
    report = publisher.flush(timeout_seconds=0.01)
    assert (report.messages_acknowledged, report.readings_acknowledged) == (0, 0)
    assert (report.messages_failed, report.readings_failed) == (8, 2 + 14)
    assert report.last_error


def test_a_wish_to_stop_ends_the_wait_for_room() -> None:
    publisher = Publisher(NOBODY, config={"queue.buffering.max.messages": 4})
    publisher.publish(messages(100), lambda: True)
    assert 0 < publisher.flush(timeout_seconds=0.01).messages_failed <= 8


def test_a_broker_that_is_not_there_is_an_error_with_a_way_out() -> None:
    with pytest.raises(KafkaUnreachable) as caught:
        Publisher(NOBODY).ensure_topics(["sensor-data-a"], 4, timeout_seconds=0.1)
    assert caught.value.exit_code == 4
    assert NOBODY in caught.value.message
    assert "sensor-storage broker" in caught.value.hint
