"""What is known of each uploaded file beside its receipt, so that another disk can know it without asking.

Manifests in the cold store are made of this (`cold/manifests.py`), and the catalog of a new disk from those.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final, NamedTuple

from sensor_storage.model import Series
from sensor_storage.storage.receipts import Level, Receipt

HOUR_SECONDS: Final = 3600
_MAX_TRANSACTION_FILES = 250
_QUERY: Final = """
SELECT r.*, o.level, o.asset, o.sensor, o.period, COALESCE(h.rows, 0), COALESCE(h.size_bytes, f.size_bytes, 0),
    h.first_timestamp, h.last_timestamp, h.totals, a.source, a.carry_in, a.carry_out
FROM receipt r JOIN receipt_of o ON o.name = r.name
LEFT JOIN hour_file h ON o.level = 'raw' AND h.asset = o.asset AND h.sensor = o.sensor AND h.hour = o.period
    AND h.digest = r.local_digest
LEFT JOIN aggregate_file f ON f.asset = o.asset AND f.sensor = o.sensor AND f.level = o.level
    AND f.period = o.period AND f.digest = r.local_digest
LEFT JOIN aggregate a ON o.level = 'minute' AND a.asset = o.asset AND a.sensor = o.sensor AND a.span = 'hour'
    AND a.number = o.period AND a.digest = r.local_digest
"""
_UPLOADED: Final = _QUERY + "WHERE r.uploaded_at >= ? AND r.uploaded_at < ? ORDER BY r.name"
_NAMED: Final = _QUERY + "WHERE r.name >= ? AND r.name < ? ORDER BY r.name"


class Known(NamedTuple):
    """An uploaded file: its receipt, what it is of, and what the catalog says of it as it was uploaded.

    The times, in µs, and the totals, in JSON, are of files of readings; `source` and the carries of files of
    minutes. `local_size` is 0 where the catalog had moved on.
    """

    receipt: Receipt
    level: Level
    series: Series
    period: int
    local_rows: int
    local_size: int
    first_timestamp: int | None
    last_timestamp: int | None
    totals: bytes | None
    source: str | None
    carry_in: str | None
    carry_out: str | None

    @property
    def described(self) -> bool:
        """Is everything known that the catalog has to know?"""
        return self.local_size > 0


class KnownFiles:
    """Reads and writes what is known, over the catalog's connection."""

    def __init__(
        self, database: sqlite3.Connection, room: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db = database
        self._room = room

    def hours(self, since: float) -> list[int]:
        """In which hours, counted since 1970, files were uploaded from that time on."""
        rows = self._db.execute(
            "SELECT DISTINCT CAST(r.uploaded_at / 3600 AS INTEGER) FROM receipt r"
            " JOIN receipt_of o ON o.name = r.name WHERE r.uploaded_at >= ? ORDER BY 1",
            (since,),
        )
        return [hour for (hour,) in rows]

    def of_hour(self, hour: int) -> Iterator[Known]:
        """The files that were uploaded last in that hour, in order of their names; there may be very many."""
        yield from map(_known, self._db.execute(_UPLOADED, (hour * HOUR_SECONDS, (hour + 1) * HOUR_SECONDS)))

    def below(self, prefix: str) -> list[Known]:
        """The files whose name begins so, in order of their names."""
        rows = self._db.execute(_NAMED, (prefix, prefix + "\U0010ffff"))
        return [_known(row) for row in rows]

    def take(self, files: Iterable[Known]) -> None:
        """Know these: they are in the cold store alone. Durable when this returns; what was known before stays."""
        left = iter(files)
        while part := list(islice(left, _MAX_TRANSACTION_FILES)):
            with self._room(), self._db:
                for one in part:
                    write_known(self._db, one)


def write_known(database: sqlite3.Connection, one: Known) -> None:
    """Know the file, in the transaction that is under way: it is in the cold store alone."""
    receipt = one.receipt
    database.execute("INSERT OR REPLACE INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?)", receipt)
    database.execute(
        "INSERT OR REPLACE INTO receipt_of VALUES (?, ?, ?, ?, ?)",
        (receipt.name, one.level, *one.series, one.period),
    )
    if one.level == "raw":
        times = (one.first_timestamp, one.last_timestamp, one.totals)
        database.execute(
            "INSERT OR IGNORE INTO hour_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",
            (*one.series, one.period, one.local_rows, one.local_size, receipt.local_digest, *times),
        )
        return
    database.execute(
        "INSERT OR IGNORE INTO aggregate_file VALUES (?, ?, ?, ?, ?, ?, 1)",
        (*one.series, one.level, one.period, one.local_size, receipt.local_digest),
    )
    if one.source is not None:
        made = (one.source, one.carry_in, one.carry_out, receipt.local_digest)
        database.execute(
            "INSERT OR IGNORE INTO aggregate VALUES (?, ?, 'hour', ?, ?, ?, ?, ?)",
            (*one.series, one.period, *made),
        )


def _known(row: tuple) -> Known:  # type: ignore[type-arg]  # columns as the query has them
    level, asset, sensor, period, *rest = row[8:]
    return Known(Receipt(*row[:8]), level, Series(asset, sensor), period, *rest)
