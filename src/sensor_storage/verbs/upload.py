"""`upload`: everything that is not in the cold store yet, once."""

from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from sensor_storage.clock import SystemClock
from sensor_storage.cold.store import ColdStore
from sensor_storage.cold.upload import UploadReport
from sensor_storage.config import Settings
from sensor_storage.errors import Owned
from sensor_storage.main import build_aggregator, build_keepsakes, build_store, build_uploader
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import have_done, own
from sensor_storage.storage.status import read_cold
from sensor_storage.verbs.compact import put_in_place
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.stores import no_store

EPILOG = """\b
Examples:
  sensor-storage upload --dry-run     which files wait for the cold store
  sensor-storage upload               upload them; a running service is asked to do it

Open hours are uploaded too. Exit codes: 0 good; 2 usage, or no cold store is set; 3 some files could not be
uploaded and are tried again later; 5 the service that owns the directory does not answer."""
_PAGE = 1000


@click.command("upload", epilog=EPILOG)
@click.option("--dry-run", is_flag=True, help="Only tell what waits.")
@output_options
@settings_options
def command(output: Output, settings: Settings, dry_run: bool) -> int:
    """Upload what is not in the cold store as it is here, with a receipt for each file."""
    layout = data_layout(settings)
    if dry_run:
        return _plan(output, layout)
    report = _upload(output, settings, layout)
    for name, why in report["errors"].items():
        output.warn(f"{name}: {why}")
    output.summary(
        report,
        f"{report['uploaded']:,} files uploaded, {report['bytes']:,} bytes; {report['unchanged']:,} were there,"
        f" {report['merged']:,} were united with what others had put there; {report['waiting']:,} wait"
        f"{' till the store is there again' if report['away'] else ''}",
    )
    return 3 if report["failed"] else 0


def _upload(output: Output, settings: Settings, layout: Layout) -> dict[str, Any]:
    store = build_store(settings, may_create=True, may_mark=True)
    try:
        lock = own(layout)
    except Owned:
        if store is None and read_cold(layout) is None:
            raise no_store(layout) from None
        output.note("a service runs on this directory; asking it to do this")
        return have_done(layout, "cold", "upload", "upload", timeout_seconds=3600)
    with lock:
        if store is None:
            raise no_store(layout)
        return asdict(_upload_all(settings, layout, store))


def _upload_all(settings: Settings, layout: Layout, store: ColdStore) -> UploadReport:
    """Make files and aggregates of what is there, and upload them. Only the owner of the directory may do it."""
    with closing(Catalog(layout)) as catalog:
        Disk(layout.root).clear_aside()
        now = SystemClock().now()
        put_in_place(settings, layout, catalog)
        aggregator = build_aggregator(settings, layout, catalog)
        while aggregator.run_once(now, now, flush=True).more:
            pass
        catalog.receipts.try_all_now()
        done = build_uploader(settings, layout, catalog, store).run_once(now, None)
        if not done.away:
            build_keepsakes(settings, layout, catalog, store).run_once(now, done)
        return done


def _plan(output: Output, layout: Layout) -> int:
    """Tell what is in the queue; reads only."""
    if not layout.catalog.exists():
        waiting = []
    else:
        with closing(Catalog(layout, read_only=True)) as catalog:
            waiting = catalog.receipts.due(SystemClock().now() + 10**9, before=None, limit=_PAGE)
            total = catalog.receipts.waiting().files
    output.items(
        (
            {
                "level": due.level,
                "asset": due.series.asset,
                "sensor": due.series.sensor,
                "attempts": due.attempts,
            }
            for due in waiting
        ),
        ("level", "asset", "sensor", "attempts"),
    )
    total = total if waiting else 0
    output.summary({"waiting": total, "dry_run": True}, f"{total:,} files wait; nothing was uploaded")
    return 0
