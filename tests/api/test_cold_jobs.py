"""`/upload/trigger` and `/cleanup/trigger`, as a client sees them: a job to come back to, or waited for."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sensor_storage.clock import SystemClock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_cold
from support.cold import Plant, blobs, directory
from support.sending import Send
from support.trees import HOUR
from support.waiting import wait_until
from support.workers import cold_workers


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Readings are staged, of an hour long over and of this one."""
    found = Layout(tmp_path / "data" / "raw")
    with closing(Plant(found.root, directory(tmp_path))) as plant:
        plant.arrive(range(10), hour=HOUR)
        plant.arrive(range(10, 20), hour=int(SystemClock().now() // 3600))
    return found


def test_an_upload_on_request_takes_open_hours_too_and_a_second_one_changes_nothing(
    tmp_path: Path, layout: Layout
) -> None:
    with cold_workers(layout, UPLOAD_INTERVAL_SECONDS="3600") as send:
        told = send("POST", "/upload/trigger?wait=30").json()
        there = blobs(directory(tmp_path))
        assert sum(name.startswith("raw/") for name in there) == 4
        assert (told["waiting"], told["failed"], told["away"]) == (0, 0, False)
        assert send("POST", "/upload/trigger?wait=30").json()["uploaded"] == 0
    after = blobs(directory(tmp_path))
    assert {name: after[name] for name in there if "safe-offsets" not in name} == {
        name: blob for name, blob in there.items() if "safe-offsets" not in name
    }


def test_what_is_not_waited_for_is_a_job_with_an_address_that_tells_its_report(layout: Layout) -> None:
    with cold_workers(layout, UPLOAD_INTERVAL_SECONDS="3600") as send:
        uploaded = finished(send, "/upload/trigger")
        assert uploaded["waiting"] == 0
        for asked, dry in (("?dry_run=true", True), ("", False)):
            cleaned = finished(send, f"/cleanup/trigger{asked}")
            assert (cleaned["dry_run"], cleaned["removed"] > 0) == (dry, True)
        for address in ("/upload/trigger/99", "/cleanup/trigger/99"):
            assert send("GET", address).status_code == 404


def test_meanwhile_the_worker_reports_about_each_second(tmp_path: Path, layout: Layout) -> None:
    """So slowly a file takes a second or more, and all of them a quarter of a minute."""
    with cold_workers(layout, UPLOAD_INTERVAL_SECONDS="3600", UPLOAD_BYTES_PER_SECOND="4KB") as send:
        place = send("POST", "/upload/trigger").headers["location"]
        wait_until(lambda: blobs(directory(tmp_path)), "it uploads")
        reports: set[float] = set()

        def reported() -> bool:
            status = read_cold(layout)
            reports.update([status.time] if status else [])
            return len(reports) > 3

        wait_until(reported, "the worker reports")
        assert send("GET", place).json()["state"] == "running"


def finished(send: Send, asked: str) -> dict[str, Any]:
    answer = send("POST", asked)
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert place == answer.json()["location"]
    wait_until(lambda: send("GET", place).json()["state"] == "done", "the job is done")
    report: dict[str, Any] = send("GET", place).json()["report"]
    return report
