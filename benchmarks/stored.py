"""A directory to ask questions of: a day of many sensors at 1 Hz and a year of one, with all aggregates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aggregate import Service
from steady import _START

from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.model import Series, Source
from sensor_storage.query.question import Interval
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn

DAY_SECONDS = 86_400
SLOW = Series("boiler-1", "pressure")
"""The sensor of the year: a reading every five minutes."""

_EVERY_SECONDS = 300
_YEAR_DAYS = 365
_HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Stored:
    """The directory, the sensors of the day, and both stretches of time."""

    layout: Layout
    sensors: tuple[Series, ...]
    day: Interval
    year: Interval


def store(root: Path, sensors: int, hours: int = _HOURS_PER_DAY) -> Stored:
    """Make it by the service's own stages; fewer hours, and a month for the year, only try it out."""
    days = _YEAR_DAYS if hours == _HOURS_PER_DAY else 30
    service = Service(root, sensors, AggregatePolicy())
    start = _START // DAY_SECONDS * DAY_SECONDS + DAY_SECONDS
    for hour in range(hours):
        for part in range(6):
            service.stage(start - _START + hour * 3600 + part * 600, 600)
        service.compact(start + (hour + 1) * 3600.0, flush=True)
    end = start + DAY_SECONDS
    service.put(_days_until(end, days), end)
    service.compact(end, flush=True)
    service.aggregate(end + DAY_SECONDS, flush=True)
    service.catalog.close()
    names = (Series(f"press-{number // 10}", f"sensor_{number % 10}") for number in range(sensors))
    return Stored(
        service.layout, tuple(names), _interval(start, end), _interval(end - days * DAY_SECONDS, end)
    )


def _interval(start: int, end: int) -> Interval:
    return Interval(start * 1_000_000, end * 1_000_000)


def _days_until(end: int, days: int) -> Readings:
    count = days * DAY_SECONDS // _EVERY_SECONDS
    seconds = end - _EVERY_SECONDS * np.arange(count, 0, -1)
    random = np.random.default_rng(2)
    return Readings(
        series=SeriesColumn.of(Coded.constant(SLOW, count)),
        timestamp=seconds * 1_000_000,
        value=np.round(4 + random.normal(0, 0.01, count).cumsum(), 2),
        text=None,
        unit=Coded.constant("bar", count),
        quality=Coded.constant("good", count),
        source=Coded.constant(Source("sensor-data-b", "uW3xPpUrSYyZ4lKMhr4RQA", 0, 0), count),
        offset=np.arange(count),
        index=np.zeros(count, np.int32),
        revision=np.ones(count, np.int16),
    )
