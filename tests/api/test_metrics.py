import re
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from sensor_storage.metrics import DEFINITIONS, LATENCY
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ColdStatus, write_status
from support.samples import stage_readings
from support.sending import Send
from support.statuses import NOW, ingest_status, maintain_status, tell_all_well, tell_cold_ends

FOREVER = {
    "messages_consumed_total",
    "storage_used_bytes",
    "azure_upload_success_total",
    "azure_upload_failures_total",
    "cleanup_files_deleted_total",
}
"""Names the product's README promises."""


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_has_help_and_type_even_before_anything_is_known(send: Send) -> None:
    text = send("GET", "/metrics").text
    for definition in DEFINITIONS:
        assert f"# HELP {definition.name} {definition.meaning}\n" in text
        assert f"# TYPE {definition.name} {definition.kind}\n" in text


def test_names_follow_prometheus_and_the_promised_ones_stay() -> None:
    names = {definition.name for definition in DEFINITIONS}
    assert names >= FOREVER
    assert len(names) == len(DEFINITIONS)
    for definition in DEFINITIONS:
        assert definition.name in FOREVER or definition.name.startswith("sensor_storage_")
        assert re.fullmatch("[a-z]+(_[a-z]+)*", definition.name)
        assert definition.name.endswith("_total") == (definition.kind == "counter")
        assert definition.meaning.endswith(".")


def test_how_long_messages_take_is_told_by_bounds_that_hold_those_below_too(
    send: Send, layout: Layout
) -> None:
    counts = (5, 0, 2, *(0 for _ in LATENCY.bounds[3:]), 1)
    write_status(layout, ingest_status(waits=counts, waits_seconds=100_000.5))
    told = values(send("GET", "/metrics").text)
    name = LATENCY.name
    assert [told[f"{name}_bucket", (bound, "ingest-0")] for bound in ("0.5", "1.0", "2.0", "+Inf")] == [
        5,
        5,
        7,
        8,
    ]
    assert (told[f"{name}_count", ("ingest-0",)], told[f"{name}_sum", ("ingest-0",)]) == (8, 100_000.5)


def test_the_memory_of_every_process_is_told_that_of_the_api_too(send: Send, layout: Layout) -> None:
    write_status(layout, ingest_status(resident_bytes=1_000))
    write_status(layout, maintain_status(resident_bytes=2_000))
    write_status(layout, ColdStatus(worker="cold", pid=103, time=NOW, started=NOW, resident_bytes=3_000))
    told = values(send("GET", "/metrics").text)
    held = {worker: told["sensor_storage_process_resident_bytes", (worker,)]
            for worker in ("ingest-0", "maintain", "cold", "api")}  # fmt: skip
    assert held.pop("api") > 10_000_000
    assert list(held.values()) == [1_000, 2_000, 3_000]


def test_a_worker_that_never_comes_to_report_has_a_start_time_that_moves(send: Send, layout: Layout) -> None:
    """By which the alert of restarts sees it."""
    tell_all_well(layout)
    for since in (30, 20):
        tell_cold_ends(layout, 1, since=since)
        told = values(send("GET", "/metrics").text)
        assert told["sensor_storage_worker_start_time_seconds", ("cold",)] == NOW - since


def test_no_label_carries_an_asset_or_a_sensor(send: Send, layout: Layout) -> None:
    allowed = {"worker", "reason", "topic", "partition", "part", "state", "status", "version"}
    assert {label for definition in DEFINITIONS for label in definition.labels} <= allowed
    tell_all_well(layout)
    stage_readings(layout, [Series("secret-asset", "secret-sensor")])
    assert "secret" not in send("GET", "/metrics").text


def test_the_age_of_the_oldest_unsafe_reading_is_told_once_there_is_a_cold_store(
    send: Send, layout: Layout
) -> None:
    name = ("sensor_storage_oldest_unsafe_seconds", ())
    hour = int(NOW) // 3600 - 5
    write_status(layout, maintain_status(oldest_waiting_hour=hour))
    assert name not in values(send("GET", "/metrics").text)
    write_status(layout, ColdStatus(worker="cold", pid=103, time=NOW, started=NOW))
    assert values(send("GET", "/metrics").text)[name] == NOW - hour * 3600
    told = send("GET", "/storage/stats").json()["cold"]["oldest_waiting_hour"]
    assert told == datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    write_status(layout, maintain_status())
    assert values(send("GET", "/metrics").text)[name] == 0
    assert send("GET", "/storage/stats").json()["cold"]["oldest_waiting_hour"] is None


def test_the_numbers_are_those_of_the_workers(send: Send, layout: Layout) -> None:
    tell_all_well(layout)
    write_status(layout, ingest_status(paused="the data disk is full"))
    write_status(layout, maintain_status(blocked={"x": "y"}))
    found = values(send("GET", "/metrics").text)
    assert found["messages_consumed_total", ("ingest-0",)] == 1_000
    assert found["sensor_storage_dead_letters_total", ("not_json", "ingest-0")] == 2
    assert found["sensor_storage_dead_letters_total", ("not_utf8", "ingest-0")] == 0
    assert found["sensor_storage_lag_messages", ()] == 3
    assert found["sensor_storage_partition_lag_messages", ("0", "sensor-data-a")] == 3
    assert ("sensor_storage_partition_lag_messages", ("1", "sensor-data-a")) not in found
    assert found["sensor_storage_lamp", ()] == 1
    assert found["sensor_storage_lag_seconds", ("ingest-0",)] == 2
    assert found["sensor_storage_paused", ("ingest-0",)] == 1
    assert found["sensor_storage_halted", ("maintain",)] == 0
    assert found["sensor_storage_blocked_files", ()] == 1
    assert (
        found["sensor_storage_received_readings", ()] == found["sensor_storage_stored_readings", ()] == 4_000
    )
    assert found["sensor_storage_health", ("degraded",)] == 1
    assert found["sensor_storage_health", ("ok",)] == 0
    assert found["sensor_storage_status_age_seconds", ("maintain",)] == 1


def test_used_bytes_are_those_of_the_files(send: Send, layout: Layout) -> None:
    stage_readings(layout, [Series("a", "b")])
    size = sum(path.stat().st_size for _, path in layout.staged_files())
    found = values(send("GET", "/metrics").text)
    assert found["storage_used_bytes", ()] == found["sensor_storage_part_bytes", ("staging",)] == size > 0


def test_what_nobody_reported_is_left_out_and_never_a_zero(send: Send) -> None:
    found = values(send("GET", "/metrics").text)
    assert ("sensor_storage_lag_messages", ()) not in found
    assert ("sensor_storage_received_readings", ()) not in found
    assert found["sensor_storage_health", ("down",)] == 1


def test_openmetrics_is_spoken_to_those_who_ask_for_it(send: Send) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = send("GET", "/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert send("GET", "/metrics").headers["content-type"].startswith("text/plain")


def test_a_damaged_catalog_does_not_blind_the_metrics(send: Send, layout: Layout) -> None:
    stage_readings(layout, [Series("a", "b")])
    layout.catalog.write_bytes(b"no database" * 500)
    assert values(send("GET", "/metrics").text)["sensor_storage_staged_files", ()] == 1
    assert send("GET", "/storage/stats").status_code == 200
