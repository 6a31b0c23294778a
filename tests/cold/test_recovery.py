"""A lost disk: what the store has is known again, what it has not comes from Kafka, and nothing is passed over."""

import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pytest

from sensor_storage.api.snapshot import Meter, Snapshot, oldest_unsafe_hour
from sensor_storage.clock import SystemClock
from sensor_storage.cold import keepsakes, manifests
from sensor_storage.cold.audit import Audit
from sensor_storage.cold.azure_rest import _ask, rehydrate
from sensor_storage.cold.connect import Place, account_of
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.keepsakes import Keepsakes, published
from sensor_storage.cold.recovery import Recovered, Recovery, Rewind, plan_rewind
from sensor_storage.cold.store import Refused
from sensor_storage.cold.upload import UploadReport
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.kafka.rewind import plan_offsets
from sensor_storage.model import Source
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.safe_offsets import SafeOffset
from sensor_storage.storage.verify import stored_rows, verify
from support.aggregates import LATER
from support.azurite import container
from support.cold import Plant, blobs, directory, flip
from support.forgetful import PowerCut
from support.statuses import maintain_status
from support.trees import HOUR, SOURCE

SERVICE = "one"
OTHER = Source("sensor-data-a", "topic-id", 1, 0)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return directory(tmp_path)


@pytest.fixture
def plant(tmp_path: Path, store: DirectoryStore) -> Plant:
    return Plant(tmp_path / "data", store)


def keep(plant: Plant, store: DirectoryStore, service: str = SERVICE, now: float = LATER) -> None:
    """Publish what one service alone can say."""
    report = UploadReport()
    Keepsakes(plant.layout, plant.catalog, store, service, "group").run_once(now, report)
    assert not report.errors


def recover(root: Path, store: DirectoryStore, service: str = SERVICE) -> tuple[Plant, Rewind, Recovered]:
    """A new disk as `restore --rewind` makes it, but for Kafka."""
    layout = Layout(root / "raw")
    root.mkdir()
    assert Recovery.may_begin(layout)
    recovery = Recovery(layout, Disk(root), store, service)
    ledger = recovery.ledger()
    entries = [entry for day in ledger.values() for entry in day]
    plan = plan_rewind(entries, published(store)[service].offsets)
    recovery.begin()
    fresh = Plant(root, store)
    done = recovery.take(fresh.catalog, LATER)
    recovery.finish(ledger, plan.kept, done)
    return fresh, plan, done


