"""What has been consumed but is not durable yet, and what it answers for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.batch import Decoded, MessageBatch
from sensor_storage.kafka.dead_letters import dead_letters
from sensor_storage.model import Source
from sensor_storage.storage.dead_letters import DeadLetter
from sensor_storage.storage.footers import totals_of
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings

_BYTES_PER_READING = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """A span of one source's offsets and what its messages became, readings not yet counted."""

    start: int
    stop: int
    messages: int
    dead_letters: int
    empty: int


@dataclass(frozen=True, slots=True, eq=False)
class SegmentContent:
    """What one segment will hold."""

    readings: Readings
    dead_letters: list[DeadLetter]
    ledger: list[LedgerEntry]


class SegmentBuffer:
    """Decoded batches on their way into one segment. Each source's span of offsets is without a hole."""

    def __init__(self) -> None:
        self._blocks: list[Readings] = []
        self._letters: list[DeadLetter] = []
        self._answered: dict[Source, Answered] = {}
        self._gaps: list[LedgerEntry] = []
        self._timestamps = [np.empty(0, np.int64)]
        self.rows = 0
        self.size_bytes = 0
        self.oldest: float | None = None

    def __bool__(self) -> bool:
        """Is there anything to make durable?"""
        return bool(self._answered or self._gaps)

    @property
    def topic_ids(self) -> dict[str, str]:
        """The topics whose messages are held, with the ids they were read under."""
        return {source.topic: source.topic_id for source in self._answered}

    @property
    def partitions(self) -> set[tuple[str, int]]:
        """The partitions of which something is held."""
        sources = {*self._answered, *(gap.source for gap in self._gaps)}
        return {(source.topic, source.partition) for source in sources}

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """Kafka's times of the messages that are held, in ms."""
        return np.concatenate(self._timestamps)

    def fits(self, source: Source, start: int) -> bool:
        """Would a span that starts there continue what is held?"""
        held = self._answered.get(source)
        return held is None or held.stop == start

    def add_gap(self, gap: LedgerEntry, now: float) -> None:
        """Record that Kafka no longer had these offsets."""
        self._gaps.append(gap)
        self.oldest = now if self.oldest is None else self.oldest

    def add(self, batch: MessageBatch, decoded: Decoded, spans: dict[Source, Answered], now: float) -> None:
        """Take in a decoded batch that answers for the spans; each must fit."""
        letters = dead_letters(batch, decoded.rejected)
        for source, span in spans.items():
            held = self._answered.get(source)
            self._answered[source] = span if held is None else _joined(held, span)
        if len(decoded.readings):
            self._blocks.append(decoded.readings)
        self._letters += letters
        self._timestamps.append(batch.timestamp)
        self.rows += len(decoded.readings)
        self.size_bytes += len(decoded.readings) * _BYTES_PER_READING + sum(
            item.size_bytes for item in letters
        )
        self.oldest = now if self.oldest is None else self.oldest

    def content(self) -> SegmentContent:
        """Everything held, with its ledger entries. The buffer keeps it until `clear`."""
        readings = Readings.concat(self._blocks).sorted()
        self._blocks = [readings] if len(readings) else []
        totals = {item.source: item for item in totals_of(readings)}
        ledger = [
            LedgerEntry(
                source=source,
                start=span.start,
                stop=span.stop,
                messages=span.messages,
                readings=totals[source].readings if source in totals else 0,
                dead_letters=span.dead_letters,
                empty=span.empty,
                hash_sum=totals[source].hash_sum if source in totals else 0,
            )
            for source, span in self._answered.items()
        ]
        return SegmentContent(readings, self._letters, sorted([*ledger, *self._gaps]))

    def clear(self) -> None:
        """Forget everything held: it is durable, or will be consumed again."""
        self.__init__()  # type: ignore[misc]


def spans_of(batch: MessageBatch, decoded: Decoded, starts: Sequence[int]) -> dict[Source, Answered]:
    """What the batch answers for, by source; `starts` gives each source's first offset answered for."""
    spans: dict[Source, Answered] = {}
    rejected = [item.row for item in decoded.rejected]
    for code, source in enumerate(batch.source.values):
        rows = batch.source.codes == code
        if not rows.any():
            continue
        spans[source] = Answered(
            start=starts[code],
            stop=int(batch.offset[rows].max()) + 1,
            messages=int(rows.sum()),
            dead_letters=int(rows[rejected].sum()) if rejected else 0,
            empty=int(rows[decoded.empty].sum()),
        )
    return spans


def _joined(held: Answered, later: Answered) -> Answered:
    return replace(
        held,
        stop=later.stop,
        messages=held.messages + later.messages,
        dead_letters=held.dead_letters + later.dead_letters,
        empty=held.empty + later.empty,
    )
