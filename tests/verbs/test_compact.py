from contextlib import closing
from pathlib import Path

import pytest

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own
from support.cold import Plant
from support.command import Run
from support.samples import stage_readings
from support.workers import FLUSHED, maintain_that_answers

SERIES = [Series("press-7", "temperature"), Series("press-7", "vibration")]


def tree(layout: Layout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}


def test_everything_staged_is_put_in_its_hour_file(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    (summary,) = run("compact", "--json").lines()
    assert (summary["type"], summary["rows"], summary["hour_files"], summary["retired"]) == (
        "summary",
        2,
        2,
        1,
    )
    assert [layout.relative(path) for path in layout.hour_files()] == [
        "raw/press-7/2024/01/01/00/temperature.parquet",
        "raw/press-7/2024/01/01/00/vibration.parquet",
    ]
    assert layout.staged_files() == []
    assert run("compact", "--json").lines()[0]["hour_files"] == 0


def test_a_dry_run_names_the_files_and_changes_nothing(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    stage_readings(layout, SERIES, number=1, first_offset=10)
    before = tree(layout)
    *items, summary = run("compact", "--dry-run", "--json").lines()
    assert [(one["file"], one["staged_rows"], one["held_rows"]) for one in items] == [
        ("raw/press-7/2024/01/01/00/temperature.parquet", 1, 1),
        ("raw/press-7/2024/01/01/00/vibration.parquet", 1, 1),
    ]
    assert (summary["hour_files"], summary["rows"]) == (2, 2)
    assert tree(layout) == before


def test_a_running_service_is_asked_to_do_it(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    with own(layout), maintain_that_answers(layout, lambda _: FLUSHED) as came:
        done = run("compact", "--json")
    assert done.code == 0
    assert done.lines() == [{"type": "summary", **FLUSHED}]
    assert came == [{"verb": "flush"}]
    assert len(layout.staged_files()) == 1


def test_a_service_that_does_not_answer_is_exit_code_5(run: Run, layout: Layout) -> None:
    with own(layout):
        done = run("compact", "--json")
    assert done.code == 5
    assert done.lines()[-1]["hint"]


def test_a_service_that_could_not_says_why(run: Run, layout: Layout) -> None:
    with own(layout), maintain_that_answers(layout, lambda _: {"error": "no room", "hint": "free space"}):
        done = run("compact")
    assert done.code == 1
    assert "no room" in done.err
    assert "free space" in done.err


@pytest.mark.parametrize("options", [["compact"], ["compact", "--dry-run"]])
def test_a_damaged_segment_is_named_and_the_rest_goes_on(
    run: Run, layout: Layout, options: list[str]
) -> None:
    stage_readings(layout, SERIES)
    stage_readings(layout, SERIES, number=1, first_offset=10)
    path = layout.staged_files()[0][1]
    path.write_bytes(path.read_bytes()[:-9])
    done = run(*options, "--json")
    assert done.code == 1
    assert path.name in done.err
    assert done.lines()[-1]["rows"] == 2


def test_a_directory_that_is_not_there_is_not_made(run: Run, layout: Layout) -> None:
    assert run("compact").code == 2
    assert not layout.root.exists()


def test_late_readings_of_an_hour_that_only_a_cold_store_has_wait_where_none_is_set(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    """A new file with the late readings alone would hide all others of the hour."""
    with closing(Plant(layout.root, DirectoryStore(tmp_path / "cold"))) as plant:
        plant.arrive(range(20))
        plant.all_stages()
        plant.clean()
        plant.arrive(range(20, 24))
        done = run("compact")
        assert (done.code, plant.local()) == (1, [])
        assert "only the cold store has" in done.err
        assert plant.offsets() == [offset for offset in range(24) if offset % 2 == 0]
