"""Copies of what is only in the cold store: brought once, kept within a bound."""

from contextlib import closing
from pathlib import Path

from sensor_storage.clock import SystemClock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.model import SensorHour
from support.aggregates import SERIES
from support.cold import Plant, directory
from support.trees import HOUR


def test_of_too_many_copies_the_one_used_longest_ago_goes(tmp_path: Path) -> None:
    store = directory(tmp_path)
    with closing(Plant(tmp_path / "data", store)) as plant:
        for hour in range(3):
            plant.arrive(range(hour * 50, hour * 50 + 50), hour=HOUR + hour)
        plant.all_stages()
        plant.clean()
        one, two, three = (plant.layout.hour_file(SensorHour(SERIES, HOUR + hour)) for hour in range(3))
        size = max(blob.size_bytes for page in store.pages("raw/") for blob in page)
        files = ColdFiles(plant.layout, store, SystemClock(), size * 5 // 2)
        first, second = files.find(one), files.find(two)
        assert files.find(one) == first
        third = files.find(three)
        assert [copy.exists() for copy in (first, second, third)] == [True, False, True]
        assert files.find(two).exists()
