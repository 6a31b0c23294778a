"""`compact`: everything staged into its hour files, once."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Owned
from sensor_storage.main import build_compactor
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import CompactReport
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import have_done, own
from sensor_storage.storage.staging import Staging, Waiting
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.stores import with_store_told

EPILOG = """\b
Examples:
  sensor-storage compact --dry-run     which hour files would be written
  sensor-storage compact               write them; a running service is asked to do it

Exit codes: 0 good; 1 a damaged file is in the way; 2 usage; 5 the service that owns the directory does
not answer."""


@click.command("compact", epilog=EPILOG)
@click.option("--dry-run", is_flag=True, help="Only tell what would be written.")
@output_options
@settings_options
def command(output: Output, settings: Settings, dry_run: bool) -> int:
    """Put every staged reading in its hour file now, open hours included."""
    layout = data_layout(settings)
    settings = with_store_told(settings, layout)
    if dry_run:
        return _plan(output, layout)
    report = _flush(output, settings, layout)
    blocked: Mapping[str, str] = report["blocked"]
    for path, why in blocked.items():
        output.warn(f"{path}: {why}")
    output.summary(
        report,
        f"{report['rows']:,} rows put in place: {report['hour_files']:,} hour files written,"
        f" {report['unchanged']:,} had them already, {report['written_bytes']:,} bytes",
    )
    return 1 if blocked else 0


def _flush(output: Output, settings: Settings, layout: Layout) -> dict[str, Any]:
    """Do it, or let the service that owns the directory do it."""
    try:
        lock = own(layout)
    except Owned:
        output.note("a service runs on this directory; asking it to do this")
        return have_done(layout, "maintain", "flush", "compact")
    with lock, closing(Catalog(layout)) as catalog:
        Disk(layout.root).clear_aside()
        done = put_in_place(settings, layout, catalog)
        return {**asdict(done), "blocked": {layout.relative(path): why for path, why in done.blocked.items()}}


def put_in_place(settings: Settings, layout: Layout, catalog: Catalog) -> CompactReport:
    """Everything staged into its hour file, by this process, which owns the directory: as the service's `flush`."""
    now = SystemClock().now()
    return build_compactor(settings, layout, catalog).run_once(now, now, flush=True)


def _plan(output: Output, layout: Layout) -> int:
    """Tell every hour file that has rows waiting; reads only."""
    staging = Staging(layout)
    waiting = Waiting.over(staging.refresh())
    hours = [staging.keys.sensor_hour(key) for key in waiting.keys.tolist()]
    held = _held(layout, hours)
    planned = sorted(zip(hours, waiting.rows.tolist(), held, strict=True))
    output.items(
        (
            {
                "file": layout.hour_name(hour),
                "asset": hour.series.asset,
                "sensor": hour.series.sensor,
                "staged_rows": rows,
                "held_rows": already,
            }
            for hour, rows, already in planned
        ),
        {"file": "file", "staged_rows": "staged rows", "held_rows": "rows in the file"},
    )
    for path, why in staging.damaged.items():
        output.warn(f"{layout.relative(path)}: {why}")
    total = int(waiting.rows.sum())
    output.summary(
        {"hour_files": len(hours), "rows": total, "blocked": len(staging.damaged), "dry_run": True},
        f"{len(hours):,} hour files would take in up to {total:,} rows; nothing was changed",
    )
    return 1 if staging.damaged else 0


def _held(layout: Layout, hours: list[SensorHour]) -> list[int]:
    if not layout.catalog.exists():
        return [0] * len(hours)
    with closing(Catalog(layout, read_only=True)) as catalog:
        try:
            return catalog.rows_of(hours)
        except sqlite3.OperationalError:
            return [0] * len(hours)
