"""Answers as bytes, piece by piece: JSON, only its rows (flat), CSV, an Arrow IPC stream, or Parquet."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

Format: TypeAlias = Literal["json", "flat", "csv", "arrow", "parquet"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "flat": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
META_KEY: Final = "sensor_storage"
"""Under this key the schema's metadata of Arrow and Parquet has what JSON has beside the rows."""

_ISO = "%Y-%m-%dT%H:%M:%SZ"
_ROWS_AT_ONCE = 5_000
_GROUP_ROWS = 200_000


def encode(
    form: Format,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    meta: Mapping[str, object],
    end: Callable[[], Mapping[str, object]] = dict,
) -> Iterator[bytes]:
    """The whole answer. `meta` goes into JSON beside the rows, and into the metadata of Arrow and Parquet.

    What is known only when all rows are read, `end` and the warnings that came meanwhile, is in JSON alone.
    """
    if form == "json":
        return _json(tables, meta, end)
    if form == "flat":
        return _flat(tables)
    if form == "csv":
        return _csv(schema, tables)
    schema = schema.with_metadata({META_KEY: json.dumps(meta)})
    return _arrow(schema, tables) if form == "arrow" else _parquet(schema, tables)


def _json(
    tables: Iterable[pa.Table], meta: Mapping[str, object], end: Callable[[], Mapping[str, object]]
) -> Iterator[bytes]:
    late = {name: value for name, value in meta.items() if name == "warnings"}
    meta = {name: value for name, value in meta.items() if name not in late}
    head = msgspec.json.encode(meta)
    yield head[:-1] + (b"," if meta else b"") + b'"rows":'
    count = 0

    def counted() -> Iterator[pa.Table]:
        nonlocal count
        for table in tables:
            count += table.num_rows
            yield table

    yield from _flat(counted())
    yield b"," + msgspec.json.encode({"row_count": count, **late, **end()})[1:]


def _flat(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """An array of rows, each an object of texts, numbers and nulls alone."""
    before = b"["
    for table in tables:
        for start in range(0, len(table), _ROWS_AT_ONCE):
            rows = _with_times_as_text(table.slice(start, _ROWS_AT_ONCE)).to_pylist()
            yield before + msgspec.json.encode(rows)[1:-1]
            before = b","
    yield b"]" if before == b"," else b"[]"


def _csv(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    sink: Any = _Pieces()
    plain = _with_times_as_text(schema.empty_table()).schema
    with pyarrow.csv.CSVWriter(sink, plain) as writer:
        yield sink.take()
        for table in tables:
            writer.write_table(_with_times_as_text(table).cast(plain))
            yield sink.take()
    yield sink.take()


def _arrow(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    sink: Any = _Pieces()
    plain = pa.schema([_plain(field) for field in schema], _metadata(schema))
    with pa.ipc.new_stream(sink, plain) as writer:
        yield sink.take()
        for table in tables:
            writer.write_table(table.cast(plain))
            yield sink.take()
    yield sink.take()


def _parquet(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    sink: Any = _Pieces()
    plain = pa.schema([_plain(field) for field in schema], _metadata(schema))
    with pq.ParquetWriter(sink, plain, compression="zstd") as writer:
        held: list[pa.Table] = []
        for table in tables:
            held.append(table.cast(plain))
            if sum(map(len, held)) >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(held))
                held = []
                yield sink.take()
        if held:
            writer.write_table(pa.concat_tables(held))
    yield sink.take()


def _metadata(schema: pa.Schema) -> Any:  # noqa: ANN401 - the stubs take no dict of bytes
    return schema.metadata


def _plain(field: Any) -> Any:  # noqa: ANN401 - a field
    """Texts as texts: not every reader takes dictionaries that change within a stream."""
    if pa.types.is_dictionary(field.type):
        return pa.field(field.name, field.type.value_type)
    return field


def _with_times_as_text(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text: Any = pc.strftime(table[field.name], format=_ISO)
            table = table.set_column(place, field.name, text)
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
    return table


class _Pieces(io.RawIOBase):
    """A file that is read as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:  # noqa: ANN401 - a buffer
        """Hold some more."""
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        """How much was written in all."""
        return self._written

    def writable(self) -> bool:
        """It is."""
        return True

    def take(self) -> bytes:
        """What was written since."""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
