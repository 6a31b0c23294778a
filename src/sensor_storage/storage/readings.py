"""A block of readings, and the set union every merge rests on.

A reading's identity is its source (topic, topic id, partition, leader epoch), offset and index in the
message. A stored file is a set of readings; merging is union by identity: idempotent, commutative and
associative, so replays, repeated compactions and late data are all the same operation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.row_hash import row_hashes
from sensor_storage.storage.series_column import SeriesColumn, run_starts

_MAX_KEY_BITS = 63

Rows: TypeAlias = "NDArray[np.int64] | slice"


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """What a block holds from one source: its offset range (both ends included), readings and hash sum."""

    source: Source
    first_offset: int
    last_offset: int
    readings: int
    hash_sum: int


@dataclass(frozen=True, eq=False)
class Readings:
    """Equally long columns, one row a reading.

    `timestamp` is in µs since 1970-01-01 UTC; `value` is NaN where the reading has no number; `text` is
    None when no row has text; `offset` and `index` complete the identity begun by `source`.
    """

    series: SeriesColumn
    timestamp: NDArray[np.int64]
    value: NDArray[np.float64]
    text: "pa.StringArray | None"
    unit: Coded[str]
    quality: Coded[str]
    source: Coded[Source]
    offset: NDArray[np.int64]
    index: NDArray[np.int32]
    revision: NDArray[np.int16]

    def __len__(self) -> int:
        """How many readings."""
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Self:
        """No readings."""
        none = np.empty(0, np.int64)
        return cls(
            series=SeriesColumn.encode(()),
            timestamp=none,
            value=none.astype(np.float64),
            text=None,
            unit=Coded(none.astype(np.int32), ()),
            quality=Coded(none.astype(np.int32), ()),
            source=Coded(none.astype(np.int32), ()),
            offset=none,
            index=none.astype(np.int32),
            revision=none.astype(np.int16),
        )

    @classmethod
    def concat(cls, blocks: Sequence["Readings"]) -> "Readings":
        """The blocks' rows one after the other, duplicates included."""
        blocks = [block for block in blocks if len(block)]
        if len(blocks) == 1:
            return blocks[0]
        if not blocks:
            return cls.empty()
        whole = cls(
            series=SeriesColumn.concat([block.series for block in blocks]),
            timestamp=np.concatenate([block.timestamp for block in blocks]),
            value=np.concatenate([block.value for block in blocks]),
            text=_concat_text(blocks),
            unit=Coded.concat([block.unit for block in blocks]),
            quality=Coded.concat([block.quality for block in blocks]),
            source=Coded.concat([block.source for block in blocks]),
            offset=np.concatenate([block.offset for block in blocks]),
            index=np.concatenate([block.index for block in blocks]),
            revision=np.concatenate([block.revision for block in blocks]),
        )
        if all("hashes" in block.__dict__ for block in blocks):
            whole.__dict__["hashes"] = np.concatenate([block.hashes for block in blocks])
        return whole

    def take(self, rows: NDArray[np.int64]) -> "Readings":
        """The rows named by position, in that order."""
        text = self.text
        if text is not None and text.null_count < len(text):
            chosen: Any = pa.array(rows)
            text = text.take(chosen)
        return self._columns(rows, text)

    def slice(self, start: int, stop: int) -> "Readings":
        """The rows from `start` up to `stop`, without a copy."""
        text = self.text.slice(start, stop - start) if self.text is not None else None
        return self._columns(slice(start, stop), text)

    def compact(self) -> "Readings":
        """The same rows; the names they do not use are forgotten."""
        part = replace(
            self,
            series=self.series.compact(),
            unit=self.unit.compact(),
            quality=self.quality.compact(),
            source=self.source.compact(),
        )
        if "hashes" in self.__dict__:
            part.__dict__["hashes"] = self.hashes
        return part

    def where(self, mask: NDArray[np.bool_]) -> "Readings":
        """The rows for which the mask is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def sorted(self) -> "Readings":
        """In canonical order: series by name, then timestamp, then identity."""
        order = self._canonical_order()
        return self.take(order) if order is not None else self

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A stable 64-bit hash of each row's identity and content (`docs/formats.md`)."""
        return row_hashes(
            series=self.series,
            timestamp=self.timestamp,
            value=self.value,
            text=self.text,
            unit=self.unit,
            quality=self.quality,
            source=self.source,
            offset=self.offset,
            index=self.index,
        )

    @cached_property
    def hours(self) -> NDArray[np.int64]:
        """For each row the hour, counted from 1970-01-01 UTC, of its own timestamp."""
        return self.timestamp // MICROSECONDS_PER_HOUR

    def totals(self) -> list[SourceTotals]:
        """Offset range, readings and hash sum (mod 2^64) by source, in the sources' order."""
        source = self.source.compact()
        count = len(source.values)
        first = np.full(count, np.iinfo(np.int64).max)
        last = np.full(count, np.iinfo(np.int64).min)
        sums = np.zeros(count, np.uint64)
        if count == 1:
            first[0], last[0] = self.offset.min(), self.offset.max()
            sums[0] = self.hashes.sum(dtype=np.uint64)
        else:
            np.minimum.at(first, source.codes, self.offset)
            np.maximum.at(last, source.codes, self.offset)
            np.add.at(sums, source.codes, self.hashes)
        rows = np.bincount(source.codes, minlength=count)
        totals = [
            SourceTotals(name, int(first[i]), int(last[i]), int(rows[i]), int(sums[i]))
            for i, name in enumerate(source.values)
        ]
        return sorted(totals, key=lambda item: item.source)

    def sensor_hours(self) -> Iterator[tuple[SensorHour, "Readings"]]:
        """The block cut by series and hour. The block must be in canonical order."""
        _ = self.hashes  # once for the block, then shared by its parts
        for start, stop in self.sensor_hour_bounds():
            key = SensorHour(self.series[start], int(self.hours[start]))
            yield key, _of_series(self.slice(start, stop), key.series)

    def sensor_hour_bounds(self) -> list[tuple[int, int]]:
        """Where each run of rows of one series and hour starts and stops."""
        if not len(self):
            return []
        starts = run_starts(self.series.pairs(), self.hours)
        return list(pairwise([*starts.tolist(), len(self)]))

    def _columns(self, rows: Rows, text: "pa.StringArray | None") -> "Readings":
        part = Readings(
            series=self.series.take(rows),
            timestamp=self.timestamp[rows],
            value=self.value[rows],
            text=text if text is not None and text.null_count < len(text) else None,
            unit=self.unit.take(rows),
            quality=self.quality.take(rows),
            source=self.source.take(rows),
            offset=self.offset[rows],
            index=self.index[rows],
            revision=self.revision[rows],
        )
        if "hashes" in self.__dict__:
            part.__dict__["hashes"] = self.hashes[rows]
        return part

    def _canonical_order(self) -> NDArray[np.int64] | None:
        """Positions that sort the block, or None when it is sorted already."""
        if len(self) <= 1:
            return None
        key = _packed_key(self.series.ranks(), self.timestamp)
        steps = np.diff(key)
        if (steps > 0).all():
            return None
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        tied = np.flatnonzero(ordered[1:] == ordered[:-1])
        if not len(tied):
            return order
        among = np.union1d(tied, tied + 1)
        rows = order[among]
        sources = self.source.take(rows).ranks()
        keys = (self.index[rows], self.offset[rows], sources, ordered[among])
        arranged = rows[np.lexsort(keys)]
        if _same_identity(self, arranged).any():  # doubtful addresses: only the content tells them apart
            arranged = rows[np.lexsort((self.take(rows).hashes, *keys))]
        order[among] = arranged
        return order


