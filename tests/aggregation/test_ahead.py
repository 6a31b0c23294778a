"""Sensor-hours summarised together say, to the last bit, what each says alone."""

from collections.abc import Iterator
from itertools import groupby
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.aggregation import ahead
from sensor_storage.aggregation.ahead import Ahead
from sensor_storage.aggregation.raw_hours import minutes_and_hour
from sensor_storage.aggregation.samples import Samples
from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.alive import nothing
from support.windows import LIMIT, Row, rows_of_a_day, same_bits, samples_of


class _Raw:
    """A sensor-hour whose readings come in two blocks where there are many."""

    def __init__(self, key: SensorHour, rows: list[Row]) -> None:
        self.content = str(key)
        self._rows = rows

    def blocks(self) -> Iterator[Samples]:
        minutes = [list(mine) for _, mine in groupby(self._rows, lambda row: row.time // WIDTH["minute"])]
        if len(self._rows) <= 4:
            minutes = [self._rows]
        for rows in minutes:
            yield samples_of(rows)


class _Hours:
    """Some of them damaged, some not there."""

    def __init__(self, hours: dict[SensorHour, list[Row]]) -> None:
        self._hours = hours

    def open(self, key: SensorHour) -> _Raw:
        if key.hour % 7 == 3:
            raise Damaged(f"{key}: damaged")
        if key.hour % 7 == 5:
            raise FileNotFoundError(str(key))
        return _Raw(key, self._hours[key])


@settings(max_examples=200, deadline=None)
@given(st.lists(rows_of_a_day(), min_size=1, max_size=4), st.integers(1, 60), st.integers(1, 5))
def test_hours_summarised_together_say_what_each_says_alone(
    days: list[list[Row]], together: int, every: int
) -> None:
    hours = {
        SensorHour(Series("a", str(number)), hour): list(rows)
        for number, day in enumerate(days)
        for hour, rows in groupby(
            sorted(day, key=lambda row: row.time), lambda row: row.time // WIDTH["hour"]
        )
    }
    source, keys = _Hours(hours), sorted(hours)
    with patch.object(ahead, "_ROWS", together):
        made = Ahead(source, keys, nothing, limit=LIMIT)
        for key in keys[::every]:
            try:
                minutes, hour = minutes_and_hour(source.open(key), limit=LIMIT)
            except (Damaged, FileNotFoundError) as error:
                with pytest.raises(type(error)):
                    made.of(key)
                continue
            found = made.of(key)
            assert found.content == str(key)
            assert same_bits(found.minutes, minutes)
            assert same_bits(found.hour, hour)
