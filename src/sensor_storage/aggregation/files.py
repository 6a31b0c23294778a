"""Aggregate files: the windows of one level and period of one sensor, one row a window (`docs/formats.md`).

The footer names what the rows were made from: for minutes the content digest of the hour file (of the set of its
readings, however they are written), for hours the digest of each file of minutes, for days that of each file of
hours; beside each what was held when it began; and the parameters. So anyone can tell a stale aggregate from the
files alone, and equal readings make equal bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensor_storage.aggregation.carry import Carry, Held, carry_out
from sensor_storage.aggregation.statistics import Statistics
from sensor_storage.aggregation.windows import Level, period_of
from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.storage.digests import checked_digest, sealed
from sensor_storage.storage.footers import FORMAT_VERSION, OLDEST_WRITER, footer_metadata, refuse_newer
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.quality import Numbering

_TIME: Any = pa.timestamp("us", tz="UTC")
_INTEGERS = ("count", "bad_count", "null_count", "other_unit_count", "text_count", "text_changes")
_NUMBERS = (
    "min",
    "max",
    "sum",
    "sum_low",
    "mean",
    "stddev",
    "first",
    "last",
    "time_weighted_mean",
    "inner_integral",
    "good_ratio",
)
_FIELDS: list[Any] = [
    pa.field("window_start", _TIME),
    pa.field("count", pa.int64()),
    pa.field("bad_count", pa.int64()),
    pa.field("null_count", pa.int64()),
    pa.field("other_unit_count", pa.int64()),
    pa.field("unit", pa.string()),
    pa.field("unit_conflict", pa.bool_()),
    pa.field("min", pa.float64()),
    pa.field("max", pa.float64()),
    pa.field("sum", pa.float64()),
    pa.field("sum_low", pa.float64()),
    pa.field("mean", pa.float64()),
    pa.field("stddev", pa.float64()),
    pa.field("first", pa.float64()),
    pa.field("first_timestamp", _TIME),
    pa.field("last", pa.float64()),
    pa.field("last_timestamp", _TIME),
    pa.field("time_weighted_mean", pa.float64()),
    pa.field("covered_us", pa.int64()),
    pa.field("inner_integral", pa.float64()),
    pa.field("inner_covered_us", pa.int64()),
    pa.field("good_ratio", pa.float64()),
    pa.field("text_count", pa.int64()),
    pa.field("first_text", pa.string()),
    pa.field("last_text", pa.string()),
    pa.field("text_changes", pa.int64()),
]

SCHEMA: Final = pa.schema(_FIELDS)
"""The columns of aggregate files, of every level and kind of sensor."""

_STRINGS: Any = [field.name for field in _FIELDS if field.type == pa.string()]
_DELTA = {field.name: "DELTA_BINARY_PACKED" for field in _FIELDS if field.type in (pa.int64(), _TIME)}


class Parameters(msgspec.Struct, frozen=True):
    """What statistics depend on beside the readings."""

    carry_limit_us: int = 3_600_000_000
    quality_numbering: Numbering = "opc-ua"
    uncertain_is_good: bool = True


class Part(msgspec.Struct, frozen=True):
    """One source: the hour or day it stands for, counted since 1970; its file's digest; what was held before.

    `made_with` is the place in the footer's list of the parameters.
    """

    number: int
    digest: str
    carry_in: Carry | None = None
    made_with: int = 0


class AggregateFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What an aggregate file says of itself; `tails` has by row what `sum` and `sum_low` don't hold of a sum."""

    kind: str = "aggregate"
    level: Level
    series: Series
    period: int
    rows: int
    parts: tuple[Part, ...]
    parameters: tuple[Parameters, ...]
    carry_out: Carry | None = None
    tails: dict[int, tuple[float, ...]] = {}
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


_DECODER = msgspec.json.Decoder(AggregateFooter)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """An aggregate file, read: its windows' statistics, their time-weighted means, and the footer."""

    footer: AggregateFooter
    statistics: Statistics
    held: Held
    digest: str


def encode_aggregate(
    series: Series,
    level: Level,
    statistics: Statistics,
    held: Held,
    *,
    parts: Sequence[Part],
    parameters: Sequence[Parameters],
) -> memoryview:
    """The bytes of the file of these windows, which must all be of one period."""
    footer = AggregateFooter(
        level=level,
        series=series,
        period=period_of(level, int(statistics.start[0])),
        rows=len(statistics),
        parts=tuple(parts),
        parameters=tuple(parameters),
        carry_out=carry_out(statistics),
        tails=statistics.tails,
    )
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="none",  # sixty rows: codecs cost more time than they save room
        use_dictionary=_STRINGS,
        column_encoding=_DELTA,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(to_table(statistics, held))
        writer.add_key_value_metadata(footer_metadata(footer))
    return sealed(sink)


def read_aggregate(path: Path) -> Aggregate:
    """An aggregate file; Damaged unless its bytes are those written and it is one."""
    file = CheckedFile(path, coded=False)
    footer = footer_of(file)
    table = file.parquet.read(use_threads=False)
    if table.num_rows != footer.rows or table.schema.names != SCHEMA.names:
        raise Damaged(f"{path}: does not hold what its footer says")
    statistics, held = from_table(table, footer.tails)
    return Aggregate(footer, statistics, held, file.digest)


