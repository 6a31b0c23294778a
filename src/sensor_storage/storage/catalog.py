"""The catalog: what the hour files hold, in SQLite. A cache, which `rebuild` makes again from the files.

Only the owner of the data directory writes it, after files are durable and before their sources are removed;
so after a crash it lags behind by files whose sources are still staged, and the next compaction mends that.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sensor_storage.errors import DiskFull
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AGGREGATE_TABLES, AggregateCatalog
from sensor_storage.storage.footers import Totals
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.known import KnownFiles
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import RECEIPT_TABLES, Receipts

SCHEMA_VERSION = 3
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
CREATE TABLE IF NOT EXISTS total (files INTEGER, rows INTEGER, size_bytes INTEGER);
INSERT INTO total SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM total);
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
    return sqlite3.connect(f"file:{catalog}?{how}", uri=True, check_same_thread=False)


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
                if self._db.execute("PRAGMA user_version").fetchone()[0] == 2:  # noqa: PLR2004
                    self._db.executescript(AGGREGATE_TABLES + _TO_VERSION_3)
                self._db.executescript(_TABLES + AGGREGATE_TABLES + RECEIPT_TABLES)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("PRAGMA busy_timeout = 5000")
        self.aggregates = AggregateCatalog(self._db, self._room)
        self.receipts = Receipts(self._db, self._room)
        self.known = KnownFiles(self._db, self._room)

    def _room(self) -> AbstractContextManager[None]:
        return _room_for(self._layout.catalog)

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
        found = []
        for key in keys:
            row = self._db.execute(
                "SELECT rows FROM hour_file WHERE asset = ? AND sensor = ? AND hour = ?",
                (*key.series, key.hour),
            ).fetchone()
            found.append(row[0] if row else 0)
        return found

    def find(self, key: SensorHour) -> HourFile | None:
        """What is known of a sensor-hour's file."""
        row = self._db.execute(
            "SELECT * FROM hour_file WHERE asset = ? AND sensor = ? AND hour = ?", (*key.series, key.hour)
        ).fetchone()
        return self._hour_file(row) if row else None

    def files(
        self, *, asset: str | None = None, sensor: str | None = None
    ) -> Iterator[tuple[HourFile, bool]]:
        """Every file on this disk in order of asset, sensor and hour; and whether it was verified as it is."""
        where = "WHERE (?1 IS NULL OR asset = ?1) AND (?2 IS NULL OR sensor = ?2) AND cold = 0"
        for row in self._db.execute(f"SELECT * FROM hour_file {where}", (asset, sensor)):  # noqa: S608
            yield self._hour_file(row), row[9] == row[5]

    def cold_files(self) -> Iterator[HourFile]:
        """Every file that is in the cold store alone, as it was when it was removed here."""
        for row in self._db.execute("SELECT * FROM hour_file WHERE cold != 0"):
            yield self._hour_file(row)

    def is_cold(self, key: SensorHour) -> bool:
        """Is the sensor-hour's file in the cold store alone?"""
        row = self._db.execute(
            "SELECT cold FROM hour_file WHERE asset = ? AND sensor = ? AND hour = ?", (*key.series, key.hour)
        ).fetchone()
        return bool(row and row[0])

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
            "SELECT asset, sensor, COUNT(*), SUM(rows), SUM(size_bytes), MIN(first_timestamp),"
            " MAX(last_timestamp) FROM hour_file WHERE ?1 IS NULL OR asset = ?1 GROUP BY asset, sensor"
        )
        for found, sensor, *rest in self._db.execute(query, (asset,)):
            yield SeriesCoverage(Series(found, sensor), *rest)

    def sums(self) -> tuple[int, int, int]:
        """Files, rows and bytes in all."""
        row = self._db.execute("SELECT files, rows, size_bytes FROM total").fetchone()
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
        key = SensorHour(Series(row[0], row[1]), row[2])
        return HourFile(
            key=key,
            path=self._layout.hour_file(key),
            rows=row[3],
            size_bytes=row[4],
            digest=row[5],
            first_timestamp=row[6],
            last_timestamp=row[7],
            totals=decode_totals(row[8]),
        )
