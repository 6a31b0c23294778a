"""The page before the whole service and a real Kafka: everything is put right by its buttons."""

import contextlib
import json
import socket
import time
from pathlib import Path

from playwright.sync_api import expect

from sensor_storage.demo.broker import EmbeddedBroker
from support.browser import Visit
from support.kafka_io import create_topic, produce
from support.service import Service
from support.waiting import wait_until


def _hours_ago(hours: float, **fields: object) -> str:
    return json.dumps({"sensor_name": "t", "ts": time.time() - hours * 3600, **fields})


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_plant_is_looked_after_from_the_page_alone(
    visit: Visit, tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    cold = (tmp_path / "cold").as_uri()
    settings = {
        "SERVICE_PORT": str(port),
        "COLD_STORE_URL": cold,
        "BUFFER_FLUSH_INTERVAL_SECONDS": "3600",
        "CLEANUP_AGE_DAYS": "0.01",
        "CLEANUP_INTERVAL_HOURS": "1000",
        "UPLOAD_INTERVAL_SECONDS": "3600",
    }
    create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
    readings = [_hours_ago(5 - n / 1000, asset_id="press-1", value=n) for n in range(200)]
    lost = [_hours_ago(3, machine="press-2", value=7)]
    produce(broker.bootstrap_servers, f"{topic_prefix}-a", [*readings, *lost])

    def service(**more: str) -> Service:
        return Service(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **{**settings, **more})

    page, running = visit.page, service()
    try:
        running.start()
        wait_until(lambda: _answers(port), "the API answers")
        running.wait_for_messages(201)
        page.goto(f"http://127.0.0.1:{port}/explore?tab=pipeline")
        expect(page.locator(".lamp")).to_contain_text("200 received = 200 stored · 1 dead letter")
        page.get_by_role("button", name="Flush").click()
        expect(page.get_by_text("200 readings put in place")).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_text("Uploaded: ")).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="Cleanup …").click()
        expect(page.get_by_text("Cleanup would remove")).to_be_visible(timeout=30_000)
        files = page.get_by_role("group", name="Files and reasons").locator("tbody tr", has_text="would go")
        expect(files.filter(has_text="/t.parquet").first).to_be_visible()
        assert list(running.layout.raw.rglob("t.parquet"))
        page.get_by_role("button", name="Remove these").click()
        expect(page.get_by_text("Cleanup removed")).to_be_visible(timeout=30_000)
        assert not list(running.layout.raw.rglob("t.parquet"))
        assert list((tmp_path / "cold").rglob("t.parquet"))

        page.goto(f"http://127.0.0.1:{port}/explore?pen=press-1/t&live=8h&tz=UTC")
        expect(page.locator(".note")).to_contain_text("cloud answered in", timeout=30_000)

        running.stop()
        running = service(FIELD_ALIASES="asset=machine")
        running.start()
        wait_until(lambda: _answers(port), "the API answers")
        page.goto(f"http://127.0.0.1:{port}/explore?tab=files")
        letters = page.get_by_role("group", name="Dead letters")
        expect(letters).to_contain_text("no_asset", timeout=30_000)
        page.get_by_role("button", name="Try them again").click()
        expect(page.get_by_text("1 of 1 dead letters would become 1 readings")).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="Make them readings now").click()
        expect(letters).to_contain_text("(readings now)", timeout=30_000)
        page.locator("#topic").fill(f"{topic_prefix}-a")
        page.locator("#offset").fill("200")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text("press-2 / t")).to_be_visible()
    finally:
        running.kill()
    visit.errors[:] = [one for one in visit.errors if "ERR_" not in one and "status of 5" not in one]
