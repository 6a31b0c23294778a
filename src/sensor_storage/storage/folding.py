"""Folding: an asset's day whose files are all in the cold store leaves the catalog's tables for one row a sensor.

`state` says of a day what decides (`cold/folding.py`); `fold` and `unfold` are one transaction each, and the tables
are after both as they were before. Only what a manifest gives back in full is folded: whatever else is known of the
day, a file without a receipt or an aggregate without a file, keeps it as it is.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Final, NamedTuple

from sensor_storage.model import Series
from sensor_storage.storage.folded import HOURS, FoldedDay, HeldHour, days_of, mask_of, pack
from sensor_storage.storage.known import Known, KnownFiles, write_known
from sensor_storage.storage.layout import Layout, encode_name
from sensor_storage.storage.receipts import PLACES_PER_HOUR, Receipt

_PLACES: Final = HOURS * PLACES_PER_HOUR
_COUNTS: Final = """
SELECT COUNT(*), SUM(cold = 0) FROM hour_file WHERE asset = ?1 AND sensor = ?2 AND hour BETWEEN ?3 AND ?4
UNION ALL SELECT COUNT(*), SUM(cold = 0) FROM aggregate_file
    WHERE asset = ?1 AND sensor = ?2 AND level = 'minute' AND period BETWEEN ?3 AND ?4
UNION ALL SELECT COUNT(*), SUM(cold = 0) FROM aggregate_file
    WHERE asset = ?1 AND sensor = ?2 AND level = 'hour' AND period = ?5
UNION ALL SELECT COUNT(*), 0 FROM aggregate
    WHERE asset = ?1 AND sensor = ?2 AND span = 'hour' AND number BETWEEN ?3 AND ?4
"""
_DUE: Final = """
SELECT (SELECT COUNT(*) FROM aggregate_due WHERE span = 'hour' AND asset = ?1 AND sensor = ?2
        AND number BETWEEN ?3 AND ?4)
    + (SELECT COUNT(*) FROM aggregate_due WHERE span = 'day' AND asset = ?1 AND sensor = ?2 AND number = ?5)
