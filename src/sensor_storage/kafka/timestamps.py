"""The time of a reading, from what a message says: µs since 1970-01-01 UTC.

Two ways to the same result: `read_timestamp` for one value, and `epochs`, `fractions` and `iso_times` for
columns. The columns' functions answer only for what they know; the rest is left to `read_timestamp`.

- ISO 8601, extended or basic: `T` or a space before the hour, a fraction after dot or comma (digits beyond µs
  are cut off), `Z`, `+01`, `+0100` or `+01:00`. Without an offset the time zone of the settings holds; of an
  hour that occurs twice the first is meant. A date alone is its midnight. There is no leap second.
- Epoch numbers and digit strings: below 10¹¹ seconds, below 10¹⁴ ms, below 10¹⁷ µs, below 10²⁰ ns. Integers
  are cut off to µs, fractions are rounded to the nearest µs, as their binary form is no exact decimal.
"""

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo

from sensor_storage.kafka.refusal import Reason, Refused

MICROSECONDS = 1_000_000
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
SECONDS_BELOW, MILLIS_BELOW, MICROS_BELOW, NANOS_BELOW = 10**11, 10**14, 10**17, 10**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - only its day counts
_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_BASIC_DATE = r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_BASIC_CLOCK = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_OFFSET = r" ?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_EXTENDED = re.compile(f"{_DATE}(?:[Tt ]{_CLOCK}{_OFFSET})?")
_BASIC = re.compile(f"{_BASIC_DATE}[Tt]{_BASIC_CLOCK}{_OFFSET}")
_DIGITS = re.compile(r"[+-]?[0-9]{1,40}(?P<fraction>\.[0-9]{0,40})?")
_HINT = "send ISO 8601 or an epoch number in s, ms, µs or ns"


def read_timestamp(given: object, zone: tzinfo) -> int:
    """The instant a JSON scalar stands for; Refused where it is none."""
    if isinstance(given, str):
        return _from_text(given.strip(), zone)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise Refused(Reason.BAD_TIMESTAMP, f"the time is {_kind(given)}", hint=_HINT)
    return _from_float(given) if isinstance(given, float) else _from_integer(given)


def instant_text(instant: int) -> str:
    """An instant in µs as people read it; one beyond the calendar as a number."""
    try:
        return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{instant} µs since 1970"


def _from_integer(number: int) -> int:
    size = abs(number)
    if size < SECONDS_BELOW:
        return number * MICROSECONDS
    if size < MILLIS_BELOW:
        return number * 1000
    if size < MICROS_BELOW:
        return number
    if size < NANOS_BELOW:
        return number // 1000
    raise _beyond()


def _from_float(number: float) -> int:
    if math.isnan(number):
        raise Refused(Reason.BAD_TIMESTAMP, "the time is NaN", hint=_HINT)
    size = abs(number)
    if size < SECONDS_BELOW:
        return round(number * MICROSECONDS)
    if size < MILLIS_BELOW:
        return round(number * 1000)
    if size < MICROS_BELOW:
        return round(number)
    if size < NANOS_BELOW:
        return round(number / 1000)
    raise _beyond()


def _from_text(text: str, zone: tzinfo) -> int:
    if found := _DIGITS.fullmatch(text):
        return _from_float(float(text)) if found["fraction"] else _from_integer(int(text))
    found = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    if not found:
        raise Refused(Reason.BAD_TIMESTAMP, f"the time {_quoted(text)} is unreadable", hint=_HINT)
    parts = found.groupdict()
    try:
        local = datetime(  # noqa: DTZ001 - its offset is reckoned below
            int(parts["year"]),
            int(parts["month"]),
            int(parts["day"]),
            int(parts["hour"] or 0),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
        )
        offset = _offset(parts["offset"], local, zone)
    except (ValueError, OverflowError) as error:
        raise Refused(Reason.BAD_TIMESTAMP, f"the time {_quoted(text)} does not exist", hint=_HINT) from error
    days = local.toordinal() - _EPOCH_ORDINAL
    seconds = days * 86_400 + local.hour * 3600 + local.minute * 60 + local.second
    microseconds = int((parts["fraction"] or "0")[:6].ljust(6, "0"))
    return seconds * MICROSECONDS - offset + microseconds


def _offset(offset: str | None, local: datetime, zone: tzinfo) -> int:
    """How many µs local time is ahead of UTC."""
    if offset is None:
        ahead = local.replace(tzinfo=zone).utcoffset()
        if ahead is None:
            raise ValueError(zone)
        return round(ahead.total_seconds() * MICROSECONDS)
    if offset in "Zz":
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - a day has 24 hours
        raise ValueError(offset)
    size = (hours * 60 + minutes) * 60 * MICROSECONDS
    return -size if offset[0] == "-" else size


def _beyond() -> Refused:
    return Refused(
        Reason.TIMESTAMP_OUT_OF_RANGE, "the time is beyond any epoch in s, ms, µs or ns", hint=_HINT
    )


def _kind(given: object) -> str:
    if isinstance(given, bool):
        return "true or false"
    return "an array" if isinstance(given, list) else "an object"


def _quoted(text: str) -> str:
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'  # noqa: PLR2004 - a glance
