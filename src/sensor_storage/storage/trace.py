"""Which message, in which file: the rows of a few suspicious offset ranges, looked at one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.findings import Finding, FindingKind, addresses, span_name
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.tally import Difference

MAX_TRACED_ROWS = 4_000_000
"""So many rows are held to name what is wrong; beyond that only the ranges are named."""

_MAX_FILES = 3
_FEW = 20
_REPAIR = "run `sensor-storage verify --repair`: Kafka may still have the messages"
_IMPORT = (
    "import that file again by `sensor-storage backfill`; if its hours were uploaded, `sensor-storage rebuild` with"
    " COLD_STORE_URL finds them"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    offset: NDArray[np.int64]
    index: NDArray[np.int64]
    file: NDArray[np.int64]


class Trace:
    """Collects the rows of the ranges of earlier differences, to explain those that remain."""

    def __init__(self, suspects: Sequence[Difference] = ()) -> None:
        self._ranges: dict[Source, list[tuple[int, int]]] = {}
        for item in suspects:
            self._ranges.setdefault(item.source, []).append((item.start, item.stop))
        self._parts: dict[Source, list[_Rows]] = {}
        self._letters: dict[Source, NDArray[np.int64]] = {}
        self._files: list[str] = []
        self._held = 0

    def covers(self, differences: Sequence[Difference]) -> bool:
        """Were the rows of all these ranges collected?"""
        return all((item.start, item.stop) in self._ranges.get(item.source, ()) for item in differences)

    def add(self, rows: Readings, where: str) -> None:
        """Remember the block's rows that lie in a watched range."""
        if not self._ranges or self._held >= MAX_TRACED_ROWS:
            return
        for code, source in enumerate(rows.source.values):
            if source not in self._ranges:
                continue
            mine = rows.source.codes == code
            watched = np.zeros(len(rows), np.bool_)
            for start, stop in self._ranges[source]:
                watched |= mine & (rows.offset >= start) & (rows.offset < stop)
            found = np.flatnonzero(watched)
            if len(found):
                part = _Rows(
                    rows.offset[found],
                    rows.index[found].astype(np.int64),
                    np.full(len(found), len(self._files), np.int64),
                )
                self._parts.setdefault(source, []).append(part)
                self._held += len(found)
        self._files.append(where)

    def add_letters(self, source: Source, offsets: NDArray[np.int64]) -> None:
        """Remember the offsets of a source's dead letters."""
        self._letters[source] = offsets

    def explain(self, item: Difference, answered: int) -> Finding:
        """The finding for one difference; `answered` is how many messages its ledger entry counts."""
        gaps = _Explanation(item, self._rows(item))
        few = self._held < MAX_TRACED_ROWS
        words = [_sums(item)]
        named = gaps.words(self._letters_in(item), answered, self._files) if few else []
        kind: FindingKind = "missing" if item.missing else "double" if item.surplus else "changed"
        where = gaps.where or span_name(item.source, item.start, item.stop)
        hint = _IMPORT if item.source.is_import else _REPAIR
        return Finding(kind, where, "; ".join([*words, *named]), hint)

    def _rows(self, item: Difference) -> _Rows:
        parts = self._parts.get(item.source, [])
        none = np.empty(0, np.int64)
        rows = _Rows(
            np.concatenate([none, *(part.offset for part in parts)]),
            np.concatenate([none, *(part.index for part in parts)]),
            np.concatenate([none, *(part.file for part in parts)]),
        )
        mine = np.flatnonzero((rows.offset >= item.start) & (rows.offset < item.stop))
        order = mine[np.lexsort((rows.index[mine], rows.offset[mine]))]
        return _Rows(rows.offset[order], rows.index[order], rows.file[order])

    def _letters_in(self, item: Difference) -> NDArray[np.int64]:
        letters = self._letters.get(item.source, np.empty(0, np.int64))
        return letters[(letters >= item.start) & (letters < item.stop)]


