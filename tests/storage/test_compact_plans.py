"""When an hour file is written, and which staged files become a run."""

import numpy as np
import pytest

from sensor_storage.kafka.backpressure import Limits, pause_reason
from sensor_storage.kafka.progress import Positions
from sensor_storage.storage.compact import FAN_IN, MAX_RUN_ROWS, WritePolicy, plan_hours, plan_runs
from sensor_storage.storage.layout import StagedName
from support.trees import HOUR

START = HOUR * 3600.0


@pytest.mark.parametrize(
    ("now", "watermark", "since", "waiting", "held", "factor", "due"),
    [
        (59, 59, 0, 10, 0, 4, False),  # a first file waits for the flush interval
        (60, 60, 0, 10, 0, 4, True),
        (300, 300, 60, 39, 10, 4, False),  # an open hour's file waits for four times its rows
        (300, 300, 60, 40, 10, 4, True),
        (300, 300, 290, 400, 10, 4, False),  # and for the flush interval
        (3700, 3629, 100, 1, 3000, 4, False),  # stragglers of a closing hour have half an interval
        (3700, 3631, 100, 1, 3000, 4, True),
        (9000, 9000, 8950, 1, 3600, 4, False),  # late rows wait for company
        (9000, 9000, 8939, 1, 3600, 4, True),
        (5400, 1800, 100, 10, 3600, 4, False),  # by Kafka's time the hour is still open
        (5400, 1800, 3700, 10, 0, 4, False),  # one that is caught up waits for its close
        (5400, 3631, 3700, 10, 0, 4, True),
        (5430, 1800, 3600, 10, 0, 4, True),  # but not for ever
        (5430, 1800, 3600, 10, 3600, 4, True),
        (5430, 1800, 3600, 10, 0, 0, True),
        (9000, 1800, 7201, 10, 0, 4, False),
        (9000, 1800, 7200, 10, 0, 4, True),
        (300, 300, 0, 400, 0, 0, False),  # factor 0: only when the hour closes
        (3700, 3700, 0, 400, 0, 0, True),
    ],
)
def test_an_hour_file_is_written_when_it_is_due(  # noqa: PLR0917 - a table
    now: float, watermark: float, since: float, waiting: int, held: int, factor: float, due: bool
) -> None:
    plan = plan_hours(
        hours=np.array([HOUR]),
        waiting=np.array([waiting]),
        since_seconds=np.array([START + since]),
        held=np.array([held]),
        now=START + now,
        watermark=START + watermark,
        policy=WritePolicy(flush_interval_seconds=60, open_hour_rewrite_factor=factor),
    )
    assert plan.tolist() == [due]


def _names(count: int, level: int) -> list[tuple[StagedName, int]]:
    return [(StagedName(1000 + number, "i", number, level), 10) for number in range(count)]


def test_runs_are_made_of_files_of_one_level_the_oldest_first() -> None:
    assert plan_runs(_names(FAN_IN - 1, 0)) == []
    segments, runs = _names(FAN_IN + 3, 0), _names(FAN_IN - 1, 1)
    assert plan_runs([*segments, *runs]) == [[name for name, _ in segments[:FAN_IN]]]


def test_a_large_run_is_merged_no_further() -> None:
    large = [(name, MAX_RUN_ROWS) for name, _ in _names(FAN_IN, 3)]
    assert plan_runs(large) == []


@pytest.mark.parametrize(
    ("paused", "used", "staged", "full", "pauses"),
    [
        (False, 0.94, 0, False, False),
        (False, 0.95, 0, False, True),
        (True, 0.91, 0, False, True),
        (True, 0.89, 0, False, False),
        (False, 0.1, 100, False, True),
        (True, 0.1, 81, False, True),
        (True, 0.1, 79, False, False),
        (False, 0.1, 0, True, True),
    ],
)
def test_consumption_pauses_before_disk_or_staging_overflow_and_goes_on_by_itself(
    paused: bool, used: float, staged: int, full: bool, pauses: bool
) -> None:
    limits = Limits(disk_high=0.95, disk_low=0.90, staging_max_bytes=100, dead_letters_max_bytes=50)
    reason = pause_reason(
        limits, paused=paused, disk_used=used, staging_bytes=staged, dead_letter_bytes=49, disk_full=full
    )
    assert bool(reason) == pauses


@pytest.mark.parametrize(("taken", "pauses"), [(49, False), (50, True)])
def test_consumption_pauses_rather_than_drop_dead_letters(taken: int, pauses: bool) -> None:
    limits = Limits(disk_high=0.95, disk_low=0.90, staging_max_bytes=100, dead_letters_max_bytes=50)
    reason = pause_reason(
        limits, paused=False, disk_used=0.1, staging_bytes=0, dead_letter_bytes=taken, disk_full=False
    )
    assert ("DEAD_LETTERS_MAX_BYTES" in reason) == pauses


def test_the_watermark_is_the_least_kafka_time_of_the_partitions_that_lag() -> None:
    positions = Positions()
    assert positions.watermark(500.0) == 500.0
    positions.start(("t", 0), 0, 0)
    assert positions.watermark(500.0) == 0.0
    positions.read(("t", 0), 10, 100_000, epoch=3)
    assert positions.watermark(500.0) == 100.0
    positions.start(("t", 1), 0, 0)
    positions.reached_end(("t", 1), 7)
    assert positions.watermark(500.0) == 100.0
    positions.reached_end(("t", 0), 10)
    assert positions.watermark(500.0) == 500.0
    assert positions.positions() == {("t", 0): 10, ("t", 1): 7}
