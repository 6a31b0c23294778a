"""`/query`, `/assets`, `/latest` and `/where`, as a client sees them."""

import io
import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND, SERIES, Reading, aggregate, arrive, readings_at
from support.cold import Plant
from support.listening import listening_at
from support.sending import Send, sender
from support.trees import SOURCE, stage

STATE = Series("press-1", "state")
SLASHED = Series("hall/1", "flow rate")
ROWS = [
    *(Reading(DAY + second * SECOND, float(second % 60), "good", "°C") for second in range(0, 7200, 10)),
    Reading(DAY + 3_600 * SECOND + 5, text="on", unit=None, series=STATE),
    Reading(DAY + 3_700 * SECOND, 5.25, None, "l/s", series=SLASHED),
]
SPAN = {"start": as_text(DAY), "end": as_text(DAY + 86_400 * SECOND)}
TEMPERATURE = {**SPAN, "asset": "press-1", "sensor": "temperature"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(DAY / 1e6 + 3 * 86_400)


@pytest.fixture
def app(layout: Layout, clock: ManualClock) -> FastAPI:
    """Most of the readings are in hour files with aggregates, the last ones are staged."""
    arrive(layout, ROWS, range(len(ROWS) - 50))
    aggregate(layout)
    last = range(len(ROWS) - 50, len(ROWS))
    stage(layout, readings_at(ROWS, last), number=1 << 40, start=last.start, stop=last.stop)
    return create_app(layout, clock)


def test_json_has_the_rows_and_says_how_they_were_chosen(send: Send) -> None:
    answer = send("GET", "/query", params={**TEMPERATURE, "resolution": "hour"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["resolution"], found["row_count"], found["thinned_by"]) == ("hour", 2, None)
    first = found["rows"][0]
    assert (first["asset_id"], first["count"], first["min"], first["max"]) == ("press-1", 360, 0.0, 50.0)
    assert datetime.fromisoformat(first["window_start"]).timestamp() * 1e6 == DAY


@pytest.mark.parametrize("form", ["json", "csv", "arrow", "parquet"])
@pytest.mark.parametrize("how", ["format", "accept"])
def test_every_format_has_the_same_readings(send: Send, form: str, how: str) -> None:
    media = {
        "json": "application/json",
        "csv": "text/csv",
        "arrow": "application/vnd.apache.arrow.stream",
        "parquet": "application/vnd.apache.parquet",
    }
    parameters = {**TEMPERATURE, "resolution": "raw"} | ({"format": form} if how == "format" else {})
    headers = {"accept": media[form]} if how == "accept" else {}
    answer = send("GET", "/query", params=parameters, headers=headers)
    assert answer.headers["content-type"].split(";")[0] == media[form]
    assert answer.headers["sensor-storage-resolution"] == "raw"
    if form == "json":
        values = [row["value"] for row in answer.json()["rows"]]
    elif form == "csv":
        table = pa.csv.read_csv(io.BytesIO(answer.content))
        assert str(table["timestamp"][0]).startswith("2026") or answer.text.splitlines()[1].count("Z")
        values = table["value"].to_pylist()
    elif form == "arrow":
        table = pa.ipc.open_stream(answer.content).read_all()
        assert json.loads(table.schema.metadata[b"sensor_storage"])["resolution"] == "raw"
        values = table["value"].to_pylist()
    else:
        values = pq.read_table(io.BytesIO(answer.content))["value"].to_pylist()
    assert values == [row.value for row in ROWS[:720]]


def test_an_answer_without_rows_is_valid_in_every_format(send: Send) -> None:
    empty = {**TEMPERATURE, "start": as_text(DAY - 86_400 * SECOND), "end": as_text(DAY), "resolution": "raw"}
    assert send("GET", "/query", params=empty).json()["rows"] == []
    assert send("GET", "/query", params={**empty, "format": "csv"}).text.count("\n") == 1
    arrow = send("GET", "/query", params={**empty, "format": "arrow"}).content
    assert pa.ipc.open_stream(arrow).read_all().num_rows == 0
    parquet = send("GET", "/query", params={**empty, "format": "parquet"}).content
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 0


@pytest.mark.parametrize("resolution", ["raw", "minute", "day"])
def test_flat_rows_are_an_array_of_texts_numbers_and_nulls_as_grafana_asks_for_them(
    send: Send, resolution: str
) -> None:
    """Grafana puts its times in milliseconds since 1970."""
    times = {"start": str(DAY // 1_000), "end": str(DAY // 1_000 + 86_400_000)}
    asked = {"asset": "press-1", "resolution": resolution, **times}
    rows = send("GET", "/query", params={**asked, "format": "flat"})
    assert rows.headers["content-type"] == "application/json"
    found = rows.json()
    assert found == send("GET", "/query", params=asked).json()["rows"]
    assert {row["sensor_name"] for row in found} == {"state", "temperature"}
    assert all(isinstance(cell, str | int | float | None) for row in found for cell in row.values())
    nothing = {**asked, "start": "0", "end": "1", "resolution": "raw", "format": "flat"}
    assert send("GET", "/query", params=nothing).json() == []


def test_raw_readings_are_thinned_to_real_ones_with_both_extremes(send: Send) -> None:
    asked = {**TEMPERATURE, "resolution": "raw", "max_points": "16", "format": "json"}
    found = send("GET", "/query", params=asked).json()
    assert found["thinned_by"] == "M4"
    rows = {(row["timestamp"], row["value"]) for row in found["rows"]}
    assert len(rows) <= 24
    assert rows <= {(as_text(row.time), row.value) for row in ROWS[:720]} | {
        (as_text(row.time).replace("Z", ".000000Z"), row.value) for row in ROWS[:720]
    }
    assert {value for _, value in rows} >= {0.0, 50.0}


@pytest.mark.parametrize(
    ("points", "resolution"), [("1000", "raw"), ("300", "hour"), ("24", "hour"), ("23", "day")]
)
def test_auto_takes_the_finest_resolution_within_the_points(send: Send, points: str, resolution: str) -> None:
    found = send("GET", "/query", params={**TEMPERATURE, "max_points": points}).json()
    assert found["resolution"] == resolution


@pytest.mark.parametrize(
    ("parameters", "status", "word"),
    [
        ({"start": "yesterday"}, 422, "start"),
        ({"end": "1e999"}, 422, "end"),
        ({"start": "-999999d", "resolution": "day"}, 422, 'start: the time "-999999d" is not between'),
        ({"end": "+9999999d"}, 422, "end: the time"),
        ({"tz": "Mars/Olympus"}, 422, "tz"),
        ({"start": as_text(DAY + 1), "end": as_text(DAY)}, 422, "end"),
        ({"resolution": "week"}, 422, "resolution"),
        ({"max_point": "100"}, 422, "max_point"),
        ({"max_points": "3"}, 422, "max_points"),
        ({"asset": "Press-1"}, 404, "Press-1"),
        ({"format": "xlsx"}, 422, "format"),
        ({"fields": "mode", "resolution": "hour"}, 422, "mode"),
        ({"resolution": "minute", "max_points": "10"}, 413, "max_points"),
    ],
)
def test_a_wrong_parameter_is_a_problem_that_names_it_and_what_to_do(
    send: Send, parameters: dict[str, str], status: int, word: str
) -> None:
    answer = send("GET", "/query", params={**TEMPERATURE, **parameters})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert word in problem["detail"]
    assert problem["detail"].count(f"{problem.get('parameter')}: ") <= 1
    assert problem["hint"]


@pytest.mark.parametrize("resolution", ["raw", "minute", "hour", "day"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_first_and_the_last_day_of_the_calendar_can_be_asked_for(
    send: Send, resolution: str, zone: str
) -> None:
    days = ("0001-01-09", "0001-01-10"), ("9999-12-22", "9999-12-23"), ("9998-11-01", "9999-12-23")
    for start, end in days:
        asked = {**TEMPERATURE, "start": start, "end": end, "tz": zone, "resolution": resolution}
        answer = send("GET", "/query", params=asked)
        assert (answer.status_code, answer.json()["row_count"]) == (200, 0), answer.text


@pytest.mark.parametrize(
    ("resolution", "fields", "columns"),
    [
        ("raw", "value", ["timestamp", "value"]),
        ("minute", "max,mean", ["window_start", "max", "mean"]),
        ("day", "min", ["window_start", "min"]),
    ],
)
@pytest.mark.parametrize("points", ["16", "2000"])
def test_only_the_fields_asked_for_are_answered(
    send: Send, resolution: str, fields: str, columns: list[str], points: str
) -> None:
    asked = {**TEMPERATURE, "resolution": resolution, "fields": fields}
    if resolution == "raw":
        asked["max_points"] = points
    rows = send("GET", "/query", params=asked).json()["rows"]
    assert list(rows[0]) == ["asset_id", "sensor_name", *columns]


def test_a_format_nobody_has_is_not_acceptable(send: Send) -> None:
    answer = send("GET", "/query", params=TEMPERATURE, headers={"accept": "image/png"})
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["hint"]


def test_an_answer_of_more_rows_than_may_be_is_refused_before_it_is_read(
    layout: Layout, clock: ManualClock, app: FastAPI
) -> None:
    del app
    from sensor_storage.query.planner import TooMuch  # noqa: PLC0415
    from sensor_storage.query.queries import Limits, Queries  # noqa: PLC0415
    from sensor_storage.query.question import Interval, Question  # noqa: PLC0415

    queries = Queries(layout, clock, Limits(max_rows=100))
    with pytest.raises(TooMuch, match="more than 100"):
        queries.answer(Question(("*",), ("*",), Interval(DAY, DAY + 86_400 * SECOND), "raw"))


@pytest.mark.parametrize("path", ["/query?resolution=raw", "/query?resolution=minute", "/latest"])
def test_what_only_a_cold_store_has_that_is_not_set_is_a_problem_and_never_fewer_rows(
    clock: ManualClock, tmp_path: Path, path: str
) -> None:
    with closing(Plant(tmp_path / "other", DirectoryStore(tmp_path / "store"))) as plant:
        arrive(plant.layout, ROWS)
        plant.all_stages()
        plant.clean()
        send = sender(create_app(plant.layout, clock))
        answer = send("GET", path, params={**SPAN} if "query" in path else {})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (503, "urn:sensor-storage:problem:no-cold-store")
    assert "COLD_STORE_URL" in problem["hint"]


@pytest.fixture
def filed(tmp_path: Path) -> Layout:
    """All readings in hour files."""
    layout = Layout(tmp_path / "filed" / "raw")
    arrive(layout, ROWS)
    return layout


def damage_the_second_hour(layout: Layout, series: Series = SERIES) -> None:
    """After an answer's first piece: there are more readings of an hour before."""
    path = layout.hour_file(SensorHour(series, DAY // (3_600 * SECOND) + 1))
    path.write_bytes(path.read_bytes()[:-9])


def test_json_that_meets_a_damaged_file_amid_the_rows_is_whole_and_names_it(
    filed: Layout, clock: ManualClock
) -> None:
    damage_the_second_hour(filed)
    send = sender(create_app(filed, clock))
    answer = send("GET", "/query", params={**TEMPERATURE, "resolution": "raw"})
    found = answer.json()
    assert found["row_count"] == len(found["rows"]) == 360
    (warning,) = found["warnings"]
    assert "temperature.parquet is damaged; its readings are missing here; `sensor-storage verify" in warning


@pytest.mark.parametrize("form", ["csv", "flat", "arrow", "parquet"])
def test_other_formats_break_off_where_they_first_meet_damage_and_say_so_in_a_header_from_then_on(
    filed: Layout, form: str
) -> None:
    """A reader sees that the first is not whole, as the connection ends amid it. Parquet has one piece so far."""
    asked: dict[str, Any] = {**TEMPERATURE, "resolution": "raw", "format": form}
    with listening_at(filed) as address, httpx.Client(base_url=address, timeout=60) as service:
        assert "etag" in service.get("/query", params=asked).headers
        damage_the_second_hour(filed)
        if form != "parquet":
            with pytest.raises(httpx.RemoteProtocolError):
                service.get("/query", params=asked)
        again = service.get("/query", params=asked)
    assert (again.status_code, "etag" in again.headers) == (200, False)
    (warning,) = json.loads(again.headers["sensor-storage-warnings"])
    assert "temperature.parquet is damaged" in warning
    rows = {
        "csv": lambda: pyarrow.csv.read_csv(io.BytesIO(again.content)).num_rows,
        "flat": lambda: len(again.json()),
        "arrow": lambda: pa.ipc.open_stream(again.content).read_all().num_rows,
        "parquet": lambda: pq.read_table(io.BytesIO(again.content)).num_rows,
    }
    assert rows[form]() == 360


def test_the_latest_of_other_sensors_are_told_beside_a_damaged_file(
    filed: Layout, clock: ManualClock
) -> None:
    send = sender(create_app(filed, clock))
    found = send("GET", "/latest").json()
    assert (len(found["readings"]), found["warnings"]) == (3, [])
    damage_the_second_hour(filed, STATE)
    found = send("GET", "/latest").json()
    assert len(found["readings"]) == 2
    assert "state.parquet is damaged" in found["warnings"][0]


def test_a_closed_window_has_a_tag_and_is_not_sent_twice(
    send: Send, layout: Layout, clock: ManualClock
) -> None:
    assert "etag" not in send("GET", "/query", params=TEMPERATURE).headers  # rows are staged still
    arrive(layout, ROWS)
    aggregate(layout)
    send = sender(create_app(layout, clock))
    first = send("GET", "/query", params=TEMPERATURE)
    again = send("GET", "/query", params=TEMPERATURE, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = send(
        "GET",
        "/query",
        params={**TEMPERATURE, "resolution": "day"},
        headers={"if-none-match": first.headers["etag"]},
    )
    assert other.status_code == 200
    late = [*ROWS, Reading(DAY + 100, 77.0)]
    arrive(layout, late, [len(ROWS)])
    changed = send("GET", "/query", params=TEMPERATURE, headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200
    assert 77.0 in [row.get("value", row.get("max")) for row in changed.json()["rows"]]


def test_answers_are_compressed_where_the_client_takes_it(send: Send) -> None:
    for coding in ("zstd", "gzip"):
        asked = {**TEMPERATURE, "resolution": "raw"}
        answer = send("GET", "/query", params=asked, headers={"accept-encoding": coding})
        assert answer.headers["content-encoding"] == coding


def test_assets_and_sensors_are_listed_page_by_page(send: Send) -> None:
    assert send("GET", "/assets").json() == {"assets": ["hall/1", "press-1"], "next": None}
    page = send("GET", "/assets", params={"limit": 1}).json()
    assert page == {"assets": ["hall/1"], "next": "hall/1"}
    assert send("GET", "/assets", params={"limit": 1, "after": "hall/1"}).json()["assets"] == ["press-1"]
    found = send("GET", "/assets/press-1/sensors").json()["sensors"]
    state, temperature = found
    assert (state["sensor_name"], state["kind"], state["last"]["text"]) == ("state", "text", "on")
    assert (temperature["kind"], temperature["unit"], temperature["usual_interval_seconds"]) == (
        "number",
        "°C",
        10.0,
    )
    assert datetime.fromisoformat(temperature["first"]).timestamp() * 1e6 == DAY
    assert send("GET", "/assets/hall%2F1/sensors").json()["sensors"][0]["sensor_name"] == "flow rate"
    assert send("GET", "/assets/none/sensors").status_code == 404


def test_the_latest_reading_is_told_with_its_age(send: Send, clock: ManualClock) -> None:
    (one,) = send("GET", "/latest", params={"sensor": "temperature"}).json()["readings"]
    last = max(row.time for row in ROWS if row.series.sensor == "temperature")
    assert one["value"] == next(row.value for row in ROWS if row.time == last)
    assert one["age_seconds"] == pytest.approx(clock.now() - last / 1e6)
    assert len(send("GET", "/latest").json()["readings"]) == 3


def test_the_latest_are_listed_page_by_page_and_found_by_words(send: Send) -> None:
    def names(answer: dict[str, Any]) -> list[str]:
        return [f"{one['asset_id']} {one['sensor_name']}" for one in answer["readings"]]

    found, after = [], None
    while True:
        asked = {"limit": 1} if after is None else {"limit": 1, "after": after}
        page = send("GET", "/latest", params=asked).json()
        found += names(page)
        after = page["next"]
        if after is None:
            break
    assert found == ["hall/1 flow rate", "press-1 state", "press-1 temperature"]
    assert names(send("GET", "/latest", params={"contains": "PRESS temp"}).json()) == ["press-1 temperature"]
    assert send("GET", "/latest", params={"contains": "nothing"}).json() == {
        "readings": [],
        "next": None,
        "warnings": [],
    }
    some = send("GET", "/latest", params={"asset": "press-1", "after": "press-1/state"}).json()
    assert names(some) == ["press-1 temperature"]
    assert send("GET", "/latest", params={"after": "nonsense"}).status_code == 422


def test_the_latest_come_with_the_newest_numbers_where_they_are_asked_for(send: Send) -> None:
    asked = {"sensor": "temperature", "recent": 5}
    (one,) = send("GET", "/latest", params=asked).json()["readings"]
    assert [value for _, value in one["recent"]] == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert one["recent"][-1][0] == datetime.fromisoformat(one["timestamp"]).timestamp()
    (text,) = send("GET", "/latest", params={"sensor": "state", "recent": 5}).json()["readings"]
    assert text["recent"] == []
    (plain,) = send("GET", "/latest", params={"sensor": "state"}).json()["readings"]
    assert plain["recent"] is None


def test_a_message_is_found_in_its_file(send: Send) -> None:
    for offset, kind in ((5, "raw/"), (len(ROWS) - 1, "staging/")):
        asked = {"topic": SOURCE.topic, "partition": SOURCE.partition, "offset": offset}
        found = send("GET", "/where", params=asked).json()
        (place,) = found["readings"]
        assert found["state"] == "stored"
        assert place["file"].startswith(kind)
        assert place["tier"] == ("local" if kind == "raw/" else "staging")
        assert place["value"] == ROWS[offset].value
    unknown = send("GET", "/where", params={"topic": SOURCE.topic, "partition": 7, "offset": 1}).json()
    assert unknown == {"state": "unknown", "ledger": [], "reading_count": 0, "readings": []}
