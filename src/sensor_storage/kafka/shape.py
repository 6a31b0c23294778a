"""Many flat messages of one outline to readings, column by column: exactly what `decode_exactly` gives.

A message that differs in any way from the outline, or whose meaning its kinds alone do not settle, is left
to the exact way: unknown keys, other kinds, numbers whose digits float64 may not hold, times in rare
spellings or out of range, empty names. Missing fields and nulls are settled here: a missing number is read
as infinity, which no JSON number is, and a null as NaN.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.coding import Codebook
from sensor_storage.kafka.exact import BAD, Rules
from sensor_storage.kafka.json_tree import EXACT_INTEGERS
from sensor_storage.kafka.names import TopicNames, key_asset
from sensor_storage.kafka.outline import Frame, Kind, Part
from sensor_storage.kafka.time_columns import INTEGER_LIMIT, Times, float_times, integer_times, iso_times
from sensor_storage.model import DECODE_REVISION, Series
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn

Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Structs: TypeAlias = list[Any]

_MISSING = float("inf")
_ABSENT = msgspec.UNSET
_HOPELESS = 16
"""A batch whose first so many messages all differ from the outline is not tried further."""
_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float | bool | None,
    Kind.TEXT: str | None,
    Kind.INTEGER: Annotated[int, msgspec.Meta(ge=-INTEGER_LIMIT, le=INTEGER_LIMIT)],
}
_STRICT_TYPES: dict[Kind, Any] = {**_TYPES, Kind.NUMBER: float, Kind.TEXT: str}


class Surroundings(NamedTuple):
    """What decoding a batch's messages depends on beside their bytes; times in µs, one a message."""

    batch: MessageBatch
    names: TopicNames
    kafka_time: NDArray[np.int64]
    latest: NDArray[np.int64]
    rules: Rules


class Parsed(NamedTuple):
    """The messages that have the outline, where they stand, and where the others do."""

    structs: Structs
    rows: Rows
    others: Rows


