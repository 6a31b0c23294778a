import json
from typing import Any

import pytest

from sensor_storage import cli
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own
from support.command import Run
from support.samples import stage_readings
from support.workers import maintain_that_answers

SERIES = [Series("press-7", "temperature"), Series("press-7", "vibration")]
ROUND = {"hours": 2, "days": 1, "readings": 9, "files": 5, "written_bytes": 70, "blocked": {}}


def _names(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.aggregated.rglob("*.parquet"))


def _of_aggregates(lines: list[dict[str, Any]]) -> set[str]:
    """The kinds of findings about aggregates."""
    return {line["finding"] for line in lines if line.get("where", "").startswith("aggregated/")}


def test_everything_in_hour_files_is_aggregated(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    (summary,) = run("aggregate", "--json").lines()
    assert (summary["hours"], summary["days"], summary["readings"], summary["files"]) == (2, 2, 2, 6)
    assert len(_names(layout)) == 6
    assert run("aggregate", "--json").lines()[0]["hours"] == 0
    *findings, verified = run("verify", "--full", "--json").lines()
    assert _of_aggregates(findings) == set()
    assert (verified["aggregates"], verified["aggregates_made_again"]) == (6, 6)


def test_a_dry_run_tells_what_is_due_and_makes_nothing(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    *items, summary = run("aggregate", "--dry-run", "--json").lines()
    assert [(item["sensor"], item["span"], item["start"]) for item in items] == [
        ("temperature", "hour", "2024-01-01T00:00:00Z"),
        ("vibration", "hour", "2024-01-01T00:00:00Z"),
    ]
    assert (summary["due"], _names(layout)) == (2, [])


def test_aggregates_are_rebuilt_from_raw(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    run("aggregate")
    path = next(layout.aggregated.rglob("vibration_minute.parquet"))
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    found = run("verify", "--json")
    assert found.code == 1
    assert _of_aggregates(found.lines()) == {"damaged", "stale"}
    (summary,) = run("rebuild", "aggregates", "--json").lines()
    assert (summary["hours"], summary["files"]) == (2, 1)
    assert path.read_bytes() == good
    assert _of_aggregates(run("verify", "--full", "--json").lines()) == set()


def test_a_rebuilt_catalog_knows_the_aggregates(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    run("aggregate")
    assert run("rebuild", "--json").lines()[-1] == {
        "type": "summary",
        "files": 2,
        "aggregates": 6,
        "damaged": 0,
    }
    assert run("aggregate", "--json").lines()[0]["hours"] == 0


def test_a_running_service_is_asked_until_nothing_is_left(run: Run, layout: Layout) -> None:
    layout.root.mkdir(parents=True)
    more = iter([True, False])
    with own(layout), maintain_that_answers(layout, lambda _: {**ROUND, "more": next(more)}) as came:
        done = run("rebuild", "aggregates", "--json")
    assert done.code == 0
    twice = {name: 2 * value for name, value in ROUND.items() if isinstance(value, int)}
    assert done.lines()[-1] == {"type": "summary", "blocked": {}, **twice}
    assert came == [{"verb": "aggregate", "again": True}, {"verb": "aggregate", "again": False}]


def test_an_aggregate_is_shown_by_inspect(
    run: Run, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    run("aggregate")
    path = next(layout.aggregated.rglob("vibration_day.parquet"))
    assert cli.run(["inspect", str(path), "--json"]) == 0
    facts, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (facts["kind"], facts["level"], facts["rows"]) == ("aggregate", "day", 1)
    assert summary["sound"]
