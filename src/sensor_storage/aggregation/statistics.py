"""What a window's readings say: the values that `summarise` makes from readings and `join` from finer windows.

Only good numeric readings of the window's newest unit enter the numbers. A null reading (no value) counts as
null, another reading of bad quality as bad, a good number in another unit as `other_unit`, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor_storage.aggregation.exact import ExactSums
from sensor_storage.storage.series_column import run_starts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Objects = NDArray[Any]

MICROSECONDS: Final = 1_000_000
_LEAST_BITS = -1000
"""Numbers are scaled by powers of two before they are squared, but by no more than this."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """One row a window that has readings, in order of part and start.

    `count` good numbers in `unit`; where it is 0 the numbers are NaN. `low` and `tails` (by row) complete `total`
    to the exact sum. `integral` (value × seconds) and `covered` (µs) are those of the step function that holds
    each reading until the next, the window's end or the carry limit, from the window's own first reading on.
    `changes` counts texts that differ from the good text before them in the window.
    """

    part: Ints
    start: Ints
    count: Ints
    bad: Ints
    null: Ints
    other_unit: Ints
    unit: Objects
    least: Floats
    most: Floats
    total: Floats
    low: Floats
    deviation: Floats
    first: Floats
    first_timestamp: Ints
    last: Floats
    last_timestamp: Ints
    integral: Floats
    covered: Ints
    text_count: Ints
    first_text: Objects
    last_text: Objects
    changes: Ints
    tails: dict[int, tuple[float, ...]]

    def __len__(self) -> int:
        """How many windows."""
        return len(self.start)

    @property
    def mean(self) -> Floats:
        """The exact sum, rounded, by the count; NaN where the count is 0."""
        return self.total / np.maximum(self.count, 1)

    def take(self, rows: Ints) -> "Statistics":
        """The rows named by position, in that order."""
        place = {row: new for new, row in enumerate(rows.tolist())} if self.tails else {}
        tails = {place[row]: tail for row, tail in self.tails.items() if row in place}
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return Statistics(**columns, tails=tails)

    def slice(self, start: int, stop: int) -> "Statistics":
        """The rows from `start` up to `stop`."""
        tails = {row - start: tail for row, tail in self.tails.items() if start <= row < stop}
        columns = {name: getattr(self, name)[start:stop] for name in COLUMNS}
        return Statistics(**columns, tails=tails)

    @classmethod
    def concat(cls, blocks: Sequence["Statistics"]) -> "Statistics":
        """One block's rows under the other's, their parts as they are."""
        if len(blocks) == 1:
            return blocks[0]
        columns = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in COLUMNS}
        tails: dict[int, tuple[float, ...]] = {}
        above = 0
        for block in blocks:
            tails |= {row + above: tail for row, tail in block.tails.items()}
            above += len(block)
        return cls(**columns, tails=tails)


COLUMNS: Final = tuple(item.name for item in fields(Statistics) if item.name != "tails")


def of_part(found: Statistics, part: int) -> Statistics:
    """The windows of one part, as if it were the only one."""
    start, stop = np.searchsorted(found.part, [part, part + 1])
    mine = found.slice(int(start), int(stop))
    return replace(mine, part=np.zeros(len(mine), np.int64))


def blank(part: Ints, start: Ints) -> Statistics:
    """Windows in which nothing is counted yet."""
    columns: dict[str, NDArray[Any]] = {}
    for item in fields(Statistics):
        if item.type is Floats:
            columns[item.name] = np.full(len(start), np.nan)
        elif item.type is Objects:
            columns[item.name] = np.full(len(start), None, object)
        elif item.type is Ints:
            columns[item.name] = np.zeros(len(start), np.int64)
    return Statistics(**columns | {"part": part, "start": start}, tails={})


def groups_of(part: Ints, start: Ints) -> Ints:
    """Where each run of one part and window begins."""
    return run_starts(part, start)


def inside(rows: Ints, groups: Ints) -> tuple[Ints, Ints]:
    """Of groups of rows the ones that hold any of the named rows, and where in `rows` each of them begins."""
    runs = np.searchsorted(rows, groups)
    held = runs < np.append(runs[1:], len(rows))
    return np.flatnonzero(held), runs[held]


def put_sums(whole: Statistics, numbers: Ints, sums: ExactSums) -> None:
    """Set the sums of the windows named by number."""
    whole.total[numbers], whole.low[numbers] = sums.total, sums.low
    whole.tails.update({int(numbers[run]): tail for run, tail in sums.tails.items()})


def scale_of(found: Statistics, numbers: Ints) -> NDArray[np.int32]:
    """The exponents that bring each window's largest number to at most 1."""
    largest = np.maximum(np.abs(found.least[numbers]), np.abs(found.most[numbers]))
    exponents: NDArray[np.int32] = np.maximum(np.frexp(largest)[1], _LEAST_BITS)
    return -exponents


def deviation_of(squares: Floats, apart: Floats, counts: Ints, scale: NDArray[np.int32]) -> Floats:
    """The root of the mean square, from the sums of squares and of distances, scaled back."""
    variance = np.maximum(squares - apart * apart / counts, 0) / counts
    root: Floats = np.ldexp(np.sqrt(variance), -scale)
    return root
