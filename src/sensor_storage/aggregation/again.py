"""Aggregates made a second time from their sources and compared: by what right each file is what it is.

`SeenHours` takes in the readings of hour files while somebody else reads them, many sensor-hours at a time, and
holds their minutes against the files. What it has not seen `Again` reads itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sensor_storage.aggregation.carry import carry_out, time_weighted
from sensor_storage.aggregation.files import (
    AggregateFooter,
    encode_aggregate,
    footer_of,
    read_aggregate,
    to_table,
)
from sensor_storage.aggregation.join import join, mixed
from sensor_storage.aggregation.look import Found, SeriesFiles
from sensor_storage.aggregation.raw_hours import HourSource, day_of, minutes_and_hour
from sensor_storage.aggregation.rows import Row, with_rows
from sensor_storage.aggregation.samples import Judge, Samples
from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.aggregation.statistics import Statistics, of_part
from sensor_storage.aggregation.summarise import summarise
from sensor_storage.aggregation.windows import Level, period_start
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import Spanned
from sensor_storage.storage.digests import stored_digest
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings

AGAIN = "run `sensor-storage rebuild aggregates`"
_BATCH_ROWS = 1 << 16
_MOST_HOURS = 200_000
"""Of one asset; beyond that sensor-hours are read a second time rather than remembered."""


class SeenHour(NamedTuple):
    """A sensor-hour that was seen: of which readings, the file of minutes they make, and the hour's row.

    `minutes` is the digest of a file with exactly those minutes; empty where the file there has others.
    """

    content: str
    minutes: str
    rows: Statistics
    row: int


class SeenHours:
    """What the sensor-hours of an asset make, found while their readings pass by."""

    def __init__(self, layout: Layout, judge: Judge, limit: int) -> None:
        self._layout = layout
        self._judge = judge
        self._limit = limit
        self._waiting: list[tuple[SensorHour, str, Samples]] = []
        self._rows = 0
        self._hours: dict[SensorHour, SeenHour] = {}
        self.files: dict[Path, Found] = {}
        """The files of minutes that were read for it."""

    def see(self, key: SensorHour, content: str, readings: Readings) -> None:
        """All readings of a sensor-hour's file, in canonical order, and the digest of their set."""
        if len(self._hours) + len(self._waiting) >= _MOST_HOURS:
            return
        self._waiting.append((key, content, Samples.of(readings, self._judge)))
        self._rows += len(readings)
        if self._rows >= _BATCH_ROWS:
            self._summarise()

    def find(self, key: SensorHour, content: str) -> SeenHour | None:
        """The sensor-hour, if it was seen with these readings."""
        found = self._hours.get(key)
        return found if found and found.content == content else None

    def settle(self) -> None:
        """Hold what has been seen against the files."""
        if self._waiting:
            self._summarise()

    def forget(self) -> None:
        """Begin with another asset."""
        self._waiting.clear()
        self._hours.clear()
        self.files.clear()
        self._rows = 0

    def _summarise(self) -> None:
        """The minutes and hours of what waits, at once: by the sensor-hour it would take five times as long."""
        keys = [key for key, _, _ in self._waiting]
        minutes = summarise(Samples.concat([one for _, _, one in self._waiting]), "minute", limit=self._limit)
        several = mixed(
            minutes, "hour"
        )  # of several units: made of the newest one's readings, which Again does
        hours = join(minutes, "hour", limit=self._limit)
        for number, digest in self._same_minutes(keys, minutes) if len(hours) == len(keys) else ():
            if not several[number]:
                key, content, _ = self._waiting[number]
                self._hours[key] = SeenHour(content, digest, hours, number)
        self._waiting.clear()
        self._rows = 0

    def _same_minutes(self, keys: Sequence[SensorHour], minutes: Statistics) -> Iterator[tuple[int, str]]:
        """For each sensor-hour with a sound file of minutes its digest, or nothing where it has other rows."""
        files = [self._minutes_file(key) for key in keys]
        carried = [file[0].footer.parts[0].carry_in if file else None for file in files]
        expected = to_table(minutes, time_weighted(minutes, "minute", carried, limit=self._limit))
        bounds = np.searchsorted(minutes.part, np.arange(len(keys) + 1)).tolist()
        tables = [file[1] for file in files if file]
        all_equal = len(tables) == len(keys) and bool(pa.concat_tables(tables).equals(expected))
        for number, file in enumerate(files):
            if file is None:
                continue
            (found, table), start, stop = file, bounds[number], bounds[number + 1]
            same = all_equal or bool(table.equals(expected.slice(start, stop - start)))
            same = same and table.num_rows == stop - start and _footed(found.footer, minutes, start, stop)
            yield number, found.digest if same else ""

    def _minutes_file(self, key: SensorHour) -> tuple[Found, pa.Table] | None:
        """A sensor-hour's file of minutes, if it is there and sound; what is wrong with it is told elsewhere."""
        path = self._layout.aggregate_file(key.series, "minute", key.start)
        try:
            file = CheckedFile(path, coded=False)
            footer = footer_of(file)
            table = file.parquet.read(use_threads=False)
        except (FileNotFoundError, Damaged, pa.ArrowException):
            return None
        if (footer.series, footer.level, footer.period, len(footer.parts)) != (
            key.series,
            "minute",
            key.hour,
            1,
        ):
            return None
        self.files[path] = Found(footer, file.digest, file.size_bytes)
        return self.files[path], table


