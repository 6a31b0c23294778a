"""What one file must be by itself: whole, as its footer says, in canonical order, a set, and in its place."""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.errors import Damaged, SensorStorageError
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour
from sensor_storage.storage.block_writer import RunningTotals
from sensor_storage.storage.digests import checked_digest, stored_digest
from sensor_storage.storage.findings import Finding, FindingKind, addresses
from sensor_storage.storage.footers import Footer, totals_of
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import HELD_BYTES, ROW_GROUP_ROWS, CheckedFile, open_parquet
from sensor_storage.storage.readings import Readings, conflicts, union

BLOCK_ROWS = ROW_GROUP_ROWS["hour"]
"""So many rows are looked at at once: row groups of every kind of file fill it."""

_TAIL_BYTES = 1 << 14
_REPLACE = "run `sensor-storage verify --repair`, or restore the file from a backup"


class MappedFile(CheckedFile):
    """A checked file that stays readable after it is removed, without being held in memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise Damaged(f"{path}: is empty") from error
        self.path = path
        self._held = None
        self.size_bytes = len(self._data)
        self.digest = checked_digest(self._data, path)
        self.parquet = open_parquet(pa.BufferReader(pa.py_buffer(self._data)))
        self._let_go()

    def rows(self, start: int, stop: int) -> Readings:
        """The rows from `start` up to `stop`."""
        rows = super().rows(start, stop)
        self._let_go()
        return rows

    def _let_go(self) -> None:
        """The kernel may have the pages back; they count as this process' memory."""
        if self.size_bytes > HELD_BYTES:
            self._data.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class FileState:
    """What a look at a file's last bytes tells: enough to see that it is another file than before."""

    size_bytes: int
    digest: str


def peek(path: Path) -> FileState | None:
    """Size and carried digest without reading the file; None where there is none; not checked."""
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
    except FileNotFoundError:
        return None
    try:
        return FileState(size, stored_digest(tail))
    except Damaged:
        return FileState(size, "")


def damaged(where: str, path: Path, error: Exception) -> Finding:
    """The finding for a file that cannot be read as data."""
    text = error.message if isinstance(error, SensorStorageError) else f"cannot be read: {error}"
    return Finding("damaged", where, text.removeprefix(f"{path}: "), _REPLACE)


def blocks_of(file: CheckedFile) -> Iterator[Readings]:
    """All rows, a bounded block at a time."""
    rows: int = file.parquet.metadata.num_rows
    if rows <= BLOCK_ROWS:
        yield file.readings()
        return
    for start in range(0, rows, BLOCK_ROWS):
        yield file.rows(start, min(start + BLOCK_ROWS, rows))


class RowChecks:
    """The checks of a file's rows, fed block by block; each kind of fault is one finding."""

    def __init__(self, where: str, footer: Footer) -> None:
        self.findings: list[Finding] = []
        self.first_timestamp = 0
        self.last_timestamp = 0
        self.doubles = 0
        self._where = where
        self._footer = footer
        self._rows = 0
        self._totals = RunningTotals()
        self._conflicts = 0
        self._last: Readings | None = None
        self._seen: set[FindingKind] = set()

    def feed(self, rows: Readings) -> Readings:
        """Check the next block; gives its rows as a set."""
        if not len(rows):
            return rows
        if not self._rows:
            self.first_timestamp = int(rows.timestamp[0])
        self.last_timestamp = int(rows.timestamp[-1])
        self._rows += len(rows)
        self._totals.add(totals_of(rows))
        self._conflicts += conflicts(rows)
        self._placed(rows)
        doubled = self._ordered(rows)
        doubled = doubled if len(doubled) else _repeated(rows)
        self._last = rows.slice(len(rows) - 1, len(rows))
        if not len(doubled):
            return rows
        self.doubles += len(doubled)
        self._note("double", f"{_named(rows, doubled)}: a reading stands in this file twice", _REPLACE)
        return union([rows, rows])

    def finish(self) -> None:
        """Compare the whole with the footer."""
        footer = self._footer
        if self._rows != footer.rows:
            self._note("damaged", f"holds {self._rows:,} rows, its footer says {footer.rows:,}", _REPLACE)
        if self._totals.result() != tuple(sorted(footer.totals)):
            self._note("changed", "the rows do not add up to the totals in the footer", _REPLACE)
        if footer.kind == "hour" and self._rows <= BLOCK_ROWS and self._conflicts != footer.conflicts:
            self._note(
                "changed", f"{self._conflicts} conflicts, its footer says {footer.conflicts}", _REPLACE
            )

    def _placed(self, rows: Readings) -> None:
        key = self._footer.sensor_hour
        if key is None:
            return
        start = key.hour * MICROSECONDS_PER_HOUR
        bad = (rows.timestamp < start) | (rows.timestamp >= start + MICROSECONDS_PER_HOUR)
        if not rows.series.is_only(key.series):
            used = rows.series.compact()
            strange = [code for code, series in enumerate(used.values) if series != key.series]
            bad |= np.isin(used.codes, strange)
        if bad.any():
            self._note("misplaced", f"{_named(rows, np.flatnonzero(bad))}: not of this sensor-hour", _REPLACE)

    def _ordered(self, rows: Readings) -> NDArray[np.int64]:
        """Check the order, also against the block before; gives the positions equal to the one before them."""
        if self._last is None and rows.series.is_only(rows.series[0]) and _rises(rows.timestamp):
            return np.empty(0, np.int64)
        joined = rows if self._last is None else Readings.concat([self._last, rows])
        shift = len(joined) - len(rows)
        series, time = joined.series.compact().ranks(), joined.timestamp
        up = (series[1:] > series[:-1]) | ((series[1:] == series[:-1]) & (time[1:] > time[:-1]))
        tied = np.flatnonzero(~up)
        if not len(tied):
            return tied
        source = joined.source.compact().ranks()
        columns = (series, time, source, joined.offset, joined.index)
        rising, falling = np.zeros(len(tied), np.bool_), np.zeros(len(tied), np.bool_)
        for column in columns:
            here, after = column[tied], column[tied + 1]
            falling |= ~rising & (after < here)
            rising |= ~falling & (after > here)
        if falling.any():
            at = tied[falling] + 1
            self._note("unsorted", f"{_named(joined, at)}: not in canonical order", _REPLACE)
        equal = tied[~rising & ~falling] + 1
        return _certain(joined, equal - 1, equal) - shift

    def _note(self, kind: FindingKind, detail: str, hint: str) -> None:
        if kind not in self._seen:
            self._seen.add(kind)
            self.findings.append(Finding(kind, self._where, detail, hint))


