"""Instants as people write them: ISO 8601, an epoch number, or relative to now."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sensor_storage.errors import Usage
from sensor_storage.kafka.refusal import Refused
from sensor_storage.kafka.timestamps import MICROSECONDS, read_timestamp

FORMS = "such as 2024-01-01T08:00:00Z, 1704096000, now or -6h (units s, m, h, d, w)"
EPOCH = datetime.fromtimestamp(0, UTC)
_RELATIVE = re.compile(
    r"(?:now)?\s*(?P<sign>[+-])\s*(?P<number>\d{1,9}(?:\.\d{1,6})?)\s*(?P<unit>ms|s|min|m|h|d|w)"
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def read_instant(text: str, now: float, zone: tzinfo) -> int:
    """µs since 1970-01-01 UTC; `now` is in seconds, `zone` that of a time without an offset.

    Usage if it is none, or outside of the calendar's years 1 to 9999, but for a week at either end: room for whole
    days of any zone.
    """
    given = text.strip()
    instant = _instant(given, now, zone)
    if not _LEAST <= instant <= _MOST:
        raise Usage(
            f'the time "{given[:40]}" is not between {as_text(_LEAST)} and {as_text(_MOST)}', hint=FORMS
        )
    return instant


def _instant(given: str, now: float, zone: tzinfo) -> int:
    if given.lower() == "now":
        return round(now * MICROSECONDS)
    if found := _RELATIVE.fullmatch(given.lower()):
        distance = float(found["number"]) * _SECONDS[found["unit"]] * (-1 if found["sign"] == "-" else 1)
        return round((now + distance) * MICROSECONDS)
    if re.search(r" \d\d:?\d\d$", given) and "T" in given:  # a plus that a URL turned into a space
        given = "+".join(given.rsplit(" ", 1))
    try:
        return read_timestamp(given, zone)
    except Refused as error:
        raise Usage(str(error), hint=FORMS) from error


def read_zone(text: str) -> tzinfo:
    """The time zone of that name. Usage if this machine knows none."""
    if text.strip().upper() in {"UTC", "Z", ""}:
        return UTC
    try:
        return ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Usage(
            f"this machine knows no time zone {text!a}", hint="such as UTC or Europe/Berlin"
        ) from error


def as_text(microseconds: int) -> str:
    """ISO 8601 in UTC."""
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


_LEAST = _microseconds(datetime(1, 1, 8, tzinfo=UTC))
_MOST = _microseconds(datetime(9999, 12, 24, tzinfo=UTC))
