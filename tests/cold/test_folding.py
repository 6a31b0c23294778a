"""Folded days: the catalog forgets their receipts, and no answer changes; what changes a day unfolds it first."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.clock import ManualClock, SystemClock
from sensor_storage.cold.audit import Audit
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.folding import Day, Folder, Folding, is_told, ready_at, why_not
from sensor_storage.cold.recovery import Recovery
from sensor_storage.errors import DamagedBlob, Transient, Usage
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import ALL, Interval, Question, Resolution
from sensor_storage.storage.catalog import SCHEMA_VERSION, Catalog
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.folding import DayState
from sensor_storage.storage.layout import Layout, day_of
from sensor_storage.storage.verify import verify
from support.aggregates import LATER, SERIES
from support.cold import (
    EVERYTHING,
    MONTH,
    SERVICE,
    FaultyStore,
    Plant,
    away,
    blobs,
    directory,
    every,
    flip,
    fold_all,
)
from support.forgetful import ForgetfulSteps, PowerCut
from support.trees import HOUR, SOURCE

DAY = HOUR // 24
FIRST = DAY * 24
ODD = Series("hall/1 °", "flow rate")
BOTH = (SERIES, ODD, Series("press-1", "state"))
SPAN = Interval((FIRST - 5) * 3_600_000_000, (FIRST + 77) * 3_600_000_000)
LEVELS: tuple[Resolution, ...] = ("raw", "minute", "hour", "day")
TABLES = ("hour_file", "aggregate", "aggregate_file", "receipt_of", "aggregate_due", "upload_due", "total")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return directory(tmp_path)


@pytest.fixture
def plant(tmp_path: Path, store: DirectoryStore) -> Iterator[Plant]:
    with closing(Plant(tmp_path / "data", store)) as plant:
        yield plant


def three_days(plant: Plant) -> None:
    """Some hours of three days, up to their edges."""
    for number, hour in enumerate((0, 5, 23, 24, 26, 47, 48, 60)):
        plant.arrive(range(number * 60, number * 60 + 60), hour=FIRST + hour, series=BOTH)


def folded(plant: Plant) -> list[tuple[str, int]]:
    return sorted((one.asset, one.day) for one in plant.catalog.folded.all())


def unfold_all(plant: Plant) -> None:
    for asset, day in folded(plant):
        plant.compactor._bring_back.unfold(asset, day * 24, day * 24)  # type: ignore[attr-defined]  # a Thaw


def rows(plant: Plant) -> dict[str, list[Any]]:
    """The catalog's tables, but for receipts of manifests, and whether an hour file was verified."""
    with closing(sqlite3.connect(plant.layout.catalog)) as database:
        found = {
            table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - of the names above
            for table in TABLES
        }
        found["receipt"] = database.execute(
            "SELECT * FROM receipt WHERE name NOT LIKE 'services/%' ORDER BY name"
        ).fetchall()
        found["hour_file"] = [row[:9] + row[10:] for row in found["hour_file"]]
    return {table: sorted(those, key=repr) for table, those in found.items()}


