"""Raw readings of one sensor, in order of time, block by block."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sensor_storage.model import SensorHour, Series
from sensor_storage.query.question import Interval, chosen
from sensor_storage.query.sources import Sources
from sensor_storage.query.watch import Watch
from sensor_storage.storage.arrow_columns import SCHEMA as STORED
from sensor_storage.storage.arrow_columns import to_arrow
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings, union
from sensor_storage.storage.stretches import Stretch, plan_cuts

BLOCK_ROWS: Final = 200_000
"""About so many rows are held at once of one sensor."""

_PLAIN: Final = ["timestamp", "value", "text", "unit", "quality"]
_ADDRESS: Final = ["kafka_topic", "kafka_partition", "kafka_offset", "kafka_index"]


def raw_schema(*, addresses: bool = False, fields: Sequence[str] = ()) -> pa.Schema:
    """The columns of an answer of raw readings."""
    columns = chosen([*_PLAIN, *(_ADDRESS if addresses else [])], fields, ["timestamp"])
    return pa.schema([STORED.field(name) for name in ["asset_id", "sensor_name", *columns]])


class RawReader:
    """Reads what the sources have; looks at the watch between two blocks."""

    def __init__(self, sources: Sources, watch: Watch, schema: pa.Schema | None = None) -> None:
        self._sources = sources
        self._watch = watch
        self._schema = schema or raw_schema()
        self._columns = self._schema.names[2:]

    def tables(self, series: Series, interval: Interval) -> Iterator[pa.Table]:
        """The sensor's readings in the interval, in order of time."""
        hours = interval.hours
        staged_hours = self._sources.held.hours(series, hours.start, hours.stop - 1)
        for hour in sorted({*self._sources.hours(series, hours), *staged_hours}):
            key = SensorHour(series, hour)
            staged = self._sources.staged(key, interval)
            if staged:
                for rows in self._union([*staged, *self._sources.filed(key, interval)], interval):
                    yield self._named(series, to_arrow(rows).select(self._columns))
            elif file := self._sources.hour_file(key):
                yield from self._of_file(series, file, interval)

    def readings(self, key: SensorHour, interval: Interval) -> Iterator[Readings]:
        """The readings of a sensor-hour that are in the interval, with everything that is known of each."""
        staged = self._sources.staged(key, interval)
        yield from self._union([*staged, *self._sources.filed(key, interval)], interval)

    def _union(self, stretches: Sequence[Stretch], interval: Interval) -> Iterator[Readings]:
        """Slice by slice of time. Rows of one identity have one timestamp as long as the decoder is the same."""
        for cut in plan_cuts([end for stretch in stretches for end in stretch.ends()], BLOCK_ROWS):
            self._watch.look()
            rows = _within(union([stretch.before(cut) for stretch in stretches]), interval)
            if len(rows):
                yield rows

    def _of_file(self, series: Series, file: CheckedFile, interval: Interval) -> Iterator[pa.Table]:
        """One source is a set by itself: only the columns asked for are read, a row group at a time."""
        for number, group in enumerate(file.groups()):
            if group.first_timestamp >= interval.end or group.last_timestamp < interval.start:
                continue
            self._watch.look()
            table = file.parquet.read_row_group(number, self._columns, use_threads=False)
            if group.first_timestamp < interval.start or group.last_timestamp >= interval.end:
                time: Any = table["timestamp"].combine_chunks()
                start, stop = np.searchsorted(time.view(pa.int64()), [interval.start, interval.end]).tolist()
                table = table.slice(start, stop - start)
            if table.num_rows:
                yield self._named(series, table)

    def _named(self, series: Series, table: pa.Table) -> pa.Table:
        """With the names before the columns, in the answer's types."""
        rows = table.num_rows
        names: list[Any] = [pa.repeat(pa.scalar(name, pa.string()), rows) for name in series]
        columns: list[Any] = [table[name] for name in self._columns]
        return pa.Table.from_arrays([*names, *columns], names=self._schema.names).cast(self._schema)


def _within(rows: Readings, interval: Interval) -> Readings:
    start, stop = np.searchsorted(rows.timestamp, [interval.start, interval.end]).tolist()
    return rows.slice(start, stop)
