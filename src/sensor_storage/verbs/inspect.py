"""`inspect`: what a file holds, and whether it is sound."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from sensor_storage.errors import Damaged, Usage
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.verbs.options import Output, output_options

EPILOG = """\b
Example:
  sensor-storage inspect data/raw/press-1/2026/01/01/00/temperature.parquet

Exit codes: 0 sound; 1 damaged, or not a file of this service."""


@click.command("inspect", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_options
def command(output: Output, file: Path) -> int:
    """Show what a file of this service, of whatever kind, says of itself; its digest is checked first."""
    if not file.is_file():
        raise Usage(f"{file} is not a regular file", hint="name a Parquet file of the tree")
    try:
        checked = CheckedFile(file)
        facts = _facts(checked)
    except (Damaged, pa.ArrowException) as error:
        words = error.message if isinstance(error, Damaged) else f"{file}: not readable as Parquet: {error}"
        output.summary({"file": str(file), "sound": False, "error": words}, f"✗ {words}")
        return 1
    if output.as_json:
        output.item(facts)
    for name, value in () if output.as_json else facts.items():
        for line in _shown(value):
            output.item({}, f"{name:<14} {line}")
    output.summary({"file": str(file), "sound": True}, "✓ the bytes are those that were written")
    return 0


def _facts(file: CheckedFile) -> dict[str, object]:
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


def _shown(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    if isinstance(value, dict):
        return [f"{name}: {kind}" for name, kind in value.items()]
    return [f"{value:,}" if isinstance(value, int) else str(value)]
