"""The rows of Parquet, CSV and NDJSON files as messages: what `backfill` takes in.

A cell of a CSV is read by itself: a number where it is one, true or false, nothing where it says so, else text. The
cells around it change nothing, so one word in a column of numbers is one text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from sensor_storage.errors import Usage
from sensor_storage.kafka.names import Aliases

ROWS: Final = 20_000
"""So many rows are one part."""

_TEXT_BYTES: Final = 1 << 20
_UNREADABLE: Final = (OverflowError, UnicodeDecodeError)
"""What Python says of a time outside of its calendar, and of bytes that are no text."""

_OWN: Final = {"kafka_topic", "kafka_partition", "kafka_offset", "kafka_index"}
_NOTHING: Final = frozenset(pc.ConvertOptions().null_values or ())
_TRUTH: Final = {"true": True, "false": False}
_NUMBER: Final = re.compile(r"[+-]?(?:(?P<whole>\d+)|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_MOST_DIGITS: Final = 300
_WHOLE_HOUR: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d", re.ASCII)

LeaveOut = Callable[[int, str], object]
"""Is told of each row that is none: its number, counted from 1 without the heading, and a sentence."""


def messages_in(path: Path, aliases: Aliases, leave_out: LeaveOut) -> Iterator[list[bytes | None]]:
    """The file's rows as messages, some at a time. Usage where it can't be read."""
    suffix = path.suffix.lower()
    try:
        if suffix in {".ndjson", ".jsonl", ".json"}:
            with path.open("rb") as lines:
                while part := list(islice(lines, ROWS)):
                    yield [line.strip() or None for line in part]
        elif suffix == ".csv":
            _check_utf8(path)
            _check_heading(path)
            yield from _csv(path, aliases, leave_out)
        elif suffix in {".parquet", ".pq"}:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            _check_columns(path, file.schema_arrow.names)
            if set(file.schema_arrow.names) >= _OWN:
                raise Usage(
                    f"{path} is a file of this service, whose readings have their own addresses",
                    hint="put it in its place below raw/ of a data directory and run `sensor-storage rebuild`",
                )
            yield from _tables(path, file.iter_batches(ROWS))
        else:
            raise Usage(f"{path}: {suffix or 'no suffix'} is no known form", hint="Parquet, CSV or NDJSON")
    except (pa.ArrowException, OSError, *_UNREADABLE) as error:
        raise Usage(
            f"{path} can't be read: {error}", hint="is it whole, and of the form its name says?"
        ) from error


def _csv(path: Path, aliases: Aliases, leave_out: LeaveOut) -> Iterator[list[bytes | None]]:
    def malformed(row: pc.InvalidRow) -> Literal["skip"]:
        words = f"{row.actual_columns} columns, and the heading has {row.expected_columns}"
        leave_out((row.number or 0) - 1, words)
        return "skip"

    heading = pc.ParseOptions(invalid_row_handler=lambda _: "skip")
    with pc.open_csv(path, parse_options=heading) as reader:
        names = reader.schema.names
    _check_columns(path, names)
    as_text = pc.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    one_by_one = pc.ReadOptions(use_threads=False)  # else rows have no number
    parse = pc.ParseOptions(invalid_row_handler=malformed)
    read: dict[str, Callable[[str], Any]] = dict.fromkeys(
        (*aliases.asset, *aliases.sensor, *aliases.unit), str
    )
    read |= dict.fromkeys(aliases.time, _time)
    with pc.open_csv(path, read_options=one_by_one, parse_options=parse, convert_options=as_text) as reader:
        for batch in reader:
            columns = [
                [None if cell is None else read.get(name, _cell)(cell) for cell in column.to_pylist()]
                for name, column in zip(names, batch.columns, strict=True)
            ]
            rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
            for start in range(0, len(rows), ROWS):
                yield [_encoded(row) for row in rows[start : start + ROWS]]


def _cell(text: str) -> int | float | bool | str | None:
    plain = text.strip()
    if plain in _NOTHING:
        return None
    if (truth := _TRUTH.get(plain.lower())) is not None:
        return truth
    if not (number := _NUMBER.fullmatch(plain)) or len(plain) > _MOST_DIGITS:
        return text
    if number["whole"]:
        return int(plain)
    return value if isfinite(value := float(plain)) else text


def _time(text: str) -> int | float | bool | str | None:
    """A whole hour may be written without its minutes."""
    return f"{text.strip()}:00" if _WHOLE_HOUR.fullmatch(text.strip()) else _cell(text)


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
    for start in range(0, len(rows), ROWS):
        yield [_encoded(row) for row in rows[start : start + ROWS]]


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
