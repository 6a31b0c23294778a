"""Does the tree add up to the ledger? Sums by source and offset range, never an object a row.

The offsets of a source are cut at every start and stop of its ledger entries. Between two cuts the tally adds
up readings, row hashes (mod 2^64), dead letters, and messages: a message with readings is its reading of index
0. Each entry is then the sum over its cuts, also where entries overlap.

Where the broker gives no topic ids a replay is consumed again, so overlapping entries there are bounds: each
entry's readings are all present, and there are not more than all entries together brought.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.footers import Totals
from sensor_storage.storage.ledger import LedgerEntry, uncovered
from sensor_storage.storage.readings import Readings

_HASH_MODULUS = 1 << 64
_PAGE_BITS = 16


class Counts(NamedTuple):
    """Messages with readings, their readings, dead letters and the sum of row hashes."""

    messages: int
    readings: int
    dead_letters: int
    hash_sum: int

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> "Counts":
        """What the entries say, summed."""
        entries = list(entries)
        return cls(
            sum(entry.messages - entry.dead_letters - entry.empty for entry in entries),
            sum(entry.readings for entry in entries),
            sum(entry.dead_letters for entry in entries),
            sum(entry.hash_sum for entry in entries) % _HASH_MODULUS,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A range of one source for which the tree holds other than the ledger says; `whole` spans the source."""

    source: Source
    start: int
    stop: int
    expected: Counts
    found: Counts
    whole: bool = False

    @property
    def missing(self) -> int:
        """Readings and dead letters the tree lacks."""
        return max(0, self.expected.readings - self.found.readings) + max(
            0, self.expected.dead_letters - self.found.dead_letters
        )

    @property
    def surplus(self) -> int:
        """Readings and dead letters the tree has too many."""
        return max(0, self.found.readings - self.expected.readings) + max(
            0, self.found.dead_letters - self.expected.dead_letters
        )


class OffsetSet:
    """A set of offsets, one bit each over the pages it touches."""

    def __init__(self) -> None:
        self._pages: dict[int, NDArray[np.uint8]] = {}

    def add(self, offsets: NDArray[np.int64]) -> None:
        """Put in the offsets."""
        pages = offsets >> _PAGE_BITS
        for page in np.unique(pages).tolist():
            bits = np.zeros(1 << _PAGE_BITS, np.bool_)
            bits[offsets[pages == page] & ((1 << _PAGE_BITS) - 1)] = True
            packed = np.packbits(bits)
            held = self._pages.get(page)
            self._pages[page] = packed if held is None else held | packed

    def pages(self) -> Iterator[NDArray[np.int64]]:
        """The offsets in order, page by page."""
        for page in sorted(self._pages):
            offsets: NDArray[np.int64] = np.flatnonzero(np.unpackbits(self._pages[page]))
            yield offsets + (page << _PAGE_BITS)


