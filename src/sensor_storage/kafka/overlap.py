"""Which times Kafka covers, for an import that is to fill only what Kafka has not.

Of one sensor, Kafka covers a moment at which it has a reading, and the time between two readings that are no
further apart than the **reach**. Readings of imports cover nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings

_HELD_HOURS: Final = 8192
"""An import goes through time with all its sensors, or through the sensors one by one."""


class Stretches(NamedTuple):
    """Covered time in µs, both ends included; in order, and further apart than the reach."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def cover(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the times are covered."""
        if not len(self.first):
            return np.zeros(len(times), np.bool_)
        place = np.searchsorted(self.first, times, side="right") - 1
        inside: NDArray[np.bool_] = (place >= 0) & (times <= self.last[place])
        return inside


def joined(parts: list[Stretches], reach: int) -> Stretches:
    """One for all, which must be in order and not overlap."""
    none = np.empty(0, np.int64)
    first = np.concatenate([none, *(part.first for part in parts)])
    last = np.concatenate([none, *(part.last for part in parts)])
    apart = first[1:] - last[:-1] > reach
    return Stretches(first[np.append(True, apart)[: len(first)]], last[np.append(apart, True)[: len(last)]])


class KafkaTimes:
    """What is in hour files, here or in the cold store, as it was when the sensor-hour was first asked for."""

    def __init__(self, layout: Layout, find: Callable[[Path], Path], reach_us: int) -> None:
        self._layout = layout
        self._find = find
        self._reach = reach_us
        self._hour = lru_cache(_HELD_HOURS)(self._read)

    def cover(self, rows: Readings) -> NDArray[np.bool_]:
        """Which of the readings, in canonical order, are of a time that Kafka covers."""
        covered = np.zeros(len(rows), np.bool_)
        for start, stop in rows.sensor_hour_bounds():
            times = rows.timestamp[start:stop]
            low = (int(times[0]) - self._reach) // MICROSECONDS_PER_HOUR
            high = (int(times[-1]) + self._reach) // MICROSECONDS_PER_HOUR
            hours = [self._hour(rows.series[start], hour) for hour in range(low, high + 1)]
            covered[start:stop] = joined(hours, self._reach).cover(times)
        return covered

    def _read(self, series: Series, hour: int) -> Stretches:
        parts = []
        try:
            file = CheckedFile(self._find(self._layout.hour_file(SensorHour(series, hour))))
        except FileNotFoundError:
            return joined([], self._reach)
        for group in file.groups():
            rows = file.rows(group.start, group.stop)
            kafka = np.array([not source.is_import for source in rows.source.values], np.bool_)
            times = rows.timestamp[rows.source.lookup(kafka, np.bool_(False))]
            parts.append(joined([Stretches(times, times)], self._reach))
        return joined(parts, self._reach)
