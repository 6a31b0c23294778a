"""What the catalog keeps of a folded day: one row for each sensor, where there were a hundred.

An asset's day **folds** once its files are in the cold store alone and nothing is due of them (`folding.py`). Its
row still answers for the hour files: which hours there are, their rows, times, digests, totals by source, and
their last good numbers. The receipts, and what the aggregates were made from, are in the day's manifest in the cold
store. A day is folded for all of an asset's sensors or for none, and then no other table has a row of its files.

A fold moves rows between tables, and a reader may look meanwhile: whoever looks at both does it in one statement.
"""

import lzma
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from sensor_storage.model import MICROSECONDS_PER_HOUR, Series

HOURS: Final = 24

FOLDED_TABLES: Final = """
CREATE TABLE IF NOT EXISTS folded_day (
    folder TEXT NOT NULL,
    day INTEGER NOT NULL,
    asset TEXT NOT NULL,
    manifest TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (folder, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folded (
    asset TEXT NOT NULL,
    sensor TEXT NOT NULL,
    day INTEGER NOT NULL,
    files INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    first_timestamp INTEGER NOT NULL,
    last_timestamp INTEGER NOT NULL,
    blobs INTEGER NOT NULL,
    hours INTEGER NOT NULL,
    minutes INTEGER NOT NULL,
    day_file TEXT,
    held BLOB NOT NULL,
    PRIMARY KEY (asset, sensor, day)
);
"""
"""Two of the long rows of `folded` fit into a page only while they have a row's number."""
FOLDED_TRIGGERS: Final = """
CREATE TRIGGER IF NOT EXISTS folded_in AFTER INSERT ON folded BEGIN
    UPDATE total SET folded = folded + NEW.rows;
END;
CREATE TRIGGER IF NOT EXISTS folded_out AFTER DELETE ON folded BEGIN
    UPDATE total SET folded = folded - OLD.rows;
END;
"""

_BETWEEN: Final = """
SELECT hour, rows, size_bytes, digest, first_timestamp, last_timestamp, totals, NULL FROM hour_file
    WHERE asset = ?1 AND sensor = ?2 AND hour BETWEEN ?3 AND ?4
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, held FROM folded
    WHERE asset = ?1 AND sensor = ?2 AND day BETWEEN ?5 AND ?6
"""


class HeldHour(NamedTuple):
    """What is known of an hour file of a folded day; `totals` and the last good number as JSON."""

    hour: int
    rows: int
    size_bytes: int
    digest: str
    first_timestamp: int
    last_timestamp: int
    totals: bytes
    carry_out: str | None = None


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """The hours by columns. Digests don't shrink: they are apart, hexadecimal digits as the bytes they mean."""

    digests: list[Any]
    others: bytes


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """Times from the hour's start on."""

    hours: list[int]
    rows: list[int]
    sizes: list[int]
    first: list[int]
    last: list[int]
    totals: list[bytes]
    carries: list[str | None]


_FILTERS: Final = [{"id": lzma.FILTER_LZMA1, "preset": 9, "lc": 0, "lp": 0, "pb": 0, "dict_size": 1 << 16}]
_PACKED: Final = msgspec.msgpack.Decoder(_Packed)
_COLUMNS: Final = msgspec.msgpack.Decoder(_Columns)


class FoldedDay(NamedTuple):
    """An asset's folded day, counted since 1970, and the manifest that has its receipts."""

    folder: str
    day: int
    asset: str
    manifest: str
    digest: str


def pack(hours: Sequence[HeldHour]) -> bytes:
    """The hours of a sensor's day, small."""
    columns = _Columns(
        [one.hour for one in hours],
        [one.rows for one in hours],
        [one.size_bytes for one in hours],
        [one.first_timestamp - one.hour * MICROSECONDS_PER_HOUR for one in hours],
        [one.last_timestamp - one.hour * MICROSECONDS_PER_HOUR for one in hours],
        [one.totals for one in hours],
        [one.carry_out for one in hours],
    )
    digests = [_bytes_of(one.digest) for one in hours]
    others = lzma.compress(msgspec.msgpack.encode(columns), lzma.FORMAT_RAW, filters=_FILTERS)
    return msgspec.msgpack.encode(_Packed(digests, others))


def unpack(held: bytes) -> list[HeldHour]:
    """The hours, in order."""
    packed = _PACKED.decode(held)
    columns = _COLUMNS.decode(lzma.decompress(packed.others, lzma.FORMAT_RAW, filters=_FILTERS))
    digests = [one if isinstance(one, str) else one.hex() for one in packed.digests]
    starts = [hour * MICROSECONDS_PER_HOUR for hour in columns.hours]
    return [
        HeldHour(hour, rows, size, digest, start + first, start + last, totals, carry)
        for hour, rows, size, digest, start, first, last, totals, carry in zip(
            columns.hours,
            columns.rows,
            columns.sizes,
            digests,
            starts,
            columns.first,
            columns.last,
            columns.totals,
            columns.carries,
            strict=True,
        )
    ]


def _bytes_of(digest: str) -> bytes | str:
    with suppress(ValueError):
        if (meant := bytes.fromhex(digest)).hex() == digest:
            return meant
    return digest


def mask_of(hours: Iterable[int]) -> int:
    """The hours, counted since 1970, as bits of their day."""
    return sum(1 << hour % HOURS for hour in hours)


def hours_in(mask: int, day: int) -> Iterator[int]:
    """The hours, counted since 1970, that a day's bits name."""
    return (day * HOURS + hour for hour in range(HOURS) if mask >> hour & 1)


def hours_between(database: sqlite3.Connection, series: Series, first: int, last: int) -> list[HeldHour]:
    """The hour files between two hours, both included, of folded days or not, in order: one look."""
    days = first // HOURS, last // HOURS
    found = []
    for *known, held in database.execute(_BETWEEN, (*series, first, last, *days)):
        hours: Iterable[HeldHour] = unpack(held) if held is not None else [HeldHour(*known)]
        found += [one for one in hours if first <= one.hour <= last]
    return sorted(found, key=lambda one: one.hour)


def days_of(database: sqlite3.Connection, folder: str, first: int, last: int) -> list[FoldedDay]:
    """An asset's folded days between two, both included, by the name of its folder."""
    rows = database.execute(
        "SELECT * FROM folded_day WHERE folder = ? AND day BETWEEN ? AND ? ORDER BY day",
        (folder, first, last),
    )
    return [FoldedDay(*row) for row in rows]


def with_folded_tables(database: sqlite3.Connection) -> None:
    """Let a look at a catalog of an earlier version find no folded days, rather than no such table."""
    known: Any = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'folded'").fetchone()
    if not known:
        database.executescript(FOLDED_TABLES.replace("CREATE TABLE", "CREATE TEMP TABLE"))
