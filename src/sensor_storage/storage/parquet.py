"""Format 1 of every Parquet file this service writes, and the digest that is checked before one is opened.

The footer's metadata holds two keys: `sensor_storage`, a JSON `Footer`, and `sensor_storage.digest`, the
SHA-256 of the whole file computed with the digest's own 64 characters set to `0`. Parquet's page checksums
miss flips in the footer, some of which abort the process that reads them; so the digest comes first.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensor_storage.errors import Damaged, Halt
from sensor_storage.model import SensorHour, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn, factorize

FORMAT_VERSION: Final = 1
WRITER_VERSION: Final = 2
"""A file whose `min_writer_version` is above this must not be merged by this program."""

OLDEST_WRITER: Final = 1
"""What a file says that any program so far may merge."""

_FOOTER_KEY = "sensor_storage"
_DIGEST_KEY = "sensor_storage.digest"
_FOOTER_FIELD = bytes([len(_FOOTER_KEY)]) + _FOOTER_KEY.encode() + b"\x18"
"""How thrift writes the key: its length before it, and behind it the header of the value's field."""

_MORE, _VARINT_BITS = 0x80, 7
_UNSET_DIGEST = "0" * 64
_MAGIC = b"PAR1"
_SMALLEST = 12
_MOST_PACKED = 1 << 31
HELD_BYTES: Final = 1 << 22
"""A file up to this size is read at once; a larger one piece by piece."""

_CHUNK_BYTES = 1 << 20
_INDEX_ROWS = 1 << 18

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
_DELTA_COLUMNS = {"timestamp": "DELTA_BINARY_PACKED", "kafka_offset": "DELTA_BINARY_PACKED"}
_SEARCHED_COLUMNS = ("asset_id", "sensor_name", "timestamp", "kafka_offset")
"""Only these have statistics: they cost time at each write and are read for these columns only."""

_DICTIONARY_COLUMNS = [
    *CODED_COLUMNS,
    "kafka_partition",
    "kafka_leader_epoch",
    "kafka_index",
    "decode_revision",
]

ROW_GROUP_ROWS: Final = {"segment": 1 << 14, "run": 1 << 15, "hour": 1 << 17}

Kind: TypeAlias = Literal["segment", "run", "hour"]
S = TypeVar("S", bound=np.generic)


class Totals(msgspec.Struct, frozen=True, order=True):
    """What the file holds from one source; offsets with both ends included."""

    source: Source
    first_offset: int
    last_offset: int
    readings: int
    hash_sum: int


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. `sensor_hour` is set for hour files, `ledger` for segments and runs."""

    kind: Kind
    rows: int
    totals: tuple[Totals, ...]
    ledger: tuple[LedgerEntry, ...] = ()
    sensor_hour: SensorHour | None = None
    conflicts: int = 0
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


class Version(msgspec.Struct, frozen=True):
    """The part of every file's footer that every program understands."""

    min_writer_version: int = OLDEST_WRITER


_FOOTER_DECODER = msgspec.json.Decoder(Footer)
_VERSION_DECODER = msgspec.json.Decoder(Version)


def encode_readings(readings: Readings, footer: Footer, *, compression: str = "zstd") -> memoryview:
    """The bytes of a segment, run or hour file with these readings, in their order."""
    table = to_arrow(readings, ordered=footer.kind == "hour")
    return encode_table(table, footer, compression=compression, row_group_rows=ROW_GROUP_ROWS[footer.kind])


def encode_table(
    table: pa.Table, footer: msgspec.Struct, *, compression: str = "zstd", row_group_rows: int = 1 << 17
) -> memoryview:
    """The bytes of a Parquet file with this table, footer and digest."""
    sink = pa.BufferOutputStream()
    codecs = {name: compression for name in table.schema.names if _varies(table[name])}
    with table_writer(sink, table.schema, compression=codecs) as writer:
        writer.write_table(table, row_group_size=row_group_rows)
        add_footer(writer, footer)
    return sealed(sink)


