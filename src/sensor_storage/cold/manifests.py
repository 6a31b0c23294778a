"""Manifests: receipts, and what is known of each file beside them, as Parquet blobs of one service.

`services/<id>/receipts/yyyy/mm/dd/hh.parquet` has what was uploaded in an hour. It is written again only while its
hour lasts or a later round adds to it. A file that was uploaded again is in the manifest of the later hour as well:
the later one counts. `services/<id>/days/<asset>/yyyy/mm/dd.parquet` has all files of an asset's day, once that is
over and folded; it is written again when the day has changed since.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.storage.digests import seal_file
from sensor_storage.storage.footers import FORMAT_VERSION, OLDEST_WRITER, footer_metadata, refuse_newer
from sensor_storage.storage.known import HOUR_SECONDS, Known
from sensor_storage.storage.layout import encode_name
from sensor_storage.storage.parquet import CheckedFile, encode_table, table_writer
from sensor_storage.storage.receipts import Receipt

FOLDER: Final = "receipts"
DAYS_FOLDER: Final = "days"
_SECONDS_PER_DAY: Final = 86_400
_PIECE_ROWS: Final = 1 << 14
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


def day_manifest_name(service_folder: str, asset: str, day: int) -> str:
    """The blob of an asset's day, counted since 1970."""
    start = datetime.fromtimestamp(day * _SECONDS_PER_DAY, UTC)
    return f"{service_folder}/{DAYS_FOLDER}/{encode_name(asset)}/{start:%Y/%m/%d}.parquet"


def is_manifest(name: str) -> bool:
    """Does a blob of that name tell of others?"""
    return name.startswith("services/") and name.split("/")[2] in {FOLDER, DAYS_FOLDER}


def encode_manifest(files: Sequence[Known]) -> bytes:
    """The bytes of a manifest; equal files make equal bytes."""
    return bytes(encode_table(_table(files), ManifestFooter(rows=len(files)), compression="zstd"))


def write_manifest(path: Path, files: Iterable[Known]) -> tuple[int, str]:
    """A manifest of any number of files, written piece by piece; how many they are, and its digest.

    Equal files make equal bytes, but others than `encode_manifest` makes of them.
    """
    rows, left = 0, iter(files)
    with table_writer(str(path), SCHEMA, compression="zstd") as writer:
        while piece := list(islice(left, _PIECE_ROWS)):
            writer.write_table(_table(piece))
            rows += len(piece)
        writer.add_key_value_metadata(footer_metadata(ManifestFooter(rows=rows)))
    return rows, seal_file(path)


def _table(files: Sequence[Known]) -> pa.Table:
    rows = [(*one.receipt, one.level, *one.series, *one[3:]) for one in files]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def open_manifest(path: Path) -> pa.Table:
    """The table of a manifest. Damaged when its bytes are not those that were written."""
    file = CheckedFile(path, coded=False)
    refuse_newer(file.version(), path)
    table = file.parquet.read()
    if table.column_names != SCHEMA.names:
        raise Damaged(f"{path}: not a manifest")
    return table


def read_manifest(path: Path) -> list[Known]:
    """What a manifest says. Damaged when its bytes are not those that were written."""
    return known_in(open_manifest(path))


def known_in(manifest: pa.Table) -> list[Known]:
    """Every file a manifest tells of."""
    found = []
    for row in zip(*manifest.to_pydict().values(), strict=True):
        level, asset, sensor, *rest = row[_OF_RECEIPT:]
        found.append(Known(Receipt(*row[:_OF_RECEIPT]), level, Series(asset, sensor), *rest))
    return found


def receipt_in(manifest: pa.Table, name: str) -> Receipt | None:
    """The receipt of one of its blobs."""
    place = pc.index(manifest["name"], pa.scalar(name, pa.string())).as_py()
    return receipts_in(manifest.slice(place, 1))[0] if place >= 0 else None


def receipts_in(manifest: pa.Table) -> list[Receipt]:
    """The receipts of all of them."""
    return [Receipt(**row) for row in manifest.select(Receipt._fields).to_pylist()]