def answers(plant: Plant) -> dict[str, Any]:
    """What the catalog, the receipts and queries say, whatever way it is kept."""
    catalog, found = plant.catalog, dict[str, Any]()
    series = [Series(*one) for one in sorted({*BOTH, Series("press-1", "nobody's")})]
    spans = [
        (0, 1 << 30),
        (FIRST, FIRST + 23),
        (FIRST + 5, FIRST + 26),
        (FIRST + 23, FIRST + 24),
        (FIRST + 60, FIRST + 99),
    ]
    hours = range(FIRST - 1, FIRST + 73)
    with CatalogView.of(plant.layout) as view:
        found["assets"] = [list(view.assets()), list(view.assets("hall/1 °"))]
        found["series"] = [list(view.series()), list(view.series(ODD)), list(view.series(asset="press-1"))]
        for one in series:
            found[f"of {one}"] = [view.has(one), view.newest(one), view.coverage(one)]
            found[f"hours of {one}"] = view.filed_hours(one, set(hours))
            for span in spans:
                found[f"{one} {span}"] = (
                    view.filed(one, *span),
                    view.cold_hours(one, *span),
                    view.digests(one, *span),
                    catalog.aggregates.hours_of(one, *span),
                    catalog.aggregates.carries(one, *span),
                    catalog.aggregates.last_carry_out(one, *span),
                    sorted(view.hours_of_asset(one.asset, [one.sensor], *span)),
                )
        found["holding"] = [sorted(view.holding(SOURCE.topic, 0, offset)) for offset in (0, 61, 299, 100_000)]
    found["coverage"] = [list(catalog.coverage()), list(catalog.coverage("press-1"))]
    found["sums"] = catalog.sums()
    keys = [SensorHour(one, hour) for one in series for hour in hours]
    found["rows"] = catalog.rows_of(keys)
    found["files"] = [catalog.find(key) for key in keys]
    found["cold"] = [catalog.is_cold(key) for key in keys]
    found["cold files"] = sorted(catalog.cold_files(), key=lambda file: file.key)
    found["periods"] = [catalog.aggregates.cold_periods(one) for one in series]
    found["receipts"] = {
        name: plant.files.receipt(name) for name in blobs(plant.store) if not name.startswith("services/")
    }
    report = verify(plant.layout)
    found["verify"] = (report.findings, report.partitions, report.cold_files)
    queries = Queries(plant.layout, ManualClock(LATER), Limits(0, 0), files=plant.files)
    for level in LEVELS:
        asked = Question((ALL,), (ALL,), SPAN, level, addresses=level == "raw")
        answer = queries.answer(asked)
        found[level] = pa.concat_tables([answer.schema.empty_table(), *answer.tables])
        found[f"plan of {level}"] = (answer.plan, queries.tag(asked), answer.warnings)
    return found


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (DayState(0, 0, 0, 1.0), ""),
        (DayState(1, 0, 0, 1.0), "files of it are on this disk"),
        (DayState(0, 0, 1, 1.0), "something of it is due"),
        (DayState(0, 1, 0, 1.0), "the cold store is not known to have all of it"),
    ],
)
def test_a_day_folds_only_when_all_of_it_is_cold_proven_and_nothing_is_due(state: DayState, why: str) -> None:
    assert why_not(state) == why


@pytest.mark.parametrize(
    ("uploaded_at", "now", "told", "ready", "is_there"),
    [
        (1000.0, 1000.0 + 7 * 86_400, 20_000.0, True, True),
        (1000.0, 999.0 + 7 * 86_400, 20_000.0, False, True),
        (19_000.0, MONTH, 20_000.0, True, False),
        (0.0, MONTH, 0.0, True, False),
    ],
    ids=["rested and told", "uploaded lately", "its hour's manifest may be written again", "never told"],
)
def test_a_day_folds_a_week_after_its_last_upload_once_the_hours_manifests_have_it(
    uploaded_at: float, now: float, told: float, ready: bool, is_there: bool
) -> None:
    state = DayState(0, 0, 0, uploaded_at)
    assert (ready_at(state) <= now, is_told(state, told)) == (ready, is_there)


def test_folding_and_what_goes_up_before_it_give_signs_of_life(plant: Plant) -> None:
    signs: dict[str, int] = {"keepsakes": 0, "folding": 0}

    def count(stage: str) -> Callable[[], None]:
        return lambda: signs.update({stage: signs[stage] + 1})

    plant.keepsakes.alive, plant.folding.alive = count("keepsakes"), count("folding")
    three_days(plant)
    days = fold_all(plant)
    assert signs["folding"] >= days > 0
    assert signs["keepsakes"] >= len(list(plant.layout.ledger_files())) > 0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("raw/a%2Fb/2024/01/02/03/x.parquet", ("a%2Fb", 19_724)),
        ("aggregated/a/2024/01/02/03/x_minute.parquet", ("a", 19_724)),
        ("aggregated/a/2024/01/02/x_hour.parquet", ("a", 19_724)),
        ("aggregated/a/2024/01/x_day.parquet", None),
        ("services/one/days/a/2024/01/02.parquet", None),
        ("services/one/ledger/2024/01/02.parquet", None),
        ("raw/a/2024/13/02/03/x.parquet", None),
    ],
)
def test_the_day_of_a_blob_is_in_its_name(name: str, found: tuple[str, int] | None) -> None:
    assert day_of(name) == found


