"""The staging area: segments as they were consumed, and the larger runs they are merged into.

Every staged file is in canonical order, so the rows of one sensor-hour stand together in it. Its index says
which sensor-hours it holds, where, and how many of their rows still wait for their hour file.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensor_storage.errors import Damaged
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.footers import Footer, refuse_newer
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry, unknown
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn, factorize, run_starts

MAX_INDEX_ENTRIES = 1_500_000
"""Younger files wait until merging has made room in the index: an entry takes 32 bytes, and 140 while in use."""

_HOUR_BITS = 32
_HOUR_MASK = (1 << _HOUR_BITS) - 1
_HOUR_ZERO = 1 << (_HOUR_BITS - 1)
"""Hours before 1970 are negative."""

Keys = NDArray[np.int64]


class SensorHourKeys:
    """Sensor-hours as single integers: the series' number in this process above, the hour below."""

    def __init__(self) -> None:
        self._assets = _Names()
        self._sensors = _Names()
        self._pairs = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)
        """`_pairs` are sorted; each has its number here."""
        self._pair_of = np.empty(0, np.int64)
        self._ranks = np.empty(0, np.int64)

    def keys(self, series: SeriesColumn, hours: NDArray[np.int64]) -> Keys:
        """For each row the key of its sensor-hour."""
        pairs = self._assets.numbers(series.asset) << _HOUR_BITS | self._sensors.numbers(series.sensor)
        codes, rows = factorize(pairs)
        numbers = self._known(pairs[rows])
        return (numbers[codes] << _HOUR_BITS) + (hours + _HOUR_ZERO)

    def number(self, series: Series) -> int | None:
        """The series' number if it has one; the key of its hour `h` is `first_key(number) + h`."""
        asset, sensor = self._assets.number(series.asset), self._sensors.number(series.sensor)
        if asset is None or sensor is None:
            return None
        pair = asset << _HOUR_BITS | sensor
        place = int(np.searchsorted(self._pairs, pair))
        known = place < len(self._pairs) and self._pairs[place] == pair
        return int(self._numbers[place]) if known else None

    @staticmethod
    def first_key(number: int) -> int:
        """The key of the series' hour 0."""
        return (number << _HOUR_BITS) + _HOUR_ZERO

    @staticmethod
    def series_numbers(keys: Keys) -> NDArray[np.int64]:
        """The numbers of the series that have some of these keys, which ascend; ascending too, each once."""
        numbers = keys >> _HOUR_BITS
        return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]

    def sensor_hour(self, key: int) -> SensorHour:
        """What the key stands for."""
        pair = int(self._pair_of[key >> _HOUR_BITS])
        series = Series(self._assets[pair >> _HOUR_BITS], self._sensors[pair & _HOUR_MASK])
        return SensorHour(series, (key & _HOUR_MASK) - _HOUR_ZERO)

    def hours(self, keys: Keys) -> NDArray[np.int64]:
        """The hour of each key."""
        hours: NDArray[np.int64] = (keys & _HOUR_MASK) - _HOUR_ZERO
        return hours

    def canonical(self, keys: Keys) -> Keys:
        """For each key an integer that orders as its series by name, then its hour."""
        if len(self._ranks) != len(self._pair_of):
            assets, sensors = self._assets.ranks(), self._sensors.ranks()
            order = np.lexsort((sensors[self._pair_of & _HOUR_MASK], assets[self._pair_of >> _HOUR_BITS]))
            self._ranks = np.empty(len(order), np.int64)
            self._ranks[order] = np.arange(len(order))
        order_of: NDArray[np.int64] = (self._ranks[keys >> _HOUR_BITS] << _HOUR_BITS) | (keys & _HOUR_MASK)
        return order_of

    def _known(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of distinct pairs in ascending order; a new one gets the next number."""
        places = np.searchsorted(self._pairs, pairs)
        inside = np.minimum(places, max(len(self._pairs) - 1, 0))
        new = self._pairs[inside] != pairs if len(self._pairs) else np.ones(len(pairs), np.bool_)
        if new.any():
            added = pairs[new]
            numbers = len(self._pair_of) + np.arange(len(added))
            self._pair_of = np.concatenate([self._pair_of, added])
            self._numbers = np.insert(self._numbers, places[new], numbers)
            self._pairs = np.insert(self._pairs, places[new], added)
            places = np.searchsorted(self._pairs, pairs)
        return self._numbers[places]


class _Names(list[str]):
    """Names in the order in which they were first seen; the place is the name's number."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[str, int] = {}

    def numbers(self, column: Coded[str]) -> NDArray[np.int64]:
        """For each row the number of its name; a new name gets the next."""
        known = [self._numbers.setdefault(name, len(self._numbers)) for name in column.values]
        if len(self._numbers) > len(self):
            self[:] = self._numbers
        return np.array(known, np.int64)[column.codes]

    def number(self, name: str) -> int | None:
        """The name's number, if it was seen."""
        return self._numbers.get(name)

    def ranks(self) -> NDArray[np.int64]:
        """For each number the place of its name in sorted order."""
        ranks = np.empty(len(self), np.int64)
        ranks[sorted(range(len(self)), key=self.__getitem__)] = np.arange(len(self))
        return ranks


class StagedDamaged(Damaged):
    """A staged file was damaged after it had been indexed."""

    def __init__(self, name: StagedName, path: Path, error: Damaged) -> None:
        super().__init__(error.message, hint=error.hint)
        self.name = name
        self.path = path


@dataclass(eq=False)
class StagedFile:
    """One segment or run.

    `keys`, `starts` and `counts` index its sensor-hours; `waiting` counts the rows of each that are not yet
    known to be in their hour file.
    """

    name: StagedName
    path: Path
    footer: Footer
    size_bytes: int
    keys: Keys
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    waiting: NDArray[np.int64]

    @property
    def drained(self) -> bool:
        """Is every row in a durable hour file?"""
        return not self.waiting.any()

    def opened(self) -> CheckedFile:
        """The file, checked once more, open for reading."""
        try:
            return CheckedFile(self.path)
        except Damaged as error:
            raise StagedDamaged(self.name, self.path, error) from error

    def read(self, entries: NDArray[np.int64], file: CheckedFile) -> Readings:
        """The rows of the index entries, in ascending order, from the opened file."""
        starts, stops = self.starts[entries], self.starts[entries] + self.counts[entries]
        if np.array_equal(starts[1:], stops[:-1]):
            return file.rows(int(starts[0]), int(stops[-1]))
        return file.spans(starts, stops)


class Staging:
    """The live staged files, kept in step with the directory."""

    def __init__(self, layout: Layout, max_entries: int = MAX_INDEX_ENTRIES) -> None:
        self._layout = layout
        self._max_entries = max_entries
        self._files: dict[StagedName, StagedFile] = {}
        self.keys = SensorHourKeys()
        self.damaged: dict[Path, str] = {}
        self.complete = False
        """Is every file that was there at the last look among the live ones?"""

    def refresh(self) -> list[StagedFile]:
        """The live files, oldest first, as many as the index has room for, and two at least.

        A damaged one is left where it is and listed in `damaged`.
        """
        present = dict(self._layout.staged_files())
        self._files = {name: file for name, file in self._files.items() if name in present}
        self.damaged = {path: why for path, why in self.damaged.items() if path in present.values()}
        self.complete = True
        held = sum(len(file.keys) for file in self._files.values())
        created = 0
        for name, path in present.items():
            if name in self._files or path in self.damaged:
                continue
            if held >= self._max_entries and len(self._files) > 1 and name.created != created:
                self.complete = False
                break
            created = name.created  # a run and its oldest input are looked at together
            held += self._load(name, path)
        return self.live

    def footers(self) -> Iterator[tuple[StagedName, Path, Footer]]:
        """What every sound file in the directory says of itself, whether or not the index has room for it."""
        for name, path in self._layout.staged_files():
            with suppress(FileNotFoundError, Damaged):
                yield name, path, CheckedFile(path).footer()

    @property
    def live(self) -> list[StagedFile]:
        """The files as last seen, oldest first."""
        return [self._files[name] for name in sorted(self._files)]

    def oldest_hour(self) -> int | None:
        """The oldest hour of which live files have rows that wait for their hour file."""
        waiting = [file.keys[file.waiting > 0] for file in self._files.values()]
        return min((int(self.keys.hours(keys).min()) for keys in waiting if len(keys)), default=None)

    def forget(self, files: Sequence[StagedFile]) -> None:
        """These files have been removed."""
        for file in files:
            self._files.pop(file.name, None)

    def exclude(self, error: StagedDamaged) -> None:
        """Leave the file where it is, and out of every merge."""
        self._files.pop(error.name, None)
        self.damaged[error.path] = str(error)

    def _load(self, name: StagedName, path: Path) -> int:
        """Take the file in; how many entries its index has."""
        try:
            file = CheckedFile(path)
            refuse_newer(file.footer(), path)
            self._files[name] = self._indexed(name, file)
        except FileNotFoundError:
            return 0
        except Damaged as error:
            self.damaged[path] = str(error)
            return 0
        return len(self._files[name].keys)

    def _indexed(self, name: StagedName, file: CheckedFile) -> StagedFile:
        keys, starts, counts = index_of(file, self.keys)
        return StagedFile(
            name=name,
            path=file.path,
            footer=file.footer(),
            size_bytes=file.size_bytes,
            keys=keys,
            starts=starts,
            counts=counts,
            waiting=counts.copy(),
        )


def index_of(file: CheckedFile, numbers: SensorHourKeys) -> tuple[Keys, NDArray[np.int64], NDArray[np.int64]]:
    """Which sensor-hours a staged file holds, in its order: their keys, where they start, and their rows."""
    keys, starts, rows = np.empty(0, np.int64), np.empty(0, np.int64), 0
    for series, timestamp in file.series_and_timestamps():
        row_keys = numbers.keys(series, timestamp // MICROSECONDS_PER_HOUR)
        begins = run_starts(row_keys)
        if len(keys) and keys[-1] == row_keys[0]:
            begins = begins[1:]
        keys, starts = np.append(keys, row_keys[begins]), np.append(starts, begins + rows)
        rows += len(row_keys)
    return keys, starts, np.diff(starts, append=rows)


@dataclass(frozen=True, eq=False)
class Waiting:
    """The sensor-hours with waiting rows: how many, and since when (ms, by the oldest file that has some)."""

    keys: Keys
    rows: NDArray[np.int64]
    since: NDArray[np.int64]

    @classmethod
    def over(cls, files: Sequence[StagedFile]) -> "Waiting":
        """Summed over the files."""
        some = [np.flatnonzero(file.waiting) for file in files]
        none = np.empty(0, np.int64)
        keys = np.concatenate([none, *(file.keys[i] for file, i in zip(files, some, strict=True))])
        rows = np.concatenate([none, *(file.waiting[i] for file, i in zip(files, some, strict=True))])
        created = np.concatenate(
            [none, *(np.full(len(i), file.name.created) for file, i in zip(files, some, strict=True))]
        )
        unique, places = np.unique(keys, return_inverse=True)
        since = np.full(len(unique), np.iinfo(np.int64).max)
        np.minimum.at(since, places, created)
        total = np.zeros(len(unique), np.int64)
        np.add.at(total, places, rows)
        return cls(unique, total, since)


def superseded(files: Iterable[tuple[StagedName, Path, Footer]]) -> list[Path]:
    """The files whose every ledger entry a run of a higher level answers for: its inputs, and their inputs.

    A run is durable before its inputs go, and answers for an address only with all of its rows. Left where it
    is, an input would bring its entries into the ledger a second time, joined along other borders. A file without
    entries is no input of any: a repair wrote it.
    """
    left: list[Path] = []
    above: list[LedgerEntry] = []
    by_level = sorted(((name.level, path, footer.ledger) for name, path, footer in files), reverse=True)
    for _, group in groupby(by_level, key=itemgetter(0)):
        level = list(group)
        left += [path for _, path, ledger in level if above and ledger and not unknown(ledger, above)]
        above += [entry for _, _, ledger in level for entry in ledger]
    return left
