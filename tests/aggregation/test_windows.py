from datetime import UTC, datetime

import numpy as np
import pytest

from sensor_storage.aggregation.windows import (
    LEVELS,
    WIDTH,
    Level,
    period_bounds,
    period_of,
    period_start,
    window_starts,
)


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("level", "start", "last"),
    [
        ("minute", "2024-02-29T23:00", "2024-02-29T23:59"),
        ("hour", "2024-02-29T00:00", "2024-02-29T23:00"),
        ("day", "2024-02-01T00:00", "2024-02-29T00:00"),
        ("day", "1969-12-01T00:00", "1969-12-31T00:00"),
        ("minute", "1969-12-31T23:00", "1969-12-31T23:59"),
    ],
)
def test_a_file_holds_the_windows_of_its_period(level: Level, start: str, last: str) -> None:
    period = period_of(level, _us(start))
    begin, end = period_bounds(level, period)
    assert begin == _us(start)
    assert end == _us(last) + WIDTH[level]
    assert period_start(level, period) == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert period_of(level, end - 1) == period
    assert period_of(level, end) == period + 1


def test_windows_are_half_open_before_and_after_1970() -> None:
    for level in LEVELS:
        width = WIDTH[level]
        instants = np.array([-width - 1, -width, -1, 0, width - 1, width])
        assert (window_starts(instants, level) // width).tolist() == [-2, -1, -1, 0, 0, 1]
