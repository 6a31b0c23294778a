"""The aggregate stage over real files: every split of the readings ends in the same bytes, and in the truth."""

import tempfile
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.aggregation.files import read_aggregate
from sensor_storage.aggregation.windows import LEVELS, Level
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.footers import content_digest
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from support.aggregates import (
    DAY,
    LATER,
    SECOND,
    SERIES,
    Reading,
    aggregate,
    aggregator,
    arrive,
    changed,
    fresh,
    left_due,
    limit_policy,
    many_readings,
    tree,
)

HOUR = 3600 * SECOND
LATER_HOUR = int(LATER) // 3600


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return fresh(tmp_path / "data")


@settings(deadline=None, max_examples=40)
@given(many_readings(), st.data())
def test_any_split_order_and_restart_gives_the_same_bytes_and_what_duckdb_says(
    rows: list[Reading], data: st.DataObject
) -> None:
    offsets = list(range(len(rows)))
    shuffled = data.draw(st.permutations(offsets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    with tempfile.TemporaryDirectory() as folder:
        once, often = fresh(Path(folder) / "once"), fresh(Path(folder) / "often")
        arrive(once, rows)
        aggregate(once)
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            again = shuffled[max(0, start - 2) : stop]  # the last two come twice
            arrive(often, rows, again)
            if data.draw(st.booleans()):
                aggregate(often)
        aggregate(often)
        assert changed(tree(once), tree(often)) == set()
        assert left_due(often) == 0
        for level in LEVELS:
            assert_duckdb_agrees(once, level)


def asked(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def assert_duckdb_agrees(layout: Layout, level: Level) -> None:
    """Recompute the level from raw and compare row by row."""
    raw = f"read_parquet('{layout.raw}/**/*.parquet')"
    place = "(timestamp, kafka_offset, kafka_index)"
    found = asked(f"""
        WITH raw AS (
            SELECT *, date_trunc('{level}', timestamp AT TIME ZONE 'UTC') AS w, coalesce(unit, '-') AS u,
                quality IS DISTINCT FROM 'bad' AS good FROM {raw}
        ), newest AS (
            SELECT asset_id, sensor_name, w, arg_max(u, {place}) AS newest FROM raw
            WHERE good AND value IS NOT NULL GROUP BY ALL
        )
        SELECT sensor_name, epoch_us(w) AS w,
            count(*) FILTER (good AND value IS NOT NULL AND u = newest),
            count(*) FILTER (NOT good AND (value IS NOT NULL OR text IS NOT NULL)),
            count(*) FILTER (value IS NULL AND text IS NULL),
            count(*) FILTER (good AND value IS NOT NULL AND u <> newest),
            any_value(nullif(newest, '-')),
            min(value) FILTER (good AND u = newest), max(value) FILTER (good AND u = newest),
            arg_min(value, {place}) FILTER (good AND u = newest AND value IS NOT NULL),
            arg_max(value, {place}) FILTER (good AND u = newest AND value IS NOT NULL),
            count(*) FILTER (good AND value IS NULL AND text IS NOT NULL),
            arg_min(text, {place}) FILTER (good AND value IS NULL AND text IS NOT NULL),
            arg_max(text, {place}) FILTER (good AND value IS NULL AND text IS NOT NULL),
            list(value) FILTER (good AND u = newest AND value IS NOT NULL)
        FROM raw LEFT JOIN newest USING (asset_id, sensor_name, w) GROUP BY sensor_name, w ORDER BY ALL
    """)  # noqa: S608 - our own path
    stored = []
    for path in sorted(layout.aggregated.rglob(f"*_{level}.parquet")):
        series = read_aggregate(path).footer.series
        rows = asked(f"""
            SELECT epoch_us(window_start), count, bad_count, null_count, other_unit_count, unit, min, max,
                "first", "last", text_count, first_text, last_text, sum, mean, stddev FROM '{path}'
        """)  # noqa: S608 - our own path
        stored += [(series.sensor, *row) for row in rows]
    stored.sort(key=lambda row: row[:2])
    assert [row[:-3] for row in stored] == [row[:-1] for row in found]
    for mine, truth in zip(stored, found, strict=True):
        values = [Fraction(value) for value in truth[-1] or ()]
        if not values:
            assert mine[-3:] == (None, None, None)
            continue
        exact = sum(values, Fraction(0))
        mean = exact / len(values)
        variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)
        assert abs(Fraction(mine[-3]) - exact) <= abs(exact) * Fraction(1e-12)
        assert abs(Fraction(mine[-2]) - mean) <= abs(mean) * Fraction(1e-12)
        assert abs(Fraction(mine[-1]) ** 2 - variance) <= variance * Fraction(2e-6)


def _seconds(start: int, count: int, step: int = 1, value: float = 20.0) -> list[Reading]:
    return [Reading(start + number * step * SECOND, value + number % 7) for number in range(count)]


def test_150_readings_of_one_minute_over_three_segments_make_one_row(layout: Layout) -> None:
    rows = [Reading(DAY + number * 400_000, float(number)) for number in range(150)]
    for part in range(3):
        arrive(layout, rows, range(part, 150, 3))
    aggregate(layout)
    for level in LEVELS:
        (path,) = layout.aggregated.rglob(f"*_{level}.parquet")
        found = read_aggregate(path).statistics
        assert found.count.tolist() == [150]
        assert found.total.tolist() == [149 * 75.0]


def test_a_reading_400_days_late_changes_exactly_its_windows(layout: Layout) -> None:
    old = DAY - 400 * 24 * HOUR
    rows = [*_seconds(old, 3 * 24 * 60, 60), *_seconds(DAY, 60, 60)]
    arrive(layout, rows)
    aggregate(layout)
    before = tree(layout)
    rows.append(Reading(old + 30 * HOUR + 90 * SECOND, 999.0))
    arrive(layout, rows, [len(rows) - 1])
    assert left_due(layout) == 1
    with closing(Catalog(layout, read_only=True)) as catalog:
        assert catalog.aggregates.due_of(SERIES, "hour", 0, LATER_HOUR) == [(old + 30 * HOUR) // HOUR]
    report = aggregate(layout)
    assert (report.hours, report.days, report.files, left_due(layout)) == (1, 1, 3, 0)
    assert report.mended == 1
    day, hour = _folder(old + 30 * HOUR, "%Y/%m/%d"), _folder(old + 30 * HOUR, "%Y/%m/%d/%H")
    month = _folder(old + 30 * HOUR, "%Y/%m")
    names = {f"{hour}/temperature_minute", f"{day}/temperature_hour", f"{month}/temperature_day"}
    assert changed(before, tree(layout)) == {f"aggregated/press-1/{name}.parquet" for name in names}
    for name, level in zip(sorted(names, key=len, reverse=True), LEVELS, strict=True):
        was, is_ = _rows(layout, before, name), _rows(layout, tree(layout), name)
        differing = [start for start in is_ if repr(was[start]) != repr(is_[start])]
        assert len(differing) == 1, level
        assert is_[differing[0]]["max"] == 999.0
    fresh_tree = Layout(layout.root.parent / "again" / "raw")
    arrive(fresh_tree, rows)
    aggregate(fresh_tree)
    assert changed(tree(layout), tree(fresh_tree)) == set()


def _folder(instant: int, form: str) -> str:
    seconds = instant // SECOND
    return f"{SensorHour(SERIES, seconds // 3600).start:{form}}"


def _rows(layout: Layout, files: dict[str, bytes], name: str) -> dict[object, dict[str, object]]:
    path = layout.root / "look.parquet"
    path.write_bytes(files[f"aggregated/press-1/{name}.parquet"])
    rows = CheckedFile(path).parquet.read().to_pylist()
    path.unlink()
    return {row["window_start"]: row for row in rows}


def test_a_late_last_reading_repairs_what_is_held_in_the_next_hour_and_day(layout: Layout) -> None:
    midnight = DAY + 24 * HOUR
    rows = [
        Reading(midnight - 1800 * SECOND, 10.0),
        Reading(midnight + 600 * SECOND, 30.0),
        Reading(midnight + 5 * HOUR, 40.0),
    ]
    arrive(layout, rows)
    aggregate(layout)
    before = tree(layout)
    rows.append(Reading(midnight - 60 * SECOND, 20.0))
    arrive(layout, rows, [3])
    report = aggregate(layout)
    assert (report.hours, report.days) == (2, 2)
    hour = layout.root / f"aggregated/press-1/{_folder(midnight, '%Y/%m/%d')}/temperature_hour.parquet"
    held = read_aggregate(hour).held
    assert held.mean[0] == (20.0 * 600 + 30.0 * 3000) / 3600
    assert held.covered[0] == HOUR
    untouched = f"aggregated/press-1/{_folder(midnight + 5 * HOUR, '%Y/%m/%d/%H')}/temperature_minute.parquet"
    assert untouched not in changed(before, tree(layout))
    _same_as_made_at_once(layout, rows)


def test_readings_are_held_over_hours_up_to_the_limit_that_is_set(layout: Layout) -> None:
    rows = [Reading(DAY, 10.0), Reading(DAY + 10 * HOUR, 20.0), Reading(DAY + 30 * HOUR, 30.0)]
    policy = limit_policy(12 * 3600)
    arrive(layout, rows, [0, 2])
    aggregate(layout, policy=policy)
    arrive(layout, rows, [1])
    aggregate(layout, policy=policy)
    day = layout.root / f"aggregated/press-1/{_folder(DAY, '%Y/%m')}/temperature_day.parquet"
    found = read_aggregate(day)
    assert found.held.covered.tolist() == [22 * HOUR, (24 - 6 + 0) * HOUR - 6 * HOUR]
    assert found.held.mean[0] == pytest.approx((10.0 * 10 + 20.0 * 12) / 22)
    again = fresh(layout.root.parent / "again")
    arrive(again, rows)
    aggregate(again, policy=policy)
    assert changed(tree(layout), tree(again)) == set()


def _same_as_made_at_once(layout: Layout, rows: list[Reading]) -> None:
    again = fresh(layout.root.parent / "again")
    arrive(again, rows)
    aggregate(again)
    assert changed(tree(layout), tree(again)) == set()


def test_only_what_is_over_is_made_and_a_second_look_makes_nothing(layout: Layout) -> None:
    rows = [*_seconds(DAY + 22 * HOUR, 300, 30), Reading(DAY + 26 * HOUR, 1.0)]
    arrive(layout, rows)
    running = aggregator(layout)
    at = (DAY + 23 * HOUR) / SECOND
    assert running.run_once(at + 119, at + 119).hours == 0
    report = running.run_once(at + 120, at + 120)
    assert (report.hours, report.days, report.files) == (1, 0, 2)
    assert not running.run_once(at + 130, at + 130).did_something
    later = running.run_once(at + 3600 + 120, at + 3600 + 120)
    assert (later.hours, later.days) == (1, 1)
    assert left_due(layout) == 2


def test_open_hours_are_made_too_where_the_policy_says_so(layout: Layout) -> None:
    arrive(layout, [Reading(DAY, 1.0)])
    policy = replace(limit_policy(3600), open_hours=True)
    at = DAY / SECOND + 60
    report = aggregator(layout, policy=policy).run_once(at, at)
    assert (report.hours, report.days) == (1, 0)


def test_a_round_is_bounded_and_the_rest_follows(layout: Layout) -> None:
    arrive(layout, _seconds(DAY, 100, 1800))
    running = aggregator(layout, policy=replace(limit_policy(3600), round_hours=7))
    report = running.run_once(LATER, LATER)
    assert (report.hours, report.more) == (7, True)
    while report.more:
        report.add(running.run_once(LATER, LATER))
    assert (report.hours, report.days) == (50, 3)
    _same_as_made_at_once(layout, _seconds(DAY, 100, 1800))


def test_a_round_without_time_makes_one_sensor_and_leaves_the_others_to_the_next(layout: Layout) -> None:
    rows = [
        one._replace(series=Series("press-1", f"s{number}"))
        for number in range(3)
        for one in _seconds(DAY, 100, 1800)
    ]
    arrive(layout, rows)
    hurried = aggregator(layout)
    hurried.go_on = lambda: False
    report = hurried.run_once(LATER, LATER)
    assert (report.hours, report.days, report.more) == (50, 0, True)
    while report.more:
        report.add(hurried.run_once(LATER, LATER))
    assert (report.hours, report.days) == (150, 9)
    _same_as_made_at_once(layout, rows)


@pytest.mark.parametrize("levels", [("minute",), ("minute", "hour"), ()])
def test_only_the_levels_that_are_set_are_made_and_more_follow_when_they_are(
    layout: Layout, levels: tuple[Level, ...]
) -> None:
    rows = _seconds(DAY, 100, 1800)
    arrive(layout, rows)
    aggregate(layout, policy=limit_policy(3600, levels))
    endings = {path.rsplit("_", 1)[1].removesuffix(".parquet") for path in tree(layout)}
    assert endings == set(levels)
    aggregate(layout)
    _same_as_made_at_once(layout, rows)


def test_another_carry_limit_makes_everything_again(layout: Layout) -> None:
    rows = [Reading(DAY, 1.0), Reading(DAY + 5 * HOUR, 2.0)]
    arrive(layout, rows)
    aggregate(layout)
    before = tree(layout)
    aggregate(layout, policy=limit_policy(60))
    assert changed(before, tree(layout)) == set(before)
    aggregate(layout)
    assert tree(layout) == before


def test_a_damaged_hour_file_blocks_only_its_own_hour(layout: Layout) -> None:
    rows = [Reading(DAY, 1.0), Reading(DAY + 5 * HOUR, 2.0)]
    arrive(layout, rows)
    path = layout.hour_file(SensorHour(SERIES, DAY // HOUR))
    good = path.read_bytes()
    path.write_bytes(good[:500] + b"?" + good[501:])
    running = aggregator(layout)
    report = running.run_once(LATER, LATER)
    assert (report.hours, report.days, list(report.blocked)) == (1, 1, [path])
    path.write_bytes(good)
    assert not running.run_once(LATER + 1, LATER).did_something
    report = running.run_once(LATER + 61, LATER)
    assert (report.hours, report.days, report.blocked) == (1, 1, {})
    _same_as_made_at_once(layout, rows)


def test_what_is_blocked_can_be_tried_again_at_once(layout: Layout) -> None:
    arrive(layout, [Reading(DAY, 1.0)])
    path = layout.hour_file(SensorHour(SERIES, DAY // HOUR))
    good = path.read_bytes()
    path.write_bytes(good[:500] + b"?" + good[501:])
    running = aggregator(layout)
    assert list(running.run_once(LATER, LATER).blocked) == [path]
    path.write_bytes(good)
    running.try_all_now()
    report = running.run_once(LATER + 1, LATER)
    assert (report.hours, report.blocked) == (1, {})


def test_a_round_lets_know_hour_by_hour_that_it_goes_on(layout: Layout) -> None:
    arrive(layout, _seconds(DAY, 100, 1800))
    told = []
    running = aggregator(layout)
    running.alive = lambda: told.append(1)
    report = running.run_once(LATER, LATER)
    assert len(told) == report.hours


@pytest.mark.parametrize("level", ["hour", "day"])
@pytest.mark.parametrize("gone", [True, False])
def test_rows_lost_with_a_damaged_or_removed_file_are_made_again(
    layout: Layout, level: Level, gone: bool
) -> None:
    rows = _seconds(DAY, 100, 1800)
    arrive(layout, rows)
    aggregate(layout)
    path = next(iter(sorted(layout.aggregated.rglob(f"*_{level}.parquet"))))
    data = path.read_bytes()
    path.unlink() if gone else path.write_bytes(data[:300] + b"?" + data[301:])
    rows.append(Reading(DAY + 5 * HOUR + SECOND, 7.0))
    arrive(layout, rows, [100])
    aggregate(layout)
    _same_as_made_at_once(layout, rows)


def test_a_day_of_two_units_is_made_from_raw_in_the_newest(layout: Layout) -> None:
    rows = [
        Reading(DAY, 20.0),
        Reading(DAY + SECOND, 70.0, unit="°F"),
        Reading(DAY + 5 * HOUR, 71.0, unit="°F"),
        Reading(DAY + 9 * HOUR, 21.0),
    ]
    arrive(layout, rows)
    aggregate(layout)
    day = layout.root / f"aggregated/press-1/{_folder(DAY, '%Y/%m')}/temperature_day.parquet"
    found = read_aggregate(day).statistics
    assert (found.unit.tolist(), found.count.tolist(), found.total.tolist()) == (["°C"], [2], [41.0])
    assert found.other_unit.tolist() == [2]


def test_the_footer_names_sources_parameters_and_what_was_held(layout: Layout) -> None:
    arrive(layout, [Reading(DAY + 30 * 60 * SECOND, 1.5), Reading(DAY + HOUR + SECOND, 2.0)])
    aggregate(layout)
    minutes = sorted(layout.aggregated.rglob("*_minute.parquet"))
    hour_file = layout.hour_file(SensorHour(SERIES, DAY // HOUR + 1))
    footer = read_aggregate(minutes[1]).footer
    (part,) = footer.parts
    assert (footer.series, footer.level, footer.period) == (SERIES, "minute", DAY // HOUR + 1)
    assert part.digest == content_digest(CheckedFile(hour_file).footer().totals)
    assert part.carry_in == (DAY + 30 * 60 * SECOND, 1.5, "°C")
    assert footer.parameters[0].carry_limit_us == HOUR
    hours = read_aggregate(next(layout.aggregated.rglob("*_hour.parquet")))
    assert [item.digest for item in hours.footer.parts] == [read_aggregate(path).digest for path in minutes]
    days = read_aggregate(next(layout.aggregated.rglob("*_day.parquet")))
    assert [item.digest for item in days.footer.parts] == [hours.digest]


def test_an_hour_larger_than_a_block_is_made_block_by_block_to_the_same_bytes(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        Reading(DAY + number * 10_000, number / 7, unit="°F" if 5000 < number < 6000 else "°C")
        for number in range(140_000)
    ]
    arrive(layout, rows)
    aggregate(layout)
    whole = tree(layout)
    again = fresh(layout.root.parent / "again")
    arrive(again, rows)
    monkeypatch.setattr("sensor_storage.aggregation.raw_hours.BLOCK_ROWS", 10_000)
    aggregate(again)
    assert changed(whole, tree(again)) == set()
