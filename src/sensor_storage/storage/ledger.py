"""The memory of what was consumed: per source, which offsets were answered for and what became of them.

An entry answers for the half-open offset range [start, stop) of one source. Entries of one source never
partly overlap where the broker gives topic ids: addresses already answered for are skipped when read again.
An entry that others cover whole (a segment's own, once folded into the ledger files) adds nothing.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.spans import Span, joined

MAX_MESSAGES_PER_ENTRY = 1 << 18
_HASH_MODULUS = 1 << 64

Fate: TypeAlias = Literal["consumed", "gap", "replayed"]


class LedgerEntry(msgspec.Struct, frozen=True, order=True):
    """What became of the messages of `source` with offsets from `start` up to `stop`.

    Of `messages`, `dead_letters` could not be decoded and `empty` had no value; the rest gave `readings`,
    whose row hashes add up to `hash_sum` mod 2^64. A gap has no messages but a `reason`: Kafka no longer
    had them. A replay tells of one message, in a range that another entry answers for, that it is a dead letter no
    more (`dead_letters` is -1): it has given `readings` since.
    """

    source: Source
    start: int
    stop: int
    messages: int = 0
    readings: int = 0
    dead_letters: int = 0
    empty: int = 0
    hash_sum: int = 0
    fate: Fate = "consumed"
    reason: str = ""

    def followed_by(self, later: "LedgerEntry") -> "LedgerEntry":
        """One entry for two adjacent ranges."""
        return LedgerEntry(
            source=self.source,
            start=self.start,
            stop=later.stop,
            messages=self.messages + later.messages,
            readings=self.readings + later.readings,
            dead_letters=self.dead_letters + later.dead_letters,
            empty=self.empty + later.empty,
            hash_sum=(self.hash_sum + later.hash_sum) % _HASH_MODULUS,
        )

    def joins(self, later: "LedgerEntry") -> bool:
        """May the two become one entry?"""
        return (
            self.source == later.source
            and bool(self.source.topic_id)
            and self.stop == later.start
            and self.fate == later.fate == "consumed"
            and self.messages + later.messages <= MAX_MESSAGES_PER_ENTRY
        )


def fold(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """The same memory in fewer entries: covered ones dropped, adjacent ones joined. Idempotent."""
    folded: list[LedgerEntry] = []
    replays = []
    for entry in uncovered(entries):
        if entry.fate == "replayed":
            replays.append(entry)
        elif folded and folded[-1].joins(entry):
            folded[-1] = folded[-1].followed_by(entry)
        else:
            folded.append(entry)
    return sorted([*folded, *replays])


def uncovered(entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
    """The entries in order, without those that lie inside an earlier or wider one of the same source.

    Without a topic id only equal entries are one: the same range may answer for a recreated topic. Replays lie in
    the range of another entry by nature.
    """
    reached: tuple[Source, int] | None = None
    for entry in sorted(set(entries), key=lambda item: (item.source, item.start, -item.stop, item)):
        if entry.fate == "replayed":
            yield entry
            continue
        inside = reached and reached[0] == entry.source and entry.stop <= reached[1]
        if inside and entry.source.topic_id:
            continue
        reached = (entry.source, entry.stop)
        yield entry


def unknown(entries: Sequence[LedgerEntry], known: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """The entries that lie in none of those known. Without a topic id: that are none of those known."""
    known = set(known)
    left = set(uncovered({*known, *entries})) - known
    return [entry for entry in entries if entry in left]


class Coverage:
    """Which addresses have been answered for: disjoint, sorted ranges by source."""

    def __init__(self, entries: Iterable[LedgerEntry] = ()) -> None:
        self._ranges: dict[Source, list[tuple[int, int]]] = {}
        for entry in sorted(set(entries)):
            self.add(entry)

    def add(self, entry: LedgerEntry) -> None:
        """Answer for one more range."""
        ranges = self._ranges.setdefault(entry.source, [])
        if ranges and ranges[-1][1] == entry.start:
            ranges[-1] = (ranges[-1][0], entry.stop)
        elif not ranges or ranges[-1][1] < entry.start:
            ranges.append((entry.start, entry.stop))
        else:
            self._ranges[entry.source] = joined([*ranges, (entry.start, entry.stop)])

    def end(self, source: Source) -> int:
        """The highest offset answered for, plus one; 0 where there is none."""
        ranges = self._ranges.get(source)
        return ranges[-1][1] if ranges else 0

    def partition_end(self, topic: str, topic_id: str, partition: int) -> int:
        """The highest offset answered for under any leader epoch, plus one; 0 where there is none."""
        wanted = (topic, topic_id, partition)
        return max(
            (ranges[-1][1] for source, ranges in self._ranges.items() if source[:3] == wanted), default=0
        )

    def knows(self, topic: str) -> bool:
        """Are messages of a topic of this name answered for?"""
        return any(source.topic == topic for source in self._ranges)

    def knew(self, topic: str, topic_id: str) -> bool:
        """Is it a topic of which only messages under other ids are answered for?"""
        ids = {source.topic_id for source in self._ranges if source.topic == topic} - {""}
        return bool(topic_id and ids) and topic_id not in ids

    def __contains__(self, address: tuple[Source, int]) -> bool:
        """Is this address answered for?"""
        source, offset = address
        ranges = self._ranges.get(source, [])
        place = bisect_right(ranges, offset, key=lambda span: span[0]) - 1
        return place >= 0 and offset < ranges[place][1]

    def unanswered(self, source: Source, offsets: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """A mask of the offsets not yet answered for, or None when that is all of them.

        Without a topic id nothing counts as answered: a recreated topic looks like a replay there.
        """
        ranges = self._ranges.get(source)
        if not source.topic_id or not ranges or not len(offsets) or int(offsets.min()) >= ranges[-1][1]:
            return None
        starts = np.array([span[0] for span in ranges])
        stops = np.array([span[1] for span in ranges])
        place = np.searchsorted(starts, offsets, side="right") - 1
        answered = (place >= 0) & (offsets < stops[place])
        return ~answered if answered.any() else None


def covered(entries: Iterable[LedgerEntry]) -> list[Span]:
    """What the entries answer for together, whatever their source."""
    return joined((entry.start, entry.stop) for entry in entries)


def replayed_offsets(entries: Iterable[LedgerEntry]) -> dict[Source, NDArray[np.int64]]:
    """By source the offsets of dead letters that have become readings, in order."""
    found: dict[Source, set[int]] = {}
    for entry in entries:
        if entry.fate == "replayed":
            found.setdefault(entry.source, set()).add(entry.start)
    return {source: np.array(sorted(offsets), np.int64) for source, offsets in found.items()}
