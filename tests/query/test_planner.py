"""What is read for a question: by tables of what is known, and what is known by files."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.clock import ManualClock
from sensor_storage.model import Series
from sensor_storage.query.planner import Evenly, Known, TooMuch, plan, reckoned, windows
from sensor_storage.query.queries import Queries
from sensor_storage.query.question import Asked, Interval, Question, Resolution
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, LATER, SECOND, SERIES, Reading, arrive, readings_at
from support.trees import stage

HOUR = 3600 * SECOND
EVERY = Question(("*",), ("*",), Interval(DAY, DAY + 24 * HOUR))


def known(likely: int, rows: int | None = None) -> Known:
    return Known(SERIES, likely if rows is None else rows, likely)


@pytest.mark.parametrize(
    ("hours", "likely", "points", "resolution"),
    [
        (1, 3_600, None, "raw"),
        (1, 4_000, None, "raw"),
        (1, 4_001, None, "minute"),
        (24, 86_400, None, "minute"),
        (24, 86_400, 86_400, "raw"),
        (24, 86_400, 86_399, "minute"),
        (24, 86_400, 1_440, "minute"),
        (24, 86_400, 1_439, "hour"),
        (24, 86_400, 24, "hour"),
        (24, 86_400, 23, "day"),
        (24 * 366, 31_622_400, None, "day"),
        (24 * 166, 20_000, None, "hour"),
        (24 * 5_000, 20_000, 100, "day"),
        (24, 0, 8, "raw"),
    ],
)
def test_auto_is_the_finest_resolution_within_the_points(
    hours: int, likely: int, points: int | None, resolution: Resolution
) -> None:
    asked = replace(EVERY, interval=Interval(DAY, DAY + hours * HOUR), max_points=points)
    assert plan(asked, [known(likely), known(1)], max_rows=0).resolution == resolution


@pytest.mark.parametrize(
    ("asked", "likely", "rows"),
    [("raw", 100, 200), ("minute", 10**6, 2_880), ("hour", 10**6, 48), ("hour", 7, 14), ("day", 10**6, 2)],
)
def test_an_answer_has_no_more_rows_than_readings_or_windows(asked: Asked, likely: int, rows: int) -> None:
    found = plan(replace(EVERY, resolution=asked), [known(likely), known(likely)], max_rows=rows)
    assert found.rows == rows
    with pytest.raises(TooMuch, match=f"about {rows:,} rows, more than {rows - 1:,}") as caught:
        plan(replace(EVERY, resolution=asked), [known(likely), known(likely)], max_rows=rows - 1)
    assert "export" in caught.value.hint


def test_readings_that_are_thinned_count_as_the_points_that_are_left() -> None:
    asked = replace(EVERY, resolution="raw", max_points=1_000)
    assert plan(asked, [known(10**9)], max_rows=1_000).thin_to == 1_000


@given(
    gap=st.integers(1, 10**9),
    rows=st.integers(1, 5_000),
    start=st.integers(-10, 6_000),
    length=st.integers(1, 6_000),
    shift=st.integers(0, 10**9),
)
def test_readings_that_come_evenly_are_reckoned_to_one(
    gap: int, rows: int, start: int, length: int, shift: int
) -> None:
    some = Evenly(rows, DAY, DAY + (rows - 1) * gap)
    asked = Interval(DAY + start * gap + shift % gap, DAY + (start + length) * gap)
    there = sum(asked.start <= DAY + number * gap < asked.end for number in range(rows))
    assert there <= reckoned(some, asked) <= min(there + 1, rows)


def test_windows_are_those_that_touch_the_interval() -> None:
    assert windows(Interval(DAY - 1, DAY + 1), "day") == 2
    assert windows(Interval(DAY, DAY + HOUR), "minute") == 60
    assert windows(Interval(DAY, DAY), "minute") == 0


def _layout(folder: Path) -> Layout:
    """An hour in a file and twenty minutes of the next one staged, as segments of ten seconds."""
    layout = Layout(folder / "raw")
    rows = [Reading(DAY + second * SECOND, float(second)) for second in range(4_800)]
    arrive(layout, rows, range(3_600))
    for first in range(3_600, len(rows), 10):
        offsets = range(first, first + 10)
        stage(layout, readings_at(rows, offsets), number=first, start=first, stop=first + 10)
    return layout


@pytest.mark.parametrize(
    ("start", "end", "readings"),
    [
        (20 * 60, 80 * 60, 3_600),
        (0, 3_600, 3_600),
        (600, 660, 60),
        (4_500, 4_800, 300),
        (4_750, 9_000, 50),
        (9_000, 9_100, 0),
    ],
)
@pytest.mark.parametrize("catalog", [True, False])
def test_a_window_that_cuts_hours_is_raw_when_its_own_readings_fit(
    tmp_path: Path, start: int, end: int, readings: int, catalog: bool
) -> None:
    layout = _layout(tmp_path)
    if not catalog:
        layout.catalog.unlink()
    queries = Queries(layout, ManualClock(LATER))
    interval = Interval(DAY + start * SECOND, DAY + end * SECOND)
    question = Question((SERIES.asset,), (SERIES.sensor,), interval)
    for points, resolution in ((max(readings, 8) + 1, "raw"), (max(readings, 9) - 1, "minute")):
        answer = queries.answer(replace(question, max_points=points))
        if readings >= 60:
            assert answer.plan.resolution == resolution
        if answer.plan.resolution == "raw":
            assert sum(table.num_rows for table in answer.tables) == readings
            assert answer.thinned_by is None


def test_an_answer_names_the_thinning_exactly_when_readings_are_left_out(tmp_path: Path) -> None:
    """Also where they come in a burst at the edge, so that too few are reckoned."""
    layout = Layout(tmp_path / "raw")
    burst = [Reading(DAY + 10 * SECOND + n, 1.0) for n in range(400)]
    arrive(layout, [Reading(DAY, 1.0), *burst, Reading(DAY + HOUR - 1, 1.0)])
    queries = Queries(layout, ManualClock(LATER))
    asked = Question(("*",), ("*",), Interval(DAY, DAY + 60 * SECOND), "raw", max_points=200)
    for question, method in ((asked, "M4"), (replace(asked, max_points=401), None)):
        answer = queries.answer(question)
        answer.begin()
        assert answer.thinned_by == method
        rows = sum(table.num_rows for table in answer.tables)
        assert (rows < 401) == (method is not None)


def test_a_sensor_without_a_reading_in_the_interval_takes_part_in_no_decision(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    arrive(layout, [Reading(DAY + 40 * HOUR, 1.0, series=Series("press-1", "other"))])
    answer = Queries(layout, ManualClock(LATER)).answer(replace(EVERY, interval=Interval(DAY, DAY + HOUR)))
    assert [part.likely for part in answer.plan.parts] == [0, 3_600]
