"""Messages of ten million bytes among good ones: no process of the running service grows beyond its limit."""

import json
from itertools import chain, repeat
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.processes import read_processes
from support.bombs import BOMBS
from support.kafka_io import produce
from support.memory import peak_bytes
from support.service import running

LIMIT_BYTES = 512_000_000
LARGEST = 12_000_000
GOOD, EACH = 20_000, 6


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_process_grows_beyond_its_limit_by_large_messages(tmp_path: Path) -> None:
    values = [
        json.dumps({"asset_id": "p", "sensor_name": f"s{n % 50}", "timestamp": 1_704_067_200 + n, "value": n})
        for n in range(GOOD)
    ]
    large: dict[str, str | int | bool] = {"message.max.bytes": LARGEST, "compression.type": "zstd"}
    properties = {"message.max.bytes": str(LARGEST), "replica.fetch.max.bytes": str(LARGEST)}
    with EmbeddedBroker(tmp_path / "kafka", properties=properties) as broker:
        servers, topic, sent = broker.bootstrap_servers, "sensor-data-a", 0
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=30)
        with running(tmp_path / "data", servers, "sensor-data-") as service:
            for name in ("ten million brackets in a text", "five million zeros", "packed empty objects"):
                make, _ = BOMBS[name]
                produce(servers, topic, chain(values, repeat(make(), EACH)), settings=large)
                sent += GOOD + EACH
                service.wait_for_messages(sent, seconds=60)
            workers = read_processes(service.layout)
            assert {"ingest-0", "maintain", "api"} <= {one.worker for one in workers}
            for one in workers:
                assert peak_bytes(one.pid) < LIMIT_BYTES, one.worker
            assert service.stop() == 0
