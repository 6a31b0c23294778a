"""Columns of times, read at once: exactly what `read_timestamp` gives for each, or not marked as read."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.timestamps import (
    MICROS_BELOW,
    MICROSECONDS,
    MILLIS_BELOW,
    SECONDS_BELOW,
)

Micros: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Digits: TypeAlias = NDArray[np.uint8]

INTEGER_LIMIT = 2**62
"""Integers up to here, either way, may be given to `integer_times`."""
_SECONDS_LENGTH = len("2024-01-01T00:00:00")
_OFFSET_LENGTH = len("+00:00")
_MAX_FRACTION = 9
_SEPARATORS = ((4, "-"), (7, "-"), (13, ":"), (16, ":"))
_DIGIT_PLACES = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0], np.int64)
_NINE = 9


class Times(NamedTuple):
    """Times in µs, and for which rows they were read; the others' are meaningless."""

    micros: Micros
    read: Mask


def integer_times(numbers: list[int]) -> Times:
    """Epoch integers by their magnitude."""
    given = np.array(numbers, np.int64)
    size = np.abs(given)
    micros = np.where(size < MICROS_BELOW, given, given // 1000)
    np.multiply(given, 1000, out=micros, where=size < MILLIS_BELOW)
    np.multiply(given, MICROSECONDS, out=micros, where=size < SECONDS_BELOW)
    return Times(micros, np.ones(len(numbers), np.bool_))


def float_times(numbers: list[float]) -> Times:
    """Epoch fractions by their magnitude; nanoseconds, which a float does not hold, are not read."""
    given = np.array(numbers, np.float64)
    size = np.abs(given)
    scale = np.where(size < SECONDS_BELOW, float(MICROSECONDS), np.where(size < MILLIS_BELOW, 1000.0, 1.0))
    read = size < 2.0**53
    return Times(np.rint(np.where(read, given, 0.0) * scale).astype(np.int64), read)


def iso_times(texts: list[str], *, naive_is_utc: bool) -> Times:
    """ISO 8601 in its common layouts: seconds, up to nine digits of a fraction, `Z`, an offset or none."""
    micros, read = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    try:
        joined = np.frombuffer("".join(texts).encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        return Times(micros, read)
    lengths = set(map(len, texts))
    if len(lengths) == 1:
        width = lengths.pop()
        if width >= _SECONDS_LENGTH:
            return _of_width(joined.reshape(len(texts), width), naive_is_utc=naive_is_utc)
        return Times(micros, read)
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.cumsum(sizes) - sizes
    for width in lengths:
        if _SECONDS_LENGTH <= width <= _SECONDS_LENGTH + 1 + _MAX_FRACTION + _OFFSET_LENGTH:
            rows = np.flatnonzero(sizes == width)
            letters = joined[starts[rows][:, None] + np.arange(width)]
            micros[rows], read[rows] = _of_width(letters, naive_is_utc=naive_is_utc)
    return Times(micros, read)


def _of_width(letters: Digits, *, naive_is_utc: bool) -> Times:
    """Times of equally long texts, one a row of letters."""
    columns = np.ascontiguousarray(letters.T)
    micros, read = np.zeros(len(letters), np.int64), np.zeros(len(letters), np.bool_)
    base: Times | None = None
    for fraction, suffix in _layouts(len(columns), naive_is_utc=naive_is_utc):
        base = base or _date_and_clock(columns)
        ahead, fits = _suffix(columns, suffix)
        below, digits = _fraction(columns, fraction)
        fits = fits & base.read & digits & ~read
        micros = np.where(fits, base.micros + below - ahead, micros)
        read |= fits
        if read.all():
            break
    return Times(micros, read)


def _layouts(width: int, *, naive_is_utc: bool) -> Iterator[tuple[int, int]]:
    """Which digits of a fraction and letters of an offset make up a width."""
    for suffix in (1, _OFFSET_LENGTH, 0) if naive_is_utc else (1, _OFFSET_LENGTH):
        fraction = width - _SECONDS_LENGTH - suffix - 1
        if fraction == -1 or 1 <= fraction <= _MAX_FRACTION:
            yield max(fraction, 0), suffix


def _date_and_clock(columns: Digits) -> Times:
    digits = columns[:_SECONDS_LENGTH] - np.uint8(ord("0"))
    read: Mask = (columns[10] == ord("T")) | (columns[10] == ord(" "))
    for place, separator in _SEPARATORS:
        read &= columns[place] == ord(separator)
    read &= digits[_DIGIT_PLACES, :].max(axis=0) <= _NINE
    wide = np.where(read, digits, 0).astype(np.int64)
    year = wide[0] * 1000 + wide[1] * 100 + wide[2] * 10 + wide[3]
    month, day = wide[5] * 10 + wide[6], wide[8] * 10 + wide[9]
    hour, minute, second = wide[11] * 10 + wide[12], wide[14] * 10 + wide[15], wide[17] * 10 + wide[18]
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))  # noqa: PLR2004 - Gregory
    read &= (year > 0) & (day > 0) & (day <= _DAYS[np.minimum(month, 13)] + leap)
    read &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004 - a day
    seconds = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return Times(seconds * MICROSECONDS, read)


def _days(year: Micros, month: Micros, day: Micros) -> Micros:
    """Days since 1970-01-01 in the Gregorian calendar, by years that begin in March."""
    early = month < 3  # noqa: PLR2004 - January and February belong to the year before
    year = year - early
    month = np.where(early, month + 9, month - 3)
    days: Micros = year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day
    return days - 719_469


def _fraction(columns: Digits, count: int) -> Times:
    if not count:
        return Times(np.zeros(columns.shape[1], np.int64), np.ones(columns.shape[1], np.bool_))
    point = columns[_SECONDS_LENGTH]
    digits = columns[_SECONDS_LENGTH + 1 : _SECONDS_LENGTH + 1 + count] - np.uint8(ord("0"))
    read = ((point == ord(".")) | (point == ord(","))) & (digits.max(axis=0) <= _NINE)
    micros = np.zeros(columns.shape[1], np.int64)
    for place, column in enumerate(digits[:6]):
        micros += column.astype(np.int64) * 10 ** (5 - place)
    return Times(micros, read)


def _suffix(columns: Digits, length: int) -> Times:
    """How far local time is ahead of UTC."""
    rows = columns.shape[1]
    if not length:
        return Times(np.zeros(rows, np.int64), np.ones(rows, np.bool_))
    if length == 1:
        return Times(np.zeros(rows, np.int64), columns[-1] == ord("Z"))
    sign, colon = columns[-6], columns[-3]
    digits = columns[[-5, -4, -2, -1]] - np.uint8(ord("0"))
    read = ((sign == ord("+")) | (sign == ord("-"))) & (colon == ord(":")) & (digits.max(axis=0) <= _NINE)
    wide = digits.astype(np.int64)
    hours, minutes = wide[0] * 10 + wide[1], wide[2] * 10 + wide[3]
    read &= (hours < 24) & (minutes < 60)  # noqa: PLR2004 - a day
    ahead = (hours * 60 + minutes) * 60 * MICROSECONDS
    return Times(np.where(sign == ord("-"), -ahead, ahead), read)
