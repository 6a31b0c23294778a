"""Minutes, hours and days of one sensor: from aggregate files where they hold, from readings where they don't yet.

An hour is **open** for an answer when rows of it are staged, or when its aggregates are due: then its windows are
made of its readings, as the aggregate stage would. So the hour that is half over is right up to now, and late
readings show before their aggregates are mended. A file that is not there, or can't be read, is made up for from
the level below it.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.aggregation.carry import Carry, carry_out, time_weighted
from sensor_storage.aggregation.files import SCHEMA, Parameters, read_aggregate, to_table
from sensor_storage.aggregation.join import join, mixed
from sensor_storage.aggregation.plan import reached_hours
from sensor_storage.aggregation.raw_hours import (
    BLOCK_ROWS,
    HourFileSamples,
    RawHour,
    hour_in_unit,
    minutes_and_hour,
    minutes_in_unit,
    newest_unit,
)
from sensor_storage.aggregation.samples import Judge, Samples, judge_by
from sensor_storage.aggregation.statistics import Statistics, blank
from sensor_storage.aggregation.windows import HOURS_PER_DAY, WIDTH, Level, period_of, period_start
from sensor_storage.errors import Damaged, NoColdStore
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.columns import ColumnCache
from sensor_storage.query.question import Interval, chosen
from sensor_storage.query.raw import RawReader
from sensor_storage.query.sources import Sources
from sensor_storage.query.watch import Watch
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.readings import Readings

_INNER: Final = {"sum_low", "inner_integral", "inner_covered_us"}
_COLUMNS: Final = [name for name in SCHEMA.names if name not in _INNER]
_HOURS_OF_FILE: Final[dict[Level, int]] = {"minute": 1, "hour": HOURS_PER_DAY}
_FILES_AT_ONCE: Final = 168
_DAYS_AT_ONCE: Final = 36_600
"""So many files, and days' windows, are held at once of one sensor."""


def window_schema(fields: Sequence[str] = ()) -> pa.Schema:
    """The columns of an answer of windows."""
    names: list[Any] = [pa.field("asset_id", pa.string()), pa.field("sensor_name", pa.string())]
    columns = chosen(_COLUMNS, fields, ["window_start"])
    return pa.schema([*names, *(SCHEMA.field(name) for name in columns)])


@dataclass(frozen=True, slots=True)
class Open:
    """What of a sensor's interval its aggregate files do not answer for: hours and days, counted since 1970.

    `carry_in` is the last good number that is known of the hours before the interval.
    """

    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    carry_in: Carry | None = None


