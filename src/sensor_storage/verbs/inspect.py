"""`inspect`: what a file holds, and whether it is sound."""

from pathlib import Path

import click
import pyarrow as pa

from sensor_storage.errors import Damaged, Usage
from sensor_storage.storage.file_facts import facts_of
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
        facts = facts_of(checked)
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


def _shown(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    if isinstance(value, dict):
        return [f"{name}: {kind}" for name, kind in value.items()]
    return [f"{value:,}" if isinstance(value, int) else str(value)]
