"""Publish a plant's messages to Kafka at the pace asked for, and know exactly which of them the broker has.

A message counts when its delivery report says so, never before. What was queued and not confirmed is reported
as failed: it may have arrived or not. Messages never handed to the client are not counted at all.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sensor_storage.clock import Clock
from sensor_storage.demo.messages import MessageSource, PlantMessage
from sensor_storage.demo.plant import SECOND
from sensor_storage.errors import Halt, Transient

Delivered: TypeAlias = Callable[[KafkaError | None, Message], None]
Class: TypeAlias = tuple[str, int, str, str]
STEP_SECONDS = 0.1
FLUSH_SECONDS = 30.0
CONNECT_SECONDS = 5.0
PRODUCER_DEFAULTS: dict[str, Any] = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "linger.ms": 20,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 200_000,
    "delivery.timeout.ms": 120_000,
    "log_level": 2,
}


class KafkaUnreachable(Transient):
    """No broker answers at the address given."""


class PublishingStopped(Halt):
    """The client can't go on without risking a gap or a double in what was acknowledged."""


@dataclass(slots=True)
class Report:
    """What the broker confirmed, and what the other side therefore owes."""

    messages_acknowledged: int = 0
    readings_acknowledged: int = 0
    dead_letters_expected: int = 0
    empty_messages_expected: int = 0
    messages_failed: int = 0
    readings_failed: int = 0
    last_error: str = ""
    by_kind: dict[str, dict[str, int]] = field(default_factory=dict)
    by_fault: dict[str, int] = field(default_factory=dict)
    partitions: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Messages acknowledged and the highest offset among them, by topic and partition."""

    def to_json(self) -> dict[str, Any]:
        """Give the report as plain data, partitions as a list."""
        numbers = {name: getattr(self, name) for name in self.__slots__ if name != "partitions"}
        places = sorted(self.partitions.items())
        listed = [
            {"topic": t, "partition": p, "messages": n, "max_offset": last} for (t, p), (n, last) in places
        ]
        return numbers | {"partitions": listed}


class _Tally:
    """Counts delivery reports of messages alike in topic, number of readings, kind and fault."""

    __slots__ = ("counts", "error", "failed", "last")

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)
        self.last: dict[int, int] = {}
        self.failed = 0
        self.error = ""

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            self.error = error.str()
            return
        partition, offset = message.partition() or 0, message.offset()
        self.counts[partition] += 1
        if offset is not None and offset > self.last.get(partition, -1):
            self.last[partition] = offset


class _Tallies(dict[Class, _Tally]):
    def __missing__(self, key: Class) -> _Tally:
        tally = self[key] = _Tally()
        return tally


class Sink(Protocol):
    """Where messages go."""

    def publish(self, messages: Sequence[PlantMessage], stopped: Callable[[], bool]) -> None:
        """Take over these messages, waiting for room unless `stopped` says to give up."""
        ...


class Publisher:
    """Publishes messages with idempotence on, and accounts for every one."""

    def __init__(self, bootstrap_servers: str, *, config: Mapping[str, Any] | None = None) -> None:
        self._servers = bootstrap_servers
        self._config = PRODUCER_DEFAULTS | dict(config or {}) | {"bootstrap.servers": bootstrap_servers}
        self._producer = Producer(self._config)
        self._tallies = _Tallies()

    def ensure_topics(
        self, topics: Sequence[str], partitions: int, *, timeout_seconds: float = CONNECT_SECONDS
    ) -> dict[str, int]:
        """Give each topic's number of partitions; those that did not exist are created with `partitions`."""
        settings = {
            k: v
            for k, v in self._config.items()
            if k.startswith(("sasl.", "enable.sasl.", "ssl.", "security.", "log_level"))
        }
        admin = AdminClient(settings | {"bootstrap.servers": self._servers})
        try:
            known = admin.list_topics(timeout=timeout_seconds).topics
            wanted = [NewTopic(topic, num_partitions=partitions) for topic in topics if topic not in known]
            for future in admin.create_topics(wanted).values() if wanted else ():
                _settle(future.result)
        except KafkaException as problem:
            raise KafkaUnreachable(
                f"connect to Kafka at {self._servers}: {problem.args[0].str()}",
                hint="Start one with `sensor-storage broker`, or say where it is with --bootstrap-servers "
                "or KAFKA_BOOTSTRAP_SERVERS.",
            ) from problem
        return {topic: len(known[topic].partitions) if topic in known else partitions for topic in topics}

    def publish(self, messages: Sequence[PlantMessage], stopped: Callable[[], bool] = lambda: False) -> None:
        """Queue these messages, waiting for room; once `stopped`, what found no room is never sent."""
        batches: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        tallies = self._tallies
        for topic, key, value, readings, kind, fault in messages:
            tally = tallies[topic, readings, kind, fault]
            batches[topic].append({"value": value, "key": key, "callback": tally})
        for topic, batch in batches.items():
            self._queue(topic, batch, stopped)
        self._producer.poll(0)

    def _queue(self, topic: str, batch: list[dict[str, Any]], stopped: Callable[[], bool]) -> None:
        while batch:
            try:
                queued = self._producer.produce_batch(topic, batch)
            except (KafkaException, BufferError) as problem:
                raise PublishingStopped(
                    f"publish to {topic}: {problem}", hint="Look at the broker's log."
                ) from problem
            if queued == len(batch):
                return
            batch = _unqueued(topic, batch)
            if stopped():
                return
            self._producer.poll(0.05)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> Report:
        """Wait for every outstanding answer, give up on the rest after the timeout, report all."""
        if self._producer.flush(timeout_seconds):
            self._producer.purge()
            self._producer.flush(1.0)
        return self.report()

    def report(self) -> Report:
        """Give what is known by now; a message in flight is neither acknowledged nor failed."""
        self._producer.poll(0)
        report = Report()
        for (topic, readings, kind, fault), tally in self._tallies.items():
            _add(report, (topic, readings, kind, fault), tally)
        return report


