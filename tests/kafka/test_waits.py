"""How long messages took from Kafka until they were durable, as the metric counts it."""

import numpy as np
import pytest

from sensor_storage.kafka.waits import Waits
from sensor_storage.metrics import LATENCY

NOW = 1_704_067_200.0


def test_each_message_is_counted_once_below_the_bound_it_kept() -> None:
    waits = Waits()
    milliseconds = np.array([100, 500, 501, 2_000, 3_600_000, 90_000_000])
    waits.add(int(NOW) * 1000 - milliseconds, NOW)
    by_bound = dict(zip((*LATENCY.bounds, None), waits.counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {
        0.5: 2,
        1: 1,
        2: 1,
        3600: 1,
        None: 1,
    }
    assert waits.seconds == pytest.approx(93_603.101)


def test_a_message_of_a_clock_ahead_took_no_time_and_one_without_a_time_says_nothing() -> None:
    waits = Waits()
    waits.add(np.array([(NOW + 60) * 1000, -1], np.int64), NOW)
    assert sum(waits.counts) == waits.counts[0] == 1
    assert waits.seconds == 0
