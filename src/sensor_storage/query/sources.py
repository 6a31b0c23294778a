"""Where the readings of a sensor-hour are: the one place that lists them.

What is staged was held before any hour file is opened (`staged.py`). The cold store is the third place. A file is
marked cold before it goes, and the mark goes after it has come back; so whoever looks for the mark, the file, and
the mark once more, finds it however it moves meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import MAXYEAR, UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from sensor_storage.aggregation.windows import HOURS_PER_DAY
from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.damage import Warnings
from sensor_storage.query.question import Interval
from sensor_storage.query.staged import HeldStaging
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.stretches import Stretch

_T = TypeVar("_T")
_SECONDS_PER_HOUR = 3600
_DECEMBER = 12
_DAY = 2
_FIRST_HOUR, _LAST_HOUR = (
    int(datetime(year, month, 1, tzinfo=UTC).timestamp()) // _SECONDS_PER_HOUR
    for year, month in ((1, 1), (9999, 12))
)


class Sources:
    """The places of one data directory, with what was staged at one moment."""

    def __init__(self, layout: Layout, held: HeldStaging, files: ColdFiles, warnings: Warnings) -> None:
        self.held = held
        self.warnings = warnings
        self._layout = layout
        self._files = files
        self._staged: set[Path] = set()
        self._read: Counter[Literal["local", "cloud"]] = Counter()

    @property
    def tiers(self) -> dict[str, int]:
        """How many files of each place were read: staged ones, this disk's, and the cold store's."""
        return {"staging": len(self._staged), "local": self._read["local"], "cloud": self._read["cloud"]}

    def hour_file(self, key: SensorHour) -> CheckedFile | None:
        """The sensor-hour's file, checked, if there is one. A damaged one is left out, with a warning."""
        try:
            return self.read(self._layout.hour_file(key), lambda found: _opened(found, key))
        except FileNotFoundError:
            return None
        except Damaged:
            self.warnings.lacks(key)
            return None

    def read(self, path: Path, open_: Callable[[Path], _T]) -> _T:
        """What `open_` makes of a file, here or of a copy from the cold store. FileNotFoundError if in neither."""

        def counted(found: Path) -> _T:
            opened = open_(found)
            self._read["local" if found == path else "cloud"] += 1
            return opened

        return self._files.opened(path, counted)

    def looking(self) -> AbstractContextManager[None]:
        """Many files are read meanwhile, by one thread."""
        return self._files.looking()

    def staged(self, key: SensorHour, interval: Interval) -> list[Stretch]:
        """The staged rows of the sensor-hour, but for what is surely outside; its file may hold some too."""
        found = self.held.rows(key)
        self._staged.update(file.path for file, _, _ in found)
        return [_stretch(file, start, stop, interval) for file, start, stop in found]

    def filed(self, key: SensorHour, interval: Interval) -> list[Stretch]:
        """The rows in the sensor-hour's file, but for what is surely outside."""
        file = self.hour_file(key)
        return [_stretch(file, 0, file.footer().rows, interval)] if file else []

    def hours(self, series: Series, hours: range) -> list[int]:
        """Which of these hours have a file of the sensor, here or in the cold store."""
        with CatalogView.of(self._layout) as catalog:
            found = _cold(catalog, series, hours)
            found.update(self._here(series, hours))
            return sorted(found | _cold(catalog, series, hours))

    def hours_of_windows(self, series: Series, hours: range) -> list[int]:
        """Which of these hours have a file of the sensor's readings, or of its minutes alone."""
        with CatalogView.of(self._layout) as catalog:
            found = _cold(catalog, series, hours, "minute")
            found.update(self._here(series, hours))
            for hour in _hours_of_days(self._layout, self._layout.aggregated, series.asset, hours):
                start = datetime.fromtimestamp(hour * _SECONDS_PER_HOUR, UTC)
                if hour not in found and self._layout.aggregate_file(series, "minute", start).exists():
                    found.add(hour)
            return sorted(found | _cold(catalog, series, hours, "minute"))

    def days(self, series: Series, days: range) -> list[int]:
        """Which of these days may have files of the sensor, readings' or aggregates', here or in the cold store."""
        hours = range(days.start * HOURS_PER_DAY, days.stop * HOURS_PER_DAY)
        with CatalogView.of(self._layout) as catalog:
            found = _cold(catalog, series, hours, "minute", "hour")
            for tree in (self._layout.raw, self._layout.aggregated):
                found.update(_hours_of_days(self._layout, tree, series.asset, hours))
            found |= _cold(catalog, series, hours, "minute", "hour")
        return sorted({hour // HOURS_PER_DAY for hour in found})

    def _here(self, series: Series, hours: range) -> list[int]:
        found = _hours_of_days(self._layout, self._layout.raw, series.asset, hours)
        return [hour for hour in found if self._layout.hour_file(SensorHour(series, hour)).exists()]


def _cold(catalog: CatalogView, series: Series, hours: range, *levels: Literal["minute", "hour"]) -> set[int]:
    """The hours with a file in the cold store alone, of readings or of these levels; a day by its first hour."""
    found = set(catalog.cold_hours(series, hours.start, hours.stop - 1))
    if levels and (aggregates := catalog.aggregates()):
        periods = aggregates.cold_periods(series)
        for level in levels:
            width = 1 if level == "minute" else HOURS_PER_DAY
            found.update(period * width for period in periods.get(level, ()) if period * width in hours)
    return found


def _opened(path: Path, key: SensorHour) -> CheckedFile:
    file = CheckedFile(path)
    if file.footer().sensor_hour != key:
        raise Damaged(f"{path}: holds {file.footer().sensor_hour}, its name says {key}")
    return file


def _hours_of_days(layout: Layout, tree: Path, asset: str, hours: range) -> Iterator[int]:
    """The hours of days that have a folder. Where a year or month has none, its hours are passed over at once."""
    hour, stop = max(hours.start, _FIRST_HOUR), min(hours.stop, _LAST_HOUR)
    while hour < stop:
        start = datetime.fromtimestamp(hour * _SECONDS_PER_HOUR, UTC)
        day = layout.day_folder(tree, asset, start)
        above = (day.parent.parent, day.parent, day)
        missing = next((depth for depth, folder in enumerate(above) if not folder.is_dir()), None)
        behind = min(stop, _next(start, _DAY if missing is None else missing))
        if missing is None:
            yield from range(hour, behind)
        hour = behind


def _next(start: datetime, depth: int) -> int:
    """The first hour of the next year (0), month (1) or day (2); the last there is at the calendar's end."""
    if depth == 0:
        if start.year == MAXYEAR:
            return _LAST_HOUR
        later = datetime(start.year + 1, 1, 1, tzinfo=UTC)
    elif depth == 1:
        later = datetime(start.year + start.month // _DECEMBER, start.month % _DECEMBER + 1, 1, tzinfo=UTC)
    else:
        return int(start.replace(hour=0).timestamp()) // _SECONDS_PER_HOUR + HOURS_PER_DAY
    return int(later.timestamp()) // _SECONDS_PER_HOUR


def _stretch(file: CheckedFile, start: int, stop: int, interval: Interval) -> Stretch:
    """The rows from `start` up to `stop`, without row groups at the ends that have none in the interval."""
    groups = [
        group
        for group in file.groups()
        if group.start < stop
        and group.stop > start
        and group.first_timestamp < interval.end
        and group.last_timestamp >= interval.start
    ]
    if not groups:
        return Stretch(file, 0, 0)
    return Stretch(file, max(start, groups[0].start), min(stop, groups[-1].stop))