@dataclass(frozen=True, slots=True, eq=False)
class HourFileCheck:
    """An hour file that could be read: what it is, and its faults."""

    file: HourFile
    findings: list[Finding]
    doubles: int = 0


def check_hour_file(
    layout: Layout, path: Path, use: Callable[[Readings], None]
) -> HourFileCheck | list[Finding]:
    """Read and check the file; only findings where it must not be read as data.

    `use` gets its rows, block by block, each block a set. Raises FileNotFoundError when it is gone.
    """
    where = layout.relative(path)
    try:
        file = CheckedFile(path)
        footer = file.footer()
        if footer.kind != "hour" or footer.sensor_hour is None:
            return [Finding("misplaced", where, f"is a {footer.kind} file, not a sensor-hour's", _REPLACE)]
        checks = RowChecks(where, footer)
        for rows in blocks_of(file):
            use(checks.feed(rows))
        checks.finish()
    except (Damaged, pa.ArrowException, KeyError, ValueError, OverflowError) as error:
        return [damaged(where, path, error)]
    key = SensorHour(*footer.sensor_hour)
    if layout.hour_file(key) != path:
        right = layout.hour_name(key)
        checks.findings.append(Finding("misplaced", where, f"is the file of {right}", "move it there"))
    described = HourFile(
        key=key,
        path=path,
        rows=footer.rows,
        size_bytes=file.size_bytes,
        digest=file.digest,
        first_timestamp=checks.first_timestamp,
        last_timestamp=checks.last_timestamp,
        totals=footer.totals,
    )
    return HourFileCheck(described, checks.findings, checks.doubles)


def _rises(values: NDArray[np.int64]) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _repeated(rows: Readings) -> NDArray[np.int64]:
    """The positions of rows whose identity stood before, however far apart."""
    source = rows.source.codes
    if _rises(rows.offset) and (source[1:] == source[:-1]).all():
        return np.empty(0, np.int64)
    order = np.lexsort((rows.index, rows.offset, source))
    offset, index, ordered = rows.offset[order], rows.index[order], source[order]
    same = (offset[1:] == offset[:-1]) & (index[1:] == index[:-1]) & (ordered[1:] == ordered[:-1])
    return _certain(rows, order[:-1][same], order[1:][same])


def _certain(rows: Readings, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of pairs with one identity the second of each, unless an address proves nothing and contents differ."""
    if not len(one):
        return other
    sure = np.array([bool(s.topic_id) and s.leader_epoch >= 0 for s in rows.source.values])
    keep = sure[rows.source.codes[other]] | (rows.hashes[one] == rows.hashes[other])
    repeated: NDArray[np.int64] = other[keep]
    return repeated


def _named(rows: Readings, positions: NDArray[np.int64]) -> str:
    code = int(rows.source.codes[positions[0]])
    mine = positions[rows.source.codes[positions] == code]
    return addresses(rows.source.values[code], np.unique(rows.offset[mine]))