"""


class DayState(NamedTuple):
    """What decides whether an asset's day may fold.

    How many of its files are on this disk; how many rows of the tables a manifest would not give back; how many
    windows and uploads are due; and when the latest of its blobs was uploaded.
    """

    here: int
    unproven: int
    due: int
    uploaded_at: float


class FoldedDays:
    """Folds and unfolds, over the catalog's connection."""

    def __init__(
        self,
        layout: Layout,
        database: sqlite3.Connection,
        room: Callable[[], AbstractContextManager[None]],
        known: KnownFiles,
    ) -> None:
        self._layout = layout
        self._db = database
        self._room = room
        self._known = known

    def cold_days(self) -> list[tuple[str, int]]:
        """The assets and days that are not folded and of which no hour file is on this disk, oldest first."""
        rows = self._db.execute(
            "SELECT asset, hour / 24 FROM hour_file WHERE hour >= 0 GROUP BY asset, hour / 24"
            " HAVING MAX(cold = 0) = 0 ORDER BY 2, 1"
        )
        return [(asset, day) for asset, day in rows]

    def days(self, asset: str, first: int, last: int) -> list[FoldedDay]:
        """An asset's folded days between two, both included."""
        return days_of(self._db, encode_name(asset), first, last)

    def all(self) -> Iterator[FoldedDay]:
        """Every folded day."""
        for row in self._db.execute("SELECT * FROM folded_day"):
            yield FoldedDay(*row)

    def day_file(self, series: Series, day: int) -> str | None:
        """The digest of the blob that is a folded day's file of hours, if there is one."""
        row = self._db.execute(
            "SELECT day_file FROM folded WHERE asset = ? AND sensor = ? AND day = ?", (*series, day)
        ).fetchone()
        return row[0] if row else None

    def state(self, asset: str, day: int) -> tuple[DayState, list[Known]]:
        """How it is with a day, and what a manifest of it says."""
        known = [one for folder in self._layout.day_folders(asset, day) for one in self._known.below(folder)]
        sensors = {one.series.sensor for one in known} | set(self._sensors(asset))
        first = day * HOURS
        rows = here = due = 0
        for sensor in sensors:
            place = (asset, sensor, first, first + HOURS - 1, day)
            for count, on_disk in self._db.execute(_COUNTS, place):
                rows += count
                here += on_disk or 0
            due += self._db.execute(_DUE, place).fetchone()[0]
        due += self._db.execute(
            "SELECT COUNT(*) FROM upload_due WHERE place BETWEEN ? AND ? AND level != 'day' AND asset = ?",
            (day * _PLACES, day * _PLACES + _PLACES - 1, asset),
        ).fetchone()[0]
        uploaded_at = max((one.receipt.uploaded_at for one in known), default=0.0)
        return DayState(here, rows - _given_back(known, rows), due, uploaded_at), known

    def fold(
        self, asset: str, day: int, manifest: Receipt, judge: Callable[[DayState, list[Known]], str]
    ) -> str:
        """Fold the day into the manifest of that receipt, unless `judge` says why not. Durable then.

        What it is asked about can't change until that is done.
        """
        with self._room(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            state, known = self.state(asset, day)
            why = judge(state, known) if known else "nothing is known of it"
            if not why:
                self._fold(FoldedDay(encode_name(asset), day, asset, manifest.name, manifest.digest), known)
        return why

    def unfold(self, day: FoldedDay, known: Sequence[Known]) -> None:
        """Put back what the day's manifest says. Durable when this returns; a day not folded stays as it is."""
        with self._room(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            gone = self._db.execute(
                "DELETE FROM folded_day WHERE folder = ? AND day = ? AND digest = ?",
                (day.folder, day.day, day.digest),
            )
            if gone.rowcount:
                self._db.execute("DELETE FROM folded WHERE asset = ? AND day = ?", (day.asset, day.day))
                for one in known:
                    write_known(self._db, one)

    def _sensors(self, asset: str) -> Iterator[str]:
        """The asset's sensors that have an hour file; one look-up each."""
        sensor = ""
        query = "SELECT sensor FROM hour_file WHERE asset = ? AND sensor {} ? ORDER BY sensor LIMIT 1"
        row = self._db.execute(query.format(">="), (asset, sensor)).fetchone()
        while row:
            yield row[0]
            row = self._db.execute(query.format(">"), (asset, row[0])).fetchone()

    def _fold(self, day: FoldedDay, known: Sequence[Known]) -> None:
        self._db.execute("INSERT INTO folded_day VALUES (?, ?, ?, ?, ?)", day)
        by_sensor = sorted(known, key=lambda one: (one.series, one.level, one.period))
        for series, files in groupby(by_sensor, key=lambda one: one.series):
            self._db.execute(
                "INSERT INTO folded VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _row(series, day.day, list(files)),
            )
        keys = [(*one.series, one.level, one.period) for one in known]
        for table, where in _FOLDED_AWAY:
            self._db.executemany(
                f"DELETE FROM {table} WHERE asset = ?1 AND sensor = ?2 AND {where}",  # noqa: S608 - see below
                keys,
            )
        names = [(one.receipt.name,) for one in known]
        self._db.executemany("DELETE FROM receipt WHERE name = ?", names)
        self._db.executemany("DELETE FROM receipt_of WHERE name = ?", names)


_FOLDED_AWAY: Final = (
    ("hour_file", "?3 = 'raw' AND hour = ?4"),
    ("aggregate_file", "level = ?3 AND period = ?4"),
    ("aggregate", "?3 = 'minute' AND span = 'hour' AND number = ?4"),
)


def _given_back(known: Sequence[Known], rows: int) -> int:
    """How many rows of the tables these put back; one less than there are where one of them does not.

    An aggregate without the hour files it is made from has no place in what is kept of those.
    """
    hours = {(one.series, one.period) for one in known if one.level == "raw"}
    sensors = {series for series, _ in hours}
    whole = all(
        one.described
        and (one.series in sensors if one.level == "hour" else (one.series, one.period) in hours)
        for one in known
    )
    back = len(known) + sum(one.source is not None for one in known)
    return back if whole else min(back, rows - 1)


def _row(series: Series, day: int, files: Sequence[Known]) -> tuple[object, ...]:
    """The row of a sensor's day."""
    carries = {one.period: one.carry_out for one in files if one.level == "minute"}
    hours = [_held(one, carries.get(one.period)) for one in files if one.level == "raw"]
    day_file = next((one.receipt.digest for one in files if one.level == "hour"), None)
    return (
        *series,
        day,
        len(hours),
        sum(one.rows for one in hours),
        sum(one.size_bytes for one in hours),
        min((one.first_timestamp for one in hours), default=0),
        max((one.last_timestamp for one in hours), default=0),
        len(files),
        mask_of(one.hour for one in hours),
        mask_of(carries),
        day_file,
        pack(hours),
    )


def _held(one: Known, carry_out: str | None) -> HeldHour:
    times = one.first_timestamp or 0, one.last_timestamp or 0
    return HeldHour(
        one.period,
        one.local_rows,
        one.local_size,
        one.receipt.local_digest,
        *times,
        one.totals or b"",
        carry_out,
    )
