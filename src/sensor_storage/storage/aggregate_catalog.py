"""The catalog's part about aggregates: what they were made from, and which windows are to be made again.

A sensor-hour is **due** when its hour file holds other readings than its aggregates were made from. A trigger on
the table of hour files sees to that, so no writer of hour files has to know. All of it is a cache: footers say
the same.
"""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

from sensor_storage.model import Series
from sensor_storage.storage.folded import HOURS, hours_between, hours_in, unpack
from sensor_storage.storage.footers import content_digest

Span: TypeAlias = Literal["hour", "day"]
"""An hour stands for its minutes and its own row; a day for its row."""

_MAX_TRANSACTION_ROWS = 1000

# Not INSERT OR IGNORE: in a trigger the firing statement's conflict rule would hold.
AGGREGATE_TABLES = """
CREATE TABLE IF NOT EXISTS aggregate (
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    span TEXT NOT NULL,
    number INTEGER NOT NULL,
    source TEXT NOT NULL,
    carry_in TEXT,
    carry_out TEXT,
    digest TEXT NOT NULL,
    PRIMARY KEY (asset, sensor, span, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aggregate_due (
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    span TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (span, asset, sensor, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aggregate_file (
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    level TEXT NOT NULL,
    period INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest TEXT NOT NULL DEFAULT '',
    cold INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (asset, sensor, level, period)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aggregate_total (files INTEGER, size_bytes INTEGER);
INSERT INTO aggregate_total SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM aggregate_total);
CREATE TRIGGER IF NOT EXISTS aggregate_added AFTER INSERT ON aggregate_file BEGIN
    UPDATE aggregate_total SET
        files = files + (NEW.cold = 0), size_bytes = size_bytes + (NEW.cold = 0) * NEW.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS aggregate_moved AFTER UPDATE OF size_bytes, cold ON aggregate_file BEGIN
    UPDATE aggregate_total SET
        files = files + (NEW.cold = 0) - (OLD.cold = 0),
        size_bytes = size_bytes + (NEW.cold = 0) * NEW.size_bytes - (OLD.cold = 0) * OLD.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS aggregate_gone AFTER DELETE ON aggregate_file BEGIN
    UPDATE aggregate_total SET
        files = files - (OLD.cold = 0), size_bytes = size_bytes - (OLD.cold = 0) * OLD.size_bytes;
END;
CREATE TABLE IF NOT EXISTS aggregate_parameters (parameters TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS due_when_added AFTER INSERT ON hour_file WHEN NEW.cold = 0 BEGIN
    INSERT INTO aggregate_due SELECT NEW.asset, NEW.sensor, 'hour', NEW.hour WHERE NOT EXISTS (
        SELECT 1 FROM aggregate_due
        WHERE span = 'hour' AND asset = NEW.asset AND sensor = NEW.sensor AND number = NEW.hour
    );
END;
CREATE TRIGGER IF NOT EXISTS due_when_changed AFTER UPDATE OF totals ON hour_file
WHEN NEW.totals IS NOT OLD.totals BEGIN
    INSERT INTO aggregate_due SELECT NEW.asset, NEW.sensor, 'hour', NEW.hour WHERE NOT EXISTS (
        SELECT 1 FROM aggregate_due
        WHERE span = 'hour' AND asset = NEW.asset AND sensor = NEW.sensor AND number = NEW.hour
    );
END;
"""


class Spanned(NamedTuple):
    """One hour or day of one sensor; `number` counts such spans since 1970-01-01."""

    series: Series
    span: Span
    number: int


class AggregateRecord(NamedTuple):
    """What the aggregates of an hour or day were made from, and the digest of the file that holds them.

    `source` is the content digest of the hour file, or for a day the digest of its file of hours; the carries are
    JSON.
    """

    key: Spanned
    source: str
    carry_in: str | None
    carry_out: str | None
    digest: str


class AggregateFile(NamedTuple):
    """One aggregate file: the period it is of is counted since 1970-01-01."""

    series: Series
    level: str
    period: int
    size_bytes: int
    digest: str = ""


