"""Windows: the same answer wherever the readings stand, from the first segment to the last aggregate."""

import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.aggregation.files import read_aggregate, to_table
from sensor_storage.aggregation.windows import LEVELS, WIDTH, Level
from sensor_storage.clock import ManualClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.queries import Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.layout import Layout
from support.aggregates import (
    DAY,
    LATER,
    SECOND,
    SERIES,
    Reading,
    aggregate,
    arrive,
    fresh,
    limit_policy,
    many_readings,
    readings_at,
)
from support.cold import Plant
from support.trees import stage

HOUR = 3600 * SECOND
THREE_DAYS = Interval(DAY, DAY + 3 * WIDTH["day"])


def ask(layout: Layout, level: Level, interval: Interval = THREE_DAYS, zone: str = "UTC") -> pa.Table:
    """Every sensor's windows; named, so that no catalog is needed."""
    question = Question(("press-1",), ("temperature", "p/ü"), interval, level)
    if zone != "UTC":
        question = replace(question, zone=ZoneInfo(zone))
    answer = Queries(layout, ManualClock()).answer(question)
    return pa.concat_tables([answer.schema.empty_table(), *answer.tables])


def filed(layout: Layout, level: Level) -> pa.Table:
    """The aggregate files of a level, put together."""
    tables = []
    for path in layout.aggregated.rglob(f"*_{level}.parquet"):
        found = read_aggregate(path)
        names = [pa.repeat(name, len(found.statistics)) for name in found.footer.series]
        table = to_table(found.statistics, found.held)
        for place, name in enumerate(("asset_id", "sensor_name")):
            table = table.add_column(place, name, names[place])
        tables.append(table)
    whole = pa.concat_tables(tables)
    order: list[tuple[str, Literal["ascending", "descending"]]] = [
        ("asset_id", "ascending"),
        ("sensor_name", "ascending"),
        ("window_start", "ascending"),
    ]
    return whole.sort_by(order)


