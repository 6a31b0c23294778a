import msgspec
import pytest

from sensor_storage import __version__
from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import (
    FRESH_SECONDS,
    NOT_BACK,
    ApiStatus,
    ColdStatus,
    IngestStatus,
    MaintainStatus,
    write_status,
)
from support.sending import Send
from support.statuses import NOW, ingest_status, maintain_status, tell_all_well, tell_cold_ends


def test_a_well_service_is_ok_and_its_lamp_says_received_equals_stored(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    answer = send("GET", "/health").json()
    assert answer["status"] == "ok"
    assert answer["reasons"] == []
    assert answer["version"] == __version__
    assert answer["lamp"]["line"] == "4,000 received = 4,000 stored · 3 dead letters · lag 2.0 s"
    assert send("GET", "/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(0.44, "0.4 s"), (59.94, "59.9 s"), (90, "1 min"), (7_300, "2 h"), (200_000, "2 d")],
)
def test_the_lamp_speaks_of_lag_in_time(send: Send, layout: Layout, seconds: float, spoken: str) -> None:
    tell_all_well(layout)
    write_status(layout, ingest_status(watermark=NOW - seconds))
    told = send("GET", "/health").json()["lamp"]
    assert told["line"].endswith(f"lag {spoken}")
    assert told["lag_seconds"] == pytest.approx(seconds)


def test_the_lamp_tells_what_waits_for_the_cold_store_where_there_is_one(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    assert send("GET", "/health").json()["lamp"]["to_upload"] is None
    write_status(
        layout, ColdStatus(worker="cold", pid=103, time=NOW, started=NOW, waiting=9_999, waiting_sealed=1_203)
    )
    told = send("GET", "/health").json()["lamp"]
    assert (told["line"][-18:], told["to_upload"]) == (" · 1,203 to upload", 1_203)


def test_a_pattern_that_matches_nothing_stands_beside_the_topics_there_are(
    send: Send, layout: Layout
) -> None:
    tell_all_well(layout)
    write_status(layout, ingest_status(topics=0, other_topics=("orders", "telemetry")))
    (reason,) = send("GET", "/health").json()["reasons"]
    assert reason["what"] == "no topic matches ^sensor-data-.*; topics seen: orders, telemetry"
    (ingest, _) = send("GET", "/storage/stats").json()["workers"]
    assert ingest["other_topics"] == ["orders", "telemetry"]


def test_live_needs_no_worker_no_kafka_and_no_disk(send: Send) -> None:
    assert send("GET", "/health/live").json() == {"status": "ok"}


def test_before_any_worker_has_reported_the_service_is_down_and_not_ready(send: Send) -> None:
    assert send("GET", "/health").json()["status"] == "down"
    answer = send("GET", "/health/ready")
    assert answer.status_code == 503
    assert [reason["worker"] for reason in answer.json()["reasons"]] == ["ingest", "maintain"]


UNREADY: dict[str, tuple[IngestStatus | MaintainStatus, str, str]] = {
    "halted ingest": (ingest_status(halted="a sync failed"), "halted: a sync failed", "down"),
    "paused": (ingest_status(paused="the data disk is full"), "paused: the data disk is full", "degraded"),
    "Kafka away": (ingest_status(kafka_error="no broker", ready=False), "no broker", "degraded"),
    "topics unseen": (ingest_status(ready=False), "has not seen Kafka's topics", "degraded"),
    "silent ingest": (ingest_status(time=NOW - FRESH_SECONDS), "has not reported for 15 s", "down"),
    "ended maintain": (maintain_status(ended=True), "has ended", "down"),
    "halted maintain": (maintain_status(halted="needs a newer program"), "needs a newer program", "down"),
    "silent maintain": (maintain_status(time=NOW - 3600), "has not reported for 3,600 s", "down"),
}


@pytest.mark.parametrize("case", UNREADY)
def test_ready_is_refused_with_the_reason_and_what_to_do(send: Send, layout: Layout, case: str) -> None:
    status, words, state = UNREADY[case]
    tell_all_well(layout)
    write_status(layout, status)
    answer = send("GET", "/health/ready")
    assert answer.status_code == 503
    problem = answer.json()
    assert words in problem["detail"]
    assert problem["hint"]
    assert [reason["worker"] for reason in problem["reasons"]] == [status.worker]
    assert send("GET", "/health").json()["status"] == state


DEGRADED: dict[str, tuple[IngestStatus | MaintainStatus, str]] = {
    "unread": (ingest_status(unread_partitions=12), "nobody in the group reads 12 of the partitions"),
    "blocked": (maintain_status(blocked={"staging/x.parquet": "digest mismatch"}), "staging/x.parquet"),
    "missing": (maintain_status(stored_readings=3_990), "10 of 4,000 readings"),
}


@pytest.mark.parametrize("case", DEGRADED)
def test_what_is_amiss_degrades_health_but_does_not_stop_the_flow(
    send: Send, layout: Layout, case: str
) -> None:
    status, words = DEGRADED[case]
    tell_all_well(layout)
    write_status(layout, status)
    answer = send("GET", "/health").json()
    assert answer["status"] == "degraded"
    assert words in answer["reasons"][0]["what"]
    assert send("GET", "/health/ready").status_code == 200


def test_an_hour_whose_file_does_not_come_from_the_store_is_no_damage(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    write_status(
        layout, maintain_status(blocked={"raw/x.parquet": f"{NOT_BACK}: Connection refused", "y": "?"})
    )
    waits, damaged = send("GET", "/health").json()["reasons"]
    assert "check --only cold" in waits["hint"]
    assert "--repair" not in waits["hint"]
    assert "--repair" in damaged["hint"]


def test_rows_in_two_places_after_a_crash_are_shown_and_are_no_alarm(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    write_status(layout, maintain_status(stored_readings=4_010))
    answer = send("GET", "/health").json()
    assert answer["status"] == "ok"
    assert answer["lamp"]["line"].startswith("4,000 received ≠ 4,010 stored")


def test_a_worker_that_falls_silent_turns_the_service_unready_by_itself(
    send: Send, layout: Layout, clock: ManualClock
) -> None:
    tell_all_well(layout)
    assert send("GET", "/health/ready").status_code == 200
    clock.advance(FRESH_SECONDS)
    assert send("GET", "/health/ready").status_code == 503


def test_an_api_whose_loop_stands_still_degrades_health_for_whoever_looks_beside_it(
    send: Send, layout: Layout
) -> None:
    tell_all_well(layout)
    tell_cold_ends(layout, 0)
    stuck = ApiStatus(worker="api", pid=104, time=NOW - FRESH_SECONDS, started=NOW - 3600)
    write_status(layout, stuck)
    (reason,) = send("GET", "/health").json()["reasons"]
    assert (reason["worker"], reason["state"]) == ("api", "degraded")
    assert "does not serve; it has not reported for 15 s (process 104)" in reason["what"]
    (api,) = [one for one in send("GET", "/storage/stats").json()["workers"] if one["name"] == "api"]
    assert (api["pid"], api["age_seconds"], api["fresh"]) == (104, 15, False)
    write_status(layout, msgspec.structs.replace(stuck, pid=99))  # of the process before
    assert send("GET", "/health").json()["status"] == "ok"


def test_a_status_file_that_is_no_status_counts_as_none(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    (layout.run / "maintain.json").write_bytes(b"{half")
    answer = send("GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "maintain: has not reported yet"


def test_a_worker_that_ends_again_and_again_degrades_health_with_its_last_words(
    send: Send, layout: Layout
) -> None:
    tell_all_well(layout)
    tell_cold_ends(layout, 2)
    assert send("GET", "/health").json()["status"] == "ok"
    tell_cold_ends(layout, 3)
    told = send("GET", "/health").json()
    assert told["status"] == "degraded"
    (reason,) = told["reasons"]
    assert (reason["worker"], reason["what"]) == ("cold", "ends again and again; last: no such container")
    assert send("GET", "/health/ready").status_code == 200
    tell_cold_ends(layout, 3, since=1_000)
    assert send("GET", "/health").json()["status"] == "ok"
