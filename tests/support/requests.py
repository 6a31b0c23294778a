"""What a cold store is asked for while days go by, each stage with the clock of its moment."""

from collections import Counter
from pathlib import Path

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.model import Series
from support.cold import FaultyStore, Plant
from support.trees import HOUR

HOUR_SECONDS = 3600
DAY_HOURS = 24
_GRACE_SECONDS = 900
_CLEANUP_HOURS = 6
_READINGS_PER_HOUR = 60


def requests_of_days(folder: Path, *, sensors: int, days: int) -> tuple[Counter[str], Counter[str]]:
    """Requests by kind, writes by level too, and bytes by level in the store; the first day is not counted.

    A plant of one asset sends; upload comes twice an hour, cleanup every six.
    """
    asked, held = Counter[str](), Counter[str]()
    cold = folder / "cold"
    plant = Plant(
        folder / "data",
        FaultyStore(DirectoryStore(cold), before=lambda act, name: asked.update([_kind(act, name)])),
    )
    series = [Series("press-1", f"s{number}") for number in range(sensors)]
    per_hour = _READINGS_PER_HOUR * sensors
    first = HOUR // DAY_HOURS * DAY_HOURS
    for hour in range(days * DAY_HOURS):
        if hour == DAY_HOURS:
            asked.clear()
        plant.arrive(range(hour * per_hour, (hour + 1) * per_hour), series=series, hour=first + hour)
        over = (first + hour + 1) * HOUR_SECONDS + _GRACE_SECONDS
        for now in (over + 60, over + 60 + HOUR_SECONDS / 2):
            plant.compactor.run_once(now, now)
            while plant.aggregator.run_once(now, now).more:
                pass
            plant.uploader.run_once(now, int((now - _GRACE_SECONDS) // HOUR_SECONDS))
        if (hour + 1) % _CLEANUP_HOURS == 0:
            plant.clean(over, age_days=1)
    plant.close()
    for path in cold.rglob("*.parquet"):
        held[_level(path.relative_to(cold).as_posix())] += path.stat().st_size
    return asked, held


def _kind(act: str, name: str) -> str:
    return f"write {_level(name)}" if act == "write" else act


def _level(name: str) -> str:
    return name.rsplit("_", 1)[-1].removesuffix(".parquet") if name.startswith("aggregated/") else "raw"
