"""Around every request: a browser is kept safe, nothing is too large or too many, and all are counted."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Message

from sensor_storage.api.gate import MAX_AT_ONCE, MAX_BODY_BYTES, Gate, Traffic
from sensor_storage.clock import ManualClock
from support.sending import Send, client

EVERYWHERE = ["/", "/docs", "/openapi.json", "/health", "/metrics", "/assets", "/nowhere"]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_keeps_a_browser_safe(send: Send, path: str) -> None:
    headers = send("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "cache-control" in headers
    assert "access-control-allow-origin" not in headers


def test_only_over_tls_a_browser_is_told_to_stay_there(app: FastAPI) -> None:
    async def ask(base: str) -> bool:
        async with client(app) as one:
            return "strict-transport-security" in (await one.get(f"{base}/health/live")).headers

    assert asyncio.run(ask("https://plant.example"))
    assert not asyncio.run(ask("http://plant.example"))


@pytest.mark.parametrize("path", ["/storage/flush", "/prometheus/api/v1/query"])
def test_a_body_beyond_the_bound_is_refused_with_and_without_a_length(
    app: FastAPI, send: Send, path: str
) -> None:
    refused = send("POST", path, content=b"x" * (MAX_BODY_BYTES + 1))
    assert refused.status_code == 413
    assert refused.json()["hint"]

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (MAX_BODY_BYTES // 2)

    async def scene() -> int:
        async with client(app) as one:
            return (await one.post("/prometheus/api/v1/query", content=pieces())).status_code

    assert asyncio.run(scene()) == 413


def test_one_request_too_many_is_told_to_come_again_and_health_still_answers(app: FastAPI) -> None:
    may_end = Event()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.to_thread(may_end.wait, 30)

    async def scene() -> None:
        async with client(app) as one:
            running = [asyncio.create_task(one.get("/slow")) for _ in range(MAX_AT_ONCE)]
            await asyncio.sleep(0)
            while (refused := await one.get("/assets")).status_code == 200:
                pass
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert (await one.get("/health/live")).status_code == 200
            assert f"sensor_storage_http_requests {MAX_AT_ONCE}.0" in (await one.get("/metrics")).text
            may_end.set()
            assert {answer.status_code for answer in await asyncio.gather(*running)} == {200}
            assert (await one.get("/assets")).status_code == 200

    asyncio.run(scene())


def test_answers_are_counted_by_class(send: Send) -> None:
    send("GET", "/nowhere")
    send("GET", "/assets")
    text = send("GET", "/metrics").text
    assert 'sensor_storage_http_answers_total{status="2xx"} 1.0' in text
    assert 'sensor_storage_http_answers_total{status="4xx"} 1.0' in text
    assert 'sensor_storage_http_answers_total{status="5xx"} 0.0' in text


@pytest.mark.parametrize(
    "path", ["/", "/health", "/metrics", "/storage/stats", "/assets", "/docs", "/nowhere"]
)
def test_head_is_answered_as_get_without_the_body(send: Send, path: str) -> None:
    got, head = send("GET", path), send("HEAD", path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert send("HEAD", "/storage/flush").status_code == 405


def test_who_takes_nothing_of_an_answer_for_long_loses_the_place(clock: ManualClock) -> None:
    """Through the response's own task group, as a stream of readings goes."""
    traffic = Traffic()
    gate = Gate(StreamingResponse(iter([b"x"] * 3)), traffic, clock, stalled_seconds=0.01)
    scope = {"type": "http", "path": "/query", "method": "GET", "headers": [], "scheme": "http", "asgi": {}}

    async def nothing_more() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def taken(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # as a server does whose client reads nothing

    for version in ("2.0", "2.4"):  # servers differ in how a response meets a fault of its connection
        asyncio.run(gate({**scope, "asgi": {"spec_version": version}}, nothing_more, taken))
        assert (traffic.at_once, traffic.answers["2xx"]) == (0, 1)
        traffic.answers["2xx"] = 0


def test_a_fault_of_the_application_is_not_taken_for_a_slow_client(clock: ManualClock) -> None:
    async def broken(*_: object) -> Message:
        raise TimeoutError

    async def failing(*_: object) -> None:
        raise TimeoutError

    scope = {"type": "http", "path": "/query", "method": "GET", "headers": [], "scheme": "http"}
    with pytest.raises(TimeoutError):
        asyncio.run(Gate(failing, Traffic(), clock)(scope, broken, failing))
