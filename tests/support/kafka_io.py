"""Putting messages into Kafka and taking them out again, in a test's words."""

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from support.waiting import wait_until

PARTITION_ANY = -1


def create_topic(bootstrap_servers: str, topic: str, partitions: int = 1) -> None:
    """Create the topic and wait until the broker has it."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for created in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        created.result(timeout=30)


def committed(bootstrap_servers: str, group: str, topic: str) -> int:
    """The offset the group has committed of partition 0; negative when none."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    (future,) = admin.list_consumer_group_offsets([asked]).values()
    return int(future.result(timeout=30).topic_partitions[0].offset)


def delete_before(bootstrap_servers: str, topic: str, offset: int) -> None:
    """What retention does: partition 0 begins with this offset."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})  # held, for its futures end with it
    for future in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        future.result(timeout=30)


def make_anew(bootstrap_servers: str, topic: str) -> None:
    """Delete the topic and create one of the same name."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.delete_topics([topic])[topic].result(timeout=30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    create_topic(bootstrap_servers, topic)


def forget_group(bootstrap_servers: str, group: str) -> None:
    """As `kafka-consumer-groups --delete`; the broker lets go of a member who left after its session's time."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def gone() -> bool:
        try:
            admin.delete_consumer_groups([group])[group].result(timeout=10)
        except KafkaException:
            return False
        return True

    wait_until(gone, "the group's offsets are gone", seconds=40)


def taken_by_compaction(bootstrap_servers: str, topic: str) -> bool:
    """Is the first message gone? One more is written, so that what is before it may be cleaned; its key is `c`."""
    value = '{"asset_id": "p", "sensor_name": "t", "timestamp": 1704067200, "value": 0}'
    produce(bootstrap_servers, topic, [value], key="c")
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": f"looks-at-{topic}"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = consumer.consume(1, timeout=10)
        return bool(found and found[0].offset())
    finally:
        consumer.close()


def produce(
    bootstrap_servers: str,
    topic: str,
    values: Iterable[bytes | str | None],
    *,
    key: bytes | str | None = None,
    partition: int = PARTITION_ANY,
    settings: Mapping[str, str | int | bool] | None = None,
) -> list[Message]:
    """Publish the values in order; gives the acknowledged messages, with their offsets."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 1, **(settings or {})})
    acknowledged: list[Message] = []
    refused: list[KafkaError] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(message)
        else:
            refused.append(error)

    for value in values:
        producer.produce(topic, value, key, partition=partition, on_delivery=report)
        producer.poll(0)
    assert producer.flush(30) == 0, "Kafka did not acknowledge in 30 s"
    assert not refused, refused
    return acknowledged


def begin(producer: Producer, topic: str, values: Iterable[bytes | str | None]) -> None:
    """Publish the values in a new transaction of the producer's, which is left open."""
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(30)


def consume(bootstrap_servers: str, topic: str, count: int, *, partition: int = 0) -> list[bytes | None]:
    """The first `count` values of a partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": f"reads-{topic}"})
    values: list[bytes | None] = []
    deadline = time.monotonic() + 30
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        while len(values) < count:
            assert time.monotonic() < deadline, f"{len(values)} of {count} messages after 30 s"
            for message in consumer.consume(count - len(values), timeout=0.2):
                assert message.error() is None, message.error()
                values.append(message.value())
    finally:
        consumer.close()
    return values
