"""Cleanup: nothing leaves this disk without its proof, and what left is still answered for."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from sensor_storage.aggregation.check import check_aggregates
from sensor_storage.aggregation.files import read_aggregate
from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.clock import SystemClock
from sensor_storage.cold import files as cold_files
from sensor_storage.cold.cleanup import plan_lists
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.log import ROOT
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.catalog import connect_read_only
from sensor_storage.storage.status import NOT_BACK
from sensor_storage.storage.verify import verify
from support.aggregates import LATER, SERIES
from support.cold import FaultyStore, Plant, away, blobs, directory
from support.cold_proofs import deletions
from support.trees import HOUR, NOW


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return directory(tmp_path)


@pytest.fixture
def plant(tmp_path: Path, store: DirectoryStore) -> Plant:
    found = Plant(tmp_path / "data", store)
    found.arrive(range(100))
    found.all_stages()
    return found


EVEN = [n for n in range(100) if n % 2 == 0]


def test_a_proven_file_of_age_goes_and_queries_read_it_back(plant: Plant) -> None:
    report = plant.clean()
    assert report.removed == 8
    assert plant.local() == []
    assert not any(plant.layout.raw.iterdir())  # empty folders go too
    assert plant.offsets() == EVEN


def test_a_cleanup_gives_signs_of_life_between_its_files(plant: Plant) -> None:
    signs: list[int] = []
    cleaner = plant.cleaner()
    cleaner.alive = lambda: signs.append(1)
    assert cleaner.run_once(LATER).removed < len(signs)


def test_every_deletion_is_told_with_its_proof(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger=ROOT)
    before = plant.local()
    plant.clean()
    told = [vars(record)["fields"] for record in caplog.records if record.message == "removed"]
    assert sorted(one["file"] for one in told) == before
    for one in told:
        receipt = plant.catalog.receipts.find(one["file"])
        assert receipt is not None
        assert (one["because"], one["digest"]) == ("proven", receipt.local_digest)
        assert (one["etag"], one["blob_digest"], one["rows"]) == (receipt.etag, receipt.digest, receipt.rows)


def test_a_young_file_stays(plant: Plant) -> None:
    assert plant.clean(NOW + 86_400).removed == 0
    assert (
        plant.clean(NOW + 86_400, age_days=0.5).removed == 4
    )  # the day's hours and the month's days are not over yet


def test_a_dry_run_names_each_file_and_reason_and_removes_nothing(plant: Plant) -> None:
    before = plant.local()
    report = plant.clean(dry_run=True)
    assert {file["because"] for file in report.files} == {"proven"}
    assert len(report.files) == report.removed == 8
    assert plant.local() == before


def test_a_file_that_was_not_uploaded_stays(tmp_path: Path, store: DirectoryStore) -> None:
    plant = Plant(tmp_path / "new", store)
    plant.arrive(range(10))
    plant.compact()
    assert plant.clean().kept == {"not uploaded": 2}


def test_a_file_that_changed_since_its_upload_stays(plant: Plant) -> None:
    plant.arrive([1000])
    plant.compact()
    assert plant.clean().kept == {"changed since its upload": 1}
    assert plant.offsets() == [*EVEN, 1000]


def test_a_file_for_which_rows_wait_in_staging_stays(plant: Plant) -> None:
    plant.arrive([1000])
    assert plant.clean().kept == {"rows wait for it in staging": 1}


def spoil(store: DirectoryStore, name: str, how: str) -> None:
    path = Path(store.url.removeprefix("file://")) / name
    data = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-10])
    elif how == "replaced by the same size":
        path.unlink()
        path.write_bytes(b"x" * len(data))
    else:
        path.unlink()
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "why", "whole"),
    [
        ("removed", "blob missing", True),
        ("truncated", "blob changed", False),
        ("replaced by the same size", "blob changed", False),
        ("written again", "blob changed", True),
    ],
)
def test_a_file_whose_blob_is_not_as_it_was_uploaded_stays_and_is_uploaded_again(
    plant: Plant, store: DirectoryStore, how: str, why: str, whole: bool
) -> None:
    (name,) = [name for name in blobs(store, "raw/") if name.endswith("temperature.parquet")]
    spoil(store, name, how)
    report = plant.clean()
    assert report.kept == {why: 1}
    assert name in plant.local()
    assert plant.catalog.receipts.waiting().files == 1
    plant.upload()
    again = plant.clean()
    if whole:
        assert (again.removed, again.kept) == (1, {})
    else:  # nobody but a person may give up a blob
        assert again.kept == {"not uploaded": 1}
        assert "not a whole file" in "".join(plant.catalog.receipts.waiting().errors)
    assert plant.offsets() == EVEN


def test_among_many_files_and_every_kind_of_harm_no_deletion_is_wrong(
    tmp_path: Path, store: DirectoryStore
) -> None:
    found = deletions(tmp_path / "many", store, 300)
    assert (found["files"], found["harmed"], found["removed"]) == (300, 60, 225)
    assert (found["wrong"], found["lost_readings"]) == (0, 0)
    assert (
        found["then_removed"] == 45
    )  # the whole ones, and those with late readings; the damaged need a person
    assert found["left"] == 30


def test_a_blob_that_another_service_has_added_to_is_looked_at_and_then_cleaned(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    other = Plant(tmp_path / "other", store)
    other.arrive(range(50, 200))
    other.all_stages()
    assert plant.clean().kept["blob changed"] == 2
    for _ in range(3):
        plant.all_stages()
    assert plant.clean().removed > 0
    assert [name for name in plant.local() if name.startswith("raw/")] == []
    assert plant.offsets() == [n for n in range(200) if n % 2 == 0]


def test_with_full_verification_the_content_of_the_blob_is_read(plant: Plant, store: DirectoryStore) -> None:
    (name,) = [name for name in blobs(store, "raw/") if name.endswith("temperature.parquet")]
    path = Path(store.url.removeprefix("file://")) / name
    status = path.stat()
    with path.open("r+b") as file:  # a bit flips on the store's disk: same ETag, same size
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert plant.clean(full=True).kept == {"blob damaged": 1}
    assert name in plant.local()


def test_a_file_damaged_here_stays(plant: Plant) -> None:
    name = plant.local()[-1]
    path = plant.layout.root / name
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    assert plant.clean().kept == {"damaged here": 1}


def test_while_the_store_is_away_nothing_goes(plant: Plant, store: DirectoryStore) -> None:
    before = plant.local()
    plant.store = FaultyStore(store, before=away)
    with pytest.raises(Exception, match="away"):
        plant.clean()
    assert plant.local() == before


def test_late_readings_of_a_cleaned_hour_bring_its_file_back_and_mend_its_aggregates(
    plant: Plant, store: DirectoryStore
) -> None:
    plant.clean()
    plant.arrive([1000])
    assert plant.offsets() == [*EVEN, 1000]  # staged here, the rest there
    plant.compact()
    assert plant.offsets() == [*EVEN, 1000]
    plant.aggregate()
    plant.upload()
    assert plant.catalog.receipts.waiting().files == 0
    assert plant.clean().removed > 0
    assert plant.local() == []
    assert plant.offsets() == [*EVEN, 1000]
    (day,) = [n for n in blobs(store, "aggregated/") if n.endswith("temperature_day.parquet")]
    copy = plant.files.find(plant.layout.root / day)
    statistics = read_aggregate(copy).statistics
    assert statistics.count.sum() + statistics.text_count.sum() + statistics.other_unit.sum() == len(EVEN) + 1


def test_late_readings_wait_in_staging_while_the_store_is_away(plant: Plant, store: DirectoryStore) -> None:
    plant.clean()
    plant.arrive([1000])
    faulty = FaultyStore(store, before=away)
    plant.files._store = faulty
    report = plant.compact()
    assert all(why.startswith(NOT_BACK) for why in report.blocked.values())
    assert report.blocked
    assert plant.local() == []
    plant.files._store = store
    plant.files._failed = None
    plant.compact()
    assert plant.offsets() == [*EVEN, 1000]


def test_aggregates_that_need_a_cold_file_wait_while_the_store_is_away(
    plant: Plant, store: DirectoryStore
) -> None:
    plant.clean()
    plant.arrive([1000])
    plant.compact()
    shutil.rmtree(plant.layout.cache)
    plant.files._store = FaultyStore(store, before=away)
    (blocked,) = {*plant.aggregator.run_once(LATER, LATER, flush=True).blocked.values()}
    assert blocked.startswith(NOT_BACK)
    plant.files._store = store
    plant.files._failed = None
    plant.aggregator.try_all_now()
    plant.aggregate()
    plant.upload()
    assert plant.catalog.receipts.waiting().files == 0


def test_a_disk_that_is_too_full_is_relieved_of_the_oldest_proven_files(
    tmp_path: Path, store: DirectoryStore
) -> None:
    plant = Plant(tmp_path / "data", store)
    for hour in range(10):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.all_stages()
    report = plant.cleaner().run_once(NOW, pressed=True)
    assert report.removed == 20
    assert not [name for name in plant.local() if name.startswith("raw/")]
    assert LATER > NOW


def test_verify_counts_what_is_only_in_the_store_by_its_receipts(plant: Plant) -> None:
    plant.clean()
    report = verify(plant.layout)
    assert report.clean
    assert report.cold_files == 2
    looked = check_aggregates(plant.layout, plant.catalog.aggregates, AggregatePolicy())
    assert looked.findings == []


def test_an_hour_whose_carry_came_from_a_cleaned_hour_is_no_finding(plant: Plant) -> None:
    plant.clean()
    plant.arrive(range(200, 260), hour=HOUR + 1)
    plant.compact()
    plant.aggregate()
    looked = check_aggregates(plant.layout, plant.catalog.aggregates, AggregatePolicy())
    assert looked.findings == []
    assert verify(plant.layout).clean


def test_a_day_is_read_back_by_few_connections_to_the_catalog(
    tmp_path: Path, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(tmp_path / "data", store)
    for hour in range(24):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.all_stages()
    plant.clean()
    opened: list[Path] = []

    def connected(catalog: Path) -> sqlite3.Connection:
        opened.append(catalog)
        return connect_read_only(catalog)

    monkeypatch.setattr(cold_files, "connect_read_only", connected)
    two_days = Interval(int((NOW - 86_400) * 1e6), int((NOW + 86_400) * 1e6))
    asked = Question((SERIES.asset,), (SERIES.sensor,), two_days, "minute")
    queries = Queries(plant.layout, SystemClock(), Limits(0, 0), files=plant.files)
    assert sum(table.num_rows for table in queries.answer(asked).tables) == 24
    assert 0 < len(opened) < 24


def test_a_copy_from_the_cold_store_is_whole_when_its_folder_is_there_already(
    plant: Plant,
) -> None:
    plant.arrive(range(10))
    plant.all_stages()
    names = plant.local()
    sizes = [(plant.layout.root / name).stat().st_size for name in names]
    assert plant.clean().removed == len(names)
    for number in range(256):
        (plant.layout.cache / f"{number:02x}").mkdir(parents=True)
    assert [plant.files.find(plant.layout.root / name).stat().st_size for name in names] == sizes


@pytest.mark.parametrize(
    ("assets", "known_blobs", "expected"),
    [(1, 0, 1), (100, 100, 1), (100, 90_000, 1), (10, 90_000, 10), (100, 10_000_000, 100)],
)
def test_a_proof_takes_as_few_lists_as_it_can(assets: int, known_blobs: int, expected: int) -> None:
    names = [f"raw/press-{number % assets}/2024/01/01/00/s{number}.parquet" for number in range(1000)]
    lists = plan_lists(names, known_blobs)
    assert len(lists) == expected
    assert all(any(name.startswith(prefix) for prefix in lists) for name in names)
