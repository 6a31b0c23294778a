import asyncio
from threading import Event
from typing import Any

import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ColdStatus, write_status
from support.samples import dead_letter, keep_dead_letters, stage_readings
from support.sending import Send, client, sender
from support.statuses import NOW, ingest_status, tell_all_well, tell_cold_ends
from support.workers import FLUSHED, maintain_that_answers


def test_stats_tell_counts_sizes_disk_and_workers(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    write_status(layout, ingest_status(paused="the data disk is full"))
    stage_readings(layout, [Series("a", "b"), Series("a", "c")])
    keep_dead_letters(layout, [dead_letter(7)])
    answer = send("GET", "/storage/stats").json()
    assert answer["counts"]["received_readings"] == answer["counts"]["stored_readings"] == 4_000
    assert answer["counts"]["staged_files"] == 1
    sizes = answer["size_bytes"]
    assert sizes["staging"] > 0
    assert sizes["deadletter"] > 0
    assert sizes["total"] == sizes["raw"] + sizes["staging"] + sizes["deadletter"] + sizes["ledger"]
    assert answer["disk"]["size_bytes"] > answer["disk"]["free_bytes"] > 0
    assert answer["oldest_waiting"] == "2024-01-01T00:00:00Z"
    assert [(one["name"], one["role"], one["fresh"]) for one in answer["workers"]] == [
        ("ingest-0", "ingest", True),
        ("maintain", "maintain", True),
    ]
    assert answer["workers"][0]["paused"] == "the data disk is full"
    assert answer["workers"][0]["lag_messages"] == 3


def test_stats_list_every_worker_also_one_that_never_came_to_report(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    tell_cold_ends(layout, 3)
    workers = {one["name"]: one for one in send("GET", "/storage/stats").json()["workers"]}
    assert [(one["role"], one["fresh"], one["ends"]) for one in workers.values()] == [
        ("ingest", True, 0),
        ("maintain", True, 0),
        ("cold", False, 3),
        ("api", True, 0),
    ]
    assert workers["cold"]["pid"] == 0
    assert workers["cold"]["error"] == "ends again and again: no such container"
    write_status(layout, ColdStatus(worker="cold", pid=7, time=NOW - 1, started=NOW - 9, error="away"))
    tell_cold_ends(layout, 0)
    cold = send("GET", "/storage/stats").json()["workers"][2]
    assert (cold["pid"], cold["age_seconds"], cold["fresh"], cold["error"]) == (7, 1.0, True, "away")


def test_stats_of_an_empty_directory_are_zeros_and_create_nothing(send: Send, layout: Layout) -> None:
    answer = send("GET", "/storage/stats").json()
    assert answer["counts"]["hour_files"] == answer["size_bytes"]["total"] == 0
    assert answer["oldest_waiting"] is None
    assert answer["workers"] == []
    assert list(layout.root.iterdir()) == []


def test_flush_lets_the_maintain_worker_do_it_and_tells_what_it_did(send: Send, layout: Layout) -> None:
    with maintain_that_answers(layout, lambda _: FLUSHED) as came:
        answer = send("POST", "/storage/flush")
    assert answer.status_code == 200
    assert answer.json() == FLUSHED
    assert came == [{"verb": "flush"}]


def test_flush_not_waited_for_is_a_job_to_look_up(app: FastAPI, layout: Layout) -> None:
    may_end = Event()

    def answer_late(_: dict[str, Any]) -> dict[str, Any]:
        may_end.wait(30)
        return FLUSHED

    async def scene() -> None:
        async with client(app) as one:
            begun = await one.post("/storage/flush?wait=0")
            assert begun.status_code == 202
            place = begun.headers["location"]
            assert begun.json() == {"job": 1, "state": "running", "location": place, "report": None}
            assert (await one.get(place)).json()["state"] == "running"
            may_end.set()
            while (await one.get(place)).json()["state"] == "running":
                pass
            assert (await one.get(place)).json()["report"] == FLUSHED

    with maintain_that_answers(layout, answer_late):
        asyncio.run(scene())


def test_so_many_flushes_at_once_are_too_many(app: FastAPI, layout: Layout) -> None:
    may_end = Event()

    def answer_late(_: dict[str, Any]) -> dict[str, Any]:
        may_end.wait(30)
        return FLUSHED

    async def scene() -> list[int]:
        async with client(app) as one:
            return [(await one.post("/storage/flush?wait=0")).status_code for _ in range(6)]

    with maintain_that_answers(layout, answer_late):
        assert asyncio.run(scene()) == [202, 202, 202, 202, 429, 429]
        may_end.set()


def test_flush_without_a_maintain_worker_is_503_with_a_hint(send: Send) -> None:
    answer = send("POST", "/storage/flush")
    assert answer.status_code == 503
    assert "maintain" in answer.json()["detail"]
    assert answer.json()["hint"]


def test_a_flush_that_failed_says_why(send: Send, layout: Layout) -> None:
    with maintain_that_answers(layout, lambda _: {"error": "needs writer version 2", "hint": "upgrade"}):
        answer = send("POST", "/storage/flush")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "needs writer version 2"
    assert answer.json()["hint"] == "upgrade"


@pytest.mark.parametrize("wait", ["-1", "601", "soon", "nan"])
def test_a_wait_that_is_no_sensible_time_is_refused(send: Send, wait: str) -> None:
    assert send("POST", f"/storage/flush?wait={wait}").status_code == 422


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "plant-3"])  # noqa: S104 - as containers listen
def test_without_keys_nobody_changes_anything_on_a_service_others_can_reach(
    layout: Layout, clock: ManualClock, host: str
) -> None:
    answer = sender(create_app(layout, clock, host=host))("POST", "/storage/flush")
    assert answer.status_code == 403
    assert host in answer.json()["detail"]
    assert "only by a service that listens on this machine alone" in answer.json()["detail"]
    assert "SERVICE_HOST" in answer.json()["hint"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"host": "elsewhere.example:8080", "origin": "http://elsewhere.example:8080"},
        {"x-forwarded-for": "10.1.2.3"},
        {"forwarded": "for=10.1.2.3"},
    ],
)
def test_neither_a_proxy_nor_another_sites_page_changes_anything(
    send: Send, layout: Layout, headers: dict[str, str]
) -> None:
    with maintain_that_answers(layout, lambda _: FLUSHED) as came:
        assert send("POST", "/storage/flush", headers=headers).status_code == 403
    assert came == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_on_loopback_this_machine_may_flush(layout: Layout, clock: ManualClock, host: str) -> None:
    headers = {"origin": "http://127.0.0.1:8080"}
    with maintain_that_answers(layout, lambda _: FLUSHED):
        app = create_app(layout, clock, host=host)
        assert sender(app)("POST", "/storage/flush", headers=headers).status_code == 200
