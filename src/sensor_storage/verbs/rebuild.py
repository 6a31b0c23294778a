"""`rebuild`: the catalog again from the files."""

from collections.abc import Iterator
from pathlib import Path

import click

from sensor_storage.config import Settings
from sensor_storage.errors import Damaged
from sensor_storage.main import layout_of
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.hour_files import HourFile, describe
from sensor_storage.storage.ownership import own
from sensor_storage.storage.tree_walk import hour_files
from sensor_storage.verbs.options import Output, output_options, settings_options

EPILOG = """\b
Example:
  sensor-storage rebuild --data ./plant

The service must not run. Exit codes: 0 done; 1 some files are damaged and left out; 5 the service runs."""
_PROGRESS_FILES = 1000


@click.command("rebuild", epilog=EPILOG)
@output_options
@settings_options
def command(output: Output, settings: Settings) -> int:
    """Make the catalog again from the hour files; it is a cache, and nothing else is touched."""
    layout = layout_of(settings)
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

    with own(layout):
        for suffix in ("", "-wal", "-shm"):
            layout.catalog.with_name(layout.catalog.name + suffix).unlink(missing_ok=True)
        catalog = Catalog(layout)
        count = catalog.replace(described())
        catalog.close()
    output.summary(
        {"files": count, "damaged": len(damaged)},
        f"{count:,} files in the catalog" + (f", {len(damaged):,} damaged ones left out" if damaged else ""),
    )
    return 1 if damaged else 0
