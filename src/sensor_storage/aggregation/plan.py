"""What is due, and what a change reaches: pure, over numbers of hours and days and what is known of them."""

from collections.abc import Iterable, Mapping
from typing import Final

from sensor_storage.aggregation.carry import Carry
from sensor_storage.aggregation.windows import HOURS_PER_DAY, WIDTH
from sensor_storage.storage.aggregate_catalog import Span

_SECONDS: Final[dict[Span, int]] = {"hour": 3600, "day": 86_400}


def plan_closed(span: Span, watermark: float, settle_seconds: float) -> int:
    """The first hour or day that is not over for so long yet, by the least Kafka time consumed, in seconds."""
    return int((watermark - settle_seconds) // _SECONDS[span])


def reached_hours(limit: int) -> int:
    """How many hours behind its own a reading may be held in, for a limit in µs."""
    return -(-limit // WIDTH["hour"])


def plan_carry_in(carries: Mapping[int, Carry | None], hour: int, limit: int) -> Carry | None:
    """What is held when an hour begins, from what is known of the hours before it: of each its last good number."""
    for before in range(hour - 1, hour - reached_hours(limit) - 1, -1):
        found = carries.get(before)
        if found is not None:
            return found if found.reaches(hour * WIDTH["hour"], limit) else None
    return None


def plan_carried(
    changed: Iterable[int],
    carries: Mapping[int, Carry | None],
    made_from: Mapping[int, Carry | None],
    limit: int,
) -> list[int]:
    """Which hours that are made are to be made again because another number is held when they begin.

    `changed` are the hours whose last good number is new; `made_from` has what each made hour was made from.
    """
    reached = {later for hour in changed for later in range(hour + 1, hour + reached_hours(limit) + 1)}
    return [
        hour
        for hour in sorted(reached)
        if hour in made_from and made_from[hour] != plan_carry_in(carries, hour, limit)
    ]


def plan_days(hours: Iterable[int], limit: int) -> list[int]:
    """The days in which a change of these hours can show: their own, and those a last reading is held into."""
    reach = reached_hours(limit)
    return sorted({day for hour in hours for day in range(_day(hour), _day(hour + reach) + 1)})


def _day(hour: int) -> int:
    return hour // HOURS_PER_DAY
