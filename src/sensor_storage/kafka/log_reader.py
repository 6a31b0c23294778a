"""The broker's log read by offset, for comparing and repairing: it joins no group and commits nothing."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from sensor_storage.errors import Transient
from sensor_storage.kafka.consumer import Partition

_REACH_SECONDS = 10.0
_TIMEOUT_SECONDS = 15.0
_SILENCE_SECONDS = 60.0
_BATCH_MESSAGES = 10_000
_HINT = "check that the broker is up; nothing was changed"
_REACH_HINT = "check KAFKA_BOOTSTRAP_SERVERS, by `sensor-storage check --only kafka`; nothing was changed"


class LogReader:
    """Reads messages of any partition from any offset on."""

    def __init__(
        self, client: Mapping[str, Any], group: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self._timeout = timeout_seconds
        self._client = {**client, "log_level": 0}
        self._group = group
        self._admin = AdminClient(self._client)

    def reach(self) -> None:
        """Return when the broker answers. Transient, soon and naming its address, when it does not."""
        where = self._client["bootstrap.servers"]
        with _asking(f"reach Kafka at {where}", _REACH_HINT):
            self._admin.list_topics(timeout=min(self._timeout, _REACH_SECONDS))

    def bounds(self, key: Partition) -> tuple[int, int]:
        """The first offset the broker still has, and the one after its last."""
        with self._consumer() as consumer, _asking(f"ask for the offsets of {key[0]}/{key[1]}"):
            found = consumer.get_watermark_offsets(TopicPartition(*key), timeout=self._timeout)
        if found is None:
            raise Transient(f"ask for the offsets of {key[0]}/{key[1]}: no answer", hint=_HINT)
        return found

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions; none where there is no such topic."""
        with _asking(f"ask for the partitions of {topic}"):
            found = self._admin.list_topics(topic, timeout=self._timeout).topics[topic]
        return sorted(found.partitions) if found.error is None else []

    def offset_at(self, key: Partition, milliseconds: int) -> int | None:
        """The first offset whose message has this timestamp or a later one; None where there is none."""
        with self._consumer() as consumer, _asking(f"ask for the offset of a time in {key[0]}/{key[1]}"):
            (found,) = consumer.offsets_for_times([TopicPartition(*key, milliseconds)], timeout=self._timeout)
        return found.offset if found.offset >= 0 else None

    def compacted(self, topic: str) -> bool:
        """May the broker have removed messages between others?"""
        with _asking(f"describe topic {topic}"):
            (future,) = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
            policy = future.result(timeout=self._timeout)["cleanup.policy"].value
        return "compact" in policy

    def committed(self) -> dict[Partition, tuple[int, str]]:
        """What the group has committed: by partition the offset, and the id its topic had then."""
        asked = ConsumerGroupTopicPartitions(self._group)
        with _asking(f"read what group {self._group} has committed"):
            (future,) = self._admin.list_consumer_group_offsets([asked]).values()
            found = future.result(timeout=self._timeout).topic_partitions
        return {
            (part.topic, part.partition): (part.offset, part.metadata or "")
            for part in found
            if part.offset >= 0
        }

    def messages(
        self, key: Partition, start: int, stop: int, *, with_aborted: bool = False
    ) -> Iterator[list[Message]]:
        """The messages with offsets from `start` up to `stop`, in order, some at a time.

        Those of transactions that were aborted are left out, and those behind one that is still open.
        """
        if start >= stop:
            return
        with self._consumer(with_aborted=with_aborted) as consumer:
            consumer.assign([TopicPartition(*key, start)])
            heard = time.monotonic()
            while True:
                found = consumer.consume(_BATCH_MESSAGES, 0.5)
                if not found and time.monotonic() - heard > _SILENCE_SECONDS:
                    raise Transient(f"read {key[0]}/{key[1]} from {start}: no answer", hint=_HINT)
                heard = time.monotonic() if found else heard
                messages = [one for one in found if one.error() is None and (one.offset() or 0) < stop]
                if messages:
                    yield messages
                if any(_is_end(one, stop) for one in found):
                    return

    @contextmanager
    def _consumer(self, *, with_aborted: bool = False) -> Iterator[Consumer]:
        consumer = Consumer(
            {
                **self._client,
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "enable.partition.eof": True,
                "isolation.level": "read_uncommitted" if with_aborted else "read_committed",
                "queued.max.messages.kbytes": 32_768,
                "fetch.queue.backoff.ms": 10,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()


def _is_end(event: Message, stop: int) -> bool:
    """Is nothing wanted behind this? Transient for an error."""
    error = event.error()
    if error is None:
        return (event.offset() or 0) >= stop - 1
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
        return True
    if error.retriable() or error.code() in {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}:  # noqa: SLF001
        return False
    raise Transient(f"read {event.topic()}/{event.partition()}: {error}", hint=_HINT)


@contextmanager
def _asking(act: str, hint: str = _HINT) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise Transient(f"{act}: {error.args[0].str()}", hint=hint) from error
    except TimeoutError as error:
        raise Transient(f"{act}: no answer in time", hint=hint) from error
