"""Windows and the files that hold them: pure arithmetic on UTC instants.

A window is a half-open UTC interval of one level. Windows of a level are numbered since 1970-01-01; a file of a
level holds the windows of one **period**: an hour of minutes, a day of hours, a month of days.
"""

from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import MICROSECONDS_PER_HOUR

Level: TypeAlias = Literal["minute", "hour", "day"]

LEVELS: Final[tuple[Level, ...]] = ("minute", "hour", "day")
"""From fine to coarse; each is made from the one before it."""

HOURS_PER_DAY: Final = 24
WIDTH: Final[dict[Level, int]] = {
    "minute": 60_000_000,
    "hour": MICROSECONDS_PER_HOUR,
    "day": HOURS_PER_DAY * MICROSECONDS_PER_HOUR,
}
"""How long a window of the level is, in µs."""

_MONTHS_PER_YEAR = 12
_FIRST_YEAR = 1970


def window_starts(
    timestamp: NDArray[np.int64], level: Level, edges: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """For each instant, in µs since 1970, the start of its window.

    With `edges` the windows are those between two ascending instants, such as the days of a time zone.
    """
    starts: NDArray[np.int64]
    if edges is None:
        starts = timestamp // WIDTH[level] * WIDTH[level]
    else:
        starts = edges[np.searchsorted(edges, timestamp, side="right") - 1]
    return starts


def window_ends(
    start: NDArray[np.int64], level: Level, edges: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """For each window, by its start, the first instant behind it."""
    if edges is None:
        return start + WIDTH[level]
    ends: NDArray[np.int64] = edges[np.searchsorted(edges, start, side="right")]
    return ends


def period_of(level: Level, instant: int) -> int:
    """The number of the period whose file holds the window of that instant."""
    if level == "minute":
        return instant // WIDTH["hour"]
    if level == "hour":
        return instant // WIDTH["day"]
    day = datetime.fromtimestamp(instant // WIDTH["day"] * WIDTH["day"] // 1_000_000, UTC)
    return (day.year - _FIRST_YEAR) * _MONTHS_PER_YEAR + day.month - 1


def period_start(level: Level, period: int) -> datetime:
    """The first instant of a period."""
    if level == "minute":
        return datetime.fromtimestamp(period * (WIDTH["hour"] // 1_000_000), UTC)
    if level == "hour":
        return datetime.fromtimestamp(period * (WIDTH["day"] // 1_000_000), UTC)
    year, month = divmod(period, _MONTHS_PER_YEAR)
    return datetime(_FIRST_YEAR + year, month + 1, 1, tzinfo=UTC)


def period_bounds(level: Level, period: int) -> tuple[int, int]:
    """The period's first instant and the first one behind it, in µs since 1970."""
    return _microseconds(period_start(level, period)), _microseconds(period_start(level, period + 1))


def _microseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000
