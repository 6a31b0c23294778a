"""What is staged, indexed and held by a process that only reads.

Rows only ever move from staged files into runs and hour files, and the new place has its name before the old one
loses its own (`storage/compact.py`). So whoever holds all staged files first, and opens hour files after that,
misses no row that was durable when the look began; what stands in two places, the union by identity makes one.

To hold them all takes more than one listing of the directory. A listing is not one instant: it may miss a row
whose file is removed before the listing comes to it, and whose new file appears where the listing has been. So
`hold` lists until two listings in a row are the same and each file of them is held. A row both of them missed
would have had to move twice, into a run and out of it again, in the time of two listings; but compaction lists,
reads and indexes a run before it merges it further, so it is slower than that by itself. A file that is gone when
it is to be opened went between listing and opening: one more listing finds where its rows are now.

A file that is held stays readable when it has lost its name, as its bytes are mapped.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sensor_storage.errors import Damaged, Transient
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.file_checks import MappedFile
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.parquet import RowGroup
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.staging import SensorHourKeys, index_of

MAX_FILES = 4_000
MAX_ENTRIES = 4_000_000
"""More can't be looked into at once: an entry, a sensor-hour in a file, takes 32 bytes."""

CACHE_BYTES = 48_000_000
_ROW_BYTES = 80
_MAX_LOOKS = 100
_HALF = 1 << 31
"""The hours of a series are less than this from the one of 1970."""


class RowCache:
    """Row groups that were read lately, up to so many bytes."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_rows = max_bytes // _ROW_BYTES
        self._lock = Lock()
        self._held: OrderedDict[tuple[Path, int], Readings] = OrderedDict()
        self._rows = 0

    def find(self, key: tuple[Path, int]) -> Readings | None:
        """The rows, if they are still held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def keep(self, key: tuple[Path, int], rows: Readings) -> None:
        """Hold these rows too, and let go of the longest unused ones."""
        with self._lock:
            if key not in self._held:
                self._held[key] = rows
                self._rows += len(rows)
            while self._rows > self._max_rows and self._held:
                self._rows -= len(self._held.popitem(last=False)[1])

    def forget(self, paths: set[Path]) -> None:
        """These files are gone."""
        with self._lock:
            for key in [key for key in self._held if key[0] in paths]:
                self._rows -= len(self._held.pop(key))


class CachedFile(MappedFile):
    """A staged file whose row groups are kept a while; it may be read by several threads."""

    def __init__(self, path: Path, cache: RowCache) -> None:
        super().__init__(path)
        self._cache = cache
        self._lock = Lock()
        self._groups = super().groups() if self.parquet.metadata.num_rows else []

    def groups(self) -> list[RowGroup]:
        """The row groups, by their statistics."""
        return self._groups

    def rows(self, start: int, stop: int) -> Readings:
        """The rows from `start` up to `stop`."""
        parts = [
            self._group(number).slice(
                max(start, group.start) - group.start, min(stop, group.stop) - group.start
            )
            for number, group in enumerate(self._groups)
            if group.start < stop and group.stop > start
        ]
        return Readings.concat(parts)

    def _group(self, number: int) -> Readings:
        found = self._cache.find((self.path, number))
        if found is None:
            with self._lock:
                found = super().rows(self._groups[number].start, self._groups[number].stop)
            self._cache.keep((self.path, number), found)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class StagedIndex:
    """One staged file: its sensor-hours by ascending key, where the rows of each are, and its series' numbers."""

    name: StagedName
    file: CachedFile
    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    series: NDArray[np.int64]

    def between(self, first: int, last: int) -> slice:
        """The entries with keys from `first` to `last`."""
        start, stop = np.searchsorted(self.keys, [first, last + 1]).tolist()
        return slice(start, stop)


class SeriesNames:
    """The numbers that stand for series in keys, and the series as they were listed last. One thread at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.numbers = SensorHourKeys()
        self._listed = np.empty(0, np.int64)
        self._series: list[Series] = []

    def listed(self, numbers: NDArray[np.int64]) -> list[Series]:
        """The series of these numbers, in order. A plant's sensors are the same ones from one look to the next."""
        if not np.array_equal(numbers, self._listed):
            first = self.numbers.first_key
            self._series = sorted(self.numbers.sensor_hour(first(one)).series for one in numbers.tolist())
            self._listed = numbers
        return self._series


