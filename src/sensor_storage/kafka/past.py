"""Messages that Kafka still has and this directory never answered for, read by offset and outside of the group.

A range is asked for by partition and offsets or times. What the ledger answers for is passed over, as everywhere,
so a range that is stored changes nothing. The steps, for each part of a range:
 1. read and decode, with the settings of now;
 2. check that the topic is still that whose messages these are;
 3. publish the dead letters, then the segment with its ledger entries: commit point.
A death before 3 leaves nothing or letters that are counted once; one after it leaves less to do.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from sensor_storage.errors import Transient, Usage
from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.compared import Decode, batches
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.kafka.segment_buffer import SegmentBuffer, spans_of
from sensor_storage.storage.dead_letters import encode_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.spans import Span, without

_SPELLED: Final = re.compile(r"(?P<topic>[\w.-]+)(/(?P<partition>\d+)(@(?P<start>\d*):(?P<stop>\d*))?)?")
_MOST_ROWS: Final = 100_000
_MOST_BYTES: Final = 64_000_000


class Range(NamedTuple):
    """What is asked for: a topic, of it one partition or all, of that the offsets from `start` up to `stop`."""

    topic: str
    partition: int | None = None
    start: int | None = None
    stop: int | None = None


def parse_range(text: str) -> Range:
    """Read as `topic`, `topic/3` or `topic/3@1000:2000`, where either offset may be left out. Usage otherwise."""
    found = _SPELLED.fullmatch(text)
    if found is None:
        raise Usage(
            f"{text!r} names no range", hint="such as sensor-data-a, sensor-data-a/3, sensor-data-a/3@0:2000"
        )
    partition, start, stop = (
        int(found[name]) if found[name] else None for name in ("partition", "start", "stop")
    )
    return Range(found["topic"], partition, start, stop)


def plan_past(asked: Span, there: Span, limit: int | None, answered: Iterable[Span]) -> list[Span]:
    """The offsets to read: pure.

    Of those asked for, what is there, below the `limit` from which on the service reads itself, and what the ledger
    does not answer for.
    """
    start, stop = max(asked[0], there[0]), min(asked[1], there[1])
    return without([(start, stop if limit is None else min(stop, limit))], list(answered))


@dataclass(slots=True)
class Past:
    """What came of the messages that were read."""

    messages: int = 0
    readings: int = 0
    dead_letters: int = 0
    empty: int = 0

    def add(self, later: "Past") -> None:
        """Take in what came of others."""
        self.messages += later.messages
        self.readings += later.readings
        self.dead_letters += later.dead_letters
        self.empty += later.empty


class PastMessages:
    """Stores messages of the past; the service may run, for it reads others."""

    def __init__(
        self,
        *,
        layout: Layout,
        disk: Disk,
        log: LogReader,
        topic_id: Callable[[str], str],
        decode: Decode,
        names: Callable[[], StagedName],
        compression: str,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._log = log
        self._topic_id = topic_id
        self._decode = decode
        self._names = names
        self._compression = compression
        self._buffer = SegmentBuffer()

    def run(self, window: Window, *, store: bool, told: Callable[[Past], None]) -> Past:
        """Store every message of the window, in which the ledger must answer for none; or only look."""
        done, reached = Past(), window.start
        for batch in batches(self._log, window):
            self._take(batch, reached, done, store=store)
            reached = int(batch.offset[-1]) + 1
            if self._is_full():
                self._publish(window)
            told(done)
        self._publish(window)
        return done

    def _take(self, batch: MessageBatch, reached: int, done: Past, *, store: bool) -> None:
        """Step 1 for messages of one source; those before them, from `reached` on, are none."""
        decoded = self._decode(batch)
        done.messages += len(batch)
        done.readings += len(decoded.readings)
        done.dead_letters += len(decoded.rejected)
        done.empty += len(decoded.empty)
        if store:
            self._buffer.add(batch, decoded, spans_of(batch, decoded, [reached]), 0.0)

    def _is_full(self) -> bool:
        return self._buffer.rows >= _MOST_ROWS or self._buffer.size_bytes >= _MOST_BYTES

    def _publish(self, window: Window) -> None:
        if not self._buffer:
            return
        if self._topic_id(window.topic) != window.topic_id:  # 2
            raise Transient(
                f"read {window.topic}: it was created anew meanwhile", hint="call it again, for the new one"
            )
        content, name = self._buffer.content(), self._names()
        if content.dead_letters:
            letters = encode_dead_letters(content.dead_letters, self._compression)
            self._disk.publish_bytes(self._layout.dead_letter_file(name), letters)
        segment = encode_segment(content.readings, content.ledger, self._compression)
        self._disk.publish_bytes(self._layout.staged(name), segment)  # 3, commit point
        self._buffer.clear()
