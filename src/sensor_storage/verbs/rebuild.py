"""`rebuild`: the catalog again from the files, or the aggregates from raw."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from sensor_storage.aggregation.check import adopt
from sensor_storage.clock import SystemClock
from sensor_storage.cold.recovery import Recovery
from sensor_storage.config import Settings
from sensor_storage.consuming import instance_id
from sensor_storage.errors import Damaged, Usage
from sensor_storage.main import aggregate_policy, build_store, cold_place
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.hour_files import HourFile, describe
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own
from sensor_storage.storage.status import read_cold
from sensor_storage.storage.tree_walk import hour_files
from sensor_storage.verbs.aggregate import make, tell
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.stores import no_store, with_store_told

EPILOG = """\b
Examples:
  sensor-storage rebuild --data ./plant     the catalog, from files and the cold store's manifests
  sensor-storage rebuild --local-only       the catalog, and forget what is only in the cold store
  sensor-storage rebuild aggregates         every aggregate, from the hour files

For the catalog the service must not run; for aggregates a running one is asked to do it. Exit codes: 0 done;
1 some files are damaged and left out; 5 the service runs, or does not answer."""
_PROGRESS_FILES = 1000


@click.command("rebuild", epilog=EPILOG)
@click.argument("what", type=click.Choice(["catalog", "aggregates"]), default="catalog")
@click.option("--local-only", is_flag=True, help="Without the cold store the service uploads to.")
@output_options
@settings_options
def command(output: Output, settings: Settings, what: str, local_only: bool) -> int:
    """Make the catalog again from hour files and aggregates, or the aggregates from the hour files."""
    layout = data_layout(settings)
    if local_only and (what == "aggregates" or cold_place(settings)):
        raise Usage("--local-only is for a catalog without a cold store", hint="leave it out")
    if not local_only:
        settings = with_store_told(settings, layout)
    if what == "aggregates":
        return tell(output, make(output, settings, layout, again=True))
    return _catalog(output, settings, layout, local_only=local_only)


def make_catalog(
    output: Output, settings: Settings, layout: Layout, *, local_only: bool = False
) -> tuple[int, int, int]:
    """The catalog from the files: how many hour files and aggregates it knows, and how many damaged ones not.

    Only the owner of the directory may do it. The catalog is a cache, and nothing else is touched. Usage where the
    directory's service uploads to a store that is not set: what only that has would be forgotten.
    """
    damaged: list[Path] = []

    def described() -> Iterator[HourFile]:
        for number, path in enumerate(hour_files(layout), 1):
            if number % _PROGRESS_FILES == 0:
                output.progress({"files": number}, f"{number:,} files …")
            try:
                yield describe(path)
            except Damaged as error:
                damaged.append(path)
                output.item(
                    {"finding": "damaged", "where": layout.relative(path)}, f"damaged: {error.message}"
                )

    store = build_store(settings)
    if store:
        store.look("services")  # the store has to answer before what is known of it goes
    elif not local_only and (told := read_cold(layout)) and told.url:
        raise no_store(layout, what="what is only there would be forgotten")
    for suffix in ("", "-wal", "-shm"):
        layout.catalog.with_name(layout.catalog.name + suffix).unlink(missing_ok=True)
    with closing(Catalog(layout)) as catalog:
        count = catalog.replace(described())
        aggregates = adopt(layout, catalog.aggregates, aggregate_policy(settings))
        if store:
            name = instance_id(settings, layout)
            done = Recovery(layout, Disk(layout.root), store, name).take(catalog, SystemClock().now())
            for where, why in done.damaged_manifests.items():
                note = f"damaged in the store: {where}: {why}; what it told of was read from the blobs themselves"
                output.item({"damaged_manifest": where, "why": why}, note)
        return count, aggregates, len(damaged)


def _catalog(output: Output, settings: Settings, layout: Layout, *, local_only: bool) -> int:
    with own(layout):
        count, aggregates, damaged = make_catalog(output, settings, layout, local_only=local_only)
    output.summary(
        {"files": count, "aggregates": aggregates, "damaged": damaged},
        f"{count:,} files in the catalog and {aggregates:,} aggregates"
        + (f", {damaged:,} damaged ones left out" if damaged else ""),
    )
    return 1 if damaged else 0
