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
from sensor_storage.storage.footers import FORMAT_VERSION, OLDEST_WRITER, refuse_newer, writer_for
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, fold, unknown
from sensor_storage.storage.parquet import CheckedFile, encode_table

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
_QUIET_LOOKS = 2


class LedgerFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger file says of itself."""

    kind: str = "ledger"
    rows: int
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The entries of one ledger file. Damaged when its bytes are not those that were written."""
    file = CheckedFile(path)
    refuse_newer(file.version(), path)
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
    folded = fold([*held, *_new(layout, path, list(entries))])
    if folded != held:
        footer = LedgerFooter(rows=len(folded), min_writer_version=writer_for(folded))
        disk.publish_bytes(path, encode_table(_table(folded), footer, compression=compression))
    return folded


def _new(layout: Layout, path: Path, entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """Those that the latest other file does not hold: a death before their segments went may fall on midnight."""
    others = [other for other in layout.ledger_files() if other != path]
    try:
        return unknown(entries, read_ledger(others[-1])) if others else entries
    except Damaged:
        return entries


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

    Entries move from segments to runs and on into the ledger while this looks: so staged files are listed
    until two looks find nothing new, and ledger files are read last. A damaged file's entries are missing:
    its messages are read again from Kafka.
    """
    entries: list[LedgerEntry] = []
    seen: set[Path] = set()
    quiet_looks = 0
    while quiet_looks < _QUIET_LOOKS:
        fresh = [path for _, path in layout.staged_files() if path not in seen]
        quiet_looks = 0 if fresh else quiet_looks + 1
        seen.update(fresh)
        for path in fresh:
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
