"""A partition's messages as the broker has them, beside what the tree holds of each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.batch import Decoded, MessageBatch
from sensor_storage.kafka.consumer import Partition
from sensor_storage.kafka.gather import gather, pieces, select
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.model import Source
from sensor_storage.storage.holdings import Held, Holdings, Window
from sensor_storage.storage.readings import Readings

Decode = Callable[[MessageBatch], Decoded]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Messages of one source in order of offset: what each makes today, and what is held of it.

    `made` are its readings, and `sums` the sums of their hashes; `dead` would be a dead letter today, `empty` has
    no value. `readings` are of all these messages, `place` says for each of which.
    """

    source: Source
    batch: MessageBatch
    decoded: Decoded
    place: NDArray[np.int64]
    made: NDArray[np.int64]
    sums: NDArray[np.uint64]
    dead: Mask
    empty: Mask
    held: Held

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The messages' offsets."""
        return self.batch.offset

    @property
    def lost(self) -> Mask:
        """Nothing is held of these, neither readings nor a dead letter."""
        found: Mask = ~self.empty & (self.held.readings == 0) & ~self.held.letter
        return found

    @property
    def short(self) -> Mask:
        """These lack readings that they make."""
        found: Mask = (self.held.readings > 0) & (self.held.readings < self.made)
        return found

    @property
    def differing(self) -> Mask:
        """All their readings are held, but with another content than they have when they are decoded today."""
        same = (self.held.readings == self.made) & (self.held.hashes == self.sums)
        found: Mask = (self.held.readings > 0) & ~self.short & ~same
        return found

    @property
    def readable(self) -> Mask:
        """Kept as dead letters, and readable today."""
        found: Mask = self.held.letter & (self.held.readings == 0) & (self.made > 0)
        return found

    def readings_of(self, messages: Mask) -> Readings:
        """What these messages make."""
        return self.decoded.readings.where(messages[self.place])


def compare(
    log: LogReader, decode: Decode, holdings: Holdings, window: Window, *, with_aborted: bool = False
) -> Iterator[Compared]:
    """The messages that the broker has in the window, in order, one source at a time."""
    for batch in batches(log, window, with_aborted=with_aborted):
        yield _compared(batch, decode(batch), holdings)


def batches(log: LogReader, window: Window, *, with_aborted: bool = False) -> Iterator[MessageBatch]:
    """The same messages as columns: of one source each, and as many as may be decoded at once."""
    key = (window.topic, window.partition)
    ids: Mapping[Partition, str] = {key: window.topic_id}
    for messages in log.messages(key, window.start, window.stop, with_aborted=with_aborted):
        for batch in gather(messages, ids):
            for part in pieces(batch):
                for code in range(len(part.source.values)):
                    mine = select(part, np.flatnonzero(part.source.codes == code))
                    if len(mine):
                        yield mine


def made_of(
    batch: MessageBatch, readings: Readings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """For each reading its message's place in a batch of one source in order; by message readings and hashes."""
    place = np.searchsorted(batch.offset, readings.offset)
    sums = np.zeros(len(batch), np.uint64)
    np.add.at(sums, place, readings.hashes if len(readings) else np.empty(0, np.uint64))
    return place, np.bincount(place, minlength=len(batch)), sums


def _compared(batch: MessageBatch, decoded: Decoded, holdings: Holdings) -> Compared:
    count = len(batch)
    (source,) = batch.source.compact().values
    place, made, sums = made_of(batch, decoded.readings)
    dead, empty = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    dead[[item.row for item in decoded.rejected]] = True
    empty[decoded.empty] = True
    return Compared(
        source=source,
        batch=batch,
        decoded=decoded,
        place=place,
        made=made,
        sums=sums,
        dead=dead,
        empty=empty,
        held=holdings.of(source, batch.offset),
    )
