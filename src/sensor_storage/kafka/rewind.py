"""Set a consumer group back, so that Kafka sends again what a lost disk held."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from sensor_storage.errors import Transient
from sensor_storage.kafka.consumer import Partition

_TIMEOUT_MS: Final = 15_000


def plan_offsets(
    offsets: Mapping[tuple[str, str, int], int],
    *,
    told: Collection[Partition],
    committed: Mapping[Partition, tuple[int, str]],
    ids: Mapping[str, str],
    first: Callable[[Partition], int],
) -> dict[Partition, tuple[int, str]]:
    """Where each partition is read from, with its topic's id: pure, but for `first`, the oldest offset there is.

    Never ahead of where the group is. A topic that was made again has nothing of the old one. A partition the
    group reads of which no service has `told` anything yet is read from its beginning.
    """
    found: dict[Partition, tuple[int, str]] = {}
    for (topic, topic_id, partition), offset in offsets.items():
        if ids.get(topic) == topic_id:
            reached = committed.get((topic, partition), (offset, ""))[0]
            found[topic, partition] = min(offset, reached), topic_id
    for key, (_, topic_id) in committed.items():
        if key not in told and ids.get(key[0]) == topic_id:
            found[key] = first(key), topic_id
    return found


def set_offsets(client: Mapping[str, Any], group: str, offsets: Mapping[Partition, tuple[int, str]]) -> None:
    """Let the group go on from there. Transient while a member is in the group: nothing has been changed then."""
    if not offsets:
        return
    settings = {**client, "group.id": group, "enable.auto.commit": False, "socket.timeout.ms": _TIMEOUT_MS}
    consumer = Consumer({**settings, "log_level": 0})
    try:
        wanted = [
            TopicPartition(topic, partition, offset, metadata=topic_id)
            for (topic, partition), (offset, topic_id) in sorted(offsets.items())
        ]
        done = consumer.commit(offsets=wanted, asynchronous=False)
        wrong = [str(part.error) for part in done or () if part.error]
    except KafkaException as error:
        wrong = [str(error)]
    finally:
        consumer.close()
    if wrong:
        raise Transient(
            f"set group {group} back: {wrong[0]}",
            hint="stop every service of the group, wait until its members have left (45 s), and try again",
        )
