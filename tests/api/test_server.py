import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Event, Thread

import httpx
import pytest

from sensor_storage.api.gate import MAX_AT_ONCE
from sensor_storage.api.server import serve
from sensor_storage.api.threads import MAKING_AT_ONCE
from sensor_storage.clock import ManualClock
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout
from support.statuses import tell_all_well
from support.workers import FLUSHED, maintain_that_answers


@contextmanager
def running(layout: Layout, clock: ManualClock) -> Iterator[tuple[str, Callable[[], None]]]:
    """A real server on a free port: its address, and how to end it."""
    stop, ports = Event(), Queue[int]()
    arguments = {"host": "127.0.0.1", "port": 0, "stop": stop, "listening": ports.put}
    thread = Thread(target=serve, args=(layout, clock), kwargs=arguments)

    def end() -> None:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()

    thread.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=20)}", end
    finally:
        end()


def test_a_real_server_answers_and_ends_when_told(layout: Layout, clock: ManualClock) -> None:
    tell_all_well(layout)
    with running(layout, clock) as (url, end):
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        assert "server" not in httpx.get(f"{url}/docs").headers
        with maintain_that_answers(layout, lambda _: FLUSHED):
            assert httpx.post(f"{url}/storage/flush").json() == FLUSHED
        end()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


def test_a_flush_that_hangs_does_not_keep_the_server_from_ending(layout: Layout, clock: ManualClock) -> None:
    may_end, begun = Event(), Event()

    def hang(_: dict[str, object]) -> dict[str, object]:
        begun.set()
        may_end.wait(60)
        return FLUSHED

    with maintain_that_answers(layout, hang), running(layout, clock) as (url, end):
        asking = Thread(target=_post_and_lose, args=(f"{url}/storage/flush",))
        asking.start()
        assert begun.wait(20)
        assert httpx.get(f"{url}/health/live").status_code == 200
        end()
        asking.join()
        may_end.set()


def _post_and_lose(url: str) -> None:
    try:
        httpx.post(url, timeout=60)
    except httpx.TransportError:
        return


def test_a_port_in_use_names_the_setting_and_who_has_it(layout: Layout, clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Usage) as raised:
            serve(layout, clock, host="127.0.0.1", port=port, stop=Event())
    assert f"127.0.0.1:{port}" in raised.value.message
    assert "SERVICE_PORT" in raised.value.hint
    assert f"process {os.getpid()}" in raised.value.hint


def test_an_address_of_another_machine_names_the_setting(layout: Layout, clock: ManualClock) -> None:
    with pytest.raises(Usage) as raised:
        serve(layout, clock, host="192.0.2.1", port=0, stop=Event())
    assert "SERVICE_HOST" in raised.value.hint


def test_while_every_thread_makes_an_answer_health_and_metrics_are_told_all_the_same(
    layout: Layout, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, begun = Event(), Queue[None]()

    def hang(_: object) -> None:
        begun.put(None)
        may_end.wait(60)

    monkeypatch.setattr("sensor_storage.api.storage.stats_of", lambda *_: hang(None))
    with running(layout, clock) as (url, _):
        asking = [Thread(target=_get_and_lose, args=(f"{url}/storage/stats",)) for _ in range(MAX_AT_ONCE)]
        for one in asking:
            one.start()
        for _ in range(MAKING_AT_ONCE):
            begun.get(timeout=20)
        for path in ("/health/live", "/health", "/health/ready", "/metrics"):
            assert httpx.get(f"{url}{path}", timeout=20).status_code in {200, 503}
        assert begun.empty()  # the others wait for a thread, not for the interpreter
        may_end.set()
        for one in asking:
            one.join(20)


def _get_and_lose(url: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, timeout=60)
