"""Many objects of one table to readings, column by column: exactly what `decode_exactly` gives for each.

What an object's kinds alone do not settle is marked as not settled: numbers whose digits float64 may not hold,
times in rare spellings or out of range, empty names. Missing fields and nulls are settled: a missing number is
read as infinity, which no JSON number is, and a null as NaN.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.coding import Codebook, filled, judged, overlaid
from sensor_storage.kafka.columns import ABSENT, MISSING, Column, Found, Table
from sensor_storage.kafka.exact import Rules
from sensor_storage.kafka.json_tree import EXACT_INTEGERS
from sensor_storage.kafka.names import TopicNames
from sensor_storage.kafka.outline import Kind
from sensor_storage.kafka.time_columns import Times, float_times, integer_times, iso_times
from sensor_storage.model import DECODE_REVISION
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn

Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Structs: TypeAlias = Sequence[Any]


class Surroundings(NamedTuple):
    """What decoding a batch's messages depends on beside their bytes; times in µs, one a message."""

    batch: MessageBatch
    names: TopicNames
    kafka_time: NDArray[np.int64]
    latest: NDArray[np.int64]
    rules: Rules


class Context(NamedTuple):
    """What holds for each object that does not say otherwise; code -1: nothing."""

    asset: Coded[str]
    sensor: Coded[str]
    time: NDArray[np.int64]
    unit: Coded[str]
    quality: Coded[str]

    def take(self, rows: Rows) -> "Context":
        """What holds for those objects, in that order."""
        asset, sensor, time, unit, quality = self
        return Context(asset.take(rows), sensor.take(rows), time[rows], unit.take(rows), quality.take(rows))


class Cells(NamedTuple):
    """Columns by objects. `doubtful` numbers may have lost digits; `texts` are kept by column."""

    value: NDArray[np.float64]
    texts: dict[int, Sequence[Any]]
    present: Mask
    null: Mask
    doubtful: Mask


class Own(NamedTuple):
    """What holds for the cells of one column alone."""

    time: NDArray[np.int64] | None
    unit: Coded[str] | None
    quality: Coded[str] | None


class Block(NamedTuple):
    """Objects on their way to readings. A reading's index is its place in the object, behind `first`."""

    context: Context
    own: dict[int, Own]
    cells: Cells
    rows: Rows
    first: NDArray[np.int64]


