"""What is asked: which sensors, from when until when, how fine."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal, TypeAlias, get_args

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
    `addresses` adds to raw readings which Kafka message each is from. Days are those of the time zone.
    """

    assets: tuple[str, ...]
    sensors: tuple[str, ...]
    interval: Interval
    resolution: Asked = "auto"
    max_points: int | None = None
    zone: tzinfo = UTC
    addresses: bool = False
