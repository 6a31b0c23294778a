"""Sensor-hours summarised many at once: numpy takes almost as long for an hour's sixty minutes as for thousands."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from sensor_storage.aggregation.join import join, mixed
from sensor_storage.aggregation.raw_hours import HourSource, RawHour, Told, hour_of, minutes_of
from sensor_storage.aggregation.samples import Samples
from sensor_storage.aggregation.statistics import Statistics, of_part
from sensor_storage.aggregation.summarise import summarise
from sensor_storage.errors import SensorStorageError
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive

_ROWS: Final = 1 << 15
"""So many readings are summarised at once; what is looked at and then not asked for is little work."""


class Summary(NamedTuple):
    """The windows of a sensor-hour, and the digest of the set of readings they are made of."""

    content: str
    minutes: Statistics
    hour: Statistics


class Ahead:
    """The summaries of sensor-hours that are asked for in this order, though perhaps not all."""

    def __init__(self, source: HourSource, keys: Sequence[SensorHour], alive: Alive, *, limit: int) -> None:
        self._source = source
        self._keys = keys
        self._places = {key: place for place, key in enumerate(keys)}
        self._alive = alive
        self._limit = limit
        self._made: dict[SensorHour, Summary | Exception] = {}

    def of(self, key: SensorHour) -> Summary:
        """The summary of a sensor-hour, with the errors of `HourSource.open`."""
        if key not in self._made:
            self._made = {}
            self._look_ahead(self._places[key])
        found = self._made.pop(key)
        if isinstance(found, Exception):
            raise found
        return found

    def _look_ahead(self, place: int) -> None:
        opened: list[tuple[SensorHour, RawHour]] = []
        samples: list[Samples] = []
        for key in islice(self._keys, place, None):
            try:
                raw = Told(self._source.open(key), self._alive)
                first, *rest = islice(blocks := raw.blocks(), 2)
                if rest or len(first) > _ROWS:
                    if key == self._keys[place]:
                        minutes = minutes_of(chain([first], rest, blocks), limit=self._limit)
                        self._made[key] = Summary(
                            raw.content, minutes, hour_of(raw, minutes, limit=self._limit)
                        )
                    break
            except (SensorStorageError, FileNotFoundError) as error:
                self._made[key] = error
                continue
            opened.append((key, raw))
            samples.append(first)
            if sum(map(len, samples)) >= _ROWS:
                break
        self._summarise(opened, samples)

    def _summarise(self, opened: Sequence[tuple[SensorHour, RawHour]], samples: Sequence[Samples]) -> None:
        if not opened:
            return
        minutes = summarise(Samples.concat(samples), "minute", limit=self._limit)
        hours, odd = join(minutes, "hour", limit=self._limit), mixed(minutes, "hour")
        for part, (key, raw) in enumerate(opened):
            mine = of_part(minutes, part)
            hour = hour_of(raw, mine, limit=self._limit) if odd[part] else of_part(hours, part)
            self._made[key] = Summary(raw.content, mine, hour)
