"""The Prometheus read API, by the calls Grafana makes (seen in its data source), and its arithmetic by hand."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.model import Series
from sensor_storage.query.steps import plan_level
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND, Reading, aggregate, arrive, readings_at
from support.listening import listening_at
from support.prometheus import programs
from support.sending import Send
from support.trees import stage

ROOT = Path(__file__).parents[2]
API = "/prometheus/api/v1"
START = DAY // 1_000_000
SLASHED = Series("hall/1", "flow rate")
OTHER = Series("press-2", "temperature")
SPIKE = 1_234
ROWS = [
    *(
        Reading(DAY + second * SECOND, 999.0 if second == SPIKE else float(second % 60), "good", "°C")
        for second in range(7_200)
    ),
    *(Reading(DAY + second * SECOND, 100.0, "good", "°C", series=OTHER) for second in range(0, 7_200, 60)),
    Reading(DAY + 30 * SECOND, 5.25, None, "l/s", series=SLASHED),
    Reading(DAY + 90 * SECOND, 7.0, "bad", "l/s", series=SLASHED),
]
TEMPERATURE = 'temperature{asset_id="press-1"}'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START + 7_200.0)


@pytest.fixture
def app(layout: Layout, clock: ManualClock) -> FastAPI:
    """Half of the readings are in hour files with aggregates, the others are staged."""
    arrive(layout, ROWS, range(3_000))
    aggregate(layout)
    rest = range(3_000, len(ROWS))
    stage(layout, readings_at(ROWS, rest), number=1 << 40, start=rest.start, stop=rest.stop)
    return create_app(layout, clock)


def ask(send: Send, path: str, **given: Any) -> Any:  # noqa: ANN401 - JSON
    answer = send("POST", API + path, data=given)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def ranged(send: Send, query: str, step: str, start: int = START, end: int = START + 7_200) -> Any:  # noqa: ANN401
    found = ask(send, "/query_range", query=query, start=str(start), end=str(end), step=step)
    assert found["resultType"] == "matrix"
    return found["result"]


def test_the_health_check_of_a_data_source_is_answered(send: Send) -> None:
    found = ask(send, "/query", query="1+1", time=str(START))
    assert found == {"resultType": "scalar", "result": [START, "2.0"]}
    assert send("GET", f"{API}/query", params={"query": "1+1"}).json()["data"]["result"][1] == "2.0"
    assert send("GET", f"{API}/status/buildinfo").json()["data"]["version"]


def test_labels_and_their_values_fill_the_variables_of_a_dashboard(send: Send) -> None:
    assert ask(send, "/labels", start=str(START), end=str(START + 60)) == ["__name__", "asset_id", "unit"]
    values = f"{API}/label/%s/values"
    assert send("GET", values % "asset_id").json()["data"] == ["hall/1", "press-1", "press-2"]
    one = {"match[]": '{asset_id="hall/1"}'}
    assert send("GET", values % "__name__", params=one).json()["data"] == ["flow rate"]
    assert send("GET", values % "unit").json()["data"] == ["l/s", "°C"]
    assert send("GET", values % "nothing").json()["data"] == []
    found = ask(send, "/series", **{"match[]": '{__name__=~"temp.*", asset_id!="press-1"}'})
    assert found == [{"__name__": "temperature", "asset_id": "press-2", "unit": "°C"}]
    assert set(send("GET", f"{API}/metadata").json()["data"]) == {"flow rate", "temperature"}


@pytest.mark.parametrize("step", ["15", "60", "3600", "1h", "7"])
def test_a_spike_of_one_reading_is_the_maximum_at_every_step(send: Send, step: str) -> None:
    unit = step if step.endswith("h") else f"{step}s"
    (found,) = ranged(send, f"max_over_time({TEMPERATURE}[{unit}])", step)
    assert found["metric"] == {"__name__": "temperature", "asset_id": "press-1", "unit": "°C"}
    assert max(float(value) for _, value in found["values"]) == 999.0


@pytest.mark.parametrize("width", [15, 60, 900, 3_600, 97])
@pytest.mark.parametrize("function", ["avg", "min", "max", "sum", "count", "last"])
def test_functions_over_time_are_those_of_the_readings(send: Send, function: str, width: int) -> None:
    (found,) = ranged(send, f"{function}_over_time({TEMPERATURE}[{width}s])", str(width))
    values = np.array([row.value for row in ROWS[:7_200]], np.float64)
    by_hand: Any = {
        "avg": np.mean, "min": np.min, "max": np.max, "sum": np.sum, "count": len, "last": lambda part: part[-1],
    }[function]  # fmt: skip
    for time, value in found["values"]:
        stop = int(time) - START
        assert float(value) == pytest.approx(float(by_hand(values[max(0, stop - width) : stop])), rel=1e-12)
    assert len(found["values"]) == 7_200 // width


def test_a_bare_selector_is_the_last_good_reading_within_five_minutes(send: Send) -> None:
    query = '{__name__="flow rate"}'
    (found,) = ask(send, "/query", query=query, time=str(START + 200))["result"]
    assert found["value"] == [START + 200, "5.25"]
    assert ask(send, "/query", query=query, time=str(START + 30))["result"] == []
    assert ask(send, "/query", query=query, time=str(START + 331))["result"] == []
    (moved,) = ask(send, "/query", query=query + " offset 1h", time=str(START + 3_800))["result"]
    assert moved["value"][1] == "5.25"


def test_sensors_are_summed_by_label_and_numbers_calculated(send: Send) -> None:
    query = 'sum by (asset_id) (max_over_time({unit="°C"}[1h])) * 2 - 1'
    found = ask(send, "/query", query=query, time=str(START + 3_600))["result"]
    assert {one["metric"]["asset_id"]: one["value"][1] for one in found} == {
        "press-1": "1997.0",
        "press-2": "199.0",
    }
    count = 'count(last_over_time({asset_id=~"press-.*"}[1h]))'
    (found,) = ask(send, "/query", query=count, time=str(START + 3_600))["result"]
    assert (found["metric"], found["value"][1]) == ({}, "2.0")
    without = 'avg without (asset_id) (last_over_time({asset_id=~"press-.*"}[1h]))'
    (found,) = ask(send, "/query", query=without, time=str(START + 3_600))["result"]
    assert (found["metric"], found["value"][1]) == ({"unit": "°C"}, "79.5")


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("rate(temperature[5m])", 422, "rate"),
        ("topk(3, temperature)", 422, "topk"),
        ("temperature > 5", 422, ">"),
        ("temperature / temperature", 422, "/"),
        ("max_over_time(temperature[5m:1m])", 422, "max_over_time"),
        ("temperature @ 5", 422, "@"),
        ("sum(1)", 400, "sum"),
        ("temperature{", 400, "query"),
        ("nonsense(temperature)", 400, "nonsense"),
        ("", 400, "query"),
        ('{asset_id=~"("}', 400, ""),
    ],
)
def test_what_is_not_answered_is_named(send: Send, query: str, status: int, word: str) -> None:
    answer = send("GET", f"{API}/query", params={"query": query})
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == "error"
    assert word in answer.json()["error"]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"step": "0"}, "step"),
        ({"step": "1"}, "11,000"),
        ({"step": "soon"}, "step"),
        ({"start": "x"}, "x"),
        ({"end": str(START - 1)}, "end"),
        ({"end": "nan"}, "end"),
    ],
)
def test_a_wrong_parameter_is_bad_data_that_names_it(send: Send, given: dict[str, str], word: str) -> None:
    whole = {"query": "temperature", "start": str(START), "end": str(START + 86_400), "step": "60"} | given
    answer = send("GET", f"{API}/query_range", params=whole)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert word in answer.json()["error"]


def test_more_readings_than_may_be_read_are_answered_by_minutes_with_a_warning(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_storage.query.steps.MAX_ROWS", 1_000)
    given = {"query": f"max_over_time({TEMPERATURE}[1000s])", "time": str(START + 2_007.5)}
    answer = send("GET", f"{API}/query", params=given).json()
    assert answer["data"]["result"][0]["value"][1] == "999.0"
    assert "whole minutes" in json.dumps(answer["warnings"])


@pytest.mark.parametrize(
    ("start", "step", "width", "level"),
    [
        (0, 60, 60, "minute"),
        (3_600, 3_600, 7_200, "hour"),
        (86_400, 86_400, 86_400, "day"),
        (0, 60, 90, "raw"),
        (1, 60, 60, "raw"),
        (60, 3_600, 3_600, "minute"),
    ],
)
def test_the_coarsest_windows_no_step_cuts_are_read(start: int, step: int, width: int, level: str) -> None:
    times = np.arange(start, start + 5 * step, step, dtype=np.int64) * 1_000_000
    assert plan_level(times, width * 1_000_000) == level


def test_every_query_of_the_dashboard_of_plant_data_is_answered(send: Send) -> None:
    board = json.loads((ROOT / "monitoring/grafana/dashboards/plant.json").read_text())
    for variable in board["templating"]["list"]:
        selector, _, label = variable["definition"][len("label_values(") : -1].rpartition(", ")
        given = {"match[]": selector.replace("$asset", "press-1|press-2")} if selector else {}
        assert send("GET", f"{API}/label/{label}/values", params=given).json()["data"], variable["name"]
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) == 5
    for expression in expressions:
        plain = expression.replace("$asset", "press-1|press-2").replace("$sensor", ".+")
        assert len(ranged(send, plain.replace("$__interval", "1m"), "60")) == 2


def test_promtool_reads_it_as_it_reads_prometheus(app: FastAPI, layout: Layout) -> None:
    del app
    with listening_at(layout) as address:

        def promtool(*words: str) -> str:
            command = [str(programs() / "promtool"), "query", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            assert done.returncode == 0, done.stderr
            return done.stdout

        server = f"{address}/prometheus"
        expression = f"max_over_time({TEMPERATURE}[1h])"
        at = f"--time={START + 3_600}"
        assert promtool("instant", at, server, expression) == (
            f'temperature{{asset_id="press-1", unit="°C"}} => 999 @[{START + 3_600}]\n'
        )
        span = (f"--start={START + 60}", f"--end={START + 180}")
        ranged = promtool("range", *span, "--step=60s", server, f"count_over_time({TEMPERATURE}[1m])")
        assert ranged.splitlines()[1:] == [f"60 @[{START + time}]" for time in (60, 120, 180)]
        names = promtool("labels", *span, server, "asset_id")
        assert names.split() == ["hall/1", "press-1", "press-2"]
        chosen = promtool("series", *span, "--match=temperature", server)
        assert 'asset_id="press-2"' in chosen
