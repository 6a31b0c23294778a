"""A store in trouble, as Azure Blob Storage tells it: nothing is lost or removed, and it is asked less and less."""

import os
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from sensor_storage.clock import SystemClock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.upload import Uploader, UploadPolicy
from sensor_storage.demo.azurite import Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.errors import SensorStorageError, Transient
from sensor_storage.log import ROOT
from support.aggregates import LATER
from support.azurite import container
from support.cloud import (
    CLOCK_SKEW,
    FORBIDDEN,
    SLOW_DOWN,
    TOO_MANY,
    Answer,
    Asked,
    Cut,
    Fault,
    Line,
    every,
    good,
    line_to,
)
from support.cold import Plant, blobs
from support.cold_proofs import lost_answers
from support.trees import HOUR

MUCH_LATER = LATER + 30 * 86_400
_NAMES = count()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite"), cache=cache_folder(os.environ)) as running:
        yield running


@pytest.fixture
def line(azurite: Azurite) -> Iterator[Line]:
    with line_to(azurite) as one:
        yield one


def plant_of(root: Path, line: Line, hours: int, *, late: bool = False) -> Plant:
    """A plant with so many hours of two sensors in files, of which the store has none yet."""
    plant = Plant(root, container(line, f"away-{next(_NAMES)}", late=late))
    for hour in range(hours):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.compact()
    return plant


def ten_minutes(plant: Plant, line: Line) -> list[int]:
    """The requests of each minute, asked as the worker beside the store does; nothing goes up, and nothing away."""
    before, minutes = plant.local(), []
    for minute in range(10):
        asked = len(line.asked)
        for second in (0, 30):
            assert plant.upload(LATER + minute * 60 + second).uploaded == 0
        minutes.append(len(line.asked) - asked)
        with pytest.raises(SensorStorageError):
            plant.clean(MUCH_LATER)
    assert plant.local() == before
    return minutes


@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, TOO_MANY, CLOCK_SKEW, FORBIDDEN, "in the request"],
    ids=["503", "429", "clock skew", "403", "half a body"],
)
def test_ten_minutes_of_trouble_cost_time_and_nothing_else(
    tmp_path: Path, line: Line, fault: Answer | Cut
) -> None:
    plant = plant_of(tmp_path, line, 20)
    plant.upload()
    for hour in range(20, 50):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
    plant.compact()
    line.fault = lambda _: fault
    minutes = ten_minutes(plant, line)
    assert sum(minutes[5:]) / 5 <= minutes[0] / 10
    assert sum(minutes[1:]) <= 40  # one file at a time, each with a few requests
    line.fault = good
    rounds = (plant.upload(LATER + minute * 60) for minute in range(10, 20))
    # what it turned away goes up with the first
    assert next(report for report in rounds if not report.away).waiting == 0
    assert sorted(blobs(plant.store)) == plant.local()
    assert plant.clean(MUCH_LATER).removed == 100
    assert plant.offsets() == list(range(0, 500, 2))


@pytest.mark.parametrize("hours", [1, 2, 20])
def test_what_the_store_turned_away_goes_up_with_the_first_file_that_finds_it_back(
    tmp_path: Path, line: Line, hours: int
) -> None:
    """Files and aggregates; chance has each file wait as long as it may, and the store be left alone as short."""
    plant = plant_of(tmp_path, line, hours)
    plant.aggregate()
    chances = cycle((0.0, 1.0)).__next__
    plant.uploader = Uploader(
        plant.layout, plant.disk, plant.catalog, plant.store, UploadPolicy(), chance=chances
    )
    line.fault = lambda _: SLOW_DOWN
    counts = []
    for second in range(0, 1200, 5):
        asked = len(line.asked)
        assert plant.upload(LATER + second).uploaded == 0
        counts.append(len(line.asked) - asked)
    assert sum(counts[12:]) <= 60
    line.fault = good
    rounds = (plant.upload(LATER + 1200 + second) for second in range(0, 1200, 5))
    assert next(report for report in rounds if report.uploaded).waiting == 0
    assert sorted(blobs(plant.store)) == plant.local()


def test_a_store_that_takes_a_file_now_and_then_is_asked_less_and_less(tmp_path: Path, line: Line) -> None:
    plant = plant_of(tmp_path, line, 60)
    plant.aggregate()
    taken = 0

    def judge(asked: Asked) -> Answer | None:
        nonlocal taken
        taken += asked.writes
        return SLOW_DOWN if taken > 1 else None

    line.fault = judge
    minutes = []
    for minute in range(30):
        asked = len(line.asked)
        for second in (0, 30):
            taken = 0
            plant.upload(LATER + minute * 60 + second)
        minutes.append(len(line.asked) - asked)
    assert sum(minutes[10:]) / 20 <= minutes[0] / 10
    line.fault = good
    rounds = (plant.upload(LATER + 3600 + second) for second in range(0, 1200, 30))
    assert next(report for report in rounds if report.uploaded).waiting == 0


