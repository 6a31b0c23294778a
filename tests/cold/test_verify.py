"""Nothing is missing of what has gone to the cold store, whenever it went."""

from pathlib import Path

import pytest

from sensor_storage.model import Series
from sensor_storage.storage.verify import verify
from support.cold import Plant, directory
from support.trees import HOUR

SENSORS = [Series("press-1", f"s{number}") for number in range(12)]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path / "data", directory(tmp_path))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("step", [1, 2, 7, 12])
def test_cleanup_in_the_middle_of_a_look_takes_nothing_from_it(plant: Plant, full: bool, step: int) -> None:
    plant.arrive(range(600), series=SENSORS)
    plant.all_stages()
    verify(plant.layout)  # what it has found good is only peeked at the next time
    removed: list[int] = []

    def clean(files: int, _rows: int) -> None:
        if files == step:
            removed.append(plant.clean().removed)

    assert verify(plant.layout, full=full, progress=clean).findings == []
    assert sum(removed) > 0


@pytest.mark.parametrize("full", [False, True])
def test_late_rows_that_wait_in_staging_leave_the_rest_of_their_hour_in_the_cold_store(
    plant: Plant, full: bool
) -> None:
    plant.arrive(range(600), series=SENSORS)
    plant.all_stages()
    assert plant.clean().removed
    plant.arrive(range(600, 650), series=SENSORS, hour=HOUR)
    report = verify(plant.layout, full=full)
    assert report.findings == []
    assert sum(item.readings for item in report.partitions) == 650
