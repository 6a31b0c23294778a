"""The columns of segments, runs and hour files, and the way between them and `Readings`."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn, factorize

_FIELDS: list[Any] = [
    pa.field("asset_id", pa.string()),
    pa.field("sensor_name", pa.string()),
    pa.field("timestamp", pa.timestamp("us", tz="UTC")),
    pa.field("value", pa.float64()),
    pa.field("text", pa.string()),
    pa.field("unit", pa.string()),
    pa.field("quality", pa.string()),
    pa.field("kafka_topic", pa.string()),
    pa.field("kafka_topic_id", pa.string()),
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_leader_epoch", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("kafka_index", pa.int32()),
    pa.field("decode_revision", pa.int16()),
]
SCHEMA: Final = pa.schema(_FIELDS)
"""The columns of segments, runs and sensor-hour files."""
CODED_COLUMNS: Final = ["asset_id", "sensor_name", "unit", "quality", "kafka_topic", "kafka_topic_id"]
_MOST_PACKED = 1 << 31
S = TypeVar("S", bound=np.generic)


def to_arrow(readings: Readings, *, ordered: bool = False) -> pa.Table:
    """The columns of SCHEMA; names as dictionaries that hold only what occurs.

    If `ordered` they hold it in order, so that equal readings make equal bytes whatever they were merged from.
    """
    named: Callable[[Coded[str]], Any] = _ordered_dictionary if ordered else _dictionary
    source = readings.source.compact()
    missing = np.isnan(readings.value)
    columns: list[Any] = [
        named(readings.series.asset.compact()),
        named(readings.series.sensor.compact()),
        pa.array(readings.timestamp).view(SCHEMA.field("timestamp").type),
        pa.array(readings.value, mask=missing if missing.any() else None),
        pa.nulls(len(readings), pa.string()) if readings.text is None else readings.text,
        named(readings.unit.compact()),
        named(readings.quality.compact()),
        named(source.map_values(lambda item: item.topic)),
        named(source.map_values(lambda item: item.topic_id)),
        pa.array(_per_source(source, [item.partition for item in source.values])),
        pa.array(_per_source(source, [item.leader_epoch for item in source.values])),
        pa.array(readings.offset),
        pa.array(readings.index),
        pa.array(readings.revision),
    ]
    return pa.Table.from_arrays(columns, names=SCHEMA.names)


def from_arrow(table: pa.Table) -> Readings:
    """Readings from the columns of SCHEMA, names plain or as dictionaries."""
    table = table.unify_dictionaries().combine_chunks()
    if not table.num_rows:
        return Readings.empty()
    value = _numpy(table["value"], np.float64)
    text = _chunk(table["text"])
    return Readings(
        series=SeriesColumn(coded_column(table["asset_id"]), coded_column(table["sensor_name"])),
        timestamp=_chunk(table["timestamp"]).view(pa.int64()).to_numpy(),
        value=np.where(np.isnan(value), np.nan, value) if table["value"].null_count else value,
        text=None if text.null_count == len(text) else text,
        unit=coded_column(table["unit"]),
        quality=coded_column(table["quality"]),
        source=_zipped_source(
            coded_column(table["kafka_topic"]),
            coded_column(table["kafka_topic_id"]),
            _numpy(table["kafka_partition"], np.int32),
            _numpy(table["kafka_leader_epoch"], np.int32),
        ),
        offset=_numpy(table["kafka_offset"], np.int64),
        index=_numpy(table["kafka_index"], np.int32),
        revision=_numpy(table["decode_revision"], np.int16),
    )


def coded_column(column: Any) -> Coded[str]:  # noqa: ANN401 - a chunked array
    """Names as codes, from a column of names plain or as dictionaries."""
    array = _chunk(column)
    if not isinstance(array, pa.DictionaryArray):
        array = array.dictionary_encode()
    codes = array.indices
    if codes.null_count:
        codes = codes.fill_null(-1)
    return Coded(codes.to_numpy().astype(np.int32, copy=False), tuple(array.dictionary.to_pylist()))


def _dictionary(column: Coded[str]) -> Any:  # noqa: ANN401 - a dictionary array
    missing = column.codes < 0
    codes: Any = pa.array(column.codes, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.values, pa.string()))


def _ordered_dictionary(column: Coded[str]) -> Any:  # noqa: ANN401 - a dictionary array
    if len(column.values) <= 1:
        return _dictionary(column)
    return _dictionary(Coded(column.ranks().astype(np.int32), tuple(sorted(column.values))))


def _per_source(source: Coded[Source], values: list[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)[source.codes]


def _chunk(column: Any) -> Any:  # noqa: ANN401 - arrays of any type
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _numpy(column: Any, kind: type[S]) -> NDArray[S]:  # noqa: ANN401 - a chunked array
    array: NDArray[S] = _chunk(column).to_numpy(zero_copy_only=False)
    return array.astype(kind, copy=False)


def _zipped_source(
    topic: Coded[str], topic_id: Coded[str], partition: NDArray[np.int32], epoch: NDArray[np.int32]
) -> Coded[Source]:
    packed = topic.codes.astype(np.int64)
    for column in (topic_id.codes, partition, epoch):
        packed = _packed(packed, column)
    codes, rows = factorize(packed)
    values = tuple(
        Source(
            topic.values[topic.codes[row]],
            topic_id.values[topic_id.codes[row]],
            int(partition[row]),
            int(epoch[row]),
        )
        for row in rows.tolist()
    )
    return Coded(codes, values)


def _packed(keys: NDArray[np.int64], column: NDArray[np.int32]) -> NDArray[np.int64]:
    """Integers that are equal where the keys and the column both are."""
    least, most = int(column.min()), int(column.max())
    if least == most:
        return keys
    if int(keys.max()) * (most - least + 1) >= _MOST_PACKED:
        keys = factorize(keys)[0].astype(np.int64)
    return keys * (most - least + 1) + (column - least)
