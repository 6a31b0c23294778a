"""Columns of names as codes, made at the speed of a dictionary look-up."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)


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
