import re

import httpx
import pytest
from fastapi import FastAPI

from sensor_storage.api.errors import ProblemDetails
from sensor_storage.errors import Damaged, DiskFull, Halt, Owned, SensorStorageError, Usage
from support.sending import Send

ERRORS: dict[type[SensorStorageError], int] = {
    Usage: 400,
    DiskFull: 503,
    Owned: 503,
    Halt: 500,
    Damaged: 500,
}


def check_problem(answer: httpx.Response, status: int) -> ProblemDetails:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = ProblemDetails.model_validate(answer.json())
    assert problem.status == status
    assert problem.title
    assert problem.detail
    assert problem.type == "about:blank" or problem.type.startswith("urn:sensor-storage:problem:")
    return problem


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/storage/flush/77", 404),
        ("GET", "/docs/../../etc/passwd", 404),
        ("GET", "/docs/other.js", 404),
        ("DELETE", "/health", 405),
        ("GET", "/storage/flush", 405),
        ("POST", "/storage/flush?wait=x", 422),
        ("GET", "/storage/flush/x", 422),
        ("GET", f"/where?topic=t&partition={2**31}&offset=1", 422),
        ("GET", f"/where?topic=t&partition=1&offset={2**63}", 422),
        ("GET", f"/where?topic=t&partition=1&offset=1&index={2**31}", 422),
        ("GET", f"/dead-letters?partition={2**31}", 422),
        ("GET", f"/dead-letters?offset={2**63}", 422),
        ("POST", "/storage/flush", 503),
        ("GET", "/health/ready", 503),
    ],
)
def test_every_error_is_problem_details(send: Send, method: str, path: str, status: int) -> None:
    check_problem(send(method, path), status)


def test_a_method_that_is_not_there_names_those_that_are(send: Send) -> None:
    assert send("DELETE", "/health").headers["allow"] == "GET"


def test_an_invalid_request_names_each_place(send: Send) -> None:
    problem = check_problem(send("POST", "/storage/flush?wait=x"), 422)
    assert problem.detail.startswith("query.wait: ")
    problem = check_problem(send("GET", f"/where?topic=t&partition={2**31}&offset={2**63}"), 422)
    assert problem.detail == (
        "query.partition: Input should be less than or equal to 2147483647;"
        " query.offset: Input should be less than or equal to 9223372036854775807"
    )


@pytest.mark.parametrize(
    ("method", "path", "name", "takes"),
    [
        ("GET", "/azure/files?prefx=raw/press-1", "prefx", "takes prefix, cursor, limit, stream"),
        ("POST", "/cleanup/trigger?dryrun=true", "dryrun", "takes dry_run, wait"),
        ("GET", "/assets/press-1/sensors?limit=1&page=2", "page", "takes limit, after"),
        ("GET", "/storage/stats?now=1", "now", "takes no parameters"),
    ],
)
def test_a_parameter_the_address_does_not_take_is_refused_with_those_it_takes(
    send: Send, method: str, path: str, name: str, takes: str
) -> None:
    problem = check_problem(send(method, path), 422)
    assert (problem.model_extra or {})["parameter"] == name
    assert problem.detail.startswith(f"{name}: ")
    assert problem.hint.endswith(takes)


@pytest.mark.parametrize("body", ["{bad", '{"dry_run": true}', "dry_run=true"])
def test_parameters_sent_as_a_body_are_refused_rather_than_passed_over(send: Send, body: str) -> None:
    problem = check_problem(send("POST", "/cleanup/trigger", content=body), 422)
    assert problem.hint == "/cleanup/trigger takes dry_run, wait; give them behind a question mark"


@pytest.mark.parametrize("path", ["/upload/trigger/9", "/storage/flush/9", "/dead-letters/replay/9"])
def test_a_job_nobody_knows_is_told_with_how_to_begin_one(send: Send, path: str) -> None:
    assert "a POST begins one" in check_problem(send("GET", path), 404).hint


def test_every_address_takes_what_it_is_documented_to_and_only_probes_prometheus_and_pages_anything(
    send: Send,
) -> None:
    for path, methods in send("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            answer = send(method, re.sub(r"{\w+}", "1", path), params={"nonsense": "1"})
            if path == "/" or path.startswith(("/prometheus/", "/health", "/metrics")):
                assert "nonsense" not in answer.text
                continue
            problem = check_problem(answer, 422)
            named = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            assert problem.detail.startswith("nonsense: ")
            assert problem.hint == f"{path} takes {', '.join(named) or 'no parameters'}"


@pytest.mark.parametrize("kind", ERRORS)
def test_our_own_errors_keep_their_words_and_hint(
    app: FastAPI, send: Send, kind: type[SensorStorageError]
) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise kind("read the file x", hint="look at x")

    problem = check_problem(send("GET", "/broken"), ERRORS[kind])
    assert (problem.detail, problem.hint) == ("read the file x", "look at x")


def test_an_unexpected_error_tells_the_client_nothing_of_the_inside(app: FastAPI, send: Send) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret")

    answer = send("GET", "/broken")
    check_problem(answer, 500)
    assert "secret" not in answer.text


def test_openapi_says_that_errors_are_problem_details(send: Send) -> None:
    for path, methods in send("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (path, method)
            responses = operation["responses"]
            own = path.startswith("/prometheus/")  # whose errors have the shape of Prometheus' API
            assert ("422" in responses) == own, (path, method)
            assert list(responses["default"]["content"]) == ["application/problem+json"]
