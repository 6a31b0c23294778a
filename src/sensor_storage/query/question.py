"""What is asked: which sensors, from when until when, how fine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal, TypeAlias, get_args

from sensor_storage.errors import Usage
from sensor_storage.model import MICROSECONDS_PER_HOUR

Resolution: TypeAlias = Literal["raw", "minute", "hour", "day"]
Asked: TypeAlias = Literal["auto", "raw", "minute", "hour", "day"]

RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
"""From fine to coarse."""

ALL = "*"
AUTO_POINTS = 4_000
"""So many points a sensor `auto` stays within, if nothing else is said."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` up to, and not with, `end`: µs since 1970-01-01 UTC."""

    start: int
    end: int

    @property
    def hours(self) -> range:
        """The hours, counted since 1970, that it touches."""
        if self.end <= self.start:
            return range(0)
        return range(self.start // MICROSECONDS_PER_HOUR, -(-self.end // MICROSECONDS_PER_HOUR))


@dataclass(frozen=True, slots=True)
class Question:
    """Assets × sensors × time, by name or `*` for all, at a resolution.

    `max_points` bounds the points a sensor: `auto` takes the finest resolution within it, raw is thinned to it.
    `addresses` adds to raw readings which Kafka message each is from. Days are those of the time zone. `fields` are
    the columns wanted beside names and time; empty means all.
    """

    assets: tuple[str, ...]
    sensors: tuple[str, ...]
    interval: Interval
    resolution: Asked = "auto"
    max_points: int | None = None
    zone: tzinfo = UTC
    addresses: bool = False
    fields: tuple[str, ...] = ()


def chosen(columns: Sequence[str], fields: Sequence[str], always: Sequence[str]) -> list[str]:
    """The columns to answer, in their order. Usage for a field that is none of them."""
    unknown = [name for name in fields if name not in columns]
    if unknown:
        raise Usage(
            f"there is no field {', '.join(unknown)} at this resolution",
            hint=f"one of {', '.join(columns)}",
        )
    return [name for name in columns if not fields or name in fields or name in always]
