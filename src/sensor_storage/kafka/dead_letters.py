"""Rejected messages become dead letters, kept whole."""

from collections.abc import Iterable

from sensor_storage.kafka.batch import MessageBatch, Rejected
from sensor_storage.storage.dead_letters import DeadLetter


def dead_letters(batch: MessageBatch, rejected: Iterable[Rejected]) -> list[DeadLetter]:
    """The rejected messages of a batch, whole."""
    return [
        DeadLetter(
            address=batch.address(item.row),
            timestamp=int(batch.timestamp[item.row]),
            key=batch.key[item.row],
            value=batch.value[item.row],
            headers=batch.headers(item.row),
            reason=item.reason,
            error=item.error,
        )
        for item in rejected
    ]
