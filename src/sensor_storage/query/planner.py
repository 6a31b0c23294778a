"""From a question to what is read: pure, over what is known of each sensor.

`auto` takes the finest resolution that stays within the points asked for: raw where the readings themselves do,
else the first of minute, hour and day whose windows do; days, if nothing does. How many readings there are is known
by the hour; of an hour that the interval cuts, as many are reckoned as if they came evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.errors import Usage
from sensor_storage.model import Series
from sensor_storage.query.question import AUTO_POINTS, RESOLUTIONS, Interval, Question, Resolution

UNKNOWN_HOUR_ROWS: Final = 3600
"""So many rows are reckoned for an hour file the catalog does not know."""


class TooMuch(Usage):
    """The answer would have more rows than may be."""


class Evenly(NamedTuple):
    """So many readings from a first to a last timestamp, both included, in µs."""

    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a sensor in the interval: at most so many readings, and probably so many."""

    series: Series
    rows: int
    likely: int


def reckoned(some: Evenly, interval: Interval) -> int:
    """So many of these readings are in the interval if they came evenly; never too few by that."""
    first, last = max(some.first, interval.start), min(some.last, interval.end - 1)
    if last < first or not some.rows:
        return 0
    width = some.last - some.first
    return some.rows if not width else (last - first) * (some.rows - 1) // width + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read for an answer; `thin_to` is the number of points a sensor's raw readings are thinned to."""

    resolution: Resolution
    interval: Interval
    parts: tuple[Known, ...]
    thin_to: int | None = None

    @property
    def rows(self) -> int:
        """About so many rows has the answer."""
        if self.resolution != "raw":
            return sum(min(part.rows, windows(self.interval, self.resolution)) for part in self.parts)
        return sum(min(part.likely, self.thin_to) if self.thin_to else part.likely for part in self.parts)


def plan(question: Question, known: Sequence[Known], *, max_rows: int) -> Plan:
    """What to read for the question. Raises TooMuch where the answer would have more than `max_rows` rows."""
    resolution = plan_resolution(question, max((one.likely for one in known), default=0))
    thin_to = question.max_points if resolution == "raw" else None
    whole = Plan(resolution, question.interval, tuple(known), thin_to)
    _refuse(question, whole, max_rows)
    return whole


def plan_resolution(question: Question, most_rows: int) -> Resolution:
    """The resolution asked for, or for `auto` the finest within the points; `most_rows` are those of one sensor."""
    if question.resolution != "auto":
        return question.resolution
    points = question.max_points or AUTO_POINTS
    if most_rows <= points:
        return "raw"
    fitting = (level for level in RESOLUTIONS[1:] if windows(question.interval, level) <= points)
    return next(fitting, RESOLUTIONS[-1])


def windows(interval: Interval, resolution: Resolution) -> int:
    """How many windows of that resolution, which is not raw, touch the interval."""
    if resolution == "raw" or interval.end <= interval.start:
        return 0
    width = WIDTH[resolution]
    return -(-interval.end // width) - interval.start // width


def _refuse(question: Question, whole: Plan, max_rows: int) -> None:
    """Raise TooMuch for more rows or points than asked for, naming what helps."""
    count = windows(question.interval, whole.resolution)
    if question.resolution != "auto" and question.max_points and count > question.max_points:
        raise TooMuch(
            f"max_points: {count:,} windows of a {whole.resolution} are more than {question.max_points:,}",
            hint="ask for a coarser resolution, or resolution=auto",
        )
    if max_rows and whole.rows > max_rows:
        raise TooMuch(
            f"the answer would have about {whole.rows:,} rows, more than {max_rows:,}",
            hint="ask for a shorter time, fewer sensors or a coarser resolution, set max_points,"
            " or use `sensor-storage export`, which has no limit",
        )
