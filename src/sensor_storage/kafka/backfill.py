"""Past readings from files, by the same way as messages: a row is a message, its number is its offset.

The source of a row is `file:` and the digest of the file's bytes, so a file that is imported twice, or whose import
died half-way, stands in the tree once. Each part of the file becomes a segment with its ledger entry: commit point.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensor_storage.errors import Usage
from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.compared import Decode
from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage, LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment

PREFIX: Final = "file:"
_ROWS: Final = 20_000
_TOLD: Final = 5
_TEXT_BYTES: Final = 1 << 20
_UNREADABLE: Final = (OverflowError, UnicodeDecodeError)
"""What Python says of a time outside of its calendar, and of bytes that are no text."""
_OWN: Final = {"kafka_topic", "kafka_partition", "kafka_offset", "kafka_index"}


@dataclass(slots=True)
class Backfilled:
    """What became of a file's rows; `already` were imported before, `bad` gave no reading.

    `overlapping` readings were left out, for Kafka covers their time.
    """

    rows: int = 0
    readings: int = 0
    already: int = 0
    bad: int = 0
    overlapping: int = 0
    errors: list[str] = field(default_factory=list)


def from_file(source: Source) -> bool:
    """Do its rows come from an imported file?"""
    return source.topic.startswith(PREFIX)


class Backfill:
    """Imports files into one data directory. The service may run: this is one more writer of segments."""

    def __init__(
        self,
        *,
        layout: Layout,
        disk: Disk,
        decode: Decode,
        names: Callable[[], StagedName],
        compression: str,
        known: Coverage,
        covered: Callable[[Readings], NDArray[np.bool_]] | None = None,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._decode = decode
        self._names = names
        self._compression = compression
        self._known = known
        self._covered = covered

    def run(
        self, path: Path, *, asset: str = "", store: bool = True, told: Callable[[Backfilled], None]
    ) -> Backfilled:
        """Import the file, or only look what it would give. Usage where it can't be read."""
        done = Backfilled()
        source = _source(path)
        for values in _parts(path):
            start = done.rows
            done.rows += len(values)
            offsets = np.arange(start, done.rows, dtype=np.int64)
            left = self._known.unanswered(source, offsets)
            if left is None and (source, start) in self._known:
                left = np.zeros(len(offsets), np.bool_)
            if left is not None and not left.any():
                done.already += len(values)
                continue
            self._take(source, offsets, values, asset, done, store=store)
            told(done)
        return done

    def _take(
        self,
        source: Source,
        offsets: Any,  # noqa: ANN401 - an array
        values: list[bytes | None],
        asset: str,
        done: Backfilled,
        *,
        store: bool,
    ) -> None:
        count = len(values)
        batch = MessageBatch(
            topic=source.topic,
            source=Coded.constant(source, count),
            offset=offsets,
            timestamp=np.full(count, -1, np.int64),
            key=[asset.encode() if asset else None] * count,
            value=values,
        )
        decoded = self._decode(batch)
        readings = decoded.readings.sorted()
        if self._covered:
            left = readings.where(~self._covered(readings))
            done.overlapping += len(readings) - len(left)
            readings = left
        done.readings += len(readings)
        done.bad += len(decoded.rejected)
        for item in decoded.rejected[: max(0, _TOLD - len(done.errors))]:
            done.errors.append(f"row {int(offsets[item.row]) + 1:,}: {item.error}")
        if store:
            self._publish(source, int(offsets[0]), count, readings)

    def _publish(self, source: Source, start: int, count: int, ordered: Readings) -> None:
        held = {total.source: total for total in ordered.totals()} if len(ordered) else {}
        entry = LedgerEntry(
            source,
            start,
            start + count,
            messages=count,
            readings=len(ordered),
            empty=count - int(np.count_nonzero(ordered.index == 0)),  # as `verify` counts messages
            hash_sum=held[source].hash_sum if source in held else 0,
        )
        segment = encode_segment(ordered, [entry], self._compression)
        self._disk.publish_bytes(self._layout.staged(self._names()), segment)  # commit point


def _source(path: Path) -> Source:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return Source(PREFIX + digest, digest, 0, 0)