class SourceTally:
    """The sums of one source, cut at the bounds of its ledger entries."""

    def __init__(self, entries: Sequence[LedgerEntry], replays: Sequence[LedgerEntry] = ()) -> None:
        self.entries = tuple(entries)
        self._replays = sorted(replays)
        self._replayed = np.array([entry.start for entry in self._replays], np.int64)
        bounds = [bound for entry in (*entries, *replays) for bound in (entry.start, entry.stop)]
        self._edges = np.unique(np.array(bounds, np.int64))
        width = len(self._edges) + 1
        self._readings = np.zeros(width, np.int64)
        self._messages = np.zeros(width, np.int64)
        self._letters = np.zeros(width, np.int64)
        self._hashes = np.zeros(width, np.uint64)
        depth = np.zeros(width + 1, np.int64)
        for entry in entries:
            span = self._span(entry.start, entry.stop)
            depth[span.start] += 1
            depth[span.stop] -= 1
        self._depth = np.cumsum(depth)[:width]
        self._trusted_readings = 0
        self._trusted_hashes = 0
        self.overlapping = bool((self._depth > 1).any())
        self.unanswered = OffsetSet()

    def add_rows(
        self, offset: NDArray[np.int64], index: NDArray[np.int32], hashes: NDArray[np.uint64]
    ) -> None:
        """Count readings."""
        low, high = np.searchsorted(self._edges, [offset.min(), offset.max()], side="right")
        if low == high:
            self._readings[low] += len(offset)
            self._messages[low] += np.count_nonzero(index == 0)
            self._hashes[low : low + 1] += hashes.sum(dtype=np.uint64)
            if not self._depth[low]:
                self.unanswered.add(offset)
            return
        places = np.searchsorted(self._edges, offset, side="right")
        width = len(self._readings)
        self._readings += np.bincount(places, minlength=width)
        self._messages += np.bincount(places[index == 0], minlength=width)
        np.add.at(self._hashes, places, hashes)
        loose = self._depth[places] == 0
        if loose.any():
            self.unanswered.add(offset[loose])

    def add_letters(self, offset: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count dead letters, each offset once, but for those replayed; which of them no entry answers for."""
        offset = offset[~np.isin(offset, self._replayed)]
        places = np.searchsorted(self._edges, offset, side="right")
        self._letters += np.bincount(places, minlength=len(self._letters))
        loose: NDArray[np.int64] = offset[self._depth[places] == 0]
        return loose

    def trust(self, totals: Totals) -> None:
        """Count a file by what is known of it, without its rows."""
        self._trusted_readings += totals.readings
        self._trusted_hashes += totals.hash_sum

    def answers_for(self, offset: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For each offset: does an entry answer for it?"""
        answered: NDArray[np.bool_] = self._depth[np.searchsorted(self._edges, offset, side="right")] > 0
        return answered

    def differences(self, source: Source) -> Iterator[Difference]:
        """Where the tree differs from the ledger: by entry, or over the whole source if files were trusted."""
        if not self.entries:
            return
        if self._trusted_readings:
            yield from self._whole_difference(source)
        elif self.overlapping and not source.topic_id:
            for cluster in _clusters(self.entries):
                yield from self._cluster_differences(source, cluster)
        else:
            for entry in self.entries:
                yield from _exact(source, entry.start, entry.stop, self._told([entry]), self._found([entry]))

    def stored(self) -> Counts:
        """What the tree holds of it; of trusted files the messages are known only from the ledger.

        Dead letters come a moment before the entry that answers for them, and are pending until then.
        """
        known = self._told(self.entries).messages if self._trusted_readings else int(self._messages.sum())
        return Counts(
            known,
            int(self._readings.sum()) + self._trusted_readings,
            int(self._letters[self._depth > 0].sum()),
            (int(self._hashes.sum(dtype=np.uint64)) + self._trusted_hashes) % _HASH_MODULUS,
        )

    def holes(self) -> list[tuple[int, int]]:
        """The ranges between its first and last offset that no entry answers for."""
        return [
            (int(self._edges[place - 1]), int(self._edges[place]))
            for place in range(1, len(self._edges))
            if not self._depth[place]
        ]

    def _told(self, entries: Sequence[LedgerEntry]) -> Counts:
        """What the entries say, the replays in their ranges counted in."""
        if not self._replays:
            return Counts.of(entries)
        first = np.searchsorted(self._replayed, [entry.start for entry in entries])
        stop = np.searchsorted(self._replayed, [entry.stop for entry in entries])
        places = {place for low, high in zip(first, stop, strict=True) for place in range(low, high)}
        return Counts.of([*entries, *(self._replays[place] for place in sorted(places))])

    def _span(self, start: int, stop: int) -> slice:
        low, high = np.searchsorted(self._edges, [start, stop], side="right")
        return slice(int(low), int(high))

    def _found(self, cluster: Sequence[LedgerEntry]) -> Counts:
        span = self._span(cluster[0].start, max(entry.stop for entry in cluster))
        return Counts(
            int(self._messages[span].sum()),
            int(self._readings[span].sum()),
            int(self._letters[span].sum()),
            int(self._hashes[span].sum(dtype=np.uint64)),
        )

    def _cluster_differences(self, source: Source, cluster: Sequence[LedgerEntry]) -> Iterator[Difference]:
        found = self._found(cluster)
        stop = max(entry.stop for entry in cluster)
        if len(cluster) == 1:
            yield from _exact(source, cluster[0].start, stop, self._told(cluster), found)
            return
        for entry in cluster:
            expected, held = self._told([entry]), self._found([entry])
            if any(have < want for have, want in zip(held[:3], expected[:3], strict=True)):
                yield Difference(source, entry.start, entry.stop, expected, held)
        most = self._told(cluster)
        if any(have > want for have, want in zip(found[:3], most[:3], strict=True)):
            yield Difference(source, cluster[0].start, stop, most, found)

    def _whole_difference(self, source: Source) -> Iterator[Difference]:
        """With trusted files only readings, hashes and dead letters are known, and only over the source."""
        answered = self._depth > 0
        least = most = self._told(self.entries)
        if self.overlapping:
            clusters = _clusters(self.entries)
            least = least._replace(readings=sum(max(e.readings for e in cluster) for cluster in clusters))
        found = Counts(
            most.messages,
            int(self._readings[answered].sum()) + self._trusted_readings,
            int(self._letters[answered].sum()),
            (int(self._hashes[answered].sum(dtype=np.uint64)) + self._trusted_hashes) % _HASH_MODULUS,
        )
        fits = found == most if not self.overlapping else least.readings <= found.readings <= most.readings
        if not fits:
            start, stop = int(self._edges[0]), int(self._edges[-1])
            yield Difference(source, start, stop, most, found, whole=True)


class Tally:
    """The sums of every source. Gaps answer for nothing: Kafka no longer had those messages."""

    def __init__(self, entries: Iterable[LedgerEntry]) -> None:
        by_source: dict[Source, list[LedgerEntry]] = {}
        replays: dict[Source, list[LedgerEntry]] = {}
        for entry in uncovered(entry for entry in entries if entry.fate != "gap"):
            group = replays if entry.fate == "replayed" else by_source
            group.setdefault(entry.source, []).append(entry)
        self.sources = {
            source: SourceTally(mine, replays.get(source, ())) for source, mine in by_source.items()
        }

    def of(self, source: Source) -> SourceTally:
        """The sums of one source, known to the ledger or not."""
        if source not in self.sources:
            self.sources[source] = SourceTally(())
        return self.sources[source]

    def add(self, rows: Readings) -> None:
        """Count a block of readings, which must be a set."""
        if not len(rows):
            return
        hashes = rows.hashes
        source = rows.source.compact()
        if len(source.values) == 1:
            self.of(source.values[0]).add_rows(rows.offset, rows.index, hashes)
            return
        for code, name in enumerate(source.values):
            mine = source.codes == code
            self.of(name).add_rows(rows.offset[mine], rows.index[mine], hashes[mine])

    def trust(self, totals: Iterable[Totals]) -> None:
        """Count a file by its known totals."""
        for item in totals:
            self.of(item.source).trust(item)

    def undecided(self) -> set[Source]:
        """Sources whose entries overlap although no message is consumed twice: trusted totals don't decide."""
        return {s for s, tally in self.sources.items() if tally.overlapping and s.topic_id}

    def differences(self) -> list[Difference]:
        """Every difference between tree and ledger, in order of source and offset."""
        return [item for source in sorted(self.sources) for item in self.sources[source].differences(source)]


def _exact(source: Source, start: int, stop: int, expected: Counts, found: Counts) -> Iterator[Difference]:
    if expected != found:
        yield Difference(source, start, stop, expected, found)


def _clusters(entries: Sequence[LedgerEntry]) -> list[list[LedgerEntry]]:
    """Entries in order of start, grouped where their ranges overlap."""
    clusters: list[list[LedgerEntry]] = []
    reached = -1
    for entry in entries:
        if not clusters or entry.start >= reached:
            clusters.append([])
        clusters[-1].append(entry)
        reached = max(reached, entry.stop)
    return clusters