@settings(deadline=None, max_examples=60)
@given(many_readings(), st.data())
def test_windows_are_the_same_wherever_their_readings_stand(rows: list[Reading], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        done, mixed = fresh(Path(folder) / "done"), fresh(Path(folder) / "mixed")
        arrive(done, rows)
        aggregate(done)
        offsets = data.draw(st.permutations(range(len(rows))))
        first, last = sorted(data.draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
        arrive(mixed, rows, offsets[:first])
        if data.draw(st.booleans()):
            aggregate(mixed, flush=data.draw(st.booleans()))
        arrive(mixed, rows, offsets[:last])
        if left := offsets[max(0, last - 2) :]:
            stage(mixed, readings_at(rows, left), number=1 << 40, start=min(left), stop=max(left) + 1)
        if data.draw(st.booleans()):
            mixed.catalog.unlink(missing_ok=True)
        for level in LEVELS:
            expected = filed(done, level)
            assert ask(done, level) == expected.select(ask(done, level).column_names)
            assert ask(mixed, level) == ask(done, level)


@settings(deadline=None, max_examples=10)
@given(many_readings(), st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "Pacific/Chatham"]))
def test_days_of_a_time_zone_hold_the_readings_between_two_midnights_there(
    rows: list[Reading], zone: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = fresh(Path(folder))
        arrive(layout, rows)
        aggregate(layout)
        found = ask(layout, "day", zone=zone)
        counted = found.to_pylist()
        raw = Queries(layout, ManualClock()).answer(Question(("*",), ("*",), THREE_DAYS, "raw"))
        readings = [row for table in raw.tables for row in table.to_pylist()]
        for row in counted:
            start = row["window_start"].astimezone(ZoneInfo(zone))
            assert (start.hour, start.minute, start.second) == (0, 0, 0)
        by_day: dict[tuple[str, str], int] = {}
        for row in readings:
            day = row["timestamp"].astimezone(ZoneInfo(zone)).date().isoformat()
            by_day[row["sensor_name"], day] = by_day.get((row["sensor_name"], day), 0) + 1
        kinds = ("count", "bad_count", "null_count", "other_unit_count", "text_count")
        assert by_day == {
            (
                row["sensor_name"],
                row["window_start"].astimezone(ZoneInfo(zone)).date().isoformat(),
            ): sum(row[kind] for kind in kinds)
            for row in counted
        }


def test_a_day_on_which_the_clocks_change_has_twenty_three_hours(tmp_path: Path) -> None:
    layout = fresh(tmp_path)
    spring = 1_774_738_800 * SECOND  # 2026-03-29 00:00 in Berlin
    arrive(layout, [Reading(spring + hour * HOUR, float(hour)) for hour in range(-1, 48)])
    aggregate(layout, policy=limit_policy(3600))
    days = ask(layout, "day", Interval(spring, spring + 23 * HOUR + 24 * HOUR), "Europe/Berlin").to_pylist()
    assert [(row["count"], row["min"], row["max"], row["covered_us"]) for row in days] == [
        (23, 0.0, 22.0, 23 * HOUR),
        (24, 23.0, 46.0, 24 * HOUR),
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_a_spike_of_one_reading_is_the_greatest_at_every_resolution(tmp_path: Path, level: Level) -> None:
    layout = fresh(tmp_path)
    arrive(
        layout,
        [Reading(DAY + second * SECOND, 999.0 if second == 7777 else 1.0) for second in range(0, 86_400, 7)],
    )
    aggregate(layout)
    found = ask(layout, level)
    assert max(row["max"] for row in found.to_pylist()) == 999.0
    raw = Queries(layout, ManualClock()).answer(Question(("*",), ("*",), THREE_DAYS, "raw"))
    assert sum(table.num_rows for table in raw.tables) == 12_343


def test_a_hundred_and_fifty_readings_of_a_minute_in_three_segments_make_one_row(tmp_path: Path) -> None:
    layout = fresh(tmp_path)
    rows = [Reading(DAY + number * 400_000, float(number)) for number in range(150)]
    for start in (0, 50, 100):
        offsets = range(start, start + 50)
        stage(layout, readings_at(rows, offsets), number=start, start=start, stop=start + 50)
    (row,) = ask(layout, "minute").to_pylist()
    assert (row["count"], row["min"], row["max"], row["mean"]) == (150, 0.0, 149.0, 74.5)
    assert Series(row["asset_id"], row["sensor_name"]) == SERIES


def test_an_answer_over_all_sensors_says_so_when_there_is_no_catalog(tmp_path: Path) -> None:
    layout = fresh(tmp_path)
    arrive(layout, [Reading(DAY, 1.0)])
    layout.catalog.unlink()
    stage(layout, readings_at([Reading(DAY, 1.0)], [0]), number=9, start=0, stop=1)
    everything = Queries(layout, ManualClock()).answer(Question(("*",), ("*",), THREE_DAYS, "raw"))
    assert "rebuild" in everything.warnings[0]
    named = Question(("press-1",), ("temperature",), THREE_DAYS, "raw")
    assert Queries(layout, ManualClock()).answer(named).warnings == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("left", ["aggregates here, and no catalog", "aggregates in the cold store"])
def test_aggregates_answer_on_when_the_readings_they_are_of_are_lost(
    tmp_path: Path, left: str, zone: str
) -> None:
    store = DirectoryStore(tmp_path / "cold")
    plant = Plant(tmp_path, store)
    rows = [Reading(DAY + number * 1_800 * SECOND, float(number)) for number in range(100)]
    stage(plant.layout, readings_at(rows, range(100)), number=1, start=0, stop=100)
    plant.all_stages()
    files = ColdFiles(plant.layout, store, ManualClock(LATER), 1 << 30)

    def answers() -> list[pa.Table]:
        queries = Queries(plant.layout, ManualClock(LATER), files=files)
        asked = Question((SERIES.asset,), (SERIES.sensor,), Interval(DAY, DAY + 3 * 86_400 * SECOND))
        questions = [replace(asked, resolution=level, zone=ZoneInfo(zone)) for level in LEVELS]
        return [pa.concat_tables(queries.answer(question).tables) for question in questions]

    before = answers()
    first = SensorHour(SERIES, DAY // HOUR)  # all others are lost
    if left == "aggregates here, and no catalog":
        plant.close()
        plant.layout.catalog.unlink()
        for path in plant.layout.hour_files():
            if path != plant.layout.hour_file(first):
                shutil.rmtree(path.parent)
    else:
        plant.clean()
        plant.close()
        with sqlite3.connect(plant.layout.catalog) as catalog:  # as `verify --repair` forgets lost blobs
            catalog.execute("DELETE FROM hour_file WHERE hour <> ?", (first.hour,))
    assert [table.num_rows for table in before] == [100, 50, 3]
    assert answers() == before
