"""The reading before a window, and what a window's time-weighted mean is with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.aggregation.statistics import MICROSECONDS, Statistics
from sensor_storage.aggregation.windows import Level, window_ends


class Carry(NamedTuple):
    """A good numeric reading that holds until another comes, up to a limit; `timestamp` in µs since 1970."""

    timestamp: int
    value: float
    unit: str | None

    def reaches(self, instant: int, limit: int) -> bool:
        """Does it hold at that instant, if none comes in between?"""
        return self.timestamp < instant < self.timestamp + limit


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """By window: the time-weighted mean (NaN where nothing is covered) and for how many µs it is known."""

    mean: NDArray[np.float64]
    covered: NDArray[np.int64]


def time_weighted(
    found: Statistics,
    level: Level,
    carry_in: Sequence[Carry | None],
    *,
    limit: int,
    edges: NDArray[np.int64] | None = None,
) -> Held:
    """Complete the windows of each part by what is held when they begin.

    `carry_in` is by part the last good number before its first window. Within a part the windows must be of all
    the readings there are. A reading of another unit than the window's is not held in it; a window without good
    numbers takes whatever is held.
    """
    carry = _held_before(found, carry_in)
    until = np.where(found.count > 0, found.first_timestamp, window_ends(found.start, level, edges))
    same = (found.count == 0) | (carry.unit == found.unit).astype(np.bool_)
    head = np.clip(np.minimum(until, carry.timestamp + limit) - found.start, 0, None)
    head = np.where(carry.there & same, head, 0)
    inner = np.where(found.count > 0, found.covered, 0)
    covered = head + inner
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        held = np.where(head > 0, carry.value * head / MICROSECONDS, 0.0)
        mean = (np.where(inner > 0, found.integral, 0.0) + held) / (covered / MICROSECONDS)
    value = np.where(head > 0, carry.value, np.nan)
    mean = np.clip(
        mean, np.fmin(value, found.least), np.fmax(value, found.most)
    )  # rounding may pass the ends
    return Held(mean, covered)


def carry_out(found: Statistics) -> Carry | None:
    """The last good number of windows of one part, in order."""
    rows = np.flatnonzero(found.count > 0)
    if not len(rows):
        return None
    row = int(rows[-1])
    return Carry(int(found.last_timestamp[row]), float(found.last[row]), found.unit[row])


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    there: NDArray[np.bool_]
    timestamp: NDArray[np.int64]
    value: NDArray[np.float64]
    unit: NDArray[np.object_]


def _held_before(found: Statistics, carry_in: Sequence[Carry | None]) -> _Before:
    """For each window the last good number of the windows before it in its part, else its part's carry-in."""
    row = np.arange(len(found))
    latest = np.maximum.accumulate(np.where(found.count > 0, row, -1))
    before = np.append(-1, latest[:-1]) if len(row) else latest
    part_start = np.searchsorted(found.part, found.part)
    outside = before < part_start
    numbers = [item or Carry(0, np.nan, None) for item in carry_in]
    values, times = np.array([item.value for item in numbers]), np.array([item.timestamp for item in numbers])
    units = np.empty(len(numbers), object)
    units[:] = [item.unit for item in numbers]
    there = np.array([item is not None for item in carry_in], np.bool_)
    return _Before(
        there=~outside | there[found.part],
        timestamp=np.where(outside, times[found.part], found.last_timestamp[before]),
        value=np.where(outside, values[found.part], found.last[before]),
        unit=np.where(outside, units[found.part], found.unit[before]),
    )
