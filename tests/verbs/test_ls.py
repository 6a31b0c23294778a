import json

import pytest

from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from support.command import Run
from support.samples import SOURCE, stage_readings

SERIES = [Series("press-7", "temperature"), Series("press-7", "vibration"), Series("pump", "flow")]


def test_assets_with_what_files_and_staging_hold(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    assert run("compact").code == 0
    stage_readings(layout, [Series("pump", "flow"), Series("new", "x")], number=1, first_offset=10)
    *items, summary = run("ls", "--json").lines()
    assert [
        (one["asset"], one["sensors"], one["files"], one["rows"], one["staged_rows"]) for one in items
    ] == [
        ("new", 1, 0, 0, 1),
        ("press-7", 2, 2, 2, 0),
        ("pump", 1, 1, 1, 1),
    ]
    assert (items[0]["first_timestamp"], items[0]["last_timestamp"]) == (None, None)
    assert items[1]["first_timestamp"] == "2024-01-01T00:00:00Z"
    assert items[1]["last_timestamp"] == "2024-01-01T00:00:01Z"
    assert (summary["type"], summary["assets"], summary["sensors"]) == ("summary", 3, 4)
    assert (summary["rows"], summary["staged_rows"], summary["files"]) == (3, 2, 3)


def test_one_assets_sensors(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    run("compact")
    *items, summary = run("ls", "press-7", "--json").lines()
    assert [one["sensor"] for one in items] == ["temperature", "vibration"]
    assert all(one["asset"] == "press-7" and one["size_bytes"] > 0 for one in items)
    assert summary["sensors"] == 2


def test_true_names_are_listed_as_they_came_and_obey_no_terminal(run: Run, layout: Layout) -> None:
    names = ["../../etc/x", "a\x1b[2Jb", "a\nb", "CON", "ümlaut", "Case", "case", "\u202eevil", "🏭", "."]
    stage_readings(layout, [Series(name, "s") for name in names])
    assert run("compact").code == 0
    listed = [one["asset"] for one in run("ls", "--json").lines()[:-1]]
    assert sorted(listed) == sorted(names)
    text = run("ls").out
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == len(names) + 1
    for name in names:
        assert json.loads(run("ls", "--json", "--", name).out.splitlines()[0])["asset"] == name


def test_an_asset_nothing_is_stored_of_is_exit_code_1(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    done = run("ls", "Press-7")
    assert done.code == 1
    assert "nothing is stored of Press-7" in done.err


def test_an_empty_directory_lists_nothing_and_creates_nothing(run: Run, layout: Layout) -> None:
    layout.root.mkdir()
    done = run("ls", "--json")
    assert done.code == 0
    assert [line["type"] for line in done.lines()] == ["summary"]
    assert list(layout.root.iterdir()) == []


@pytest.mark.parametrize("verb", ["ls", "status", "verify", "rebuild", "compact", "dead-letters list"])
def test_a_directory_that_is_not_there_proves_nothing_and_is_not_created(
    run: Run, layout: Layout, verb: str
) -> None:
    done = run(*verb.split())
    assert done.code == 2
    assert "is not there" in done.err
    assert not layout.root.exists()


@pytest.mark.parametrize(
    "verb", ["ls", "status", "verify", "query", "latest", "compact", "dead-letters list"]
)
def test_a_directory_of_something_else_is_refused_and_left_as_it_was(
    run: Run, layout: Layout, verb: str
) -> None:
    layout.root.mkdir()
    (layout.root / "notes.txt").write_text("mine")
    done = run(*verb.split())
    assert (done.code, done.out) == (2, "")
    assert "is no data directory: it has no raw/" in done.err
    assert [path.name for path in layout.root.iterdir()] == ["notes.txt"]


def test_a_new_disk_is_an_empty_data_directory(run: Run, layout: Layout) -> None:
    (layout.root / "lost+found").mkdir(parents=True)
    assert run("ls").code == 0


def test_a_damaged_staged_file_is_named_and_passed_over(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    stage_readings(layout, SERIES, number=1, first_offset=10)
    path = layout.staged_files()[0][1]
    path.write_bytes(path.read_bytes()[:-9])
    done = run("ls", "--json")
    assert done.lines()[-1]["staged_rows"] == 3
    assert path.name in done.err
    assert SOURCE.topic not in done.out


def test_a_damaged_catalog_says_how_to_make_it_again(run: Run, layout: Layout) -> None:
    stage_readings(layout, SERIES)
    layout.catalog.write_bytes(b"no database" * 500)
    done = run("ls")
    assert done.code == 1
    assert "rebuild" in done.err
