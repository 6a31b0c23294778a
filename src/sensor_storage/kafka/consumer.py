"""One member of the consumer group: where each partition starts, what is committed, what changed hands.

The client's own offset store and reset policy are off: positions are explicit, commits carry the topic id in
their metadata, and every jump is told to the handler as a gap.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sensor_storage.config import event_hubs
from sensor_storage.errors import Halt, SensorStorageError, Transient
from sensor_storage.log import ROOT, Seldom, get

_TIMEOUT_SECONDS = 10.0
_log = get("kafka")
CLIENT_LOG = logging.getLogger(f"{ROOT}.librdkafka")
CLIENT_LOG.addFilter(
    Seldom(300)
)  # it tells each attempt to connect, ten a second; `broker_unreachable` is ours

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition begins: the topic's id, the first offset to read, and what is missing before it."""

    topic_id: str
    offset: int
    gap_from: int | None = None
    reason: str = ""
    leader_epoch: int = -1


class GroupHandler(Protocol):
    """What the stage must do when partitions change hands."""

    def assigning(self, partitions: Iterable[Partition]) -> None:
        """These partitions are about to be read: learn what is known of them."""
        ...

    def assigned(self, starts: Mapping[Partition, Start]) -> None:
        """These partitions are read from now on."""
        ...

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """Make durable and commit what was read of them: another member continues."""
        ...

    def lost(self, partitions: Iterable[Partition]) -> None:
        """Drop what is not durable of them: another member has continued already."""
        ...

    def covered_end(self, topic: str, topic_id: str, partition: int) -> int:
        """The offset below which the ledger answers for the partition; 0 where it does not know it."""
        ...

    def has_read(self, topic: str) -> bool:
        """Does the ledger know messages of a topic of this name?"""
        ...

    def was_made_anew(self, topic: str, topic_id: str) -> bool:
        """Is it a topic of which the ledger knows messages under other ids alone?"""
        ...


