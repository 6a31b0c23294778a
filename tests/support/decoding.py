"""Messages in, readings as plain tuples out: what decoding tests compare."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded

TOPIC = "sensor-data-hall"
NOW_MS = 1_704_067_200_123
NOW = NOW_MS * 1000
"""Kafka's timestamp of every message, in µs: 2024-01-01T00:00:00.123Z."""

Outcome: TypeAlias = tuple[object, ...]


def batch_of(
    values: Sequence[bytes | None],
    *,
    topic: str = TOPIC,
    keys: Sequence[bytes | None] | None = None,
    timestamps: Sequence[int] | None = None,
) -> MessageBatch:
    """Messages of one partition, with offsets from 100."""
    count = len(values)
    return MessageBatch(
        topic=topic,
        source=Coded.constant(Source(topic, "id", 0, 0), count),
        offset=np.arange(100, 100 + count, dtype=np.int64),
        timestamp=np.array([NOW_MS] * count if timestamps is None else timestamps, np.int64),
        key=[b"key-asset"] * count if keys is None else list(keys),
        value=list(values),
    )


def outcomes(decoder: Decoder, batch: MessageBatch) -> list[Outcome]:
    """What became of each message: its readings by index, its rejection, or `("empty",)`.

    A reading's value appears as the bits of its float, so that NaN and -0.0 compare exactly.
    """
    decoded = decoder.decode(batch)
    found = decoded.readings
    for column in (found.series, found.unit, found.quality, found.source):
        assert len(set(column.values)) == len(column.values)
    by_row: list[list[tuple[object, ...]]] = [[] for _ in range(len(batch))]
    columns: Iterable[tuple[object, ...]] = zip(
        found.index.tolist(),
        found.series.tolist(),
        found.timestamp.tolist(),
        found.value.view(np.uint64).tolist(),
        [None] * len(found) if found.text is None else found.text.to_pylist(),
        found.unit.tolist(),
        found.quality.tolist(),
        found.source.tolist(),
        found.revision.tolist(),
        strict=True,
    )
    for offset, reading in zip(found.offset.tolist(), columns, strict=True):
        by_row[offset - 100].append(reading)
    result: list[Outcome] = [tuple(sorted(readings, key=str)) for readings in by_row]
    others = [(item.row, ("rejected", item.reason, item.error)) for item in decoded.rejected]
    others += [(row, ("empty", "", "")) for row in decoded.empty.tolist()]
    for row, other in others:
        assert result[row] == ()
        result[row] = other
    assert () not in result
    assert len({row for row, _ in others}) == len(others)
    return result


def readings_of(
    message: bytes | None,
    settings: DecodeSettings | None = None,
    *,
    topic: str = TOPIC,
    key: bytes | None = b"k",
) -> list[tuple[object, ...]]:
    """A lone message's readings by index: asset, sensor, µs, value (None: NaN), text, unit, quality."""
    decoded = Decoder(settings or DecodeSettings()).decode(batch_of([message], topic=topic, keys=[key]))
    found = decoded.readings.take(np.argsort(decoded.readings.index))
    assert not decoded.rejected, decoded.rejected
    assert found.index.tolist() == list(range(len(found)))
    return [
        (*series, time, None if np.isnan(value) else value, text, unit, quality)
        for series, time, value, text, unit, quality in zip(
            found.series.tolist(),
            found.timestamp.tolist(),
            found.value.tolist(),
            [None] * len(found) if found.text is None else found.text.to_pylist(),
            found.unit.tolist(),
            found.quality.tolist(),
            strict=True,
        )
    ]


def reason_of(
    message: bytes | None,
    settings: DecodeSettings | None = None,
    *,
    topic: str = TOPIC,
    key: bytes | None = b"k",
) -> str:
    """Why a lone message is one dead letter, and nothing else."""
    decoded = Decoder(settings or DecodeSettings()).decode(batch_of([message], topic=topic, keys=[key]))
    assert not len(decoded.readings)
    assert not len(decoded.empty)
    (only,) = decoded.rejected
    assert only.row == 0
    assert only.error
    return only.reason