def test_a_new_disk_knows_what_the_store_has_without_asking_for_each_blob(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.arrive(range(100, 200), hour=HOUR + 1)
    plant.all_stages()
    keep(plant, store)
    fresh, plan, done = recover(tmp_path / "new", store)
    assert plan.offsets == {SOURCE[:3]: 200}
    assert (done.read, done.missing, done.damaged) == (0, [], {})
    assert done.files + done.aggregates == len(plant.local())
    assert fresh.local() == []
    assert fresh.offsets() == plant.offsets() == list(range(0, 200, 2))
    assert fresh.catalog.sums() == (0, 200, 0)
    assert verify(fresh.layout).clean
    assert fresh.upload().uploaded == 0


def test_a_large_manifest_is_written_in_pieces_and_not_in_each_round(
    plant: Plant, store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_PIECE_ROWS", 2)
    monkeypatch.setattr(
        keepsakes, "monotonic", map(float, range(0, 1000, 10)).__next__
    )  # each takes ten seconds
    keeps, report, told = plant.keepsakes, UploadReport(), []
    for number, now in enumerate((LATER, LATER + 190, LATER + 210)):
        plant.arrive(range(100 * number, 100 * number + 100), hour=HOUR + number)
        plant.all_stages()
        keeps.run_once(now, report)
        copy = tmp_path / "manifest"
        with copy.open("wb") as file:
            store.download(manifests.manifest_name("services/one", int(LATER // 3600)), file)
        told.append([one.receipt.name for one in manifests.read_manifest(copy)])
    assert report.errors == {}
    assert told[0] == told[1]
    assert told[2] == sorted(name for name in blobs(store) if not name.startswith("services/"))
    assert len(told[2]) > len(told[0]) > 2


def test_late_readings_of_a_recovered_hour_make_the_aggregates_they_would_have_made(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.arrive(range(100, 200), hour=HOUR + 1)
    plant.all_stages()
    keep(plant, store)
    fresh, _, _ = recover(tmp_path / "new", store)
    for one in (plant, fresh):
        one.arrive(range(200, 220), hour=HOUR + 1)
        one.compact()
        one.aggregate()
    for name in fresh.local():
        assert (fresh.layout.root / name).read_bytes() == (plant.layout.root / name).read_bytes(), name
    assert any("aggregated/" in name for name in fresh.local())


def test_what_was_not_safe_is_read_again_and_stands_once(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    plant.arrive(range(100, 200))  # in the file of the hour, whose blob does not have them
    plant.compact()
    plant.arrive(range(200, 300))  # staged
    keep(plant, store)  # the ledger goes up with entries whose readings are not safe
    fresh, plan, _ = recover(tmp_path / "new", store)
    assert plan == Rewind(frozenset(), {SOURCE[:3]: 0})
    fresh.arrive(range(300))  # Kafka sends them again
    fresh.all_stages()
    assert fresh.offsets() == list(range(0, 300, 2))
    report = verify(fresh.layout, full=True)
    assert report.clean, report.findings


def test_a_promise_is_taken_back_before_the_ledger_tells_of_a_past_range_that_is_not_safe(
    tmp_path: Path, plant: Plant, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.arrive(range(100, 200))
    plant.all_stages()
    keep(plant, store)
    assert published(store)[SERVICE].offsets[0].offset == 200
    plant.arrive(range(100))  # as `backfill --from-kafka` brings them
    plant.compact()
    dies = Keepsakes(plant.layout, plant.catalog, store, SERVICE, "group")
    monkeypatch.setattr(dies, "_tell_receipts", _power_cut)
    with pytest.raises(PowerCut):
        dies.run_once(LATER, UploadReport())
    _, plan, _ = recover(tmp_path / "new", store)
    assert plan == Rewind(frozenset(), {SOURCE[:3]: 0})


def _power_cut(_: float) -> None:
    raise PowerCut


def test_the_recovery_point_is_the_oldest_hour_that_is_staged_or_not_uploaded(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    assert _unsafe(plant) is None
    plant.arrive(range(100), hour=HOUR + 3)
    assert _unsafe(plant) == HOUR + 3
    plant.arrive(range(100, 200), hour=HOUR + 1)
    plant.compact()
    assert _unsafe(plant) == HOUR + 1
    plant.all_stages()
    assert _unsafe(plant) is None
    plant.arrive(range(200, 210), hour=HOUR)  # late
    assert _unsafe(plant) == HOUR
    plant.compact()
    assert _unsafe(plant) == HOUR
    plant.all_stages()
    plant.clean(age_days=0)
    assert _unsafe(plant) is None
    keep(plant, store)
    fresh, _, _ = recover(tmp_path / "new", store)
    assert _unsafe(fresh) is None
    fresh.arrive(range(210, 220), hour=HOUR + 4)
    assert _unsafe(fresh) == HOUR + 4


def _unsafe(plant: Plant) -> int | None:
    """As `status` and the metric tell it."""
    plant.compactor.staging.refresh()
    maintain = maintain_status(oldest_waiting_hour=plant.compactor.staging.oldest_hour())
    return oldest_unsafe_hour(
        Snapshot(LATER, maintain=maintain), Meter(plant.layout, SystemClock()).measure()
    )


def test_a_ledger_taken_back_whole_would_pass_over_what_is_lost(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    plant.arrive(range(100, 200), hour=HOUR + 1)
    plant.compact()
    keep(plant, store)
    fresh, plan, _ = recover(tmp_path / "new", store)
    answered = [entry for path in fresh.layout.ledger_files() for entry in plan.kept if path.exists()]
    assert all(entry.stop <= plan.offsets[SOURCE[:3]] for entry in answered)
    assert plan.offsets[SOURCE[:3]] <= 100


def test_a_blob_the_manifests_do_not_tell_of_is_read(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    keep(plant, store)
    plant.arrive(range(100, 140), hour=HOUR + 2)
    plant.all_stages()  # and dies before it publishes
    fresh, _, done = recover(tmp_path / "new", store)
    assert done.read > 0
    assert fresh.offsets() == list(range(0, 140, 2))


def test_another_services_files_are_left_to_it(tmp_path: Path, plant: Plant, store: DirectoryStore) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    keep(plant, store)
    other = Plant(tmp_path / "other", store)
    other.arrive(range(100, 200), hour=HOUR + 5, source=OTHER)
    other.all_stages()
    keep(other, store, "two")
    assert sorted(published(store)) == ["one", "two"]
    fresh, _, _ = recover(tmp_path / "new", store)
    assert fresh.offsets() == plant.offsets()


def test_a_manifest_is_written_only_when_there_is_more_to_tell(plant: Plant, store: DirectoryStore) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    keep(plant, store)
    before = blobs(store, "services/one/receipts/")
    keep(plant, store, now=LATER + 60)
    assert blobs(store, "services/one/receipts/") == before
    assert len(before) == 1


def test_a_blob_that_is_gone_is_named(tmp_path: Path, plant: Plant, store: DirectoryStore) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    keep(plant, store)
    (name, *_) = blobs(store, "raw/")
    store.delete(name)
    _, _, done = recover(tmp_path / "new", store)
    assert done.missing == [name]


def test_a_directory_with_data_is_no_new_disk(plant: Plant) -> None:
    plant.arrive(range(10))
    assert not Recovery.may_begin(plant.layout)


@pytest.mark.parametrize(
    ("entries", "safe", "kept", "offset"),
    [
        ([(0, 100), (100, 200)], 200, [(0, 100), (100, 200)], 200),
        ([(0, 100), (100, 200)], 150, [(0, 100)], 100),
        ([(0, 100), (100, 200)], 0, [], 0),
        ([(0, 100), (50, 200)], 120, [], 0),
        ([(0, 100)], None, [], 0),
        ([], 70, [], 70),
    ],
)
def test_the_ledger_is_cut_where_not_everything_is_safe(
    entries: Sequence[tuple[int, int]], safe: int | None, kept: Sequence[tuple[int, int]], offset: int
) -> None:
    limits = [SafeOffset(*SOURCE[:3], safe, 500)] if safe is not None else []
    plan = plan_rewind([LedgerEntry(SOURCE, *span) for span in entries], limits)
    assert plan.kept == {LedgerEntry(SOURCE, *span) for span in kept}
    assert plan.offsets == {SOURCE[:3]: offset}


@pytest.mark.parametrize(
    ("committed", "ids", "expected"),
    [
        ({("t", 0): (90, "id")}, {"t": "id"}, {("t", 0): (50, "id")}),
        ({("t", 0): (20, "id")}, {"t": "id"}, {("t", 0): (20, "id")}),
        ({}, {"t": "id"}, {("t", 0): (50, "id")}),
        ({("t", 0): (90, "id")}, {"t": "made again"}, {}),
        (
            {("t", 0): (90, "id"), ("t", 1): (7, "id")},
            {"t": "id"},
            {("t", 0): (50, "id"), ("t", 1): (3, "id")},
        ),
        ({("t", 2): (7, "id")}, {"t": "id"}, {("t", 0): (50, "id")}),
    ],
    ids=["back", "never ahead", "expired", "another topic", "nothing told of it", "told by another"],
)
def test_the_group_goes_back_as_far_as_it_must_and_no_further(
    committed: dict[tuple[str, int], tuple[int, str]],
    ids: dict[str, str],
    expected: dict[tuple[str, int], tuple[int, str]],
) -> None:
    told = {("t", 0), ("t", 2)}
    found = plan_offsets({("t", "id", 0): 50}, told=told, committed=committed, ids=ids, first=lambda _: 3)
    assert found == expected


def test_each_receipt_is_held_against_the_store(plant: Plant, store: DirectoryStore) -> None:
    for hour in range(5):
        plant.arrive(range(hour * 100, hour * 100 + 100), hour=HOUR + hour)
    plant.all_stages()
    names = [name for name in blobs(store, "raw/") if "temperature" in name]
    gone, flipped, replaced, *_ = names
    store.delete(gone)
    flip(store, flipped)
    held = blobs(store)[replaced]
    store.write(replaced, b"nothing", replaces=held.etag, metadata={})
    store.write("raw/other.parquet", b"theirs", replaces=None, metadata={})

    def marks(*, full: bool) -> dict[str, str]:
        audit = Audit(store, plant.catalog, plant.files, Disk(plant.layout.root), full=full)
        return {one.name: one.mark for one in audit.run() if one.mark != "="}

    quick = {gone: "-", replaced: "!", "raw/other.parquet": "+"}
    assert marks(full=False) == quick
    assert marks(full=True) == quick | {flipped: "!"}


def test_a_blob_that_others_added_to_is_told_apart_from_damage(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    other = Plant(tmp_path / "other", store)
    plant.arrive(range(100))
    plant.all_stages()
    other.arrive(range(60, 200))
    other.all_stages()
    audit = Audit(store, plant.catalog, plant.files, Disk(plant.layout.root), full=True)
    changed = [one for one in audit.run() if one.mark == "*" and one.name.startswith("raw/")]
    assert changed
    assert all(one.good for one in changed)


def test_what_is_only_in_the_store_counts_as_stored(plant: Plant) -> None:
    plant.arrive(range(100))
    plant.all_stages()
    assert plant.clean(LATER + 30 * 86_400).removed
    assert plant.local() == []

    def offsets(find: Callable[[Path], Path] | None) -> list[int]:
        found: list[int] = []
        stored_rows(plant.layout, lambda rows: found.extend(rows.offset.tolist()), find)
        return sorted(found)

    assert offsets(None) == []
    assert offsets(plant.files.find) == list(range(100))


def test_an_archived_blob_is_refused_with_the_remedy_and_can_be_asked_for(tmp_path: Path) -> None:
    with Azurite(tmp_path / "azurite", cache=cache_folder(os.environ)) as azurite:
        store = container(azurite, "archive")
        account = account_of(Place("az://archive", ACCOUNT, KEY, endpoint=azurite.endpoint))
        store.write("raw/a%20b/x.parquet", b"content", replaces=None, metadata={})
        _ask(
            "PUT", account, "archive/raw/a%2520b/x.parquet", {"comp": "tier"}, {"x-ms-access-tier": "Archive"}
        )
        with pytest.raises(Refused, match="Archived") as refused:
            store.download("raw/a%20b/x.parquet", BytesIO())
        assert "restore --rehydrate" in refused.value.hint
        rehydrate(account, "archive", "raw/a%20b/x.parquet")
        held = BytesIO()
        store.download("raw/a%20b/x.parquet", held)
        assert held.getvalue() == b"content"
