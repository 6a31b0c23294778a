"""`backfill`: past readings from files, once, however often it is called."""

import itertools
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import click

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Owned, Usage
from sensor_storage.kafka.backfill import Backfill, Backfilled
from sensor_storage.main import build_compactor, build_decoder, layout_of
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.ownership import own
from sensor_storage.verbs.options import Output, output_options, settings_options

EPILOG = """\b
Examples:
  sensor-storage backfill old.csv --dry-run           how many readings it would give, and which rows are bad
  sensor-storage backfill 2023/*.parquet
  sensor-storage backfill --asset press-7 press7.csv  for files that name no asset

A row is read like a message: with columns such as asset_id, sensor_name, timestamp and value, or a column for each
sensor. Times without an offset are of the zone TIME_ZONE. Calling it twice changes nothing. The service may run.
Exit codes: 0 good; 1 with --skip-bad, some rows were left out; 2 usage, or bad rows, and nothing was stored."""
_WAIT_SECONDS = 1.0
_Told: TypeAlias = Callable[[Backfilled], None]


@click.command("backfill", epilog=EPILOG)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--asset", default="", help="The asset of rows that name none.")
@click.option("--skip-bad", is_flag=True, help="Leave out rows that give no reading, and store the others.")
@click.option("--dry-run", is_flag=True, help="Only tell what it would store.")
@output_options
@settings_options
def command(
    *, output: Output, settings: Settings, files: tuple[Path, ...], asset: str, skip_bad: bool, dry_run: bool
) -> int:
    """Import past readings from Parquet, CSV or NDJSON files, each row once."""
    layout = layout_of(settings)
    layout.root.mkdir(parents=True, exist_ok=True)
    backfill = _build(settings, layout)
    for path in files if not skip_bad else ():
        found = backfill.run(path, asset=asset, store=False, told=_teller(output, path, "looked at"))
        if found.bad:
            raise Usage(
                f"{path}: {found.bad:,} of {found.rows:,} rows give no reading, and nothing was stored:\n  "
                + "\n  ".join(found.errors),
                hint="mend them, or leave them out by --skip-bad",
            )
    whole = Backfilled()
    for path in files:
        told = _teller(output, path, "looked at" if dry_run else "stored")
        done = backfill.run(path, asset=asset, store=not dry_run, told=_then_room(told, settings, layout))
        output.item({"file": str(path), **asdict(done)}, _line(path, done))
        for name in ("rows", "readings", "already", "bad"):
            setattr(whole, name, getattr(whole, name) + getattr(done, name))
    if not dry_run:
        _compact(settings, layout)
    output.summary(
        {**asdict(whole), "dry_run": dry_run},
        f"{whole.readings:,} readings {'would be' if dry_run else 'were'} stored",
    )
    return 1 if whole.bad else 0


def _build(settings: Settings, layout: Layout) -> Backfill:
    worker, numbers = f"b{uuid.uuid4().hex[:12]}", itertools.count()
    clock = SystemClock()
    return Backfill(
        layout=layout,
        disk=Disk(layout.root),
        decode=build_decoder(settings).decode,
        names=lambda: StagedName(int(clock.now() * 1000), worker, next(numbers), 0),
        compression=settings.storage.parquet_compression,
        known=Coverage(read_all_ledgers(layout)),
    )


def _then_room(told: _Told, settings: Settings, layout: Layout) -> _Told:
    def each(done: Backfilled) -> None:
        told(done)
        _make_room(settings, layout)

    return each


def _teller(output: Output, path: Path, verb: str) -> _Told:
    def told(done: Backfilled) -> None:
        output.progress({"file": str(path), "rows": done.rows}, f"{path.name}: {done.rows:,} rows {verb} …")

    return told


def _line(path: Path, done: Backfilled) -> str:
    parts = [f"{path}   {done.rows:,} rows   {done.readings:,} readings"]
    if done.already:
        parts.append(f"{done.already:,} rows were imported before")
    if done.bad:
        parts.append(f"{done.bad:,} bad rows left out: {'; '.join(done.errors)}")
    return "   ".join(parts)


def _make_room(settings: Settings, layout: Layout) -> None:
    """Wait while staging is full; where no service runs, empty it."""
    while _staged_bytes(layout) > settings.storage.staging_max_bytes:
        _compact(settings, layout)
        if _staged_bytes(layout) > settings.storage.staging_max_bytes:
            time.sleep(_WAIT_SECONDS)


def _staged_bytes(layout: Layout) -> int:
    total = 0
    for _, path in layout.staged_files():
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _compact(settings: Settings, layout: Layout) -> None:
    """Put what is staged into its files, unless a service does it anyway."""
    try:
        lock = own(layout)
    except Owned:
        return
    with lock, closing(Catalog(layout)) as catalog:
        now = SystemClock().now()
        build_compactor(settings, layout, catalog).run_once(now, now, flush=True)