class _Explanation:
    """What the rows of one range say about what is wrong in it. Rows are in order of offset and index."""

    def __init__(self, item: Difference, rows: _Rows) -> None:
        self._item = item
        self._rows = rows
        self.where = ""

    def words(self, letters: NDArray[np.int64], answered: int, files: Sequence[str]) -> list[str]:
        """Sentences that name messages and files; `where` is set to the best of them."""
        found = [
            self._doubled(files),
            self._holed(files),
            self._absent(letters, answered),
            self._short(files),
        ]
        return [words for words in found if words]

    def _doubled(self, files: Sequence[str]) -> str:
        rows = self._rows
        same = (rows.offset[1:] == rows.offset[:-1]) & (rows.index[1:] == rows.index[:-1])
        if not same.any() or not self._item.surplus:
            return ""
        among = np.union1d(np.flatnonzero(same), np.flatnonzero(same) + 1)
        return f"readings of {self._name(rows.offset[among])} stand in {self._in(among, files)}"

    def _holed(self, files: Sequence[str]) -> str:
        """Messages whose indices are not 0, 1, 2, …: a reading of each is gone."""
        rows = self._rows
        if not len(rows.offset) or not self._item.missing:
            return ""
        fresh = np.append(True, np.diff(rows.offset) > 0)
        begin = np.maximum.accumulate(np.where(fresh, np.arange(len(fresh)), 0))
        holed = np.isin(rows.offset, rows.offset[rows.index > np.arange(len(fresh)) - begin])
        if not holed.any():
            return ""
        return (
            f"{self._name(rows.offset[holed])} lacks a reading between others of its indices"
            f" (the others are in {self._in(np.flatnonzero(holed), files)})"
        )

    def _absent(self, letters: NDArray[np.int64], answered: int) -> str:
        item = self._item
        if item.found[0] + item.found[2] >= item.expected[0] + item.expected[2]:
            return ""
        there = np.union1d(self._rows.offset, letters)
        span = item.stop - item.start
        if span > MAX_TRACED_ROWS:
            return ""
        absent = np.setdiff1d(np.arange(item.start, item.stop), there)
        lost = item.expected[0] + item.expected[2] - item.found[0] - item.found[2]
        certain = len(absent) == lost or (answered == span and len(absent) == lost)
        return ("" if certain else "among ") + f"{self._name(absent)} not found at all"

    def _short(self, files: Sequence[str]) -> str:
        """Where nothing else tells: the few messages with fewer readings than most in the range have."""
        if self.where or not self._item.missing or not len(self._rows.offset):
            return ""
        offsets, counts = np.unique(self._rows.offset, return_counts=True)
        few = offsets[counts < np.bincount(counts).argmax()]
        if not 0 < len(few) <= _FEW:
            return ""
        among = np.flatnonzero(np.isin(self._rows.offset, few))
        return f"{self._name(few)} has fewer readings than its neighbours (in {self._in(among, files)})"

    def _name(self, offsets: NDArray[np.int64]) -> str:
        named = addresses(self._item.source, np.unique(offsets))
        self.where = self.where or named
        return named

    def _in(self, rows: NDArray[np.int64], files: Sequence[str]) -> str:
        names = [files[number] for number in np.unique(self._rows.file[rows]).tolist()]
        more = f" and {len(names) - _MAX_FILES} more" if len(names) > _MAX_FILES else ""
        return ", ".join(names[:_MAX_FILES]) + more


def _sums(item: Difference) -> str:
    expected, found = item.expected, item.found
    parts = [
        f"{have:,} of {want:,} {noun}"
        for noun, want, have in (
            ("messages", expected.messages, found.messages),
            ("readings", expected.readings, found.readings),
            ("dead letters", expected.dead_letters, found.dead_letters),
        )
        if want != have
    ]
    inside = f"offsets {item.start}…{item.stop - 1}"
    return f"{inside}: {', '.join(parts)}" if parts else f"{inside}: the readings' contents differ"
