"""Data directories with known readings, and what they hold."""

import itertools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from sensor_storage.model import DECODE_REVISION, MICROSECONDS_PER_HOUR, Series, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.compact import BLOCK_ROWS, Compactor, WritePolicy
from sensor_storage.storage.durable import Disk, Steps
from sensor_storage.storage.footers import totals_of
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings, union
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.series_column import SeriesColumn

SOURCE = Source("sensor-data-a", "topic-id", 0, 0)
HOUR = 473_352
NOW = HOUR * 3600 + 1800.0
Row: TypeAlias = tuple[object, ...]
_STARTS = itertools.count()


def readings_of(
    offsets: Sequence[int],
    *,
    series: Sequence[Series] = (Series("press-1", "temperature"), Series("press-1", "state")),
    source: Source = SOURCE,
    hour: int = HOUR,
    spread_seconds: int = 1,
    fields: int = 1,
) -> Readings:
    """For each offset `fields` readings of the series in turn, `spread_seconds` apart; odd ones are text."""
    offset = np.repeat(np.array(offsets, np.int64), fields)
    index = np.tile(np.arange(fields, dtype=np.int32), len(offsets))
    number = offset * fields + index
    codes = (number % len(series)).astype(np.int32)
    texts = [f"state {n}" if n % 5 == 1 else None for n in number.tolist()]
    value = np.where([text is None for text in texts], number / 7, np.nan)
    return Readings(
        series=SeriesColumn.of(Coded(codes, tuple(series))),
        timestamp=hour * MICROSECONDS_PER_HOUR + offset * spread_seconds * 1_000_000 % MICROSECONDS_PER_HOUR,
        value=value,
        text=_text(texts),
        unit=Coded.encode(["°C" if n % 3 else None for n in number.tolist()]),
        quality=Coded.constant("good", len(number)),
        source=Coded.constant(source, len(number)),
        offset=offset,
        index=index,
        revision=np.full(len(number), DECODE_REVISION, np.int16),
    )


def _text(texts: list[str | None]) -> "pa.StringArray | None":
    return pa.array(texts, pa.string()) if any(texts) else None


def stage(
    layout: Layout, readings: Readings, *, number: int, start: int, stop: int, disk: Disk | None = None
) -> Path:
    """Stage the readings as the segment that answers for offsets `start` to `stop`, one message an offset."""
    totals = {item.source: item for item in totals_of(readings.sorted())}
    held = totals.get(SOURCE)
    entry = LedgerEntry(
        SOURCE,
        start,
        stop,
        messages=len(np.unique(readings.offset)),
        readings=held.readings if held else 0,
        hash_sum=held.hash_sum if held else 0,
    )
    name = StagedName(int(NOW * 1000) + number, "ingest0", number, 0)
    path = layout.staged(name)
    (disk or Disk(layout.root)).publish_bytes(path, encode_segment(readings, [entry], "zstd"))
    return path


def compactor(
    layout: Layout,
    *,
    steps: Steps | None = None,
    flush_interval: float = 60,
    factor: float = 4,
    block_rows: int = BLOCK_ROWS,
) -> Compactor:
    """A compactor as after an ordinary start."""
    disk = Disk(layout.root, steps)
    disk.clear_aside()
    policy = WritePolicy(
        flush_interval_seconds=flush_interval, open_hour_rewrite_factor=factor, block_rows=block_rows
    )
    catalog = Catalog(layout)
    made = Compactor(layout, disk, catalog, policy, name=f"m{next(_STARTS)}")
    close_with(made, catalog)
    return made


def close_with(owner: object, catalog: Catalog) -> None:
    """Close the catalog as soon as its owner is gone.

    SQLite's connections are cycles: else one would stay open until the collector comes, amid a copy of the
    directory or after its files were forgotten, and take the `-wal` that is there by then with it.
    """
    weakref.finalize(owner, catalog.close)


def rows_of(readings: Readings) -> list[Row]:
    """Every reading with identity and content, sorted."""
    text = readings.text.to_pylist() if readings.text is not None else [None] * len(readings)
    columns = (
        readings.source.tolist(),
        readings.offset.tolist(),
        readings.index.tolist(),
        readings.series.tolist(),
        readings.timestamp.tolist(),
        [None if value != value else value for value in readings.value.tolist()],  # noqa: PLR0124 - NaN
        text,
        readings.unit.tolist(),
        readings.quality.tolist(),
    )
    return sorted(zip(*columns, strict=True), key=repr)


def stored_rows(layout: Layout) -> list[Row]:
    """Every reading in hour files and staging, each once."""
    paths = [*layout.hour_files(), *(path for _, path in layout.staged_files())]
    return rows_of(union([CheckedFile(path).readings() for path in paths]))


def hour_rows(layout: Layout) -> list[Row]:
    """Every row of the hour files, doubles included."""
    return rows_of(Readings.concat([CheckedFile(path).readings() for path in layout.hour_files()]))
