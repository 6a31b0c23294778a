"""What is stored of each message: how many readings, their hashes' sum, whether it is a dead letter.

Arrays over windows of offsets: 13 bytes a message, whatever the readings are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.readings import Readings

MOST_OFFSETS = 1 << 23
"""So many are held at once."""


class Window(NamedTuple):
    """The offsets from `start` up to `stop` of a partition, under every leader epoch."""

    topic: str
    topic_id: str
    partition: int
    start: int
    stop: int

    @property
    def place(self) -> tuple[str, str, int]:
        """Which partition."""
        return self.topic, self.topic_id, self.partition


def plan_passes(windows: Sequence[Window], most: int = MOST_OFFSETS) -> Iterator[list[Window]]:
    """The windows cut and grouped so that no group has more than so many offsets, or two of one partition."""
    held: dict[tuple[str, str, int], Window] = {}
    room = most
    for window in windows:
        start = window.start
        while start < window.stop:
            if window.place in held or not room:
                yield list(held.values())
                held, room = {}, most
            stop = min(window.stop, start + room)
            held[window.place] = window._replace(start=start, stop=stop)
            room -= stop - start
            start = stop
    if held:
        yield list(held.values())


class Held(NamedTuple):
    """By message: its readings, the sum of their hashes, and whether it is kept as a dead letter."""

    readings: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    letter: NDArray[np.bool_]


class _Table:
    def __init__(self, window: Window) -> None:
        self.window = window
        self.readings = np.zeros(window.stop - window.start, np.uint32)
        self.hashes = np.zeros(window.stop - window.start, np.uint64)
        self.letter = np.zeros(window.stop - window.start, np.bool_)

    def inside(self, offset: NDArray[np.int64]) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = (offset >= self.window.start) & (offset < self.window.stop)
        return mask


class Holdings:
    """What the tree holds of the messages in windows of offsets, one window a partition."""

    def __init__(self, windows: Sequence[Window], letters: Mapping[Source, NDArray[np.int64]]) -> None:
        self._windows = {window.place: window for window in windows}
        self._tables: dict[Source, _Table] = {}
        for source, offsets in letters.items():
            if table := self._table(source):
                table.letter[offsets[table.inside(offsets)] - table.window.start] = True

    def add(self, rows: Readings) -> None:
        """Count a block of readings; the blocks together must be a set."""
        for code, source in enumerate(rows.source.values):
            table = self._table(source)
            if table is None:
                continue
            mine = np.flatnonzero((rows.source.codes == code) & table.inside(rows.offset))
            if len(mine):
                places = rows.offset[mine] - table.window.start
                np.add.at(table.readings, places, np.uint32(1))
                np.add.at(table.hashes, places, rows.hashes[mine])

    def of(self, source: Source, offsets: NDArray[np.int64]) -> Held:
        """What is held of these messages, which must be in the source's window."""
        table = self._tables.get(source)
        if table is None:
            none = np.zeros(len(offsets), np.int64)
            return Held(none, none.astype(np.uint64), none.astype(np.bool_))
        places = offsets - table.window.start
        return Held(table.readings[places].astype(np.int64), table.hashes[places], table.letter[places])

    def held(self) -> Iterator[tuple[Source, NDArray[np.int64]]]:
        """By source the offsets of which anything is held, in order."""
        for source, table in self._tables.items():
            found = np.flatnonzero((table.readings > 0) | table.letter) + table.window.start
            if len(found):
                yield source, found

    def _table(self, source: Source) -> _Table | None:
        if source not in self._tables:
            window = self._windows.get(source[:3])
            if window is None:
                return None
            self._tables[source] = _Table(window)
        return self._tables[source]


class Elements:
    """Which readings of a few messages are held, by their index."""

    def __init__(self, wanted: Mapping[Source, NDArray[np.int64]]) -> None:
        self._wanted = wanted
        self._found: dict[tuple[Source, int], set[int]] = {}

    def add(self, rows: Readings) -> None:
        """Look for them in a block."""
        for code, source in enumerate(rows.source.values):
            if source not in self._wanted:
                continue
            mine = np.flatnonzero((rows.source.codes == code) & np.isin(rows.offset, self._wanted[source]))
            for offset, index in zip(rows.offset[mine].tolist(), rows.index[mine].tolist(), strict=True):
                self._found.setdefault((source, offset), set()).add(index)

    def of(self, source: Source, offset: int) -> set[int]:
        """The indices that are held of a message."""
        return self._found.get((source, offset), set())
