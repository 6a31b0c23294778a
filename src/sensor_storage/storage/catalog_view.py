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
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import Receipt, Receipts


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
        while row := self._first(
            f"SELECT asset FROM hour_file WHERE asset {least} ? ORDER BY asset LIMIT 1",  # noqa: S608
            (place,),
        ):
            least, place = ">", row[0]
            yield place

    def series(self, after: Series | None = None, asset: str | None = None) -> Iterator[Series]:
        """The series behind this one, of one asset or all, in order; one look-up each."""
        place = after or Series(asset or "", "")
        least = ">" if after else ">="
        while row := self._first(
            f"SELECT asset, sensor FROM hour_file WHERE (asset, sensor) {least} (?1, ?2)"  # noqa: S608
            " ORDER BY asset, sensor LIMIT 1",
            place,
        ):
            place, least = Series(*row), ">"
            if asset is not None and place.asset != asset:
                return
            yield place

    def has(self, series: Series) -> bool:
        """Is there an hour file of it?"""
        return (
            self._first("SELECT 1 FROM hour_file WHERE asset = ? AND sensor = ? LIMIT 1", series) is not None
        )

    @property
    def known(self) -> bool:
        """Is there a catalog that can be read?"""
        return self._db is not None

    def filed(self, series: Series, first: int, last: int) -> tuple[int, int]:
        """How many hour files there are between two hours, both included, and their rows."""
        row = self._first(
            "SELECT COUNT(*), COALESCE(SUM(rows), 0) FROM hour_file"
            " WHERE asset = ? AND sensor = ? AND hour BETWEEN ? AND ?",
            (*series, first, last),
        )
        return (row[0], row[1]) if row else (0, 0)

    def filed_hours(self, series: Series, hours: Collection[int]) -> list[tuple[int, int, int]]:
        """Rows, first and last timestamp of the hour files of these hours."""
        query = (
            "SELECT rows, first_timestamp, last_timestamp FROM hour_file"
            " WHERE asset = ? AND sensor = ? AND hour = ?"
        )
        return [
            (row[0], row[1], row[2]) for hour in sorted(hours) for row in self._rows(query, (*series, hour))
        ]

    def aggregates(self) -> AggregateCatalog | None:
        """What is known of aggregates."""
        return AggregateCatalog(self._db, nullcontext) if self._db else None

    def newest(self, series: Series) -> tuple[int, int] | None:
        """The latest hour of which there is a file, and the timestamp of its last reading."""
        row = self._first(
            "SELECT hour, last_timestamp FROM hour_file WHERE asset = ? AND sensor = ?"
            " ORDER BY hour DESC LIMIT 1",
            series,
        )
        return (row[0], row[1]) if row else None

    def receipt(self, name: str) -> Receipt | None:
        """The receipt of a blob."""
        return Receipts(self._db, nullcontext).find(name) if self._db else None

    def cold_hours(self, series: Series, first: int, last: int) -> list[int]:
        """The hours between two, both included, whose file is in the cold store alone."""
        query = (
            "SELECT hour FROM hour_file WHERE asset = ? AND sensor = ? AND hour BETWEEN ? AND ? AND cold != 0"
        )
        return [row[0] for row in self._rows(query, (*series, first, last))]

    def digests(self, series: Series, first: int, last: int) -> list[tuple[int, str]]:
        """By hour the digests of the hour files between two hours, both included."""
        query = (
            "SELECT hour, digest FROM hour_file"
            " WHERE asset = ? AND sensor = ? AND hour BETWEEN ? AND ? ORDER BY hour"
        )
        return [(row[0], row[1]) for row in self._rows(query, (*series, first, last))]

    def holding(self, topic: str, partition: int, offset: int) -> Iterator[SensorHour]:
        """The sensor-hours whose files may hold readings of a message; looks at every file's totals."""
        if not self._db:
            return
        for asset, sensor, hour, totals in self._db.execute(
            "SELECT asset, sensor, hour, totals FROM hour_file"
        ):
            for one in decode_totals(totals):
                place = (one.source.topic, one.source.partition)
                if place == (topic, partition) and one.first_offset <= offset <= one.last_offset:
                    yield SensorHour(Series(asset, sensor), hour)
                    break

    def hours_of_asset(
        self, asset: str, sensors: Sequence[str], first: int, last: int
    ) -> Iterator[tuple[str, int, int, bool, bool]]:
        """Sensor, hour, rows of each file between two hours, both included; is it here, and in the cold store?"""
        query = (
            "SELECT h.sensor, h.hour, h.rows, h.cold = 0, u.place IS NULL FROM hour_file h LEFT JOIN upload_due u"
            " ON u.place = h.hour * 4 AND u.level = 'raw' AND u.asset = h.asset AND u.sensor = h.sensor"
            " AND u.period = h.hour WHERE h.asset = ? AND h.sensor = ? AND h.hour BETWEEN ? AND ?"
        )
        for sensor in sensors:
            for name, hour, rows, here, stored in self._rows(query, (asset, sensor, first, last)):
                yield name, hour, rows, bool(here), bool(stored)

    def coverage(self, series: Series) -> SeriesCoverage | None:
        """Files, rows, bytes, first and last timestamp of a series."""
        query = (
            "SELECT COUNT(*), SUM(rows), SUM(size_bytes), MIN(first_timestamp), MAX(last_timestamp)"
            " FROM hour_file WHERE asset = ? AND sensor = ?"
        )
        row = self._first(query, series)
        return SeriesCoverage(series, *row) if row and row[0] else None

    def _first(self, query: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query, values)), None)

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall() if self._db else []


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