class AggregateCatalog:
    """Reads and writes the tables above, over the catalog's connection."""

    def __init__(
        self, database: sqlite3.Connection, room: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db = database
        self._room = room

    def due(
        self, span: Span, *, before: int | None, limit: int, after: Spanned | None = None
    ) -> list[Spanned]:
        """The first due spans in order of asset, sensor and number, below `before` and behind `after`."""
        place = (*after.series, after.number) if after else ("", "", -(1 << 62))
        rows = self._db.execute(
            "SELECT asset, sensor, number FROM aggregate_due WHERE span = ?1 AND number < ?2"
            " AND (asset, sensor, number) > (?3, ?4, ?5) ORDER BY asset, sensor, number LIMIT ?6",
            (span, 1 << 62 if before is None else before, *place, limit),
        )
        return [Spanned(Series(asset, sensor), span, number) for asset, sensor, number in rows]

    def due_count(self, span: Span, *, before: int | None = None) -> int:
        """How many spans are due below `before`."""
        query = "SELECT COUNT(*) FROM aggregate_due WHERE span = ? AND number < ?"
        count: int = self._db.execute(query, (span, 1 << 62 if before is None else before)).fetchone()[0]
        return count

    def due_of(self, series: Series, span: Span, first: int, last: int) -> list[int]:
        """Which spans of a sensor between two numbers, both included, are due: their aggregates may be old."""
        rows = self._db.execute(
            "SELECT number FROM aggregate_due"
            " WHERE span = ? AND asset = ? AND sensor = ? AND number BETWEEN ? AND ?",
            (span, *series, first, last),
        )
        return [row[0] for row in rows]

    def find(self, series: Series, span: Span, first: int, last: int) -> list[AggregateRecord]:
        """The records of a sensor between two numbers, both included, in order."""
        rows = self._db.execute(
            "SELECT number, source, carry_in, carry_out, digest FROM aggregate"
            " WHERE asset = ? AND sensor = ? AND span = ? AND number BETWEEN ? AND ? ORDER BY number",
            (*series, span, first, last),
        )
        return [AggregateRecord(Spanned(series, span, number), *rest) for number, *rest in rows]

    def carries(self, series: Series, first: int, last: int) -> dict[int, str | None]:
        """By hour the carry-out of the hours between two, both included, of folded days or not."""
        found: dict[int, str | None] = {}
        for number, carry, held in self._db.execute(
            "SELECT number, carry_out, NULL FROM aggregate"
            " WHERE asset = ?1 AND sensor = ?2 AND span = 'hour' AND number BETWEEN ?3 AND ?4"
            " UNION ALL SELECT NULL, NULL, held FROM folded"
            " WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6",
            (*series, first, last, first // HOURS, last // HOURS),
        ):
            hours = [(one.hour, one.carry_out) for one in unpack(held)] if held else [(number, carry)]
            found |= {hour: out for hour, out in hours if first <= hour <= last}
        return found

    def last_carry_out(self, series: Series, first: int, last: int) -> str | None:
        """The carry-out of the latest of these hours that has one."""
        known = {hour: carry for hour, carry in self.carries(series, first, last).items() if carry}
        return known[max(known)] if known else None

    def hours_of(self, series: Series, first: int, last: int) -> list[int]:
        """Which hours between two numbers, both included, have an hour file."""
        return [one.hour for one in hours_between(self._db, series, first, last)]

    def record(self, records: Iterable[AggregateRecord]) -> None:
        """Remember what was made; it is due no longer. Durable when this returns."""
        for part in _parts(records):
            keys = [(item.key.span, *item.key.series, item.key.number) for item in part]
            rows = [(*item.key.series, item.key.span, item.key.number, *item[1:]) for item in part]
            with self._room(), self._db:
                self._db.executemany("INSERT OR REPLACE INTO aggregate VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                self._db.executemany(
                    "DELETE FROM aggregate_due WHERE span = ? AND asset = ? AND sensor = ? AND number = ?",
                    keys,
                )

    def record_files(self, files: Iterable[AggregateFile]) -> None:
        """Remember the files' sizes."""
        for part in _parts(files):
            rows = [(*item.series, *item[1:]) for item in part]
            with self._room(), self._db:
                self._db.executemany(
                    "INSERT INTO aggregate_file VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET"
                    " size_bytes = excluded.size_bytes, digest = excluded.digest, cold = 0",
                    rows,
                )

    def files_after(self, level: str, before: int, after: tuple[Series, int] | None) -> list[AggregateFile]:
        """A page of a level's files on this disk of periods below `before`, in order of their names."""
        place = (*after[0], after[1]) if after else ("", "", -(1 << 62))
        rows = self._db.execute(
            "SELECT asset, sensor, level, period, size_bytes, digest FROM aggregate_file WHERE cold = 0"
            " AND level = ?1 AND period < ?2 AND (asset, sensor, period) > (?3, ?4, ?5)"
            " ORDER BY asset, sensor, period LIMIT ?6",
            (level, before, *place, _MAX_TRANSACTION_ROWS),
        )
        return [AggregateFile(Series(asset, sensor), *rest) for asset, sensor, *rest in rows]

    def mark_cold(self, files: Iterable[AggregateFile]) -> None:
        """Say, before the files are removed, that they are in the cold store alone."""
        for part in _parts(files):
            rows = [(*item.series, item.level, item.period) for item in part]
            with self._room(), self._db:
                self._db.executemany(
                    "UPDATE aggregate_file SET cold = 1"
                    " WHERE asset = ? AND sensor = ? AND level = ? AND period = ?",
                    rows,
                )

    def forget_files(self, files: Iterable[AggregateFile]) -> None:
        """Drop what is said of files that are gone."""
        for part in _parts(files):
            rows = [(*item.series, item.level, item.period) for item in part]
            with self._room(), self._db:
                self._db.executemany(
                    "DELETE FROM aggregate_file WHERE asset = ? AND sensor = ? AND level = ? AND period = ?",
                    rows,
                )

    def cold_periods(self, series: Series) -> dict[str, set[int]]:
        """By level the periods whose file is in the cold store alone."""
        found: dict[str, set[int]] = {}
        for level, period, minutes in self._db.execute(
            "SELECT level, period, NULL FROM aggregate_file WHERE asset = ?1 AND sensor = ?2 AND cold = 1"
            " UNION ALL SELECT CASE WHEN day_file IS NULL THEN '' ELSE 'hour' END, day, minutes FROM folded"
            " WHERE asset = ?1 AND sensor = ?2",
            series,
        ):
            if level:
                found.setdefault(level, set()).add(period)
            if minutes:
                found.setdefault("minute", set()).update(hours_in(minutes, period))
        return found

    def file_sums(self) -> tuple[int, int]:
        """How many aggregate files there are, and their bytes."""
        row = self._db.execute("SELECT files, size_bytes FROM aggregate_total").fetchone()
        return row[0], row[1]

    def series(self) -> list[Series]:
        """Every sensor that has an hour file or an aggregate."""
        rows = self._db.execute(
            "SELECT asset, sensor FROM hour_file UNION SELECT asset, sensor FROM folded"
            " UNION SELECT asset, sensor FROM aggregate"
        )
        return [Series(asset, sensor) for asset, sensor in rows]

    def contents(self, series: Series) -> dict[int, str]:
        """By hour the content digest of a sensor's hour files."""
        rows = self._db.execute(
            "SELECT hour, totals FROM hour_file WHERE asset = ? AND sensor = ? AND cold = 0 ORDER BY hour",
            series,
        )
        return {hour: content_digest(totals) for hour, totals in rows}

    def mark_due(self, keys: Iterable[Spanned]) -> None:
        """They are to be made again."""
        for part in _parts(keys):
            with self._room(), self._db:
                self._db.executemany(
                    "INSERT OR IGNORE INTO aggregate_due VALUES (?, ?, ?, ?)",
                    [(*key.series, key.span, key.number) for key in part],
                )

    def use(self, parameters: str) -> bool:
        """Make everything on this disk due when it was made with other parameters; whether that was so."""
        if self._db.execute("SELECT parameters FROM aggregate_parameters").fetchone() == (parameters,):
            return False
        rows = self._db.execute("SELECT asset, sensor, hour FROM hour_file WHERE cold = 0").fetchall()
        self.mark_due(Spanned(Series(asset, sensor), "hour", hour) for asset, sensor, hour in rows)
        with self._room(), self._db:
            self._db.execute("DELETE FROM aggregate_parameters")
            self._db.execute("INSERT INTO aggregate_parameters VALUES (?)", (parameters,))
        return True

    def forget_all(self) -> None:
        """Nothing is known of any aggregate; with the next `use` everything is due."""
        with self._room(), self._db:
            for table in ("aggregate", "aggregate_due", "aggregate_parameters"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
            self._db.execute("DELETE FROM aggregate_file WHERE cold = 0")


def _parts(items: Iterable[Any]) -> Iterable[list[Any]]:
    """The items, as many at a time as a transaction may have."""
    left = iter(items)
    while part := list(islice(left, _MAX_TRANSACTION_ROWS)):
        yield part
