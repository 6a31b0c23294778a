"""Fewer readings for a picture that looks the same, by M4.

M4 keeps of each stretch of time the first, last, least and greatest reading (Jugel et al., M4: a
visualization-oriented time series data aggregation, 2014). Every row that is left is a real reading, and the
extremes of the whole are among them. Readings without a number are kept where something changes: texts that differ
from the one before, the first and last of a run of nulls.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tsdownsample import M4Downsampler

from sensor_storage.query.question import Interval

METHOD: Final = "M4"
LEAST_POINTS: Final = 8
"""M4 needs two stretches of four."""

_M4: Any = M4Downsampler()  # type: ignore[no-untyped-call]
_AT_ONCE = 400_000
_PER_STRETCH = 4


class Thinning:
    """Thins each sensor's readings of an interval to about so many rows; remembers whether it left any out."""

    def __init__(self, interval: Interval, points: int) -> None:
        self._interval = interval
        self._points = points
        self.left_out = 0

    def thinned(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """About so many rows of one sensor's readings, given in order of time; all of them if they are no more.

        So many readings as fit into memory are thinned at once, each lot to its share of the interval.
        """
        held: list[pa.Table] = []
        lots = 0
        for table in tables:
            held.append(table)
            if sum(map(len, held)) >= _AT_ONCE:
                yield self._lot(held, alone=False)
                held, lots = [], lots + 1
        if held:
            yield self._lot(held, alone=not lots)

    def _lot(self, tables: list[pa.Table], *, alone: bool) -> pa.Table:
        whole = pa.concat_tables(tables)
        few = _thinned(whole, self._interval, self._points, alone=alone)
        self.left_out += len(whole) - len(few)
        return few


def _thinned(table: pa.Table, interval: Interval, points: int, *, alone: bool) -> pa.Table:
    if alone and table.num_rows <= points:
        return table
    time = _column(table["timestamp"].cast(pa.int64()))
    share = 1.0
    if not alone:
        share = (int(time[-1]) - int(time[0])) / max(1, interval.end - interval.start)
    wanted = max(LEAST_POINTS, int(points * min(1.0, share)) // _PER_STRETCH * _PER_STRETCH)
    value = _column(table["value"])
    numbers = np.flatnonzero(np.isfinite(value))
    kept: NDArray[np.int64] = np.union1d(
        numbers[extremes(time[numbers], value[numbers], wanted)], _changes(table, wanted)
    )
    return table.take(kept)


def extremes(time: NDArray[np.int64], value: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """The places of at most so many numbers, a multiple of four of at least eight, chosen by M4."""
    if len(time) <= points:
        return np.arange(len(time))
    at = () if time[0] == time[-1] else (time,)
    chosen = _M4.downsample(*at, value, n_out=points)
    return np.unique(chosen.astype(np.int64))


def _changes(table: pa.Table, points: int) -> NDArray[np.int64]:
    """Places of readings without a number: texts where they change, nulls where a run begins and ends."""
    value = _column(table["value"])
    rows = np.flatnonzero(~np.isfinite(value))
    if not len(rows):
        return rows
    coded: Any = table["text"].combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)[rows]
    apart = (np.diff(codes) != 0) | (np.diff(rows) > 1)
    begins, ends = np.append(True, apart), np.append(apart, True)
    kept = rows[begins | ends & (codes < 0)]
    step = -(-len(kept) // points)
    few: NDArray[np.int64] = kept[::step]
    return few


def _column(column: Any) -> Any:  # noqa: ANN401 - a chunked array of numbers
    return column.to_numpy()
