"""The catalog: what the hour files hold, in SQLite. A cache, which `rebuild` makes again from the files.

Only the owner of the data directory writes it, after files are durable and before their sources are removed;
so after a crash it lags behind by files whose sources are still staged, and the next compaction mends that.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sensor_storage.errors import DiskFull, Usage
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AGGREGATE_TABLES, AggregateCatalog
from sensor_storage.storage.folded import (
    FOLDED_TABLES,
    FOLDED_TRIGGERS,
    HOURS,
    HeldHour,
    hours_between,
    unpack,
    with_folded_tables,
)
from sensor_storage.storage.folding import FoldedDays
from sensor_storage.storage.footers import Totals
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.known import KnownFiles
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import RECEIPT_TABLES, Receipts

SCHEMA_VERSION = 4
_MAX_TRANSACTION_ROWS = 1000
_TABLES = """
CREATE TABLE IF NOT EXISTS hour_file (
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    hour INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest TEXT NOT NULL,
    first_timestamp INTEGER NOT NULL,
    last_timestamp INTEGER NOT NULL,
    totals BLOB NOT NULL,
    verified_digest TEXT,
    cold INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (asset, sensor, hour)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS total (files INTEGER, rows INTEGER, size_bytes INTEGER, folded INTEGER DEFAULT 0);
INSERT INTO total SELECT 0, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM total);
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON hour_file BEGIN
    UPDATE total SET
        files = files + (NEW.cold = 0),
        rows = rows + NEW.rows,
        size_bytes = size_bytes + (NEW.cold = 0) * NEW.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS moved AFTER UPDATE OF rows, size_bytes, cold ON hour_file BEGIN
    UPDATE total SET
        files = files + (NEW.cold = 0) - (OLD.cold = 0),
        rows = rows + NEW.rows - OLD.rows,
        size_bytes = size_bytes + (NEW.cold = 0) * NEW.size_bytes - (OLD.cold = 0) * OLD.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS gone AFTER DELETE ON hour_file BEGIN
    UPDATE total SET
        files = files - (OLD.cold = 0),
        rows = rows - OLD.rows,
        size_bytes = size_bytes - (OLD.cold = 0) * OLD.size_bytes;
END;
"""
_TO_VERSION_3 = """
ALTER TABLE hour_file ADD COLUMN cold INTEGER NOT NULL DEFAULT 0;
DROP TRIGGER IF EXISTS changed;
DROP TRIGGER IF EXISTS removed;
DROP TRIGGER IF EXISTS due_when_added;
ALTER TABLE aggregate_file ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_file ADD COLUMN cold INTEGER NOT NULL DEFAULT 0;
DROP TRIGGER IF EXISTS aggregate_changed;
DROP TRIGGER IF EXISTS aggregate_removed;
"""
_TO_VERSION_4 = "ALTER TABLE total ADD COLUMN folded INTEGER DEFAULT 0"
"""An earlier build would miss what is folded. Its insert into this table names three columns, and fails on four."""

_TOTALS = msgspec.json.Decoder(tuple[Totals, ...])


@dataclass(frozen=True, slots=True)
class SeriesCoverage:
    """What the hour files of one series hold; timestamps in µs."""

    series: Series
    files: int
    rows: int
    size_bytes: int
    first_timestamp: int
    last_timestamp: int


@contextmanager
def _room_for(catalog: Path) -> Iterator[None]:
    """A full disk is waited out like any other."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" not in str(error):
            raise
        raise DiskFull(f"record files in {catalog}: no room on the disk", hint="free space") from error


def decode_totals(stored: bytes) -> tuple[Totals, ...]:
    """What a file holds by source, from the catalog's JSON."""
    return _TOTALS.decode(stored)


def connect_read_only(catalog: Path) -> sqlite3.Connection:
    """A look at the database that changes nothing."""
    written = catalog.with_name(catalog.name + "-wal").exists()
    how = "mode=ro" if written else "immutable=1"  # without a writer a look leaves no trace
    database = sqlite3.connect(f"file:{catalog}?{how}", uri=True, check_same_thread=False)
    with suppress(sqlite3.DatabaseError):  # told of by whoever reads it
        with_folded_tables(database)
    return database


