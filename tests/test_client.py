"""The same rows from a directory and from the service, and errors that say what to do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensor_storage.client import Plant, connect
from sensor_storage.clock import SystemClock
from sensor_storage.errors import SensorStorageError, Transient, Usage
from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND, Reading, aggregate, arrive
from support.listening import listening_at

ROWS = [Reading(DAY + second * SECOND, float(second)) for second in range(0, 5000, 5)]
SPAN: dict[str, Any] = {"start": as_text(DAY), "end": as_text(DAY + 86_400 * SECOND)}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("data") / "raw")
    arrive(layout, ROWS)
    aggregate(layout)
    return layout


@pytest.fixture(scope="module")
def address(layout: Layout) -> Iterator[str]:
    with listening_at(layout) as found:
        yield found


@pytest.fixture(params=["directory", "service"])
def plant(request: pytest.FixtureRequest, layout: Layout, address: str) -> Plant:
    return connect(layout.root if request.param == "directory" else address)


def test_three_lines_give_an_arrow_table(plant: Plant) -> None:
    table = plant.query("press-1", "temperature", resolution="raw", **SPAN)
    assert table["value"].to_pylist() == [row.value for row in ROWS]
    minutes = plant.query("press-1", "temperature", resolution="minute", **SPAN)
    assert (minutes.num_rows, sum(row["count"] for row in minutes.to_pylist())) == (84, len(ROWS))
    assert plant.query("press-1", resolution="raw", max_points=40, **SPAN).num_rows <= 48


def test_both_ways_give_the_same_rows(layout: Layout, address: str) -> None:
    for resolution in ("raw", "minute", "hour", "day"):
        here = connect(layout.root).query(**SPAN, resolution=resolution)
        there = connect(address).query(**SPAN, resolution=resolution)
        assert there.to_pylist() == here.to_pylist()
        assert there.schema.metadata == here.schema.metadata


def test_assets_and_latest(plant: Plant) -> None:
    assert plant.assets() == ["press-1"]
    (last,) = plant.latest()
    assert (last["sensor_name"], last["value"], last["unit"]) == ("temperature", 4995.0, "°C")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"start": "soon"}, "soon"),
        ({"tz": "Nowhere"}, "Nowhere"),
        ({"start": "now", "end": "-1h"}, "not after"),
        ({"asset": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_be_asked_says_why(plant: Plant, asked: dict[str, Any], word: str) -> None:
    with pytest.raises(SensorStorageError, match=word) as caught:
        plant.query(**asked)
    assert caught.value.hint


def test_nobody_there_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="not there"):
        connect(tmp_path / "none")
    with pytest.raises(Transient, match=r"ask http://127\.0\.0\.1:1:") as caught:
        connect("http://127.0.0.1:1").assets()
    assert "SERVICE_PORT" in caught.value.hint


def test_the_notebook_runs_from_top_to_bottom_on_a_directory_and_on_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(SystemClock().now()) * SECOND
    layout = Layout(tmp_path / "raw")
    arrive(layout, [Reading(now - second * SECOND, float(second)) for second in range(1, 1200)])
    cells = json.loads((Path(__file__).parents[1] / "docs" / "python.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    with listening_at(layout) as address:
        for place in (str(tmp_path), address):
            monkeypatch.setenv("SENSOR_STORAGE_PLANT", place)
            names: dict[str, Any] = {}
            for cell in code:
                exec(compile(cell, "python.ipynb", "exec"), names)  # noqa: S102 - the notebook of this checkout
            assert names["count"] == 1199
            assert names["frame"]["max"].max() == names["table"]["max"].max() == 1199.0