class Shape:
    """Reads messages of one outline. All of the frame's keys must be there; any field may be missing."""

    def __init__(self, frame: Frame, fields: dict[str, Kind]) -> None:
        self.frame, self.fields = frame, fields
        self.hits = 0
        names = sorted(fields)
        keys = [part.key for part in frame if part] + names
        places = {key: f"f{place}" for place, key in enumerate(keys)}
        members: list[Any] = [(places[part.key], kind) for part, kind in _required(frame)]
        members += [
            (
                places[name],
                *((_TYPES[Kind.NUMBER], _MISSING) if fields[name] is Kind.NUMBER else _OPTIONAL_TEXT),
            )
            for name in names
        ]
        struct = msgspec.defstruct(
            "Message",
            members,
            rename={place: key for key, place in places.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode
        self._get = {key: attrgetter(place) for key, place in places.items()}
        self._columns = ([frame.value] if frame.value else []) + [Part(name, fields[name]) for name in names]

    def parse(self, values: Sequence[bytes | None], rows: Rows) -> Parsed:
        """Tell the messages that have the outline from the others."""
        todo: Iterable[Any] = values if len(rows) == len(values) else map(values.__getitem__, rows.tolist())
        rest = iter(todo)
        structs: Structs = []
        misses: list[int] = []
        while True:
            try:
                # What was decoded before an error stays in the list, and the iterator goes on behind it.
                structs.extend(map(self._decode, rest))
                break
            except ValueError:
                misses.append(len(structs) + len(misses))
                if not structs and len(misses) >= _HOPELESS:
                    return Parsed([], rows[:0], rows)
        missed = np.zeros(len(rows), np.bool_)
        missed[misses] = True
        return Parsed(structs, rows[~missed], rows[missed])

    def read(self, structs: Structs, rows: Rows, around: Surroundings) -> tuple[Readings, Mask]:
        """The readings of those messages that are settled here, and which these are."""
        pairs, settled = self._pairs(structs, rows, around)
        times = self._times(structs, rows, around)
        settled &= (
            times.read & (times.micros >= around.rules.earliest) & (times.micros <= around.latest[rows])
        )
        cells = self._cells(structs)
        settled &= cells.present.any(axis=0) & ~cells.doubtful.any(axis=0)
        keep = cells.present & settled
        column, message = np.divmod(np.flatnonzero(keep), max(len(structs), 1))
        message_rows = rows[message]
        source = around.batch.source
        null = cells.null[keep]
        unit = self._labels(self.frame.unit, structs)
        quality = self._labels(self.frame.quality, structs)
        readings = Readings(
            series=SeriesColumn.of(self._series(pairs, message, column)),
            timestamp=times.micros[message],
            value=cells.value[keep],
            text=_text(cells.texts, column, message),
            unit=Coded(unit.codes[message], unit.values).compact(),
            quality=_judged(quality.take(message), null),
            source=source.take(message_rows),
            offset=around.batch.offset[message_rows],
            index=(np.cumsum(cells.present, axis=0, dtype=np.int32) - 1)[keep].astype(np.int32),
            revision=np.full(len(message), DECODE_REVISION, np.int16),
        )
        return readings, settled

    def _column(self, key: str, structs: Structs) -> list[Any]:
        return list(map(self._get[key], structs))

    def _pairs(
        self, structs: Structs, rows: Rows, around: Surroundings
    ) -> tuple[Coded[tuple[Any, Any]], Mask]:
        """Asset and sensor (None: it has none) of each message, and where both are settled."""
        assets = self._assets(structs, rows, around)
        lone = around.names.remainder if self.frame.value else None
        sensors: Iterable[Any] = repeat(around.names.sensor or lone)
        if self.frame.sensor:
            sensors = map(self._get[self.frame.sensor.key], structs)
        book = Codebook[tuple[Any, Any]]()
        codes = book.codes(zip(assets, sensors, strict=False), len(structs))
        pairs = book.coded()
        good = [
            asset is not None
            and asset != ""
            and sensor != ""
            and (sensor is not None or self.frame.value is None)
            for asset, sensor in pairs
        ]
        return Coded(codes, pairs), np.array(good, np.bool_)[codes]

    def _assets(self, structs: Structs, rows: Rows, around: Surroundings) -> Iterable[Any]:
        if self.frame.asset:
            return map(self._get[self.frame.asset.key], structs)
        if around.names.asset:
            return repeat(around.names.asset)
        return map(key_asset, map(around.batch.key.__getitem__, rows.tolist()))

    def _times(self, structs: Structs, rows: Rows, around: Surroundings) -> Times:
        part = self.frame.time
        if part is None:
            return Times(around.kafka_time[rows], np.ones(len(rows), np.bool_))
        column = self._column(part.key, structs)
        if part.kind is Kind.TEXT:
            return iso_times(column, naive_is_utc=around.rules.naive_is_utc)
        return integer_times(column) if part.kind is Kind.INTEGER else float_times(column)

    def _labels(self, part: Part | None, structs: Structs) -> Coded[str]:
        if part is None:
            return Coded.constant(None, len(structs))
        book = Codebook[Any]()
        codes = book.codes(map(self._get[part.key], structs), len(structs))
        return Coded(codes, tuple(map(str, book.coded())))

    def _cells(self, structs: Structs) -> "_Cells":
        shape = len(self._columns), len(structs)
        value = np.full(shape, np.nan)
        present, null, doubtful = (np.zeros(shape, np.bool_) for _ in range(3))
        texts: dict[int, list[str | None]] = {}
        for place, (key, kind) in enumerate(self._columns):
            column = self._column(key, structs)
            if kind is Kind.NUMBER:
                value[place] = column
                size = np.abs(value[place])
                present[place] = size != _MISSING
                null[place] = np.isnan(size)
                doubtful[place] = (size >= EXACT_INTEGERS) & present[place]
            else:
                present[place] = [item is not _ABSENT for item in column]
                null[place] = [item is None for item in column]
                texts[place] = column
        return _Cells(value, texts, present, null, doubtful)

    def _series(self, pairs: Coded[tuple[Any, Any]], message: Rows, column: Rows) -> Coded[Series]:
        width = len(self._columns)
        names = [None if part is self.frame.value else part.key for part in self._columns]
        cells = pairs.codes[message] * np.int64(width) + column
        known = np.full(len(pairs.values) * width, -1, np.int32)
        book = Codebook[Series]()
        for cell in np.flatnonzero(np.bincount(cells, minlength=len(known))).tolist():
            asset, sensor = pairs.values[cell // width]
            known[cell] = book[Series(str(asset), _joined(sensor, names[cell % width]))]
        return Coded(known[cells], book.coded())


class _Cells(NamedTuple):
    """Columns by messages. `doubtful` numbers may have lost digits; `texts` are kept by column."""

    value: NDArray[np.float64]
    texts: dict[int, list[str | None]]
    present: Mask
    null: Mask
    doubtful: Mask


_OPTIONAL_TEXT = (str | None, _ABSENT)


def _required(frame: Frame) -> Iterable[tuple[Part, Any]]:
    for part in (frame.asset, frame.sensor, frame.time):
        if part:
            yield part, _STRICT_TYPES[part.kind]
    for part in (frame.unit, frame.quality):
        if part:
            yield part, _TYPES[part.kind]
    if frame.value:
        yield frame.value, str if frame.value.kind is Kind.TEXT else _TYPES[Kind.NUMBER]


def _joined(sensor: Any, name: str | None) -> str:  # noqa: ANN401 - a name, or an integer in its place
    if name is None:
        return str(sensor)
    return name if sensor is None else f"{sensor}.{name}"


def _judged(quality: Coded[str], null: Mask) -> Coded[str]:
    """Qualities as received, and bad where there is no value."""
    if not null.any():
        return quality.compact()
    values = quality.values if BAD in quality.values else (*quality.values, BAD)
    return Coded(np.where(null, np.int32(values.index(BAD)), quality.codes), values).compact()


def _text(texts: dict[int, list[str | None]], column: Rows, message: Rows) -> "pa.StringArray | None":
    if not texts:
        return None
    found = [
        texts[place][row] if place in texts else None
        for place, row in zip(column.tolist(), message.tolist(), strict=True)
    ]
    array = pa.array(found, pa.string())
    return array if array.null_count < len(array) else None
