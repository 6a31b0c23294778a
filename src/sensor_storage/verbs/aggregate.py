"""`aggregate`: every minute, hour and day that is due, once."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from sensor_storage.aggregation.stage import AggregateReport
from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Owned
from sensor_storage.main import build_aggregator
from sensor_storage.storage.aggregate_catalog import Span, Spanned
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import have_done, own
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.stores import with_store_told

EPILOG = """\b
Examples:
  sensor-storage aggregate --dry-run     which hours and days are due
  sensor-storage aggregate               make them; a running service is asked to do it

Hours and days that are not over yet are made too, of what their hour files hold. Exit codes: 0 good;
1 a file is damaged or not here; 2 usage; 5 the service that owns the directory does not answer."""
_COUNTED = ("hours", "days", "readings", "files", "written_bytes")
_PAGE = 1000
_SECONDS: dict[Span, int] = {"hour": 3600, "day": 86_400}


@click.command("aggregate", epilog=EPILOG)
@click.option("--dry-run", is_flag=True, help="Only tell what is due.")
@output_options
@settings_options
def command(output: Output, settings: Settings, dry_run: bool) -> int:
    """Make the minutes, hours and days of every reading in the hour files, and mend those late readings touch."""
    layout = data_layout(settings)
    if dry_run:
        return _plan(output, layout)
    return tell(output, make(output, with_store_told(settings, layout), layout))


def make(output: Output, settings: Settings, layout: Layout, *, again: bool = False) -> dict[str, Any]:
    """Make what is due, or everything `again`; or let the service that owns the directory do it."""
    try:
        lock = own(layout)
    except Owned:
        output.note("a service runs on this directory; asking it to do this")
        return ask_to_aggregate(output, layout, again=again)
    with lock:
        Disk(layout.root).clear_aside()
        done = make_due(output, settings, layout, again=again)
        return {**asdict(done), "blocked": {layout.relative(path): why for path, why in done.blocked.items()}}


def make_due(output: Output, settings: Settings, layout: Layout, *, again: bool) -> AggregateReport:
    """Make what is due, or everything `again`. Only the owner of the directory may do it."""
    with closing(Catalog(layout)) as catalog:
        aggregator = build_aggregator(settings, layout, catalog)
        if again:
            aggregator.make_all_again()
        now = SystemClock().now()
        done = AggregateReport()
        while True:
            done.add(aggregator.run_once(now, now, flush=True))
            if not done.more:
                return done
            _progress(output, done.hours, done.readings)


def tell(output: Output, report: Mapping[str, Any]) -> int:
    """The summary, and what could not be made."""
    blocked: Mapping[str, str] = report["blocked"]
    for path, why in blocked.items():
        output.warn(f"{path}: {why}")
    output.summary(
        {name: value for name, value in report.items() if name != "more"},
        f"{report['hours']:,} sensor-hours and {report['days']:,} days made of {report['readings']:,} readings:"
        f" {report['files']:,} files written, {report['written_bytes']:,} bytes",
    )
    return 1 if blocked else 0


def ask_to_aggregate(output: Output, layout: Layout, *, again: bool) -> dict[str, Any]:
    """One round of the running service after the other, until none is left to do."""
    sums: dict[str, Any] = dict.fromkeys(_COUNTED, 0)
    while True:
        report = have_done(layout, "maintain", "aggregate", "aggregate", again=again)
        sums = {**report, **{name: sums[name] + report[name] for name in _COUNTED}}
        if not report["more"]:
            return sums
        again = False
        _progress(output, sums["hours"], sums["readings"])


def _progress(output: Output, hours: int, readings: int) -> None:
    output.progress(
        {"hours": hours, "readings": readings}, f"{hours:,} sensor-hours, {readings:,} readings …"
    )


def _plan(output: Output, layout: Layout) -> int:
    """Tell what is due; reads only."""
    count = 0

    def records() -> Iterator[dict[str, object]]:
        nonlocal count
        for key in _due(layout):
            count += 1
            start = datetime.fromtimestamp(key.number * _SECONDS[key.span], UTC)
            yield {
                "asset": key.series.asset,
                "sensor": key.series.sensor,
                "span": key.span,
                "start": start.isoformat().replace("+00:00", "Z"),
            }

    output.items(records(), ("asset", "sensor", "span", "start"))
    output.summary({"due": count, "dry_run": True}, f"{count:,} hours and days are due; nothing was changed")
    return 0


def _due(layout: Layout) -> Iterator[Spanned]:
    if not layout.catalog.exists():
        return
    with closing(Catalog(layout, read_only=True)) as catalog:
        spans: tuple[Span, ...] = ("hour", "day")
        for span in spans:
            after = None
            try:
                while page := catalog.aggregates.due(span, before=None, limit=_PAGE, after=after):
                    yield from page
                    after = page[-1]
            except sqlite3.OperationalError:  # a catalog of an earlier version, or being made
                return