@dataclass(frozen=True, slots=True)
class Pace:
    """From when to when, in event time, and how fast: `speed` None is as fast as the broker takes it."""

    start_us: int
    end_us: int | None = None
    messages: int | None = None
    speed: float | None = 1.0


def simulate(
    source: MessageSource,
    sink: Sink,
    pace: Pace,
    clock: Clock,
    *,
    wait: Callable[[float], object],
    stopped: Callable[[], bool],
    progress: Callable[[int, int], None] = lambda _sent, _event_us: None,
) -> int:
    """Publish at this pace until its end, its number of messages, or `stopped`; give the event time reached.

    Event time never runs further ahead of the clock than it did at the start: a backlog filled at speed goes
    over into live readings.
    """
    began, position, sent = clock.monotonic(), pace.start_us, 0
    lead_us = max(0, pace.start_us - int(clock.now() * SECOND))
    chunk_us = source.chunk_us()
    while not stopped() and (pace.end_us is None or position < pace.end_us):
        reach = int(clock.now() * SECOND) + lead_us
        if pace.speed is not None:
            reach = min(reach, pace.start_us + int((clock.monotonic() - began) * pace.speed * SECOND))
        goal = position + chunk_us if pace.end_us is None else min(position + chunk_us, pace.end_us)
        target = min(goal, reach)
        if target > position:
            sent = _send(source.window(position, target), sink, sent, pace.messages, stopped)
            position = target
            progress(sent, position)
        if sent == pace.messages:
            return position
        if target < goal:
            wait(STEP_SECONDS)
    if not stopped():
        _send(source.rest(), sink, sent, pace.messages, stopped)
    return position


def _send(
    messages: list[PlantMessage], sink: Sink, sent: int, limit: int | None, stopped: Callable[[], bool]
) -> int:
    chosen = messages if limit is None else messages[: limit - sent]
    if chosen:
        sink.publish(chosen, stopped)
    return sent + len(chosen)


def _unqueued(topic: str, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the messages the client had no room for; any other refusal is an end."""
    left = [message for message in batch if "_error" in message]
    for message in left:
        error = message.pop("_error")
        if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - how the client spells its local errors
            raise PublishingStopped(
                f"publish to {topic}: {error.str()}", hint="Look at the broker's log and limits."
            )
    return left


def _settle(wait: Callable[[], object]) -> None:
    try:
        wait()
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _add(report: Report, alike: Class, tally: _Tally) -> None:
    topic, readings, kind, fault = alike
    count = sum(tally.counts.values())
    report.messages_acknowledged += count
    report.readings_acknowledged += count * readings
    report.dead_letters_expected += count if kind == "dead-letter" else 0
    report.empty_messages_expected += count if kind == "empty" else 0
    report.messages_failed += tally.failed
    report.readings_failed += tally.failed * readings
    report.last_error = tally.error or report.last_error
    if count:
        of_kind = report.by_kind.setdefault(kind, {"messages": 0, "readings": 0})
        of_kind["messages"] += count
        of_kind["readings"] += count * readings
        report.by_fault[fault or "none"] = report.by_fault.get(fault or "none", 0) + count
    for partition, number in tally.counts.items():
        before, last = report.partitions.get((topic, partition), (0, -1))
        report.partitions[topic, partition] = before + number, max(last, tally.last[partition])
