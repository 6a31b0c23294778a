"""A question opens each file it needs once, by its exact path, and no other; it lists staging and nothing else."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sensor_storage.aggregation.files import read_columns
from sensor_storage.clock import ManualClock, SystemClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.model import Series
from sensor_storage.query.columns import ColumnCache
from sensor_storage.query.queries import Queries
from sensor_storage.query.question import Asked, Interval, Question, Resolution
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import ROW_GROUP_ROWS
from support.aggregates import DAY, LATER, SECOND, SERIES, Reading, aggregate, arrive, readings_at
from support.cold import Plant
from support.opened import Opened, opening
from support.trees import stage

HOUR = 3600 * SECOND
DAYS = 60
OTHER = Series("press-1", "force")
FILLED = [*range(24), *range(24, 24 * DAYS, 12)]
"""The hours, counted from DAY, with readings."""

ROWS = [
    Reading(DAY + (hour * 60 + minute) * 60 * SECOND, float(minute), series=series)
    for hour in FILLED
    for minute in (0, 20, 59)
    for series in ((SERIES, OTHER) if hour < 24 else (SERIES,))
]
FIRST_DAY = [row for row in ROWS if row.time < DAY + 24 * HOUR and row.series == SERIES]
ONE = Question((SERIES.asset,), (SERIES.sensor,), Interval(DAY, DAY + 24 * HOUR))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A sensor's sixty days, a full one and two hours of each other, and another's first; all with aggregates."""
    layout = Layout(tmp_path_factory.mktemp("data") / "raw")
    arrive(layout, ROWS)
    aggregate(layout)
    return layout


def ask(queries: Queries, question: Question, *, lists: Sequence[str] = ("staging",)) -> Opened:
    """What the question opens, its answer read to the end."""
    with opening(queries.layout.root) as found:
        assert sum(table.num_rows for table in queries.answer(question).tables)
    assert all(name.startswith(tuple(lists)) for name in found.listed)
    return found


def _files(form: str, starts: Iterable[int]) -> list[str]:
    moments = (datetime.fromtimestamp(start / 1e6, UTC) for start in starts)
    return sorted({moment.strftime(form) for moment in moments})


def hour_files(hours: Iterable[int], sensor: str = "temperature") -> list[str]:
    return _files(f"raw/press-1/%Y/%m/%d/%H/{sensor}.parquet", (DAY + hour * HOUR for hour in hours))


def minute_files(hours: Iterable[int], sensor: str = "temperature") -> list[str]:
    form = f"aggregated/press-1/%Y/%m/%d/%H/{sensor}_minute.parquet"
    return _files(form, (DAY + hour * HOUR for hour in hours))


def day_files(days: int) -> list[str]:
    form = "aggregated/press-1/%Y/%m/%d/temperature_hour.parquet"
    return _files(form, (DAY + day * 24 * HOUR for day in range(days)))


def month_files(days: int) -> list[str]:
    form = "aggregated/press-1/%Y/%m/temperature_day.parquet"
    return _files(form, (DAY + day * 24 * HOUR for day in range(days)))


@pytest.mark.parametrize(
    ("resolution", "hours", "files"),
    [
        ("raw", 24, hour_files(range(24))),
        ("raw", 2, hour_files(range(2))),
        ("raw", 72, hour_files(FILLED[:28])),
        ("minute", 24, minute_files(range(24))),
        ("minute", 72, minute_files(FILLED[:28])),
        ("hour", 24 * 7, day_files(7)),
        ("day", 24 * DAYS, month_files(DAYS)),
        ("auto", 1, hour_files(range(1))),
        ("auto", 24, day_files(1)),
        ("auto", 24 * 20, month_files(20)),
    ],
)
def test_each_file_of_the_plan_is_opened_once_and_no_other(
    layout: Layout, resolution: Asked, hours: int, files: list[str]
) -> None:
    queries = Queries(layout, ManualClock(LATER))
    interval = Interval(DAY, DAY + hours * HOUR)
    points = 30 if resolution == "auto" else None
    found = ask(queries, replace(ONE, interval=interval, resolution=resolution, max_points=points))
    assert found.files == dict.fromkeys(files, 1)


