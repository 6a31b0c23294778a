"""Copies of what is only in the cold store: brought once, kept within a bound."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sensor_storage.clock import SystemClock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import DamagedBlob
from sensor_storage.model import SensorHour
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.verify import stored_rows
from support.aggregates import SERIES
from support.cold import FaultyStore, Plant, directory, flip
from support.trees import HOUR

COLD = SensorHour(SERIES, HOUR)


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


@pytest.fixture
def brought() -> Counter[str]:
    """How often each blob was asked for."""
    return Counter()


@pytest.fixture
def plant(tmp_path: Path, brought: Counter[str]) -> Iterator[Plant]:
    """What one sensor-hour holds is in the store and in the cache alone."""

    def counted(act: str, name: str) -> None:
        brought[name] += act == "download"

    with closing(Plant(tmp_path / "data", FaultyStore(directory(tmp_path), before=counted))) as one:
        one.arrive(range(50))
        one.all_stages()
        one.clean()
        one.files.find(one.layout.hour_file(COLD))
        brought.clear()
        yield one


def whole(path: Path) -> None:
    assert CheckedFile(path).footer().rows


def late(plant: Plant, _: Path) -> None:
    plant.arrive(range(50, 60))
    plant.compact()
    whole(plant.layout.hour_file(COLD))


def verified(plant: Plant, _: Path) -> None:
    bad: list[object] = []
    stored_rows(plant.layout, lambda _: None, plant.files.find, lambda *why: bad.append(why))
    assert not bad


USES: dict[str, Callable[[Plant, Path], object]] = {
    "asked for": lambda plant, path: whole(plant.files.find(path)),
    "opened": lambda plant, path: plant.files.opened(path, CheckedFile),
    "late readings": late,
    "verified": verified,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("left", [0, 30, 0.5, 1.0])
def test_a_copy_that_was_damaged_here_is_thrown_away_and_brought_again_whoever_uses_it(
    plant: Plant, brought: Counter[str], use: str, left: float
) -> None:
    path = plant.layout.hour_file(COLD)
    copy = plant.files.find(path)
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data[: int(len(data) * left) if left <= 1 else int(left)])
    USES[use](plant, path)
    assert brought[plant.layout.relative(path)] == 1
    whole(copy)
    assert set(plant.offsets()) >= set(range(0, 50, 2))
    assert brought[plant.layout.relative(path)] == 1


@pytest.mark.parametrize("use", ["asked for", "opened"])
def test_only_a_blob_that_is_damaged_itself_is_called_so_with_its_own_name(
    tmp_path: Path, plant: Plant, brought: Counter[str], use: str
) -> None:
    path = plant.layout.hour_file(COLD)
    plant.files.find(path).write_bytes(b"damaged")
    name = plant.layout.relative(path)
    flip(directory(tmp_path), name)
    with pytest.raises(DamagedBlob, match=name):
        USES[use](plant, path)
    assert brought[name] == 1
