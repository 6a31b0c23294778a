"""Manifests: what a service uploaded in one hour, as a Parquet blob `services/<id>/receipts/yyyy/mm/dd/hh.parquet`.

Each has one writer, and is written again only while its hour lasts or a later round adds to it. A file that was
uploaded again is in the manifest of the later hour as well: the later one counts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.storage.footers import FORMAT_VERSION, OLDEST_WRITER, refuse_newer
from sensor_storage.storage.known import HOUR_SECONDS, Known
from sensor_storage.storage.parquet import CheckedFile, encode_table
from sensor_storage.storage.receipts import Receipt

FOLDER: Final = "receipts"
_FIELDS: list[Any] = [
    pa.field("name", pa.string()),
    pa.field("etag", pa.string()),
    pa.field("size_bytes", pa.int64()),
    pa.field("digest", pa.string()),
    pa.field("content", pa.string()),
    pa.field("rows", pa.int64()),
    pa.field("local_digest", pa.string()),
    pa.field("uploaded_at", pa.float64()),
    pa.field("level", pa.string()),
    pa.field("asset_id", pa.string()),
    pa.field("sensor_name", pa.string()),
    pa.field("period", pa.int64()),
    pa.field("local_rows", pa.int64()),
    pa.field("local_size", pa.int64()),
    pa.field("first_timestamp", pa.int64()),
    pa.field("last_timestamp", pa.int64()),
    pa.field("totals", pa.binary()),
    pa.field("source", pa.string()),
    pa.field("carry_in", pa.string()),
    pa.field("carry_out", pa.string()),
]
SCHEMA: Final = pa.schema(_FIELDS)
_OF_RECEIPT: Final = len(Receipt._fields)


class ManifestFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of itself."""

    kind: str = "manifest"
    rows: int
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


def manifest_name(service_folder: str, hour: int) -> str:
    """The blob of the uploads of an hour, counted since 1970."""
    start = datetime.fromtimestamp(hour * HOUR_SECONDS, UTC)
    return f"{service_folder}/{FOLDER}/{start:%Y/%m/%d/%H}.parquet"


def encode_manifest(files: Sequence[Known]) -> bytes:
    """The bytes of a manifest; equal files make equal bytes."""
    rows = [(*one.receipt, one.level, *one.series, *one[3:]) for one in files]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
    table = pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    return bytes(encode_table(table, ManifestFooter(rows=len(rows)), compression="zstd"))


def read_manifest(path: Path) -> list[Known]:
    """What a manifest says. Damaged when its bytes are not those that were written."""
    file = CheckedFile(path, coded=False)
    refuse_newer(file.version(), path)
    columns = file.parquet.read().to_pydict()
    if list(columns) != SCHEMA.names:
        raise Damaged(f"{path}: not a manifest")
    found = []
    for row in zip(*columns.values(), strict=True):
        level, asset, sensor, *rest = row[_OF_RECEIPT:]
        found.append(Known(Receipt(*row[:_OF_RECEIPT]), level, Series(asset, sensor), *rest))
    return found
