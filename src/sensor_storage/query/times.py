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

    Usage if it is none.
    """
    given = text.strip()
    if given.lower() == "now":
        return round(now * MICROSECONDS)
    if found := _RELATIVE.fullmatch(given.lower()):
        distance = float(found["number"]) * _SECONDS[found["unit"]] * (-1 if found["sign"] == "-" else 1)
        return round((now + distance) * MICROSECONDS)
    if re.search(r" \d\d:?\d\d$", given) and "T" in given:  # a plus that a URL turned into a space
        given = "+".join(given.rsplit(" ", 1))
    try:
        instant = read_timestamp(given, zone)
    except Refused as error:
        raise Usage(str(error), hint=FORMS) from error
    if not 0 <= instant - _LEAST <= _MOST - _LEAST:
        raise Usage(f'the time "{given[:40]}" is not between the years 1 and 9999', hint=FORMS)
    return instant


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


_LEAST = _microseconds(datetime(1, 1, 2, tzinfo=UTC))
_MOST = _microseconds(datetime(9999, 12, 30, tzinfo=UTC))
