"""From the client's messages to columns: one batch a topic, in the order of arrival."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from sensor_storage.kafka.batch import Headers, MessageBatch
from sensor_storage.kafka.consumer import Partition
from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded

PIECE_BYTES = 600_000
"""Of messages decoded at once; a sample may be as short as a byte."""


def split_events(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Messages with content, and the errors and ends of partitions that come among them."""
    errors = list(map(Message.error, messages))
    if not any(errors):
        return messages, []
    good = [message for message, error in zip(messages, errors, strict=True) if error is None]
    return good, [message for message, error in zip(messages, errors, strict=True) if error is not None]


def gather(messages: Sequence[Message], topic_ids: Mapping[Partition, str]) -> Iterator[MessageBatch]:
    """The messages of each topic as one batch; `topic_ids` are those of the assigned partitions."""
    topics = [topic or "" for topic in map(Message.topic, messages)]
    names = dict.fromkeys(topics)
    if len(names) == 1:
        yield _batch(topics[0], messages, topic_ids)
        return
    for name in names:
        mine = [message for message, topic in zip(messages, topics, strict=True) if topic == name]
        yield _batch(name, mine, topic_ids)


def _batch(topic: str, messages: Sequence[Message], topic_ids: Mapping[Partition, str]) -> MessageBatch:
    count = len(messages)
    partition = np.fromiter(map(Message.partition, messages), np.int64, count)
    epoch = np.fromiter(
        (-1 if e is None else e for e in map(Message.leader_epoch, messages)), np.int64, count
    )
    keys, codes = np.unique((partition << 32) | (epoch + 1), return_inverse=True)
    sources = []
    for key in keys.tolist():
        number = key >> 32
        sources.append(Source(topic, topic_ids.get((topic, number), ""), number, (key & 0xFFFFFFFF) - 1))
    return MessageBatch(
        topic=topic,
        source=Coded(codes.astype(np.int32), tuple(sources)),
        offset=np.fromiter(map(Message.offset, messages), np.int64, count),
        timestamp=np.fromiter(map(itemgetter(1), map(Message.timestamp, messages)), np.int64, count),
        key=list(map(Message.key, messages)),
        value=list(map(Message.value, messages)),
        headers=_headers_of(messages),
    )


def _headers_of(messages: Sequence[Message]) -> Callable[[int], Headers]:
    def headers(row: int) -> Headers:
        found: Any = messages[row].headers() or []
        return list(found)

    return headers


def select(batch: MessageBatch, rows: NDArray[np.int64]) -> MessageBatch:
    """The batch's rows named by position."""
    if len(rows) == len(batch):
        return batch
    chosen = rows.tolist()
    return MessageBatch(
        topic=batch.topic,
        source=batch.source.take(rows).compact(),
        offset=batch.offset[rows],
        timestamp=batch.timestamp[rows],
        key=[batch.key[row] for row in chosen],
        value=[batch.value[row] for row in chosen],
        headers=lambda row: batch.headers(chosen[row]),
    )


def pieces(batch: MessageBatch) -> Iterator[MessageBatch]:
    """The batch in parts of about `PIECE_BYTES`, in order, large messages alone.

    A message's bytes bound its readings, and so the memory that decoding a part takes.
    """
    sizes = np.fromiter((len(value) if value else 0 for value in batch.value), np.int64, len(batch))
    number = (np.cumsum(sizes) - sizes) // PIECE_BYTES
    large = sizes > PIECE_BYTES // 2
    breaks = (np.diff(number) != 0) | large[1:] | large[:-1]
    for rows in np.split(np.arange(len(batch)), np.flatnonzero(breaks) + 1):
        yield select(batch, rows)


def unbroken(batch: MessageBatch, keep: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """The kept rows, cut so that in each part no message of a source is left out between two kept ones."""
    if keep.all():
        yield np.arange(len(batch))
        return
    rest = 0
    while rest < len(batch):
        stop = min(
            (_second_run(batch.source.codes == code, keep, rest) for code in range(len(batch.source.values))),
            default=len(batch),
        )
        rows = rest + np.flatnonzero(keep[rest:stop])
        if len(rows):
            yield rows
        rest = stop


def _second_run(mine: NDArray[np.bool_], keep: NDArray[np.bool_], start: int) -> int:
    """From `start` on, the row where a second run of kept rows begins among the source's rows."""
    rows = start + np.flatnonzero(mine[start:])
    kept = keep[rows].astype(np.int8)
    begins = np.flatnonzero(np.diff(kept, prepend=0) == 1)
    return int(rows[begins[1]]) if len(begins) > 1 else len(keep)
