"""Uploads: every row there once, whoever else writes, whatever the store says or fails to say."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event

import pytest

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.pace import Pace
from sensor_storage.cold.store import ColdStore, Refused
from sensor_storage.cold.upload import Uploader, UploadPolicy
from sensor_storage.errors import Transient
from sensor_storage.storage.digests import checked_digest
from sensor_storage.storage.parquet import CheckedFile
from support.aggregates import LATER
from support.cold import FaultyStore, Plant, away, blobs, directory, every
from support.cold_proofs import writers
from support.forgetful import PowerCut
from support.trees import HOUR


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return directory(tmp_path)


@pytest.fixture
def plant(tmp_path: Path, store: DirectoryStore) -> Plant:
    return Plant(tmp_path / "data", store)


def stored_offsets(store: DirectoryStore, tmp_path: Path) -> list[int]:
    """The offsets of all rows of the temperature's blob of an hour."""
    (name,) = [name for name in blobs(store, "raw/") if name.endswith("temperature.parquet")]
    held = BytesIO()
    store.download(name, held)
    path = tmp_path / "blob.parquet"
    path.write_bytes(held.getvalue())
    return sorted(CheckedFile(path).readings().offset.tolist())


def test_every_file_is_in_the_store_with_a_receipt_of_its_content(
    plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    there = blobs(store)
    assert sorted(there) == plant.local()
    for name, blob in there.items():
        receipt = plant.catalog.receipts.find(name)
        assert receipt is not None
        data = (plant.layout.root / name).read_bytes()
        assert receipt.local_digest == receipt.digest == checked_digest(data, Path(name))
        assert (receipt.etag, receipt.size_bytes) == (blob.etag, len(data))
    assert plant.catalog.receipts.waiting().files == 0


@pytest.mark.parametrize("large", [True, False])
def test_large_files_are_mapped_one_after_the_other(
    tmp_path: Path, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    two = Barrier(2)
    met: list[str] = []

    def meet(act: str, name: str) -> None:
        if act == "write" and name.startswith("raw/"):
            with suppress(BrokenBarrierError):
                two.wait(0.2 if large else 20)
                met.append(name)
            two.reset()

    if large:
        monkeypatch.setattr("sensor_storage.cold.upload._LARGE_BYTES", 0)
    plant = Plant(tmp_path / "data", FaultyStore(store, before=meet))
    plant.arrive(range(100))
    plant.all_stages()
    assert sorted(blobs(store)) == plant.local()
    assert bool(met) != large


def test_what_did_not_change_is_not_written_again(plant: Plant, store: DirectoryStore) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    before = blobs(store)
    plant.arrive(range(100))  # the group was reset: everything comes again
    plant.all_stages()
    assert {name: blob.etag for name, blob in blobs(store).items()} == {
        name: blob.etag for name, blob in before.items()
    }


def test_two_services_that_write_one_sensor_hour_lose_nothing_and_end_equal(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    other = Plant(tmp_path / "other", store)
    plant.arrive(range(100))
    other.arrive(range(60, 200))
    plant.all_stages()
    other.all_stages()
    assert stored_offsets(store, tmp_path) == [n for n in range(200) if n % 2 == 0]
    for _ in range(3):  # what the other brought comes here, and into the aggregates
        plant.catalog.receipts.try_all_now()
        other.all_stages()
        plant.arrive([0])
        plant.arrive([1], hour=HOUR + 1)
        plant.all_stages()
    assert other.offsets() == [n for n in range(200) if n % 2 == 0]


@pytest.mark.parametrize("max_rows", [400_000, 16])
def test_rows_of_others_in_the_blob_come_into_this_disks_file(
    tmp_path: Path, store: DirectoryStore, max_rows: int
) -> None:
    other = Plant(tmp_path / "other", store)
    other.arrive(range(50, 120))
    other.all_stages()
    plant = Plant(tmp_path / "data", store, max_rows=max_rows)
    plant.arrive(range(60))
    plant.compact()
    report = plant.upload()
    assert report.merged == 2
    assert report.adopted_rows == 60
    plant.compact()
    again = plant.upload()
    assert (again.merged, again.unchanged, again.uploaded) == (0, 2, 0)
    plant.arrive(range(130, 140))
    plant.compact()
    own = plant.upload()
    assert (own.merged, own.uploaded) == (0, 2)  # nobody else has written since
    plant.all_stages()
    assert plant.offsets() == [n for n in (*range(120), *range(130, 140)) if n % 2 == 0]
    assert plant.catalog.receipts.waiting().files == 0


def test_a_death_between_a_merged_hour_and_its_aggregates_leaves_stale_ones_that_are_made_again(
    tmp_path: Path, store: DirectoryStore
) -> None:
    whole = Plant(tmp_path / "whole", DirectoryStore(tmp_path / "reference"))
    whole.arrive(range(120))
    whole.arrive(range(120, 140), hour=HOUR + 1)
    whole.all_stages()
    other = Plant(tmp_path / "other", store)
    other.arrive(range(50, 120))
    other.all_stages()

    def dies(act: str, name: str) -> None:
        if act == "write" and name.endswith("temperature.parquet"):
            raise PowerCut

    plant = Plant(tmp_path / "data", FaultyStore(store, after=dies))
    plant.arrive(range(60))
    plant.arrive(range(120, 140), hour=HOUR + 1)  # whose carry-in is a reading of the other's
    plant.compact()
    plant.aggregate()
    with pytest.raises(PowerCut):
        plant.upload()
    assert aggregates(store) != aggregates(whole.store)
    plant.close()
    again = Plant(tmp_path / "data", store)
    for _ in range(2):  # what the other brought comes here, and then into the aggregates
        again.all_stages()
    assert aggregates(store) == aggregates(whole.store)


def aggregates(store: ColdStore) -> dict[str, bytes]:
    found = {}
    for name in blobs(store, "aggregated/"):
        held = BytesIO()
        store.download(name, held)
        found[name] = held.getvalue()
    return found


def test_a_lost_answer_is_looked_up_and_never_assumed(tmp_path: Path, store: DirectoryStore) -> None:
    faulty = FaultyStore(store, after=every(3, Transient("the answer was lost")))
    plant = Plant(tmp_path / "data", faulty)
    for hour in range(30):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.compact()
    report = plant.upload()
    assert report.failed == 0
    assert plant.catalog.receipts.waiting().files == 0
    writes = [name for _, name in faulty.calls]
    assert len(writes) == len(set(writes)) == 60


def test_while_the_store_is_away_nothing_is_lost_and_requests_back_off(
    tmp_path: Path, store: DirectoryStore
) -> None:
    faulty = FaultyStore(store, before=away)
    plant = Plant(tmp_path / "data", faulty)
    for hour in range(40):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.compact()
    now, rounds = LATER, []
    for _ in range(12):
        before = len(faulty.calls)
        report = plant.upload(now)
        rounds.append(len(faulty.calls) - before)
        assert report.uploaded == 0
        now += 60
    assert sum(rounds[6:]) / 6 <= rounds[0] / 10  # a minute each
    assert rounds[0] < 40  # the round ends when the store is away
    faulty.before = lambda _act, _name: None
    assert plant.upload(now + 1000).uploaded == 80
    assert plant.catalog.receipts.waiting().files == 0


def test_what_waits_of_hours_that_are_over_is_told_apart_from_open_hours(
    tmp_path: Path, store: DirectoryStore
) -> None:
    plant = Plant(tmp_path / "data", store)
    for hour in (0, 1, 2):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.compact()
    waiting = plant.catalog.receipts.waiting(HOUR)  # two of three hours are over
    assert 0 < waiting.sealed == waiting.files * 2 // 3
    assert plant.catalog.receipts.waiting().sealed == 0


def test_a_file_the_store_refuses_waits_for_a_person_and_keeps_no_other_from_its_place(
    tmp_path: Path, store: DirectoryStore
) -> None:
    def immutable(act: str, name: str) -> Exception | None:
        bad = act == "write" and name.endswith("state.parquet")
        return Refused("BlobImmutableDueToPolicy", hint="change the policy") if bad else None

    plant = Plant(tmp_path / "data", FaultyStore(store, before=immutable))
    plant.arrive(range(10))
    plant.compact()
    report = plant.upload()
    assert (report.uploaded, report.failed) == (1, 1)
    assert plant.catalog.receipts.waiting().errors == ("BlobImmutableDueToPolicy",)
    assert plant.upload(LATER + 60).failed == 0  # not asked again at once


def test_an_aggregate_waits_for_the_raw_blob_it_was_made_from(tmp_path: Path, store: DirectoryStore) -> None:
    def raw_is_away(act: str, name: str) -> Exception | None:
        return Transient("away") if name.startswith("raw/") and act == "write" else None

    faulty = FaultyStore(store, before=raw_is_away)
    plant = Plant(tmp_path / "data", faulty)
    plant.arrive(range(10))
    plant.compact()
    plant.aggregate()
    assert plant.upload().uploaded == 0
    assert blobs(store) == {}
    faulty.before = lambda _act, _name: None
    plant.upload_now()
    assert sorted(blobs(store)) == plant.local()


def test_eight_writers_of_the_same_blobs_lose_no_row(tmp_path: Path, store: DirectoryStore) -> None:
    found = writers(lambda number: Plant(tmp_path / f"writer-{number}", store), 8, merges=3, hours=2)
    assert (found["blobs"], found["rows"], found["lost"], found["double"]) == (4, 480, 0, 0)
    assert found["united"] > 20


def test_whoever_waits_long_for_room_gives_a_sign_of_life_each_second() -> None:
    waits, signs = list[float](), list[int]()
    pace = Pace(1_000, now=lambda: 0.0, wait=waits.append)
    pace.take(3_500)
    pace.take(1, lambda: signs.append(len(waits)))
    assert waits == [1.0, 1.0, 1.0, 0.5]
    assert signs == [1, 2, 3, 4]


def test_an_upload_gives_signs_of_life_while_a_file_waits_as_long_as_others_get_on(
    plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.compact()
    heard = Event()

    def hold(act: str, name: str) -> Exception | None:
        """The first file in the queue is at the store until somebody has heard of the other."""
        held = act == "write" and name.endswith("state.parquet")
        return None if not held or heard.wait(30) else Transient("nobody heard")

    plant.uploader = Uploader(
        plant.layout, plant.disk, plant.catalog, FaultyStore(store, before=hold), UploadPolicy(workers=2)
    )
    plant.uploader.alive = heard.set
    assert (plant.upload().uploaded, heard.is_set()) == (2, True)


def test_uploads_go_no_faster_than_they_may() -> None:
    clock, waits = [100.0], list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    pace = Pace(1_000_000, now=lambda: clock[0], wait=wait)
    for _ in range(10):
        pace.take(500_000)
    assert sum(waits) == pytest.approx(4.5)  # the tenth begins when nine times half a second are over
    clock[0] += 60
    pace.take(500_000)
    assert sum(waits) == pytest.approx(4.5)  # what was not used is not saved up, and nobody waits for it
    Pace(0, now=lambda: 1 / 0, wait=wait).take(1)
