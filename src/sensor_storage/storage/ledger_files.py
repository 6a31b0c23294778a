"""The ledger on disk: one Parquet file a UTC day, rewritten whole at each fold.

While a segment lives, its entries are in its own footer, so that rows and memory become durable in one
rename. Before the last file that carries an entry is removed, the entry is folded into the day's file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from sensor_storage.errors import Damaged
from sensor_storage.model import Source
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, fold
from sensor_storage.storage.parquet import FORMAT_VERSION, WRITER_VERSION, CheckedFile, encode_table

_FIELDS: list[Any] = [
    pa.field("kafka_topic", pa.string()),
    pa.field("kafka_topic_id", pa.string()),
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_leader_epoch", pa.int32()),
    pa.field("start_offset", pa.int64()),
    pa.field("stop_offset", pa.int64()),
    pa.field("messages", pa.int64()),
    pa.field("readings", pa.int64()),
    pa.field("dead_letters", pa.int64()),
    pa.field("empty", pa.int64()),
    pa.field("hash_sum", pa.uint64()),
    pa.field("fate", pa.string()),
    pa.field("reason", pa.string()),
]

SCHEMA = pa.schema(_FIELDS)


class LedgerFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger file says of itself."""

    kind: str = "ledger"
    rows: int
    format_version: int = FORMAT_VERSION
    min_writer_version: int = WRITER_VERSION


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The entries of one ledger file. Damaged when its bytes are not those that were written."""
    file = CheckedFile(path)
    columns = file.parquet.read().to_pydict()
    if list(columns) != SCHEMA.names:
        raise Damaged(f"{path}: not a ledger file")
    return [
        LedgerEntry(Source(topic, topic_id, partition, epoch), *rest)
        for topic, topic_id, partition, epoch, *rest in zip(*columns.values(), strict=True)
    ]


def fold_into_ledger(
    disk: Disk, layout: Layout, entries: Iterable[LedgerEntry], now: float, compression: str = "zstd"
) -> list[LedgerEntry]:
    """Make the entries durable in the file of the day; idempotent. Returns what that file now holds."""
    path = layout.ledger_file(now)
    held = read_ledger(path) if path.exists() else []
    folded = fold([*held, *entries])
    if folded != held:
        footer = LedgerFooter(rows=len(folded))
        disk.publish_bytes(path, encode_table(_table(folded), footer, compression=compression))
    return folded


def _table(entries: list[LedgerEntry]) -> pa.Table:
    rows = [
        (
            *entry.source,
            entry.start,
            entry.stop,
            entry.messages,
            entry.readings,
            entry.dead_letters,
            entry.empty,
            entry.hash_sum,
            entry.fate,
            entry.reason,
        )
        for entry in entries
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def read_all_ledgers(layout: Layout) -> list[LedgerEntry]:
    """Every entry there is, in ledger files and in the footers of live segments and runs.

    Staged files come first and are looked at again afterwards, for an entry may move from a footer to the
    ledger between two looks. A damaged file's entries are missing: its messages are read again from Kafka.
    """
    entries: list[LedgerEntry] = []
    for path in [path for _, path in layout.staged_files()]:
        try:
            entries += CheckedFile(path).footer().ledger
        except (FileNotFoundError, Damaged):
            continue
    for path in layout.ledger_files():
        try:
            entries += read_ledger(path)
        except Damaged:
            continue
    return entries