@pytest.mark.parametrize("fault", [SLOW_DOWN, every(3, SLOW_DOWN)], ids=["away", "some"])
def test_what_failed_of_an_upload_of_open_hours_goes_up_with_the_hours_that_are_over(
    tmp_path: Path, line: Line, fault: Answer | Fault
) -> None:
    plant = plant_of(tmp_path, line, 5)
    line.fault = fault if callable(fault) else lambda _: fault
    assert plant.uploader.run_once(LATER, None).failed
    plant.arrive(range(60, 70), hour=HOUR)  # nobody asked for these
    plant.compact()
    line.fault = good
    plant.uploader.run_once(LATER + 60, HOUR - 10)
    assert plant.catalog.receipts.waiting()[2:] == (0, ())
    assert plant.catalog.receipts.waiting().files <= 2


@pytest.mark.parametrize("made", [False, True], ids=["hours", "with aggregates"])
def test_a_file_that_fails_for_itself_after_an_outage_too_keeps_no_other_waiting(
    tmp_path: Path, line: Line, made: bool
) -> None:
    plant = plant_of(tmp_path, line, 3)
    if made:
        plant.aggregate()
    bad = min(name for name in plant.local() if name.startswith("raw/"))
    line.fault = lambda _: SLOW_DOWN
    assert [plant.upload(LATER + second).uploaded for second in (0, 5)] == [0, 0]
    line.fault = lambda asked: SLOW_DOWN if bad in asked.path else None
    first, second = [plant.upload(LATER + second) for second in (60, 61)]
    assert (first.failed, first.away, second.failed, second.away) == (1, False, 0, False)
    assert {name for name in plant.local() if name.startswith("raw/")} - blobs(plant.store).keys() == {bad}
    plant.arrive(range(50, 60), hour=HOUR - 5)
    plant.compact()
    assert plant.upload(LATER + 62).uploaded == 2
    line.fault = good
    assert plant.upload(LATER + 300).waiting == 0


@pytest.mark.parametrize("fault", [SLOW_DOWN, FORBIDDEN])
def test_a_container_that_may_be_made_is_waited_for_like_a_blob_and_made_once_the_store_is_there(
    tmp_path: Path, line: Line, fault: Answer
) -> None:
    plant = plant_of(tmp_path, line, 20, late=True)
    assert line.asked == []
    line.fault = lambda asked: fault if asked.writes and "restype=container" in asked.path else None
    for second in (0, 30, 60, 90):
        report = plant.upload(LATER + second)
        assert (report.uploaded, report.away) == (0, True)
    asked = len(line.asked)
    plant.upload(LATER + 91)
    assert len(line.asked) == asked  # it is left alone for longer and longer
    assert blobs(plant.store) == {}
    line.fault = good
    assert plant.upload_now().waiting == 0
    assert sorted(blobs(plant.store)) == plant.local()


def test_an_answer_lost_after_the_store_did_what_was_asked_is_looked_up(tmp_path: Path, line: Line) -> None:
    found = lost_answers(Plant(tmp_path, container(line, f"away-{next(_NAMES)}")), line, 100)
    assert (found["uploads"], found["wrong"], found["foreign"]) == (100, 0, 0)
    assert found["writes_asked"] > 130


@pytest.mark.slow
def test_a_store_that_is_killed_amid_a_body_and_comes_back_without_its_last_blobs_loses_nothing(
    tmp_path: Path,
) -> None:
    with Azurite(tmp_path / "azurite", cache=cache_folder(os.environ)) as azurite, line_to(azurite) as line:
        plant = plant_of(tmp_path / "data", line, 50)
        azurite.stop()  # so that the container at least is on its disk
        azurite.start()

        def fault(asked: Asked) -> Cut | None:
            return "in the request" if asked.writes and asked.number > 40 else None

        line.fault, line.at_half = fault, azurite.kill
        asked = len(line.asked)
        report = plant.upload()
        assert report.away
        assert 0 < report.uploaded < 100
        asked = len(line.asked) - asked
        line.fault = good
        assert sum(ten_minutes(plant, line)[5:]) / 5 <= asked / 10
        azurite.start()
        now = LATER
        while plant.local():
            now += 1200
            plant.upload(now)
            plant.clean(MUCH_LATER)
            assert now < LATER + 20_000
        assert plant.offsets() == list(range(0, 500, 2))


def test_half_a_blob_is_never_taken_for_one(tmp_path: Path, line: Line) -> None:
    plant = plant_of(tmp_path, line, 1)
    plant.upload()
    plant.clean(MUCH_LATER)
    line.fault = lambda asked: "in the answer" if asked.method == "GET" else None
    with pytest.raises(Transient):
        plant.files.find(next(plant.catalog.cold_files()).path)
    assert not [path for path in plant.layout.cache.rglob("*") if path.is_file()]
    line.fault = good
    plant.files = ColdFiles(plant.layout, plant.store, SystemClock(), 1_000_000_000)
    assert plant.offsets() == list(range(0, 10, 2))


def test_blobs_go_to_the_tier_asked_for_and_small_ones_are_told_of_once(
    tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger=ROOT)
    plant = Plant(tmp_path, container(line, f"away-{next(_NAMES)}", tier="Cool"))
    policy = UploadPolicy(access_tier="Cool")
    uploader = Uploader(plant.layout, plant.disk, plant.catalog, plant.store, policy)
    for hour in range(2):
        plant.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR - hour)
        plant.compact()
        assert uploader.run_once(LATER, None).uploaded == 2
    assert [asked.tier for asked in line.asked if "parquet" in asked.path] == ["Cool"] * 4
    assert [record.message for record in caplog.records].count("small_blobs") == 1
