"""`/coverage`, `/files` and `/files/content`, as a client sees them, over a disk and a cold store."""

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.store import Refused
from sensor_storage.model import Series
from sensor_storage.query.times import as_text
from support.aggregates import DAY, LATER, SECOND, Reading, readings_at
from support.cold import FaultyStore, Plant, flip
from support.sending import Send, sender
from support.trees import SOURCE, stage

ODD = Series("../../etc", "pass wd/\u202e")
HOUR = 3600 * SECOND
ROWS = [
    Reading(DAY, 1.0),
    Reading(DAY + 5 * HOUR, 2.0),
    Reading(DAY + 30 * HOUR, 3.0, series=ODD),
    Reading(DAY + 31 * HOUR, 4.0),
    Reading(DAY + 32 * HOUR, 5.0),
]
SPAN = {"start": as_text(DAY), "end": as_text(DAY + 2 * 24 * HOUR)}
FIRST = {"asset": "press-1", "sensor": "temperature", "time": as_text(DAY + 60 * SECOND)}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Two hours are in the cold store alone, one here and there, one here alone, one staged."""
    one = Plant(tmp_path, DirectoryStore(tmp_path / "cold"))
    _come(one, [0, 1])
    one.all_stages()
    one.clean()
    _come(one, [2, 3])
    one.compact()
    one.upload()
    _come(one, [3])
    stage(one.layout, readings_at(ROWS, [4]), number=1 << 40, start=4, stop=5)
    yield one
    one.close()


def _come(plant: Plant, offsets: list[int]) -> None:
    stage(
        plant.layout,
        readings_at(ROWS, offsets),
        number=1000 + offsets[0],
        start=offsets[0],
        stop=offsets[-1] + 1,
    )
    plant.compact()


@pytest.fixture
def app(plant: Plant) -> FastAPI:
    return create_app(plant.layout, ManualClock(DAY / 1e6 + 86_400), files=plant.files, store=plant.store)


@pytest.fixture
def send(app: FastAPI) -> Send:
    return sender(app)


def test_coverage_tells_of_each_hour_where_it_is(send: Send) -> None:
    answer = send("GET", "/coverage", params={**SPAN, "asset": "press-1"}).json()
    assert (answer["first_day"], answer["next"]) == (as_text(DAY)[:10], None)
    (sensor,) = answer["sensors"]
    first, second = sensor["days"]
    assert (first["readings"], first["hours"]) == (2, "c....c" + "." * 18)
    assert (second["readings"], second["hours"]) == (1, "." * 7 + "bs" + "." * 15)


def test_coverage_is_of_known_assets_and_at_most_a_year(send: Send) -> None:
    assert send("GET", "/coverage", params={"asset": "none"}).status_code == 404
    long = {"asset": "press-1", "start": "2020-01-01", "end": "2024-01-01"}
    assert send("GET", "/coverage", params=long).status_code == 422
    paged = send("GET", "/coverage", params={**SPAN, "asset": "press-1", "limit": 1}).json()
    assert paged["next"] == "temperature"
    rest = send("GET", "/coverage", params={**SPAN, "asset": "press-1", "after": "temperature"}).json()
    assert rest["sensors"] == []


def test_a_file_tells_schema_rows_offsets_digest_and_receipt_wherever_it_is(send: Send, plant: Plant) -> None:
    found = send("GET", "/files", params=FIRST).json()
    assert not (plant.layout.root / found["file"]).exists()
    assert (found["here"], found["rows"], found["kind"]) == (False, 1, "hour")
    assert found["sources"] == [
        f"{SOURCE.topic}/0 offsets 0…0 (1 readings, topic id topic-id, leader epoch 0)"
    ]
    assert found["columns"]["value"] == "double"
    assert found["receipt"]["rows"] == 1
    assert found["receipt"]["size_bytes"] == found["size_bytes"]
    content = send("GET", "/files/content", params=FIRST)
    assert pq.read_table(io.BytesIO(content.content))["value"].to_pylist() == [1.0]
    assert "temperature.parquet" in content.headers["content-disposition"]
    minute = send("GET", "/files", params={**FIRST, "level": "minute"}).json()
    assert minute["file"].endswith("temperature_minute.parquet")


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_a_blob_that_is_lost_is_a_problem_with_its_name_and_a_remedy(
    send: Send, plant: Plant, tmp_path: Path, damage: str
) -> None:
    name, store = send("GET", "/files", params=FIRST).json()["file"], DirectoryStore(tmp_path / "cold")
    for copy in plant.layout.cache.rglob("*.parquet"):
        copy.unlink()
    store.delete(name) if damage == "gone" else flip(store, name)
    answer = send("GET", "/files/content", params=FIRST)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (503, "urn:sensor-storage:problem:damaged-blob")
    assert name in problem["detail"]
    assert "cache/" not in problem["detail"]
    assert "verify --repair" in problem["hint"]


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_a_lost_blob_is_left_out_of_an_answer_with_a_warning_that_names_it(
    send: Send, plant: Plant, tmp_path: Path, damage: str
) -> None:
    name, store = send("GET", "/files", params=FIRST).json()["file"], DirectoryStore(tmp_path / "cold")
    for copy in plant.layout.cache.rglob("*.parquet"):
        copy.unlink()
    store.delete(name) if damage == "gone" else flip(store, name)
    asked = {**SPAN, "asset": "press-1", "sensor": "temperature", "resolution": "raw"}
    answer = send("GET", "/query", params=asked)
    assert (answer.status_code, answer.json()["row_count"]) == (200, 3)
    (warning,) = answer.json()["warnings"]
    assert warning.startswith(f"{name} is damaged; its readings are missing here")
    assert "verify --repair" in warning


def test_a_blob_in_the_archive_is_a_problem_with_the_command_that_asks_for_it(plant: Plant) -> None:
    hint = "ask for it: sensor-storage restore --rehydrate"

    def archived(act: str, name: str) -> Exception | None:
        return Refused(f"read {name}: BlobArchived", hint=hint) if act == "download" else None

    files = ColdFiles(plant.layout, FaultyStore(plant.store, before=archived), ManualClock(LATER), 1 << 20)
    send = sender(create_app(plant.layout, ManualClock(LATER), files=files))
    asked = {**SPAN, "asset": "press-1", "sensor": "temperature", "resolution": "raw"}
    for address, words in (("/query", asked), ("/files", FIRST), ("/files/content", FIRST)):
        answer = send("GET", address, params=words)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (503, "urn:sensor-storage:problem:cold-store-refuses")
        assert ("BlobArchived" in problem["detail"], problem["hint"]) == (True, hint)


def test_names_from_strangers_are_no_paths(send: Send, plant: Plant) -> None:
    asked = {"asset": ODD.asset, "sensor": ODD.sensor, "time": as_text(DAY + 30 * HOUR)}
    found = send("GET", "/files", params=asked).json()
    path = (plant.layout.root / found["file"]).resolve()
    assert path.is_relative_to(plant.layout.raw.resolve())
    assert found["here"]
    for asset in ("..", "../..", "/etc", "press-1/../press-1", "\x00", "a" * 3000):
        gone = send("GET", "/files/content", params={**asked, "asset": asset})
        assert (gone.status_code, gone.json()["title"]) == (404, "There is no such file"), asset
    assert send("GET", f"/files/content?asset=press-1&sensor=x&time={quote('no time')}").status_code == 422


def test_an_answer_tells_which_tiers_it_came_from_and_how_long_it_took(send: Send) -> None:
    asked = {**SPAN, "asset": "press-1", "sensor": "temperature", "resolution": "raw"}
    found = send("GET", "/query", params=asked).json()
    assert (found["row_count"], found["tiers"]) == (4, {"staging": 1, "local": 1, "cloud": 2})
    assert found["took_ms"] >= 0
