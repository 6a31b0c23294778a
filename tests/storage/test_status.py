"""What the workers' words say together."""

from typing import Any

import pytest

from sensor_storage.storage.status import FRESH_SECONDS, consumption_pauses, least_watermark
from support.statuses import NOW, ingest_status


@pytest.mark.parametrize(
    ("workers", "pauses"),
    [
        ([], False),
        ([{}, {}], False),
        ([{}, {"paused": "the data disk is 96% full"}], True),
        ([{"paused": "the data disk is full", "time": NOW - FRESH_SECONDS}], False),  # its last word
        ([{"paused": "the data disk is full", "ended": True}], False),
    ],
)
def test_consumption_pauses_when_a_living_worker_says_so(workers: list[dict[str, Any]], pauses: bool) -> None:
    assert consumption_pauses([ingest_status(**one) for one in workers], NOW) is pauses


@pytest.mark.parametrize(
    ("workers", "mark"),
    [
        ([], None),
        ([{"watermark": 20.0}, {"watermark": 10.0}], 10.0),
        ([{"watermark": 20.0}, {"watermark": 0.0}], 0.0),  # one of its partitions has told no time yet
        ([{"watermark": 20.0}, {"watermark": 0.0, "partitions": ()}], 20.0),  # the group has none for it
        ([{"watermark": 20.0}, {"watermark": 10.0, "partitions": ()}], 10.0),  # it has lost them
        ([{"watermark": 0.0, "partitions": ()}], None),
    ],
)
def test_kafkas_time_is_the_least_of_those_that_read(
    workers: list[dict[str, Any]], mark: float | None
) -> None:
    assert least_watermark(ingest_status(**one) for one in workers) == mark