def test_folded_days_leave_the_tables_and_no_answer_changes(plant: Plant, store: DirectoryStore) -> None:
    three_days(plant)
    plant.all_stages()
    plant.clean(LATER + MONTH)
    before, tables = answers(plant), rows(plant)
    assert plant.fold(LATER + 2 * MONTH) == 6
    assert folded(plant) == [(asset, DAY + day) for asset in (ODD.asset, "press-1") for day in range(3)]
    left = rows(plant)
    assert left["hour_file"] == []
    assert [row[1] for row in left["receipt_of"]] == ["day"] * 3
    assert answers(plant) == before
    assert len(blobs(store, "services/one/days/")) == 6
    assert plant.fold(LATER + 2 * MONTH) == 0
    unfold_all(plant)
    assert folded(plant) == []
    assert rows(plant) == tables
    assert answers(plant) == before


HISTORIES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 71), min_size=1, max_size=4, unique=True),
        st.lists(st.sampled_from(BOTH), min_size=1, max_size=3, unique=True),
        st.integers(1, 20),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=3, deadline=None)
@given(history=HISTORIES, seed=st.randoms(use_true_random=False))
def test_for_any_history_folding_and_unfolding_leave_every_answer_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any], seed: Random
) -> None:
    """Between the parts of a history days fold, and perhaps unfold; a twin that never folds says the same."""
    root = tmp_path_factory.mktemp("folding")
    twins = [Plant(root / name, DirectoryStore(root / f"{name}-cold")) for name in ("folds", "never")]
    offset = 0
    for hours, series, count in history:
        for hour in hours:
            for one in twins:
                one.arrive(range(offset, offset + count), hour=FIRST + hour, series=series)
            offset += count
        for one in twins:
            one.all_stages()
            one.clean(LATER + MONTH)
        before = answers(twins[0])
        unfold_all(twins[0])
        tables = rows(twins[0])
        assert twins[0].fold(LATER + 2 * MONTH) > 0
        assert answers(twins[0]) == before
        if seed.random() < 0.5:
            unfold_all(twins[0])
            assert rows(twins[0]) == tables
    mine, other = (answers(one) for one in twins)
    assert {
        name: mine[name] for name in mine if name not in {"receipts", "verify"}
    }.keys() == other.keys() - {
        "receipts",
        "verify",
    }
    for level in LEVELS:
        assert mine[level] == other[level]
    stored = [
        {
            name: (root / f"{which}-cold" / name).read_bytes()
            for name in blobs(one.store)
            if "services/" not in name
        }
        for which, one in zip(("folds", "never"), twins, strict=True)
    ]
    assert stored[0] == stored[1]
    for one in twins:
        one.close()


@pytest.mark.parametrize(
    ("hour", "series"),
    [(5, SERIES), (6, SERIES), (23, SERIES), (24, SERIES), (5, Series("press-1", "new")), (72, SERIES)],
    ids=[
        "its hour has a file",
        "none",
        "held into the next day",
        "held from the day before",
        "a new sensor",
        "later",
    ],
)
def test_a_late_reading_of_a_folded_day_makes_what_it_would_have_made(
    tmp_path: Path, plant: Plant, store: DirectoryStore, hour: int, series: Series
) -> None:
    twin = Plant(tmp_path / "twin", DirectoryStore(tmp_path / "twin-cold"))
    for one in (plant, twin):
        three_days(one)
        one.all_stages()
        one.clean(LATER + MONTH)
    assert plant.fold(LATER + 2 * MONTH) == 6
    for one in (plant, twin):
        one.arrive(range(1000, 1040), hour=FIRST + hour, series=[series], spread_seconds=7)
        one.compact()
        one.aggregate()
    names = plant.local()
    assert names == twin.local()
    for name in names:
        assert (plant.layout.root / name).read_bytes() == (twin.layout.root / name).read_bytes(), name
    assert (ODD.asset, DAY) in folded(plant)
    for one in (plant, twin):
        assert one.upload_now().failed == 0
        assert one.upload().waiting == 0
        one.clean(LATER + MONTH)
    assert plant.offsets() == twin.offsets()
    assert verify(plant.layout).clean
    plant.fold(LATER + 2 * MONTH)
    assert len(folded(plant)) == 6 + (hour == 72)
    mine, other = answers(plant), answers(twin)
    assert all(mine[level] == other[level] for level in LEVELS)
    assert {one.mark for one in audit(plant, store)} == {"=", "+"}
    twin.close()


