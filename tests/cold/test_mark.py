"""A share that is not mounted is a folder without the store's mark: nothing is made there, nothing removed here."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.mark import Mark
from sensor_storage.cold.store import Away
from sensor_storage.storage.layout import Layout
from support.aggregates import LATER
from support.cold import Plant, blobs

MUCH_LATER = LATER + 30 * 86_400


def opened(data: Path, cold: Path, *, may_make: bool = True) -> DirectoryStore:
    """The folder as the service opens it."""
    return DirectoryStore(cold, check=Mark(cold, Layout(data / "raw"), may_make=may_make).check)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Some files are in the store, and one is due."""
    one = Plant(tmp_path / "data", opened(tmp_path / "data", tmp_path / "cold"))
    one.arrive(range(10))
    one.all_stages()
    one.arrive(range(10, 20))
    one.compact()
    yield one
    one.close()


@pytest.mark.parametrize(
    ("instead", "remembered"),
    [
        ("nothing", True),
        ("nothing", False),
        ("an empty folder", True),
        ("an empty folder", False),
        ("another store", True),
    ],
)
def test_a_share_that_is_not_mounted_is_a_store_that_is_away_and_nothing_is_made_or_removed(
    tmp_path: Path, plant: Plant, instead: str, remembered: bool
) -> None:
    cold, before = tmp_path / "cold", plant.local()
    cold.rename(tmp_path / "away")
    if not remembered:
        plant.layout.cold_store_id.unlink()
    if instead == "an empty folder":
        cold.mkdir()
    elif instead == "another store":
        opened(tmp_path / "other", cold).write("raw/x", b"x", replaces=None, metadata={})
    there = sorted(cold.rglob("*"))
    report = plant.upload_now()
    assert (report.uploaded, report.away, report.failed > 0) == (0, True, True)
    with pytest.raises(Away):
        plant.clean(MUCH_LATER)
    with pytest.raises(Away):
        list(opened(plant.layout.root, cold, may_make=False).pages(""))
    assert (plant.local(), sorted(cold.rglob("*"))) == (before, there)
    shutil.rmtree(cold, ignore_errors=True)
    (tmp_path / "away").rename(cold)
    assert plant.upload_now().waiting == 0
    assert plant.clean(MUCH_LATER).removed == len(before)
    assert plant.offsets() == list(range(0, 20, 2))


def test_the_mark_is_in_no_list(plant: Plant) -> None:
    assert sorted(blobs(plant.store)) == plant.local()


def test_a_store_of_an_earlier_version_gets_its_mark_and_is_known_by_it_from_then_on(
    tmp_path: Path, plant: Plant
) -> None:
    mark = tmp_path / "cold" / ".store" / "id"
    mark.unlink()
    plant.layout.cold_store_id.unlink()
    assert plant.upload_now().waiting == 0
    assert mark.read_text() == plant.layout.cold_store_id.read_text() != ""


def test_a_data_directory_that_lost_word_and_catalog_learns_the_word_from_the_store(
    tmp_path: Path, plant: Plant
) -> None:
    word = plant.layout.cold_store_id.read_text()
    again = Plant(tmp_path / "new", opened(tmp_path / "new", tmp_path / "cold"))
    again.arrive(range(5))
    again.compact()
    assert again.upload().waiting == 0
    assert again.layout.cold_store_id.read_text() == word


def test_another_empty_folder_is_taken_once_it_has_the_word_the_hint_tells(
    tmp_path: Path, plant: Plant
) -> None:
    other = tmp_path / "other"
    store = opened(plant.layout.root, other)
    with pytest.raises(Away) as away:
        store.check()
    assert f"cp {plant.layout.cold_store_id} {other / '.store' / 'id'}" in away.value.hint
    (other / ".store").mkdir(parents=True)
    shutil.copy(plant.layout.cold_store_id, other / ".store" / "id")
    store.check()


def test_whoever_only_reads_makes_no_store(tmp_path: Path) -> None:
    opened(tmp_path / "data", tmp_path / "cold", may_make=False).check()
    assert not list(tmp_path.iterdir())