class Catalog:
    """The hour files of one data directory."""

    def __init__(self, layout: Layout, *, read_only: bool = False) -> None:
        self._layout = layout
        if read_only:
            self._db = connect_read_only(layout.catalog)
        else:
            layout.catalog.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(layout.catalog, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with _room_for(layout.catalog):
                self._upgrade()
                self._db.executescript(
                    _TABLES + AGGREGATE_TABLES + RECEIPT_TABLES + FOLDED_TABLES + FOLDED_TRIGGERS
                )
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("PRAGMA busy_timeout = 5000")
        self.aggregates = AggregateCatalog(self._db, self._room)
        self.receipts = Receipts(self._db, self._room)
        self.known = KnownFiles(self._db, self._room)
        self.folded = FoldedDays(layout, self._db, self._room, self.known)

    def _room(self) -> AbstractContextManager[None]:
        return _room_for(self._layout.catalog)

    def _upgrade(self) -> None:
        """Bring the tables of an earlier version to this one; those of a later one are not to be touched."""
        version = self._version()
        if version > SCHEMA_VERSION:
            raise Usage(
                f"{self._layout.catalog} was written by a later version of this program",
                hint="start that one, or make the catalog again with this one: sensor-storage rebuild",
            )
        if version == 2:  # noqa: PLR2004
            self._db.executescript(AGGREGATE_TABLES + _TO_VERSION_3)
        if version in {2, 3}:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                if self._version() < SCHEMA_VERSION:  # another worker may have been faster
                    self._db.execute(_TO_VERSION_4)
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    def record(self, files: Iterable[HourFile]) -> None:
        """Remember the files as they are on disk now; durable when this returns."""
        rows = (
            (
                *file.key.series,
                file.key.hour,
                file.rows,
                file.size_bytes,
                file.digest,
                file.first_timestamp,
                file.last_timestamp,
                msgspec.json.encode(file.totals),
            )
            for file in files
        )
        while part := list(islice(rows, _MAX_TRANSACTION_ROWS)):
            with _room_for(self._layout.catalog), self._db:
                self._db.executemany(
                    "INSERT INTO hour_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0) ON CONFLICT DO UPDATE SET"
                    " cold = 0, rows = excluded.rows, size_bytes = excluded.size_bytes, digest = excluded.digest,"
                    " first_timestamp = excluded.first_timestamp, last_timestamp = excluded.last_timestamp,"
                    " totals = excluded.totals",
                    part,
                )

    def forget(self, keys: Iterable[SensorHour]) -> None:
        """Drop what is said of files that are gone."""
        with self._db:
            self._db.executemany(
                "DELETE FROM hour_file WHERE asset = ? AND sensor = ? AND hour = ?",
                [(*key.series, key.hour) for key in keys],
            )

    def mark_verified(self, files: Iterable[HourFile]) -> None:
        """Remember that the file with this digest was found good."""
        rows = ((file.digest, *file.key.series, file.key.hour) for file in files)
        while part := list(islice(rows, _MAX_TRANSACTION_ROWS)):
            with self._db:
                self._db.executemany(
                    "UPDATE hour_file SET verified_digest = ? WHERE asset = ? AND sensor = ? AND hour = ?",
                    part,
                )

    def rows_of(self, keys: Sequence[SensorHour]) -> list[int]:
        """For each sensor-hour how many rows its file holds; 0 where there is none."""
        found = (hours_between(self._db, key.series, key.hour, key.hour) for key in keys)
        return [hours[0].rows if hours else 0 for hours in found]

    def find(self, key: SensorHour) -> HourFile | None:
        """What is known of a sensor-hour's file."""
        hours = hours_between(self._db, key.series, key.hour, key.hour)
        return self._held(key.series, hours[0]) if hours else None

    def files(
        self, *, asset: str | None = None, sensor: str | None = None
    ) -> Iterator[tuple[HourFile, bool]]:
        """Every file on this disk in order of asset, sensor and hour; and whether it was verified as it is."""
        where = "WHERE (?1 IS NULL OR asset = ?1) AND (?2 IS NULL OR sensor = ?2) AND cold = 0"
        for row in self._db.execute(f"SELECT * FROM hour_file {where}", (asset, sensor)):  # noqa: S608
            yield self._hour_file(row), row[9] == row[5]

    def cold_files(self) -> Iterator[HourFile]:
        """Every file that is in the cold store alone, as it was when it was removed here."""
        query = (
            "SELECT asset, sensor, hour, rows, size_bytes, digest, first_timestamp, last_timestamp, totals, NULL"
            " FROM hour_file WHERE cold != 0 UNION ALL"
            " SELECT asset, sensor, NULL, NULL, NULL, NULL, NULL, NULL, NULL, held FROM folded"
        )
        for asset, sensor, *known, held in self._db.execute(query):
            hours = unpack(held) if held is not None else [HeldHour(*known)]
            yield from (self._held(Series(asset, sensor), one) for one in hours)

    def is_cold(self, key: SensorHour) -> bool:
        """Is the sensor-hour's file in the cold store alone?"""
        day, hour = divmod(key.hour, HOURS)
        rows = self._db.execute(
            "SELECT cold FROM hour_file WHERE asset = ?1 AND sensor = ?2 AND hour = ?3"
            " UNION ALL SELECT hours >> ?5 & 1 FROM folded WHERE asset = ?1 AND sensor = ?2 AND day = ?4",
            (*key.series, key.hour, day, hour),
        )
        return any(cold for (cold,) in rows)

    def mark_cold(self, keys: Iterable[SensorHour]) -> None:
        """Say, before the files are removed, that they are in the cold store alone; durable when this returns."""
        rows = ((*key.series, key.hour) for key in keys)
        while part := list(islice(rows, _MAX_TRANSACTION_ROWS)):
            with _room_for(self._layout.catalog), self._db:
                self._db.executemany(
                    "UPDATE hour_file SET cold = 1 WHERE asset = ? AND sensor = ? AND hour = ?", part
                )

    def older_than(self, timestamp: int, after: SensorHour | None = None) -> list[HourFile]:
        """A page of files on this disk whose last reading is before the timestamp, in order of their names."""
        place = (*after.series, after.hour) if after else ("", "", -(1 << 62))
        rows = self._db.execute(
            "SELECT * FROM hour_file WHERE cold = 0 AND last_timestamp < ?1"
            " AND (asset, sensor, hour) > (?2, ?3, ?4) ORDER BY asset, sensor, hour LIMIT ?5",
            (timestamp, *place, _MAX_TRANSACTION_ROWS),
        )
        return [self._hour_file(row) for row in rows]

    def oldest(self, first_hour: int) -> list[HourFile]:
        """The files on this disk of the earliest hours from this one on; all files of the last of these hours."""
        query = "SELECT hour FROM hour_file WHERE cold = 0 AND hour >= ? ORDER BY hour LIMIT 1 OFFSET ?"
        row = self._db.execute(query, (first_hour, _MAX_TRANSACTION_ROWS)).fetchone()
        rows = self._db.execute(
            "SELECT * FROM hour_file WHERE cold = 0 AND hour BETWEEN ? AND ? ORDER BY hour",
            (first_hour, row[0] if row else 1 << 62),
        )
        return [self._hour_file(row) for row in rows]

    def due_totals(self) -> Iterator[tuple[Totals, ...]]:
        """What each hour file holds that is not in the cold store as it is."""
        for (totals,) in self._db.execute(
            "SELECT h.totals FROM upload_due u JOIN hour_file h"
            " ON h.asset = u.asset AND h.sensor = u.sensor AND h.hour = u.period"
            " WHERE u.level = 'raw' AND h.cold = 0"
        ):
            yield decode_totals(totals)

    def coverage(self, asset: str | None = None) -> Iterator[SeriesCoverage]:
        """Per series the files, rows, bytes and the first and last timestamp."""
        query = (
            "SELECT asset, sensor, SUM(files), SUM(rows), SUM(size_bytes), MIN(first), MAX(last) FROM ("
            "SELECT asset, sensor, COUNT(*) AS files, SUM(rows) AS rows, SUM(size_bytes) AS size_bytes,"
            " MIN(first_timestamp) AS first, MAX(last_timestamp) AS last"
            " FROM hour_file WHERE ?1 IS NULL OR asset = ?1 GROUP BY asset, sensor"
            " UNION ALL SELECT asset, sensor, SUM(files), SUM(rows), SUM(size_bytes), MIN(first_timestamp),"
            " MAX(last_timestamp) FROM folded WHERE ?1 IS NULL OR asset = ?1 GROUP BY asset, sensor"
            ") GROUP BY asset, sensor ORDER BY asset, sensor"
        )
        for found, sensor, *rest in self._db.execute(query, (asset,)):
            yield SeriesCoverage(Series(found, sensor), *rest)

    def sums(self) -> tuple[int, int, int]:
        """Files and their bytes on this disk, and rows in all, as files, rows, bytes."""
        row = self._db.execute("SELECT files, rows + folded, size_bytes FROM total").fetchone()
        return row[0], row[1], row[2]

    def replace(self, files: Iterable[HourFile]) -> int:
        """Make the catalog say exactly this of the disk; how many files that is. What is cold stays known."""
        with self._db:
            self._db.execute("DELETE FROM hour_file WHERE cold = 0")
        self.record(files)
        return self.sums()[0]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _hour_file(self, row: tuple[Any, ...]) -> HourFile:
        return self._held(Series(row[0], row[1]), HeldHour(*row[2:9]))

    def _held(self, series: Series, hour: HeldHour) -> HourFile:
        key = SensorHour(series, hour.hour)
        return HourFile(
            key=key,
            path=self._layout.hour_file(key),
            rows=hour.rows,
            size_bytes=hour.size_bytes,
            digest=hour.digest,
            first_timestamp=hour.first_timestamp,
            last_timestamp=hour.last_timestamp,
            totals=decode_totals(hour.totals),
        )
