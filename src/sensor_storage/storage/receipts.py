"""The catalog's part about the cold store: what is to be uploaded, and the receipts of what was.

A file is **due** when its content on this disk is not the content its receipt includes. Triggers on the tables of
hour files and aggregates see to that, so whoever writes those need not know. The queue is durable, oldest period
first; a file that failed waits in it until `next_attempt_at`. A **receipt** says that the blob of that name, ETag
and size exists, and which content of the local file it includes.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple, TypeAlias

from sensor_storage.model import Series

Level: TypeAlias = Literal["raw", "minute", "hour", "day"]

PLACES_PER_HOUR: Final = 4
"""A file's place in the queue is its hour times this, and behind those it is made from."""

_PLACE = (
    "(CASE NEW.level WHEN 'raw' THEN NEW.period * 4 WHEN 'minute' THEN NEW.period * 4 + 1"
    " WHEN 'hour' THEN (NEW.period * 24 + 23) * 4 + 2 ELSE NEW.period * 730 * 4 + 3 END)"
)
_DUE_COLUMNS = "(place, level, asset, sensor, period)"

_THIS: Final = "place = ? AND level = ? AND asset = ? AND sensor = ? AND period = ?"
"""One file of the queue; its values are those of `_this`."""

_AGAIN: Final = f"""
INSERT OR IGNORE INTO upload_due {_DUE_COLUMNS}
SELECT {_PLACE}, NEW.* FROM (SELECT ? AS level, ? AS asset, ? AS sensor, ? AS period) NEW
"""  # noqa: S608 - put together of the constants above

