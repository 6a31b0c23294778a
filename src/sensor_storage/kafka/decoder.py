"""Decoding of messages into readings; the forms are told in `exact`, the fast way in `shape`.

Decoding is a pure function of one record and the settings: alone, in any batch, after any history and on
either way a message yields the same readings with the same indices, or the same rejection.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.kafka.batch import Decoded, MessageBatch, Rejected
from sensor_storage.kafka.coding import judged
from sensor_storage.kafka.exact import Exact, Rules, Wave, decode_exactly
from sensor_storage.kafka.fields import Around
from sensor_storage.kafka.learning import Shapes
from sensor_storage.kafka.msgpack_tree import is_msgpack
from sensor_storage.kafka.names import Aliases, TopicNames, TopicPattern, key_asset
from sensor_storage.kafka.records import Surroundings
from sensor_storage.kafka.refusal import Refused
from sensor_storage.kafka.registry import Schemas
from sensor_storage.kafka.timestamps import LATEST_MS
from sensor_storage.kafka.wire import MessageFormat, Wire
from sensor_storage.model import DECODE_REVISION, Series
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn

_START_OF_2000 = 946_684_800_000_000
_DAY = 86_400_000_000
_MAX_TOPICS = 256
_WORTH_COLUMNS = 16
"""Fewer messages are decoded faster one by one."""
_LEARN_FROM = 64
"""So many messages of a batch, at most, are looked at for new shapes."""


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """What decoding depends on beside the record; times in µs.

    A reading's time lies from `timestamp_min` to `timestamp_max_ahead` after Kafka's timestamp. `time_zone`
    is that of times without an offset.
    """

    topic_pattern: str = "^sensor-data-.*"
    timestamp_min: int = _START_OF_2000
    timestamp_max_ahead: int = _DAY
    time_zone: tzinfo = UTC
    aliases: Aliases = field(default_factory=Aliases)
    message_format: MessageFormat = "auto"


class Decoder:
    """Decodes batches, in one thread. The shapes of messages it remembers change its speed only."""

    def __init__(self, settings: DecodeSettings, schemas: Schemas | None = None) -> None:
        self._pattern = TopicPattern(settings.topic_pattern)
        form = settings.message_format
        self._rules = Rules(
            settings.aliases,
            settings.time_zone,
            settings.timestamp_min,
            "auto" if form == "registry" else form,
        )
        self._schemas = schemas
        self._wire = Wire(schemas, form) if schemas and form in {"auto", "registry"} else None
        self._ahead = settings.timestamp_max_ahead
        self._topics: dict[str, _Topic] = {}

    def decode(self, batch: MessageBatch) -> Decoded:
        """Each message's readings, or why it has none. SchemaWanted, and nothing decoded, while a schema is."""
        topic = self._topic(batch.topic)
        rows, empty = _split(batch.value)
        rejected: list[Rejected] = []
        if self._wire:
            batch, rows, rejected = self._wire.unwrap(batch, rows)
        around = self._surroundings(batch, topic.names)
        blocks: list[Readings] = []
        if len(rows) >= _WORTH_COLUMNS:
            rows = _decode_shapes(topic.shapes, around, rows, blocks)
        found: list[tuple[int, Exact]] = []
        _decode_singly(topic.shapes, around, rows.tolist(), found, rejected)
        if any(exact.rows for _, exact in found):
            blocks.append(_from_rows(batch, found))
        if any(exact.waves for _, exact in found):
            blocks.append(_from_waves(batch, found))
        return Decoded(Readings.concat(blocks), rejected, empty)

    def awaited(self) -> str:
        """Why messages cannot be decoded yet, as a sentence, or nothing. Asks the registry when it is time."""
        return self._schemas.awaited() if self._schemas else ""

    def _topic(self, name: str) -> "_Topic":
        topic = self._topics.pop(name, None)
        if topic is None:
            topic = _Topic(self._pattern.names(name), Shapes(self._rules.aliases))
            if len(self._topics) >= _MAX_TOPICS:
                del self._topics[next(iter(self._topics))]
        self._topics[name] = topic
        return topic

    def _surroundings(self, batch: MessageBatch, names: TopicNames) -> Surroundings:
        """Kafka's times in µs, and the latest time a reading may have.

        A message without a Kafka timestamp (negative), where the batch does not know what time it is either, may be
        as late as the calendar ends. Times beyond the calendar are cut to its end.
        """
        kafka_ms = np.clip(batch.timestamp, -1, LATEST_MS)
        judged_ms = np.where(kafka_ms < 0, LATEST_MS if batch.now is None else batch.now, kafka_ms)
        latest = np.minimum(judged_ms * 1000 + min(self._ahead, LATEST_MS * 1000), LATEST_MS * 1000 + 999)
        return Surroundings(batch, names, kafka_ms * 1000, latest, self._rules)


@dataclass(frozen=True, slots=True)
class _Topic:
    names: TopicNames
    shapes: Shapes


