"""Whose each row is: an asset beside a sensor, so that ten thousand series cost a thousand names, not tuples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Series
from sensor_storage.storage.coded import Coded

_SENSOR_BITS = 32


@dataclass(frozen=True, eq=False)
class SeriesColumn:
    """The series of row i is `asset.values[asset.codes[i]]`, `sensor.values[sensor.codes[i]]`; none is null."""

    asset: Coded[str]
    sensor: Coded[str]

    @classmethod
    def of(cls, series: Coded[Series]) -> "SeriesColumn":
        """The two columns of one of pairs."""
        return cls(series.map_values(attrgetter("asset")), series.map_values(attrgetter("sensor")))

    @classmethod
    def encode(cls, items: Iterable[Series]) -> "SeriesColumn":
        """The series one by one."""
        return cls.of(Coded.encode(items))

    @classmethod
    def constant(cls, series: Series, rows: int) -> "SeriesColumn":
        """The same series in every row."""
        codes = np.zeros(rows, np.int32)
        return cls(Coded(codes, (series.asset,)), Coded(codes, (series.sensor,)))

    @classmethod
    def concat(cls, parts: Sequence["SeriesColumn"]) -> "SeriesColumn":
        """One column under the other."""
        return cls(
            Coded.concat([part.asset for part in parts]), Coded.concat([part.sensor for part in parts])
        )

    def __len__(self) -> int:
        """How many rows."""
        return len(self.asset.codes)

    def __getitem__(self, row: int) -> Series:
        """The series of one row."""
        return Series(self.asset.values[self.asset.codes[row]], self.sensor.values[self.sensor.codes[row]])

    def is_only(self, series: Series) -> bool:
        """Is it plain without a look at the rows that each is of this series?"""
        return self.asset.values == (series.asset,) and self.sensor.values == (series.sensor,)

    def take(self, rows: NDArray[np.int64] | slice) -> "SeriesColumn":
        """The named rows."""
        return SeriesColumn(self.asset.take(rows), self.sensor.take(rows))

    def compact(self) -> "SeriesColumn":
        """Only the names that occur."""
        return SeriesColumn(self.asset.compact(), self.sensor.compact())

    def ranks(self) -> NDArray[np.int64]:
        """Integers that order as the rows' series do: by asset, then sensor."""
        return self.asset.ranks() * max(len(self.sensor.values), 1) + self.sensor.ranks()

    def pairs(self) -> NDArray[np.int64]:
        """Integers that are equal exactly where the series is."""
        return self.asset.codes.astype(np.int64) << _SENSOR_BITS | self.sensor.codes

    @cached_property
    def coded(self) -> Coded[Series]:
        """One code a series. It makes a tuple of each: for looking at few, not on the way of every row."""
        codes, heads = factorize(self.pairs())
        return Coded(codes, tuple(self[row] for row in heads.tolist()))

    @property
    def codes(self) -> NDArray[np.int32]:
        """For each row the place of its series in `values`."""
        return self.coded.codes

    @property
    def values(self) -> tuple[Series, ...]:
        """Each series that occurs, once."""
        return self.coded.values

    def tolist(self) -> list[Series]:
        """The series of each row."""
        values = self.values
        return [values[code] for code in self.codes.tolist()]


def factorize(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Codes by sorted key, and for each code a row that has it.

    Found on the first rows of runs of equal keys: stored files have long ones.
    """
    if not len(keys):
        return np.empty(0, np.int32), np.empty(0, np.int64)
    heads = run_starts(keys)
    if len(heads) == 1:
        return np.zeros(len(keys), np.int32), heads
    _, first, codes = np.unique(keys[heads], return_index=True, return_inverse=True)
    return np.repeat(codes.astype(np.int32), np.diff(heads, append=len(keys))), heads[first]


def run_starts(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows whose entries differ from those of the row before in any column; the first row always."""
    differs = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        differs |= column[1:] != column[:-1]
    starts: NDArray[np.int64] = np.flatnonzero(differs) + 1
    return np.concatenate([[0], starts]) if len(columns[0]) else starts