def union(blocks: Sequence[Readings]) -> Readings:
    """The set union by identity, in canonical order. Each block must itself be a set.

    Of rows with one identity the higher decode revision stays, then the larger row hash. Where the broker
    gives no topic id or leader epoch, an address does not prove identity: rows of one address with unequal
    content all stay (`conflicts` counts them).
    """
    blocks = [block for block in blocks if len(block)]
    whole = Readings.concat(blocks)
    if overlap([_offset_ranges(block) for block in blocks]):
        whole = _drop_duplicates(whole)
    return whole.sorted()


def _of_series(rows: Readings, series: Series) -> Readings:
    """The rows, all of one series, spelled so that no other's name is carried along."""
    part = replace(rows, series=SeriesColumn.constant(series, len(rows)))
    part.__dict__["hashes"] = rows.hashes
    return part


def conflicts(readings: Readings) -> int:
    """How many rows share their address with another row of unequal content."""
    doubtful = _doubtful(readings)
    if not doubtful.any():
        return 0
    rows = readings.where(doubtful)
    order = np.lexsort((rows.index, rows.offset, rows.source.codes))
    same = _same_identity(rows, order)
    return int(np.count_nonzero(same))


def _drop_duplicates(whole: Readings) -> Readings:
    hashes, revision, doubtful = whole.hashes, whole.revision.astype(np.uint64), _doubtful(whole)
    first = np.where(doubtful, hashes, revision)
    second = np.where(doubtful, revision, hashes)
    order = np.lexsort((second, first, whole.index, whole.offset, whole.source.codes))
    superseded = _same_identity(whole, order)
    ordered_hashes = hashes[order]
    superseded &= ~doubtful[order][:-1] | (ordered_hashes[1:] == ordered_hashes[:-1])
    keep = np.append(~superseded, True)
    return whole.take(np.sort(order[keep]))