def test_the_file_of_a_months_days_goes_up_though_its_other_days_are_folded(plant: Plant) -> None:
    three_days(plant)
    assert fold_all(plant) == 6
    plant.arrive(range(2000, 2100), hour=FIRST + 24 * 5)
    plant.compact()
    plant.aggregate()
    report = plant.upload()
    assert (report.failed, report.postponed, report.waiting) == (0, 0, 0)


def test_a_late_reading_waits_while_the_manifest_does_not_come(tmp_path: Path, plant: Plant) -> None:
    three_days(plant)
    fold_all(plant)
    gone = Plant(tmp_path / "data", FaultyStore(plant.store, before=away))
    gone.arrive(range(1000, 1010), hour=FIRST + 5)
    gone.arrive(range(1010, 1020), hour=FIRST + 9)
    report = gone.compact()
    assert len(report.blocked) == 4
    assert all("away" in why for why in report.blocked.values())
    assert len(folded(gone)) == 6
    queries = Queries(gone.layout, SystemClock(), Limits(0, 0), files=gone.files)
    start = (FIRST + 9) * 3_600_000_000
    asked = Question((SERIES.asset,), (SERIES.sensor,), Interval(start, start + 3_600_000_000), "raw")
    assert sum(table.num_rows for table in queries.answer(asked).tables) == 5
    gone.close()
    plant.all_stages()
    assert set(plant.offsets()) >= {*range(1000, 1020, 2)}
    assert verify(plant.layout).clean


def audit(plant: Plant, store: DirectoryStore, *, full: bool = True) -> list[Any]:
    files = ColdFiles(plant.layout, store, SystemClock(), 1_000_000_000)
    return list(Audit(store, plant.catalog, files, Disk(plant.layout.root), full=full).run())


def test_every_receipt_of_folded_days_is_held_against_the_store(plant: Plant, store: DirectoryStore) -> None:
    three_days(plant)
    fold_all(plant)
    assert {one.mark for one in audit(plant, store) if not one.name.endswith("safe-offsets.json")} == {"="}
    gone, flipped, *_ = blobs(store, "raw/")
    store.delete(gone)
    flip(store, flipped)
    bad = {one.name: (one.mark, one.good) for one in audit(plant, store) if one.mark not in "=+"}
    assert bad == {gone: ("-", False), flipped: ("!", False)}


