"""Imports: every row once, however often; bad rows are named and nothing is stored."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.verify import verify
from support.command import Run

START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())


def stored(layout: Layout) -> list[tuple[str, str, int, float]]:
    """Every reading in the hour files: asset, sensor, time in seconds, value."""
    rows = Readings.concat([CheckedFile(path).readings() for path in layout.hour_files()])
    assert all(source.is_import for source in rows.source.values)
    times = (rows.timestamp // 1_000_000).tolist()
    return sorted(
        (series.asset, series.sensor, time, value)
        for series, time, value in zip(rows.series.tolist(), times, rows.value.tolist(), strict=True)
    )


def narrow_csv(path: Path, rows: int = 100) -> Path:
    lines = [f"press-1,t,{datetime.fromtimestamp(START + n, UTC).isoformat()},{n / 8}" for n in range(rows)]
    path.write_text("\n".join(["asset_id,sensor_name,timestamp,value", *lines]))
    return path


def test_a_csv_is_stored_once_however_often_it_is_imported(run: Run, layout: Layout, tmp_path: Path) -> None:
    path = narrow_csv(tmp_path / "old.csv")
    assert run("backfill", str(path)).code == 0
    before = {file: file.read_bytes() for file in layout.raw.rglob("*.parquet")}
    again = run("backfill", str(path), "--json")
    assert again.lines()[-1]["already"] == 100
    assert {file: file.read_bytes() for file in layout.raw.rglob("*.parquet")} == before
    assert stored(layout) == [("press-1", "t", START + n, n / 8) for n in range(100)]
    report = verify(layout, full=True)
    assert report.clean, report.findings
    assert sum(item.readings for item in report.partitions) == 100


def test_a_copy_of_the_file_is_the_same_file_and_another_file_is_not(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    path = narrow_csv(tmp_path / "old.csv")
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    longer = narrow_csv(tmp_path / "longer.csv", 101)
    assert run("backfill", str(path), str(copy), str(longer)).code == 0
    assert len(stored(layout)) == 100 + 101


def test_a_parquet_with_a_column_for_each_sensor_gives_a_reading_for_each_cell(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    path = tmp_path / "wide.parquet"
    table = pa.table(
        {
            "timestamp": pa.array(
                [START * 1_000_000_000 + n for n in range(3)], pa.timestamp("ns", tz="UTC")
            ),
            "pressure": [1.5, None, 2.5],
            "temperature": [20.0, 21.0, float("nan")],
        }
    )
    pq.write_table(table, path)
    assert run("backfill", "--asset", "press-7", str(path)).code == 0
    assert [(asset, sensor, value) for asset, sensor, _, value in stored(layout)] == [
        ("press-7", "pressure", 1.5),
        ("press-7", "pressure", 2.5),
        ("press-7", "temperature", 20.0),
        ("press-7", "temperature", 21.0),
    ]


def test_lines_of_json_are_read_as_messages_are(run: Run, layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "old.ndjson"
    message = {"asset_id": "a", "timestamp": START, "sensors": {"x": 1.0, "y": 2.0}}
    path.write_text(json.dumps(message) + "\n\n" + json.dumps({**message, "timestamp": START + 1}) + "\n")
    assert run("backfill", str(path)).code == 0
    assert len(stored(layout)) == 4
    assert verify(layout, full=True).clean


def test_bad_rows_are_named_and_nothing_is_stored_unless_they_are_left_out(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    path = tmp_path / "old.ndjson"
    good = json.dumps({"asset_id": "a", "sensor_name": "x", "timestamp": START, "value": 1})
    path.write_text(f"{good}\n{{broken\n")
    done = run("backfill", str(path))
    assert done.code == 2
    assert "row 2" in done.err
    assert "--skip-bad" in done.err
    assert layout.staged_files() == []
    assert run("backfill", "--skip-bad", str(path)).code == 1
    assert len(stored(layout)) == 1
    assert verify(layout, full=True).clean


def test_a_dry_run_stores_nothing(run: Run, layout: Layout, tmp_path: Path) -> None:
    done = run("backfill", "--dry-run", "--json", str(narrow_csv(tmp_path / "old.csv")))
    assert done.lines()[-1]["readings"] == 100
    assert layout.staged_files() == []
    assert layout.hour_files() == []


@pytest.mark.parametrize("name", ["old.xlsx", "old.parquet"])
def test_what_is_no_such_file_is_refused_with_words(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"neither")
    done = run("backfill", str(path))
    assert done.code == 2
    assert "hint:" in done.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("asset_id,sensor_name,timestamp,value\nol,t,1704067200,1\n\xf6l,t,1704067200,1\n", "(row 2)"),
        ("asset_id;sensor_name;timestamp;value\na;t;1704067200;1,5\n", "commas between columns"),
        ("asset_id,sensor_name,timestamp,value,value\na,t,1704067200,1,2\n", "twice: value"),
    ],
    ids=["Latin-1", "semicolons", "a column twice"],
)
@pytest.mark.parametrize("options", [(), ("--skip-bad",)], ids=["", "skip bad"])
def test_a_csv_that_would_be_misread_is_refused_with_the_remedy_and_nothing_is_stored(
    *, run: Run, layout: Layout, tmp_path: Path, content: str, words: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(content.encode("latin-1"))
    done = run("backfill", *options, str(path))
    assert done.code == 2
    assert str(path) in done.err
    assert words in done.err
    assert ("iconv" in done.err) == ("row" in words)
    assert layout.staged_files() == []


@pytest.mark.parametrize("damage", ["time", "text"])
def test_a_parquet_with_a_cell_that_is_no_time_or_text_is_refused_with_its_row(
    run: Run, layout: Layout, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "old.parquet"
    times = [START * 1_000_000, 1 << 62 if damage == "time" else START * 1_000_000]
    offsets, text = (
        pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes()),
        b"a\xe5" if damage == "text" else b"ab",
    )
    names = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(text))
    columns = {"asset_id": names, "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")), "x": [1.0, 2.0]}
    pq.write_table(pa.table(columns), path)
    done = run("backfill", str(path))
    assert done.code == 2, done.err
    assert f"{path}: row 2 can't be read" in done.err
    assert layout.staged_files() == []


def test_a_bit_flipped_in_a_parquet_is_never_an_error_of_the_service(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    path = tmp_path / "old.parquet"
    times = pa.array([START * 1_000_000 + n for n in range(50)], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"timestamp": times, "x": [float(n) for n in range(50)]}), path)
    sound = path.read_bytes()
    for place in range(4, len(sound), 61):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 128]) + sound[place + 1 :])
        done = run("backfill", "--dry-run", "--asset", "a", str(path))
        assert (done.code, "unexpected" in done.err) in {(0, False), (2, False)}, place
    assert layout.staged_files() == []


def test_a_file_of_the_service_itself_is_not_imported_under_another_address(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    run("backfill", str(narrow_csv(tmp_path / "old.csv")))
    (path,) = layout.hour_files()
    done = run("backfill", str(path))
    assert done.code == 2
    assert "rebuild" in done.err


def csv(path: Path, *rows: str, heading: str = "asset_id,sensor_name,timestamp,value") -> str:
    path.write_text("\n".join([heading, *rows]))
    return str(path)


def test_a_word_in_a_column_of_numbers_is_a_text_and_the_others_stay_numbers(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    rows = [f"007,{START + n},{'No Data' if n == 60_000 else n / 8}" for n in range(60_100)]
    assert run("backfill", csv(tmp_path / "old.csv", *rows, heading="asset_id,ts,flow")).code == 0
    (found,) = [CheckedFile(path).readings() for path in layout.hour_files() if "/16/" in str(path)]
    assert found.series.tolist()[0].asset == "007"
    assert found.text is not None
    texts = {place: text for place, text in enumerate(found.text.tolist()) if text is not None}
    assert list(texts.values()) == ["No Data"]
    numbers = np.delete(found.value, list(texts))
    assert not np.isnan(numbers).any()
    assert np.isin(numbers * 8, range(60_100)).all()


def test_cells_are_numbers_truths_texts_or_nothing_each_by_itself(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    cells = ["1", " 2.5", "-3e2", "true", "FALSE", "open", "10_5", "٣", "0x10", "inf", "nan", ""]
    rows = [f"a,s,{START + number},{cell}" for number, cell in enumerate(cells)]
    assert run("backfill", "--skip-bad", csv(tmp_path / "old.csv", *rows)).code == 1
    (path,) = layout.hour_files()
    found = CheckedFile(path).readings()
    assert found.value.tolist()[:5] == [1, 2.5, -300, 1, 0]
    assert found.text is not None
    assert found.text.tolist()[5:] == ["open", "10_5", "٣", "0x10", "inf"]


def test_rows_with_more_or_fewer_cells_and_those_of_the_future_are_bad_rows_with_their_numbers(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    future = START + 100 * 366 * 86_400
    rows = ["a,s,2024-01-01 00,1", f"a,s,{START},2,more", "a,s", f"a,s,{future},3", f"a,s,{START + 1},4"]
    path = csv(tmp_path / "old.csv", *rows)
    done = run("backfill", path)
    assert done.code == 2
    for words in (
        "3 of 5 rows",
        "row 2: 5 columns, and the heading has 4",
        "row 3: 2 columns",
        "row 4: the time",
    ):
        assert words in done.err
    assert layout.staged_files() == []
    assert run("backfill", "--skip-bad", path).code == 1
    assert [value for *_, value in stored(layout)] == [1, 4]
    again = run("backfill", "--skip-bad", "--json", path).lines()[-1]
    assert (again["already"], again["readings"]) == (3, 0)
    assert verify(layout, full=True).clean
