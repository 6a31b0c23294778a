"""The service and a schema registry that is away: it waits, and nothing is lost or a dead letter."""

import io
import json
from pathlib import Path

import fastavro

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.status import read_ingest
from support.kafka_io import create_topic, produce
from support.prometheus import free_port
from support.registry import fake_registry
from support.service import Service, running
from support.waiting import wait_until

SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "asset_id", "type": "string"},
        {"name": "sensor", "type": "string"},
        {"name": "value", "type": "double"},
    ],
}


def _message(number: int, schema_number: int = 7) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, {"asset_id": "p", "sensor": "t", "value": float(number)})
    return b"\0" + schema_number.to_bytes(4) + stream.getvalue()


def _paused(service: Service) -> str:
    return next((status.paused for status in read_ingest(service.layout)), "")


def test_while_the_registry_is_away_consumption_pauses_and_then_everything_is_stored_once(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    port, topic = free_port(), f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic, partitions=2)
    settings = {"SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{port}", "SEGMENT_INTERVAL_SECONDS": "0.2"}
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        plain = [json.dumps({"asset_id": "p", "sensor": "t", "value": number}) for number in range(50)]
        produce(broker.bootstrap_servers, topic, plain, partition=0)
        service.wait_for_messages(50, seconds=40)
        produce(broker.bootstrap_servers, topic, [*plain, *map(_message, range(100)), *plain], partition=0)
        produce(broker.bootstrap_servers, topic, map(_message, range(100)), partition=1)
        wait_until(lambda: "schema registry" in _paused(service), f"it pauses, see {service.log()}")
        with fake_registry(port) as registry:
            registry.add(7, SCHEMA)
            service.wait_for_messages(350, seconds=60)
            assert not _paused(service)
        stopped = service.stop()
        proof = service.run("verify", "--json")
    assert stopped == 0
    assert proof.returncode == 0, proof.stdout
    summary = json.loads(proof.stdout.splitlines()[-1])
    assert (summary["messages"], summary["readings"], summary["dead_letters"]) == (350, 350, 0), summary
