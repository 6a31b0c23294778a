"""`query`, `latest`, `export` as a person and a script use them."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sensor_storage import cli
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.model import SensorHour
from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ColdStatus, write_status
from sensor_storage.verbs.query import sparkline
from support.aggregates import DAY, SECOND, SERIES, Reading, aggregate, arrive
from support.cold import Plant
from support.command import Run
from support.terminal import on_a_terminal

ROWS = [Reading(DAY + second * SECOND, float(second)) for second in range(0, 5000, 5)]
SPAN = ("--start", as_text(DAY), "--end", as_text(DAY + 86_400 * SECOND))


@pytest.fixture(autouse=True)
def readings(layout: Layout) -> None:
    arrive(layout, ROWS)
    aggregate(layout)


def test_json_lines_are_the_rows_and_one_summary(run: Run) -> None:
    *items, summary = run("query", "press-1", "--resolution", "hour", *SPAN, "--json").lines()
    assert [(one["count"], one["max"]) for one in items] == [(720, 3595.0), (280, 4995.0)]
    assert (summary["type"], summary["rows"], summary["resolution"]) == ("summary", 2, "hour")


def test_latest_tells_value_and_age(run: Run) -> None:
    item, summary = run("latest", "--json").lines()
    assert (item["value"], item["timestamp"]) == (4995.0, as_text(ROWS[-1].time))
    assert summary["sensors"] == 1
    assert run("latest", "nobody").code == 1


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_export_writes_one_whole_file(run: Run, tmp_path: Path, form: str) -> None:
    target = tmp_path / f"out.{form}"
    done = run("export", "press-1", "temperature", "--resolution", "raw", *SPAN, "-o", str(target), "--json")
    (summary,) = done.lines()
    assert (done.code, summary["rows"], summary["size_bytes"]) == (0, len(ROWS), target.stat().st_size)
    if form == "parquet":
        values = pq.read_table(target)["value"].to_pylist()
    elif form == "csv":
        values = pyarrow.csv.read_csv(target)["value"].to_pylist()
    else:
        values = [row["value"] for row in json.loads(target.read_text())["rows"]]
    assert values == [row.value for row in ROWS]
    assert [path.name for path in tmp_path.glob("*out*")] == [target.name]
    again = run("export", *SPAN, "-o", str(target))
    assert again.code == 2
    assert "--force" in again.err
    assert run("export", *SPAN, "-o", str(target), "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("query", "--start", "soon"), 2, "soon"),
        (("query", "--start", "-999999d", "--resolution", "day"), 2, "start: the time"),
        (("export", "--end", "+9999999d", "-o", "out.csv"), 2, "end: the time"),
        (("query", "nobody"), 1, "nobody"),
        (("query", "--url", "http://127.0.0.1:1"), 2, "give one"),
        (("export", "-o", "out.xlsx"), 2, "out.xlsx"),
        (("export", "-o", "/nowhere/out.csv"), 2, "/nowhere"),
    ],
)
def test_mistakes_are_told_with_the_way_out(
    run: Run, arguments: tuple[str, ...], code: int, word: str
) -> None:
    done = run(*arguments)
    assert (done.code, word in done.err) == (code, True), done.err


@pytest.mark.parametrize(
    ("url", "code", "word"), [("ftp://x", 2, "http://"), ("http://127.0.0.1:1", 4, "SERVICE_PORT")]
)
def test_a_service_that_cannot_be_asked_is_named(
    capsys: pytest.CaptureFixture[str], url: str, code: int, word: str
) -> None:
    assert cli.run(["latest", "--url", url]) == code
    assert word in capsys.readouterr().err


def test_beside_a_service_whatever_its_settings_the_verbs_find_the_folder_it_uploads_to_or_say_what_is_lacking(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    """Exit code 2 and the store's address; never fewer rows and 0."""
    with closing(Plant(layout.root, DirectoryStore(tmp_path / "cold"))) as plant:
        plant.upload()
        plant.clean()
        assert plant.local() == []
        status = ColdStatus(worker="cold", pid=1, time=0, started=0, url=plant.store.url)
    export = ("export", "--resolution", "raw", *SPAN, "--force", "-o", "out.parquet")
    for url, code in ((status.url, 0), ("az://plant", 2), (status.url, 0)):
        write_status(layout, msgspec.structs.replace(status, url=url))
        shutil.rmtree(layout.cache, ignore_errors=True)
        for verb in (("query", "--resolution", "raw", *SPAN), ("latest",), export):
            done = run(*verb, "--json")
            *_, last = done.lines()
            assert (done.code, last["type"]) == (code, "error" if code else "summary")
            if code:
                assert "only the cold store (az://plant) has " in last["message"]
                assert "COLD_STORE_URL" in last["hint"]
            elif verb[0] != "latest":
                assert last["rows"] == len(ROWS)
        assert pq.read_metadata("out.parquet").num_rows == len(ROWS)


@pytest.mark.parametrize("verb", ["query", "export"])
def test_a_damaged_file_is_named_on_stderr_and_the_other_readings_come(
    run: Run, layout: Layout, verb: str
) -> None:
    path = layout.hour_file(SensorHour(SERIES, DAY // (3_600 * SECOND) + 1))
    path.write_bytes(path.read_bytes()[:-9])
    more = ("-o", "out.csv") if verb == "export" else ()
    done = run(verb, "--resolution", "raw", *SPAN, "--json", *more)
    *_, summary = done.lines()
    assert (done.code, summary["rows"]) == (0, 720)
    assert done.err.count("temperature.parquet is damaged; its readings are missing here") == 1
    assert "verify --repair" in done.err


def test_on_a_terminal_an_export_shows_how_far_it_is(layout: Layout, tmp_path: Path) -> None:
    arguments = ("press-1", "temperature", "--resolution", "raw", *SPAN, "-o", "out.parquet")
    code, told = on_a_terminal("export", *arguments, "--data", str(layout.root), folder=tmp_path)
    assert code == 0
    assert "press-1 temperature" in told
    assert "━" in told
    assert "1,000 rows of resolution raw in out.parquet" in told
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 1_000


def test_on_a_terminal_a_query_ends_with_a_sparkline(layout: Layout, tmp_path: Path) -> None:
    arguments = ("press-1", "temperature", "--resolution", "minute", *SPAN)
    code, told = on_a_terminal("query", *arguments, "--data", str(layout.root), folder=tmp_path)
    assert code == 0
    assert "press-1 temperature  ▁" in told
    assert "minute · 84 rows" in told


def test_a_sparkline_keeps_a_spike() -> None:
    line = sparkline([1.0] * 500 + [9.0] + [1.0] * 499)
    assert line.count("█") == 1
    assert line.endswith("1 to 9")
    assert sparkline([5.0]).startswith("▁")