@dataclass(frozen=True, slots=True)
class WindowQuestion:
    """The level, interval and time zone of an answer of windows."""

    level: Level
    interval: Interval
    zone: tzinfo = UTC

    @property
    def edges(self) -> NDArray[np.int64] | None:
        """The starts of the zone's days, from the one before the interval to the second behind; None for UTC."""
        if self.level != "day" or self.zone is UTC:
            return None
        first = _local(self.interval.start, self.zone).date() - timedelta(days=1)
        count = (self.interval.end - self.interval.start) // WIDTH["day"] + 5
        days = (first + timedelta(days=number) for number in range(count))
        starts = (datetime(day.year, day.month, day.day, tzinfo=self.zone) for day in days)
        found = np.array([int(start.timestamp()) * 1_000_000 for start in starts], np.int64)
        return np.unique(found)

    @property
    def whole(self) -> Interval:
        """The interval, widened to whole windows."""
        edges = self.edges
        if edges is None:
            width = WIDTH[self.level]
            return Interval(self.interval.start // width * width, -(-self.interval.end // width) * width)
        start = int(edges[np.searchsorted(edges, self.interval.start, side="right") - 1])
        return Interval(start, int(edges[np.searchsorted(edges, self.interval.end)]))


class WindowReader:
    """Reads windows; looks at the watch between two files."""

    def __init__(
        self,
        layout: Layout,
        sources: Sources,
        raw: RawReader,
        watch: Watch,
        *,
        parameters: Parameters,
        cache: ColumnCache,
        schema: pa.Schema | None = None,
    ) -> None:
        self._cache = cache
        self._schema = schema or window_schema()
        self._columns = self._schema.names[2:]
        self._layout = layout
        self._sources = sources
        self._raw = raw
        self._watch = watch
        self._limit = parameters.carry_limit_us
        self._judge: Judge = judge_by(
            parameters.quality_numbering, uncertain_is_good=parameters.uncertain_is_good
        )

    def tables(self, series: Series, asked: WindowQuestion, not_made: Open) -> Iterator[pa.Table]:
        """The windows that touch the interval and have readings, in order."""
        whole, edges, carry = asked.whole, asked.edges, not_made.carry_in
        one = _OneSensor(self, series, not_made)
        if asked.level != "day":
            yield from self._of_files(one, asked.level, whole)
            return
        for part in _parts(whole, edges):
            self._watch.look()
            with self._sources.looking():
                found = one.windows("day", part, edges)
            held = time_weighted(found, "day", [carry], limit=self._limit, edges=edges)
            carry = carry_out(found) or carry
            if len(found):
                yield self._named(series, to_table(found, held))

    def _of_files(self, one: "_OneSensor", level: Level, whole: Interval) -> Iterator[pa.Table]:
        """Windows as their files have them, and made where something of the file, or held into it, is open."""
        per_file, reach = _HOURS_OF_FILE[level], reached_hours(self._limit)
        open_ = {(hour + later) // per_file for hour in one.not_made.hours for later in range(reach + 1)}
        for as_filed, run in plan_runs(self._there(one, level, whole), open_):
            if as_filed:
                with self._sources.looking():
                    tables = [self._filed(one, level, period, whole) for period in run]
            else:
                tables = [self._made(one, level, range(run[0], run[-1] + 1), whole)]
            table = _within(pa.concat_tables(tables).combine_chunks(), whole)
            if table:
                yield self._named(one.series, table)

    def _there(self, one: "_OneSensor", level: Level, whole: Interval) -> list[int]:
        """The periods of the interval of which there may be windows: between them may be years of nothing."""
        if level == "minute":
            return one.hours_there(whole.hours)
        return one.days_there(_days_of(whole.hours))

    def _filed(self, one: "_OneSensor", level: Level, period: int, whole: Interval) -> pa.Table:
        """The windows of a period of which nothing is open; made from below if its file can't be read."""
        self._watch.look()
        path = self._path(one.series, level, period)
        try:
            return self._sources.read(path, lambda found: self._cache.read(found, self._columns))
        except Damaged:
            self._sources.warnings.made_up(path)
        except _NOT_THERE:
            pass
        return self._made(one, level, range(period, period + 1), whole)

    def _made(self, one: "_OneSensor", level: Level, periods: range, whole: Interval) -> pa.Table:
        """The windows of these periods in the interval, made from below."""
        per_file = _HOURS_OF_FILE[level]
        start = max(periods.start * per_file, whole.hours.start)
        hours = range(start, min(periods.stop * per_file, whole.hours.stop))
        found = one.windows(level, _interval(hours), None)
        carry = one.not_made.carry_in if start == whole.hours.start else self._carry_of(one, start)
        held = time_weighted(found, level, [carry], limit=self._limit)
        return to_table(found, held).select(self._columns)

    def _carry_of(self, one: "_OneSensor", hour: int) -> Carry | None:
        """The last good number before an hour, by the minutes of the hours before."""
        for before in range(hour - 1, hour - reached_hours(self._limit) - 1, -1):
            if carry := carry_out(one.minutes_of(before)):
                return carry
        return None

    def _path(self, series: Series, level: Level, period: int) -> Path:
        return self._layout.aggregate_file(series, level, period_start(level, period))

    def _named(self, series: Series, table: pa.Table) -> pa.Table:
        rows = table.num_rows
        names: list[Any] = [pa.repeat(pa.scalar(name, pa.string()), rows) for name in series]
        columns: list[Any] = [table[name] for name in self._columns]
        return pa.Table.from_arrays([*names, *columns], schema=self._schema)

    def carry_before(
        self, series: Series, hour: int, known: Carry | None, staged: Sequence[int]
    ) -> Carry | None:
        """The last good number before an hour: that of an open hour, else the one the catalog knows."""
        for before in sorted(staged, reverse=True):
            if before < hour and (known is None or (before + 1) * MICROSECONDS_PER_HOUR > known.timestamp):
                found = carry_out(self.minutes_of(SensorHour(series, before))[0])
                if found:
                    return found
        return known

    def minutes_of(self, key: SensorHour) -> tuple[Statistics, Statistics]:
        """The minutes and the row of an hour, from its readings."""
        return minutes_and_hour(self.readings_of(key), limit=self._limit)

    def readings_of(self, key: SensorHour) -> RawHour:
        """The readings of a sensor-hour, in whole minutes."""
        self._watch.look()
        if not self._sources.staged(key, _hour(key)):
            with suppress(FileNotFoundError, Damaged):  # left out, with a warning, by the reader below
                path = self._layout.hour_file(key)
                return self._sources.read(path, lambda found: HourFileSamples(found, key, self._judge))
        return _OpenHour(key, self._raw, self._judge)

    def file(self, series: Series, level: Level, period: int) -> Statistics | None:
        """The rows of an aggregate file; None unless it can be read."""
        self._watch.look()
        path = self._path(series, level, period)
        try:
            return self._sources.read(path, read_aggregate).statistics
        except Damaged:
            self._sources.warnings.made_up(path)
        except _NOT_THERE:
            pass
        return None

    def filed_hours(self, series: Series, hours: range, also: frozenset[int] = frozenset()) -> list[int]:
        """Which of these hours have an hour file of the sensor, or are among the others."""
        return sorted({*self._sources.hours(series, hours), *(hour for hour in also if hour in hours)})

    def hours(self, series: Series, hours: range) -> list[int]:
        """Which of these hours have a file of readings or of minutes of the sensor."""
        return self._sources.hours_of_windows(series, hours)

    def days(self, series: Series, days: range) -> list[int]:
        """Which of these days may have files of the sensor."""
        return self._sources.days(series, days)

    @property
    def limit(self) -> int:
        """For how many µs a reading holds."""
        return self._limit


@dataclass(slots=True)
class _OneSensor:
    """The windows of one sensor, level by level."""

    reader: WindowReader
    series: Series
    not_made: Open
    _looked: range = range(0)
    _days: frozenset[int] = frozenset()

    def windows(self, level: Level, part: Interval, edges: NDArray[np.int64] | None) -> Statistics:
        """Every window of the level in the part."""
        if level == "minute":
            return self.minutes(part.hours, part)
        if level == "hour":
            return self.hours(part.hours)
        if edges is not None:
            return self._zone_days(part, edges)
        return self.days(range(part.start // WIDTH["day"], part.end // WIDTH["day"]))

    def minutes(self, hours: range, part: Interval) -> Statistics:
        """The minutes of these hours that are in the part."""
        blocks = [found for hour in self.hours_there(hours) if len(found := self.minutes_of(hour))]
        whole = _concat(blocks)
        start, stop = np.searchsorted(whole.start, [part.start, part.end]).tolist()
        return whole.slice(start, stop)

    def hours(self, hours: range) -> Statistics:
        """The rows of these hours."""
        blocks = []
        for day in self.days_there(_days_of(hours)):
            first = day * HOURS_PER_DAY
            blocks += self._hours_of_day(
                range(max(first, hours.start), min(first + HOURS_PER_DAY, hours.stop))
            )
        return _concat(blocks)

    def days(self, days: range) -> Statistics:
        """The rows of these days."""
        blocks = []
        self.days_there(days)  # one look, for all of them
        for month, group in groupby(days, lambda day: period_of("day", day * WIDTH["day"])):
            blocks += self._days_of_month(month, list(group))
        return _concat(blocks)

    def minutes_of(self, hour: int) -> Statistics:
        """The minutes of an hour: those of its file, else made of its readings."""
        key = SensorHour(self.series, hour)
        if hour not in self.not_made.hours:
            found = self.reader.file(self.series, "minute", hour)
            if found is not None:
                return found
        try:
            return self.reader.minutes_of(key)[0]
        except FileNotFoundError:
            return _NONE

    def hours_there(self, hours: range) -> list[int]:
        """Which of these hours may have something of the sensor, in order."""
        known = self.reader.hours(self.series, hours)
        return sorted({*known, *(hour for hour in self.not_made.hours if hour in hours)})

    def days_there(self, days: range) -> list[int]:
        """Which of these days may have something of the sensor, in order; between them may be years of nothing."""
        if days and not (days[0] in self._looked and days[-1] in self._looked):
            known = self.reader.days(self.series, days)
            self._looked, self._days = days, frozenset({*known, *_open_days(self.not_made)})
        return sorted(day for day in self._days if day in days)

    def _hours_of_day(self, hours: range) -> list[Statistics]:
        file = self.reader.file(self.series, "hour", hours[0] // HOURS_PER_DAY)
        statistics = _NONE if file is None else file
        wanted = set(hours) & self.not_made.hours
        if file is None:
            wanted |= set(self.reader.hours(self.series, hours))
        numbers = statistics.start // WIDTH["hour"]
        kept = np.isin(numbers, [hour for hour in hours if hour not in wanted])
        blocks = [statistics.take(np.flatnonzero(kept))]
        blocks += [self._hour(hour) for hour in sorted(wanted)]
        whole = _concat(blocks)
        return [whole.take(np.argsort(whole.start, kind="stable"))] if len(blocks) > 1 else blocks

    def _hour(self, hour: int) -> Statistics:
        """The row of an hour that is not in the file of hours."""
        if hour not in self.not_made.hours:
            found = self.reader.file(self.series, "minute", hour)
            if found is not None and not mixed(found, "hour").any():
                return join(found, "hour", limit=self.reader.limit)
        try:
            return self.reader.minutes_of(SensorHour(self.series, hour))[1]
        except FileNotFoundError:
            return _NONE

    def _days_of_month(self, month: int, days: Sequence[int]) -> list[Statistics]:
        file = self.reader.file(self.series, "day", month)
        statistics = _NONE if file is None else file
        if file is None:
            wanted = set(self.days_there(range(days[0], days[-1] + 1)))
        else:
            wanted = set(days) & _open_days(self.not_made)
        kept = np.isin(statistics.start // WIDTH["day"], [day for day in days if day not in wanted])
        blocks = [statistics.take(np.flatnonzero(kept))]
        blocks += [
            self._joined(self.hours(range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)), None)
            for day in sorted(wanted)
        ]
        whole = _concat(blocks)
        return [whole.take(np.argsort(whole.start, kind="stable"))] if len(blocks) > 1 else blocks

    def _zone_days(self, part: Interval, edges: NDArray[np.int64]) -> Statistics:
        """Days of another zone than UTC, from hours, or from minutes where a day does not begin with an hour."""
        if not (edges % WIDTH["hour"]).any():
            return self._joined(self.hours(part.hours), edges)
        minutes = self.minutes(part.hours, part)
        starts = np.searchsorted(edges, minutes.start, "right")
        blocks = []
        for day in np.unique(starts).tolist():
            mine = minutes.take(np.flatnonzero(starts == day))
            if mixed(mine, "day", edges).any():
                mine = self._in_unit(Interval(int(edges[day - 1]), int(edges[day])), newest_unit(mine))
            blocks.append(join(mine, "day", limit=self.reader.limit, edges=edges, below="minute"))
        return _concat(blocks)

    def _in_unit(self, day: Interval, unit: str | None) -> Statistics:
        """The minutes of a day of one unit's readings."""
        blocks = []
        for hour in self.reader.filed_hours(self.series, day.hours, also=self.not_made.hours):
            raw = self.reader.readings_of(SensorHour(self.series, hour))
            blocks.append(minutes_in_unit(raw, unit, limit=self.reader.limit))
        whole = _concat(blocks)
        start, stop = np.searchsorted(whole.start, [day.start, day.end]).tolist()
        return whole.slice(start, stop)

    def _joined(self, hours: Statistics, edges: NDArray[np.int64] | None) -> Statistics:
        """Days from hours. In a day of several units only the newest one's readings count."""
        if not len(hours):
            return hours
        if not mixed(hours, "day", edges).any():
            return join(hours, "day", limit=self.reader.limit, edges=edges)
        blocks = []
        starts = (
            hours.start // WIDTH["day"] if edges is None else np.searchsorted(edges, hours.start, "right")
        )
        for day in np.unique(starts).tolist():
            mine = hours.take(np.flatnonzero(starts == day))
            if mixed(mine, "day", edges).any():
                unit = newest_unit(mine)
                numbers = (mine.start // WIDTH["hour"]).tolist()
                keys = [SensorHour(self.series, number) for number in numbers]
                rows = [
                    hour_in_unit(self.reader.readings_of(key), unit, limit=self.reader.limit) for key in keys
                ]
                mine = _concat(rows)
            blocks.append(join(mine, "day", limit=self.reader.limit, edges=edges))
        return _concat(blocks)


class _OpenHour:
    """The readings of a sensor-hour, staged ones and those in its file, in whole minutes."""

    content = ""

    def __init__(self, key: SensorHour, raw: RawReader, judge: Judge) -> None:
        self._key, self._raw, self._judge = key, raw, judge

    def blocks(self) -> Iterator[Samples]:
        """All readings in canonical order, whole minutes at a time."""
        held = Readings.empty()
        for rows in self._raw.readings(self._key, _hour(self._key)):
            held = Readings.concat([held, rows]) if len(held) else rows
            cut = int(
                np.searchsorted(held.timestamp, held.timestamp[-1] // WIDTH["minute"] * WIDTH["minute"])
            )
            if cut >= BLOCK_ROWS:
                yield Samples.of(held.slice(0, cut), self._judge)
                held = held.slice(cut, len(held))
        yield Samples.of(held, self._judge)


def _hour(key: SensorHour) -> Interval:
    return _interval(range(key.hour, key.hour + 1))


def _interval(hours: range) -> Interval:
    return Interval(hours.start * MICROSECONDS_PER_HOUR, hours.stop * MICROSECONDS_PER_HOUR)


def plan_runs(periods: Sequence[int], open_: AbstractSet[int]) -> Iterator[tuple[bool, list[int]]]:
    """The periods in runs of a bounded number of files: are these good, or is something of each open?"""
    for as_filed, group in groupby(periods, lambda period: period not in open_):
        run = list(group)
        for start in range(0, len(run), _FILES_AT_ONCE):
            yield as_filed, run[start : start + _FILES_AT_ONCE]


def _days_of(hours: range) -> range:
    return range(hours.start // HOURS_PER_DAY, -(-hours.stop // HOURS_PER_DAY))


def _open_days(not_made: Open) -> set[int]:
    return {hour // HOURS_PER_DAY for hour in not_made.hours} | not_made.days


def _within(table: pa.Table, whole: Interval) -> pa.Table:
    starts: Any = table["window_start"].cast(pa.int64())
    first, stop = np.searchsorted(starts.to_numpy(), [whole.start, whole.end]).tolist()
    return table.slice(first, stop - first)


def _parts(whole: Interval, edges: NDArray[np.int64] | None) -> Iterator[Interval]:
    """The interval in parts of whole windows, so that no more than one part's windows are held."""
    if edges is not None or whole.end <= whole.start:
        yield whole
        return
    step = _DAYS_AT_ONCE * WIDTH["day"]
    start = whole.start
    while start < whole.end:
        end = min(whole.end, (start // step + 1) * step)
        yield Interval(start, end)
        start = end


def _concat(blocks: Sequence[Statistics]) -> Statistics:
    return Statistics.concat(blocks) if blocks else _NONE


def _local(instant: int, zone: tzinfo) -> datetime:
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant)).astimezone(zone)


_NOT_THERE: Final = (FileNotFoundError, NoColdStore)
"""An aggregate file that answers like this is made up for from below."""

_NONE: Final = blank(np.zeros(0, np.int64), np.zeros(0, np.int64))
