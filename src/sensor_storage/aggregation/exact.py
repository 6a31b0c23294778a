"""Sums without error, many at once: each is rounded once, so it depends on no order and no grouping.

The way is the error-free extraction of Rump, Ogita and Oishi (Accurate floating-point summation, 2008): adding
and subtracting a large power of two cuts off the leading bits of every number, and numbers of so few bits
add up exactly. Two extractions take 94 bits of windows of sixty numbers; what still has bits after them is
summed one by one.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MANTISSA_BITS = 53


@dataclass(frozen=True, slots=True, eq=False)
class ExactSums:
    """Sums as unevaluated expansions: `total` is the exact sum rounded once, as by `math.fsum`.

    `low` is what rounding left of it, again rounded once; `tails` has what then is left, where anything is.
    A sum beyond the range of a double is NaN.
    """

    total: Floats
    low: Floats
    tails: dict[int, tuple[float, ...]] = field(default_factory=dict)


def exact_sums(numbers: Floats, starts: NDArray[np.int64]) -> ExactSums:
    """The sum of each run of `numbers`; `starts` are where the runs begin, none is empty."""
    if not len(starts):
        return ExactSums(np.empty(0), np.empty(0))
    counts = np.diff(starts, append=len(numbers))
    bits = np.frexp(np.maximum.reduceat(np.abs(numbers), starts))[1]
    room = np.frexp((counts + 2).astype(np.float64))[1]
    with np.errstate(over="ignore", invalid="ignore"):
        cut = np.ldexp(1.0, bits + room)
        high, rest = _extracted(numbers, cut, starts, counts)
        finer, rest = _extracted(rest, np.ldexp(1.0, bits + 2 * room - _MANTISSA_BITS), starts, counts)
        total, low = _two_sum(high, finer)
    tails = {}
    left = np.logical_or.reduceat(rest != 0, starts) | ~np.isfinite(total)
    for run in np.flatnonzero(left).tolist():
        start = int(starts[run])
        total[run], low[run], *tail = expansion(numbers[start : start + int(counts[run])].tolist())
        if tail:
            tails[run] = tuple(tail)
    return ExactSums(total + 0.0, low + 0.0, tails)


def expansion(numbers: list[float]) -> list[float]:
    """The sum as doubles, at least two, each of which is what is left of the exact sum, rounded once."""
    left, parts = list(numbers), list[float]()
    try:
        while part := math.fsum(left):
            if not math.isfinite(part):
                return [math.nan, math.nan]
            parts.append(part)
            left.append(-part)
    except (OverflowError, ValueError):  # beyond the range on the way; infinities of both signs
        return [math.nan, math.nan]
    return [*parts, 0.0, 0.0][: max(2, len(parts))]


def _extracted(
    numbers: Floats, cut: Floats, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """The exact sum of the numbers' leading bits by run, and for each number what is left of it."""
    spread = np.repeat(cut, counts)
    leading = (spread + numbers) - spread
    sums: Floats = np.add.reduceat(leading, starts)
    return sums, numbers - leading


def _two_sum(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The rounded sums and their exact errors (Knuth)."""
    total = one + other
    virtual = total - one
    return total, (one - (total - virtual)) + (other - virtual)


def two_product(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The rounded products and their exact errors (Dekker), for numbers far from the ends of the range."""
    product = one * other
    one_high, one_low = _halves(one)
    other_high, other_low = _halves(other)
    error = (
        (one_high * other_high - product) + one_high * other_low + one_low * other_high
    ) + one_low * other_low
    return product, error


def _halves(numbers: Floats) -> tuple[Floats, Floats]:
    high = numbers * 134_217_729.0  # 2^27 + 1
    high = high - (high - numbers)
    return high, numbers - high