@pytest.mark.parametrize("resolution", ["raw", "minute"])
def test_a_window_that_cuts_hours_opens_these_alone(layout: Layout, resolution: Resolution) -> None:
    interval = Interval(DAY + 3 * HOUR + HOUR // 2, DAY + 5 * HOUR + HOUR // 2)
    found = ask(Queries(layout, ManualClock(LATER)), replace(ONE, interval=interval, resolution=resolution))
    files = hour_files if resolution == "raw" else minute_files
    assert found.files == dict.fromkeys(files(range(3, 6)), 1)


class Counting(ManualClock):
    """A clock that counts how often it is looked at: once a row group that is read."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


def test_of_a_file_only_the_row_groups_of_the_interval_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROW_GROUP_ROWS, "hour", 100)
    layout = Layout(tmp_path / "raw")
    arrive(layout, [Reading(DAY + second * SECOND, float(second)) for second in range(3_600)])
    looks = []
    for start, end in ((0, 3_600), (1_700, 1_800), (1_750, 1_850)):
        clock = Counting(LATER)
        interval = Interval(DAY + start * SECOND, DAY + end * SECOND)
        answer = Queries(layout, clock).answer(replace(ONE, interval=interval, resolution="raw"))
        assert sum(table.num_rows for table in answer.tables) == end - start
        looks.append(clock.looks)
    whole, one, two = looks
    assert (whole - one, two - one) == (35, 1)


@pytest.mark.parametrize("resolution", ["raw", "minute"])
def test_hours_that_only_another_sensor_has_are_not_tried(layout: Layout, resolution: Resolution) -> None:
    interval = Interval(DAY, DAY + 72 * HOUR)
    question = replace(ONE, sensors=("*",), interval=interval, resolution=resolution)
    found = ask(Queries(layout, ManualClock(LATER)), question)
    files = hour_files if resolution == "raw" else minute_files
    assert found.files == dict.fromkeys(files(FILLED[:28]) + files(range(24), "force"), 1)


def _staged(layout: Layout, rows: Sequence[Reading]) -> list[str]:
    """So many segments more; their names."""
    before = {path for _, path in layout.staged_files()}
    for number in range(len(rows)):
        place = (1 << 40) + len(before) + number
        stage(layout, readings_at(rows, [number]), number=place, start=number, stop=number + 1)
    return [layout.relative(path) for _, path in layout.staged_files() if path not in before]


def test_staged_files_are_opened_once_for_all_questions_and_only_open_hours_are_made_of_readings(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "raw")
    arrive(layout, FIRST_DAY)
    aggregate(layout)
    staged = _staged(layout, [Reading(DAY + 22 * HOUR + n * SECOND + 1, 1.0) for n in range(5)])
    queries = Queries(layout, ManualClock(LATER))
    raw = ask(queries, replace(ONE, resolution="raw"))
    assert raw.files == dict.fromkeys([*staged, *hour_files(range(24))], 1)
    minutes = ask(queries, replace(ONE, resolution="minute"))
    for name in staged:
        assert name not in minutes.files
    of_readings = [name for name in minutes.files if name.startswith("raw/")]
    assert of_readings == hour_files([22])
    hours = ask(queries, replace(ONE, resolution="hour"))
    assert set(hours.files) == {*day_files(1), *hour_files([22])}
    assert max(minutes.files[of_readings[0]], hours.files[of_readings[0]]) <= 2  # and once for what it holds


def test_while_somebody_asks_new_segments_are_looked_into_before_the_next_question(tmp_path: Path) -> None:
    layout, clock = Layout(tmp_path / "raw"), ManualClock(LATER)
    arrive(layout, FIRST_DAY)
    queries = Queries(layout, clock)
    for waited, looked in ((0, False), (59, True), (61, False)):
        (name,) = _staged(layout, [Reading(DAY + 22 * HOUR + waited * SECOND + 1, 1.0)])
        clock.advance(waited)
        with opening(layout.root) as found:
            queries.keep_up()
        assert (name in found.files) is looked
        assert (name in ask(queries, replace(ONE, resolution="raw")).files) is not looked


def test_cold_files_are_brought_once_and_then_opened_like_others(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "cold")
    plant = Plant(tmp_path, store)
    count = len(FIRST_DAY)
    stage(plant.layout, readings_at(FIRST_DAY, range(count)), number=1, start=0, stop=count)
    plant.all_stages()
    plant.clean()
    plant.close()
    assert plant.local() == []
    files = ColdFiles(plant.layout, store, SystemClock(), 1_000_000_000)
    queries = Queries(plant.layout, ManualClock(LATER), files=files)
    for resolution, blobs in (("raw", hour_files(range(24))), ("minute", minute_files(range(24)))):
        asked = replace(ONE, resolution=resolution)  # type: ignore[arg-type]  # one of them
        first = ask(queries, asked, lists=("staging", "cache"))
        brought = {name.removeprefix("cold/") for name in first.files if name.startswith("cold/")}
        assert brought == set(blobs)
        again = ask(queries, asked)
        assert len(again.files) == (24 if resolution == "raw" else 0)
        assert all(name.startswith("cache/") and count == 1 for name, count in again.files.items())


def test_minutes_that_were_read_lately_are_not_opened_again_until_they_are_made_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    arrive(layout, FIRST_DAY)
    aggregate(layout)
    queries = Queries(layout, ManualClock(LATER))
    minutes = replace(ONE, resolution="minute")
    for fields, files in (
        (("max",), minute_files(range(24))),
        (("max",), []),
        ((), minute_files(range(24))),
        (("max",), []),
    ):
        assert ask(queries, replace(minutes, fields=fields)).files == dict.fromkeys(files, 1)
    late = [*FIRST_DAY, Reading(DAY + 5 * HOUR + 1, 777.0)]
    arrive(layout, late, [len(FIRST_DAY)])
    aggregate(layout)
    changed = ask(queries, minutes)
    assert changed.files == dict.fromkeys(minute_files([5]), 1)
    answer = queries.answer(minutes)
    assert 777.0 in [row["max"] for table in answer.tables for row in table.to_pylist()]


def test_so_many_bytes_of_minutes_are_held_and_no_more(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    arrive(layout, FIRST_DAY)
    aggregate(layout)
    paths = [layout.root / name for name in minute_files(range(24))]
    one = ColumnCache().read(paths[0], ["min", "max"])
    cache = ColumnCache(max_bytes=10 * (one.nbytes + 500))
    for path in paths:
        cache.read(path, ["min", "max"])
    with opening(layout.root) as found:
        for path in (*paths[-9:], *paths[:2]):
            cache.read(path, ["min", "max"])
    assert found.files == dict.fromkeys(minute_files(range(2)), 1)
    assert cache.read(paths[0], ["min", "max"]) == read_columns(paths[0], ["min", "max"])


def test_the_newest_reading_takes_one_file(layout: Layout) -> None:
    queries = Queries(layout, ManualClock(LATER))
    with opening(layout.root) as found, queries.look() as now:
        last = now.tails.last(SERIES)
    assert last is not None
    assert found.files == dict.fromkeys(hour_files(FILLED[-1:]), 1)
    assert found.listed <= {"staging"}


@pytest.mark.parametrize("resolution", ["raw", "minute", "hour", "day"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_fifty_years_of_nothing_cost_no_look_into_the_catalog_each(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, resolution: Resolution, zone: str
) -> None:
    looks = 0

    def connect(*given: object, **named: object) -> sqlite3.Connection:
        nonlocal looks
        looks += 1
        return really(*given, **named)  # type: ignore[no-any-return]  # whatever was given

    really: Any = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    year = 365 * 24 * HOUR
    counts = []
    for before in (year, 50 * year):
        looks = 0
        interval = Interval(DAY - before, DAY + 24 * DAYS * HOUR)
        question = replace(ONE, interval=interval, resolution=resolution, zone=ZoneInfo(zone))
        ask(Queries(layout, ManualClock(LATER)), question)
        counts.append(looks)
    assert counts[1] - counts[0] < 50