def read_columns(path: Path, names: list[str]) -> pa.Table:
    """Some columns of an aggregate file, as they stand; Damaged unless its bytes are those written.

    For those who read thousands: it looks at bytes and columns alone, not at the footer.
    """
    data = path.read_bytes()
    checked_digest(data, path)
    return pq.ParquetFile(pa.BufferReader(data)).read(names, use_threads=False)


def footer_of(file: CheckedFile) -> AggregateFooter:
    """The footer of an aggregate file."""
    try:
        footer = _DECODER.decode(file.metadata)
    except msgspec.DecodeError as error:
        refuse_newer(file.version(), file.path)
        raise Damaged(f"{file.path}: not the footer of an aggregate: {error}") from error
    refuse_newer(file.version(), file.path)
    if footer.kind != "aggregate":
        raise Damaged(f"{file.path}: is a {footer.kind} file, not an aggregate")
    return footer


def to_table(statistics: Statistics, held: Held) -> pa.Table:
    """The columns of SCHEMA; what a window has not is null."""
    none: NDArray[np.bool_] = statistics.count == 0
    good = statistics.count + statistics.other_unit + statistics.text_count
    columns: dict[str, Any] = {
        "window_start": _times(statistics.start),
        "count": statistics.count,
        "bad_count": statistics.bad,
        "null_count": statistics.null,
        "other_unit_count": statistics.other_unit,
        "unit": pa.array(statistics.unit.tolist(), pa.string()),
        "unit_conflict": statistics.other_unit > 0,
        "min": statistics.least,
        "max": statistics.most,
        "sum": statistics.total,
        "sum_low": statistics.low,
        "mean": statistics.mean,
        "stddev": statistics.deviation,
        "first": statistics.first,
        "first_timestamp": _times(statistics.first_timestamp, none),
        "last": statistics.last,
        "last_timestamp": _times(statistics.last_timestamp, none),
        "time_weighted_mean": held.mean,
        "covered_us": held.covered,
        "inner_integral": statistics.integral,
        "inner_covered_us": statistics.covered,
        "good_ratio": good / (good + statistics.bad + statistics.null),
        "text_count": statistics.text_count,
        "first_text": pa.array(statistics.first_text.tolist(), pa.string()),
        "last_text": pa.array(statistics.last_text.tolist(), pa.string()),
        "text_changes": statistics.changes,
    }
    arrays: list[Any] = [_array(columns[name]) for name in SCHEMA.names]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def from_table(table: pa.Table, tails: dict[int, tuple[float, ...]] | None = None) -> tuple[Statistics, Held]:
    """The statistics and held means that a table of SCHEMA holds; all rows are of one part."""
    table = table.combine_chunks()
    numbers = {name: _floats(table[name]) for name in _NUMBERS}
    integers = {name: _integers(table[name]) for name in (*_INTEGERS, "covered_us", "inner_covered_us")}
    statistics = Statistics(
        part=np.zeros(table.num_rows, np.int64),
        start=_integers(table["window_start"]),
        count=integers["count"],
        bad=integers["bad_count"],
        null=integers["null_count"],
        other_unit=integers["other_unit_count"],
        unit=_objects(table["unit"]),
        least=numbers["min"],
        most=numbers["max"],
        total=numbers["sum"],
        low=numbers["sum_low"],
        deviation=numbers["stddev"],
        first=numbers["first"],
        first_timestamp=_integers(table["first_timestamp"]),
        last=numbers["last"],
        last_timestamp=_integers(table["last_timestamp"]),
        integral=numbers["inner_integral"],
        covered=integers["inner_covered_us"],
        text_count=integers["text_count"],
        first_text=_objects(table["first_text"]),
        last_text=_objects(table["last_text"]),
        changes=integers["text_changes"],
        tails=dict(tails or {}),
    )
    return statistics, Held(numbers["time_weighted_mean"], integers["covered_us"])


def _times(values: NDArray[np.int64], none: NDArray[np.bool_] | None = None) -> Any:  # noqa: ANN401 - an array
    return pa.array(values, mask=none if none is not None and none.any() else None).view(_TIME)


def _array(column: Any) -> Any:  # noqa: ANN401 - numpy or arrow
    if not isinstance(column, np.ndarray):
        return column
    missing = np.isnan(column) if column.dtype == np.float64 else None
    return pa.array(column, mask=missing if missing is not None and missing.any() else None)


def _floats(column: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a chunked array
    found: NDArray[np.float64] = column.to_numpy()
    return np.where(np.isnan(found), np.nan, found)  # one NaN, whatever the reader makes of null


def _integers(column: Any) -> NDArray[np.int64]:  # noqa: ANN401 - a chunked array
    chunk = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    numbers = chunk.view(pa.int64()) if pa.types.is_timestamp(chunk.type) else chunk
    found: NDArray[np.int64] = (numbers.fill_null(0) if numbers.null_count else numbers).to_numpy()
    return found


def _objects(column: Any) -> NDArray[Any]:  # noqa: ANN401 - a chunked array
    found = np.empty(len(column), object)
    found[:] = column.to_pylist()
    return found
