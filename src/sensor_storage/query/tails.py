"""What a sensor said last, and what can be told of it from that."""

from dataclasses import dataclass
from itertools import islice
from math import isnan
from typing import Final, Literal

import numpy as np

from sensor_storage.model import SensorHour, Series
from sensor_storage.query.question import Interval
from sensor_storage.query.raw import RawReader
from sensor_storage.query.sources import Sources
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.readings import Readings, union

_TAIL_ROWS: Final = 1_000
_ALL_TIME: Final = Interval(-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True)
class LastReading:
    """The newest reading of a sensor by its own time, in µs since 1970."""

    series: Series
    timestamp: int
    value: float | None
    text: str | None
    unit: str | None
    quality: str | None


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """A sensor's readings in short; `usual_interval` in µs is the median between the newest ones.

    `readings` are those in hour files, `staged` those in staging; a reading may be in both for a while.
    """

    series: Series
    first: int | None
    last: LastReading | None
    readings: int
    staged: int
    kind: Literal["number", "text"]
    usual_interval: int | None


class Tails:
    """Looks at the newest hour of each sensor."""

    def __init__(self, catalog: CatalogView, sources: Sources, raw: RawReader) -> None:
        self._catalog = catalog
        self._sources = sources
        self._raw = raw

    def last(self, series: Series) -> LastReading | None:
        """The newest reading; None where nothing is stored."""
        tail = self._tail(series, 1)
        return _last(series, tail) if len(tail) else None

    def recent(self, series: Series, count: int) -> tuple[LastReading | None, list[tuple[int, float]]]:
        """The newest reading; and time and value of the numbers among the newest `count`, oldest first."""
        tail = self._tail(series, max(1, count))
        if not len(tail):
            return None, []
        pairs = zip(tail.timestamp.tolist(), tail.value.tolist(), strict=True)
        return _last(series, tail), [(time, value) for time, value in pairs if not isnan(value)]

    def facts(self, series: Series) -> SensorFacts:
        """What there is of a sensor."""
        tail = self._tail(series, _TAIL_ROWS)
        coverage = self._catalog.coverage(series)
        hours = self._sources.held.hours(series, _FIRST, _LAST)
        gaps = np.diff(np.unique(tail.timestamp))
        first = coverage.first_timestamp if coverage else None
        if hours and (first is None or min(hours) * _HOUR < first):
            early = self._head(SensorHour(series, min(hours)))
            first = early if first is None else min(first, early)
        return SensorFacts(
            series=series,
            first=first,
            last=_last(series, tail) if len(tail) else None,
            readings=coverage.rows if coverage else 0,
            staged=sum(hours.values()),
            kind="text" if len(tail) and np.isnan(tail.value).all() and tail.text is not None else "number",
            usual_interval=int(np.median(gaps)) if len(gaps) else None,
        )

    def _tail(self, series: Series, rows: int) -> Readings:
        """The newest rows of the newest hour.

        They are among the newest rows of each place that has some of the hour. A file whose last reading is older
        than enough staged ones is not opened.
        """
        staged_hour = max(self._sources.held.hours(series, _FIRST, _LAST), default=None)
        filed = self._catalog.newest(series)
        there = [hour for hour in (staged_hour, filed[0] if filed else None) if hour is not None]
        if not there:
            return Readings.empty()
        key = SensorHour(series, max(there))
        places = self._sources.held.rows(key) if staged_hour == key.hour else []
        parts = [file.rows(max(start, stop - rows), stop) for file, start, stop in places]
        behind = filed[1] if filed and filed[0] == key.hour else None
        fresh = union(parts) if parts else Readings.empty()
        if behind is None or int((fresh.timestamp > behind).sum()) < rows:
            file = self._sources.hour_file(key)
            if file:
                stop = file.footer().rows
                fresh = union([*parts, file.rows(max(0, stop - rows), stop)])
        return fresh.slice(max(0, len(fresh) - rows), len(fresh))

    def _head(self, key: SensorHour) -> int:
        (block,) = islice(self._raw.readings(key, _ALL_TIME), 1)
        return int(block.timestamp[0])


def _last(series: Series, tail: Readings) -> LastReading:
    value = float(tail.value[-1])
    text = tail.text[len(tail) - 1].as_py() if tail.text is not None else None
    unit, quality = (_decoded(column.values, int(column.codes[-1])) for column in (tail.unit, tail.quality))
    return LastReading(
        series, int(tail.timestamp[-1]), None if np.isnan(value) else value, text, unit, quality
    )


def _decoded(values: tuple[str, ...], code: int) -> str | None:
    return None if code < 0 else values[code]


_HOUR: Final = 3_600_000_000
_FIRST, _LAST = -(1 << 30), 1 << 30
