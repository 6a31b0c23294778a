"""What a data directory lacks, read from Kafka again: readings, dead letters, and the ledger's memory.

`Mender.mend` takes these steps for each window of offsets; a death anywhere leaves what was stored, and the next
repair finds the rest:
 1. count what is stored of each message;
 2. read the messages that Kafka still has, decode them, and choose what is not stored (`Compared`);
 3. publish dead letters, then a segment with the readings, as ingest does: commit point.
An offset the ledger already answers for brings no new entry. For a **hole**, which it does not answer for though it
answers for later ones, the entry says what is stored afterwards.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.compared import Compared, Decode, compare
from sensor_storage.kafka.dead_letters import dead_letters
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.model import Source
from sensor_storage.storage.dead_letters import DeadLetter, encode_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.held_staging import dead_letter_offsets
from sensor_storage.storage.holdings import Holdings, Window, plan_passes
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry, fold
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.verify import stored_rows

_MOST_ROWS = 100_000
_MOST_BYTES = 64_000_000
_LOST = "neither the ledger nor Kafka knows of them any more"


@dataclass(slots=True)
class Mended:
    """What was stored, in readings, dead letters and ledger entries; and what Kafka no longer has, by window.

    Of a window that is lost `stored` messages are in the files all the same; of one that is kept, all are.
    """

    readings: int = 0
    dead_letters: int = 0
    entries: int = 0
    lost: list[tuple[Window, int]] = field(default_factory=list)
    kept: list[Window] = field(default_factory=list)


class Mender:
    """Reads from Kafka again what is not stored; one at a time. A service may run beside it, as beside a replay."""

    def __init__(
        self,
        *,
        layout: Layout,
        disk: Disk,
        log: LogReader,
        ids: Mapping[str, str],
        decode: Decode,
        names: Callable[[], StagedName],
        compression: str,
        replayed: Mapping[Source, NDArray[np.int64]],
        find: Callable[[Path], Path] | None = None,
    ) -> None:
        self._find = find
        self._replayed = replayed
        self._layout = layout
        self._disk = disk
        self._log = log
        self._ids = ids
        self._decode = decode
        self._names = names
        self._compression = compression
        self._rows: list[Readings] = []
        self._letters: list[DeadLetter] = []
        self._entries: list[LedgerEntry] = []
        self.mended = Mended()

    def mend(self, differing: Sequence[Window], holes: Sequence[Window]) -> Mended:
        """Store what is lacking in the windows; the holes are those of them the ledger does not answer for."""
        for windows, are_holes in ((differing, False), (holes, True)):
            for group in plan_passes(windows):
                self._pass(group, are_holes=are_holes)
        return self.mended

    def _pass(self, windows: list[Window], *, are_holes: bool) -> None:
        holdings = Holdings(windows, dead_letter_offsets(self._layout)[0])
        stored_rows(self._layout, holdings.add, self._find)  # 1
        for window in windows:
            there = self._at_kafka(window)
            if there.start > window.start:
                self._lose(window._replace(stop=there.start), holdings, is_hole=are_holes)
            account = _Account(there, self._replayed)
            for part in compare(self._log, self._decode, holdings, there):  # 2
                self._take(part)
                account.add(part)
                if self._is_full():
                    self._entries += account.entries() if are_holes else ()
                    self._publish()
            self._entries += account.finished() if are_holes else ()
            self._publish()

    def _at_kafka(self, window: Window) -> Window:
        """What of the window the broker still has; empty, at its end, where that is nothing."""
        if self._ids.get(window.topic) != window.topic_id:
            return window._replace(start=window.stop)
        low, high = self._log.bounds((window.topic, window.partition))
        if high <= window.start:
            return window._replace(start=window.stop)
        return window._replace(start=min(max(window.start, low), window.stop), stop=window.stop)

    def _take(self, part: Compared) -> None:
        lacking = part.lost | part.short
        if not lacking.any():
            return
        self._rows.append(part.readings_of(lacking))
        rejected = [item for item in part.decoded.rejected if lacking[item.row]]
        self._letters += dead_letters(part.batch, rejected)

    def _lose(self, window: Window, holdings: Holdings, *, is_hole: bool) -> None:
        """Kafka no longer has these: of a hole the ledger keeps what is stored, or that there is nothing."""
        entries = list(_from_files(window, holdings))
        stored = sum(entry.messages for entry in entries)
        if is_hole and stored == window.stop - window.start:
            self.mended.kept.append(window)
        else:
            self.mended.lost.append((window, stored))
        if is_hole:
            source = Source(window.topic, window.topic_id, window.partition, -1)
            gap = LedgerEntry(source, window.start, window.stop, fate="gap", reason=_LOST)
            self._entries += entries or [gap]

    def _is_full(self) -> bool:
        letters = sum(letter.size_bytes for letter in self._letters)
        return sum(map(len, self._rows)) >= _MOST_ROWS or letters >= _MOST_BYTES

    def _publish(self) -> None:
        rows = Readings.concat(self._rows)
        if not (len(rows) or self._letters or self._entries):
            return
        name = self._names()
        if self._letters:
            letters = encode_dead_letters(self._letters, self._compression)
            self._disk.publish_bytes(self._layout.dead_letter_file(name), letters)
        if len(rows) or self._entries:
            segment = encode_segment(rows, fold(self._entries), self._compression)
            self._disk.publish_bytes(self._layout.staged(name), segment)  # commit point
        self.mended.readings += len(rows)
        self.mended.dead_letters += len(self._letters)
        self.mended.entries += len(self._entries)
        self._rows.clear()
        self._letters.clear()
        self._entries.clear()


class _Account:
    """The ledger's entries for a hole, as its messages are read in order."""

    def __init__(self, window: Window, replayed: Mapping[Source, NDArray[np.int64]]) -> None:
        self._window = window
        self._replayed = replayed
        self._reached = window.start
        self._last: Source | None = None
        self._open: list[LedgerEntry] = []

    def add(self, part: Compared) -> None:
        """Answer for these messages by what is stored of them once they are mended."""
        lacking = part.lost | part.short
        readings = np.where(lacking, part.made, part.held.readings)
        hashes = np.where(lacking, part.sums, part.held.hashes)
        if part.source in self._replayed:  # their readings are told of by the replay
            again = np.isin(part.offsets, self._replayed[part.source])
            readings[again], hashes[again] = 0, 0
        letters = (part.held.letter | (lacking & part.dead)) & (readings == 0)
        stop = int(part.offsets[-1]) + 1
        self._open.append(
            LedgerEntry(
                part.source,
                self._reached,
                stop,
                messages=len(part.offsets),
                readings=int(readings.sum()),
                dead_letters=int(letters.sum()),
                empty=int((part.empty & (readings == 0) & ~letters).sum()),
                hash_sum=int(hashes.sum(dtype=np.uint64)),
            )
        )
        self._reached, self._last = stop, part.source

    def entries(self) -> list[LedgerEntry]:
        """Those made since the last call."""
        made, self._open = self._open, []
        return made

    def finished(self) -> list[LedgerEntry]:
        """The rest, up to the hole's end: behind its last message there is none."""
        window = self._window
        if self._reached < window.stop:
            source = self._last or Source(window.topic, window.topic_id, window.partition, -1)
            self._open.append(LedgerEntry(source, self._reached, window.stop))
        return self.entries()


def _from_files(window: Window, holdings: Holdings) -> Iterator[LedgerEntry]:
    """What is stored of a window's messages, by source: from the first of them to the last."""
    for source, offsets in holdings.held():
        inside = offsets[(offsets >= window.start) & (offsets < window.stop)]
        if source[:3] == window.place and len(inside):
            yield _entry_of(source, inside, holdings)


def _entry_of(source: Source, offsets: NDArray[np.int64], holdings: Holdings) -> LedgerEntry:
    held = holdings.of(source, offsets)
    return LedgerEntry(
        source,
        int(offsets[0]),
        int(offsets[-1]) + 1,
        messages=len(offsets),
        readings=int(held.readings.sum()),
        dead_letters=int((held.letter & (held.readings == 0)).sum()),
        hash_sum=int(held.hashes.sum(dtype=np.uint64)),
    )
