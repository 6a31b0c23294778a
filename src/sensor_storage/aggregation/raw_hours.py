"""Where raw readings come from: hour files, now from the local tree, later from the cold store too.

`HourSource` is the seam. The stage asks it for a sensor-hour and makes the same aggregates from whatever place
the readings were found in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from sensor_storage.aggregation.files import Aggregate
from sensor_storage.aggregation.join import join, mixed
from sensor_storage.aggregation.samples import Judge, Samples, coded_text, finite, judged
from sensor_storage.aggregation.statistics import Statistics
from sensor_storage.aggregation.summarise import summarise
from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive
from sensor_storage.storage.arrow_columns import coded_column
from sensor_storage.storage.footers import content_digest
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile

BLOCK_ROWS = 400_000
"""About so many rows are held at once, or one minute's if those are more."""

_COLUMNS = ["timestamp", "value", "text", "unit", "quality"]


class RawHour(Protocol):
    """The readings of one sensor-hour."""

    @property
    def content(self) -> str:
        """The digest of the set of readings."""
        ...

    def blocks(self) -> Iterator[Samples]:
        """All readings in canonical order, whole minutes at a time."""
        ...


class Told(NamedTuple):
    """A sensor-hour that lets know, block by block, that work on it goes on."""

    raw: RawHour
    alive: Alive

    @property
    def content(self) -> str:
        """The digest of the set of readings."""
        return self.raw.content

    def blocks(self) -> Iterator[Samples]:
        """All readings in canonical order, whole minutes at a time."""
        for block in self.raw.blocks():
            yield block
            self.alive()


class HourSource(Protocol):
    """Finds the readings of a sensor-hour."""

    def open(self, key: SensorHour) -> RawHour:
        """The sensor-hour. Raises FileNotFoundError where there is none, Damaged where it can't be read."""
        ...


class LocalHours:
    """The hour files of the data directory."""

    def __init__(
        self, layout: Layout, judge: Judge, find: Callable[[Path], Path] = lambda path: path
    ) -> None:
        self._layout = layout
        self.find = find
        self.judge = judge

    def open(self, key: SensorHour) -> "HourFileSamples":
        """The sensor-hour's file."""
        return HourFileSamples(self.find(self._layout.hour_file(key)), key, self.judge)


class HourFileSamples:
    """One hour file, its digest checked."""

    def __init__(self, path: Path, key: SensorHour, judge: Judge) -> None:
        self._file = CheckedFile(path)
        self._judge = judge
        footer = self._file.footer()
        if footer.sensor_hour != key:
            raise Damaged(f"{path}: holds {footer.sensor_hour}, its name says {key}")
        self.rows = footer.rows
        self.content = content_digest(footer.totals)

    def blocks(self) -> Iterator[Samples]:
        """All readings, whole minutes at a time."""
        parquet = self._file.parquet
        if self.rows <= BLOCK_ROWS:
            yield self._samples([parquet.read(_COLUMNS, use_threads=False)])
            return
        held: list[pa.Table] = []
        for group in range(parquet.metadata.num_row_groups):
            held.append(parquet.read_row_group(group, _COLUMNS, use_threads=False))
            whole, rest = _whole_minutes(held)
            if sum(map(len, whole)) >= BLOCK_ROWS:
                held = rest
                yield self._samples(whole)
        yield self._samples(held)

    def _samples(self, tables: list[pa.Table]) -> Samples:
        """The rows of these tables, which are let go."""
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        tables.clear()
        time: Any = table["timestamp"].chunk(0)
        text: Any = table["text"].chunk(0)
        return Samples(
            part=np.zeros(table.num_rows, np.int64),
            timestamp=time.view(pa.int64()).to_numpy(),
            value=finite(table["value"].to_numpy()),
            good=judged(coded_column(table["quality"]), self._judge),
            unit=coded_column(table["unit"]),
            text=coded_text(text),
        )


def _whole_minutes(tables: Sequence[pa.Table]) -> tuple[list[pa.Table], list[pa.Table]]:
    """The rows before the minute of the last one, and the rest."""
    times = (np.asarray(table["timestamp"].cast(pa.int64())) // WIDTH["minute"] for table in reversed(tables))
    last: int | None = None
    for place, minutes in zip(reversed(range(len(tables))), times, strict=True):
        last = int(minutes[-1]) if last is None else last
        if cut := int(np.searchsorted(minutes, last)):
            split = tables[place]
            return [*tables[:place], split.slice(0, cut)], [split.slice(cut), *tables[place + 1 :]]
    return [], [*tables]


def minutes_and_hour(raw: RawHour, *, limit: int) -> tuple[Statistics, Statistics]:
    """The windows of a sensor-hour: its minutes, and the hour in one row."""
    minutes = minutes_of(raw.blocks(), limit=limit)
    return minutes, hour_of(raw, minutes, limit=limit)


def minutes_of(blocks: Iterable[Samples], *, limit: int) -> Statistics:
    """The minutes of a sensor-hour's readings."""
    return Statistics.concat([summarise(block, "minute", limit=limit) for block in blocks])


def hour_of(raw: RawHour, minutes: Statistics, *, limit: int) -> Statistics:
    """The hour's row from its minutes, or from its readings where units are mixed."""
    if not mixed(minutes, "hour").any():
        return join(minutes, "hour", limit=limit)
    return hour_in_unit(raw, newest_unit(minutes), limit=limit)


def hour_in_unit(raw: RawHour, unit: str | None, *, limit: int) -> Statistics:
    """The hour's row of one unit's readings."""
    return join(minutes_in_unit(raw, unit, limit=limit), "hour", limit=limit)


def minutes_in_unit(raw: RawHour, unit: str | None, *, limit: int) -> Statistics:
    """The hour's minutes of one unit's readings."""
    return Statistics.concat(
        [summarise(block, "minute", limit=limit, unit=(unit,)) for block in raw.blocks()]
    )


def day_of(hours: Aggregate, source: HourSource, *, limit: int) -> Statistics:
    """A day's row from its hours, or from raw where they are of several units."""
    if not mixed(hours.statistics, "day").any():
        return join(hours.statistics, "day", limit=limit)
    unit, series = newest_unit(hours.statistics), hours.footer.series
    keys = [SensorHour(series, part.number) for part in hours.footer.parts]
    rows = [hour_in_unit(source.open(key), unit, limit=limit) for key in keys]
    return join(Statistics.concat(rows), "day", limit=limit)


def newest_unit(found: Statistics) -> str | None:
    """The unit of the last good number in these windows."""
    rows = np.flatnonzero(found.count > 0)
    unit: str | None = found.unit[rows[-1]] if len(rows) else None
    return unit
