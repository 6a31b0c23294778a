"""The ingest stage: Kafka messages into durable segments with their ledger entries, then the commit.

The steps of one segment:
 1. consume, pass over what the ledger already answers for, decode, keep dead letters aside in memory;
 2. check that the topics are still those whose messages these are;
 3. publish the dead letters;
 4. publish the segment, its ledger entries in its footer: commit point;
 5. commit Kafka's offsets, every few seconds.

Step 4 is taken only while no other worker of the directory has been given the partitions (`claims`).

A death before 4 leaves nothing and Kafka delivers again. A death between 4 and 5 makes Kafka deliver again
what the ledger answers for, and step 1 passes over it. A revoked partition is cut and committed first; a
lost one is dropped from memory, for another member has it already.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import KafkaError, Message
from numpy.typing import NDArray

from sensor_storage.clock import Clock
from sensor_storage.errors import DiskFull, Transient
from sensor_storage.kafka.batch import Decoded, MessageBatch
from sensor_storage.kafka.claims import Claims
from sensor_storage.kafka.consumer import GroupConsumer, GroupHandler, Partition, Start, ends_member, halt_on
from sensor_storage.kafka.gather import gather, pieces, select, split_events, unbroken
from sensor_storage.kafka.progress import Positions
from sensor_storage.kafka.registry import SchemaWanted
from sensor_storage.kafka.segment_buffer import SegmentBuffer, spans_of
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.kafka.waits import Waits
from sensor_storage.log import get
from sensor_storage.model import Source
from sensor_storage.storage.dead_letters import encode_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage, LedgerEntry
from sensor_storage.storage.segments import encode_segment

_BATCH_MESSAGES = 20_000
_BATCH_SECONDS = 0.2
_END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's public name for it
_POSITION_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
_log = get("ingest")


@dataclass(frozen=True, slots=True)
class IngestPolicy:
    """When a segment is cut and offsets are committed."""

    max_rows: int = 100_000
    max_bytes: int = 64_000_000
    segment_interval_seconds: float = 1
    commit_interval_seconds: float = 5
    compression: str = "zstd"


@dataclass(slots=True)
class IngestCounts:
    """What this process has done since it started."""

    messages: int = 0
    readings: int = 0
    dead_letters: int = 0
    empty: int = 0
    skipped: int = 0
    segments: int = 0
    segment_bytes: int = 0
    gaps: int = 0
    dead_letters_by_reason: dict[str, int] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)


class Ingest(GroupHandler):
    """One worker of the stage; `run_once` is its verb."""

    def __init__(
        self,
        *,
        worker: str,
        layout: Layout,
        disk: Disk,
        clock: Clock,
        decode: Callable[[MessageBatch], Decoded],
        ledger: Callable[[], Iterable[LedgerEntry]],
        policy: IngestPolicy,
        topics: TopicDirectory,
        join_group: Callable[[GroupHandler], GroupConsumer],
        awaited: Callable[[], str] = str,
    ) -> None:
        self._worker = worker
        self._layout = layout
        self._disk = disk
        self._clock = clock
        self._decode = decode
        self.awaited = awaited
        self._ledger = ledger
        self._coverage = Coverage()
        self._claims = Claims(layout.run, worker)
        self._policy = policy
        self._topics = topics
        self._buffer = SegmentBuffer()
        self._numbers = itertools.count()
        self._committed_at = clock.monotonic()
        self.positions = Positions()
        self.counts = IngestCounts()
        self.disk_full = False
        self.paused = ""
        self.watermark = 0.0
        """The least Kafka time consumed, in seconds; 0 where that is not known."""
        self._found: Mapping[str, str] | None = None
        self.consumer = join_group(self)

    def run_once(self, found: Mapping[str, str] | None) -> int:
        """Follow the topics found (None: not yet known), take in one batch, cut and commit when due.

        Returns how many messages came. Halt and Transient say what the caller must do.
        """
        if found is not None and found is not self._found:
            self._follow(found)
        messages = self.consumer.consume(_BATCH_MESSAGES, _BATCH_SECONDS)
        content, events = split_events(messages)
        try:
            for batch in gather(content, self.consumer.assignment) if content else ():
                self._take(batch)
        except SchemaWanted as error:
            self._stand_by(error)
            events = [event for event in events if not _is_end(event)]  # it is behind what was not taken
        for event in events:
            self._event(event)
        if not self._buffer:
            self._all_durable()
        elif self._due():
            self.cut()
        if self._clock.monotonic() - self._committed_at >= self._policy.commit_interval_seconds:
            self.commit()
        return len(content)

    def cut(self) -> bool:
        """Make everything consumed durable (steps 2 to 4). False when it must wait for the disk."""
        if not self._buffer:
            self._all_durable()
            return True
        if not self._same_topics():
            self._read_again()
            return True
        content = self._buffer.content()
        name = self._new_name()
        compression = self._policy.compression
        segment = encode_segment(content.readings, content.ledger, compression)
        try:
            with self._claims.held(self._buffer.partitions) as taken:
                if not taken:
                    if content.dead_letters:
                        letters = encode_dead_letters(content.dead_letters, compression)
                        self._disk.publish_bytes(self._layout.dead_letter_file(name), letters)
                    self._disk.publish_bytes(self._layout.staged(name), segment)  # commit point
        except DiskFull as error:
            if not self.disk_full:
                _log.warning("disk_full", error=str(error), hint=error.hint)
            self.disk_full = True
            return False
        self.disk_full = False
        if taken:
            self.lost(taken)
            return True
        self._count(content.ledger, len(segment))
        self.counts.waits.add(self._buffer.timestamps, self._clock.now())
        for entry in content.ledger:
            self._coverage.add(entry)
        self._buffer.clear()
        self._all_durable()
        return True

    def _new_name(self) -> StagedName:
        """A name nothing has: a clock that was set back must not make a segment overwrite another."""
        created = int(self._clock.now() * 1000)
        names = (StagedName(created, self._worker, number, 0) for number in self._numbers)
        return next(
            name
            for name in names
            if not self._layout.staged(name).exists() and not self._layout.dead_letter_file(name).exists()
        )

    def commit(self) -> None:
        """Commit what is durable (step 5); a broker that does not answer is tried again later."""
        self._committed_at = self._clock.monotonic()
        try:
            self.consumer.commit(self.positions.durable, self.positions.epochs)
        except Transient as error:
            _log.warning("commit_postponed", error=str(error))

    def pause(self, reason: str) -> None:
        """Fetch nothing while there is a reason; go on exactly where reading stopped when there is none."""
        if reason and not self.paused:
            self.consumer.pause()
            _log.warning("paused", reason=reason)
        elif self.paused and not reason:
            self.consumer.resume(self.positions.positions())
            _log.info("resumed")
        self.paused = reason

    def finish(self, tell: Callable[[], None] = lambda: None) -> None:
        """Make durable and commit what was read, tell the end of it, and leave."""
        if self.cut():
            self.commit()
        tell()
        self.consumer.close()

    def assigning(self, partitions: Iterable[Partition]) -> None:
        """Learn what this directory's other workers have made durable of them; they may no longer."""
        self._claims.take(partitions)
        self._coverage = Coverage(self._ledger())

    def assigned(self, starts: Mapping[Partition, Start]) -> None:
        """Begin each partition, recording what is missing before its start."""
        for key, start in starts.items():
            durable = start.offset if start.gap_from is None else start.gap_from
            self.positions.start(key, start.offset, durable)
            self._note_jump(key, start)
        if anew := {
            topic for (topic, _), start in starts.items() if self.was_made_anew(topic, start.topic_id)
        }:
            _log.warning("topic_recreated", topics=sorted(anew))
        if self.paused:
            self.consumer.pause()
        _log.info("partitions_assigned", count=len(starts))

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """Cut and commit, so that the next member starts where this one ends."""
        if not self.cut():
            raise DiskFull("revoke partitions: what was read of them is not durable")
        self.consumer.commit(self.positions.durable, self.positions.epochs)
        self.positions.drop(partitions)

    def lost(self, partitions: Iterable[Partition]) -> None:
        """Forget everything that is not durable; partitions still held are read again."""
        self._buffer.clear()
        self.positions.drop(partitions)
        self._read_again()
        _log.warning("partitions_lost", count=len(list(partitions)))

    def covered_end(self, topic: str, topic_id: str, partition: int) -> int:
        """The offset below which the ledger answers for the partition, under any leader epoch."""
        return self._coverage.partition_end(topic, topic_id, partition)

    def has_read(self, topic: str) -> bool:
        """Does the ledger know messages of a topic of this name?"""
        return self._coverage.knows(topic)

    def was_made_anew(self, topic: str, topic_id: str) -> bool:
        """Is it a topic of which the ledger knows messages under other ids alone?"""
        return self._coverage.knew(topic, topic_id)

    def _follow(self, found: Mapping[str, str]) -> None:
        """A new listing of topics; one made anew and shorter than before would be waited for without an end."""
        self.consumer.follow(found)
        self._found = found
        renewed = [key for key in self.consumer.assignment if self.consumer.recreated(key)]
        if renewed:
            _log.warning("topic_recreated", topics=sorted({topic for topic, _ in renewed}))
            self._read_again()

    def _stand_by(self, error: SchemaWanted) -> None:
        """Fetch nothing until the schema is known, and then from the first message that was not taken on."""
        self.consumer.restart(self.positions.positions())
        self.pause(error.message)

    def _take(self, batch: MessageBatch) -> None:
        """Step 1 for one topic's messages."""
        keep = self._unanswered(batch)
        self.counts.skipped += len(batch) - int(np.count_nonzero(keep))
        for rows in unbroken(batch, keep):
            for part in pieces(select(batch, rows)):
                if not self._take_part(part):
                    return
        self._advance(batch)

    def _take_part(self, part: MessageBatch) -> bool:
        """Step 1 for what is decoded at once; False when it will be delivered again."""
        if self._is_full() and not self._cut_amid(part):
            return False
        starts = [self._span_start(part, code) for code in range(len(part.source.values))]
        if not all(map(self._buffer.fits, part.source.values, starts)) and not self._cut_amid(part):
            return False
        decoded = self._decode(part)
        self._buffer.add(part, decoded, spans_of(part, decoded, starts), self._clock.monotonic())
        for item in decoded.rejected:
            reasons = self.counts.dead_letters_by_reason
            reasons[item.reason] = reasons.get(item.reason, 0) + 1
        self._advance(part)
        return True

    def _cut_amid(self, part: MessageBatch) -> bool:
        """Cut before a part is taken; False when reading does not go on with it, but further back or not at all."""
        keys = [(source.topic, source.partition) for source in part.source.values]
        before = [self.positions.position(key) for key in keys]
        if not self.cut():
            self._read_again()
            return False
        return all(
            key in self.positions and self.positions.position(key) == at
            for key, at in zip(keys, before, strict=True)
        )

    def _unanswered(self, batch: MessageBatch) -> NDArray[np.bool_]:
        """Which rows are of assigned partitions, not yet read, and not answered for by the ledger."""
        keep = np.ones(len(batch), np.bool_)
        for code, source in enumerate(batch.source.values):
            mine = np.flatnonzero(batch.source.codes == code)
            key = (source.topic, source.partition)
            if key not in self.positions:
                keep[mine] = False
                continue
            keep[mine] = batch.offset[mine] >= self.positions.position(key)
            unanswered = self._coverage.unanswered(source, batch.offset[mine])
            if unanswered is not None:
                keep[mine] &= unanswered
        return keep

    def _span_start(self, batch: MessageBatch, code: int) -> int:
        """The first offset the batch answers for.

        What lies between the position and the first message is no message, unless the ledger knows it.
        """
        source = batch.source.values[code]
        first = int(batch.offset[batch.source.codes == code].min())
        position = self.positions.position((source.topic, source.partition))
        return max(position, min(self._coverage.end(source), first))

    def _advance(self, batch: MessageBatch) -> None:
        for code, source in enumerate(batch.source.values):
            key = (source.topic, source.partition)
            rows = np.flatnonzero(batch.source.codes == code)
            if len(rows) and key in self.positions:
                last = rows[-1]
                self.positions.read(
                    key, int(batch.offset[last]) + 1, int(batch.timestamp[last]), source.leader_epoch
                )

    def _event(self, event: Message) -> None:
        error = event.error()
        partition = event.partition()
        key = (event.topic() or "", -1 if partition is None else partition)
        if error is None:
            return
        if error.code() == _END_OF_PARTITION:
            self.positions.reached_end(key, event.offset() or 0)
        elif error.code() in _POSITION_GONE:
            self._relocate(key, str(error))
        elif ends_member(error):
            raise halt_on(error)
        else:
            _log.warning("kafka_event", error=str(error), topic=key[0], partition=key[1])

    def _relocate(self, key: Partition, reason: str) -> None:
        """The broker no longer has the next offset, or other content there: find the place to go on anew."""
        if key not in self.positions:
            return
        _log.warning("position_gone", topic=key[0], partition=key[1], reason=reason)
        if self.cut():
            self.commit()
        self.positions.drop([key])
        self.consumer.start_again([key], refused=True)

    def _note_jump(self, key: Partition, start: Start) -> None:
        if start.gap_from is not None:
            source = Source(key[0], start.topic_id, key[1], -1)
            gap = LedgerEntry(source, start.gap_from, start.offset, fate="gap", reason=start.reason)
            self._buffer.add_gap(gap, self._clock.monotonic())
        if start.reason:
            _log.warning(
                "offsets_jumped", topic=key[0], partition=key[1], to=start.offset, reason=start.reason
            )

    def _due(self) -> bool:
        oldest = self._buffer.oldest
        return self._is_full() or (
            oldest is not None and self._clock.monotonic() - oldest >= self._policy.segment_interval_seconds
        )

    def _is_full(self) -> bool:
        return self._buffer.rows >= self._policy.max_rows or self._buffer.size_bytes >= self._policy.max_bytes

    def _same_topics(self) -> bool:
        """Step 2: a topic made anew while it was read would go unnoticed by the client."""
        held = self._buffer.topic_ids
        if not any(held.values()):
            return True
        try:
            now = self._topics.ids(sorted(held))
        except Transient as error:
            _log.warning("topic_ids_not_checked", error=str(error))
            return True
        changed = [topic for topic, topic_id in now.items() if topic_id != held[topic]]
        for topic in changed:
            _log.warning("topic_recreated", topic=topic)
        self.consumer.learn(now)
        return not changed

    def _read_again(self) -> None:
        """Drop what is not durable and read it again, a topic made anew from its beginning."""
        self._buffer.clear()
        durable = dict(self.positions.durable)
        anew = [key for key in durable if self.consumer.recreated(key)]
        self.positions.drop(anew)
        self.consumer.start_again(anew)
        same = {key: offset for key, offset in durable.items() if key not in anew}
        for key, offset in same.items():
            self.positions.start(key, offset, offset)
        self.consumer.restart(same)

    def _all_durable(self) -> None:
        """Time goes on by what is read: with partitions lost, or none assigned yet, it is what it was."""
        self.positions.all_durable()
        if self.positions or self._found == {}:
            self.watermark = self.positions.watermark(self._clock.now())

    def _count(self, ledger: Iterable[LedgerEntry], size_bytes: int) -> None:
        for entry in ledger:
            self.counts.messages += entry.messages
            self.counts.readings += entry.readings
            self.counts.dead_letters += entry.dead_letters
            self.counts.empty += entry.empty
            self.counts.gaps += entry.fate == "gap"
        self.counts.segments += 1
        self.counts.segment_bytes += size_bytes


def _is_end(event: Message) -> bool:
    error = event.error()
    return error is not None and error.code() == _END_OF_PARTITION