def _split(values: list[bytes | None]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows with a value, and those without."""
    if all(values):
        return np.arange(len(values)), np.empty(0, np.int64)
    full = np.fromiter(map(bool, values), np.bool_, len(values))
    return np.flatnonzero(full), np.flatnonzero(~full)


def _decode_shapes(
    shapes: Shapes, around: Surroundings, rows: NDArray[np.int64], blocks: list[Readings]
) -> NDArray[np.int64]:
    """Adds the readings of messages whose shape is known; the rows of the others."""
    unsettled: list[NDArray[np.int64]] = []
    for shape in shapes.by_use():
        if len(rows) < _WORTH_COLUMNS:
            break
        structs, shaped, rows = shape.parse(around.batch.value, rows)
        if not structs:
            continue
        shape.hits += len(structs)
        readings, settled = shape.read(structs, shaped, around)
        blocks.append(readings)
        if not settled.all():
            unsettled.append(shaped[~settled])
    return np.sort(np.concatenate([rows, *unsettled])) if unsettled else rows


def _decode_singly(
    shapes: Shapes,
    around: Surroundings,
    rows: Iterable[int],
    found: list[tuple[int, Exact]],
    rejected: list[Rejected],
) -> None:
    """Adds the readings of each message, or its rejection."""
    batch, names, kafka_time, latest, rules = around
    lessons = _LEARN_FROM if len(batch) >= _WORTH_COLUMNS else 0
    for row in rows:
        message = batch.value[row]
        asset = names.asset or key_asset(batch.key[row])
        outer = Around(asset, names.sensor, names.remainder, int(kafka_time[row]))
        try:
            exact = decode_exactly(message or b"", outer, int(latest[row]), rules)
        except Refused as error:
            rejected.append(Rejected(row, error.reason.value, error.sentence))
            continue
        if lessons:
            lessons -= 1
            shapes.learn(exact.tree, packed=is_msgpack(message or b"", rules.form))
        found.append((row, exact._replace(tree=None)))


def _from_rows(batch: MessageBatch, found: list[tuple[int, Exact]]) -> Readings:
    sizes = np.array([len(exact.rows) for _, exact in found], np.int64)
    messages = np.repeat(np.array([row for row, _ in found], np.int64), sizes)
    assets, sensors, timestamps, values, texts, units, qualities = zip(
        *(reading for _, exact in found for reading in exact.rows), strict=True
    )
    starts = np.cumsum(sizes) - sizes
    index = np.arange(len(messages)) - np.repeat(starts, sizes)
    for (_, exact), start, size in zip(found, starts.tolist(), sizes.tolist(), strict=True):
        for wave in exact.waves:
            index[start + wave.behind : start + size] += len(wave.timestamps)
    return Readings(
        series=SeriesColumn.encode(map(Series, assets, sensors)),
        timestamp=np.array(timestamps, np.int64),
        value=np.array(values, np.float64),
        text=_text(texts),
        unit=Coded.encode(units),
        quality=Coded.encode(qualities),
        source=batch.source.take(messages),
        offset=batch.offset[messages],
        index=index.astype(np.int32),
        revision=np.full(len(messages), DECODE_REVISION, np.int16),
    )


def _from_waves(batch: MessageBatch, found: list[tuple[int, Exact]]) -> Readings:
    placed: list[tuple[int, int, Wave]] = []
    for row, exact in found:
        before = 0
        for wave in exact.waves:
            placed.append((row, before + wave.behind, wave))
            before += len(wave.timestamps)
    waves = [wave for _, _, wave in placed]
    sizes = np.array([len(wave.timestamps) for wave in waves], np.int64)
    messages = np.repeat(np.array([row for row, _, _ in placed], np.int64), sizes)
    firsts = np.array([first for _, first, _ in placed], np.int64)
    null = np.concatenate([wave.samples.null for wave in waves])
    quality = judged(_repeated([wave.quality for wave in waves], sizes), null)
    return Readings(
        series=SeriesColumn(
            _repeated([wave.asset for wave in waves], sizes),
            _repeated([wave.sensor for wave in waves], sizes),
        ),
        timestamp=np.concatenate([wave.timestamps for wave in waves]),
        value=np.concatenate([wave.samples.value for wave in waves]),
        text=_wave_text(waves),
        unit=_repeated([wave.unit for wave in waves], sizes),
        quality=quality,
        source=batch.source.take(messages),
        offset=batch.offset[messages],
        index=(np.arange(len(messages)) + np.repeat(firsts - np.cumsum(sizes) + sizes, sizes)).astype(
            np.int32
        ),
        revision=np.full(len(messages), DECODE_REVISION, np.int16),
    )


def _repeated(items: Sequence[str | None], sizes: NDArray[np.int64]) -> Coded[str]:
    coded = Coded.encode(items)
    return Coded(np.repeat(coded.codes, sizes), coded.values)


def _wave_text(waves: Sequence[Wave]) -> "pa.StringArray | None":
    if all(wave.samples.text is None for wave in waves):
        return None
    return _text([text for wave in waves for text in wave.samples.text or [None] * len(wave.timestamps)])


def _text(texts: Sequence[str | None]) -> "pa.StringArray | None":
    array = pa.array(texts, pa.string())
    return array if array.null_count < len(array) else None
