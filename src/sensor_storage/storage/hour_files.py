"""Sensor-hour files: read one, and merge further readings into it by set union."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.block_writer import BlockWriter
from sensor_storage.storage.digests import stored_digest
from sensor_storage.storage.durable import Aside, Disk
from sensor_storage.storage.footers import Footer, Totals, refuse_newer, totals_of
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile, encode_readings
from sensor_storage.storage.readings import Readings, conflicts, union
from sensor_storage.storage.stretches import Stretch, apart, merge_stretches


@dataclass(frozen=True, slots=True)
class HourFile:
    """What is known of a sensor-hour's file without opening it again."""

    key: SensorHour
    path: Path
    rows: int
    size_bytes: int
    digest: str
    first_timestamp: int
    last_timestamp: int
    totals: tuple[Totals, ...]


@dataclass(frozen=True, slots=True)
class HourMerge:
    """The outcome of one merge: the file as it will be, and its bytes aside, or None where nothing was new."""

    file: HourFile
    aside: Aside | None
    new_rows: int


def read_hour_file(path: Path, key: SensorHour) -> tuple[Readings, Footer, str, int]:
    """Readings, footer, digest and size of the file of a sensor-hour.

    Raises Damaged unless its bytes are those written and it says it is that sensor-hour's file.
    """
    file = _open_hour_file(path, key)
    return file.readings(), file.footer(), file.digest, file.size_bytes


def merge_into_hour_file(
    disk: Disk, layout: Layout, key: SensorHour, new: Readings, compression: str
) -> HourMerge:
    """Write aside the union of the sensor-hour's file and `new`, which is in canonical order.

    Publishing the aside file is the caller's commit point; where `new` holds nothing new nothing is written.
    """
    path = layout.hour_file(key)
    merged, already = new, 0
    if path.exists():
        held, footer, digest, size = read_hour_file(path, key)
        merged, already = union([held, new]), len(held)
        if _same(merged, held, footer.totals):
            described = _described(
                key=key, path=path, rows=held, totals=footer.totals, digest=digest, size=size
            )
            return HourMerge(described, None, 0)
    footer = Footer(
        kind="hour", rows=len(merged), totals=totals_of(merged), sensor_hour=key, conflicts=conflicts(merged)
    )
    data = encode_readings(merged, footer, compression=compression)
    described = _described(
        key=key, path=path, rows=merged, totals=footer.totals, digest=stored_digest(data), size=len(data)
    )
    return HourMerge(described, disk.write_aside(path, data), len(merged) - already)


def merge_large_hour_file(
    disk: Disk,
    layout: Layout,
    key: SensorHour,
    staged: Sequence[Stretch],
    *,
    compression: str,
    max_rows: int,
    alive: Alive = nothing,
) -> HourMerge:
    """As `merge_into_hour_file`, of a sensor-hour with too many rows to hold; about `max_rows` at a time."""
    path = layout.hour_file(key)
    held = _open_hour_file(path, key) if path.exists() else None
    parts = [*staged, *([Stretch(held, 0, held.footer().rows)] if held else [])]
    with (
        disk.writing(path) as aside,
        apart(parts, disk, max_rows, alive) as stretches,
        BlockWriter(aside.path, "hour", compression) as writer,
    ):
        for block in merge_stretches(stretches, max_rows):
            writer.write(block)
            alive()
        footer, digest = writer.finish(sensor_hour=key)
    if held and footer == held.footer() and writer.revisions == _revisions(held):
        disk.discard([aside])
        return HourMerge(describe(path), None, 0)
    described = HourFile(
        key=key,
        path=path,
        rows=footer.rows,
        size_bytes=aside.path.stat().st_size,
        digest=digest,
        first_timestamp=writer.first_timestamp,
        last_timestamp=writer.last_timestamp,
        totals=footer.totals,
    )
    return HourMerge(described, aside, footer.rows - (held.footer().rows if held else 0))


def _revisions(file: CheckedFile) -> int:
    return sum(int(file.rows(group.start, group.stop).revision.sum()) for group in file.groups())


def _open_hour_file(path: Path, key: SensorHour) -> CheckedFile:
    file = CheckedFile(path)
    footer = file.footer()
    refuse_newer(footer, path)
    if footer.kind != "hour" or footer.sensor_hour != key:
        raise Damaged(f"{path}: holds {footer.sensor_hour}, its name says {key}")
    return file


def _same(merged: Readings, held: Readings, totals: tuple[Totals, ...]) -> bool:
    """Has the union changed nothing? Row hashes leave the revision out, which decides later unions."""
    return (
        len(merged) == len(held)
        and totals_of(merged) == totals
        and np.array_equal(merged.revision, held.revision)
    )


def describe(path: Path) -> HourFile:
    """What there is to know of an hour file found on disk. Raises Damaged."""
    file = CheckedFile(path)
    footer = file.footer()
    if footer.kind != "hour" or footer.sensor_hour is None:
        raise Damaged(f"{path}: is a {footer.kind} file, not a sensor-hour's")
    groups = file.groups()
    return HourFile(
        key=footer.sensor_hour,
        path=path,
        rows=footer.rows,
        size_bytes=file.size_bytes,
        digest=file.digest,
        first_timestamp=groups[0].first_timestamp,
        last_timestamp=groups[-1].last_timestamp,
        totals=footer.totals,
    )


def _described(
    *, key: SensorHour, path: Path, rows: Readings, totals: tuple[Totals, ...], digest: str, size: int
) -> HourFile:
    return HourFile(
        key=key,
        path=path,
        rows=len(rows),
        size_bytes=size,
        digest=digest,
        first_timestamp=int(rows.timestamp[0]),
        last_timestamp=int(rows.timestamp[-1]),
        totals=totals,
    )