@pytest.mark.parametrize("lost", [True, False], ids=["missing", "damaged"])
def test_a_lost_manifest_is_named_and_nothing_is_lost_with_it(
    tmp_path: Path, plant: Plant, store: DirectoryStore, lost: bool
) -> None:
    three_days(plant)
    fold_all(plant)
    expected = answers(plant)
    name = f"services/one/days/press-1/{SensorHour(SERIES, FIRST).start:%Y/%m/%d}.parquet"
    store.delete(name) if lost else flip(store, name)
    fresh = ColdFiles(Layout(tmp_path / "elsewhere" / "raw"), store, SystemClock(), 0)
    plant.files.manifests = fresh.manifests  # no copy of it is here
    path = plant.layout.hour_file(SensorHour(SERIES, FIRST + 5))
    with pytest.raises(DamagedBlob, match="it tells of the files of press-1") as told:
        plant.files.find(path)
    assert name in told.value.message
    assert "rebuild" in told.value.hint
    queries = Queries(plant.layout, ManualClock(LATER), Limits(0, 0), files=plant.files)
    asked = Question((SERIES.asset,), (SERIES.sensor,), EVERYTHING, "raw")
    answer = queries.answer(asked)
    assert sum(table.num_rows for table in answer.tables) == 5 * 20  # of the other two days
    assert len(answer.warnings) == 3
    plant.arrive(range(1000, 1010), hour=FIRST + 5)
    assert all(name in why for why in plant.compact().blocked.values())
    bad = [one for one in audit(plant, store) if not one.good]
    assert [(one.name, one.mark) for one in bad] == [(name, "-" if lost else "!")]
    again = rebuilt(plant, store)
    again.all_stages()
    before = {*expected["raw"]["kafka_offset"].to_pylist()}
    series = [one for one in BOTH if one in again.catalog.aggregates.series()]
    found = {offset for one in [*series, Series("press-1", "state")] for offset in again.offsets(one)}
    assert found == before | {*range(1000, 1010)}
    assert verify(again.layout).clean
    again.close()


def rebuilt(plant: Plant, store: DirectoryStore) -> Plant:
    """As `rebuild` does it: the catalog of what is here, which is nothing, and of the store."""
    plant.close()
    for suffix in ("", "-wal", "-shm"):
        plant.layout.catalog.with_name(plant.layout.catalog.name + suffix).unlink(missing_ok=True)
    fresh = Plant(plant.layout.root, store)
    Recovery(fresh.layout, fresh.disk, store, SERVICE).take(fresh.catalog, LATER)
    return fresh


def test_a_new_disk_knows_folded_days_by_their_manifests_alone(plant: Plant, store: DirectoryStore) -> None:
    three_days(plant)
    fold_all(plant)
    expected = answers(plant)
    for name in blobs(store, "services/one/receipts/"):
        store.delete(name)  # the manifests by hour
    written = {name: blob.etag for name, blob in blobs(store, "services/one/days/").items()}
    fresh = rebuilt(plant, store)
    assert answers(fresh) == expected
    assert fresh.fold(LATER + 2 * MONTH) == 6
    assert answers(fresh) == expected
    assert {row.local_digest for row in map(fresh.catalog.receipts.find, written) if row}
    fresh.close()


def test_of_two_manifests_the_later_upload_counts(plant: Plant, store: DirectoryStore) -> None:
    three_days(plant)
    fold_all(plant)
    plant.arrive(range(1000, 1010), hour=FIRST + 5)
    plant.compact()
    plant.aggregate()
    plant.upload(LATER + MONTH)
    plant.keepsakes.run_once(LATER + MONTH, report := plant.upload())
    assert not report.errors
    expected = plant.offsets()
    fresh = rebuilt(plant, store)
    assert fresh.offsets() == expected
    fresh.close()