def sealed(sink: pa.BufferOutputStream) -> memoryview:
    """The bytes written to the sink, the digest computed and set."""
    data = memoryview(bytearray(sink.getvalue()))
    place = _digest_place(data)
    data[place : place + 64] = sha256(data).hexdigest().encode()
    return data.toreadonly()


def seal_file(path: Path) -> str:
    """Compute and set the digest of a file that was written piece by piece."""
    with path.open("r+b") as file:
        place, _, digest = _read_digests(file, path)
        file.seek(place)
        file.write(digest.encode())
    return digest


def table_writer(sink: "pa.NativeFile | str", schema: pa.Schema, *, compression: Any) -> pq.ParquetWriter:  # noqa: ANN401
    """A Parquet writer with this format's encodings."""
    names = set(schema.names)
    coded: Any = [name for name in _DICTIONARY_COLUMNS if name in names]
    return pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        use_dictionary=coded,
        column_encoding={name: code for name, code in _DELTA_COLUMNS.items() if name in names},
        write_page_checksum=True,
        store_schema=False,
        write_statistics=[name for name in _SEARCHED_COLUMNS if name in names] or False,
    )


def add_footer(writer: pq.ParquetWriter, footer: msgspec.Struct) -> None:
    """Write the footer's metadata, the digest still unset."""
    writer.add_key_value_metadata(
        {_FOOTER_KEY: msgspec.json.encode(footer).decode(), _DIGEST_KEY: _UNSET_DIGEST}
    )


def content_digest(totals: tuple[Totals, ...] | bytes) -> str:
    """The digest of a set of readings by its totals, perhaps as JSON: equal for equal sets, however written."""
    text = totals if isinstance(totals, bytes) else msgspec.json.encode(totals)
    return blake2b(text, digest_size=16).hexdigest()


def digest_of(data: "bytes | memoryview | mmap.mmap") -> str:
    """The digest the file should carry, computed from its bytes."""
    place = _digest_place(data)
    digest = sha256(memoryview(data)[:place])
    digest.update(_UNSET_DIGEST.encode())
    digest.update(memoryview(data)[place + 64 :])
    return digest.hexdigest()


def stored_digest(data: "bytes | memoryview | mmap.mmap") -> str:
    """The digest the file carries, not checked."""
    place = _digest_place(data)
    return bytes(data[place : place + 64]).decode("ascii", "replace")


def checked_digest(data: "bytes | memoryview | mmap.mmap", path: Path) -> str:
    """The file's digest; Damaged unless the bytes are those that were written."""
    place = _digest_place(data, path)
    computed = digest_of(data)
    if bytes(data[place : place + 64]) != computed.encode():
        raise _digest_mismatch(path)
    return computed


def file_digest(path: Path) -> str:
    """The digest of a file of any size; Damaged unless its bytes are those that were written."""
    with path.open("rb") as file:
        _, carried, computed = _read_digests(file, path)
    if carried != computed:
        raise _digest_mismatch(path)
    return computed


def _digest_mismatch(path: Path) -> Damaged:
    return Damaged(
        f"{path}: the bytes differ from what was written (digest mismatch)",
        hint="run `sensor-storage verify`; keep the file for inspection, do not edit it",
    )