class GroupConsumer:
    """A member of the group, subscribed to explicit topic names."""

    def __init__(self, config: Mapping[str, Any], handler: GroupHandler, *, reset: str) -> None:
        self._handler = handler
        self._reset = reset
        self._ids: Mapping[str, str] = {}
        self._subscribed: frozenset[str] = frozenset()
        self._committed: dict[Partition, int] = {}
        self._failure: SensorStorageError | None = None
        self._unstarted: list[Partition] = []
        self._refused: set[Partition] = set()
        self._unproven: dict[Partition, Start] = {}
        self.assignment: dict[Partition, str] = {}
        self._consumer = Consumer(member_properties(config), logger=CLIENT_LOG)

    def follow(self, topics: Mapping[str, str]) -> None:
        """Subscribe to these topics (name to id), if they are not those subscribed to already."""
        self.learn(topics)
        names = frozenset(topics)
        if names and names != self._subscribed:
            self._subscribed = names
            self._subscribe()
            _log.info("subscribed", topics=len(names))

    def join_anew(self) -> None:
        """Have the group share out the partitions there are now; what was read is durable and committed before."""
        self._consumer.unsubscribe()
        self._subscribe()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            sorted(self._subscribed),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def learn(self, ids: Mapping[str, str]) -> None:
        """Take note of the ids topics have now."""
        self._ids = {**self._ids, **ids}

    def recreated(self, key: Partition) -> bool:
        """Is the partition's topic no longer the one that was assigned?"""
        return self._ids.get(key[0], "") != self.assignment.get(key, "")

    def consume(self, count: int, timeout: float) -> list[Message]:
        """Up to `count` messages and events, in order within a partition; rebalances happen in here."""
        messages = self._consumer.consume(count, timeout)
        if self._failure:
            raise self._failure
        if self._unstarted:
            self._start_late()
        return self._proven(messages) if self._unproven else messages

    def commit(self, positions: Mapping[Partition, int], epochs: Mapping[Partition, int]) -> None:
        """Commit the positions of assigned partitions, waiting for the broker; never backwards.

        With each goes the leader epoch it was read under, by which the broker tells a log cut off since.
        """
        ahead = {
            key: offset
            for key, offset in positions.items()
            if key in self.assignment and offset > self._committed.get(key, -1)
        }
        if not ahead:
            return
        wanted = [
            TopicPartition(*key, offset, metadata=self.assignment[key], leader_epoch=epochs.get(key, -1))
            for key, offset in ahead.items()
        ]
        try:
            answered = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            raise Transient(f"commit offsets: {error}", hint="nothing is lost; it is tried again") from error
        for item in answered:
            if item.error is None:
                self._committed[item.topic, item.partition] = item.offset
            else:
                _log.warning(
                    "commit_refused", topic=item.topic, partition=item.partition, error=str(item.error)
                )

    def restart(self, starts: Mapping[Partition, int]) -> None:
        """Read the partitions from these offsets on, whatever was fetched before."""
        parts = [TopicPartition(*key, offset) for key, offset in starts.items() if key in self.assignment]
        if parts:
            self._consumer.incremental_unassign([TopicPartition(p.topic, p.partition) for p in parts])
            self._consumer.incremental_assign(parts)

    def resume(self, starts: Mapping[Partition, int]) -> None:
        """Fetch again from these offsets; a new assignment alone would stay paused."""
        self.restart(starts)
        self._consumer.resume([TopicPartition(*key) for key in starts if key in self.assignment])

    def start_again(self, keys: Iterable[Partition], *, refused: bool = False) -> None:
        """Find anew where these partitions begin, as if they had just been assigned; until then fetch nothing.

        Where the broker has `refused` the position though its log reaches so far, it has other content there now.
        """
        keys = list(keys)
        self._refused.update(keys if refused else ())
        self._unstarted += [key for key in keys if key not in self._unstarted]
        for key in self._unstarted:
            self._committed.pop(key, None)
        self._consumer.pause([TopicPartition(*key) for key in self._unstarted])

    def ends(self) -> dict[Partition, int]:
        """The end of each assigned partition as the last fetch told it; -1 where none has."""
        ends = {}
        for key in self.assignment:
            found: Any = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
            ends[key] = found[1] if found and found[1] >= 0 else -1
        return ends

    def pause(self) -> None:
        """Fetch nothing, stay in the group."""
        self._consumer.pause([TopicPartition(*key) for key in self.assignment])

    def close(self) -> None:
        """Leave the client's threads; a static member keeps its place for a restart."""
        self._consumer.close()

    def _on_assign(self, _: Consumer, parts: list[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in parts]
        try:
            starts = self._starts(keys)
            self._consumer.incremental_assign(_places(starts))
            self._begin(starts)
        except (KafkaException, Transient) as error:
            _log.warning("start_postponed", partitions=len(keys), error=str(error))
            self._consumer.incremental_assign(parts)
            self._consumer.pause(parts)
            self._unstarted += keys
        except SensorStorageError as error:
            self._failure = error

    def _start_late(self) -> None:
        """Start what could not be started when it was assigned; Transient when it still cannot."""
        try:
            starts = self._starts(self._unstarted)
        except KafkaException as error:
            raise Transient(f"start partitions: {error}") from error
        parts = [TopicPartition(*key) for key in starts]
        self._consumer.incremental_unassign(parts)
        self._consumer.incremental_assign(_places(starts))
        self._consumer.resume(parts)
        self._unstarted.clear()
        self._begin(starts)

    def _proven(self, messages: list[Message]) -> list[Message]:
        """The messages, without those of a partition that may have been cut off and grown again since its commit.

        A first message of another leader epoch than the commit's says that it may. The client asks the broker when
        it is told to seek, and only then: either it goes on there, or it reports the position as gone.
        """
        doubtful: dict[Partition, Start] = {}
        for message in messages:
            key = (message.topic() or "", message.partition() or 0)
            if message.error() is None and key in self._unproven:
                start = self._unproven.pop(key)
                if message.leader_epoch() != start.leader_epoch:
                    doubtful[key] = start
        for key, start in doubtful.items():
            try:
                self._consumer.seek(_places({key: start})[0])
            except KafkaException:
                self._unproven[key] = start
                self.restart({key: start.offset})
        if not doubtful:
            return messages
        return [one for one in messages if (one.topic(), one.partition()) not in doubtful or _is_trouble(one)]

    def _begin(self, starts: Mapping[Partition, Start]) -> None:
        self._unproven.update({key: start for key, start in starts.items() if start.leader_epoch >= 0})
        self.assignment.update({key: start.topic_id for key, start in starts.items()})
        self._handler.assigned(starts)

    def _on_revoke(self, _: Consumer, parts: list[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in parts]
        try:
            self._handler.revoked(keys)
        except SensorStorageError as error:
            if not isinstance(error, Transient):
                self._failure = error
            _log.warning("revoke_without_commit", error=str(error))
            self._handler.lost(keys)
        self._forget(keys)

    def _on_lost(self, _: Consumer, parts: list[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in parts]
        self._handler.lost(keys)
        self._forget(keys)

    def _forget(self, keys: Iterable[Partition]) -> None:
        for key in keys:
            self.assignment.pop(key, None)
            self._committed.pop(key, None)
            self._unproven.pop(key, None)
        self._unstarted = [key for key in self._unstarted if key not in set(keys)]

    def _starts(self, keys: list[Partition]) -> dict[Partition, Start]:
        self._handler.assigning(keys)
        starts = {}
        asked = [TopicPartition(*key) for key in keys]
        for part in self._consumer.committed(asked, timeout=_TIMEOUT_SECONDS):
            if part.error:
                raise Transient(f"read committed offset of {part.topic}/{part.partition}: {part.error}")
            key = (part.topic, part.partition)
            start = self._start(key, part.offset, part.metadata)
            if start.offset == part.offset:
                epoch: int | None = part.leader_epoch
                start = replace(start, leader_epoch=-1 if epoch is None else epoch)
            starts[key] = start
        return starts

    def _start(self, key: Partition, committed: int, metadata: str | None) -> Start:
        """The start of a partition, from its commit, the ledger and what the broker still has."""
        topic_id = self._ids.get(key[0], "")
        low, high = self._watermarks(key)
        refused = key in self._refused
        self._refused.discard(key)
        known = self._handler.covered_end(key[0], topic_id, key[1]) if topic_id else 0
        if self._is_anew(key[0], topic_id, committed, metadata):
            gap_from = known if known < low else None
            return Start(topic_id, low, gap_from, f"the topic was made anew, as {topic_id}")
        if committed < 0 and not known:
            newest = self._reset == "latest" and not self._handler.has_read(key[0])
            return Start(topic_id, high if newest else low)
        if committed < low:
            gap_from = max(committed, known)
            if gap_from >= low:  # the ledger knows what the group has forgotten
                return Start(topic_id, low)
            return Start(topic_id, low, gap_from, "retention has taken what was not read yet")
        if committed > high or refused:
            return Start(topic_id, low, None, f"the log was cut off below the committed offset {committed}")
        self._committed[key] = committed
        return Start(topic_id, committed)

    def _is_anew(self, topic: str, topic_id: str, committed: int, metadata: str | None) -> bool:
        """With a deleted topic the broker forgets its commits, most often; then the ledger knows of it."""
        if committed < 0:
            return self._handler.was_made_anew(topic, topic_id)
        return bool(metadata and topic_id and metadata != topic_id)

    def _watermarks(self, key: Partition) -> tuple[int, int]:
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise Transient(f"ask for the offsets of {key[0]}/{key[1]}: {error}") from error
        if found is None:
            raise Transient(
                f"ask for the offsets of {key[0]}/{key[1]}: no answer in {_TIMEOUT_SECONDS:.0f} s"
            )
        return found


def _is_trouble(event: Message) -> bool:
    """Is it an error, and not only the end of a partition, which is behind messages that were not taken?"""
    error = event.error()
    return error is not None and error.code() != KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name


def ends_member(error: KafkaError) -> bool:
    """Must the process end and join the group anew?"""
    return error.fatal() or error.code() in _FINAL


def halt_on(error: KafkaError) -> Halt:
    """The error of a member that cannot go on."""
    if error.code() == KafkaError.FENCED_INSTANCE_ID or "fenced" in str(error).lower():
        return Halt(
            f"consume: {error}",
            hint="another process is this group member: give each data directory a KAFKA_GROUP_INSTANCE_ID of its"
            " own, and never copy the file instance-id from one to another",
        )
    return Halt(f"consume: {error}", hint="the service starts this worker again; see the log for repeats")


def member_properties(config: Mapping[str, Any]) -> dict[str, Any]:
    """The client's settings: what no reading may depend on is ours, the rest may be set otherwise.

    In the newer protocol (KIP-848) the broker assigns partitions and keeps the session, and a static member that
    was killed cannot come back: so its members are dynamic.
    """
    usual = _USUAL | (event_hubs.MEMBER if event_hubs.is_event_hubs(config) else {})
    merged = {**usual, **config, **_SAFE}
    if config.get("group.protocol") == "consumer":
        for name in _CLASSIC_ONLY:
            merged.pop(name, None)
    return merged


def _places(starts: Mapping[Partition, Start]) -> list[TopicPartition]:
    return [
        TopicPartition(*key, start.offset, leader_epoch=start.leader_epoch) for key, start in starts.items()
    ]


_FINAL = {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}  # noqa: SLF001 - the client's public name for it
_CLASSIC_ONLY = (
    "group.instance.id",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "session.timeout.ms",
)
_SAFE: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "check.crcs": True,
    "enable.partition.eof": True,
    "partition.assignment.strategy": "cooperative-sticky",
    "isolation.level": "read_committed",
}
_USUAL: dict[str, Any] = {
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 1_000,
    "max.poll.interval.ms": 300_000,
    "topic.metadata.refresh.interval.ms": 15_000,
    "queued.min.messages": 100_000,
    "fetch.queue.backoff.ms": 10,  # the default, a second, caps a catch-up at a fifth of its speed
    "fetch.message.max.bytes": 262_144,  # a share of the queue for each partition; a larger message still comes
    "fetch.wait.max.ms": 100,
}
