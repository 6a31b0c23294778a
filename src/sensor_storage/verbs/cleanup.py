"""`cleanup`: old files that are proven to be in the cold store leave this disk, once."""

from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Owned
from sensor_storage.main import build_cleaner, build_remover, build_store
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import have_done, own
from sensor_storage.storage.staging import Staging
from sensor_storage.storage.status import read_cold
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.stores import no_store

EPILOG = """\b
Examples:
  sensor-storage cleanup --dry-run     each old file, and why it would go or stay
  sensor-storage cleanup               remove those that are proven; a running service is asked to do it

A file goes only with a receipt for exactly its content, while the blob is there as it was uploaded.
Exit codes: 0 good; 2 usage, or no cold store is set; 5 the service that owns the directory does not answer."""


@click.command("cleanup", epilog=EPILOG)
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed, and why.")
@output_options
@settings_options
def command(output: Output, settings: Settings, dry_run: bool) -> int:
    """Remove old files here once they are proven to be in the cold store."""
    keeps = settings.cleanup.dry_run or not settings.cleanup.enabled
    report = _clean(output, settings, data_layout(settings), dry_run=dry_run or keeps)
    if report["dry_run"] and not dry_run:
        output.note("CLEANUP_ENABLED=false or CLEANUP_DRY_RUN=true keeps every file here; this only tells")
    output.items(report["files"], ("file", "goes", "because"))
    looked_at = report["removed"] + sum(report["kept"].values())
    if looked_at > len(report["files"]):
        output.note(f"the first {len(report['files']):,} of {looked_at:,} files are named")
    kept = ", ".join(f"{count:,} {why}" for why, count in report["kept"].items())
    verb = "would be removed" if report["dry_run"] else "removed"
    output.summary(
        {name: value for name, value in report.items() if name != "files"},
        f"{report['removed']:,} files {verb}, {report['removed_bytes']:,} bytes; kept: {kept or 'none'}",
    )
    return 0


def _clean(output: Output, settings: Settings, layout: Layout, *, dry_run: bool) -> dict[str, Any]:
    store = build_store(settings)
    provable = store is not None or settings.cleanup.without_upload
    try:
        lock = own(layout)
    except Owned:
        if not provable and read_cold(layout) is None:
            raise no_store(layout) from None
        output.note("a service runs on this directory; asking it to do this")
        return have_done(layout, "cold", "cleanup", "clean up", timeout_seconds=3600, dry_run=dry_run)
    with lock:
        if not provable:
            raise no_store(layout)
        with closing(Catalog(layout)) as catalog:
            remover = build_remover(settings, layout, catalog, Staging(layout))
            cleaner = build_cleaner(settings, layout, catalog, store, remover.remove)
            return asdict(cleaner.run_once(SystemClock().now(), dry_run=dry_run))
