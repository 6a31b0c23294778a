"""Dead letters on disk: messages that could not become readings, kept whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from sensor_storage.errors import Damaged
from sensor_storage.model import DECODE_REVISION, Address, Source
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import FORMAT_VERSION, WRITER_VERSION, CheckedFile, encode_table

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
    min_writer_version: int = WRITER_VERSION


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
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return encode_table(table, DeadLetterFooter(rows=len(rows)), compression=compression)


def read_dead_letters(path: Path) -> list[DeadLetter]:
    """The dead letters of one file. Damaged when its bytes are not those that were written."""
    table = CheckedFile(path).parquet.read()
    if table.schema.names != SCHEMA.names:
        raise Damaged(f"{path}: not a dead letter file")
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
            timestamp=int(row["kafka_timestamp"].timestamp() * 1000),
            key=row["key"],
            value=row["value"],
            headers=[(header["name"], header["value"]) for header in row["headers"]],
            reason=row["reason"],
            error=row["error"],
        )
        for row in table.to_pylist()
    ]


def all_dead_letters(layout: Layout) -> Iterator[DeadLetter]:
    """Every dead letter of the data directory, oldest file first; a message kept twice comes once."""
    seen: set[Address] = set()
    for path in layout.dead_letter_files():
        for letter in read_dead_letters(path):
            if letter.address not in seen:
                seen.add(letter.address)
                yield letter
