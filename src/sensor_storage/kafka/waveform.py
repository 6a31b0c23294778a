"""A waveform: samples at a fixed rate from a start on, computed at once and to the microsecond.

Sample i is at start + i / rate. The rate is the decimal number the sender wrote (of a float the shortest that
spells it), the time an exact fraction of it, rounded to the nearest µs, halves up: no error adds up.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.json_tree import EXACT_INTEGERS, as_value
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.timestamps import MICROSECONDS

MAX_SAMPLES = 1_000_000
"""Readings of one message with waveforms."""
_WORD = 2**63
_NUMBERS = frozenset({float, int, bool, type(None)})
_HINT = "send the samples as a list of scalars, and samples a second as sample_rate_hz, a number above 0"


class Samples(NamedTuple):
    """What the entries of a list are: numbers (NaN: none), texts, and which have no value."""

    value: NDArray[np.float64]
    text: list[str | None] | None
    null: NDArray[np.bool_]


def read_samples(items: Sequence[Any]) -> Samples:
    """The samples of a list; Refused where an entry is an object or an array."""
    kinds = set(map(type, items))
    if kinds <= _NUMBERS:
        try:
            value = np.array(items, np.float64)
        except OverflowError:
            return _one_by_one(items)
        if int in kinds and (np.abs(value) >= EXACT_INTEGERS).any():
            return _one_by_one(items)
        return _numbers(value)
    if dict in kinds or list in kinds:
        raise Refused(Reason.BAD_WAVEFORM, "a sample is an object or an array", hint=_HINT)
    return _one_by_one(items)


def read_rate(given: object) -> Fraction:
    """Samples a second; Refused where it is no number above 0."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        missing = "has no sample_rate_hz" if given is None else "has a sample_rate_hz that is no number"
        raise Refused(Reason.BAD_WAVEFORM, f"the list under values {missing}", hint=_HINT)
    try:
        rate = Fraction(repr(float(given))) if isinstance(given, float) else Fraction(given)
    except ValueError:  # NaN, infinities
        rate = Fraction(0)
    if rate <= 0:
        raise Refused(Reason.BAD_WAVEFORM, "the sample_rate_hz is not a number above 0", hint=_HINT)
    return rate


def sample_time(start: int, rate: Fraction, place: int) -> int:
    """The time of one sample in µs."""
    return start + (2 * place * MICROSECONDS * rate.denominator + rate.numerator) // (2 * rate.numerator)


def sample_times(start: int, rate: Fraction, count: int) -> NDArray[np.int64]:
    """The times of the first samples, as `sample_time` gives them; the last must be a time µs can hold."""
    period = MICROSECONDS / rate
    whole, rest = divmod(period.numerator, period.denominator)
    if 2 * count * rest + period.denominator >= _WORD or count * whole >= _WORD:
        return np.array([sample_time(start, rate, place) for place in range(count)], np.int64)
    places = np.arange(count, dtype=np.int64)
    times = places * whole + start
    if rest:
        times += (places * (2 * rest) + period.denominator) // (2 * period.denominator)
    return times


def _numbers(value: NDArray[np.float64]) -> Samples:
    null = ~np.isfinite(value)
    if null.any():
        value[null] = np.nan
    return Samples(value, None, null)


def _one_by_one(items: Sequence[Any]) -> Samples:
    pairs = [(np.nan, item) if isinstance(item, str) else as_value(item) for item in items]
    value = np.array([pair[0] for pair in pairs], np.float64)
    text = [pair[1] for pair in pairs]
    null = np.isnan(value) & np.array([not isinstance(item, str) for item in items], np.bool_)
    return Samples(value, text if any(item is not None for item in text) else None, null)
