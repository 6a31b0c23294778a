"""The catalog for those who only read: which sensors there are, and how much of each.

It is a cache. Where there is none, or it can't be read, it knows nothing; what is stored is then found all the
same by whoever names it, and `rebuild` makes the catalog again.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AggregateCatalog
from sensor_storage.storage.catalog import SeriesCoverage, connect_read_only, decode_totals
from sensor_storage.storage.folded import HOURS, HeldHour, hours_between, hours_in, unpack
from sensor_storage.storage.layout import Layout


class CatalogView:
    """One look at the catalog."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self._db = database

    @classmethod
    @contextmanager
    def of(cls, layout: Layout) -> Iterator["CatalogView"]:
        """A look. It knows nothing where there is no catalog that can be read."""
        database = _opened(layout.catalog)
        try:
            yield cls(database)
        finally:
            if database:
                database.close()

    def assets(self, after: str | None = None) -> Iterator[str]:
        """The assets behind this one, in order; one look-up each, however many files they have."""
        least, place = (">=", "") if after is None else (">", after)
        while row := self._first(_least("asset", f"asset {least} ?1"), (place,)):
            least, place = ">", row[0]
            yield place

    def series(self, after: Series | None = None, asset: str | None = None) -> Iterator[Series]:
        """The series behind this one, of one asset or all, in order; one look-up each."""
        place = after or Series(asset or "", "")
        least = ">" if after else ">="
        while row := self._first(_least("asset, sensor", f"(asset, sensor) {least} (?1, ?2)"), place):
            place, least = Series(*row), ">"
            if asset is not None and place.asset != asset:
                return
            yield place

    def has(self, series: Series) -> bool:
        """Is there an hour file of it?"""
        return self._first(_least("asset, sensor", "(asset, sensor) = (?1, ?2)"), series) is not None

    @property
    def known(self) -> bool:
        """Is there a catalog that can be read?"""
        return self._db is not None

    def filed(self, series: Series, first: int, last: int) -> tuple[int, int]:
        """How many hour files there are between two hours, both included, and their rows."""
        whole = -(-first // HOURS), (last + 1) // HOURS - 1
        files = rows = 0
        for count, sum_of_rows, held in self._rows(
            "SELECT COUNT(*), COALESCE(SUM(rows), 0), NULL FROM hour_file"
            " WHERE asset = ?1 AND sensor = ?2 AND hour BETWEEN ?3 AND ?4"
            " UNION ALL SELECT COALESCE(SUM(files), 0), COALESCE(SUM(rows), 0), NULL FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6"
            " UNION ALL SELECT 0, 0, held FROM folded WHERE asset = ?1 AND sensor = ?2"
            " AND day IN (?7, ?8) AND day NOT BETWEEN ?5 AND ?6",
            (*series, first, last, *whole, first // HOURS, last // HOURS),
        ):
            part = [one.rows for one in unpack(held) if first <= one.hour <= last] if held else []
            files, rows = files + count + len(part), rows + sum_of_rows + sum(part)
        return files, rows

    def filed_hours(self, series: Series, hours: Collection[int]) -> list[tuple[int, int, int]]:
        """Rows, first and last timestamp of the hour files of these hours."""
        return [
            (one.rows, one.first_timestamp, one.last_timestamp)
            for hour in sorted(hours)
            for one in self._hours(series, hour, hour)
        ]

    def aggregates(self) -> AggregateCatalog | None:
        """What is known of aggregates."""
        return AggregateCatalog(self._db, nullcontext) if self._db else None

    def newest(self, series: Series) -> tuple[int, int] | None:
        """The latest hour of which there is a file, and the timestamp of its last reading."""
        found: list[tuple[int, int]] = []
        for hour, last, held in self._rows(
            "SELECT * FROM (SELECT hour, last_timestamp, NULL FROM hour_file"
            " WHERE asset = ?1 AND sensor = ?2 ORDER BY hour DESC LIMIT 1)"
            " UNION ALL SELECT * FROM (SELECT NULL, NULL, held FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 ORDER BY day DESC LIMIT 1)",
            series,
        ):
            found += [(one.hour, one.last_timestamp) for one in unpack(held)] if held else [(hour, last)]
        return max(found, default=None)

    def cold_hours(self, series: Series, first: int, last: int) -> list[int]:
        """The hours between two, both included, whose file is in the cold store alone."""
        found: list[int] = []
        for hour, day, mask in self._rows(
            "SELECT hour, NULL, NULL FROM hour_file"
            " WHERE asset = ?1 AND sensor = ?2 AND hour BETWEEN ?3 AND ?4 AND cold != 0"
            " UNION ALL SELECT NULL, day, hours FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6",
            (*series, first, last, first // HOURS, last // HOURS),
        ):
            found += [hour] if day is None else hours_in(mask, day)
        return sorted(hour for hour in found if first <= hour <= last)

    def digests(self, series: Series, first: int, last: int) -> list[tuple[int, str]]:
        """By hour the digests of the hour files between two hours, both included."""
        found: list[tuple[int, str]] = []
        for hour, digest, held in self._rows(
            "SELECT hour, digest, NULL FROM hour_file"
            " WHERE asset = ?1 AND sensor = ?2 AND hour BETWEEN ?3 AND ?4"
            " UNION ALL SELECT NULL, NULL, held FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6",
            (*series, first, last, first // HOURS, last // HOURS),
        ):
            found += [(one.hour, one.digest) for one in unpack(held)] if held else [(hour, digest)]
        return sorted(one for one in found if first <= one[0] <= last)

    def holding(self, topic: str, partition: int, offset: int) -> Iterator[SensorHour]:
        """The sensor-hours whose files may hold readings of a message; looks at every file's totals."""
        if not self._db:
            return
        for asset, sensor, number, totals, held in self._db.execute(
            "SELECT asset, sensor, hour, totals, NULL FROM hour_file"
            " UNION ALL SELECT asset, sensor, day, NULL, held FROM folded"
        ):
            hours = [(one.hour, one.totals) for one in unpack(held)] if held else [(number, totals)]
            for hour, told in hours:
                if any(
                    (one.source.topic, one.source.partition) == (topic, partition)
                    and one.first_offset <= offset <= one.last_offset
                    for one in decode_totals(told)
                ):
                    yield SensorHour(Series(asset, sensor), hour)

    def hours_of_asset(
        self, asset: str, sensors: Sequence[str], first: int, last: int
    ) -> Iterator[tuple[str, int, int, bool, bool]]:
        """Sensor, hour, rows of each file between two hours, both included; is it here, and in the cold store?"""
        query = (
            "SELECT h.hour, h.rows, h.cold = 0, u.place IS NULL, NULL FROM hour_file h LEFT JOIN upload_due u"
            " ON u.place = h.hour * 4 AND u.level = 'raw' AND u.asset = h.asset AND u.sensor = h.sensor"
            " AND u.period = h.hour WHERE h.asset = ?1 AND h.sensor = ?2 AND h.hour BETWEEN ?3 AND ?4"
            " UNION ALL SELECT NULL, NULL, 0, 1, held FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6"
        )
        for sensor in sensors:
            place = (asset, sensor, first, last, first // HOURS, last // HOURS)
            for number, count, here, stored, held in self._rows(query, place):
                hours = [(one.hour, one.rows) for one in unpack(held)] if held else [(number, count)]
                for hour, rows in hours:
                    if first <= hour <= last:
                        yield sensor, hour, rows, bool(here), bool(stored)

    def coverage(self, series: Series) -> SeriesCoverage | None:
        """Files, rows, bytes, first and last timestamp of a series."""
        query = (
            "SELECT SUM(files), SUM(rows), SUM(size_bytes), MIN(first), MAX(last) FROM ("
            "SELECT COUNT(*) AS files, SUM(rows) AS rows, SUM(size_bytes) AS size_bytes,"
            " MIN(first_timestamp) AS first, MAX(last_timestamp) AS last"
            " FROM hour_file WHERE asset = ?1 AND sensor = ?2"
            " UNION ALL SELECT SUM(files), SUM(rows), SUM(size_bytes), MIN(first_timestamp), MAX(last_timestamp)"
            " FROM folded WHERE asset = ?1 AND sensor = ?2)"
        )
        row = self._first(query, series)
        return SeriesCoverage(series, *row) if row and row[0] else None

    def _hours(self, series: Series, first: int, last: int) -> list[HeldHour]:
        return hours_between(self._db, series, first, last) if self._db else []

    def _first(self, query: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query, values)), None)

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall() if self._db else []


def _least(columns: str, where: str) -> str:
    """The first of these in order, of folded days or not."""
    each = [
        f"SELECT * FROM (SELECT {columns} FROM {table} WHERE {where} ORDER BY {columns} LIMIT 1)"  # noqa: S608
        for table in ("hour_file", "folded")
    ]
    return f"{' UNION ALL '.join(each)} ORDER BY {columns} LIMIT 1"


def _opened(catalog: Path) -> sqlite3.Connection | None:
    if not catalog.exists():
        return None
    database = connect_read_only(catalog)
    try:
        database.execute("PRAGMA busy_timeout = 5000")
        database.execute("SELECT cold FROM hour_file LIMIT 1").fetchall()
    except sqlite3.DatabaseError:
        database.close()
        return None
    return database
