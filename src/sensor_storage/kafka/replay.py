"""Dead letters decoded again, after a fix of settings or program.

 1. pass over those that are readings already, by the ledger or the tree, and those the ledger knows nothing of;
 2. decode the rest, file by file, as they are decoded today; what is still unreadable stays a dead letter;
 3. publish a segment with their readings, and in its ledger a replay for each: commit point.
A reading has the identity it would have had. A letter is never removed, and replayed once: a death before 3 leaves
nothing, one after it leaves the ledger's mark.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.compared import Decode, made_of
from sensor_storage.model import Address, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.dead_letters import DeadLetter, dead_letters_by_file
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.holdings import Elements
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage, LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.verify import stored_rows

_MOST_ROWS = 100_000


@dataclass(slots=True)
class Replayed:
    """What became of the letters, in messages: `replayed` now, readings `already`, `unreadable`, or `pending`.

    Pending are letters whose segment was never written: Kafka delivers their messages again.
    """

    letters: int = 0
    replayed: int = 0
    readings: int = 0
    already: int = 0
    unreadable: int = 0
    pending: int = 0


class Replay:
    """Decodes dead letters again; one at a time on a directory, whether or not the service runs."""

    def __init__(
        self,
        *,
        layout: Layout,
        disk: Disk,
        decode: Decode,
        names: Callable[[], StagedName],
        compression: str,
        damaged: Callable[[str], object],
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._decode = decode
        self._names = names
        self._compression = compression
        self._damaged = damaged
        self._rows: list[Readings] = []
        self._replays: list[LedgerEntry] = []
        self.outcome = Replayed()

    def run(self, chosen: Callable[[DeadLetter], bool], *, dry_run: bool = False) -> Replayed:
        """Replay the chosen letters; a dry run only says what would become of them."""
        waiting = self._waiting(chosen)  # 1
        for letters in dead_letters_by_file(self._layout, lambda _: None):
            fresh = [letter for letter in letters if letter.address in waiting]
            for source, mine in _by_source(fresh):
                readings, replays = self._decoded(source, mine)  # 2
                self._rows.append(readings)
                self._replays += replays
                self.outcome.unreadable += len(mine) - len(replays)
                self.outcome.replayed += len(replays)
                self.outcome.readings += len(readings)
            if not dry_run and sum(map(len, self._rows)) >= _MOST_ROWS:
                self._publish()
        if not dry_run:
            self._publish()
        return self.outcome

    def _waiting(self, chosen: Callable[[DeadLetter], bool]) -> set[Address]:
        """The chosen letters that are to be replayed; all are counted. What comes later is for another time."""
        entries = entries_now(self._layout)
        answered = Coverage(entry for entry in entries if entry.fate == "consumed")
        known = {Address(entry.source, entry.start) for entry in entries if entry.fate == "replayed"}
        open_offsets: dict[Source, list[int]] = {}
        for letters in dead_letters_by_file(self._layout, self._damaged):
            for letter in filter(chosen, letters):
                self.outcome.letters += 1
                source, offset = letter.address
                if letter.address in known:
                    self.outcome.already += 1
                elif letter.address not in answered:
                    self.outcome.pending += 1
                else:
                    open_offsets.setdefault(source, []).append(offset)
        if not open_offsets:
            return set()
        elements = Elements({source: np.array(offsets, np.int64) for source, offsets in open_offsets.items()})
        stored_rows(self._layout, elements.add)
        asked = {Address(source, offset) for source, offsets in open_offsets.items() for offset in offsets}
        stored = {address for address in asked if elements.of(*address)}
        # a death kept the letter and not its segment, and after the fix the message was consumed again
        self.outcome.already += len(stored)
        return asked - stored

    def _publish(self) -> None:
        if self._replays:
            segment = encode_segment(Readings.concat(self._rows), sorted(self._replays), self._compression)
            self._disk.publish_bytes(self._layout.staged(self._names()), segment)  # 3, commit point
        self._rows.clear()
        self._replays.clear()

    def _decoded(self, source: Source, letters: list[DeadLetter]) -> tuple[Readings, list[LedgerEntry]]:
        """The readings of letters of one source in order, and a replay for each that has some."""
        batch = MessageBatch(
            topic=source.topic,
            source=Coded.constant(source, len(letters)),
            offset=np.array([letter.address.offset for letter in letters], np.int64),
            timestamp=np.array([letter.timestamp for letter in letters], np.int64),
            key=[letter.key for letter in letters],
            value=[letter.value for letter in letters],
            headers=lambda row: letters[row].headers,
        )
        readings = self._decode(batch).readings
        _, made, sums = made_of(batch, readings)
        replays = [
            LedgerEntry(
                source,
                offset,
                offset + 1,
                readings=count,
                dead_letters=-1,
                hash_sum=hash_sum,
                fate="replayed",
            )
            for offset, count, hash_sum in zip(
                batch.offset.tolist(), made.tolist(), sums.tolist(), strict=True
            )
            if count
        ]
        return readings, replays


def _by_source(letters: Iterable[DeadLetter]) -> Iterator[tuple[Source, list[DeadLetter]]]:
    ordered = sorted(letters, key=lambda letter: letter.address)
    for source, mine in groupby(ordered, key=lambda letter: letter.address.source):
        yield source, list(mine)
