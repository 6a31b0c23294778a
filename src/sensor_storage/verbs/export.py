"""`export`: readings or windows of any size into one Parquet or CSV file."""

import os
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sensor_storage.client import Plant, Rows
from sensor_storage.query.formats import Format, encode
from sensor_storage.query.times import read_instant
from sensor_storage.verbs.asking import plant_options, question_options, tell
from sensor_storage.verbs.options import Output, output_options

EPILOG = """\b
Examples:
  sensor-storage export press-7 temperature --start -365d --resolution raw -o year.parquet
  sensor-storage export --start 2026-01-01 --end 2026-02-01 --resolution hour -o january.csv

The file appears when it is complete. Exit codes: 0 good; 1 nothing is stored of that; 2 usage, or only a cold
store that is not set has it; 4 the service does not answer."""
FORMATS: Final[dict[str, Format]] = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow", ".json": "json"}
_TIMES = ("timestamp", "window_start")


@click.command("export", epilog=EPILOG)
@question_options
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="FILE.parquet, .csv, .arrow or .json",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@output_options
@plant_options
def command(
    *,
    output: Output,
    plant: Plant,
    asset: str,
    sensor: str,
    asked: dict[str, Any],
    target: Path,
    force: bool,
) -> int:
    """Write raw readings or windows into one file, with a bar that shows how far it is."""
    if target.suffix not in FORMATS:
        raise click.UsageError(f"{target.name} ends in none of {', '.join(FORMATS)}")
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already; --force replaces it")
    if not target.parent.is_dir():
        raise click.UsageError(f"the folder {target.parent} is not there; create it first")
    rows = plant.rows(asset, sensor, **asked)
    warned = tell(output, rows)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        count = _write(output, rows, aside, FORMATS[target.suffix])
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    tell(output, rows, warned)
    size = target.stat().st_size
    output.summary(
        {**rows.meta, "file": str(target), "rows": count, "size_bytes": size},
        f"{count:,} rows of resolution {rows.meta['resolution']} in {target}, {size:,} bytes",
    )
    return 0


def _write(output: Output, rows: Rows, target: Path, form: Format) -> int:
    start, end = (read_instant(rows.meta[name], 0, UTC) for name in ("start", "end"))
    count = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"))
    console = Console(stderr=True)
    silent = output.quiet or output.as_json or not console.is_terminal
    with (
        Progress(*columns, TimeElapsedColumn(), console=console, disable=silent, transient=True) as bar,
        target.open("wb") as file,
    ):
        task = bar.add_task("export", total=1.0, rows=0)

        def counted() -> Any:  # noqa: ANN401 - tables
            nonlocal count
            for table in rows.tables:
                count += table.num_rows
                time = next(table[name] for name in _TIMES if name in table.column_names)
                reached = time[len(time) - 1].value if len(time) else start
                name = f"{table['asset_id'][0]} {table['sensor_name'][0]}" if len(table) else "export"
                done = (reached - start) / max(1, end - start)
                bar.update(task, completed=done, rows=count, description=name)
                yield table

        for piece in encode(form, rows.schema, counted(), rows.meta):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return count