# Not INSERT OR IGNORE: in a trigger the firing statement's conflict rule would hold.
RECEIPT_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS receipt (
    name TEXT PRIMARY KEY,
    etag TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest TEXT NOT NULL,
    content TEXT NOT NULL,
    rows INTEGER NOT NULL,
    local_digest TEXT NOT NULL,
    uploaded_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS receipt_when ON receipt (uploaded_at);
CREATE TABLE IF NOT EXISTS receipt_of (
    name TEXT PRIMARY KEY,
    level TEXT NOT NULL,
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    period INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upload_due (
    place INTEGER NOT NULL,
    level TEXT NOT NULL,
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    period INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (place, level, asset, sensor, period)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS upload_when_added AFTER INSERT ON hour_file BEGIN
    INSERT INTO upload_due {_DUE_COLUMNS} SELECT NEW.hour * 4, 'raw', NEW.asset, NEW.sensor, NEW.hour
    WHERE NEW.cold = 0 AND NOT EXISTS (SELECT 1 FROM upload_due WHERE place = NEW.hour * 4 AND level = 'raw'
        AND asset = NEW.asset AND sensor = NEW.sensor AND period = NEW.hour);
END;
CREATE TRIGGER IF NOT EXISTS upload_when_changed AFTER UPDATE OF digest ON hour_file
WHEN NEW.digest IS NOT OLD.digest BEGIN
    INSERT INTO upload_due {_DUE_COLUMNS} SELECT NEW.hour * 4, 'raw', NEW.asset, NEW.sensor, NEW.hour
    WHERE NOT EXISTS (SELECT 1 FROM upload_due WHERE place = NEW.hour * 4 AND level = 'raw'
        AND asset = NEW.asset AND sensor = NEW.sensor AND period = NEW.hour);
END;
CREATE TRIGGER IF NOT EXISTS upload_aggregate_when_added AFTER INSERT ON aggregate_file BEGIN
    INSERT INTO upload_due {_DUE_COLUMNS} SELECT {_PLACE}, NEW.level, NEW.asset, NEW.sensor, NEW.period
    WHERE NEW.cold = 0 AND NOT EXISTS (SELECT 1 FROM upload_due WHERE place = {_PLACE} AND level = NEW.level
        AND asset = NEW.asset AND sensor = NEW.sensor AND period = NEW.period);
END;
CREATE TRIGGER IF NOT EXISTS upload_aggregate_when_changed AFTER UPDATE OF digest ON aggregate_file
WHEN NEW.digest IS NOT OLD.digest BEGIN
    INSERT INTO upload_due {_DUE_COLUMNS} SELECT {_PLACE}, NEW.level, NEW.asset, NEW.sensor, NEW.period
    WHERE NOT EXISTS (SELECT 1 FROM upload_due WHERE place = {_PLACE} AND level = NEW.level
        AND asset = NEW.asset AND sensor = NEW.sensor AND period = NEW.period);
END;
"""  # noqa: S608 - put together of the constants above


class Due(NamedTuple):
    """A file to upload: `place` is where in the queue; `attempts` failed so far."""

    place: int
    level: Level
    series: Series
    period: int
    attempts: int


def _this(due: Due) -> tuple[int, str, str, str, int]:
    return due.place, due.level, *due.series, due.period


class Receipt(NamedTuple):
    """The blob of this name, and that it includes what the local file held when its digest was `local_digest`.

    `digest` is of the blob's bytes, `content` of the set of its readings, `rows` how many these are.
    """

    name: str
    etag: str
    size_bytes: int
    digest: str
    content: str
    rows: int
    local_digest: str
    uploaded_at: float


class Waiting(NamedTuple):
    """What is to be uploaded: how many files, those of hours that are over, those that failed, and some errors."""

    files: int
    sealed: int
    failed: int
    errors: tuple[str, ...]


class Receipts:
    """Reads and writes the tables above, over the catalog's connection."""

    def __init__(
        self, database: sqlite3.Connection, room: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db = database
        self._room = room

    def find(self, name: str) -> Receipt | None:
        """The receipt of a blob, unless its day is folded."""
        row = self._db.execute("SELECT * FROM receipt WHERE name = ?", (name,)).fetchone()
        return Receipt(*row) if row else None

    def below(self, prefix: str, after: str = "", limit: int = 1000) -> list[Receipt]:
        """A page of receipts whose name begins so, in order."""
        end = prefix + "\U0010ffff"
        rows = self._db.execute(
            "SELECT * FROM receipt WHERE name > ? AND name >= ? AND name < ? ORDER BY name LIMIT ?",
            (after, prefix, end, limit),
        )
        return [Receipt(*row) for row in rows]

    def all(self) -> Iterator[Receipt]:
        """Every receipt in order of names, but for those of folded days."""
        after = ""
        while page := self.below("", after):
            yield from page
            after = page[-1].name

    def newest(self, prefix: str) -> float:
        """When the latest of the blobs whose name begins so was uploaded; 0 where there is none."""
        query = "SELECT COALESCE(MAX(uploaded_at), 0) FROM receipt WHERE name >= ? AND name < ?"
        return float(self._db.execute(query, (prefix, prefix + "\U0010ffff")).fetchone()[0])

    def count(self) -> int:
        """How many blobs there are receipts of, those of folded days with them."""
        query = "SELECT (SELECT COUNT(*) FROM receipt) + (SELECT COALESCE(SUM(blobs), 0) FROM folded)"
        return int(self._db.execute(query).fetchone()[0])

    def due(self, now: float, *, before: int | None, limit: int, after: Due | None = None) -> list[Due]:
        """A page of files to try now, oldest first: of places below `before`, and what has failed of any."""
        place = _this(after) if after else (-(1 << 62), "", "", "", 0)
        rows = self._db.execute(
            "SELECT place, level, asset, sensor, period, attempts FROM upload_due"
            " WHERE next_attempt_at <= ?1 AND (place < ?2 OR attempts > 0)"
            " AND (place, level, asset, sensor, period) > (?3, ?4, ?5, ?6, ?7)"
            " ORDER BY place, level, asset, sensor, period LIMIT ?8",
            (now, 1 << 62 if before is None else before, *place, limit),
        )
        return [
            Due(place, level, Series(asset, sensor), period, tries)
            for place, level, asset, sensor, period, tries in rows
        ]

    def waiting(self, sealed_before: int = 0) -> Waiting:
        """What is in the queue; hours below `sealed_before` are over."""
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(place < ?), 0), COALESCE(SUM(attempts > 0), 0) FROM upload_due",
            (sealed_before * PLACES_PER_HOUR,),
        ).fetchone()
        errors = self._db.execute(
            "SELECT DISTINCT error FROM upload_due WHERE error != '' LIMIT 5"
        ).fetchall()
        return Waiting(row[0], row[1], row[2], tuple(error for (error,) in errors))

    def oldest_hour(self) -> int | None:
        """The oldest hour whose readings are to be uploaded."""
        row = self._db.execute(
            "SELECT place FROM upload_due WHERE level = 'raw' ORDER BY place LIMIT 1"
        ).fetchone()
        return row[0] // PLACES_PER_HOUR if row else None

    def record(self, done: Iterable[tuple[Due | None, Receipt]]) -> None:
        """Keep receipts; a file is due no longer unless it has changed since. Durable when this returns."""
        with self._room(), self._db:
            for due, receipt in done:
                self._db.execute("INSERT OR REPLACE INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?)", receipt)
                if due:
                    self._db.execute(
                        "INSERT OR REPLACE INTO receipt_of VALUES (?, ?, ?, ?, ?)",
                        (receipt.name, due.level, *due.series, due.period),
                    )
                    if self._digest(due) in {None, "", receipt.local_digest}:
                        self._drop(due)

    def distrust(self, names: Iterable[str]) -> None:
        """Forget receipts the store does not bear out; their files are due again. Durable when this returns."""
        with self._room(), self._db:
            for name in names:
                of = self._db.execute(
                    "DELETE FROM receipt_of WHERE name = ? RETURNING level, asset, sensor, period", (name,)
                ).fetchone()
                self._db.execute("DELETE FROM receipt WHERE name = ?", (name,))
                if of:
                    self._db.execute(_AGAIN, of)

    def postpone(self, failed: Iterable[tuple[Due, float, str]]) -> None:
        """Try these again, not before the time given."""
        with self._room(), self._db:
            self._db.executemany(
                f"UPDATE upload_due SET attempts = attempts + 1, next_attempt_at = ?, error = ? WHERE {_THIS}",  # noqa: S608
                [(at, why, *_this(due)) for due, at, why in failed],
            )

    def drop(self, gone: Iterable[Due]) -> None:
        """These are no files of this disk any more."""
        with self._room(), self._db:
            for due in gone:
                self._drop(due)

    def try_now(self, some: Iterable[Due]) -> None:
        """These are tried again at once."""
        with self._room(), self._db:
            self._db.executemany(
                f"UPDATE upload_due SET next_attempt_at = 0 WHERE {_THIS}",  # noqa: S608
                [_this(due) for due in some],
            )

    def try_all_now(self) -> None:
        """Whatever failed is tried again at once."""
        with self._room(), self._db:
            self._db.execute("UPDATE upload_due SET next_attempt_at = 0 WHERE next_attempt_at > 0")

    def _drop(self, due: Due) -> None:
        self._db.execute(f"DELETE FROM upload_due WHERE {_THIS}", _this(due))  # noqa: S608

    def _digest(self, due: Due) -> str | None:
        """The digest of the file as the catalog knows it."""
        if due.level == "raw":
            query = "SELECT digest FROM hour_file WHERE asset = ? AND sensor = ? AND hour = ?"
            row = self._db.execute(query, (*due.series, due.period)).fetchone()
        else:
            query = "SELECT digest FROM aggregate_file WHERE asset = ? AND sensor = ? AND level = ? AND period = ?"
            row = self._db.execute(query, (*due.series, due.level, due.period)).fetchone()
        return row[0] if row else None
