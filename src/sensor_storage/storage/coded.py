"""A column of few distinct values: small integer codes and the values they stand for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
U = TypeVar("U")
S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Coded(Generic[T]):
    """`values[codes[i]]` is the value of row i; the code -1 is null. Values are distinct."""

    codes: NDArray[np.int32]
    values: tuple[T, ...]

    @classmethod
    def constant(cls, value: T | None, rows: int) -> Self:
        """The same value, or null, in every row."""
        if value is None:
            return cls(np.full(rows, -1, np.int32), ())
        return cls(np.zeros(rows, np.int32), (value,))

    @classmethod
    def encode(cls, items: Iterable[T | None]) -> Self:
        """Codes by first appearance."""
        interned: dict[T, int] = {}
        codes = [-1 if item is None else interned.setdefault(item, len(interned)) for item in items]
        return cls(np.array(codes, np.int32), tuple(interned))

    @classmethod
    def concat(cls, parts: Sequence["Coded[T]"]) -> Self:
        """One column under the other; equal values share a code again."""
        interned: dict[T, int] = {}
        columns = []
        for part in parts:
            known = [interned.setdefault(value, len(interned)) for value in part.values]
            columns.append(_translate(part.codes, known))
        return cls(np.concatenate(columns) if columns else np.empty(0, np.int32), tuple(interned))

    def take(self, rows: NDArray[np.int64] | slice) -> "Coded[T]":
        """The named rows, over the same values."""
        return Coded(self.codes[rows], self.values)

    def compact(self) -> "Coded[T]":
        """Only the values that occur."""
        if len(self.values) == 1 and len(self.codes) and not self.codes.any():
            return self
        used = np.zeros(len(self.values) + 1, np.bool_)
        used[self.codes] = True
        used[-1] = False
        if np.count_nonzero(used) == len(self.values):
            return self
        kept = np.flatnonzero(used)
        known = np.full(len(self.values) + 1, -1, np.int32)
        known[kept] = np.arange(len(kept), dtype=np.int32)
        return Coded(known[self.codes], tuple(self.values[code] for code in kept))

    def map_values(self, translate: Callable[[T], U]) -> "Coded[U]":
        """The column of translated values; values that become equal become one."""
        interned: dict[U, int] = {}
        known = [interned.setdefault(translate(value), len(interned)) for value in self.values]
        return Coded(_translate(self.codes, known), tuple(interned))

    def lookup(self, table: NDArray[S], null: S) -> NDArray[S]:
        """For each row the entry of `table` (one a value), or `null`."""
        return np.append(table, null).astype(table.dtype, copy=False)[self.codes]

    def ranks(self, key: Callable[[T], Any] | None = None) -> NDArray[np.int64]:
        """For each row the place of its value in sorted order; null comes first, as -1."""
        order = sorted(range(len(self.values)), key=lambda code: _sort_key(self.values[code], key))
        places = np.empty(len(self.values), np.int64)
        places[order] = np.arange(len(order))
        return self.lookup(places, np.int64(-1))

    def tolist(self) -> list[T | None]:
        """The value of each row."""
        table = (*self.values, None)
        return [table[code] for code in self.codes.tolist()]


def _sort_key(value: T, key: Callable[[T], Any] | None) -> Any:  # noqa: ANN401 - any ordered key
    return key(value) if key else value


def _translate(codes: NDArray[np.int32], known: list[int]) -> NDArray[np.int32]:
    if known == list(range(len(known))):
        return codes
    return np.array([*known, -1], np.int32)[codes]