def open_parquet(source: pa.NativeFile, *, coded: bool = True) -> pq.ParquetFile:
    """A Parquet file whose names are read as dictionaries if `coded`; for bytes whose digest has been checked."""
    if coded:
        with suppress(KeyError):  # of one of the names: a ledger file, or one that is not of this service
            return pq.ParquetFile(source, read_dictionary=CODED_COLUMNS, page_checksum_verification=True)
    return pq.ParquetFile(source, page_checksum_verification=True)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows `start` up to `stop` of a file, and what their statistics say; timestamps in µs."""

    start: int
    stop: int
    first_timestamp: int
    last_timestamp: int
    first_offset: int
    last_offset: int


class CheckedFile:
    """A Parquet file whose digest has been checked, open for reading; a small one is held in memory."""

    def __init__(self, path: Path, *, coded: bool = True) -> None:
        self.path = path
        self._coded = coded
        self._held: bytes | None = None
        with ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            self.size_bytes = os.fstat(file.fileno()).st_size
            if self.size_bytes <= HELD_BYTES:
                self._held = file.read()
                self.digest = checked_digest(self._held, path)
                return
            _, carried, self.digest = _read_digests(file, path)
            if carried != self.digest:
                raise _digest_mismatch(path)
            self.parquet = open_parquet(pa.PythonFile(file, mode="r"), coded=coded)
            stack.pop_all()

    @cached_property
    def parquet(self) -> pq.ParquetFile:
        """The file to a Parquet library, which a held one meets only if it is asked for more than its footer."""
        return open_parquet(pa.BufferReader(self._held), coded=self._coded)

    @property
    def metadata(self) -> bytes:
        """The JSON footer."""
        if self._held is not None:
            return _footer_json(self._held, self.path)
        found: dict[bytes, bytes] = self.parquet.metadata.metadata or {}
        if _FOOTER_KEY.encode() not in found:
            raise Damaged(f"{self.path}: not a file of this service")
        return found[_FOOTER_KEY.encode()]

    def footer(self) -> Footer:
        """The footer of a segment, run or hour file. Halt when only a newer program understands it."""
        try:
            return _FOOTER_DECODER.decode(self.metadata)
        except msgspec.DecodeError as error:
            refuse_newer(self.version(), self.path)
            raise Damaged(f"{self.path}: footer not understood: {error}") from error

    def version(self) -> Version:
        """Which programs may write this file, whatever kind it is."""
        try:
            return _VERSION_DECODER.decode(self.metadata)
        except msgspec.DecodeError as error:
            raise Damaged(f"{self.path}: footer not understood: {error}") from error

    def series_and_timestamps(self) -> Iterator[tuple[SeriesColumn, NDArray[np.int64]]]:
        """Two columns only, a bounded block after the other: whose each row is, and when."""
        names = ["asset_id", "sensor_name", "timestamp"]
        for batch in self.parquet.iter_batches(_INDEX_ROWS, columns=names, use_threads=False):
            series = SeriesColumn(coded_column(batch["asset_id"]), coded_column(batch["sensor_name"]))
            yield series, batch["timestamp"].view(pa.int64()).to_numpy()

    def groups(self) -> list[RowGroup]:
        """The row groups, by their statistics."""
        metadata = self.parquet.metadata
        time, offset = (metadata.schema.names.index(name) for name in ("timestamp", "kafka_offset"))
        found: list[RowGroup] = []
        start = 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            times: Any = group.column(time).statistics
            offsets: Any = group.column(offset).statistics
            found.append(
                RowGroup(
                    start,
                    start + group.num_rows,
                    times.min_raw,
                    times.max_raw,
                    offsets.min_raw,
                    offsets.max_raw,
                )
            )
            start += group.num_rows
        return found

    def readings(self) -> Readings:
        """All rows."""
        return from_arrow(self.parquet.read(use_threads=False))

    def rows(self, start: int, stop: int) -> Readings:
        """The rows from `start` up to `stop`, reading only their row groups."""
        groups: list[int] = []
        first = seen = 0
        metadata = self.parquet.metadata
        for group in range(metadata.num_row_groups):
            count = metadata.row_group(group).num_rows
            if seen < stop and seen + count > start:
                if not groups:
                    first = seen
                groups.append(group)
            seen += count
        if not groups:
            return Readings.empty()
        rows = self.parquet.read_row_groups(groups, use_threads=False)
        return from_arrow(rows.slice(start - first, stop - start))


def writer_for(ledger: Iterable[LedgerEntry]) -> int:
    """The least writer version that understands these entries: the first one knows of no replays."""
    return WRITER_VERSION if any(entry.fate == "replayed" for entry in ledger) else OLDEST_WRITER


def refuse_newer(footer: Footer | Version, path: Path) -> None:
    """Halt rather than drop columns that a newer program wrote."""
    if footer.min_writer_version > WRITER_VERSION:
        raise Halt(
            f"{path}: needs a program of writer version {footer.min_writer_version}, this one is {WRITER_VERSION}",
            hint="upgrade this service before it merges that file",
        )


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


def totals_of(readings: Readings) -> tuple[Totals, ...]:
    """The footer's account of a block, by source."""
    if not len(readings):
        return ()
    return tuple(
        Totals(item.source, item.first_offset, item.last_offset, item.readings, item.hash_sum)
        for item in readings.totals()
    )


