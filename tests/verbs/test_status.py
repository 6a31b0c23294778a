import json
import time
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from sensor_storage.api.server import serve
from sensor_storage.clock import SystemClock
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own
from sensor_storage.storage.status import ColdStatus, IngestStatus, MaintainStatus, write_status
from support.command import Run
from support.samples import stage_readings
from support.statuses import ingest_status, maintain_status


def tell(layout: Layout, *statuses: IngestStatus | MaintainStatus | ColdStatus) -> None:
    for one in statuses:
        write_status(layout, msgspec.structs.replace(one, time=time.time()))


def test_one_screen_tells_lamp_workers_staging_files_and_disk(run: Run, layout: Layout) -> None:
    tell(layout, ingest_status(), maintain_status())
    stage_readings(layout, [Series("a", "b")])
    with own(layout):
        done = run("status")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("● 4,000 received = 4,000 stored · 3 dead letters · lag ")
    assert [line.split()[0] for line in lines[1:] if line] == [
        "ingest-0",
        "maintain",
        "staging",
        "raw",
        "aggregates",
        "letters",
        "gaps",
        "disk",
    ]
    assert "400 readings wait" in done.out
    assert "gaps       1 · Kafka had let messages go" in done.out


def test_what_is_amiss_stands_there_with_what_to_do(run: Run, layout: Layout) -> None:
    tell(layout, ingest_status(paused="the data disk is full"), maintain_status(halted="a sync failed"))
    with own(layout):
        done = run("status")
    assert done.code == 1
    assert "paused: the data disk is full" in done.out
    assert "down       maintain: halted: a sync failed" in done.out
    assert "→ " in done.out


def test_what_was_uploaded_and_removed_is_told_as_since_the_start(run: Run, layout: Layout) -> None:
    """After a restart thousands of blobs may be in the store."""
    cold = ColdStatus(
        worker="cold", pid=103, time=0, started=0, uploaded=2, removed=1, waiting=5, waiting_sealed=4
    )
    tell(layout, ingest_status(), maintain_status(), cold)
    (line,) = [one for one in run("status").out.splitlines() if one.startswith("cold store")]
    assert "4 to upload, 5 with open hours · since the start 2 uploaded, 1 removed here" in line


def test_without_a_service_it_says_so_and_shows_the_last_report(run: Run, layout: Layout) -> None:
    tell(layout, ingest_status(), maintain_status())
    done = run("status")
    assert done.code == 1
    assert "no service runs on this directory" in done.out
    assert "4,000 received = 4,000 stored" in done.out


def test_json_is_one_summary_with_health_and_statistics(run: Run, layout: Layout) -> None:
    tell(layout, ingest_status(), maintain_status())
    with own(layout):
        (line,) = run("status", "--json").lines()
    assert line["type"] == "summary"
    assert (line["running"], line["status"], line["reasons"]) == (True, "ok", [])
    assert line["lamp"]["lag_messages"] == 3
    assert line["counts"]["hour_files"] == 0
    assert [one["name"] for one in line["workers"]] == ["ingest-0", "maintain"]


def test_watching_in_json_gives_an_item_a_look_and_one_summary_at_its_end(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.root.mkdir()
    looks = iter([None, None])

    def sleep(_: float) -> None:
        try:
            next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("sensor_storage.verbs.status.time.sleep", sleep)
    done = run("status", "--watch", "--json")
    assert [line["type"] for line in done.lines()] == ["item", "item", "item", "summary"]
    assert done.lines()[-1]["looks"] == 3


def test_a_service_is_asked_by_its_address(run: Run, tmp_path: Path) -> None:
    elsewhere = Layout(tmp_path / "elsewhere" / "raw")
    tell(elsewhere, ingest_status(), maintain_status(stored_readings=4_001))
    stop, port = Event(), []
    listening = Event()

    def told(number: int) -> None:
        port.append(number)
        listening.set()

    options = {"host": "127.0.0.1", "port": 0, "stop": stop, "listening": told}
    server = Thread(target=serve, args=(elsewhere, SystemClock()), kwargs=options)
    server.start()
    try:
        assert listening.wait(20)
        done = run("status", "--json", "--url", f"http://127.0.0.1:{port[0]}")
    finally:
        stop.set()
        server.join(20)
    assert done.code == 0
    assert done.lines()[0]["lamp"]["stored_readings"] == 4_001


def test_an_address_that_does_not_answer_is_exit_code_4(run: Run, unused_port: int) -> None:
    done = run("status", "--json", "--url", f"http://127.0.0.1:{unused_port}")
    assert done.code == 4
    assert json.loads(done.out)["type"] == "error"
    assert run("status", "--url", "plant-3").code == 2