def _footed(footer: AggregateFooter, minutes: Statistics, start: int, stop: int) -> bool:
    """Does the footer say of these rows what it should?"""
    mine = minutes.slice(start, stop)
    return footer.rows == stop - start and footer.carry_out == carry_out(mine) and footer.tails == mine.tails


class Again:
    """The aggregates of one sensor made again from their sources and compared."""

    def __init__(
        self, layout: Layout, source: HourSource, policy: AggregatePolicy, series: Series, seen: SeenHours
    ) -> None:
        self.count = 0
        self._layout = layout
        self._source = source
        self._seen = seen
        self._parameters = policy.parameters
        self._limit = policy.parameters.carry_limit_us
        self._series = series

    def differences(
        self, files: SeriesFiles, skipped: set[Spanned], contents: Mapping[int, str]
    ) -> Iterator[Finding]:
        """Files that are not what their sources make; those with a row that is due are left out.

        `contents` are the digests of the hour files' readings, by hour.
        """
        for number, found in files.files["minute"].items():
            if number in contents and Spanned(self._series, "hour", number) not in skipped:
                digest = self._minutes(number, found, contents[number])
                yield from self._compared("minute", number, found, digest)
        for day, found in files.files["hour"].items():
            if not any(Spanned(self._series, "hour", part.number) in skipped for part in found.footer.parts):
                yield from self._compared("hour", day, found, self._hours(found, contents))
        for month, found in files.files["day"].items():
            if not any(Spanned(self._series, "day", part.number) in skipped for part in found.footer.parts):
                yield from self._compared("day", month, found, self._days(found))

    def _compared(self, level: Level, period: int, found: Found, digest: str | None) -> Iterator[Finding]:
        if digest is None:
            return
        self.count += 1
        if digest != found.digest:
            path = self._layout.aggregate_file(self._series, level, period_start(level, period))
            detail = "its sources make another file than this one"
            yield Finding("changed", self._layout.relative(path), detail, AGAIN)

    def _minutes(self, number: int, found: Found, content: str) -> str | None:
        key = SensorHour(self._series, number)
        if seen := self._seen.find(key, content):
            return seen.minutes
        try:
            raw = self._source.open(key)
        except (Damaged, FileNotFoundError):
            return None  # told where the hour files are checked
        minutes, _ = minutes_and_hour(raw, limit=self._limit)
        (part,) = found.footer.parts
        held = time_weighted(minutes, "minute", [part.carry_in], limit=self._limit)
        data = encode_aggregate(
            self._series, "minute", minutes, held, parts=[part], parameters=[self._parameters]
        )
        return stored_digest(data)

    def _hours(self, found: Found, contents: Mapping[int, str]) -> str | None:
        rows = {}
        for part in found.footer.parts:
            if part.number not in contents:
                return None
            key = SensorHour(self._series, part.number)
            if seen := self._seen.find(key, contents[part.number]):
                hour = of_part(seen.rows, seen.row)
            else:
                try:
                    hour = minutes_and_hour(self._source.open(key), limit=self._limit)[1]
                except (Damaged, FileNotFoundError):
                    return None
            rows[part.number] = Row(hour, part.digest, part.carry_in)
        return self._joined("hour", rows)

    def _days(self, found: Found) -> str | None:
        rows = {}
        for part in found.footer.parts:
            path = self._layout.aggregate_file(self._series, "hour", period_start("hour", part.number))
            try:
                hours = read_aggregate(path)
                day = day_of(hours, self._source, limit=self._limit)
            except (Damaged, FileNotFoundError):
                return None
            rows[part.number] = Row(day, part.digest, part.carry_in)
        return self._joined("day", rows)

    def _joined(self, level: Level, rows: dict[int, Row]) -> str:
        data = with_rows(
            None, rows, series=self._series, level=level, limit=self._limit, parameters=self._parameters
        )
        return stored_digest(data)
