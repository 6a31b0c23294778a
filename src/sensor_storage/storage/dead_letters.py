"""Dead letters on disk: messages that could not become readings, kept whole."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from sensor_storage.errors import Damaged
from sensor_storage.model import DECODE_REVISION, Address, Source
from sensor_storage.storage.footers import FORMAT_VERSION, OLDEST_WRITER
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile, encode_table

Headers = list[tuple[str, bytes | None]]

_FIELDS: list[Any] = [
    pa.field("kafka_topic", pa.string()),
    pa.field("kafka_topic_id", pa.string()),
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_leader_epoch", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("kafka_timestamp", pa.timestamp("ms", tz="UTC")),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    pa.field("reason", pa.string()),
    pa.field("error", pa.string()),
    pa.field("decode_revision", pa.int16()),
]

SCHEMA = pa.schema(_FIELDS)


class DeadLetterFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What a dead letter file says of itself."""

    kind: str = "dead-letters"
    rows: int
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message as Kafka had it, with the class of error and a sentence. `timestamp` is Kafka's, in ms."""

    address: Address
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    error: str

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return 200 + len(self.key or b"") + len(self.value or b"") + len(self.error)


def encode_dead_letters(letters: Sequence[DeadLetter], compression: str) -> memoryview:
    """The bytes of a dead letter file."""
    footer = DeadLetterFooter(rows=len(letters))
    return encode_table(dead_letter_table(letters), footer, compression=compression)


def dead_letter_table(letters: Sequence[DeadLetter]) -> pa.Table:
    """The columns of SCHEMA."""
    rows = [
        {
            "kafka_topic": letter.address.source.topic,
            "kafka_topic_id": letter.address.source.topic_id,
            "kafka_partition": letter.address.source.partition,
            "kafka_leader_epoch": letter.address.source.leader_epoch,
            "kafka_offset": letter.address.offset,
            "kafka_timestamp": letter.timestamp,
            "key": letter.key,
            "value": letter.value,
            "headers": [{"name": name, "value": value} for name, value in letter.headers],
            "reason": letter.reason,
            "error": letter.error,
            "decode_revision": DECODE_REVISION,
        }
        for letter in letters
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_dead_letters(path: Path) -> list[DeadLetter]:
    """The dead letters of one file. Damaged when its bytes are not those that were written."""
    table = CheckedFile(path).parquet.read()
    if table.schema.names != SCHEMA.names:
        raise Damaged(f"{path}: not a dead letter file")
    # As numbers: a producer may set times beyond the calendar.
    times = table["kafka_timestamp"].cast(pa.int64()).to_pylist()
    return [
        DeadLetter(
            address=Address(
                Source(
                    row["kafka_topic"],
                    row["kafka_topic_id"],
                    row["kafka_partition"],
                    row["kafka_leader_epoch"],
                ),
                row["kafka_offset"],
            ),
            timestamp=int(timestamp or 0),
            key=row["key"],
            value=row["value"],
            headers=[(header["name"], header["value"]) for header in row["headers"]],
            reason=row["reason"],
            error=row["error"],
        )
        for row, timestamp in zip(table.drop(["kafka_timestamp"]).to_pylist(), times, strict=True)
    ]


def dead_letters_by_file(
    layout: Layout, damaged: Callable[[str], object], *, newest_first: bool = False
) -> Iterator[list[DeadLetter]]:
    """The dead letters of the data directory, a file's after the other's; a message kept twice comes once.

    With `newest_first` those of the file stored last come first, and of one file those with Kafka's latest time.
    Damaged files are told of and passed over.
    """
    seen: set[Address] = set()
    paths = layout.dead_letter_files()
    for path in reversed(paths) if newest_first else paths:
        try:
            letters = read_dead_letters(path)
        except FileNotFoundError:
            continue
        except (Damaged, pa.ArrowException, KeyError, ValueError) as error:
            damaged(error.message if isinstance(error, Damaged) else f"{path}: cannot be read: {error}")
            continue
        fresh = []
        for letter in sorted(letters, key=_age, reverse=True) if newest_first else letters:
            if letter.address not in seen:
                seen.add(letter.address)
                fresh.append(letter)
        yield fresh


def _age(letter: DeadLetter) -> tuple[int, Address]:
    return letter.timestamp, letter.address


def all_dead_letters(layout: Layout) -> Iterator[DeadLetter]:
    """Every dead letter of the data directory, oldest file first; damaged files are passed over."""
    for letters in dead_letters_by_file(layout, lambda _: None):
        yield from letters


class DeadLetterSizes:
    """The bytes of all dead letters; a day's folder is looked through again only when something came to it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._days: dict[Path, tuple[int, int]] = {}

    def total(self) -> int:
        """The bytes as they are now."""
        total = 0
        for day in self._layout.dead_letters.glob("*/*/*"):
            stamp = day.stat().st_mtime_ns
            known = self._days.get(day)
            if known is None or known[0] != stamp:
                with os.scandir(day) as listing:
                    known = (stamp, sum(item.stat().st_size for item in listing))
                self._days[day] = known
            total += known[1]
        return total