class Records:
    """Reads objects that were read into a table's struct."""

    def __init__(self, table: Table, *, packed: bool) -> None:
        self.table, self._packed = table, packed

    def context(
        self, structs: Structs, outer: Context, bare: str | None, rules: Rules
    ) -> tuple[Context, Mask]:
        """What holds for the fields of each object, and where that is settled."""
        frame = self.table.frame
        settled = np.ones(len(structs), np.bool_)
        asset, sensor, time = outer.asset, outer.sensor, outer.time
        if "asset" in frame:
            asset = _labels(frame["asset"], structs)
            settled &= _not_empty(asset)
        if "sensor" in frame:
            sensor = _labels(frame["sensor"], structs)
            settled &= _not_empty(sensor)
        elif "value" in frame and bare:
            sensor = filled(sensor, Coded.constant(bare, len(structs)))
        if "time" in frame:
            times = _times(frame["time"], structs, rules)
            time = times.micros
            settled &= times.read
        unit, quality = outer.unit, outer.quality
        if "unit" in frame:
            unit = filled(_labels(frame["unit"], structs), unit)
        if "quality" in frame:
            quality = filled(_labels(frame["quality"], structs), quality)
        return Context(asset, sensor, time, unit, quality), settled

    def cells(self, structs: Structs) -> Cells:
        """The scalars of each column."""
        columns = self.table.columns
        shape = len(columns), len(structs)
        value = np.full(shape, np.nan)
        present, null, doubtful = (np.zeros(shape, np.bool_) for _ in range(3))
        texts: dict[int, Sequence[Any]] = {}
        for place, column in enumerate(columns):
            items = _items(column.value, structs)
            if column.value.kind is Kind.NUMBER:
                value[place] = items
                size = np.abs(value[place])
                present[place] = size != MISSING
                null[place] = np.isnan(size)
                doubtful[place] = (size >= EXACT_INTEGERS) & present[place]
                if self._packed and not present[place].all():
                    doubtful[place] |= [item is not MISSING and abs(item or 0) == MISSING for item in items]
                continue
            present[place] = [item is not ABSENT for item in items]
            null[place] = [item is None for item in items]
            if column.value.kind is Kind.TEXT:
                texts[place] = items
                continue
            number = [type(item) is float or type(item) is bool for item in items]
            value[place] = [
                item if is_number else np.nan for item, is_number in zip(items, number, strict=True)
            ]
            texts[place] = [
                None if is_number else item for item, is_number in zip(items, number, strict=True)
            ]
            size = np.abs(value[place])
            null[place] |= np.isnan(size) & np.array(number, np.bool_)  # an empty list would be of floats
            doubtful[place] = size >= EXACT_INTEGERS
        if self._packed:
            value[null] = np.nan  # there are many NaNs; only one is stored
        return Cells(value, texts, present, null, doubtful)

    def settle(
        self, structs: Structs, context: Context, cells: Cells, latest: Rows, rules: Rules
    ) -> tuple[dict[int, Own], Mask]:
        """What columns say for themselves, and which objects are settled with it."""
        used = cells.present.any(axis=0)
        settled = ~cells.doubtful.any(axis=0) & _within(context.time, latest, rules)
        settled &= ~used | (context.asset.codes >= 0)
        if "value" in self.table.frame:
            settled &= context.sensor.codes >= 0
        own: dict[int, Own] = {}
        known: dict[Found, Times] = {}
        for place, column in enumerate(self.table.columns):
            if not (column.time or column.unit or column.quality):
                continue
            times = None
            if column.time:
                times = known.get(column.time) or _times(column.time, structs, rules)
                known[column.time] = times
                good = times.read & _within(times.micros, latest, rules)
                settled &= good | ~cells.present[place]
            own[place] = Own(
                times.micros if times else None,
                _labels(column.unit, structs) if column.unit else None,
                _labels(column.quality, structs) if column.quality else None,
            )
        return own, settled

    def readings(self, block: Block, keep: Mask, around: Surroundings) -> Readings:
        """The readings of the objects to keep."""
        context, own, cells, rows, first = block
        kept = cells.present & keep
        column, record = np.divmod(np.flatnonzero(kept), max(len(keep), 1))
        message = rows[record]
        timestamp = context.time[record]
        unit, quality = context.unit.take(record), context.quality.take(record)
        for place, said in own.items():
            cut = slice(*np.searchsorted(column, [place, place + 1]).tolist())
            if said.time is not None:
                timestamp[cut] = said.time[record[cut]]
            unit = overlaid(unit, said.unit, cut, record)
            quality = overlaid(quality, said.quality, cut, record)
        inner = np.cumsum(cells.present, axis=0, dtype=np.int32) - 1
        return Readings(
            series=SeriesColumn(
                context.asset.take(record).compact(), self._sensors(context.sensor, record, column)
            ),
            timestamp=timestamp,
            value=cells.value[kept],
            text=_text(cells.texts, column, record),
            unit=unit.compact(),
            quality=judged(quality, cells.null[kept]),
            source=around.batch.source.take(message),
            offset=around.batch.offset[message],
            index=(inner[kept] + first[record]).astype(np.int32),
            revision=np.full(len(message), DECODE_REVISION, np.int16),
        )

    def _sensors(self, sensor: Coded[str], record: Rows, column: Rows) -> Coded[str]:
        columns: list[Column] = self.table.columns
        if len(columns) == 1 and columns[0].name is None:
            return sensor.take(record).compact()
        width = len(columns)
        pairs = (sensor.codes[record] + np.int64(1)) * width + column
        known = np.full((len(sensor.values) + 1) * width, -1, np.int32)
        book = Codebook[str]()
        for pair in np.flatnonzero(np.bincount(pairs, minlength=len(known))).tolist():
            code, place = divmod(pair, width)
            name = columns[place].name
            whole = sensor.values[code - 1] if code else None
            known[pair] = book[name if whole is None else whole if name is None else f"{whole}.{name}"]
        return Coded(known[pairs], book.coded())


def _items(found: Found, structs: Structs) -> list[Any]:
    return list(map(attrgetter(found.attribute), structs))


def _labels(found: Found, structs: Structs) -> Coded[str]:
    book = Codebook[Any]()
    codes = book.codes(map(attrgetter(found.attribute), structs), len(structs))
    return Coded(codes, tuple(map(str, book.coded())))


def _times(found: Found, structs: Structs, rules: Rules) -> Times:
    items = _items(found, structs)
    if found.kind is Kind.TEXT:
        return iso_times(items, naive_is_utc=rules.naive_is_utc)
    return integer_times(items) if found.kind is Kind.INTEGER else float_times(items)


def _within(time: NDArray[np.int64], latest: Rows, rules: Rules) -> Mask:
    within: Mask = (time >= rules.earliest) & (time <= latest)
    return within


def _not_empty(names: Coded[str]) -> Mask | bool:
    return names.codes != names.values.index("") if "" in names.values else True


def _text(texts: dict[int, Sequence[Any]], column: Rows, record: Rows) -> "pa.StringArray | None":
    if not texts:
        return None
    found: Iterable[Any] = (
        texts[place][row] if place in texts else None
        for place, row in zip(column.tolist(), record.tolist(), strict=True)
    )
    array = pa.array(list(found), pa.string())
    return array if array.null_count < len(array) else None
