"""A sensor-hour of any size, merged in bounded memory.

A stretch is the part of one file that holds one sensor-hour: consecutive rows in canonical order. Stretches whose
addresses do not overlap are merged slice by slice of time (`merge_stretches`). Where addresses overlap, two rows
of one identity may lie far apart in time, so first each span of offsets is made a set of its own, in a scratch
file (`apart`); these sets are stretches again, and no identity is in two of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.block_writer import BlockWriter
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.parquet import CheckedFile, RowGroup
from sensor_storage.storage.readings import Readings, overlap, union

SCRATCH_GROUP_ROWS = 1 << 13
"""Small, for one group of each span may be in memory when they are merged; but each takes 14 KB as metadata."""

_BINS = 1 << 16
_END_OF_TIME = int(np.iinfo(np.int64).max)


class Stretch:
    """Rows `start` up to `stop` of an open file, read forward, a row group at a time."""

    def __init__(self, file: CheckedFile, start: int, stop: int) -> None:
        self.file = file
        self._start = start
        self._stop = stop
        self.groups = [group for group in file.groups() if group.start < stop and group.stop > start]
        self._next = 0
        self._pending = Readings.empty()

    def ends(self) -> list[tuple[int, int]]:
        """Each row group's last timestamp, or a later one, and how many of the stretch's rows it holds."""
        return [
            (group.last_timestamp, min(group.stop, self._stop) - max(group.start, self._start))
            for group in self.groups
        ]

    def read(self, group: RowGroup) -> Readings:
        """The stretch's rows in that group."""
        return self.file.rows(max(group.start, self._start), min(group.stop, self._stop))

    def before(self, cut: int) -> Readings:
        """The rows with a timestamp below the cut that have not been given yet."""
        parts = [self._pending]
        while self._next < len(self.groups) and self.groups[self._next].first_timestamp < cut:
            parts.append(self.read(self.groups[self._next]))
            self._next += 1
        rows = Readings.concat(parts)
        place = int(np.searchsorted(rows.timestamp, cut))
        self._pending = rows.slice(place, len(rows))
        return rows.slice(0, place)


def plan_cuts(ends: Sequence[tuple[int, int]], max_rows: int) -> list[int]:
    """Timestamps that cut row groups, given by their last timestamp and rows, into slices of about so many rows.

    Rows of one timestamp stay together, whatever their number.
    """
    cuts: list[int] = []
    held = 0
    for last, rows in sorted(ends):
        held += rows if not cuts or last >= cuts[-1] else 0
        if held >= max_rows:
            cuts.append(last + 1)
            held = 0
    return [*cuts, _END_OF_TIME]


def merge_stretches(stretches: Sequence[Stretch], max_rows: int) -> Iterator[Readings]:
    """The rows in canonical order, about `max_rows` at a time; no identity may be in two stretches."""
    for cut in plan_cuts([end for stretch in stretches for end in stretch.ends()], max_rows):
        rows = union([stretch.before(cut) for stretch in stretches])
        if len(rows):
            yield rows


@contextmanager
def apart(
    stretches: Sequence[Stretch], disk: Disk, max_rows: int, alive: Alive = nothing
) -> Iterator[list[Stretch]]:
    """Stretches that together are the union of these, and of which no two share an identity."""
    if not may_overlap(stretches):
        yield list(stretches)
        return
    with disk.scratch() as path:
        bounds = _write_sets(path, stretches, max_rows, alive)
        file = CheckedFile(path)
        yield [Stretch(file, start, stop) for start, stop in bounds]


def may_overlap(stretches: Sequence[Stretch]) -> bool:
    """May an identity be in two of the stretches, by what their files say of their offsets?"""
    totals = [stretch.file.footer().totals for stretch in stretches]
    return overlap([[(one.source, one.first_offset, one.last_offset) for one in each] for each in totals])


def _write_sets(
    path: Path, stretches: Sequence[Stretch], max_rows: int, alive: Alive
) -> list[tuple[int, int]]:
    """The union of each span of offsets, one after the other; where each starts and stops."""
    bounds = [0]
    with BlockWriter(path, "run", "lz4", group_rows=SCRATCH_GROUP_ROWS) as writer:
        for rows in sets_by_offset(stretches, max_rows):
            writer.write(rows)
            bounds.append(writer.rows)
            alive()
        writer.finish()
    return [*pairwise(bounds)]


def sets_by_offset(stretches: Sequence[Stretch], max_rows: int) -> Iterator[Readings]:
    """The union of the stretches as one set after the other, about `max_rows` rows in each.

    Each is of a span of offsets, so no identity is in two of them.
    """
    for first, last in pairwise(_offset_cuts(stretches, max_rows)):
        parts = []
        for stretch in stretches:
            for group in stretch.groups:
                if group.first_offset < last and group.last_offset >= first:
                    rows = stretch.read(group)
                    parts.append(rows.where((rows.offset >= first) & (rows.offset < last)))
        yield union(parts)


def _offset_cuts(stretches: Sequence[Stretch], max_rows: int) -> list[int]:
    """Offsets that cut the rows into spans of about so many, from the least to one above the greatest."""
    groups = [group for stretch in stretches for group in stretch.groups]
    first = min(group.first_offset for group in groups)
    stop = max(group.last_offset for group in groups) + 1
    width = max(1, -(-(stop - first) // _BINS))
    rows = np.zeros(_BINS, np.int64)
    for stretch in stretches:
        for group in stretch.groups:
            rows += np.bincount((stretch.read(group).offset - first) // width, minlength=_BINS)
    spans = (np.cumsum(rows) - 1) // max_rows
    starts = np.flatnonzero(np.diff(spans, prepend=-1))
    return sorted({first, *(first + starts * width).tolist(), stop})