class HeldStaging:
    """All that was staged at one moment. `damaged` says of files that can't be read why."""

    def __init__(self, files: Sequence[StagedIndex], names: SeriesNames, damaged: dict[Path, str]) -> None:
        self.files = files
        self.damaged = damaged
        self._names = names

    def hours(self, series: Series, first: int, last: int) -> dict[int, int]:
        """The hours between the two, both included, of which rows are staged, and how many."""
        key = self._first_key(series)
        found: dict[int, int] = {}
        if key is None:
            return found
        for file in self.files:
            entries = file.between(key + first, key + last)
            hours = (file.keys[entries] - key).tolist()
            for hour, count in zip(hours, file.counts[entries].tolist(), strict=True):
                found[hour] = found.get(hour, 0) + count
        return found

    def has(self, series: Series) -> bool:
        """Are rows of it staged?"""
        first = self._first_key(series)
        if first is None:
            return False
        lowest, highest = first - _HALF, first + _HALF - 1
        return any(len(file.keys[file.between(lowest, highest)]) for file in self.files)

    def rows(self, key: SensorHour) -> list[tuple[CachedFile, int, int]]:
        """Where the staged rows of a sensor-hour are: files, and in each from which row up to which."""
        first = self._first_key(key.series)
        if first is None:
            return []
        found: list[tuple[CachedFile, int, int]] = []
        for file in self.files:
            entries = file.between(first + key.hour, first + key.hour)
            for start, count in zip(
                file.starts[entries].tolist(), file.counts[entries].tolist(), strict=True
            ):
                found.append((file.file, start, start + count))
        return found

    def spans(self, key: SensorHour) -> list[tuple[int, int, int]]:
        """How many rows of a sensor-hour each file has, and between which timestamps the row groups they are in."""
        found = []
        for file, start, stop in self.rows(key):
            groups = [group for group in file.groups() if group.start < stop and group.stop > start]
            first = min(group.first_timestamp for group in groups)
            found.append((stop - start, first, max(group.last_timestamp for group in groups)))
        return found

    def series(self) -> list[Series]:
        """Every series of which rows are staged."""
        numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(file.series for file in self.files)]))
        with self._names.lock:
            return self._names.listed(numbers)

    def _first_key(self, series: Series) -> int | None:
        with self._names.lock:
            number = self._names.numbers.number(series)
        return None if number is None else SensorHourKeys.first_key(number)


class StagedView:
    """The staged files of one data directory, each opened, checked and indexed once. Safe for several threads."""

    def __init__(self, layout: Layout, cache: RowCache | None = None) -> None:
        self._layout = layout
        self._cache = cache or RowCache()
        self._lock = Lock()
        self._names = SeriesNames()
        self._files: dict[StagedName, StagedIndex] = {}
        self._damaged: dict[Path, str] = {}

    def hold(self) -> HeldStaging:
        """All that is staged now; see above. Transient while there is more than can be looked into."""
        with self._lock:
            before: dict[StagedName, Path] | None = None
            for _ in range(_MAX_LOOKS):
                listed = dict(self._layout.staged_files())
                if not self._take(listed):
                    before = None
                elif listed == before:
                    return self._held(listed)
                else:
                    before = listed
        raise Transient("look into staging: it changes faster than it can be read", hint="ask again")

    def _take(self, listed: dict[StagedName, Path]) -> bool:
        """Hold every listed file; False when one of them was gone."""
        if len(listed) > MAX_FILES:
            raise _too_much(f"{len(listed):,} files")
        complete = True
        for name, path in listed.items():
            if name in self._files or path in self._damaged:
                continue
            try:
                self._files[name] = self._indexed(name, path)
            except FileNotFoundError:
                complete = False
            except Damaged as error:
                self._damaged[path] = str(error)
            if sum(len(file.keys) for file in self._files.values()) > MAX_ENTRIES:
                raise _too_much("too many sensor-hours")
        return complete

    def _indexed(self, name: StagedName, path: Path) -> StagedIndex:
        file = CachedFile(path, self._cache)
        file.footer()
        with self._names.lock:
            keys, starts, counts = index_of(file, self._names.numbers)
        order = np.argsort(keys)
        keys = keys[order]
        return StagedIndex(
            name, file, keys, starts[order], counts[order], SensorHourKeys.series_numbers(keys)
        )

    def _held(self, listed: dict[StagedName, Path]) -> HeldStaging:
        """What is held now; what is no longer listed is let go, as its rows have another place."""
        gone = {self._files[name].file.path for name in self._files.keys() - listed.keys()}
        self._files = {name: file for name, file in self._files.items() if name in listed}
        self._damaged = {path: why for path, why in self._damaged.items() if path in listed.values()}
        self._cache.forget(gone)
        files = [self._files[name] for name in sorted(self._files)]
        return HeldStaging(files, self._names, dict(self._damaged))


def _too_much(what: str) -> Transient:
    return Transient(
        f"look into staging: {what} wait to be put in their place",
        hint="wait until compaction has caught up; `sensor-storage status` tells how much waits",
    )
