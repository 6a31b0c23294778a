"""Format 1 of every Parquet file this service writes: its encodings, and its bytes behind a checked digest."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensor_storage.errors import Damaged
from sensor_storage.storage.arrow_columns import CODED_COLUMNS, coded_column, from_arrow, to_arrow
from sensor_storage.storage.digests import checked_digest, checked_file_digest, sealed
from sensor_storage.storage.footers import (
    FOOTER_KEY,
    Footer,
    Version,
    decode_footer,
    decode_version,
    footer_json,
    footer_metadata,
)
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn

HELD_BYTES: Final = 1 << 22
"""A file up to this size is read at once; a larger one piece by piece."""
_INDEX_ROWS = 1 << 18
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
        writer.add_key_value_metadata(footer_metadata(footer))
    return sealed(sink)


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
            self.digest = checked_file_digest(file, path)
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
            return footer_json(self._held, self.path)
        found: dict[bytes, bytes] = self.parquet.metadata.metadata or {}
        if FOOTER_KEY.encode() not in found:
            raise Damaged(f"{self.path}: not a file of this service")
        return found[FOOTER_KEY.encode()]

    def footer(self) -> Footer:
        """The footer of a segment, run or hour file. Halt when only a newer program understands it."""
        return decode_footer(self.metadata, self.path)

    def version(self) -> Version:
        """Which programs may write this file, whatever kind it is."""
        return decode_version(self.metadata, self.path)

    def series_and_timestamps(self) -> Iterator[tuple[SeriesColumn, NDArray[np.int64]]]:
        """Two columns only, a bounded block after the other: whose each row is, and when."""
        names = ["asset_id", "sensor_name", "timestamp"]
        for batch in self.parquet.iter_batches(_INDEX_ROWS, columns=names, use_threads=False):
            series = SeriesColumn(coded_column(batch["asset_id"]), coded_column(batch["sensor_name"]))
            yield series, batch["timestamp"].view(pa.int64()).to_numpy()

    @cached_property
    def _bounds(self) -> list[int]:
        """Where each row group starts, and the end of the last."""
        metadata = self.parquet.metadata
        sizes = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
        return [*accumulate(sizes, initial=0)]

    def groups(self) -> list[RowGroup]:
        """The row groups, by their statistics."""
        return self._row_groups

    @cached_property
    def _row_groups(self) -> list[RowGroup]:
        metadata = self.parquet.metadata
        time, offset = (metadata.schema.names.index(name) for name in ("timestamp", "kafka_offset"))
        found: list[RowGroup] = []
        for number, (start, stop) in enumerate(pairwise(self._bounds)):
            group = metadata.row_group(number)
            times: Any = group.column(time).statistics
            offsets: Any = group.column(offset).statistics
            found.append(
                RowGroup(
                    start,
                    stop,
                    times.min_raw,
                    times.max_raw,
                    offsets.min_raw,
                    offsets.max_raw,
                )
            )
        return found

    def readings(self) -> Readings:
        """All rows."""
        return from_arrow(self.parquet.read(use_threads=False))

    def rows(self, start: int, stop: int) -> Readings:
        """The rows from `start` up to `stop`, reading only their row groups."""
        if start >= min(stop, self._bounds[-1]):
            return Readings.empty()
        first, last = bisect_right(self._bounds, start) - 1, bisect_left(self._bounds, stop)
        groups = [*range(first, min(last, len(self._bounds) - 1))]
        rows = self.parquet.read_row_groups(groups, use_threads=False)
        return from_arrow(rows.slice(start - self._bounds[first], stop - start))

    def spans(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Readings:
        """The rows of these spans, which ascend and do not overlap; holds them and one row group more."""
        parts: list[Readings] = []
        for low, high in pairwise(self._bounds):
            first, last = int(np.searchsorted(stops, low, "right")), int(np.searchsorted(starts, high))
            if first < last:
                inside = np.clip([starts[first:last], stops[first:last]], low, high) - low
                parts.append(self.rows(low, high).where(_covered(*inside, rows=high - low)))
        return Readings.concat(parts)


def _covered(starts: NDArray[np.int64], stops: NDArray[np.int64], *, rows: int) -> NDArray[np.bool_]:
    """For each row whether it is in one of the spans."""
    changes = np.bincount(starts, minlength=rows + 1) - np.bincount(stops, minlength=rows + 1)
    covered: NDArray[np.bool_] = np.cumsum(changes[:rows]) > 0
    return covered


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
