"""Days fold in the running service, between its workers, and a late reading unfolds its own."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sensor_storage.demo.broker import EmbeddedBroker
from support.kafka_io import create_topic, produce
from support.service import Service, running
from support.waiting import wait_until

START = 1_704_067_200
MONTHS = 60 * 86_400


def message(number: int, day: int = 0) -> str:
    """One reading; days begin with `START`."""
    return json.dumps(
        {
            "asset_id": "p/1",
            "sensor": f"s{number % 3}",
            "timestamp": START + day * 86_400 + number,
            "value": number,
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_running_service_folds_days_and_unfolds_that_of_a_late_reading(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic)
    produce(
        broker.bootstrap_servers, topic, [message(number, day) for day in range(2) for number in range(600)]
    )
    settings = {"COLD_STORE_URL": f"file://{tmp_path}/cold", "UPLOAD_INTERVAL_SECONDS": "1"}
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        service.wait_for_messages(1200)
        assert service.run("upload").returncode == 0
        assert service.run("cleanup").returncode == 0
        wait_until(lambda: cold(service), "all files are in the store alone", seconds=40)
        before = asked(service)
        assert service.stop() == 0
    with closing(sqlite3.connect(service.layout.catalog)) as database, database:
        database.execute(
            "UPDATE receipt SET uploaded_at = uploaded_at - ? WHERE name NOT LIKE 'services/%'", (MONTHS,)
        )
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        wait_until(lambda: folded(service) == 2, f"two days are folded, see {service.log()}", seconds=40)
        assert asked(service) == before
        noon = 12 * 3600
        produce(broker.bootstrap_servers, topic, [message(number, 1) for number in range(noon, noon + 60)])
        service.wait_for_messages(1260)
        assert service.run("upload").returncode == 0
        assert folded(service) == 1
        assert len(asked(service)) == len(before) + 60
        proof = service.run("verify", "--cold", "--full", "--json")
        assert proof.returncode == 0, proof.stdout
        assert json.loads(proof.stdout.splitlines()[-1])["readings"] == 1260
        assert service.stop() == 0, service.log()


def asked(service: Service) -> list[str]:
    """Every reading, as `query` tells it."""
    words = ("p/1", "--start", "2024-01-01", "--end", "2024-01-04", "--resolution", "raw", "--format", "csv")
    done = service.run("query", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def cold(service: Service) -> bool:
    return not any(service.layout.raw.rglob("*.parquet"))


def folded(service: Service) -> int:
    with closing(sqlite3.connect(service.layout.catalog)) as database:
        found: int = database.execute("SELECT COUNT(*) FROM folded_day").fetchone()[0]
        return found
