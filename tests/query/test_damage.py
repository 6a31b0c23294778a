"""Damaged files within a question: left out and named, and no other reading is lost with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.model import SensorHour
from sensor_storage.query.queries import Answer, Queries
from sensor_storage.query.question import Asked, Interval, Question
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, LATER, SECOND, SERIES, Reading, aggregate, arrive, readings_at
from support.trees import stage

HOUR = 3_600 * SECOND
ROWS = [Reading(DAY + second * SECOND, float(second)) for second in range(0, 3 * 3_600, 60)]
ASKED = Question((SERIES.asset,), (SERIES.sensor,), Interval(DAY, DAY + 24 * HOUR), "raw")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three hours of readings, compacted and aggregated."""
    layout = Layout(tmp_path / "raw")
    arrive(layout, ROWS)
    aggregate(layout)
    return layout


def hour_file(layout: Layout, number: int) -> Path:
    return layout.hour_file(SensorHour(SERIES, DAY // HOUR + number))


def damage(path: Path) -> bytes:
    """Another byte in the middle of it; what it was."""
    before = path.read_bytes()
    middle = len(before) // 2
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    return before


def rows(answer: Answer) -> list[dict[str, object]]:
    return [row for table in answer.tables for row in table.to_pylist()]


def test_a_damaged_hour_file_is_left_out_and_named_with_the_remedy_and_what_is_staged_of_its_hour_is_there(
    layout: Layout,
) -> None:
    damage(hour_file(layout, 1))
    late = [*ROWS, Reading(DAY + HOUR + 7, 777.0)]
    stage(layout, readings_at(late, [len(ROWS)]), number=1 << 40, start=len(ROWS), stop=len(late))
    answer = Queries(layout, ManualClock(LATER)).answer(ASKED)
    values = [row["value"] for row in rows(answer)]
    assert values == [*(row.value for row in ROWS[:60]), 777.0, *(row.value for row in ROWS[120:])]
    (warning,) = answer.warnings
    assert str(layout.relative(hour_file(layout, 1))) in warning
    assert "`sensor-storage verify --repair`" in warning


@pytest.mark.parametrize("resolution", ["minute", "hour", "day"])
def test_a_damaged_aggregate_is_made_of_readings_and_named(layout: Layout, resolution: Asked) -> None:
    asked = replace(ASKED, resolution=resolution)
    whole = rows(Queries(layout, ManualClock(LATER)).answer(asked))
    paths = sorted(layout.aggregated.rglob(f"{SERIES.sensor}_{resolution}.parquet"))
    assert paths
    for path in paths:
        damage(path)
    answer = Queries(layout, ManualClock(LATER)).answer(asked)
    assert rows(answer) == whole
    assert min(answer.warnings).startswith(f"{layout.relative(paths[0])} is damaged; it was made of")
    assert len(answer.warnings) == len(paths)


@pytest.mark.parametrize("resolution", ["minute", "hour", "day"])
def test_where_aggregates_and_an_hour_file_are_damaged_the_other_hours_have_their_windows(
    layout: Layout, resolution: Asked
) -> None:
    for path in [*layout.aggregated.rglob("*.parquet"), hour_file(layout, 1)]:
        damage(path)
    answer = Queries(layout, ManualClock(LATER)).answer(replace(ASKED, resolution=resolution))
    assert sum(int(str(row["count"])) for row in rows(answer)) == len(ROWS) - 60
    assert any(layout.relative(hour_file(layout, 1)) in one and "missing" in one for one in answer.warnings)


def test_what_was_found_damaged_is_known_to_the_next_answer_until_it_is_mended_and_changes_the_tag(
    layout: Layout,
) -> None:
    queries = Queries(layout, ManualClock(LATER))
    tag = queries.tag(ASKED)
    before = damage(hour_file(layout, 2))
    answer = queries.answer(ASKED)
    answer.begin()
    assert (tag is not None, answer.warnings) == (True, [])
    rows(answer)
    assert len(answer.warnings) == 1
    assert queries.answer(ASKED).warnings == answer.warnings
    assert queries.tag(ASKED) != tag
    hour_file(layout, 2).write_bytes(before)
    mended = queries.answer(ASKED)
    assert (len(rows(mended)), mended.warnings) == (len(ROWS), [])
