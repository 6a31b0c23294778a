"""Columns of names as codes, made at the speed of a dictionary look-up."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sensor_storage.storage.coded import Coded

K = TypeVar("K", bound=Hashable)
BAD = "bad"
"""The quality of a reading without a value."""


class Codebook(dict[K | None, int], Generic[K]):
    """Gives each value the next code when it first appears; None has the code -1."""

    def __init__(self) -> None:
        super().__init__({None: -1})

    def __missing__(self, value: K | None) -> int:
        """The next code."""
        code = self[value] = len(self) - 1
        return code

    def codes(self, column: Iterable[K | None], rows: int) -> NDArray[np.int32]:
        """The codes of a column of that many rows."""
        return np.fromiter(map(self.__getitem__, column), np.int32, rows)

    def coded(self) -> tuple[K, ...]:
        """What the codes stand for, in their order."""
        return tuple(value for value in self if value is not None)


def filled(names: Coded[str], outer: Coded[str]) -> Coded[str]:
    """The names, and the outer ones where there is none."""
    if not outer.values or (names.codes >= 0).all():
        return names
    whole = Coded.concat([names, outer])
    count = len(names.codes)
    return Coded(np.where(names.codes < 0, whole.codes[count:], whole.codes[:count]), whole.values)


def overlaid(names: Coded[str], own: Coded[str] | None, cut: slice, record: NDArray[np.int64]) -> Coded[str]:
    """The names, with a column's own ones in its stretch of cells where it has some."""
    if own is None or not own.values:
        return names
    values = Codebook[str]()
    for value in names.values:
        values[value]
    known = np.array([*(values[value] for value in own.values), -1], np.int32)
    codes = names.codes.copy()
    said = known[own.codes[record[cut]]]
    codes[cut] = np.where(said < 0, codes[cut], said)
    return Coded(codes, values.coded())


def judged(quality: Coded[str], null: NDArray[np.bool_]) -> Coded[str]:
    """Qualities as received, and bad where there is no value."""
    if not null.any():
        return quality.compact()
    values = quality.values if BAD in quality.values else (*quality.values, BAD)
    return Coded(np.where(null, np.int32(values.index(BAD)), quality.codes), values).compact()