class Cut:
    """A connection that dies before, or after, its so-many-th statement."""

    def __init__(self, database: sqlite3.Connection, at: int, *, after: bool) -> None:
        self._database, self._at, self._after = database, at, after
        self.taken = 0

    def execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._step(lambda: self._database.execute(query, values))

    def executemany(self, query: str, values: Sequence[Any]) -> sqlite3.Cursor:
        return self._step(lambda: self._database.executemany(query, values))

    def __enter__(self) -> None:
        self._database.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.__exit__(kind, error, trace)

    def _step(self, act: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        number, self.taken = self.taken, self.taken + 1
        if number == self._at and not self._after:
            raise PowerCut
        done = act()
        if number == self._at:
            raise PowerCut
        return done


@pytest.mark.parametrize("act", ["fold", "unfold"])
def test_a_death_at_any_statement_leaves_all_of_the_day_or_its_row(tmp_path: Path, act: str) -> None:
    store = directory(tmp_path)
    with closing(Plant(tmp_path / "data", store)) as plant:
        three_days(plant)
        plant.all_stages()
        plant.clean(LATER + MONTH)
        unfolded = rows(plant)
        expected = answers(plant)
        fold_all(plant)
        if act == "fold":
            unfold_all(plant)
        real, number, deaths = plant.catalog.folded._db, 0, 0
        while deaths == number:
            for after in (False, True):
                cut = Cut(real, number, after=after)
                plant.catalog.folded._db = cut  # type: ignore[assignment]  # of the same form
                try:
                    plant.fold(LATER + 2 * MONTH) if act == "fold" else unfold_all(plant)
                except PowerCut:
                    deaths += after
                plant.catalog.folded._db = real
                assert answers_of_catalog(plant) == {
                    name: expected[name] for name in answers_of_catalog(plant)
                }
            number += 1
        assert number > 20
        plant.fold(LATER + 2 * MONTH) if act == "fold" else unfold_all(plant)
        unfold_all(plant)
        assert rows(plant) == unfolded


def answers_of_catalog(plant: Plant) -> dict[str, Any]:
    return {
        "coverage": [list(plant.catalog.coverage()), list(plant.catalog.coverage("press-1"))],
        "sums": plant.catalog.sums(),
    }


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fold_whose_manifest_is_not_known_to_be_written_folds_nothing(
    tmp_path: Path, store: DirectoryStore, when: str
) -> None:
    with closing(Plant(tmp_path / "data", store)) as plant:
        three_days(plant)
        plant.all_stages()
        plant.clean(LATER + MONTH)
        expected = answers(plant)
        plant.keepsakes.run_once(LATER + MONTH, plant.upload())
        lost = every(1, Transient("no answer"))
        faulty = FaultyStore(store, before=lost) if when == "before" else FaultyStore(store, after=lost)
        folding = Folding(plant.catalog, faulty, SERVICE, Folder(plant.catalog).fold)
        with pytest.raises(Transient):
            folding.run_once(LATER + 2 * MONTH)
        assert folded(plant) == []
        assert answers(plant) == expected
        assert plant.fold(LATER + 2 * MONTH) == 6
        assert answers(plant) == expected


def test_a_death_amid_a_late_reading_of_a_folded_day_loses_nothing(tmp_path: Path) -> None:
    """At every third step on the disk, with the catalog kept, as a kill leaves it."""
    taken, number = 1, 0
    while number < taken:
        root = tmp_path / str(number)
        store = directory(root)
        with closing(Plant(root / "data", store)) as plant:
            plant.arrive(range(40), hour=FIRST + 5)
            plant.arrive(range(40, 80), hour=FIRST + 24)
            assert fold_all(plant) == 2
            plant.arrive(range(100, 120), hour=FIRST + 6)
        steps = ForgetfulSteps(root / "data", crash_at=number)
        dying = Plant(root / "data", store, steps=steps)
        try:
            fold_all(dying)
        except PowerCut:
            taken = number + 4
        dying.close()
        with closing(Plant(root / "data", store)) as again:
            again.disk.clear_aside()
            fold_all(again)
            assert again.offsets() == [*range(0, 80, 2), *range(100, 120, 2)]
            assert verify(again.layout).clean
            assert len(folded(again)) == 2
        number += 3
    assert number > 10


ACTS = ("late", "compact", "clean", "note", "fold")
ORDERS = [order for order in permutations(ACTS) if order.index("note") < order.index("fold")]


@pytest.mark.parametrize("first", sorted({order[:1] for order in ORDERS}), ids="-".join)
def test_no_order_loses_a_reading_or_folds_what_has_changed(tmp_path: Path, first: tuple[str, ...]) -> None:
    """A fold is cut between its manifest and the owner's part; a late reading comes anywhere."""
    for number, order in enumerate(one for one in ORDERS if one[:1] == first):
        store = directory(tmp_path / str(number))
        with closing(Plant(tmp_path / str(number) / "data", store)) as plant:
            arrived = [*range(0, 20, 2)]
            plant.arrive(arrived)
            plant.all_stages()
            plant.clean(LATER + MONTH)
            plant.keepsakes.run_once(LATER + MONTH, plant.upload())
            noted: list[Day] = []
            for act in order:
                if act == "late":
                    arrived += [100, 102]
                    plant.arrive([100, 102])
                elif act == "compact":
                    plant.compact()
                    plant.aggregate()
                elif act == "clean":
                    plant.upload_now()
                    plant.clean(LATER + MONTH)
                elif act == "note":
                    noting(plant, noted).run_once(LATER + 2 * MONTH)
                else:
                    Folder(plant.catalog).fold(noted)
            assert plant.offsets() == arrived, order
            plant.all_stages()
            assert plant.offsets() == arrived, order
            fold_all(plant)
            assert plant.offsets() == arrived, order
            assert verify(plant.layout).clean


def noting(plant: Plant, noted: list[Day]) -> Folding:
    """The cold worker's part alone: what the owner is to fold is noted."""

    def note(days: Sequence[Day]) -> list[str]:
        noted.extend(days)
        return ["not yet"] * len(days)

    return Folding(plant.catalog, plant.store, SERVICE, note)


def test_the_owner_refuses_a_day_that_has_changed_since_its_manifest(plant: Plant) -> None:
    plant.arrive(range(20))
    plant.all_stages()
    plant.clean(LATER + MONTH)
    plant.keepsakes.run_once(LATER + MONTH, plant.upload())
    noted: list[Day] = []
    noting(plant, noted).run_once(LATER + 2 * MONTH)
    plant.arrive(range(100, 110))
    plant.all_stages()
    assert Folder(plant.catalog).fold(noted) == ["it has changed since its manifest was written"]
    plant.clean(LATER + MONTH)
    assert Folder(plant.catalog).fold(noted) == ["it has changed since its manifest was written"]
    assert folded(plant) == []


def test_what_a_manifest_would_not_give_back_keeps_a_day_unfolded(plant: Plant) -> None:
    three_days(plant)
    plant.all_stages()
    plant.clean(LATER + MONTH)
    with closing(sqlite3.connect(plant.layout.catalog)) as database, database:
        database.execute(
            "UPDATE aggregate SET digest = 'another' WHERE span = 'hour' AND number = ?", (FIRST + 5,)
        )
        database.execute("DELETE FROM receipt WHERE name LIKE 'raw/%/26/%' OR name LIKE 'raw/press-1/%/00/%'")
    states = {day: plant.catalog.folded.state("press-1", day)[0] for day in range(DAY, DAY + 3)}
    assert states[DAY].unproven > 0
    before = rows(plant)
    plant.fold(LATER + 2 * MONTH)
    unfold_all(plant)
    assert rows(plant) == before


def test_a_catalog_of_the_version_before_folds_after_an_upgrade_and_is_refused_by_the_build_before(
    tmp_path: Path, plant: Plant, store: DirectoryStore
) -> None:
    three_days(plant)
    plant.all_stages()
    plant.clean(LATER + MONTH)
    expected = answers(plant)
    plant.close()
    with closing(sqlite3.connect(plant.layout.catalog)) as database:
        database.executescript(
            "DROP TRIGGER folded_in; DROP TRIGGER folded_out; DROP TABLE folded; DROP TABLE folded_day;"
            "ALTER TABLE total DROP COLUMN folded; PRAGMA user_version = 3"
        )
    with closing(Catalog(plant.layout, read_only=True)) as look:
        assert list(look.coverage()) == expected["coverage"][0]
    with CatalogView.of(plant.layout) as view:
        assert view.newest(SERIES) == expected[f"of {SERIES}"][1]
    with closing(Plant(tmp_path / "data", store)) as upgraded:
        assert answers(upgraded) == expected
        assert fold_all(upgraded) == 6
        assert answers(upgraded) == expected
    with (
        closing(sqlite3.connect(plant.layout.catalog)) as database,
        pytest.raises(sqlite3.OperationalError, match="4 columns"),
    ):
        database.execute(
            "INSERT INTO total SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM total)"
        )  # as version 3 did
    with closing(sqlite3.connect(plant.layout.catalog)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(Usage, match="later version"):
        Catalog(plant.layout)