def _parts(path: Path) -> Iterator[list[bytes | None]]:
    """The file's rows as messages, some at a time."""
    suffix = path.suffix.lower()
    try:
        if suffix in {".ndjson", ".jsonl", ".json"}:
            with path.open("rb") as lines:
                while part := list(islice(lines, _ROWS)):
                    yield [line.strip() or None for line in part]
        elif suffix == ".csv":
            _check_utf8(path)
            _check_heading(path)
            with pc.open_csv(path) as reader:
                _check_columns(path, reader.schema.names)
                yield from _tables(path, reader)
        elif suffix in {".parquet", ".pq"}:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            _check_columns(path, file.schema_arrow.names)
            if set(file.schema_arrow.names) >= _OWN:
                raise Usage(
                    f"{path} is a file of this service, whose readings have their own addresses",
                    hint="put it in its place below raw/ of a data directory and run `sensor-storage rebuild`",
                )
            yield from _tables(path, file.iter_batches(_ROWS))
        else:
            raise Usage(f"{path}: {suffix or 'no suffix'} is no known form", hint="Parquet, CSV or NDJSON")
    except (pa.ArrowException, OSError, *_UNREADABLE) as error:
        raise Usage(
            f"{path} can't be read: {error}", hint="is it whole, and of the form its name says?"
        ) from error


def _check_utf8(path: Path) -> None:
    """Usage where a text is not UTF-8: its bytes would be taken for something else."""
    row = 0
    with path.open("rb") as file:
        while lines := file.readlines(_TEXT_BYTES):
            try:
                b"".join(lines).decode()
            except UnicodeDecodeError as error:
                row += b"".join(lines)[: error.start].count(b"\n")
                raise Usage(
                    f"{path} is not UTF-8 (row {row:,})" if row else f"{path} is not UTF-8 (its heading)",
                    hint=f"convert it, for example: iconv -f ISO-8859-1 -t UTF-8 {path.name} > utf8.csv",
                ) from error
            row += len(lines)


def _check_columns(path: Path, names: list[str]) -> None:
    """Usage where two columns can't be told apart."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Usage(f"{path} has a column twice: {', '.join(twice)}", hint="rename it, or leave one out")


def _check_heading(path: Path) -> None:
    """Usage where something else than commas is between the columns."""
    with path.open("rb") as file:
        heading = file.readline(_TEXT_BYTES)
    for sign, word in ((b";", "semicolons"), (b"\t", "tabs")):
        if sign in heading and b"," not in heading:
            raise Usage(
                f"{path} separates its columns by {word}",
                hint="save it with commas between columns, and points in decimal numbers",
            )


def _tables(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[list[bytes | None]]:
    """Batches of rows as messages. Usage with the row where one can't be read."""
    read = 0
    for batch in batches:
        try:
            parts = list(_messages(batch))
        except _UNREADABLE as error:
            row = (
                read + next(number for number in range(batch.num_rows) if not _is_readable(batch, number)) + 1
            )
            hint = "is the file whole, and is that a time or text at all?"
            raise Usage(f"{path}: row {row:,} can't be read: {error}", hint=hint) from error
        yield from parts
        read += batch.num_rows


def _is_readable(batch: pa.RecordBatch, number: int) -> bool:
    try:
        list(_messages(batch.slice(number, 1)))
    except _UNREADABLE:
        return False
    return True


def _messages(batch: pa.RecordBatch) -> Iterator[list[bytes | None]]:
    columns: list[Any] = [_spelled(column) for column in batch.columns]
    rows = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    for start in range(0, len(rows), _ROWS):
        yield [_encoded(row) for row in rows[start : start + _ROWS]]


def _spelled(column: Any) -> Any:  # noqa: ANN401 - an array
    """Times as microseconds, so that Python can hold them."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    return column


def _encoded(row: Mapping[str, Any]) -> bytes | None:
    """A row as JSON; a cell without a value is none."""
    cells = {
        name: cell.isoformat() if isinstance(cell, datetime | date) else cell
        for name, cell in row.items()
        if cell is not None and cell == cell  # noqa: PLR0124 - NaN
    }
    return msgspec.json.encode(cells) if cells else None
