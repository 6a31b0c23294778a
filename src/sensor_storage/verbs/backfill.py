"""`backfill`: past readings from files or from Kafka, once, however often it is called."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import click

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import build_decoder, decode_settings, layout_of
from sensor_storage.errors import Usage
from sensor_storage.kafka.backfill import Backfill, Backfilled
from sensor_storage.kafka.overlap import KafkaTimes
from sensor_storage.main import build_files
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import Coverage
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.ownership import alone
from sensor_storage.verbs.backfill_kafka import Times, from_kafka
from sensor_storage.verbs.options import MOMENT, Output, output_options, seconds_of, settings_options
from sensor_storage.verbs.room import Room, staged_names
from sensor_storage.verbs.stores import with_store_told

EPILOG = """\b
Examples:
  sensor-storage backfill old.csv --dry-run           how many readings it would give, and which rows are bad
  sensor-storage backfill 2023/*.parquet
  sensor-storage backfill --asset press-7 press7.csv  for files that name no asset
  sensor-storage backfill export.csv --replace-overlap kafka      only what Kafka has no readings of
  sensor-storage backfill --from-kafka sensor-data-a --from 2026-11-01 --to 2026-11-08
  sensor-storage backfill --from-kafka sensor-data-a/3@1000:2000  partition 3, offsets 1000 to 1999

A row is read like a message: with columns such as asset_id, sensor_name, timestamp and value, or a column for each
sensor. Times without an offset are of the zone TIME_ZONE. Calling it twice changes nothing. The service may run.
From Kafka come messages that were never consumed into this directory; --from and --to are Kafka's timestamps.
Exit codes: 0 good; 1 with --skip-bad, some rows were left out; 2 usage, or bad rows, and nothing was stored;
4 Kafka does not answer."""
_Told: TypeAlias = Callable[[Backfilled], None]
_SUMS = ("rows", "readings", "already", "bad", "overlapping")


@click.command("backfill", epilog=EPILOG)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--asset", default="", help="The asset of rows that name none.")
@click.option("--skip-bad", is_flag=True, help="Leave out rows that give no reading, and store the others.")
@click.option(
    "--replace-overlap",
    "winner",
    type=click.Choice(["both", "kafka"]),
    default="both",
    show_default=True,
    help="Who wins where Kafka covers the time of a row of a file: with kafka the row's reading is left out.",
)
@click.option(
    "--overlap-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Kafka covers the time between two of a sensor's readings at most so far apart.",
)
@click.option(
    "--from-kafka",
    "ranges",
    multiple=True,
    metavar="TOPIC[/PARTITION[@FIRST:STOP]]",
    help="Messages that were never consumed into this directory; may be given again.",
)
@click.option(
    "--from", "start", type=MOMENT, metavar="TIME", help="With --from-kafka: only messages from then on."
)
@click.option(
    "--to", "stop", type=MOMENT, metavar="TIME", help="With --from-kafka: only messages before then."
)
@click.option("--dry-run", is_flag=True, help="Only tell what it would store.")
@output_options
@settings_options
def command(
    *,
    output: Output,
    settings: Settings,
    files: tuple[Path, ...],
    asset: str,
    skip_bad: bool,
    winner: Literal["both", "kafka"],
    overlap_seconds: float,
    ranges: tuple[str, ...],
    start: datetime | None,
    stop: datetime | None,
    dry_run: bool,
) -> int:
    """Bring in past readings from Parquet, CSV or NDJSON files, or from Kafka, each once."""
    if bool(files) == bool(ranges):
        raise Usage("name files, or what to read by --from-kafka", hint="sensor-storage backfill --help")
    if ranges and (asset or skip_bad or winner != "both"):
        raise Usage("--asset, --skip-bad and --replace-overlap are for files", hint="leave them out")
    if files and (start or stop):
        raise Usage("--from and --to are for --from-kafka", hint="leave them out")
    layout = layout_of(settings)
    layout.root.mkdir(parents=True, exist_ok=True)
    settings = with_store_told(settings, layout)
    with alone(layout, "backfill"):
        if ranges:
            times = Times(seconds_of(start), seconds_of(stop))
            return from_kafka(output, settings, layout, ranges, times, dry_run=dry_run)
        room = Room(settings, layout)
        reach_us = round(overlap_seconds * 1_000_000) if winner == "kafka" else None
        backfill = _build(settings, layout, room, reach_us)
        if not skip_bad:
            _refuse_bad(output, backfill, files, asset)
        return _import(output, backfill, files, asset, room, dry_run=dry_run)


def _build(settings: Settings, layout: Layout, room: Room, reach_us: int | None) -> Backfill:
    covered = None
    if reach_us is not None:
        room.flush()
        found = build_files(settings, layout)
        covered = KafkaTimes(layout, found.find if found else lambda path: path, reach_us).cover
    return Backfill(
        layout=layout,
        disk=Disk(layout.root),
        decode=build_decoder(settings).decode,
        names=staged_names(),
        compression=settings.storage.parquet_compression,
        known=Coverage(read_all_ledgers(layout)),
        covered=covered,
        aliases=decode_settings(settings).aliases,
        now=SystemClock().now(),
    )


def _refuse_bad(output: Output, backfill: Backfill, files: tuple[Path, ...], asset: str) -> None:
    """Look at every row first. Usage where one gives no reading."""
    for path in files:
        found = backfill.run(path, asset=asset, store=False, told=_teller(output, path, "looked at"))
        if found.bad:
            raise Usage(
                f"{path}: {found.bad:,} of {found.rows:,} rows give no reading, and nothing was stored:\n  "
                + "\n  ".join(found.errors),
                hint="mend them, or leave them out by --skip-bad",
            )


def _import(
    output: Output, backfill: Backfill, files: tuple[Path, ...], asset: str, room: Room, *, dry_run: bool
) -> int:
    whole = Backfilled()
    for path in files:
        told = _teller(output, path, "looked at" if dry_run else "stored")
        done = backfill.run(
            path, asset=asset, store=not dry_run, told=told if dry_run else _then_room(told, room)
        )
        output.item({"file": str(path), **_record(done)}, _line(path, done))
        for name in _SUMS:
            setattr(whole, name, getattr(whole, name) + getattr(done, name))
    if not dry_run:
        room.settle()
    output.summary(
        {**_record(whole), "dry_run": dry_run},
        f"{whole.readings:,} readings {'would be' if dry_run else 'were'} stored",
    )
    return 1 if whole.bad else 0


def _record(done: Backfilled) -> dict[str, object]:
    return {name: getattr(done, name) for name in (*_SUMS, "errors")}


def _then_room(told: _Told, room: Room) -> _Told:
    def each(done: Backfilled) -> None:
        told(done)
        room.make()

    return each


def _teller(output: Output, path: Path, verb: str) -> _Told:
    def told(done: Backfilled) -> None:
        output.progress({"file": str(path), "rows": done.rows}, f"{path.name}: {done.rows:,} rows {verb} …")

    return told


def _line(path: Path, done: Backfilled) -> str:
    parts = [f"{path}   {done.rows:,} rows   {done.readings:,} readings"]
    if done.already:
        parts.append(f"{done.already:,} rows were imported or left out before")
    if done.overlapping:
        parts.append(f"{done.overlapping:,} readings left out: Kafka covers their time")
    if done.bad:
        parts.append(f"{done.bad:,} bad rows left out: {'; '.join(done.errors)}")
    return "   ".join(parts)