def _varies(column: Any) -> bool:  # noqa: ANN401 - a chunked array
    """Is there anything to compress? A constant column's page only grows by it, and takes 25 µs."""
    if not len(column):
        return False
    array = column.chunk(0)
    if isinstance(array, pa.DictionaryArray):
        return len(array.dictionary) > 1
    if column.null_count == len(column):
        return False
    if column.null_count:
        return True
    return not pa.types.is_integer(array.type) or column.num_chunks > 1 or _differ(array.to_numpy())


def _differ(values: NDArray[np.int64]) -> bool:
    return bool((values != values[0]).any())


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


def coded_column(column: Any) -> Coded[str]:  # noqa: ANN401 - a chunked array
    """Names as codes, from a column of names plain or as dictionaries."""
    array = _chunk(column)
    if not isinstance(array, pa.DictionaryArray):
        array = array.dictionary_encode()
    codes = array.indices
    if codes.null_count:
        codes = codes.fill_null(-1)
    return Coded(codes.to_numpy().astype(np.int32, copy=False), tuple(array.dictionary.to_pylist()))


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


def _read_digests(file: IO[bytes], path: Path) -> tuple[int, str, str]:
    """Of a file too large to hold: the digest's place, the digest it carries, and the one it should."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    start = max(0, size - 8 - length)
    file.seek(start)
    tail = file.read()
    place = start + _digest_place(tail, path)
    digest = sha256()
    file.seek(0)
    left = place
    while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    digest.update(_UNSET_DIGEST.encode())
    digest.update(tail[place - start + 64 :])
    return place, tail[place - start : place - start + 64].decode("ascii", "replace"), digest.hexdigest()


def _footer_json(data: bytes, path: Path) -> bytes:
    """The JSON footer, found by its key: its length stands before it, and no JSON of ours holds such bytes."""
    size = len(data)
    start = max(0, size - 8 - int.from_bytes(data[size - 8 : size - 4], "little"))
    key = data.rfind(_FOOTER_FIELD, start, size - 8)
    if key < 0:
        raise Damaged(f"{path}: not a file of this service")
    place, length, shift = key + len(_FOOTER_FIELD), 0, 0
    while data[place] & _MORE:
        length |= (data[place] & ~_MORE) << shift
        place, shift = place + 1, shift + _VARINT_BITS
    length |= data[place] << shift
    return data[place + 1 : place + 1 + length]


def _digest_place(data: "bytes | memoryview | mmap.mmap", path: Path = Path("?")) -> int:
    """Where the digest's characters are: behind its key, in the last bytes of the file."""
    size = len(data)
    if size < _SMALLEST or bytes(data[size - 4 :]) != _MAGIC:
        raise Damaged(f"{path}: not a whole Parquet file ({size} bytes)")
    length = int.from_bytes(data[size - 8 : size - 4], "little")
    start = max(0, size - 8 - length)
    footer = bytes(data[start : size - 8])
    key = footer.rfind(_DIGEST_KEY.encode())
    place = key + len(_DIGEST_KEY) + 2  # thrift: field header, then the length of the string
    if key < 0 or place + 64 > len(footer) or footer[place - 2 : place] != b"\x18\x40":
        raise Damaged(f"{path}: carries no digest; not a file of this service, or damaged")
    return start + place
