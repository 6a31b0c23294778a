"""What a file of this service, of whatever kind, says of itself."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from sensor_storage.storage.parquet import CheckedFile


def facts_of(file: CheckedFile) -> dict[str, object]:
    """Kind, rows, bytes, digest, offset ranges, ledger entries and columns, by name."""
    footer: dict[str, Any] = json.loads(file.metadata)
    rows = file.parquet.metadata.num_rows
    facts: dict[str, object] = {
        "kind": footer.get("kind"),
        "rows": rows,
        "size_bytes": file.size_bytes,
        "bytes_a_row": round(file.size_bytes / rows, 2) if rows else None,
        "row_groups": file.parquet.metadata.num_row_groups,
        "format": footer.get("format_version"),
        "digest": file.digest,
    }
    if footer.get("sensor_hour"):
        (asset, sensor), hour = footer["sensor_hour"]
        facts |= {
            "asset": asset,
            "sensor": sensor,
            "hour": datetime.fromtimestamp(hour * 3600, UTC).isoformat(),
        }
    if footer.get("level"):
        facts |= {name: footer[name] for name in ("level", "series", "parameters", "carry_out")}
        facts["parts"] = [f"{part['number']}: {part['digest']}" for part in footer["parts"]]
    facts["sources"] = [_source(item) for item in footer.get("totals", [])]
    facts["ledger"] = [_entry(item) for item in footer.get("ledger", [])]
    facts["columns"] = {field.name: _type(field.type) for field in file.parquet.schema_arrow}
    return facts


def _type(kind: pa.DataType) -> str:
    return str(kind.value_type if isinstance(kind, pa.DictionaryType) else kind)


def _source(total: dict[str, Any]) -> str:
    topic, topic_id, partition, epoch = total["source"]
    return (
        f"{topic}/{partition} offsets {total['first_offset']}…{total['last_offset']} "
        f"({total['readings']:,} readings, topic id {topic_id or 'none'}, leader epoch {epoch})"
    )


def _entry(entry: dict[str, Any]) -> str:
    topic, _, partition, _ = entry["source"]
    return (
        f"{topic}/{partition} offsets {entry['start']}…{entry['stop'] - 1}: {entry['messages']:,} messages, "
        f"{entry['readings']:,} readings, {entry['dead_letters']:,} dead letters, {entry['empty']:,} empty"
        + (f", gap: {entry['reason']}" if entry["fate"] == "gap" else "")
    )