def _same_identity(rows: Readings, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each row in order but the last: does the next one have its identity?"""
    offset, index, source = rows.offset[order], rows.index[order], rows.source.codes[order]
    same: NDArray[np.bool_] = (
        (offset[1:] == offset[:-1]) & (index[1:] == index[:-1]) & (source[1:] == source[:-1])
    )
    return same


def _doubtful(rows: Readings) -> NDArray[np.bool_]:
    table = np.array([not s.topic_id or s.leader_epoch < 0 for s in rows.source.values], np.bool_)
    return rows.source.lookup(table, np.bool_(False))


def overlap(parts: Iterable[Iterable[tuple[Source, int, int]]]) -> bool:
    """Do the parts' offset ranges (source, first, last) overlap? If not, no identity is in two of them."""
    ranges: dict[Source, list[tuple[int, int]]] = {}
    for part in parts:
        for source, first, last in part:
            ranges.setdefault(source, []).append((first, last))
    for spans in ranges.values():
        spans.sort()
        if any(later[0] <= earlier[1] for earlier, later in pairwise(spans)):
            return True
    return False


def _offset_ranges(block: Readings) -> list[tuple[Source, int, int]]:
    count = len(block.source.values)
    if count == 1:
        return [(block.source.values[0], int(block.offset.min()), int(block.offset.max()))]
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, -1)
    np.minimum.at(first, block.source.codes, block.offset)
    np.maximum.at(last, block.source.codes, block.offset)
    return [
        (source, int(first[i]), int(last[i]))
        for i, source in enumerate(block.source.values)
        if first[i] <= last[i]
    ]


def _packed_key(ranks: NDArray[np.int64], timestamp: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer a row that orders by rank, then timestamp."""
    earliest = int(timestamp.min())
    bits = (int(timestamp.max()) - earliest).bit_length()
    if int(ranks.max() + 1).bit_length() + bits > _MAX_KEY_BITS:
        _, places = np.unique(timestamp, return_inverse=True)
        return _packed_key(ranks, places.astype(np.int64))
    return (ranks + 1 << bits) | (timestamp - earliest)


def _concat_text(blocks: Sequence[Readings]) -> "pa.StringArray | None":
    if all(block.text is None for block in blocks):
        return None
    return pa.concat_arrays(
        [pa.nulls(len(block), pa.string()) if block.text is None else block.text for block in blocks]
    )
