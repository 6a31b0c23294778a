"""`query`: readings, minutes, hours or days as a table, JSON, CSV, Arrow or Parquet."""

import sys
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, Literal

import click
import pyarrow as pa

from sensor_storage.client import Plant, Rows
from sensor_storage.query.formats import encode
from sensor_storage.query.times import as_text
from sensor_storage.verbs.asking import plant_options, question_options, tell
from sensor_storage.verbs.options import Output, output_options

EPILOG = """\b
Examples:
  sensor-storage query press-7 temperature                       the last hour
  sensor-storage query press-7 --start -7d --resolution hour     a week of hours, all its sensors
  sensor-storage query --format csv > last-hour.csv              everything, for a spreadsheet

Exit codes: 0 good; 1 nothing is stored of that; 2 usage, or
only a cold store that is not set has it; 4 the service does not answer."""
_RAW = ("timestamp", "value", "text", "unit", "quality", "kafka_topic", "kafka_partition", "kafka_offset")
_WINDOWS = ("window_start", "count", "min", "mean", "max", "last", "unit", "good_ratio", "last_text")
_BARS = "▁▂▃▄▅▆▇█"
_BAR_COUNT = 60


@click.command("query", epilog=EPILOG)
@question_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "arrow", "parquet"]),
    default="table",
    show_default=True,
    help="csv, arrow and parquet go to stdout as they are.",
)
@output_options
@plant_options
def command(
    *,
    output: Output,
    plant: Plant,
    asset: str,
    sensor: str,
    asked: dict[str, Any],
    form: Literal["table", "csv", "arrow", "parquet"],
) -> int:
    """Show raw readings or windows in order of asset, sensor and time."""
    if form in {"arrow", "parquet"} and sys.stdout.isatty():
        raise click.UsageError(f"{form} is not for a terminal; send it on by > FILE, or use `export`")
    if form != "table" and output.as_json:
        raise click.UsageError("--json and --format are two answers; choose one")
    rows = plant.rows(asset, sensor, **asked)
    warned = tell(output, rows)
    if form != "table":
        for piece in encode(form, rows.schema, rows.tables, rows.meta):
            sys.stdout.buffer.write(piece)
        output.quiet = True
    else:
        _show(output, rows)
    tell(output, rows, warned)
    return 0


def _show(output: Output, rows: Rows) -> None:
    counted = _Counted(rows.tables)
    names = _RAW if rows.meta["resolution"] == "raw" else _WINDOWS
    shown = [name for name in ("asset_id", "sensor_name", *names) if name in rows.schema.names]
    output.items(counted.records(), shown)
    if not output.as_json and sys.stdout.isatty():
        for name, values in counted.lines.items():
            output.note(f"{name}  {sparkline(values)}")
    thinned = rows.meta.get("thinned_by")
    words = f", thinned by {thinned}" if thinned else ""
    output.summary(
        {**rows.meta, "rows": counted.rows}, f"{rows.meta['resolution']} · {counted.rows:,} rows{words}"
    )


class _Counted:
    """Rows as records, and what a picture of them needs."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self.rows = 0
        self.lines: dict[str, list[float]] = {}

    def records(self) -> Iterator[dict[str, Any]]:
        """Every row, times as text."""
        for row in chain.from_iterable(table.to_pylist() for table in self._tables):
            self.rows += 1
            value = row.get("value", row.get("mean"))
            if value is not None:
                name = f"{row['asset_id']} {row['sensor_name']}"
                self.lines.setdefault(name, []).append(value)
            yield {
                name: as_text(round(cell.timestamp() * 1e6)) if hasattr(cell, "timestamp") else cell
                for name, cell in row.items()
            }


def sparkline(values: list[float]) -> str:
    """At most sixty bars, each the greatest of its share, between the least and the greatest of all."""
    count = min(_BAR_COUNT, len(values))
    bounds = [len(values) * place // count for place in range(count + 1)]
    heights = [max(values[start:stop]) for start, stop in pairwise(bounds)]
    least, most = min(values), max(values)
    span = (most - least) or 1.0
    top = len(_BARS) - 1
    bars = "".join(_BARS[round((height - least) / span * top)] for height in heights)
    return f"{bars}  {least:g} to {most:g}"
