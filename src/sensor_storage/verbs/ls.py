"""`ls`: assets and sensors, with what is stored of them."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import click

from sensor_storage.config import Settings
from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.staging import Staging
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options

EPILOG = """\b
Examples:
  sensor-storage ls                     the assets
  sensor-storage ls press-7             its sensors
  sensor-storage ls --json | jq -r .asset

Rows in staging are shown beside those in files; some of them may be in files already.
Exit codes: 0 good; 1 nothing is stored of that asset; 2 usage."""
_CHEAP_BYTES = 64_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_COLUMNS = {
    "files": "files",
    "rows": "rows",
    "size_bytes": "bytes",
    "first_timestamp": "first",
    "last_timestamp": "last",
    "staged_rows": "staged",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored of one series or one asset; timestamps in µs, None where no file holds it."""

    files: int = 0
    rows: int = 0
    size_bytes: int = 0
    first_timestamp: int | None = None
    last_timestamp: int | None = None
    staged_rows: int = 0

    def __add__(self, other: "Held") -> "Held":
        """Both together."""
        firsts = [one for one in (self.first_timestamp, other.first_timestamp) if one is not None]
        lasts = [one for one in (self.last_timestamp, other.last_timestamp) if one is not None]
        return Held(
            self.files + other.files,
            self.rows + other.rows,
            self.size_bytes + other.size_bytes,
            min(firsts, default=None),
            max(lasts, default=None),
            self.staged_rows + other.staged_rows,
        )

    def record(self) -> dict[str, object]:
        """The fields of an answer."""
        return {
            "files": self.files,
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "first_timestamp": _iso(self.first_timestamp),
            "last_timestamp": _iso(self.last_timestamp),
            "staged_rows": self.staged_rows,
        }


@click.command("ls", epilog=EPILOG)
@click.argument("asset", required=False)
@click.option("--staged", is_flag=True, help="Look into staging however much there is.")
@output_options
@settings_options
def command(output: Output, settings: Settings, asset: str | None, staged: bool) -> int:
    """List the assets, or the sensors of ASSET, with files, rows, bytes and the time they cover."""
    layout = data_layout(settings)
    waiting = _staged_rows(output, layout, however_large=staged)
    held = merged(_in_files(layout, asset), waiting, asset)
    total, assets, series = Held(), 0, 0

    def told() -> Iterator[dict[str, object]]:
        nonlocal total, assets, series
        for name, group in groupby(held, key=lambda one: one[0].asset):
            sensors = list(group)
            whole = sum((one for _, one in sensors), start=Held())
            total, assets, series = total + whole, assets + 1, series + len(sensors)
            if asset is None:
                yield {"asset": name, "sensors": len(sensors), **whole.record()}
            else:
                yield from ({"asset": name, "sensor": one.sensor, **sums.record()} for one, sums in sensors)

    heads = {"asset": "asset", "sensors": "sensors"} if asset is None else {"sensor": "sensor"}
    output.items(told(), {**heads, **_COLUMNS})
    output.summary({"assets": assets, "sensors": series, **total.record()})
    if asset is not None and not series:
        output.note(f"nothing is stored of {asset}; names differ by case, and `ls` alone lists them all")
        return 1
    return 0


def merged(
    files: Iterable[tuple[Series, Held]], staged: dict[Series, int], asset: str | None
) -> Iterator[tuple[Series, Held]]:
    """What files and staging hold, by series in order; only those of the asset, if one is named."""
    held = dict(files)
    for series, rows in staged.items():
        if asset is None or series.asset == asset:
            held[series] = held.get(series, Held()) + Held(staged_rows=rows)
    yield from sorted(held.items(), key=lambda one: one[0])


def _in_files(layout: Layout, asset: str | None) -> Iterator[tuple[Series, Held]]:
    if not layout.catalog.exists():
        return
    with closing(Catalog(layout, read_only=True)) as catalog:
        try:
            for one in catalog.coverage(asset):
                first, last = one.first_timestamp, one.last_timestamp
                yield one.series, Held(one.files, one.rows, one.size_bytes, first, last)
        except sqlite3.OperationalError:
            return
        except sqlite3.DatabaseError as error:
            raise Damaged(
                f"read {layout.catalog}: {error}", hint="sensor-storage rebuild makes it again from the files"
            ) from error


def _staged_rows(output: Output, layout: Layout, *, however_large: bool) -> dict[Series, int]:
    """Rows in staging by series, unless there is so much that looking would take long."""
    files = layout.staged_files()
    size = sum(path.stat().st_size for _, path in files if path.exists())
    if size > _CHEAP_BYTES and not however_large:
        output.note(f"{len(files):,} files in staging were not looked into; --staged counts them too")
        return {}
    staging = Staging(layout)
    rows: dict[Series, int] = {}
    for file in staging.refresh():
        for key, count in zip(file.keys.tolist(), file.counts.tolist(), strict=True):
            series = staging.keys.sensor_hour(key).series
            rows[series] = rows.get(series, 0) + count
    for path in staging.damaged:
        output.warn(f"{layout.relative(path)} is damaged and was not counted")
    return rows


def _iso(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
